# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on disk, in plain words: a file is damaged, a disk is full, a directory may not be used now."""

from pathlib import Path
from typing import Final

from vervain.ledger.primitives.errors import VervainError

_RESTORE: Final = "Run `vervain audit`, keep a copy of the directory, and restore from a backup or another member."


class StorageError(VervainError):
    """The data directory cannot be used as asked."""


class Corrupt(StorageError):
    """A file does not hold what was written to it.

    Attributes:
        file: The damaged file.
        offset: Byte where the damage, or the smallest part that holds it, begins.
        damage: What is wrong there.
    """

    def __init__(self, file: Path | str, offset: int, damage: str) -> None:
        super().__init__(f"{Path(file).name} is damaged at byte {offset}", why=damage, do=_RESTORE)
        self.file, self.offset, self.damage = str(file), offset, damage


class Full(StorageError):
    """The disk, or the room set aside for the state, is full. Nothing of the failed write remains."""


class InUse(StorageError):
    """Another process holds the data directory: nothing is wrong with it, only not now."""
