# SPDX-License-Identifier: Apache-2.0
"""What one block changes, as handed from the machine to storage in one piece."""

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Natural


class BlockSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The head of a height.

    Attributes:
        height: The block's height; 0 is genesis.
        time: Block time, UTC seconds; never falls.
        first_leaf: Log index of the block's first leaf (the log size before it when it appended none).
        leaves: How many leaves it appended, its block leaf included; 0 for a heartbeat.
        app_hash: 32 bytes, over log size and root after this block.
        log_root: 32 bytes.
        leaf: The block leaf's JSON, when one was appended.
    """

    height: Natural
    time: Natural
    first_leaf: Natural
    leaves: Natural
    app_hash: Bytes32
    log_root: Bytes32
    leaf: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def log_size(self) -> int:
        """Number of leaves of the log after this block."""
        return self.first_leaf + self.leaves


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one block writes; storage commits it in one atomic step.

    Attributes:
        summary: The new head.
        rows: (2-byte table number || key, value; None deletes), sorted by key.
        buckets: (bucket, its sorted 64-byte pairs concatenated, its 32-byte root) of each changed bucket.
        tiles: (level, index, 1 to 256 hashes concatenated); a later value replaces an earlier one.
        outcomes: JCS array of the block's outcomes, in transaction order.
        unexpired_added: (uint64 expires_at || txid, organisation || uint64 height || uint32 index), and the members'
            counts at 8 bytes of 0xff || organisation -> uint64.
        unexpired_removed: Keys no longer remembered.
    """

    summary: BlockSummary
    rows: tuple[tuple[bytes, bytes | None], ...]
    buckets: tuple[tuple[int, bytes, bytes], ...]
    tiles: tuple[tuple[int, int, bytes], ...]
    outcomes: bytes
    unexpired_added: tuple[tuple[bytes, bytes], ...]
    unexpired_removed: tuple[bytes, ...]
