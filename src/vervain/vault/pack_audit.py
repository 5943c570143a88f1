# SPDX-License-Identifier: Apache-2.0
"""Checks every byte of the packs against their chain of digests, without any key."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from vervain.storage.files import FileLayer, OpenFile, RealFiles
from vervain.storage.findings import Finding
from vervain.vault.packs import (
    PACK_HEADER_BYTES,
    PART_HEADER_BYTES,
    PART_MAGIC,
    PackEnd,
    pack_name,
    pack_numbers,
    parse_pack,
    parse_part,
)

_UNKNOWN: Final = b""  # the digest of a part whose header cannot be read: the part after it is taken as it is
_READ_BYTES: Final = 2**20


def audit_packs(directory: Path, end: PackEnd | None, *, files: FileLayer | None = None) -> Iterator[Finding]:
    """Yield every part of the packs in which a byte was altered, cut off or added.

    Args:
        directory: The packs' folder.
        end: What the index keeps, or None when it cannot be read.
        files: The file layer.
    """
    layer = RealFiles() if files is None else files
    numbers, digest = pack_numbers(layer, directory), bytes(32)
    newest = max([*numbers, end.pack if end else 0], default=0)
    for number in range(1, newest + 1):
        if number not in numbers:
            yield _finding(number, 0, "The pack is missing")
            continue
        file = layer.open(directory / pack_name(number))
        try:
            stop = end.length if end and number == end.pack else None
            for offset, what, known in _audit_pack(file, number, digest, stop):
                digest = known
                if what:
                    yield _finding(number, offset, what)
        finally:
            file.close()
        if end and number == end.pack and digest != end.digest:
            yield _finding(number, end.length, "The pack does not end as its index says")


def _finding(number: int, offset: int, what: str) -> Finding:
    return Finding(file=f"packs/{pack_name(number)}", offset=offset, what=what)


def _audit_pack(file: OpenFile, number: int, digest: bytes, stop: int | None) -> Iterator[tuple[int, str, bytes]]:
    """Yield (offset, what is wrong or nothing, digest to go on from) for each header and body of a pack."""
    size = file.size()
    if stop is not None and size < stop:
        yield size, "The pack ends too soon for its index", digest
    if parse_pack(file.read(0, PACK_HEADER_BYTES)) != (number, digest):
        yield 0, "The pack's header is altered, or does not follow the pack before", digest
    offset, end = PACK_HEADER_BYTES, size if stop is None else min(size, stop)
    while offset < end:
        header = parse_part(file.read(offset, PART_HEADER_BYTES))
        if header is None:
            yield offset, "A part's header is altered", digest
            following = _next_part(file, offset + 1, end)
            if following is None:
                return
            offset, digest = following, _UNKNOWN
            continue
        length, told = header
        body = file.read(offset + PART_HEADER_BYTES, length)
        if len(body) < length:
            yield offset, "A part is cut off", told
            return
        fits = digest == _UNKNOWN or sha256(digest + body).digest() == told
        yield offset + PART_HEADER_BYTES, "" if fits else "A part is altered", told
        offset, digest = offset + PART_HEADER_BYTES + length, told
    if stop is not None and size > stop:
        yield stop, "The pack goes on beyond what its index knows", digest


def _next_part(file: OpenFile, offset: int, end: int) -> int | None:
    """Return where the next whole part header stands, or None."""
    while offset < end:
        block = file.read(offset, min(_READ_BYTES, end - offset))
        position = block.find(PART_MAGIC)
        while position >= 0:
            if parse_part(file.read(offset + position, PART_HEADER_BYTES)) is not None:
                return offset + position
            position = block.find(PART_MAGIC, position + 1)
        offset += max(len(block) - len(PART_MAGIC) + 1, 1)
    return None
