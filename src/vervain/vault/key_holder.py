# SPDX-License-Identifier: Apache-2.0
"""Who holds the key of the slots file, and can destroy it for good.

The seam for a TPM (NV index), an HSM (object handle) or a KMS (key id): such a holder implements `KeyHolder` and says
`hardware`. The one shipped keeps keys in files of mode 0600 and says `logical`: a copy of the file made before the
erasure, by a backup, a snapshot or the disk itself, would still open what it opened.

Source: architecture.md "Patients" (erasure destroys key slots).
"""

import secrets
from base64 import b64decode, b64encode
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from vervain.sealing.errors import KeyFileRefused
from vervain.sealing.keys import read_private_file, write_private_file
from vervain.vault.errors import KeyErased, Tampered
from vervain.vault.overwriting import overwrite_and_remove

KEY_ID_BYTES: Final = 16
FILE_KEY_BYTES: Final = 32
KEYS_MAX: Final = 10_000  # keys held at one time: the live one and one for each slots backup that has not lapsed
_FILE_BYTES_MAX: Final = 256
_FIRST_WORD: Final = "vervain-file-key/v1"


class ErasureKind(StrEnum):
    """What a destroyed key is worth."""

    LOGICAL = "logical"  # overwritten in a file; older blocks of the disk may remain
    HARDWARE = "hardware"  # destroyed inside a device or service that never gave it out in a form that lasts


class KeyHolder(Protocol):
    """Keeps file keys by id. Each call returns when it is done for good."""

    @property
    def erasure_kind(self) -> ErasureKind:
        """What `destroy` is worth."""
        ...

    def create(self) -> tuple[bytes, bytes]:
        """Make and keep a fresh key; return its 16-byte id and its 32 bytes."""
        ...

    def open(self, key_id: bytes) -> bytes:
        """Return a kept key. Raises: KeyErased, Tampered."""
        ...

    def destroy(self, key_id: bytes) -> None:
        """Destroy a key for good; an unknown one is no error."""
        ...

    def held(self) -> tuple[bytes, ...]:
        """Return the ids of all keys kept, sorted."""
        ...


class SoftwareKeyHolder:
    """Keeps each file key in a file of its own, mode 0600. Logical erasure only.

    Args:
        directory: Where; not inside the vault's folder, so that a copy of the vault does not hold its own keys.
        name: What the files' names begin with, so that several holders may share a folder.
    """

    def __init__(self, directory: Path, *, name: str = "slots") -> None:
        self._directory, self._name = directory, name

    @property
    def erasure_kind(self) -> ErasureKind:
        """A file can only be overwritten."""
        return ErasureKind.LOGICAL

    def create(self) -> tuple[bytes, bytes]:
        """Make and keep a fresh key.

        Raises: KeyFileRefused.
        """
        key_id, key = secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(FILE_KEY_BYTES)
        write_private_file(self._path(key_id), f"{_FIRST_WORD} {b64encode(key).decode()}\n".encode())
        return key_id, key

    def open(self, key_id: bytes) -> bytes:
        """Return a kept key.

        Raises: KeyErased, Tampered, KeyFileRefused when others can read it.
        """
        path = self._path(key_id)
        if not path.exists():
            raise KeyErased(
                "The key of this slots file was destroyed",
                why="It is an older copy, from before an erasure",
                do="Restore the slots from their own backup; erasures are replayed on it.",
            )
        words = read_private_file(path, _FILE_BYTES_MAX).decode("ascii", "replace").split()
        try:
            key = b64decode(words[1], validate=True) if len(words) == 2 and words[0] == _FIRST_WORD else b""
        except ValueError:  # not base64, or not even ASCII
            key = b""
        if len(key) != FILE_KEY_BYTES:
            raise Tampered(
                f"{path.name} holds no file key", why="Its line was altered", do="Restore it from its backup."
            )
        return key

    def destroy(self, key_id: bytes) -> None:
        """Overwrite and remove a key's file.

        Raises: StorageError.
        """
        overwrite_and_remove(self._path(key_id))

    def held(self) -> tuple[bytes, ...]:
        """Return the ids of all keys kept, sorted.

        Raises: KeyFileRefused when there are more than can be right.
        """
        names = sorted(path.stem for path in self._directory.glob(f"{self._name}-*.key"))
        if len(names) > KEYS_MAX:
            raise KeyFileRefused(
                "There are too many file keys", why=f"{KEYS_MAX} are the most", do="Let old slots backups lapse."
            )
        return tuple(bytes.fromhex(name.removeprefix(f"{self._name}-")) for name in names)

    def _path(self, key_id: bytes) -> Path:
        assert len(key_id) == KEY_ID_BYTES
        return self._directory / f"{self._name}-{key_id.hex()}.key"
