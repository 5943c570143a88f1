# SPDX-License-Identifier: Apache-2.0
"""A file layer over a simulated disk that can lose power at every act, and loses or tears whatever was not synced.

What is assumed of a disk, at its worst: an unsynced append may be there whole, in part, in any of its 512-byte sectors,
or not at all, and the file's length may have grown over bytes that never arrived (they read as zero); an unsynced cut
may not have happened; each unsynced change of a name may be missing. What was synced is there.

Every changing act is a *point*. `crash_at` stops the program in the middle of that point; `after_power_loss` then is
what the disk holds, and `after_kill` what a killed process (whose unsynced writes the system has) leaves behind.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vervain.storage.errors import StorageError

SECTOR_BYTES: Final = 512


class Crash(BaseException):
    """The program stops here. Not an Exception: nothing in the program may catch it."""


class _Inode:
    """A file's contents: as the program sees them, as the disk surely has them, and the writes in between."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable, self.seen = durable, bytearray(durable)
        self.unsynced = False
        self.floor = len(durable)  # shortest length since the last sync

    def surviving(self, chance: random.Random) -> bytes:
        """Return what one power loss leaves."""
        seen = bytes(self.seen)
        fate = chance.choice(("lost", "kept", "short", "sectors", "zeros"))
        if not self.unsynced or fate == "kept":
            return seen
        if fate == "lost":
            return self.durable
        kept = min(self.floor, len(self.durable))  # bytes below were neither cut nor appended
        end = len(seen) if fate != "short" else chance.randint(min(kept, len(seen)), len(seen))
        content = bytearray(self.durable[:end].ljust(end, b"\0"))  # where nothing new arrived, the old bytes stand
        for start in range(kept, end, SECTOR_BYTES):
            stop = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
            if fate == "short" or (fate == "sectors" and chance.random() < 0.5):
                content[start:stop] = seen[start:stop]
        return bytes(content)


class FaultyFiles:
    """`FileLayer` over a simulated disk.

    Args:
        crash_at: The point, counted from 0, in whose middle the program stops; None never.
        skip: Points, by label, that silently do nothing: a planted fault.
        fail: Points, by label, that raise a StorageError after writing half: a full or failing disk.
    """

    def __init__(
        self,
        *,
        crash_at: int | None = None,
        skip: Callable[[str], bool] = lambda label: False,
        fail: Callable[[str], StorageError | None] = lambda label: None,
        seed: int = 0,
    ) -> None:
        self.crash_at, self.skip, self.fail = crash_at, skip, fail
        self.points: list[str] = []
        self._chance = random.Random(seed)
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._name_changes: list[tuple[Path, _Inode | None]] = []

    # What the disk holds afterwards

    def after_power_loss(self, seed: int) -> "FaultyFiles":
        """Return the disk as a restarted machine finds it."""
        chance = random.Random(seed)
        names = dict(self._durable_names)
        all_or_some = chance.choice((0.0, 0.5, 1.0))
        for path, inode in self._name_changes:
            if chance.random() < all_or_some:
                _rename(names, path, inode)
        survivor = FaultyFiles(skip=self.skip, fail=self.fail, seed=seed)
        for path, inode in sorted(names.items()):
            survivor._names[path] = _Inode(inode.surviving(chance))
        survivor._durable_names = dict(survivor._names)
        return survivor

    def after_kill(self) -> "FaultyFiles":
        """Return the disk as the next process finds it: everything written is seen, nothing more is synced."""
        survivor = FaultyFiles(skip=self.skip, fail=self.fail)
        survivor._names, survivor._durable_names = self._names, self._durable_names
        survivor._name_changes = self._name_changes
        return survivor

    def flip(self, path: Path, offset: int, mask: int = 0xFF) -> None:
        """Damage one byte that was durable."""
        inode = self._names[path]
        inode.seen[offset] ^= mask
        inode.durable = bytes(inode.seen)

    # FileLayer

    def open(self, path: Path, *, create: bool = False) -> "_FaultyFile":
        if create == (path in self._names):
            raise StorageError(f"{path.name} is {'already' if create else 'not'} there")
        if create and self._happens("create", path):
            self._names[path] = _Inode()
            self._name_changes.append((path, self._names[path]))
        return _FaultyFile(self, path, self._names.get(path, _Inode()))

    def list(self, directory: Path) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self._names if path.parent == directory))

    def make_directory(self, directory: Path) -> None:
        """Directories are simply there."""

    def rename(self, source: Path, target: Path) -> None:
        if self._happens("rename", source):
            inode = self._names.pop(source)
            self._names[target] = inode
            self._name_changes += [(source, None), (target, inode)]

    def remove(self, path: Path) -> None:
        if path in self._names and self._happens("remove", path):
            del self._names[path]
            self._name_changes.append((path, None))

    def sync_directory(self, directory: Path) -> None:
        if self._happens("sync_directory", directory):
            for path, inode in self._name_changes:
                if path.parent == directory:
                    _rename(self._durable_names, path, inode)
            self._name_changes = [change for change in self._name_changes if change[0].parent != directory]

    def _happens(self, act: str, path: Path, half: Callable[[], None] = lambda: None) -> bool:
        """Count the point; crash, fail or leave out when asked to. `half` is done before a crash or failure."""
        label = f"{act} {path.suffix or path.name} in {_caller()}"
        self.points.append(label)
        if self.crash_at == len(self.points) - 1:
            if self._chance.random() < 0.7:
                half()
            raise Crash(label)
        error = self.fail(label)
        if error is not None:
            half()
            raise error
        return not self.skip(label)


class _FaultyFile:
    """`OpenFile` over a simulated inode."""

    def __init__(self, disk: FaultyFiles, path: Path, inode: _Inode) -> None:
        self._disk, self._path, self._inode = disk, path, inode

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._inode.seen[offset : offset + length])

    def append(self, encoded: bytes) -> None:
        if self._disk._happens("append", self._path, lambda: self._write(encoded[: len(encoded) // 2])):
            self._write(encoded)

    def _write(self, encoded: bytes) -> None:
        self._inode.seen += encoded
        self._inode.unsynced = True

    def size(self) -> int:
        return len(self._inode.seen)

    def truncate(self, length: int) -> None:
        if self._disk._happens("truncate", self._path):
            del self._inode.seen[length:]
            self._inode.unsynced = True
            self._inode.floor = min(self._inode.floor, length)

    def sync(self) -> None:
        if self._disk._happens("sync", self._path):
            self._inode.durable = bytes(self._inode.seen)
            self._inode.unsynced = False
            self._inode.floor = len(self._inode.seen)

    def close(self) -> None:
        """Closing syncs nothing."""


def _rename(names: dict[Path, _Inode], path: Path, inode: _Inode | None) -> None:
    """Carry out one change of a name."""
    if inode is None:
        names.pop(path, None)
    else:
        names[path] = inode


def _caller() -> str:
    """Return the name of the program's function that did the act: the first one outside this file."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_name
