# SPDX-License-Identifier: Apache-2.0
"""The bytes of a slots file. All integers are big-endian.

```
file     header, then segments
header   magic 8 | file key id 16 | erasures applied uint64 | next slot uint32 | lapses at uint64 | CRC-32 uint32
segment  magic 4 | slots uint32 | nonce 12 | CRC-32 of these 20 bytes uint32 | AES-256-GCM(slots) under the file key
slot     number uint32 | generation uint32 | subject 32 | key 32
```
A segment's additional data is the header and the segment's place in the file, so segments can be neither moved nor
taken from another file. `lapses at` is 0 in the live file and a backup's last second in a backup.
"""

import secrets
import struct
from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.vault.key_holder import KEY_ID_BYTES

SLOT_KEY_BYTES: Final = 32
SEGMENT_SLOTS_MAX: Final = 256  # what one altered byte can take away
SLOTS_MAX: Final = 10_000_000
NONCE_BYTES: Final = 12

FILE_MAGIC: Final = b"VVSLOT\x00\x01"
SEGMENT_MAGIC: Final = b"\xf0SLT"
_HEADER: Final = struct.Struct(f">8s{KEY_ID_BYTES}sQIQ")
_SEGMENT: Final = struct.Struct(f">4sI{NONCE_BYTES}s")
_SLOT: Final = struct.Struct(">II32s32s")
_CRC: Final = struct.Struct(">I")
HEADER_BYTES: Final = _HEADER.size + _CRC.size
SEGMENT_HEADER_BYTES: Final = _SEGMENT.size + _CRC.size
SLOT_BYTES: Final = _SLOT.size
TAG_BYTES: Final = 16
FILE_BYTES_MAX: Final = HEADER_BYTES + SLOTS_MAX * (SLOT_BYTES + SEGMENT_HEADER_BYTES + TAG_BYTES)


class Slot(msgspec.Struct, frozen=True):
    """One key slot.

    Attributes:
        number: Never used again once its slot is erased.
        generation: Raised when the slot gets a new key because one of its documents is erased.
        subject: 32-byte pseudonym or organisation whose rows lie under it.
        key: 32 bytes.
    """

    number: int
    generation: int
    subject: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Slot(number={self.number}, generation={self.generation})"


class SlotFileHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The clear part of a slots file."""

    key_id: bytes
    erasures_applied: int
    next_number: int
    lapses_at: int = 0

    def encode(self) -> bytes:
        """Return the header's bytes."""
        fields = _HEADER.pack(FILE_MAGIC, self.key_id, self.erasures_applied, self.next_number, self.lapses_at)
        return fields + _CRC.pack(crc32(fields))


def parse_file_header(content: bytes) -> SlotFileHeader | None:
    """Return a slots file's header, or None when it is not whole."""
    if len(content) < HEADER_BYTES or _CRC.unpack_from(content, _HEADER.size)[0] != crc32(content[: _HEADER.size]):
        return None
    magic, key_id, applied, next_number, lapses_at = _HEADER.unpack_from(content)
    if magic != FILE_MAGIC:
        return None
    return SlotFileHeader(key_id=key_id, erasures_applied=applied, next_number=next_number, lapses_at=lapses_at)


def encode_segments(slots: Iterable[Slot], *, cipher: AESGCM, header: bytes, offset: int) -> bytes:
    """Return slots as sealed segments to be written at `offset` of the file."""
    pieces, pending = [], []
    for slot in slots:
        pending.append(_SLOT.pack(slot.number, slot.generation, slot.subject, slot.key))
        if len(pending) == SEGMENT_SLOTS_MAX:
            pieces.append(_segment(pending, cipher, header, offset))
            offset, pending = offset + len(pieces[-1]), []
    if pending:
        pieces.append(_segment(pending, cipher, header, offset))
    return b"".join(pieces)


def _segment(slots: list[bytes], cipher: AESGCM, header: bytes, offset: int) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    fields = _SEGMENT.pack(SEGMENT_MAGIC, len(slots), nonce)
    sealed = cipher.encrypt(nonce, b"".join(slots), header + offset.to_bytes(8, "big"))
    return fields + _CRC.pack(crc32(fields)) + sealed


class Segment(msgspec.Struct, frozen=True):
    """What stands at one place of a slots file.

    Attributes:
        offset: Where it begins.
        slots: The opened slots; None when the segment does not open.
        end: Where the next one begins; the file's length when that cannot be told.
    """

    offset: int
    slots: tuple[Slot, ...] | None
    end: int


def read_segments(content: bytes, *, cipher: AESGCM) -> Iterator[Segment]:
    """Yield each segment of a slots file, opened or not."""
    header, offset = content[:HEADER_BYTES], HEADER_BYTES
    while offset < len(content):
        segment = _read_segment(content, offset, cipher, header)
        yield segment
        offset = segment.end


def _read_segment(content: bytes, offset: int, cipher: AESGCM, header: bytes) -> Segment:
    fields = content[offset : offset + SEGMENT_HEADER_BYTES]
    if len(fields) < SEGMENT_HEADER_BYTES or _CRC.unpack_from(fields, _SEGMENT.size)[0] != crc32(fields[: -_CRC.size]):
        return Segment(offset, None, _next_segment(content, offset + 1))
    magic, count, nonce = _SEGMENT.unpack_from(fields)
    begin = offset + SEGMENT_HEADER_BYTES
    end = begin + count * SLOT_BYTES + TAG_BYTES
    if magic != SEGMENT_MAGIC or not 0 < count <= SEGMENT_SLOTS_MAX or end > len(content):
        return Segment(offset, None, _next_segment(content, offset + 1))
    try:
        opened = cipher.decrypt(nonce, content[begin:end], header + offset.to_bytes(8, "big"))
    except InvalidTag:
        return Segment(offset, None, end)
    return Segment(offset, tuple(Slot(*fields) for fields in _SLOT.iter_unpack(opened)), end)


def is_cut_short(tail: bytes) -> bool:
    """Tell whether a segment begins here whose end is missing."""
    fields = tail[:SEGMENT_HEADER_BYTES]
    if len(fields) < SEGMENT_HEADER_BYTES:
        return True
    if _CRC.unpack_from(fields, _SEGMENT.size)[0] != crc32(fields[: _SEGMENT.size]):
        return False
    count: int = _SEGMENT.unpack_from(fields)[1]
    return len(tail) < SEGMENT_HEADER_BYTES + count * SLOT_BYTES + TAG_BYTES


def _next_segment(content: bytes, offset: int) -> int:
    """Return where the next whole segment header stands, or the file's length."""
    while (offset := content.find(SEGMENT_MAGIC, offset)) >= 0:
        fields = content[offset : offset + SEGMENT_HEADER_BYTES]
        if len(fields) == SEGMENT_HEADER_BYTES and _CRC.unpack_from(fields, _SEGMENT.size)[0] == crc32(
            fields[: _SEGMENT.size]
        ):
            return offset
        offset += 1
    return len(content)
