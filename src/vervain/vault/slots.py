# SPDX-License-Identifier: Apache-2.0
"""The key slots: one 32-byte key for each relationship or organisation, in a file outside every database.

Everything that opens a document (its key, its salt, its names) lies in the index under its slot's key, so destroying
a slot makes all of that unreadable wherever copies of the index, its freed pages or its backups may lie.

Rules kept:
1. A new slot is appended and synced: the cost is that of the new slots, however many there are.
2. Erasing writes the remaining slots into a new file under a new file key, syncs it, puts it in the old one's place,
   overwrites the old file, and destroys the old file key. At every moment of a crash the next opening finishes it.
3. Slot numbers are never used again. Slot 0 holds the index key.

Source: architecture.md "Patients" (erasure); decision 0003.
"""

import os
import secrets
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.sealing.keys import read_private_file, write_private_file
from vervain.storage.errors import Corrupt, StorageError
from vervain.storage.files import told_plainly
from vervain.vault.errors import KeyErased, VaultError
from vervain.vault.key_holder import KeyHolder
from vervain.vault.overwriting import overwrite_and_remove
from vervain.vault.slot_format import (
    FILE_BYTES_MAX,
    SLOT_KEY_BYTES,
    SLOTS_MAX,
    Slot,
    SlotFileHeader,
    encode_segments,
    is_cut_short,
    parse_file_header,
    read_segments,
)

INDEX_SLOT: Final = 0
_NOBODY: Final = bytes(32)  # subject of the index slot
_UNWRITTEN: Final = bytes(64)  # a crash leaves blocks of zeros; sealed bytes never hold so many


class Slots:
    """The slots file, opened.

    Attributes:
        erasures_applied: How many entries of the erasures list this file knows to be carried out.
    """

    def __init__(self, path: Path, holder: KeyHolder, *, is_new: bool) -> None:
        """Open the slots file.

        Args:
            path: The file.
            holder: Keeps its key, and no other: every key but the live one is destroyed on opening.
            is_new: Whether one may be begun when there is none.

        Raises: Corrupt, KeyErased, KeyFileRefused, VaultError, StorageError.
        """
        self._path, self._holder = path, holder
        self._outgoing = path.with_name(f"{path.name}.old")
        self._slots: dict[int, Slot] = {}
        self._older: dict[tuple[int, int], Slot] = {}
        if not path.exists():
            if not is_new:
                raise VaultError(
                    f"{path.name} is missing",
                    why="Without it no document can be read, and a new one would hide that",
                    do="Restore the slots from their own backup.",
                )
            self._begin()
        self.finish_erasing()

    def add(self, subjects: Sequence[bytes]) -> tuple[Slot, ...]:
        """Make a fresh slot for each subject, durably; return them in order.

        Raises: Full, StorageError, VaultError when there are too many.
        """
        if self._next_number + len(subjects) > SLOTS_MAX:
            raise VaultError(
                "There is no room for more slots", why=f"{SLOTS_MAX} are the most", do="Open another vault."
            )
        added = tuple(
            Slot(self._next_number + index, 0, subject, secrets.token_bytes(SLOT_KEY_BYTES))
            for index, subject in enumerate(subjects)
        )
        self._append(added)
        return added

    def find(self, number: int) -> Slot | None:
        """Return a slot in its newest generation, or None when it was erased or never was."""
        return self._slots.get(number)

    def require(self, number: int, generation: int) -> Slot:
        """Return a slot of a generation.

        Raises: KeyErased.
        """
        slot = self._slots.get(number)
        if slot is not None and slot.generation != generation:
            slot = self._older.get((number, generation))
        if slot is None:
            raise KeyErased(
                "The key of this document was destroyed",
                why="Its relationship, or the document itself, was erased",
                do="Nothing can bring it back; the erasure certificate says when and by whom.",
            )
        return slot

    def rekey(self, number: int) -> Slot:
        """Give a slot a fresh key beside the old one, durably; `erase` then destroys the old.

        Called again after a crash in between, it returns the fresh key it had made.
        """
        slot = self._slots[number]
        if any(older == number for older, _ in self._older):
            return slot
        fresh = Slot(number, slot.generation + 1, slot.subject, secrets.token_bytes(SLOT_KEY_BYTES))
        self._append((fresh,))
        return fresh

    def erase(self, numbers: Collection[int], *, erasures_applied: int) -> None:
        """Destroy slots and every older generation for good, in one rewriting.

        Args:
            numbers: Slots to destroy; those already gone are no error.
            erasures_applied: How many entries of the erasures list are carried out with this.

        Raises: StorageError; then `finish_erasing`, or the next opening, finishes it.
        """
        assert INDEX_SLOT not in numbers
        remaining = {number: slot for number, slot in self._slots.items() if number not in numbers}
        self._replace_file(remaining.values(), erasures_applied, self._next_number)
        self.finish_erasing()

    def finish_erasing(self) -> None:
        """Read the file anew and finish an erasure that broke off, as opening does.

        Raises: Corrupt, KeyErased, KeyFileRefused, StorageError.
        """
        self._read()
        self._finish_erasing()

    def has(self, number: int, generation: int) -> bool:
        """Tell whether a slot's key of a generation is here."""
        slot = self._slots.get(number)
        return slot is not None and (slot.generation == generation or (number, generation) in self._older)

    def live(self) -> Iterable[Slot]:
        """Return every slot in its newest generation."""
        return self._slots.values()

    def older(self) -> Iterable[Slot]:
        """Return the older generations whose destruction is not finished."""
        return self._older.values()

    @property
    def next_number(self) -> int:
        """Number of the next new slot."""
        return self._next_number

    @property
    def index_key(self) -> bytes:
        """The 32-byte key under which the index computes its look-up tokens."""
        return self._slots[INDEX_SLOT].key

    # The file

    def _begin(self) -> None:
        index = Slot(INDEX_SLOT, 0, _NOBODY, secrets.token_bytes(SLOT_KEY_BYTES))
        write_slot_file(self._path, [index], self._holder, erasures_applied=0, next_number=1)

    def _read(self) -> None:
        content = read_private_file(self._path, FILE_BYTES_MAX)
        header = parse_file_header(content)
        if header is None:
            raise Corrupt(self._path, 0, "The slots file's header is altered")
        self._key_id, self._header = header.key_id, header.encode()
        self.erasures_applied = header.erasures_applied
        self._cipher = AESGCM(self._holder.open(header.key_id))
        self._length = len(content)
        segments = list(read_segments(content, cipher=self._cipher))
        if segments and segments[-1].slots is None and _is_torn(content[segments[-1].offset :]):
            self._cut(segments.pop().offset)
        slots: dict[int, Slot] = {}
        older: dict[tuple[int, int], Slot] = {}
        for segment in segments:
            if segment.slots is None:
                raise Corrupt(self._path, segment.offset, "Key slots are altered; documents under them cannot be read")
            for slot in segment.slots:
                _remember(slot, slots, older)
        self._next_number = max(header.next_number, max(slots, default=0) + 1)
        self._slots, self._older = slots, older  # one step each: readers in other threads see the former or the new

    def _cut(self, length: int) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._length = length

    def _append(self, slots: Sequence[Slot]) -> None:
        sealed = encode_segments(slots, cipher=self._cipher, header=self._header, offset=self._length)
        try:
            with told_plainly("write to", self._path):
                self._write_at_end(sealed)
        except StorageError:
            self._cut(self._length)  # what was written of it must not stand behind the next, perhaps shorter, segment
            raise
        self._length += len(sealed)
        for slot in slots:
            _remember(slot, self._slots, self._older)
            self._next_number = max(self._next_number, slot.number + 1)

    def _write_at_end(self, sealed: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            written = 0
            while written < len(sealed):
                written += os.pwrite(descriptor, sealed[written:], self._length + written)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _replace_file(self, slots: Iterable[Slot], applied: int, next_number: int) -> None:
        """Put a new file, under a new key, in the old one's place; the old keeps another name until overwritten."""
        self._outgoing.unlink(missing_ok=True)
        os.link(self._path, self._outgoing)
        write_slot_file(
            self._path, slots, self._holder, erasures_applied=applied, next_number=next_number, replace=True
        )

    def _finish_erasing(self) -> None:
        """Overwrite the outgoing file, and destroy every key but the live one."""
        if self._outgoing.exists():
            if self._outgoing.samefile(self._path):
                self._outgoing.unlink()  # the crash came before the new file: this is the live one's other name
            else:
                overwrite_and_remove(self._outgoing)
        for unfinished in self._path.parent.glob(f".{self._path.name}.*"):
            overwrite_and_remove(unfinished)
        for key_id in self._holder.held():
            if key_id != self._key_id:
                self._holder.destroy(key_id)


def _remember(slot: Slot, slots: dict[int, Slot], older: dict[tuple[int, int], Slot]) -> None:
    former = slots.get(slot.number)
    if former is not None:
        older[slot.number, former.generation] = former
    slots[slot.number] = slot


def _is_torn(tail: bytes) -> bool:
    """Tell whether the last segment was torn by a crash, and so never acknowledged: cut short, or blocks of zeros."""
    return is_cut_short(tail) or _UNWRITTEN in tail


def write_slot_file(
    path: Path,
    slots: Iterable[Slot],
    holder: KeyHolder,
    *,
    erasures_applied: int,
    next_number: int,
    lapses_at: int = 0,
    replace: bool = False,
) -> bytes:
    """Write a slots file under a fresh key of `holder`, durably; return the key's id.

    Raises: KeyFileRefused, StorageError.
    """
    key_id, key = holder.create()
    header = SlotFileHeader(
        key_id=key_id, erasures_applied=erasures_applied, next_number=next_number, lapses_at=lapses_at
    ).encode()
    sealed = encode_segments(slots, cipher=AESGCM(key), header=header, offset=len(header))
    write_private_file(path, header + sealed, replace=replace)
    return key_id
