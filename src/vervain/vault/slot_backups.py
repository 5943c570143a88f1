# SPDX-License-Identifier: Apache-2.0
"""Encrypted copies of the slots, each under a key of its own, kept for a stated time and then destroyed.

A backup made before an erasure still holds the erased slots until it lapses: an erasure is complete when the last such
backup has lapsed, and its certificate says when that is. A restored backup does not serve before the erasures list was
replayed on it. The backups' keys belong into another holder, best on another machine, than the live file's.

Source: architecture.md "Patients" (slots have their own encrypted backup with a stated retention).
"""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.sealing.keys import read_private_file
from vervain.storage.errors import Corrupt
from vervain.vault.errors import KeyErased, VaultError
from vervain.vault.key_holder import KeyHolder
from vervain.vault.overwriting import overwrite_and_remove
from vervain.vault.slot_format import FILE_BYTES_MAX, Slot, parse_file_header, read_segments
from vervain.vault.slots import Slots, write_slot_file

RETENTION_SECONDS_MAX: Final = 366 * 86_400  # a year: longer would make "erased" a word without meaning
BACKUPS_MAX: Final = 1_000


class SlotBackups:
    """The backups in one folder.

    Args:
        directory: Where the files stand; must exist.
        holder: Keeps the backups' keys, and nothing else.
        retention_seconds: How long after it was made a backup lapses.
    """

    def __init__(self, directory: Path, holder: KeyHolder, *, retention_seconds: int) -> None:
        assert 0 < retention_seconds <= RETENTION_SECONDS_MAX
        self._directory, self._holder, self.retention_seconds = directory, holder, retention_seconds

    def make(self, slots: Slots, *, now: int) -> Path:
        """Write a backup of all live slots; return its file.

        Raises: KeyFileRefused, VaultError when there are too many.
        """
        files = self._files()
        if len(files) >= BACKUPS_MAX:
            raise VaultError(
                "There are too many slots backups", why=f"{BACKUPS_MAX} are the most", do="Let some lapse."
            )
        same_second = sum(file.name.startswith(f"slots-{now:012d}") for file in files)
        path = self._directory / f"slots-{now:012d}{f'-{same_second:03d}' if same_second else ''}.backup"
        write_slot_file(
            path,
            [*slots.older(), *slots.live()],
            self._holder,
            erasures_applied=slots.erasures_applied,
            next_number=slots.next_number,
            lapses_at=now + self.retention_seconds,
        )
        return path

    def lapse(self, *, now: int) -> int:
        """Destroy every backup whose time is over, its key first; return how many.

        Raises: StorageError.
        """
        lapsed = 0
        for path in self._files():
            header = parse_file_header(read_private_file(path, FILE_BYTES_MAX))
            if header is None:
                raise Corrupt(path, 0, "The backup's header is altered, so its last second is not known")
            if header.lapses_at <= now:
                self._holder.destroy(header.key_id)
                overwrite_and_remove(path)
                lapsed += 1
        return lapsed

    def erasure_complete_at(self, *, erased_at: int) -> int:
        """Return the second at which no backup made before `erased_at` exists any more."""
        return erased_at + self.retention_seconds if self._files() else erased_at

    def restore(self, backup: Path, target: Path, holder: KeyHolder, *, now: int) -> None:
        """Write a backup as a slots file under a fresh key of `holder`; opening the vault replays erasures.

        Raises: Corrupt, KeyErased when it has lapsed, KeyFileRefused when `target` exists.
        """
        content = read_private_file(backup, FILE_BYTES_MAX)
        header = parse_file_header(content)
        if header is None:
            raise Corrupt(backup, 0, "The backup's header is altered")
        if header.lapses_at <= now:
            raise KeyErased("The slots backup has lapsed", why="Its stated time is over", do="Use a newer one.")
        slots: list[Slot] = []
        for segment in read_segments(content, cipher=AESGCM(self._holder.open(header.key_id))):
            if segment.slots is None:
                raise Corrupt(backup, segment.offset, "The backup's slots are altered")
            slots += segment.slots
        write_slot_file(target, slots, holder, erasures_applied=header.erasures_applied, next_number=header.next_number)

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("slots-*.backup"))
