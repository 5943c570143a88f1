# SPDX-License-Identifier: Apache-2.0
"""Keys of one patient relationship, derived from the patient's master secret.

```
HKDF-SHA256(master, info = "vervain/rel/v1" || counterparty 32 || uint32 epoch) -> Ed25519 seed 32 || X25519 key 32
HKDF-SHA256(master, info = "vervain/category-secret/v1" || counterparty 32)      -> category secret 32
```
Rules kept:
1. Two counterparties hold unrelated keys and ids: only who has the master secret can join them.
2. A rotation is the next epoch. The category secret knows no epoch, so that a deny still matches a grant given before a
   rotation; it changes with the master secret alone.
3. Nothing is derived from a name, a birth date or a national number.

Source: architecture.md "Patients"; RFC 5869.
"""

import secrets
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vervain.ledger.primitives.hashing import CATEGORY, sha256
from vervain.sealing.keys import KemKey, SigningKey

MASTER_BYTES: Final = 32
COUNTERPARTY_BYTES: Final = 32
CATEGORY_SECRET_BYTES: Final = 32
CATEGORY_CODE_LENGTH_MAX: Final = 64  # as `Code` of the agreed world
EPOCH_MAX: Final = 2**32 - 1
_RELATIONSHIP: Final = b"vervain/rel/v1"
_CATEGORY_SECRET: Final = b"vervain/category-secret/v1"


class RelationshipKeys:
    """The keys of one epoch of one relationship. `repr` shows public halves alone."""

    __slots__ = ("counterparty", "epoch", "kem", "signing")

    def __init__(self, *, counterparty: bytes, epoch: int, signing: SigningKey, kem: KemKey) -> None:
        self.counterparty, self.epoch, self.signing, self.kem = counterparty, epoch, signing, kem

    def __repr__(self) -> str:
        return f"RelationshipKeys(epoch={self.epoch}, signing={self.signing!r}, kem={self.kem!r})"


def new_master() -> bytes:
    """Return a fresh 32-byte master secret."""
    return secrets.token_bytes(MASTER_BYTES)


def relationship_keys(master: bytes, counterparty: bytes, epoch: int = 0) -> RelationshipKeys:
    """Derive the keys of one relationship.

    Args:
        master: The patient's 32-byte secret.
        counterparty: 32-byte id of the organisation.
        epoch: 0 at first, one more after each rotation.
    """
    assert 0 <= epoch <= EPOCH_MAX
    pair = _expand(master, _RELATIONSHIP, counterparty, epoch.to_bytes(4, "big"), length=64)
    return RelationshipKeys(
        counterparty=counterparty, epoch=epoch, signing=SigningKey(pair[:32]), kem=KemKey(pair[32:])
    )


def category_secret(master: bytes, counterparty: bytes) -> bytes:
    """Return the relationship's 32-byte category secret; the custodian of the relationship is told it, nobody else."""
    return _expand(master, _CATEGORY_SECRET, counterparty, length=CATEGORY_SECRET_BYTES)


def category_commitment(secret: bytes, code: str) -> bytes:
    """Return the 32-byte commitment to a category: equal within one relationship, unlinkable across relationships.

    Args:
        secret: The relationship's 32-byte category secret.
        code: Printable ASCII, at most 64 characters.
    """
    assert len(secret) == CATEGORY_SECRET_BYTES and 0 < len(code) <= CATEGORY_CODE_LENGTH_MAX
    return sha256(CATEGORY + secret + code.encode("ascii"))


def _expand(master: bytes, *info: bytes, length: int) -> bytes:
    assert len(master) == MASTER_BYTES and len(info[1]) == COUNTERPARTY_BYTES
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"".join(info)).derive(master)
