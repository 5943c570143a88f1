# SPDX-License-Identifier: Apache-2.0
"""The few acts on files that durability rests on, behind one protocol, so that a test can lose or tear each of them.

Rules kept:
1. Every durable act of this floor outside LMDB is one of these calls; `FileLayer` and `OpenFile` are all of them.
2. What was written is durable only after `sync` of the file, and a new, renamed or removed name only after
   `sync_directory`.
3. A failed sync is never tried again on the same open file: the kernel may have dropped the pages and would then report
   success.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from vervain.storage.errors import Full, InUse, StorageError

DIRECTORY_ENTRIES_MAX: Final = 1_000_000  # names listed in one directory
FILE_MODE: Final = 0o600  # a data directory is its owner's business alone
DIRECTORY_MODE: Final = 0o700
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class OpenFile(Protocol):
    """One open file. Reads may come from any thread; the other calls from one."""

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end of the file."""
        ...

    def append(self, encoded: bytes) -> None:
        """Write all of `encoded` at the end. Raises: Full, StorageError; part of it may then be there."""
        ...

    def size(self) -> int:
        """Return the file's length in bytes."""
        ...

    def truncate(self, length: int) -> None:
        """Cut the file to `length` bytes."""
        ...

    def sync(self) -> None:
        """Return once contents and length are on the disk (fdatasync). Raises: StorageError, Full."""
        ...

    def close(self) -> None:
        """Close; syncs nothing."""
        ...


class FileLayer(Protocol):
    """Files by path."""

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        """Open for reading and appending; `create` makes a new empty file and refuses an existing one."""
        ...

    def list(self, directory: Path) -> tuple[str, ...]:
        """Return the names in a directory, sorted; none when there is no such directory."""
        ...

    def make_directory(self, directory: Path) -> None:
        """Make a directory and its parents, durably; an existing one is left alone."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in one step, replacing what had it."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file; none is no error."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Return once the directory's names are on the disk (fsync)."""
        ...


@contextmanager
def told_plainly(act: str, path: Path) -> Iterator[None]:
    """Translate the system's errors. The file's name is told, never what is in it."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise Full(
                f"There is no room left to {act} {path.name}",
                why="The disk or the quota is full",
                do="Free some room and start again; nothing that was acknowledged is lost.",
            ) from error
        raise StorageError(
            f"Cannot {act} {path.name}",
            why=os.strerror(error.errno) if error.errno else "The system gave no reason",
            do="Check that the disk is healthy and mounted and that the file belongs to this user; then start again.",
        ) from error


class _RealFile:
    """A file of the operating system."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def read(self, offset: int, length: int) -> bytes:
        with told_plainly("read", self._path):
            block = os.pread(self._descriptor, length, offset)
            if len(block) == length or not block:
                return block
            pieces = [block]
            missing = length - len(block)
            while missing and (block := os.pread(self._descriptor, missing, offset + length - missing)):
                pieces.append(block)
                missing -= len(block)
            return b"".join(pieces)

    def append(self, encoded: bytes) -> None:
        with told_plainly("write to", self._path):
            written = os.write(self._descriptor, encoded)
            while written < len(encoded):
                written += os.write(self._descriptor, memoryview(encoded)[written:])

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def truncate(self, length: int) -> None:
        with told_plainly("shorten", self._path):
            os.ftruncate(self._descriptor, length)

    def sync(self) -> None:
        with told_plainly("sync", self._path):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RealFiles:
    """The operating system's files."""

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        with told_plainly("create" if create else "open", path):
            return _RealFile(path, os.open(path, flags, FILE_MODE))

    def list(self, directory: Path) -> tuple[str, ...]:
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return ()
        if len(names) > DIRECTORY_ENTRIES_MAX:
            raise StorageError(
                f"{directory.name} holds too many files",
                why=f"{DIRECTORY_ENTRIES_MAX} are the most",
                do="Move away the files that do not belong to Vervain.",
            )
        return tuple(sorted(names))

    def make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        self.make_directory(directory.parent)
        with told_plainly("make the directory", directory):
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        self.sync_directory(directory.parent)

    def rename(self, source: Path, target: Path) -> None:
        with told_plainly("rename", source):
            os.rename(source, target)

    def remove(self, path: Path) -> None:
        with told_plainly("remove", path):
            path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        with told_plainly("sync the directory", directory):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Keep every other process of Vervain out of a data directory; the lock ends with this process, however it ends.

    Raises: InUse when another process holds it, StorageError.
    """
    with told_plainly("lock", directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                "Another process is using this data directory",
                why="Two writers would destroy it",
                do="Stop the other process, or give this one its own directory.",
            ) from None
        yield
    finally:
        os.close(descriptor)
