# SPDX-License-Identifier: Apache-2.0
"""The bytes of a block segment: a header, then records. All integers are big-endian.

```
header  magic 8 | version uint32 | segment uint32 | first height uint64 | chain digest 32 | previous digest 32
        | CRC-32 of the bytes before
record  magic 4 | body length uint32 | body CRC-32 uint32 | durable uint32 | digest 32 | CRC-32 of the bytes before
        | body
body    height uint64 | time uint64 | count uint32 | count lengths uint32 | the transactions
```
`digest` is SHA-256(previous record's digest || body); before the first record stands the chain digest, and a segment's
header repeats the last digest of the segment before it. `durable` is how many bytes of this segment were synced when
the record was written: it tells an unsynced tail, which may be torn, from a synced block, which must not be damaged.
No byte of a record's magic is ASCII alone, so no transaction (ASCII JSON) can pretend to be a record.
"""

import re
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from vervain.ledger.machine.block import Block
from vervain.storage.errors import Corrupt
from vervain.storage.files import OpenFile
from vervain.storage.findings import first_difference

FORMAT_VERSION: Final = 1
SEGMENT_BYTES_MAX: Final = 64 * 2**20  # one file; opening the log verifies the last one, so this bounds the start-up
SEGMENT_RECORDS_MAX: Final = 65_536  # as many offsets are kept in memory, 256 KiB
SEGMENTS_MAX: Final = 99_999_999  # eight digits in the name
RECORD_BYTES_MAX: Final = 16 * 2**20  # twice the agreed block size
TRANSACTIONS_MAX: Final = 100_000  # ten times the agreed count
READ_AHEAD_BYTES: Final = 2**20

SEGMENT_NAME: Final = re.compile(r"[0-9]{8}\.blocks\Z")
SEGMENT_MAGIC: Final = b"VERVAIN\x01"
RECORD_MAGIC: Final = b"\xf0BLK"
_CHAIN: Final = b"vervain/blocks/v1\n"
_SEGMENT: Final = struct.Struct(">8sIIQ32s32s")
_RECORD: Final = struct.Struct(">4sIII32s")
_BODY: Final = struct.Struct(">QQI")
_CRC: Final = struct.Struct(">I")
SEGMENT_HEADER_BYTES: Final = _SEGMENT.size + _CRC.size
RECORD_HEADER_BYTES: Final = _RECORD.size + _CRC.size
CHECKSUM_AT: Final = 8  # of a record's header
DIGEST_AT: Final = 16


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment says of itself: number, first height, whose chain, digest of the record before."""

    segment: int
    first_height: int
    chain_digest: bytes
    previous_digest: bytes


class RecordHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before a block's bytes."""

    length: int
    checksum: int
    durable: int
    digest: bytes


def chain_digest(chain: str) -> bytes:
    """Return the 32 bytes that stand before the first record of a chain's log."""
    return sha256(_CHAIN + chain.encode("ascii")).digest()


def segment_name(segment: int) -> str:
    """Return the file name of a segment, numbered from 1."""
    return f"{segment:08d}.blocks"


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Return the 92 bytes at the head of a segment."""
    encoded = _SEGMENT.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        header.segment,
        header.first_height,
        header.chain_digest,
        header.previous_digest,
    )
    return encoded + _CRC.pack(crc32(encoded))


def encode_body(height: int, time: int, transactions: Sequence[bytes]) -> bytes:
    """Return the bytes of a block as the log keeps them."""
    lengths = struct.pack(f">{len(transactions)}I", *map(len, transactions))
    return b"".join((_BODY.pack(height, time, len(transactions)), lengths, *transactions))


def record_digest(previous_digest: bytes, body: bytes) -> bytes:
    """Return the chain's digest after a record: SHA-256(previous digest || body)."""
    digest = sha256(previous_digest)
    digest.update(body)
    return digest.digest()


def encode_record_header(body: bytes, *, durable: int, digest: bytes) -> bytes:
    """Return the 52 bytes before a body."""
    encoded = _RECORD.pack(RECORD_MAGIC, len(body), crc32(body), durable, digest)
    return encoded + _CRC.pack(crc32(encoded))


def parse_segment_header(encoded: bytes) -> SegmentHeader | None:
    """Return the fields of a segment header whose checksum was checked, None when they cannot be a segment's."""
    magic, version, segment, first_height, chain, previous = _SEGMENT.unpack_from(encoded)
    if magic != SEGMENT_MAGIC or version != FORMAT_VERSION:
        return None
    return SegmentHeader(segment=segment, first_height=first_height, chain_digest=chain, previous_digest=previous)


def parse_record_header(encoded: bytes) -> RecordHeader | None:
    """Return the fields of a record header whose checksum was checked, None when they cannot be a record's."""
    magic, length, checksum, durable, digest = _RECORD.unpack_from(encoded)
    if magic != RECORD_MAGIC or length > RECORD_BYTES_MAX:
        return None
    return RecordHeader(length=length, checksum=checksum, durable=durable, digest=digest)


def decode_body(body: bytes, *, file: Path, offset: int) -> Block:
    """Return the block of a record whose body starts at `offset`.

    Raises: Corrupt.
    """
    start = _BODY.size
    if len(body) < start:
        raise Corrupt(file, offset, "The record is too short for a block")
    height, time, count = _BODY.unpack_from(body)
    if count > TRANSACTIONS_MAX or start + 4 * count > len(body):
        raise Corrupt(file, offset + 16, "The record counts more transactions than it can hold")
    lengths = struct.unpack_from(f">{count}I", body, start)
    start += 4 * count
    if start + sum(lengths) != len(body):
        raise Corrupt(file, offset + _BODY.size, "The transactions' lengths do not add up to the record's")
    transactions = []
    for length in lengths:
        transactions.append(body[start : start + length])
        start += length
    return Block(height=height, time=time, transactions=tuple(transactions))


class SegmentReader:
    """Reads one segment, ahead in pieces of 1 MiB, and checks what stands by itself: magic, lengths, checksums."""

    def __init__(self, path: Path, file: OpenFile, *, end: int | None = None) -> None:
        self.path = path
        self._file = file
        self.end = file.size() if end is None else end
        self._window, self._window_at = b"", 0

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`, none of them past `end`."""
        length = min(length, self.end - offset)
        start = offset - self._window_at
        if start < 0 or start + length > len(self._window):
            ahead = min(max(length, READ_AHEAD_BYTES), self.end - offset)
            self._window, self._window_at, start = self._file.read(offset, ahead), offset, 0
        return self._window[start : start + length]

    def segment_header(self) -> SegmentHeader:
        """Return the segment's header.

        Raises: Corrupt.
        """
        encoded = self.read(0, SEGMENT_HEADER_BYTES)
        if len(encoded) < SEGMENT_HEADER_BYTES:
            raise Corrupt(self.path, len(encoded), "The file ends inside its header")
        if not encoded.startswith(SEGMENT_MAGIC):
            raise Corrupt(self.path, first_difference(encoded, SEGMENT_MAGIC), "This is not a block segment")
        if _CRC.unpack_from(encoded, _SEGMENT.size)[0] != crc32(encoded[: _SEGMENT.size]):
            raise Corrupt(self.path, len(SEGMENT_MAGIC), "The header's checksum does not fit")
        header = parse_segment_header(encoded)
        if header is None:
            raise Corrupt(
                self.path, len(SEGMENT_MAGIC), f"Its format is not {FORMAT_VERSION}, the one this release reads"
            )
        return header

    def record_header(self, offset: int) -> RecordHeader:
        """Return the record header at `offset`.

        Raises: Corrupt.
        """
        encoded = self.read(offset, RECORD_HEADER_BYTES)
        if len(encoded) < RECORD_HEADER_BYTES:
            raise Corrupt(self.path, offset, "The file ends inside a record's header")
        if not encoded.startswith(RECORD_MAGIC):
            raise Corrupt(self.path, offset + first_difference(encoded, RECORD_MAGIC), "No record begins here")
        if _CRC.unpack_from(encoded, _RECORD.size)[0] != crc32(encoded[: _RECORD.size]):
            raise Corrupt(self.path, offset, "The record header's checksum does not fit")
        header = parse_record_header(encoded)
        if header is None:
            raise Corrupt(self.path, offset + 4, "The record is longer than any block")
        return header

    def record(self, offset: int) -> tuple[RecordHeader, bytes]:
        """Return the header and body of the record at `offset`.

        Raises: Corrupt.
        """
        header = self.record_header(offset)
        body = self.read(offset + RECORD_HEADER_BYTES, header.length)
        if len(body) < header.length:
            raise Corrupt(self.path, offset, "The file ends inside a record")
        if crc32(body) != header.checksum:
            raise Corrupt(self.path, offset + RECORD_HEADER_BYTES, "The record's checksum does not fit")
        return header, body

    def next_header(self, offset: int) -> tuple[int, RecordHeader] | None:
        """Return the first intact record header after `offset` with its place, or None."""
        while offset + 1 + RECORD_HEADER_BYTES <= self.end:
            piece = self.read(offset + 1, READ_AHEAD_BYTES)
            found = piece.find(RECORD_MAGIC)
            if found < 0:
                offset += max(len(piece) - len(RECORD_MAGIC) + 1, 1)
                continue
            offset += 1 + found
            try:
                return offset, self.record_header(offset)
            except Corrupt:
                continue
        return None


def was_durable(reader: SegmentReader, offset: int) -> bool:
    """Does an intact record further on say that the bytes at `offset` were synced before it was written?"""
    found = reader.next_header(offset)
    while found is not None:
        place, header = found
        if offset < header.durable <= place:
            return True
        found = reader.next_header(place)
    return False
