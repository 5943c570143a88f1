# SPDX-License-Identifier: Apache-2.0
"""References: what is found in a resource, and what it means inside one file."""

import json

import pytest

from vervain.gateways.fhir.references import references_at, references_in, resolve, type_of
from vervain.gateways.fhir.strict_json import JsonObject

ENTRIES = {"urn:uuid:1": "Patient/p1", "https://one.example/fhir/Patient/p2": "Patient/p2"}
RESOURCE: JsonObject = {
    "subject": {"reference": "Patient/a"},
    "performer": [{"reference": "Practitioner/b"}, {"display": "someone"}, {"reference": "Practitioner/b"}],
    "participant": [{"individual": {"reference": "Practitioner/c"}}, {"individual": {"reference": "#d"}}],
    "note": [{"authorReference": {"reference": "Patient/a"}, "text": "x"}],
    "reference": 5,
}


@pytest.mark.parametrize(
    ("written", "meant", "resource_type"),
    [
        ("Patient/p9", "Patient/p9", "Patient"),
        ("Patient/p9/_history/3", "Patient/p9", "Patient"),
        ("urn:uuid:1", "Patient/p1", "Patient"),
        ("urn:uuid:2", "urn:uuid:2", ""),
        ("https://one.example/fhir/Patient/p2", "Patient/p2", "Patient"),
        ("https://one.example/fhir/Patient/p2/_history/1", "Patient/p2", "Patient"),
        ("https://two.example/fhir/Patient/p2", "https://two.example/fhir/Patient/p2", "Patient"),
        ("Organization?identifier=a|b", "Organization?identifier=a|b", "Organization"),
        ("#contained", "#contained", ""),
        ("patient/p1", "patient/p1", ""),
        ("Patient/p1/extra", "Patient/p1/extra", ""),
        ("Patient/p1\n", "Patient/p1\n", ""),
        ("", "", ""),
    ],
)
def test_reference_is_resolved(written: str, meant: str, resource_type: str) -> None:
    """
    Given a reference of each kind and the file's entries.
    When it is resolved.
    Then it is `Type/id` where the file, or the reference itself, says so, and its type is known only then.
    """
    assert (resolve(written, ENTRIES), type_of(resolve(written, ENTRIES))) == (meant, resource_type)


def test_references_of_a_resource_are_found_once_in_order() -> None:
    """
    Given a resource with references in lists, repeated, into itself and only in words.
    When they are gathered.
    Then each that leads out of the resource is there once.
    """
    assert references_in(RESOURCE, json.dumps(RESOURCE).encode()) == ("Patient/a", "Practitioner/b", "Practitioner/c")


ODD: JsonObject = {
    "text": 'says "reference": "Patient/no"',
    "reference": {"reference": "Patient/é"},
    "list": [[{"reference": "urn:uuid:1"}], "reference", {"display": "reference", "reference": "#in"}],
    "quoted": {"reference": 'Patient/"x'},
    "empty": {"reference": ""},
}
PLAIN: JsonObject = {key: value for key, value in ODD.items() if key not in ("text", "quoted")}


@pytest.mark.parametrize("content", [ODD, PLAIN, RESOURCE], ids=["escapes", "no escapes", "plain"])
@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n", " \t:\r\n ")], ids=["dense", "wide"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_references_are_the_same_from_bytes_and_from_content(
    content: JsonObject, separators: tuple[str, str], ascii_only: bool
) -> None:
    """
    Given resources whose texts and keys look like references, written densely, widely, with escapes or without.
    When their references are looked for in the bytes, or in the content by a backslash put into the bytes.
    Then they are the same.
    """
    source = json.dumps(content, separators=separators, ensure_ascii=ascii_only).encode()
    found = references_in(content, source)
    assert found == references_in(content, source + b"\\")
    assert ('Patient/"x' in found) == (content is ODD) and "Patient/no" not in found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("subject", ["Patient/a"]),
        ("performer", ["Practitioner/b", "", "Practitioner/b"]),
        ("participant.individual", ["Practitioner/c", "#d"]),
        ("encounter", []),
        ("subject.reference", []),
        ("reference", []),
    ],
)
def test_references_at_a_path(path: str, found: list[str]) -> None:
    """
    Given a resource and an element path.
    When the references at the path are asked for.
    Then lists are followed, and a reference without a literal target counts as empty.
    """
    assert references_at(RESOURCE, path) == found
