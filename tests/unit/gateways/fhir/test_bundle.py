# SPDX-License-Identifier: Apache-2.0
"""A file becomes resources with patient, custodian, author and category, or is refused whole with place and reason."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.gateways.fhir.sample_files import BUNDLES, needs_samples
from vervain.gateways.fhir.bundle import ImportedResource, read_fhir_bytes, read_fhir_file
from vervain.gateways.fhir.rules import RULES, BadFile, BrokenRule, Position
from vervain.gateways.fhir.synthetic import generate_bundle

PATIENT = b'{"resourceType":"Patient","id":"p1"}'
OBSERVATION = b'{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"}%s}'
HEAD = b'{"resourceType":"Bundle","type":"collection","entry":['
SECRET = b"Kowalczyk"


def _bundle(*resources: bytes) -> bytes:
    return HEAD + b",".join(b'{"resource":' + resource + b"}" for resource in resources) + b"]}"


def _around(addition: bytes) -> bytes:
    """Return a Bundle of a Patient and an Observation of hers into which something was put."""
    subject = b',"subject":{"reference":"Patient/p1"}'
    return _bundle(PATIENT, OBSERVATION % (subject + addition))


PACKED = gzip.compress(_bundle(PATIENT), mtime=0)
NOT_THE_LAST_BRACKET = slice(None, -1)
DEEP = b'{"resourceType":"Patient","id":"p1","name":' + b"[" * 64 + b"]" * 64 + b"}"

MALFORMED: list[tuple[str, bytes, str, int | None, bytes | int, str]] = [
    ("cut gzip", PACKED[:-8], "file-gzip", None, len(_bundle(PATIENT)), ""),
    ("no gzip", _bundle(PATIENT), "file-gzip", None, 0, ""),
    ("bad UTF-8", _around(b',"issued":"\xff"'), "json-utf8", None, b"\xff", ""),
    ("byte order mark", b"\xef\xbb\xbf" + _bundle(PATIENT), "json-bom", None, 0, ""),
    ("empty file", b"", "json-syntax", 0, 0, ""),
    ("cut JSON", _bundle(PATIENT)[NOT_THE_LAST_BRACKET], "json-syntax", None, len(_bundle(PATIENT)) - 1, ""),
    ("text behind", _bundle(PATIENT) + b"\n}", "json-syntax", None, len(_bundle(PATIENT)) + 1, ""),
    ("two values", PATIENT + PATIENT, "json-syntax", None, len(PATIENT), ""),
    ("key twice", _around(b',"id":"o2"'), "json-duplicate-key", 1, b'"id":"o2"', ""),
    ("key twice, escaped", _around(b',"\\u0069d":"o2"'), "json-duplicate-key", 1, b'"\\u0069d"', ""),
    (
        "resource twice",
        HEAD + b'{"resource":%s,"resource":{}}]}' % PATIENT,
        "json-duplicate-key",
        0,
        b'"resource":{}',
        "",
    ),
    ("type twice", b'{"resourceType":"Bundle","type":"a","type":"b"}', "json-duplicate-key", None, b'"type":"b"', ""),
    ("NaN", _around(b',"valueQuantity":{"value":NaN}'), "json-number", 1, b"NaN", ""),
    ("1e400", _around(b',"valueQuantity":{"value":1e400}'), "json-number", 1, b"1e400", ""),
    ("control character", _around(b',"valueString":"\x01"'), "json-syntax", 1, b"\x01", ""),
    ("escaped control character", _around(b',"valueString":"\\u0001"'), "json-text", None, b"\\u0001", ""),
    ("half a surrogate pair", _around(b',"valueString":"\\ud800"'), "json-text", None, b"\\ud800", ""),
    ("too deep", DEEP, "json-depth", None, DEEP.index(b"]") - 1, ""),
    ("a list", b"[1]", "file-shape", 0, 0, ""),
    ("a number", b"5", "file-shape", 0, 0, ""),
    ("entry is an object", HEAD[:-1] + b"{}}", "r4-schema", None, b"{}", "Bundle.entry: is not a list"),
    ("entry holds a number", HEAD + b"5]}", "bundle-resource", 0, b"5]", ""),
    ("entry without resource", HEAD + b'{"request":{}}]}', "bundle-resource", 0, b'{"request"', ""),
    ("resource is null", HEAD + b'{"resource":null}]}', "bundle-resource", 0, b"null", ""),
    (
        "Bundle in a Bundle",
        _bundle(b'{"resourceType":"Bundle","id":"b","type":"batch"}'),
        "bundle-nested",
        0,
        b'{"resourceType":"Bundle","id',
        "",
    ),
    (
        "fullUrl twice",
        HEAD
        + b'{"fullUrl":"u:1","resource":%s},{"fullUrl":"u:1","resource":%s}]}'
        % (PATIENT, PATIENT.replace(b"p1", b"p2")),
        "bundle-full-url",
        1,
        PATIENT.replace(b"p1", b"p2"),
        "",
    ),
    (
        "unknown kind of Bundle",
        b'{"resourceType":"Bundle","type":"%s"}' % SECRET,
        "r4-schema",
        None,
        0,
        "Bundle.type: is not one of the codes that R4 allows here",
    ),
    (
        "bad request",
        HEAD + b'{"resource":%s,"request":{"method":"GIVE","url":"u"}}]}' % PATIENT,
        "r4-schema",
        None,
        0,
        "Bundle.entry[0].request.method: is not one of the codes that R4 allows here",
    ),
    (
        "missing id",
        _bundle(PATIENT, b'{"resourceType":"Patient"}'),
        "resource-id",
        1,
        b'{"resourceType":"Patient"}',
        "Patient.id",
    ),
    ("missing type", b'{"id":"x"}', "resource-type", 0, 0, ""),
    (
        "wrong type",
        _around(b',"valueString":5'),
        "r4-schema",
        1,
        b'{"resourceType":"Observation"',
        "Observation.valueString: has the wrong JSON type",
    ),
    (
        "unknown element",
        _around(b',"%s":5' % SECRET),
        "r4-schema",
        1,
        b'{"resourceType":"Observation"',
        "Observation: has an element that R4 does not know",
    ),
    (
        "no such day",
        _around(b',"effectiveDateTime":"2021-02-30"'),
        "r4-date",
        1,
        b'{"resourceType":"Observation"',
        "Observation.effectiveDateTime",
    ),
    (
        "patient not in the file",
        _bundle(OBSERVATION % b',"subject":{"reference":"urn:uuid:%s"}' % SECRET),
        "link-subject",
        0,
        b'{"resourceType":"Observation"',
        "Observation",
    ),
]
"""What it is, content, rule, entry, position (or the bytes that stand there), the reason (empty: the rule's)."""


@pytest.mark.parametrize(
    ("what", "content", "rule", "entry", "place", "words"), MALFORMED, ids=[case[0] for case in MALFORMED]
)
def test_malformed_file_is_refused_whole(
    tmp_path: Path, what: str, content: bytes, rule: str, entry: int | None, place: bytes | int, words: str
) -> None:
    """
    Given a file that breaks one rule in one place.
    When it is read.
    Then the whole file is refused with exactly that reason and position, and nothing of its content is told.
    """
    path = tmp_path / ("a.json.gz" if rule == "file-gzip" else "a.json")
    path.write_bytes(content)
    offset = place if isinstance(place, int) else content.rindex(place)
    with pytest.raises(BadFile) as refused:
        read_fhir_file(path, custodian="Organization/given")
    broken = RULES[rule].broken
    own = f"{words}: {broken}" if words and ":" not in words else words or broken
    position = Position(offset=offset) if entry is None else Position(offset=offset, entry=entry)
    actual = (refused.value.file, refused.value.position, refused.value.reason)
    assert actual == (str(path), position, f"{own} (rule {rule})"), what
    assert SECRET.decode() not in f"{refused.value} {refused.value.diagnostics()} {refused.value.__cause__}"


def test_every_rule_has_a_file_that_breaks_it() -> None:
    """
    Given the published rules.
    When the malformed files here, and the rules that other tests break, are counted.
    Then none is left over.
    """
    elsewhere = {"file-kind", "file-unreadable", "file-size", "resource-size", "bundle-entries", "link-custodian"}
    elsewhere |= {"r4-required", "r4-choice", "r4-contained", "r4-empty", "patient-namespace"}
    assert {rule for _, _, rule, _, _, _ in MALFORMED} | elsewhere == set(RULES)


def test_lines_are_refused_at_their_line() -> None:
    """
    Given NDJSON whose second line is not a resource, or holds two.
    When it is read.
    Then the position names it.
    """
    refused = []
    for second in (b"[]", PATIENT + PATIENT):
        with pytest.raises(BrokenRule) as error:
            read_fhir_bytes(PATIENT + b"\n" + second + b"\n", lines=True, custodian="Organization/given")
        refused.append((error.value.rule.id, error.value.position))
    after = len(PATIENT) + 1
    assert refused == [
        ("file-shape", Position(offset=after, entry=1)),
        ("json-syntax", Position(offset=after + len(PATIENT), entry=1)),
    ]


def test_whole_file_becomes_resources(tmp_path: Path) -> None:
    """
    Given a packed Bundle: patient, organisation, practitioner, encounter, and an observation with the value 1.50.
    When it is read.
    Then each resource is exactly as received, with its links resolved.
    """
    organisation = b'{"resourceType":"Organization","id":"h1","name":"Synthetic Hospital"}'
    practitioner = b'{"resourceType":"Practitioner","id":"d1"}'
    encounter = json.dumps(
        {
            "resourceType": "Encounter",
            "id": "e1",
            "meta": {"versionId": "7"},
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": {"reference": "urn:uuid:1"},
            "participant": [{"individual": {"reference": "urn:uuid:3"}}],
            "serviceProvider": {"reference": "urn:uuid:2"},
        },
        indent=3,
    ).encode()
    observation = OBSERVATION % (
        b', "valueQuantity": {"value": 1.50}, "category": [{"coding": [{"code": "laboratory"}]}]'
        b',"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1/_history/7"}'
        b',"performer":[{"reference":"Organization/h1"},{"reference":"urn:uuid:3"}]'
    )
    resources = (PATIENT, organisation, practitioner, encounter, observation)
    entries = [b'{"fullUrl":"urn:uuid:%d","resource":%s}' % (n, each) for n, each in enumerate(resources, 1)]
    source = HEAD + b",".join(entries) + b"]}"
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(source))

    def expected(number: int, resource_type: str, identifier: str, category: str) -> ImportedResource:
        return ImportedResource(
            resource_type=resource_type,
            id=identifier,
            version="7" if identifier == "e1" else "",
            bytes=resources[number],
            subject="" if category == "directory" else "Patient/p1",
            custodian="Organization/h1",
            author="Practitioner/d1" if identifier in ("e1", "o1") else "",
            category=category,
            references={
                "e1": ("Patient/p1", "Practitioner/d1", "Organization/h1"),
                "o1": ("Patient/p1", "Encounter/e1", "Organization/h1", "Practitioner/d1"),
            }.get(identifier, ()),
            position=Position(offset=source.index(resources[number]), entry=number),
        )

    assert read_fhir_file(tmp_path / "a.json.gz") == (
        expected(0, "Patient", "p1", "demographics"),
        expected(1, "Organization", "h1", "directory"),
        expected(2, "Practitioner", "d1", "directory"),
        expected(3, "Encounter", "e1", "encounters"),
        expected(4, "Observation", "o1", "laboratory"),
    )


def _encounter(identifier: str, provider: str, practitioner: str) -> bytes:
    return (
        b'{"resourceType":"Encounter","id":"%s","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p1"}'
        b',"participant":[{"individual":{"reference":"Practitioner/%s"}}],"serviceProvider":{"reference":"Organization/%s"}}'
    ) % (identifier.encode(), practitioner.encode(), provider.encode())


def _custodians(resources: Sequence[bytes], custodian: str = "") -> list[str]:
    return [each.custodian for each in read_fhir_bytes(_bundle(*resources), custodian=custodian)]


def test_custodian_follows_the_rules_in_order() -> None:
    """
    Given two Encounters at two organisations, and resources that name one of them in each way or not at all.
    When they are read.
    Then each goes to the custodian that the first rule in order gives.
    """
    about = b',"subject":{"reference":"Patient/p1"}'
    resources = {
        PATIENT: "h1",  # the first Encounter's
        b'{"resourceType":"Patient","id":"p2","managingOrganization":{"reference":"Organization/h9"}}': "h9",
        _encounter("e1", "h1", "d1"): "h1",
        _encounter("e2", "h2", "d2"): "h2",
        OBSERVATION % (about + b',"encounter":{"reference":"Encounter/e2"}'): "h2",
        OBSERVATION % (about + b',"encounter":{"reference":"Encounter/elsewhere"}'): "h1",
        b'{"resourceType":"Practitioner","id":"d2"}': "h2",  # the Encounter that names it
        b'{"resourceType":"Practitioner","id":"d3"}': "h1",
        b'{"resourceType":"Organization","id":"h2"}': "h2",  # provides an Encounter: itself
        b'{"resourceType":"Organization","id":"insurer"}': "h1",
    }
    assert _custodians(list(resources)) == [f"Organization/{name}" for name in resources.values()]
    assert _custodians(list(resources), "member 3") == ["member 3"] * len(resources)


def test_organisations_without_encounters_keep_themselves_and_others_are_refused() -> None:
    """
    Given files without an Encounter.
    When they are read and no custodian is given.
    Then an Organization is its own custodian, and a Patient is refused.
    """
    assert _custodians([b'{"resourceType":"Organization","id":"h1"}']) == ["Organization/h1"]
    with pytest.raises(BrokenRule) as refused:
        _custodians([b'{"resourceType":"Organization","id":"h1"}', PATIENT])
    source = _bundle(b'{"resourceType":"Organization","id":"h1"}', PATIENT)
    expected = ("link-custodian", Position(offset=source.index(PATIENT), entry=1))
    assert (refused.value.rule.id, refused.value.position) == expected


PROVENANCE = (
    b'{"resourceType":"Provenance","id":"v1","recorded":"2021-01-01T00:00:00Z","target":[%s]'
    b',"agent":[{"who":{"display":"x"}}]}'
)
OTHER = b'{"resourceType":"Patient","id":"p2"}'
OF_P1 = OBSERVATION % b',"subject":{"reference":"Patient/p1"}'


@pytest.mark.parametrize(
    ("resource", "subject"),
    [
        (OBSERVATION % b',"subject":{"reference":"Patient/p1/_history/2"}', "Patient/p1"),
        (OBSERVATION % b',"subject":{"reference":"https://two.example/Patient/p1"}', "https://two.example/Patient/p1"),
        (OBSERVATION % b',"subject":{"reference":"Location/l1"}', ""),
        (OBSERVATION % b"", ""),
        (OBSERVATION % b',"focus":[{"reference":"Patient/p1"}]', "Patient/p1"),
        (
            b'{"resourceType":"Coverage","id":"c","status":"active","beneficiary":{"reference":"Patient/p1"},"payor":[{"display":"x"}]}',
            "Patient/p1",
        ),
        (PROVENANCE % b'{"reference":"Observation/o1"}', "Patient/p1"),  # by way of what it is about
        (PROVENANCE % b'{"reference":"Organization/h1"}', ""),
        (b'{"resourceType":"PractitionerRole","id":"r","organization":{"reference":"Organization/gone"}}', ""),
    ],
)
def test_subject_is_found(resource: bytes, subject: str) -> None:
    """
    Given a resource that names its patient, reaches one through others, or has none.
    When it is read.
    Then its subject is that patient, or it is the organisation's own document.
    """
    assert read_fhir_bytes(_bundle(PATIENT, OTHER, OF_P1, resource), custodian="c")[3].subject == subject


@pytest.mark.parametrize(
    "resource",
    [
        OBSERVATION % b',"subject":{"reference":"urn:uuid:gone"}',
        OBSERVATION % b',"subject":{"reference":"#here"}',
        OBSERVATION % b',"subject":{"display":"a patient"}',
        OBSERVATION % b',"subject":{"identifier":{"value":"1"}}',
        OBSERVATION % b',"focus":[{"reference":"Patient/p1"},{"reference":"Patient/p2"}]',
        PROVENANCE % b'{"reference":"Observation/gone"}',
        PROVENANCE % b'{"reference":"urn:uuid:gone"}',
        PROVENANCE % b'{"reference":"Observation/o1"},{"reference":"Patient/p2"}',
    ],
)
def test_unclear_subject_is_refused(resource: bytes) -> None:
    """
    Given a resource that is, or may be, about a patient whom the file does not let us tell, or about two.
    When it is read.
    Then the file is refused: it never passes as an organisation's own document.
    """
    with pytest.raises(BrokenRule) as refused:
        read_fhir_bytes(_bundle(PATIENT, OTHER, OF_P1, resource), custodian="c")
    assert (refused.value.rule.id, refused.value.position and refused.value.position.entry) == ("link-subject", 3)


def test_same_full_url_with_another_version_is_accepted() -> None:
    """
    Given a history Bundle: one fullUrl twice, with two versions.
    When it is read.
    Then both versions are there.
    """
    versions = [b'{"resourceType":"Patient","id":"p1","meta":{"versionId":"%d"}}' % number for number in (1, 2)]
    source = HEAD + b",".join(b'{"fullUrl":"u:1","resource":%s}' % each for each in versions) + b"]}"
    assert [each.version for each in read_fhir_bytes(source, custodian="c")] == ["1", "2"]


def test_repeats_among_made_up_bundles() -> None:
    """
    Given five patients of the same three organisations.
    When their bundles are read.
    Then organisations and practitioners repeat with the same id and bytes, and there are three custodians.
    """
    files = [read_fhir_bytes(generate_bundle(seed, organisations=(0, 1, 2))) for seed in range(5)]
    resources = [resource for file in files for resource in file]
    distinct = {(each.resource_type, each.id, each.bytes) for each in resources}
    assert len(resources) - len(distinct) == 4 * 3 * 2
    assert len({each.custodian for each in resources}) == 3
    assert [{each.subject for each in file} - {""} for file in files] == [{f"Patient/{file[0].id}"} for file in files]


@needs_samples
def test_samples_give_the_agreed_counts() -> None:
    """
    Given the 64 sample bundles.
    When they are read.
    Then there are 19,676 resources, 100 of them repeats with the same id and bytes, at 60 custodians;
    what has no patient is organisations and practitioners, each with one custodian over all files.
    """
    resources = [resource for path in BUNDLES for resource in read_fhir_file(path)]
    distinct = {(each.resource_type, each.id, each.bytes) for each in resources}
    own = [each for each in resources if not each.subject]
    counts = (
        len(resources),
        len(distinct),
        len(resources) - len(distinct),
        len({each.custodian for each in resources}),
    )
    assert counts == (19_676, 19_576, 100, 60)
    assert ({each.resource_type for each in own}, len(own)) == ({"Organization", "Practitioner"}, 220)
    assert len({(each.id, each.custodian) for each in own}) == len({each.id for each in own}) == 120
