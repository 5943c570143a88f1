# SPDX-License-Identifier: Apache-2.0
"""What is agreed: a block, and the leaves it appends to the log.

Leaves carry their kind and leave nothing out, so that a reader without our defaults reads them right.

Source: architecture.md "Log", "App hash".
"""

from typing import Literal

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Code, Natural, UtcSeconds, encode
from vervain.ledger.primitives.hashing import APP, CHANGE, VALIDATORS, sha256


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """An ordered list of transactions with its height and agreed time. Block 0 holds the genesis content instead."""

    height: Natural
    time: UtcSeconds
    transactions: tuple[bytes, ...]


class GenesisLeaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first leaf of a chain."""

    kind: Literal["genesis"]
    chain: Code
    genesis_digest: Bytes32
    time: UtcSeconds


class TransactionLeaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ordered transaction and what came of it."""

    kind: Literal["transaction"]
    txid: Bytes32
    code: Natural
    outcome_digest: Bytes32
    height: Natural
    time: UtcSeconds


class BlockLeaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last leaf of a block that appended a leaf or changed state.

    Attributes:
        change_digest: Over the block's net writes.
        proved_root: Root of the proved map after the block.
        config_root: Digest of all configuration rows after the block.
        next_validators: Digest of the validators of the next block.
    """

    kind: Literal["block"]
    height: Natural
    time: UtcSeconds
    change_digest: Bytes32
    proved_root: Bytes32
    config_root: Bytes32
    next_validators: Bytes32


def app_hash(log_size: int, log_root: bytes) -> bytes:
    """Return SHA-256("vervain/app/v1\\n" || uint64 log size || log root), 32 bytes."""
    return sha256(APP + log_size.to_bytes(8, "big") + log_root)


def rows_digest(tag: bytes, rows: tuple[tuple[bytes, bytes | None], ...]) -> bytes:
    """Return the digest of rows sorted by (table, key), deletions explicit.

    Each row: uint16 table || uint32 key length || key || 0x01 uint32 value length value, or 0x00 for a deletion.
    """
    parts = [tag]
    for stored_key, value in rows:
        parts.append(stored_key[:2] + (len(stored_key) - 2).to_bytes(4, "big") + stored_key[2:])
        parts.append(b"\x00" if value is None else b"\x01" + len(value).to_bytes(4, "big") + value)
    return sha256(b"".join(parts))


def change_digest(rows: tuple[tuple[bytes, bytes | None], ...]) -> bytes:
    """Return the digest of a block's net writes, 32 bytes."""
    return rows_digest(CHANGE, rows)


def validators_digest(validators: tuple[msgspec.Struct, ...]) -> bytes:
    """Return the digest of the sorted list {organisation, engine_key, power, cosigning_key}, 32 bytes."""
    return sha256(VALIDATORS + encode(validators))
