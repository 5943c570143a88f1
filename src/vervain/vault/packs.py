# SPDX-License-Identifier: Apache-2.0
"""Append-only files of ciphertexts. All integers are big-endian.

```
pack     magic 8 | version uint32 | pack uint32 | digest before 32 | CRC-32 uint32, then parts
part     magic 4 | body length uint32 | digest 32 | CRC-32 of these 40 bytes uint32 | body
digest   SHA-256(digest before || body)
```
Rules kept:
1. A batch is one write and one sync; only then may the index name its parts. What stands behind the index's end was
   never acknowledged and is cut away on opening.
2. A part is never changed. Erasing destroys its key, so backups of packs need not be chased.
3. The digests chain every byte to the end that the index keeps. What opens a part is its own seal, not this chain.
4. A ciphertext longer than a part is kept in several.
"""

import struct
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

import msgspec

from vervain.storage.errors import Corrupt, StorageError
from vervain.storage.files import FileLayer, OpenFile, RealFiles
from vervain.vault.errors import BlobMissing, Tampered

FORMAT_VERSION: Final = 1
PACK_BYTES_MAX: Final = 256 * 2**20  # a pack is closed when it has reached this
PART_BYTES_MAX: Final = 16 * 2**20
BATCH_BYTES_MAX: Final = 1280 * 2**20  # one batch sealed: what the vault takes at once, with headers and tags
PACKS_MAX: Final = 99_999_999
OPEN_PACKS_MAX: Final = 64  # file descriptors kept

PACK_MAGIC: Final = b"VVPACK\x00\x01"
PART_MAGIC: Final = b"\xf0PRT"
_PACK: Final = struct.Struct(">8sII32s")
_PART: Final = struct.Struct(">4sI32s")
_CRC: Final = struct.Struct(">I")
PACK_HEADER_BYTES: Final = _PACK.size + _CRC.size
PART_HEADER_BYTES: Final = _PART.size + _CRC.size
_DIGEST_AT: Final = 8


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a part of a ciphertext stands: pack, offset of its header, length of its body."""

    pack: int
    offset: int
    length: int


class PackEnd(msgspec.Struct, frozen=True, array_like=True):
    """The end of all packs: newest pack, its length, its newest digest. The index keeps it in one step with rows."""

    pack: int = 0
    length: int = 0
    digest: bytes = bytes(32)


class Packs:
    """The pack files of one vault. One writer; reads may come from any thread.

    Attributes:
        end: The newest durable end.
    """

    def __init__(self, directory: Path, end: PackEnd, *, files: FileLayer | None = None) -> None:
        """Open the packs up to `end` and cut away what was never acknowledged.

        Raises: Corrupt when the packs end before the index says so, or far behind it.
        """
        self._files = RealFiles() if files is None else files
        self._directory, self.end = directory, end
        self._lock = Lock()
        self._open: OrderedDict[int, OpenFile] = OrderedDict()
        self._usable = True
        self._files.make_directory(directory)
        self._cut_unacknowledged()

    def append(self, ciphertexts: Sequence[bytes]) -> tuple[tuple[Place, ...], ...]:
        """Write a batch durably; return where each ciphertext stands, in order. The caller keeps `end` afterwards.

        Raises: Full, StorageError; then nothing of the batch counts.
        """
        if not self._usable:
            raise StorageError(
                "The packs cannot be written to since a write failed",
                why="What is on the disk is only known after opening them again",
                do="Mend the disk, then start the node again.",
            )
        try:
            return self._append(ciphertexts)
        except StorageError:
            self._usable = False
            raise

    def read(self, places: Sequence[Place]) -> bytes:
        """Return a ciphertext.

        Raises: BlobMissing, Tampered.
        """
        with self._lock:
            return b"".join([self._read_part(place) for place in places])

    def cut_back(self, end: PackEnd) -> None:
        """Forget what was appended after `end`, because the index could not take it.

        Raises: StorageError.
        """
        self.close()
        self.end = end
        self._cut_unacknowledged()

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()

    def _append(self, ciphertexts: Sequence[bytes]) -> tuple[tuple[Place, ...], ...]:
        end, places = self.end, []
        pending: list[bytes] = []
        for ciphertext in ciphertexts:
            parts = []
            for begin in range(0, max(len(ciphertext), 1), PART_BYTES_MAX):
                if end.pack == 0 or end.length >= PACK_BYTES_MAX:
                    self._write(end.pack, pending)
                    end, pending = self._new_pack(end), []
                body = ciphertext[begin : begin + PART_BYTES_MAX]
                digest = sha256(end.digest + body).digest()
                header = _PART.pack(PART_MAGIC, len(body), digest)
                pending += [header, _CRC.pack(crc32(header)), body]
                parts.append(Place(end.pack, end.length, len(body)))
                end = PackEnd(end.pack, end.length + PART_HEADER_BYTES + len(body), digest)
            places.append(tuple(parts))
        self._write(end.pack, pending)
        self.end = end
        return tuple(places)

    def _write(self, pack: int, pending: list[bytes]) -> None:
        if pending:
            with self._lock:
                file = self._file(pack)
            file.append(b"".join(pending))
            file.sync()

    def _new_pack(self, end: PackEnd) -> PackEnd:
        number = end.pack + 1
        assert number <= PACKS_MAX
        header = _PACK.pack(PACK_MAGIC, FORMAT_VERSION, number, end.digest)
        file = self._files.open(self._directory / pack_name(number), create=True)
        try:
            file.append(header + _CRC.pack(crc32(header)))
            file.sync()
        finally:
            file.close()
        self._files.sync_directory(self._directory)
        return PackEnd(number, PACK_HEADER_BYTES, end.digest)

    def _read_part(self, place: Place) -> bytes:
        try:
            part = self._file(place.pack).read(place.offset, PART_HEADER_BYTES + place.length)
        except StorageError as error:
            raise _missing(place) from error
        if len(part) != PART_HEADER_BYTES + place.length:
            raise _missing(place)
        if parse_part(part) != (place.length, part[_DIGEST_AT : _DIGEST_AT + 32]):
            raise Tampered(
                f"Pack {place.pack} is damaged at byte {place.offset}",
                why="The part's header is not the one that was written",
                do="Run `vervain audit`, then restore this pack from a backup.",
            )
        return part[PART_HEADER_BYTES:]

    def _file(self, pack: int) -> OpenFile:
        file = self._open.get(pack)
        if file is None:
            file = self._files.open(self._directory / pack_name(pack))
            self._open[pack] = file
            if len(self._open) > OPEN_PACKS_MAX:
                _, oldest = self._open.popitem(last=False)
                oldest.close()
        self._open.move_to_end(pack)
        return file

    def _cut_unacknowledged(self) -> None:
        numbers = pack_numbers(self._files, self._directory)
        if self.end.pack and self.end.pack not in numbers:
            raise Corrupt(self._directory / pack_name(self.end.pack), 0, "The pack is missing")
        beyond = [number for number in numbers if number > self.end.pack]
        sizes = {number: self._size(number) for number in [*beyond, self.end.pack] if number}
        surplus = sum(sizes.values()) - self.end.length
        if sizes.get(self.end.pack, 0) < self.end.length:
            raise Corrupt(
                self._directory / pack_name(self.end.pack), sizes[self.end.pack], "The pack ends too soon for its index"
            )
        if surplus > BATCH_BYTES_MAX:
            raise Corrupt(
                self._directory / pack_name(self.end.pack),
                self.end.length,
                "The packs go on far beyond the index: it is older than they are and must be restored with them",
            )
        for number in beyond:
            self._files.remove(self._directory / pack_name(number))
        if beyond:
            self._files.sync_directory(self._directory)
        if sizes.get(self.end.pack, 0) > self.end.length:
            self._file(self.end.pack).truncate(self.end.length)
            self._file(self.end.pack).sync()

    def _size(self, number: int) -> int:
        file = self._files.open(self._directory / pack_name(number))
        try:
            return file.size()
        finally:
            file.close()


def pack_numbers(files: FileLayer, directory: Path) -> list[int]:
    """Return the numbers of the packs in a folder, sorted."""
    names = [name for name in files.list(directory) if name.endswith(".pack") and name[:-5].isdigit()]
    return sorted(int(name[:-5]) for name in names)


def pack_name(number: int) -> str:
    """Return a pack's file name."""
    return f"{number:08d}.pack"


def parse_pack(header: bytes) -> tuple[int, bytes] | None:
    """Return (pack, digest before) of a pack's header, or None when it is not whole."""
    if len(header) < PACK_HEADER_BYTES or _CRC.unpack_from(header, _PACK.size)[0] != crc32(header[: _PACK.size]):
        return None
    magic, version, number, digest = _PACK.unpack_from(header)
    return (number, digest) if (magic, version) == (PACK_MAGIC, FORMAT_VERSION) else None


def parse_part(part: bytes) -> tuple[int, bytes] | None:
    """Return (body length, digest) of a part's header, or None when it is not whole."""
    if len(part) < PART_HEADER_BYTES or _CRC.unpack_from(part, _PART.size)[0] != crc32(part[: _PART.size]):
        return None
    magic, length, digest = _PART.unpack_from(part)
    return (length, digest) if magic == PART_MAGIC and length <= PART_BYTES_MAX else None


def _missing(place: Place) -> BlobMissing:
    return BlobMissing(
        f"Pack {place.pack} does not hold what its index names at byte {place.offset}",
        why="The pack is missing or ends too soon",
        do="Restore the pack from a backup; run `vervain audit`.",
    )
