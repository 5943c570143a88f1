# SPDX-License-Identifier: Apache-2.0
"""Reading a file's bytes: kinds of file, gzip in one or many members, and every way it can be damaged."""

import gzip
from pathlib import Path

import pytest

from vervain.gateways.fhir import source
from vervain.gateways.fhir.rules import BrokenRule, Position
from vervain.gateways.fhir.source import decode_text, holds_lines, read_bytes

CONTENT = b'{"resourceType":"Patient","id":"p1"}'
PACKED = gzip.compress(CONTENT, mtime=0)
TRAILER_BYTES = 8  # CRC-32 and length


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a.json", CONTENT),
        ("A.JSON", CONTENT),
        ("a.ndjson", CONTENT),
        ("a.json.gz", PACKED),
        (
            "a.ndjson.gz",
            gzip.compress(CONTENT[:9], mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(CONTENT[9:], mtime=0),
        ),
    ],
)
def test_whole_file_is_read(tmp_path: Path, name: str, stored: bytes) -> None:
    """
    Given a file, plain or in gzip members.
    When it is read.
    Then its uncompressed bytes come back.
    """
    (tmp_path / name).write_bytes(stored)
    assert read_bytes(tmp_path / name) == CONTENT


@pytest.mark.parametrize(
    ("name", "stored", "rule", "offset"),
    [
        ("a.xml", CONTENT, "file-kind", 0),
        ("a.gz", PACKED, "file-kind", 0),
        ("a.json.gz", CONTENT, "file-gzip", 0),
        ("a.json.gz", b"", "file-gzip", 0),
        ("a.json.gz", PACKED[:-TRAILER_BYTES], "file-gzip", len(CONTENT)),
        ("a.json.gz", PACKED[:-1], "file-gzip", len(CONTENT)),
        ("a.json.gz", PACKED[:-TRAILER_BYTES] + bytes(TRAILER_BYTES), "file-gzip", 0),
        ("a.json.gz", PACKED + b"rubbish", "file-gzip", len(CONTENT)),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, name: str, stored: bytes, rule: str, offset: int) -> None:
    """
    Given a file of another kind, or damaged gzip.
    When it is read.
    Then the rule is named, and the position is how far decompression came, to the last whole piece.
    """
    (tmp_path / name).write_bytes(stored)
    with pytest.raises(BrokenRule) as refused:
        read_bytes(tmp_path / name)
    assert (refused.value.rule.id, refused.value.position) == (rule, Position(offset=offset))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """
    Given a path where no file is.
    When it is read.
    Then it is told that the file cannot be read.
    """
    with pytest.raises(BrokenRule) as refused:
        read_bytes(tmp_path / "a.json")
    assert (refused.value.rule.id, refused.value.position) == ("file-unreadable", Position(offset=0))


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_file_over_the_maximum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """
    Given a maximum of one byte less than the file holds uncompressed.
    When it is read, plain or packed.
    Then it is refused at the maximum; a packed bomb is stopped there too.
    """
    monkeypatch.setattr(source, "FILE_BYTES_MAX", 999)
    content = b" " * 1000
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(BrokenRule) as refused:
        read_bytes(tmp_path / name)
    assert (refused.value.rule.id, refused.value.position) == ("file-size", Position(offset=999))


def test_too_many_gzip_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given three gzip members where two are the maximum.
    When they are read.
    Then the third is refused.
    """
    monkeypatch.setattr(source, "_GZIP_MEMBERS_MAX", 2)
    (tmp_path / "a.json.gz").write_bytes(PACKED * 3)
    with pytest.raises(BrokenRule) as refused:
        read_bytes(tmp_path / "a.json.gz")
    assert (refused.value.rule.id, refused.value.position) == ("file-gzip", Position(offset=2 * len(CONTENT)))


@pytest.mark.parametrize(
    ("content", "rule", "offset"),
    [
        (b"\xef\xbb\xbf{}", "json-bom", 0),
        (b'{"a":"\xff"}', "json-utf8", 6),
        (b'{"a":"\xed\xa0\x80"}', "json-utf8", 6),  # half a surrogate pair, written out
        (b'{"a":"\xc0\x80"}', "json-utf8", 6),  # two bytes for what takes one
        (b'{"a":"\xe2\x82', "json-utf8", 6),  # cut inside a character
    ],
)
def test_bytes_that_are_no_plain_utf8_are_refused(content: bytes, rule: str, offset: int) -> None:
    """
    Given bytes with a byte order mark, or not UTF-8.
    When they are decoded.
    Then the first bad byte is named.
    """
    with pytest.raises(BrokenRule) as refused:
        decode_text(content)
    assert (refused.value.rule.id, refused.value.position) == (rule, Position(offset=offset))


def test_file_of_lines_is_known_by_its_name() -> None:
    """
    Given the four kinds of file.
    When asked which hold one resource a line.
    Then it is those named ndjson.
    """
    names = ("a.json", "a.json.gz", "a.ndjson", "a.NDJSON.gz")
    assert [holds_lines(Path(name)) for name in names] == [False, False, True, True]
