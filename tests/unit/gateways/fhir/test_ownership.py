# SPDX-License-Identifier: Apache-2.0
"""The tables that say whose a resource is name real types and elements; categories are chosen by type and code."""

import re

import pytest

from vervain.gateways.fhir import ownership
from vervain.gateways.fhir.definitions.schema_file import definitions, resource_types
from vervain.gateways.fhir.ownership import category_of
from vervain.gateways.fhir.strict_json import JsonObject


def _target(resource_type: str, path: str) -> str:
    """Return the definition at the end of an element path."""
    name = resource_type
    for element in path.split("."):
        name = definitions()[name].properties[element].target
    return name


@pytest.mark.parametrize("table", [ownership.SUBJECT_PATHS, ownership.CUSTODIAN_PATHS, ownership.AUTHOR_PATHS])
def test_paths_of_a_table_lead_to_references(table: dict[str, tuple[str, ...]]) -> None:
    """
    Given a table of element paths by type.
    When each path is followed in the schema.
    Then it ends in a Reference.
    """
    ends = {_target(resource_type, path) for resource_type, paths in table.items() for path in paths}
    assert ends == {"Reference"}


def test_no_type_that_names_a_patient_is_forgotten() -> None:
    """
    Given every type of R4 with an element that is by name a patient.
    When its subject paths are looked up.
    Then the element is among them.
    """
    names = ("subject", "patient", "beneficiary", "individual", "candidate")
    forgotten = [
        (resource_type, name)
        for resource_type in resource_types()
        for name in names
        if definitions()[resource_type].properties.get(name, definitions()["code"]).target == "Reference"
        and name not in ownership.SUBJECT_PATHS.get(resource_type, ownership.SUBJECT_PATHS_DEFAULT)
    ]
    assert forgotten == []


def test_categories_are_codes_of_real_types() -> None:
    """
    Given the tables of categories.
    When their types and codes are looked at.
    Then the types are R4's and each code is lower-case ASCII, as a grant can name it.
    """
    assert set(ownership.CATEGORIES) | set(ownership.CATEGORIES_BY_CODE) - {"Observation"} <= resource_types()
    codes = {*ownership.CATEGORIES.values(), ownership.CATEGORY_OTHER}
    codes |= {code for table in ownership.CATEGORIES_BY_CODE.values() for code in table.values()}
    assert [code for code in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []


def _with(*codes: str) -> JsonObject:
    return {"category": [{"coding": [{"code": code}]} for code in codes]}


@pytest.mark.parametrize(
    ("resource_type", "content", "category"),
    [
        ("Observation", _with("vital-signs"), "vital-signs"),
        ("Observation", _with("vital-signs", "social-history"), "social-history"),  # the more private of two
        ("Observation", _with("homemade"), "other"),
        ("Observation", {}, "other"),
        ("Observation", {"category": [{"text": "laboratory"}]}, "other"),
        ("DiagnosticReport", _with("RAD"), "imaging"),
        ("DiagnosticReport", {}, "laboratory"),
        ("Condition", _with("encounter-diagnosis"), "conditions"),
        ("AllergyIntolerance", {"category": ["food"]}, "allergies"),
        ("Basic", {}, "other"),
    ],
)
def test_category_of_a_resource(resource_type: str, content: JsonObject, category: str) -> None:
    """
    Given a resource with category codes or none.
    When its consent category is asked for.
    Then the table of its type's codes decides, then its type, then it is `other`.
    """
    assert category_of(content, resource_type) == category
