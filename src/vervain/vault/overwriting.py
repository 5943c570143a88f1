# SPDX-License-Identifier: Apache-2.0
"""Removing a file that held a key: overwrite, sync, then unlink.

This is all that a program can do. A solid-state disk, a copy-on-write file system or a snapshot may keep the old
blocks; that is why erasure without a TPM, HSM or KMS is only ever called logical.
"""

import os
from pathlib import Path
from typing import Final

from vervain.storage.errors import StorageError

_BLOCK: Final = bytes(2**20)


def overwrite_and_remove(path: Path) -> None:
    """Overwrite a file's content with zeros, durably, then remove its name, durably; none is no error.

    Raises: StorageError.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot(path, error) from error
    try:
        overwrite(descriptor)
        os.unlink(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _cannot(path, error) from error
    finally:
        os.close(descriptor)


def overwrite(descriptor: int) -> None:
    """Overwrite an open file's content with zeros and sync it."""
    size, offset = os.fstat(descriptor).st_size, 0
    while offset < size:
        offset += os.pwrite(descriptor, _BLOCK[: size - offset], offset)
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Cannot overwrite and remove {path.name}",
        why=os.strerror(error.errno) if error.errno else "The system gave no reason",
        do="The erasure is not finished: mend the disk and start again, which goes on with it.",
    )
