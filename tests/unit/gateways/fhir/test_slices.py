# SPDX-License-Identifier: Apache-2.0
"""Slices are the exact bytes of each resource: against values written here, and against a second, slow slicer."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateways.fhir.sample_files import BUNDLES, needs_samples
from tests.unit.gateways.fhir.slow_slicer import slow_slices
from vervain.gateways.fhir import slices
from vervain.gateways.fhir.rules import BrokenRule, Position
from vervain.gateways.fhir.slices import Slice, Slicer
from vervain.gateways.fhir.synthetic import generate_bundle

ODD = (
    b'{ "id" :"p1",\r\n\t"resourceType":"Pat\\u0069ent" , '
    b'"n":[1.50,-0.0,1E5,0.10000000000000000001],"t":"\xc3\xa9 }{\\"" }'
)
PLAIN = b'{"resourceType":"Observation","id":"o1"}'


def test_bundle_is_cut_into_exact_bytes() -> None:
    """
    Given a Bundle with odd white space, member order, number texts, escapes and letters beyond ASCII.
    When it is sliced.
    Then each resource has its exact bytes, its byte offset, its index and its fullUrl, and the envelope has the rest.
    """
    source = b' {"type":"batch","entry" : [ {"fullUrl":"urn:uuid:1\xe2\x82\xac", "resource" :\n' + ODD
    source += b'} ,{"resource":' + PLAIN + b',"request":{"method":"PUT"}}\n],"resourceType":"Bundle"}\n'
    slicer = Slicer(source)
    assert list(slicer) == [
        Slice(
            source=ODD,
            content={"id": "p1", "resourceType": "Patient", "n": [1.5, -0.0, 1e5, 0.1], "t": 'é }{"'},
            position=Position(offset=source.index(ODD), entry=0),
            full_url="urn:uuid:1€",
        ),
        Slice(
            source=PLAIN,
            content={"resourceType": "Observation", "id": "o1"},
            position=Position(offset=source.index(PLAIN), entry=1),
        ),
    ]
    assert slicer.envelope == {
        "type": "batch",
        "entry": [
            {"fullUrl": "urn:uuid:1€", "resource": {"resourceType": "Patient"}},
            {"resource": {"resourceType": "Observation"}, "request": {"method": "PUT"}},
        ],
        "resourceType": "Bundle",
    }


def test_bare_resource_is_one_slice() -> None:
    """
    Given a file that is one resource between white space.
    When it is sliced.
    Then there is one slice without the white space, and no envelope.
    """
    slicer = Slicer(b"\n " + PLAIN + b" \n")
    only = Slice(
        source=PLAIN, content={"resourceType": "Observation", "id": "o1"}, position=Position(offset=2, entry=0)
    )
    assert (list(slicer), slicer.envelope) == ([only], {})


def test_each_line_is_one_slice() -> None:
    """
    Given NDJSON with an empty line, spaces at a line's end and no line feed after the last line.
    When it is sliced.
    Then there is one slice a line.
    """
    source = PLAIN + b" \r\n\n" + ODD.replace(b"\r\n", b"") + b"\n" + PLAIN
    found = [(each.position, each.source) for each in Slicer(source, lines=True)]
    assert found == [
        (Position(offset=0, entry=0), PLAIN),
        (Position(offset=len(PLAIN) + 4, entry=1), ODD.replace(b"\r\n", b"")),
        (Position(offset=len(source) - len(PLAIN), entry=2), PLAIN),
    ]


@pytest.mark.parametrize("source", [b'{"resourceType":"Bundle"}', b'{"resourceType":"Bundle","entry":[]}'])
def test_empty_bundle_has_no_slices(source: bytes) -> None:
    """
    Given a Bundle without entries.
    When it is sliced.
    Then there are none.
    """
    assert list(Slicer(source)) == []


@given(st.integers(0, 2**32), st.integers(0, 9))
def test_slices_equal_those_of_the_slow_slicer(seed: int, organisation: int) -> None:
    """
    Given a made-up bundle.
    When both slicers cut it.
    Then offsets and bytes are equal.
    """
    source = generate_bundle(seed, organisations=(organisation,))
    assert [(each.position.offset, each.source) for each in Slicer(source)] == slow_slices(source)


@needs_samples
@pytest.mark.parametrize("path", BUNDLES, ids=range(len(BUNDLES)))
def test_slices_of_samples_equal_those_of_the_slow_slicer(path: Path) -> None:
    """
    Given a sample bundle.
    When both slicers cut it.
    Then offsets and bytes are equal.
    """
    source = gzip.decompress(path.read_bytes())
    assert [(each.position.offset, each.source) for each in Slicer(source)] == slow_slices(source)


def _refused(source: bytes, *, lines: bool = False) -> tuple[str, Position | None]:
    with pytest.raises(BrokenRule) as refused:
        list(Slicer(source, lines=lines))
    return refused.value.rule.id, refused.value.position


def test_resource_over_the_maximum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a maximum one byte below the second resource's size, which counts bytes, not characters.
    When the Bundle is sliced.
    Then the second resource is refused.
    """
    monkeypatch.setattr(slices, "RESOURCE_BYTES_MAX", len(ODD) - 1)
    source = b'{"resourceType":"Bundle","entry":[{"resource":' + PLAIN + b'},{"resource":' + ODD + b"}]}"
    assert _refused(source) == ("resource-size", Position(offset=source.index(ODD), entry=1))


@pytest.mark.parametrize("lines", [True, False])
def test_more_entries_than_the_maximum_are_refused(monkeypatch: pytest.MonkeyPatch, lines: bool) -> None:
    """
    Given three resources where two are the maximum, in a Bundle or in lines.
    When they are sliced.
    Then the third is refused.
    """
    monkeypatch.setattr(slices, "ENTRIES_MAX", 2)
    entry = PLAIN + b"\n" if lines else b'{"resource":' + PLAIN + b"}"
    head = b"" if lines else b'{"resourceType":"Bundle","entry":['
    source = head + entry * 3 if lines else head + b",".join([entry] * 3) + b"]}"
    assert _refused(source, lines=lines) == ("bundle-entries", Position(offset=source.rindex(entry), entry=2))


def test_position_of_a_fault_behind_letters_beyond_ascii_counts_bytes() -> None:
    """
    Given a fault behind letters of two, three and four bytes.
    When the file is sliced.
    Then its position counts bytes.
    """
    source = '{"resourceType":"Bundle","type":"é€😀","entry":[{"resource":{"a":"é","a":1}}]}'.encode()
    assert _refused(source) == ("json-duplicate-key", Position(offset=source.index(b'"a":1'), entry=0))
