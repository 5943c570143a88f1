# SPDX-License-Identifier: Apache-2.0
"""The ordered key-value store that rules write to: an overlay over committed state, with savepoints.

Keys are a 2-byte table number and the row's key. Writes stay in memory until the block is committed by the engine; a
savepoint is a position in the undo journal, so rolling a transaction back costs only what it wrote.
"""

from collections.abc import Iterator
from typing import Final, Protocol

_UNWRITTEN: Final = object()


class ReadOnlyState(Protocol):
    """Committed state as storage shows it: one snapshot."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None."""
        ...

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order, start included, stop excluded."""
        ...


class Store:
    """What a block has written so far over one snapshot of committed state."""

    __slots__ = ("_base_get", "_base_range", "_journal", "_writes")

    def __init__(self, base: ReadOnlyState) -> None:
        self._base_get, self._base_range = base.get, base.range
        self._writes: dict[bytes, bytes | None] = {}
        self._journal: list[tuple[bytes, object]] = []

    def get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None when there is none or it was deleted."""
        if key in self._writes:
            return self._writes[key]
        return self._base_get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value; None deletes."""
        self._journal.append((key, self._writes.get(key, _UNWRITTEN)))
        self._writes[key] = value

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order, start included, stop excluded, own writes in their places."""
        written = sorted(key for key in self._writes if start <= key < stop)
        position = 0
        for key, value in self._base_range(start, stop):
            while position < len(written) and written[position] < key:
                yield from self._live(written[position])
                position += 1
            if position < len(written) and written[position] == key:
                yield from self._live(key)
                position += 1
            else:
                yield key, value
        for key in written[position:]:
            yield from self._live(key)

    def _live(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        value = self._writes[key]
        if value is not None:
            yield key, value

    def savepoint(self) -> int:
        """Return a mark to roll back to. Marks nest."""
        return len(self._journal)

    def roll_back(self, mark: int) -> None:
        """Undo every write since `mark`, newest first."""
        while len(self._journal) > mark:
            key, previous = self._journal.pop()
            if previous is _UNWRITTEN:
                del self._writes[key]
            else:
                assert previous is None or isinstance(previous, bytes)
                self._writes[key] = previous

    def writes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """Return the final value of every key written, sorted by (table, key); None is a deletion."""
        return tuple(sorted(self._writes.items()))


def after(prefix: bytes) -> bytes:
    """Return the smallest key that is greater than every key with `prefix`."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\xff" * (len(prefix) + 1)
