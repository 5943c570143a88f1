# SPDX-License-Identifier: Apache-2.0
"""SHA-256 with a domain tag for each use, so that no digest of one kind is ever valid as another.

Source: architecture.md "The agreed formats"; RFC 9162 section 2.1 for leaf and node.
"""

from hashlib import sha256 as _sha256
from typing import Final

DIGEST_BYTES: Final = 32

TX: Final = b"vervain/tx/v1\n"
TXID: Final = b"vervain/txid/v1\n"
SALT: Final = b"vervain/salt/v1\n"
OUTCOME: Final = b"vervain/outcome/v1\n"
OUTCOME_SALT: Final = b"vervain/outcome-salt/v1\n"
APP: Final = b"vervain/app/v1\n"
CHANGE: Final = b"vervain/change/v1\n"
KEY: Final = b"vervain/key/v1\n"
VALIDATORS: Final = b"vervain/validators/v1\n"
CONFIG: Final = b"vervain/config/v1\n"
GENESIS: Final = b"vervain/genesis/v1\n"
ACTOR: Final = b"vervain/actor/v1\n"
REGISTER: Final = b"vervain/register/v1\n"
ROTATE: Final = b"vervain/rotate/v1\n"
LICENCE: Final = b"vervain/licence/v1\n"
PROPOSAL: Final = b"vervain/proposal/v1\n"
RULE_TABLE: Final = b"vervain/rule-table/v1\n"
RECORD: Final = b"vervain/record/v1\n"
RECORD_SET: Final = b"vervain/record-set/v1\n"
CONSENT: Final = b"vervain/consent/v1\n"
CATEGORY: Final = b"vervain/category/v1\n"
READER: Final = b"vervain/reader/v1\n"
READ: Final = b"vervain/read/v1\n"
ACCESS: Final = b"vervain/access/v1\n"


def sha256(encoded: bytes) -> bytes:
    """Return the 32-byte SHA-256 digest of `encoded`."""
    return _sha256(encoded).digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the RFC 9162 hash of a leaf: SHA-256(0x00 || leaf), 32 bytes."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the RFC 9162 hash of an inner node: SHA-256(0x01 || left || right), 32 bytes."""
    return _sha256(b"\x01" + left + right).digest()


EMPTY_ROOT: Final = _sha256(b"").digest()
"""The root of a tree without leaves (RFC 9162 section 2.1.1)."""


def actor_id(first_public_key: bytes) -> bytes:
    """Return an actor's 32-byte id: the unique hash code of its first public key, stable over key rotation."""
    return sha256(ACTOR + first_public_key)


def record_commitment(*, resource_type: str, resource_id: str, version: str, salt: bytes, stored: bytes) -> bytes:
    """Return the salted commitment to one stored document version, 32 bytes.

    Args:
        resource_type: FHIR resource type; no line feed.
        resource_id: FHIR id; no line feed.
        version: FHIR version id; no line feed.
        salt: 32 random bytes, kept with the ciphertext.
        stored: The received bytes, never re-serialised.
    """
    assert len(salt) == DIGEST_BYTES and "\n" not in resource_type + resource_id + version
    return sha256(RECORD + f"{resource_type}\n{resource_id}\n{version}\n".encode("ascii") + salt + stored)
