# SPDX-License-Identifier: Apache-2.0
"""From a path to the uncompressed bytes of a FHIR file, never more than `FILE_BYTES_MAX`.

Source: RFC 1952 (several gzip members in a row are one file); RFC 8259 section 8.1 (UTF-8, no byte order mark).
"""

import zlib
from pathlib import Path
from typing import Final

from vervain.gateways.fhir.rules import BrokenRule, Position

FILE_BYTES_MAX: Final = 128 * 1024 * 1024  # bytes, uncompressed; the largest sample bundle has 3.6 MB
SUFFIXES: Final = (".json", ".json.gz", ".ndjson", ".ndjson.gz")
_GZIP_WINDOW_BITS: Final = 31  # zlib's number for "a gzip header and its checksum are required"
_GZIP_MEMBERS_MAX: Final = 10_000  # a block-compressed file of 128 MiB has about 2,000
_PIECE_BYTES: Final = 16 * 1024  # compressed bytes inflated at once: at most about 16 MiB come out
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_bytes(path: Path) -> bytes:
    """Return the uncompressed bytes of a file.

    Raises: BrokenRule(file-kind, file-unreadable, file-gzip, file-size).
    """
    if not path.name.lower().endswith(SUFFIXES):
        raise BrokenRule("file-kind", position=Position(offset=0))
    try:
        with path.open("rb") as stream:
            stored = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BrokenRule("file-unreadable", position=Position(offset=0)) from error
    if len(stored) > FILE_BYTES_MAX:
        raise BrokenRule("file-size", position=Position(offset=FILE_BYTES_MAX))
    return _gunzip(stored) if path.name.lower().endswith(".gz") else stored


def holds_lines(path: Path) -> bool:
    """Tell whether a file holds one resource a line (NDJSON)."""
    return path.name.lower().endswith((".ndjson", ".ndjson.gz"))


def decode_text(source: bytes) -> str:
    """Return the text of a file's bytes; encoding it again gives the same bytes.

    Raises: BrokenRule(json-bom, json-utf8).
    """
    if source.startswith(_BYTE_ORDER_MARK):
        raise BrokenRule("json-bom", position=Position(offset=0))
    try:
        return source.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise BrokenRule("json-utf8", position=Position(offset=error.start)) from None


def _gunzip(stored: bytes) -> bytes:
    """Return all gzip members, one after the other.

    The position of damage is how far decompression came, to the last whole piece.
    """
    inflated: list[bytes] = []
    total = consumed = members = 0
    while consumed < len(stored) or not members:
        inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
        members += 1
        while not inflater.eof:
            piece = stored[consumed : consumed + _PIECE_BYTES]
            if not piece or members > _GZIP_MEMBERS_MAX:
                raise BrokenRule("file-gzip", position=Position(offset=total))
            try:
                inflated.append(inflater.decompress(piece))
            except zlib.error:
                raise BrokenRule("file-gzip", position=Position(offset=total)) from None
            consumed += len(piece) - len(inflater.unused_data)
            total += len(inflated[-1])
            if total > FILE_BYTES_MAX:
                raise BrokenRule("file-size", position=Position(offset=FILE_BYTES_MAX))
    return b"".join(inflated)
