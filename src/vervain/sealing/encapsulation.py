# SPDX-License-Identifier: Apache-2.0
"""Many HPKE messages to one key under one encapsulation, each with an `info` of its own.

HPKE's cost is its two X25519 operations; what differs between the wraps of one page is `info` alone. So a sender draws
one fresh ephemeral key for one recipient, and every message gets key and nonce from a key schedule of its own:
```
shared secret = KEM(ephemeral key, recipient)                          once
key, nonce    = KeySchedule(base mode, shared secret, info)            for each message, sealed with sequence number 0
```
Rules kept:
1. A message is a plain HPKE message: any implementation of RFC 9180 opens it by itself, and ours opens any.
2. No key and nonce are used twice: an encapsulation takes no `info` a second time. Keys of different `info` come from
   HKDF-Expand under different inputs, so one says nothing of another.
3. An encapsulation has one recipient, is drawn here, and ends with its page; nobody can hand in an ephemeral key.

Source: RFC 9180 sections 4.1 (DHKEM), 5.1 (key schedule), 5.2 (one encapsulation, many messages); decision 0009.
"""

from hmac import digest
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import KEY_BYTES, KemKey

ENC_BYTES: Final = 32
MESSAGES_MAX: Final = 10_000  # under one encapsulation; a page has a tenth
_KEM: Final = b"KEM\x00\x20"  # DHKEM(X25519, HKDF-SHA256)
_SUITE: Final = b"HPKE\x00\x20\x00\x01\x00\x02"  # with HKDF-SHA256 and AES-256-GCM
_BASE_MODE: Final = b"\x00"
_NONCE_BYTES: Final = 12


class Encapsulation:
    """One fresh encapsulation to one recipient, for messages with different `info`.

    Args:
        recipient: 32-byte X25519 public key.

    Raises: SealingError when the key is of small order or has the wrong length.
    """

    def __init__(self, recipient: bytes) -> None:
        ephemeral = X25519PrivateKey.generate()
        self._enc = ephemeral.public_key().public_bytes_raw()
        try:
            if len(recipient) != KEY_BYTES:
                raise ValueError("wrong length")
            shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
        except ValueError:
            raise unusable_key() from None
        self._secret = _schedule_secret(shared, self._enc, recipient)
        self._used: set[bytes] = set()

    def seal(self, plaintext: bytes, *, info: bytes) -> bytes:
        """Return one message, 48 bytes longer; `info` must be given again to open."""
        assert info not in self._used and len(self._used) < MESSAGES_MAX
        self._used.add(info)
        key, nonce = _message_key(self._secret, info)
        return self._enc + AESGCM(key).encrypt(nonce, plaintext, None)


class Decapsulation:
    """Opens messages to one key; those in a row under one encapsulation cost one X25519 operation together."""

    def __init__(self, kem: KemKey) -> None:
        self._kem = kem
        self._enc = self._secret = b""

    def open(self, sealed: bytes, *, info: bytes) -> bytes:
        """Open one message.

        Raises: SealBroken.
        """
        enc = sealed[:ENC_BYTES]
        try:
            if enc != self._enc:
                shared = self._kem.private.exchange(X25519PublicKey.from_public_bytes(enc))
                self._enc, self._secret = enc, _schedule_secret(shared, enc, self._kem.public_key)
            key, nonce = _message_key(self._secret, info)
            return AESGCM(key).decrypt(nonce, sealed[ENC_BYTES:], None)
        except (InvalidTag, ValueError):
            raise broken_seal() from None


def unusable_key() -> SealingError:
    """Return the error for a recipient's key that is none."""
    return SealingError(
        "The recipient's key cannot be sealed to", why="It is not a usable X25519 key", do="Ask for another key."
    )


def broken_seal() -> SealBroken:
    """Return the error for a seal that does not open."""
    return SealBroken(
        "The seal does not open",
        why="It was made for another key or another purpose, or its bytes were altered",
        do="Check that it is meant for this key; else ask for it to be made again.",
    )


def _schedule_secret(shared: bytes, enc: bytes, recipient: bytes) -> bytes:
    """Return the key schedule's `secret`, which does not depend on `info`."""
    extracted = _extract(_KEM, b"", b"eae_prk", shared)
    return _extract(_SUITE, _expand(_KEM, extracted, b"shared_secret", enc + recipient, 32), b"secret", b"")


def _message_key(secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Return key and nonce of the message with this `info`."""
    context = _BASE_MODE + _NO_PSK + _extract(_SUITE, b"", b"info_hash", info)
    return _expand(_SUITE, secret, b"key", context, 32), _expand(_SUITE, secret, b"base_nonce", context, _NONCE_BYTES)


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    """LabeledExtract."""
    return digest(salt, b"HPKE-v1" + suite + label + material, "sha256")


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand, of at most one block."""
    assert 0 < length <= 32
    return digest(secret, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\x01", "sha256")[:length]


_NO_PSK: Final = _extract(_SUITE, b"", b"psk_id_hash", b"")
