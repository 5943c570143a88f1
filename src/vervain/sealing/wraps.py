# SPDX-License-Identifier: Apache-2.0
"""Seals to one recipient: HPKE base mode, and the wrap of a document's key.

HPKE: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; one message a context. The library's call has no additional
data, so everything a seal is bound to stands in `info`. Who made a seal comes from a ledger signature, never from HPKE.

A wrap of {DEK, salt} is 112 bytes, enc 32 || ciphertext 64 || tag 16, with the info `"vervain/wrap/v1\\n" || context`.
A wrap made for one grant, record, recipient, chain or epoch opens as no other. The wraps of one page for one patient
share an encapsulation (`encapsulation.py`); each is still a message that opens by itself.

Source: RFC 9180; identity reference, section 8 "Wrap".
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from vervain.ledger.primitives.codec import Bytes32, Code, Natural, encode
from vervain.sealing.commitments import SALT_BYTES
from vervain.sealing.documents import DEK_BYTES, DocumentKey
from vervain.sealing.encapsulation import ENC_BYTES, Decapsulation, Encapsulation, broken_seal, unusable_key
from vervain.sealing.keys import KEY_BYTES, KemKey

WRAP: Final = b"vervain/wrap/v1\n"
SEAL_BYTES: Final = ENC_BYTES + 16  # what a seal adds: the encapsulated key and the tag
WRAP_BYTES: Final = SEAL_BYTES + DEK_BYTES + SALT_BYTES

Purpose = Literal["grant", "own", "share"]
"""`grant`: released to a reader under a grant; `own`: for the patient's wallet; `share`: held for a release agent."""

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class WrapContext(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a wrap is bound to.

    Attributes:
        purpose: What the wrap is for.
        commitment: 32-byte commitment of the record version.
        recipient: 32-byte X25519 public key that opens it.
        chain: The chain's name and founding digest.
        scope: 32-byte id of the grant, or of the relationship's actor for a patient's own wrap.
        epoch: The recipient key's epoch; 0 for a reader's key, which is fresh for each grant.
    """

    purpose: Purpose
    commitment: Bytes32
    recipient: Bytes32
    chain: Code
    scope: Bytes32
    epoch: Natural = 0


def wrap(key: DocumentKey, context: WrapContext) -> bytes:
    """Seal {DEK, salt} to the recipient of `context`, 112 bytes.

    Raises: SealingError when the recipient's key is not one.
    """
    assert len(key.dek) == DEK_BYTES and len(key.salt) == SALT_BYTES
    return seal_to(context.recipient, key.dek + key.salt, info=WRAP + encode(context))


def unwrap(sealed: bytes, kem: KemKey, context: WrapContext) -> DocumentKey:
    """Return the {DEK, salt} of a wrap made for exactly this key and context.

    Raises: SealBroken.
    """
    if len(sealed) != WRAP_BYTES or kem.public_key != context.recipient:
        raise broken_seal()
    opened = open_sealed(kem, sealed, info=WRAP + encode(context))
    return DocumentKey(opened[:DEK_BYTES], opened[DEK_BYTES:])


def wrap_all(keys: Sequence[DocumentKey], contexts: Sequence[WrapContext]) -> tuple[bytes, ...]:
    """Wrap keys, each in a context of its own, all to one recipient: a ninth of what `wrap` costs for each.

    Raises: SealingError when the recipient's key is not one.
    """
    if not keys:
        return ()
    assert len({context.recipient for context in contexts}) == 1
    assert all(len(key.dek) == DEK_BYTES and len(key.salt) == SALT_BYTES for key in keys)
    encapsulation = Encapsulation(contexts[0].recipient)
    return tuple(
        encapsulation.seal(key.dek + key.salt, info=WRAP + encode(context))
        for key, context in zip(keys, contexts, strict=True)
    )


def unwrap_all(sealed: Sequence[bytes], kem: KemKey, contexts: Sequence[WrapContext]) -> tuple[DocumentKey, ...]:
    """Open wraps made for exactly this key, each for its context; the check of each is the one of `unwrap`.

    Raises: SealBroken.
    """
    decapsulation = Decapsulation(kem)
    keys: list[DocumentKey] = []
    for each, context in zip(sealed, contexts, strict=True):
        if len(each) != WRAP_BYTES or kem.public_key != context.recipient:
            raise broken_seal()
        opened = decapsulation.open(each, info=WRAP + encode(context))
        keys.append(DocumentKey(opened[:DEK_BYTES], opened[DEK_BYTES:]))
    return tuple(keys)


def seal_to(recipient: bytes, plaintext: bytes, *, info: bytes) -> bytes:
    """Seal bytes to a 32-byte X25519 public key; `info` must be given again to open. 48 bytes longer.

    Raises: SealingError when the key is of small order or has the wrong length.
    """
    try:
        if len(recipient) != KEY_BYTES:
            raise ValueError("wrong length")
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info=info)
    except ValueError:
        raise unusable_key() from None


def open_sealed(kem: KemKey, sealed: bytes, *, info: bytes) -> bytes:
    """Open what `seal_to` made.

    Raises: SealBroken.
    """
    try:
        return _SUITE.decrypt(sealed, kem.private, info=info)
    except (InvalidTag, ValueError):
        raise broken_seal() from None
