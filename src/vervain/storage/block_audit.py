# SPDX-License-Identifier: Apache-2.0
"""Proves a block log from its first byte to its last and names what is damaged.

A block with one changed byte is found to the byte: the checksum tells where it can be, the SHA-256 chain confirms it.
The block is then read as it was, in memory only, so that the blocks after it and the state can still be compared.
Nothing is repaired on disk.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from zlib import crc32

from vervain.ledger.machine.block import Block
from vervain.storage.block_format import (
    CHECKSUM_AT,
    DIGEST_AT,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SEGMENT_NAME,
    RecordHeader,
    SegmentHeader,
    SegmentReader,
    chain_digest,
    decode_body,
    encode_segment_header,
    parse_record_header,
    parse_segment_header,
    record_digest,
    segment_name,
    was_durable,
)
from vervain.storage.checksums import corrected, single_changes
from vervain.storage.errors import Corrupt
from vervain.storage.files import FileLayer
from vervain.storage.findings import first_difference

_CRC_BYTES: Final = 4

ReportIn = Callable[[str, int, str], None]
"""Takes a file's name, a byte of it and what is wrong there."""


class BlockAudit:
    """One reading of a block log.

    Attributes:
        last_height: The last height met so far, -1 before the first.
    """

    def __init__(
        self, directory: Path, files: FileLayer, report: ReportIn, *, chain: str, durable_height: int | None = None
    ) -> None:
        """Prepare; `durable_height` is the state's head, up to which no block may be missing; None when not known."""
        self._directory, self._files, self._report = directory, files, report
        self._chain_digest = chain_digest(chain)
        self._durable_height = -1 if durable_height is None else durable_height
        self._digest: bytes | None = self._chain_digest
        self._next_height: int | None = None
        self.last_height = -1

    def blocks(self) -> Iterator[Block | None]:
        """Yield every block in order; None where blocks are lost. Reports while it goes, so exhaust it."""
        numbers = sorted(int(name[:8]) for name in self._files.list(self._directory) if SEGMENT_NAME.match(name))
        for number in range(1, max(numbers, default=0) + 1):
            if number in numbers:
                yield from self._segment(number, last=number == numbers[-1])
                continue
            self._report(segment_name(number), 0, "The file is missing")
            yield from self._lose()
        if self.last_height < self._durable_height:
            end = segment_name(max(numbers, default=1))
            size = self._size(end) if numbers else 0
            self._report(end, size, f"Blocks {self.last_height + 1} to {self._durable_height} are missing")
            yield None

    def _segment(self, number: int, *, last: bool) -> Iterator[Block | None]:
        """Check one segment and its sidecar."""
        name = segment_name(number)
        path = self._directory / name
        with closing(self._files.open(path)) as file:
            reader = SegmentReader(path, file)
            if last and self._is_unborn(reader):
                return
            self._segment_header(reader, number, name)
            offsets: list[int] = []
            offset = SEGMENT_HEADER_BYTES
            while offset < reader.end:
                if last and self._is_torn(reader, offset):
                    break
                offsets.append(offset)
                offset, block = self._record(reader, name, offset)
                yield block
        if not last:
            self._sidecar(number, offsets)

    def _is_unborn(self, reader: SegmentReader) -> bool:
        """Was the last segment still being made? Opening the log removes it."""
        if reader.end > SEGMENT_HEADER_BYTES or self.last_height < self._durable_height:
            return False
        try:
            reader.segment_header()
        except Corrupt:
            return True
        return False

    def _segment_header(self, reader: SegmentReader, number: int, name: str) -> None:
        """Compare the header with the one that must stand here; take from it what is not known yet."""
        encoded = reader.read(0, SEGMENT_HEADER_BYTES)
        header = None
        damaged_at, damage = 0, ""
        try:
            header = reader.segment_header()
        except Corrupt as corrupt:
            damaged_at, damage = corrupt.offset, corrupt.damage
            for position, whole in _one_byte_back(encoded):
                told = parse_segment_header(whole)
                if told is not None and (told.segment, told.chain_digest) == (number, self._chain_digest):
                    header, damaged_at = told, position
                    break
        height, digest = self._next_height, self._digest
        if header is not None:
            height = header.first_height if height is None else height
            digest = header.previous_digest if digest is None else digest
        if height is not None and digest is not None:
            expected = encode_segment_header(
                SegmentHeader(
                    segment=number, first_height=height, chain_digest=self._chain_digest, previous_digest=digest
                )
            )
            if encoded != expected:
                self._report(
                    name, first_difference(encoded, expected), "The segment's header is not the one that belongs here"
                )
        elif damage:
            self._report(name, damaged_at, damage)
        self._next_height, self._digest = height, digest

    def _record(self, reader: SegmentReader, name: str, offset: int) -> tuple[int, Block | None]:
        """Check the record at `offset`; return where the next one begins, and the block, None when it is lost."""
        header = self._record_header(reader, name, offset)
        if header is None:
            found = reader.next_header(offset)
            self._lost_one()
            self._digest = None
            self._next_height = None
            return (reader.end if found is None else found[0]), None
        end = offset + RECORD_HEADER_BYTES + header.length
        body = reader.read(offset + RECORD_HEADER_BYTES, header.length)
        whole = self._body(name, offset, header, body)
        self._digest = header.digest
        if whole is None:
            self._lost_one()
            return min(end, reader.end), None
        try:
            block = decode_body(whole, file=reader.path, offset=offset + RECORD_HEADER_BYTES)
        except Corrupt as corrupt:
            self._report(name, corrupt.offset, corrupt.damage)
            self._lost_one()
            return end, None
        if self._next_height is not None and block.height != self._next_height:
            self._report(name, offset + RECORD_HEADER_BYTES, f"Block {self._next_height} was expected here")
            self._lost_one()
            return end, None
        self.last_height, self._next_height = block.height, block.height + 1
        return end, block

    def _record_header(self, reader: SegmentReader, name: str, offset: int) -> RecordHeader | None:
        """Return the header, as it was when one byte of it is wrong; report what is wrong."""
        try:
            return reader.record_header(offset)
        except Corrupt as corrupt:
            encoded = reader.read(offset, RECORD_HEADER_BYTES)
            for position, whole in _one_byte_back(encoded) if len(encoded) == RECORD_HEADER_BYTES else ():
                header = parse_record_header(whole)
                if header is not None:
                    self._report(name, offset + position, "A byte of the record's header was changed")
                    return header
            self._report(name, corrupt.offset, corrupt.damage)
            return None

    def _body(self, name: str, offset: int, header: RecordHeader, body: bytes) -> bytes | None:
        """Return a record's body, as it was when one byte of it is wrong; report what is wrong."""
        start = offset + RECORD_HEADER_BYTES
        if len(body) < header.length:
            self._report(name, start + len(body), "The file ends inside a block")
            return None
        if crc32(body) == header.checksum:
            if self._digest is not None and record_digest(self._digest, body) != header.digest:
                self._report(name, offset + DIGEST_AT, "The block does not continue the chain of digests")
            return body
        for position, mask in single_changes(body, header.checksum):
            whole = corrected(body, position, mask)
            if self._digest is None or record_digest(self._digest, whole) == header.digest:
                self._report(name, start + position, "A byte of the block was changed")
                return whole
        if self._digest is not None and record_digest(self._digest, body) == header.digest:
            self._report(name, offset + CHECKSUM_AT, "The block's checksum is wrong")
            return body
        self._report(name, start, "The block does not have its checksum")
        return None

    def _is_torn(self, reader: SegmentReader, offset: int) -> bool:
        """Is the rest of the last segment a tail that no sync ever covered? Opening the log cuts it off."""
        if self._next_height is not None and self._next_height <= self._durable_height:
            return False
        try:
            reader.record(offset)
        except Corrupt:
            return not was_durable(reader, offset) and not self._explained(reader, offset)
        return False

    def _explained(self, reader: SegmentReader, offset: int) -> bool:
        """Would one changed byte explain the record at `offset`? Then it was whole, and is damaged, not torn."""
        silent = BlockAudit(self._directory, self._files, lambda name, at, what: None, chain="")
        silent._digest = self._digest
        header = silent._record_header(reader, "", offset)
        if header is None:
            return False
        return silent._body("", offset, header, reader.read(offset + RECORD_HEADER_BYTES, header.length)) is not None

    def _sidecar(self, number: int, offsets: list[int]) -> None:
        """Compare a finished segment's sidecar with the offsets; it may be missing: it is made again when needed."""
        path = (self._directory / segment_name(number)).with_suffix(".index")
        if path.name not in self._files.list(self._directory):
            return
        expected = b"".join(offset.to_bytes(4, "big") for offset in offsets)
        with closing(self._files.open(path)) as file:
            found = file.read(0, max(file.size(), 1))
        if found != expected:
            self._report(
                path.name, first_difference(found, expected), "The sidecar is wrong; it is made again when it is needed"
            )

    def _lose(self) -> Iterator[None]:
        """Go on without knowing height and digest."""
        self._digest = self._next_height = None
        yield None

    def _lost_one(self) -> None:
        """Count a block that is there but cannot be read."""
        if self._next_height is not None:
            self.last_height = self._next_height
            self._next_height += 1

    def _size(self, name: str) -> int:
        with closing(self._files.open(self._directory / name)) as file:
            return file.size()


def _one_byte_back(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (position, fields as they were) for each byte that, changed back, makes fields and CRC-32 fit."""
    fields, kept = encoded[:-_CRC_BYTES], encoded[-_CRC_BYTES:]
    checksum = crc32(fields).to_bytes(_CRC_BYTES, "big")
    if sum(left != right for left, right in zip(checksum, kept, strict=True)) == 1:
        yield len(fields) + first_difference(kept, checksum), fields
    for position, mask in single_changes(fields, int.from_bytes(kept, "big")):
        yield position, corrected(fields, position, mask)
