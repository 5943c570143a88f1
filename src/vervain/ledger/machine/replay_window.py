# SPDX-License-Identifier: Apache-2.0
"""Once only, in no forced order: which transaction ids are remembered, and until when.

An id is remembered until its transaction expires; after that the expiry check refuses it. The ids are derived from the
block log, so they stand beside the state, not in it, and are forgotten a bounded number a block.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from vervain.ledger.machine.limits import UNEXPIRED_FORGOTTEN_PER_BLOCK_MAX, UNEXPIRED_PER_ORGANISATION_MAX
from vervain.ledger.machine.transaction import Transaction

_COUNT: Final = b"\xff" * 8  # sorts behind every expiry, which is below 2^53


class Remembered(Protocol):
    """The remembered ids as storage shows them."""

    def unexpired_get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None."""
        ...

    def unexpired_range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order."""
        ...


class ReplayWindow:
    """The window during one block: what is remembered, what the block adds, what it forgets."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self._added: dict[bytes, bytes] = {}
        self._counts: dict[bytes, int] = {}

    def first_place(self, transaction: Transaction) -> tuple[int, int] | None:
        """Return (height, index) at which this id was ordered before, or None."""
        key = _key(transaction)
        value = self._added.get(key) or self._remembered.unexpired_get(key)
        return None if value is None else (int.from_bytes(value[32:40], "big"), int.from_bytes(value[40:44], "big"))

    def is_full(self, organisation: bytes) -> bool:
        """Tell whether an organisation has as many unexpired ids as it may."""
        return self._count(organisation) >= UNEXPIRED_PER_ORGANISATION_MAX

    def add(self, transaction: Transaction, organisation: bytes, *, height: int, index: int) -> None:
        """Remember an ordered transaction."""
        self._added[_key(transaction)] = organisation + height.to_bytes(8, "big") + index.to_bytes(4, "big")
        self._counts[organisation] = self._count(organisation) + 1

    def forget(self, block_time: int) -> tuple[bytes, ...]:
        """Return the keys that expired before `block_time`, oldest first, a bounded number."""
        removed: list[bytes] = []
        for key, value in self._remembered.unexpired_range(b"", block_time.to_bytes(8, "big")):
            if len(removed) == UNEXPIRED_FORGOTTEN_PER_BLOCK_MAX:
                break
            removed.append(key)
            self._counts[value[:32]] = self._count(value[:32]) - 1
        return tuple(removed)

    def added(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return what to write: the new ids and the members' new counts, sorted."""
        counts = {_COUNT + organisation: count.to_bytes(8, "big") for organisation, count in self._counts.items()}
        return tuple(sorted((self._added | counts).items()))

    def _count(self, organisation: bytes) -> int:
        if organisation not in self._counts:
            stored = self._remembered.unexpired_get(_COUNT + organisation)
            self._counts[organisation] = int.from_bytes(stored, "big") if stored else 0
        return self._counts[organisation]


def _key(transaction: Transaction) -> bytes:
    return transaction.header.expires_at.to_bytes(8, "big") + transaction.txid
