# SPDX-License-Identifier: Apache-2.0
"""Private keys: Ed25519 to sign, X25519 to open seals, and the files that hold them.

Rules kept:
1. A key signs or opens seals, never both; both are 32 bytes that only this file touches.
2. No key is ever printed: `repr` names the public half alone.
3. A key file has mode 0600, appears whole or not at all, never replaces another, and is refused when anybody but its
   owner can read it.

Source: RFC 8032; RFC 7748; architecture.md "No private key is ever shared".
"""

import os
import secrets
import stat
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nacl import bindings

from vervain.ledger.primitives.hashing import actor_id
from vervain.sealing.errors import KeyFileRefused

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
KEY_FILE_BYTES_MAX: Final = 256  # one line: what it is, its kind, 44 characters of base64
KEY_FILE_MODE: Final = 0o600
_FIRST_WORD: Final = "vervain-key/v1"
_SIGNING: Final = "ed25519"
_KEM: Final = "x25519"


class SigningKey:
    """An Ed25519 private key, made from its 32-byte seed."""

    __slots__ = ("_expanded", "public_key")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == KEY_BYTES, "an Ed25519 seed has 32 bytes"
        self.public_key, self._expanded = bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a key from fresh chance."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32-byte seed, for the key file alone."""
        return self._expanded[:KEY_BYTES]

    @property
    def actor(self) -> bytes:
        """The 32-byte actor id of an actor whose first key this is."""
        return actor_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`. The caller puts the domain tag in front."""
        return bindings.crypto_sign(message, self._expanded)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public_key={self.public_key.hex()})"


class KemKey:
    """An X25519 private key that opens HPKE seals."""

    __slots__ = ("private", "public_key")

    def __init__(self, private: bytes) -> None:
        assert len(private) == KEY_BYTES, "an X25519 key has 32 bytes"
        self.private = X25519PrivateKey.from_private_bytes(private)
        self.public_key = self.private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "KemKey":
        """Return a key from fresh chance."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def __repr__(self) -> str:
        return f"KemKey(public_key={self.public_key.hex()})"


def write_key_file(path: Path, key: SigningKey | KemKey) -> None:
    """Keep a private key in a new file of mode 0600, durably; an existing file is never replaced.

    Raises: KeyFileRefused.
    """
    if isinstance(key, SigningKey):
        kind, private = _SIGNING, key.seed
    else:
        kind, private = _KEM, key.private.private_bytes_raw()
    write_private_file(path, f"{_FIRST_WORD} {kind} {b64encode(private).decode()}\n".encode())


def read_signing_key(path: Path) -> SigningKey:
    """Return the Ed25519 key of a key file.

    Raises: KeyFileRefused.
    """
    return SigningKey(_read(path, _SIGNING))


def read_kem_key(path: Path) -> KemKey:
    """Return the X25519 key of a key file.

    Raises: KeyFileRefused.
    """
    return KemKey(_read(path, _KEM))


def write_private_file(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file that only its owner can read; it appears whole or not at all, and durably.

    Args:
        path: Where; its folder must exist.
        content: The whole content.
        replace: Whether a file of that name may be replaced.

    Raises: KeyFileRefused.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, KEY_FILE_MODE)
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            os.replace(unfinished, path)
        else:
            os.link(unfinished, path)  # unlike a rename, this fails when the name is taken
        _sync_directory(path.parent)
    except FileExistsError:
        raise KeyFileRefused(
            f"{path.name} is already there",
            why="A private file is never replaced in silence",
            do="Choose another name, or move the old file away first.",
        ) from None
    except OSError as error:
        raise KeyFileRefused(
            f"Cannot write {path.name}",
            why=os.strerror(error.errno) if error.errno else "The system gave no reason",
            do="Check that the folder exists, has room and belongs to this user.",
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_private_file(path: Path, bytes_max: int) -> bytes:
    """Return the content of a file that only its owner can read.

    Raises: KeyFileRefused when it is missing, too long, no plain file, another user's, or readable by others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileRefused(
            f"Cannot open {path.name}",
            why=os.strerror(error.errno) if error.errno else "The system gave no reason",
            do="Check the path; a link is not followed.",
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o077 or about.st_uid != os.geteuid():
            raise KeyFileRefused(
                f"{path.name} can be read by others than its owner",
                why="It must be a plain file of this user with mode 0600",
                do=f"Run `chmod 600 {path.name}`; if others may have read it, replace the key.",
            )
        if about.st_size > bytes_max:
            raise KeyFileRefused(
                f"{path.name} is too long", why=f"{bytes_max} bytes are the most", do="Check the path."
            )
        return file.read(about.st_size)


def _read(path: Path, kind: str) -> bytes:
    words = read_private_file(path, KEY_FILE_BYTES_MAX).decode("ascii", "replace").split()
    try:
        private = b64decode(words[2], validate=True) if words[:2] == [_FIRST_WORD, kind] and len(words) == 3 else b""
    except ValueError:  # not base64, or not even ASCII
        private = b""
    if len(private) != KEY_BYTES:
        raise KeyFileRefused(
            f"{path.name} does not hold a key of kind {kind}",
            why=f"Its one line must be `{_FIRST_WORD} {kind} <base64 of 32 bytes>`",
            do="Check the path, or restore the file from its backup.",
        )
    return private


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
