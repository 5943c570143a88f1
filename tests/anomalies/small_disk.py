# SPDX-License-Identifier: Apache-2.0
"""A disk that is soon full, and room made on it again.

A small tmpfs where this process may mount one (real ENOSPC for every file, LMDB's and SQLite's too); elsewhere a limit
on the length of every file that this process writes, which fails the same calls with EFBIG.
"""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DISK_BYTES: Final = 24 * 2**20
PAGE_BYTES: Final = 4_096


class SmallDisk:
    """A folder with little room.

    Attributes:
        folder: Where to write.
        is_real: Whether it is a file system of its own.
    """

    def __init__(self, folder: Path, *, is_real: bool) -> None:
        self.folder, self.is_real = folder, is_real
        self._filler = folder / "filler"
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, left_bytes: int = 0) -> None:
        """Use up all room but `left_bytes`; without a disk of its own: let no file grow beyond the longest there is."""
        if not self.is_real:
            longest = max(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
            resource.setrlimit(resource.RLIMIT_FSIZE, (longest + left_bytes, self._hard))
            return
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE_BYTES)):
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - left_bytes))

    def make_room(self) -> None:
        """Give the room back."""
        if not self.is_real:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._soft, self._hard))
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int = DISK_BYTES) -> Iterator[SmallDisk]:
    """Yield a disk of `size_bytes` mounted at a new folder, or a folder with a limit on its files."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(folder)]
    try:
        is_real = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        is_real = False
    disk = SmallDisk(folder, is_real=is_real)
    try:
        yield disk
    finally:
        disk.make_room()
        if is_real:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
