# SPDX-License-Identifier: Apache-2.0
"""Committed state in memory: what `machine.application.CommittedState` asks for, for tests that need no disk.

Founding: `state.apply(changes := application.init_chain(genesis, state))`, then `application.committed(changes)`.
Each block: `finalized = application.finalize_block(block, state)`, then the same two steps with `finalized.changes`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from vervain.ledger.machine.changes import BlockSummary, Changes


class SortedRows:
    """A key-value map in key order."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None."""
        return self._values.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value; None deletes."""
        if value is None:
            if self._values.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
            return
        if key not in self._values:
            insort(self._keys, key)
        self._values[key] = value

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order, start included, stop excluded."""
        for key in self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, stop)]:
            yield key, self._values[key]


class MemoryState:
    """Everything committed so far. One object is always the newest snapshot."""

    def __init__(self) -> None:
        self.rows, self.unexpired = SortedRows(), SortedRows()
        self.buckets: dict[int, tuple[bytes, bytes]] = {}
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.summaries: list[BlockSummary] = []
        self.outcomes_by_height: list[bytes] = []

    def apply(self, changes: Changes) -> None:
        """Commit what a block changes."""
        assert changes.summary.height == len(self.summaries)
        for key, value in changes.rows:
            self.rows.put(key, value)
        for bucket, pairs, root in changes.buckets:
            self.buckets[bucket] = (pairs, root)
        for level, index, hashes in changes.tiles:
            self.tiles[level, index] = hashes
        for key in changes.unexpired_removed:
            self.unexpired.put(key, None)
        for key, value in changes.unexpired_added:
            self.unexpired.put(key, value)
        self.summaries.append(changes.summary)
        self.outcomes_by_height.append(changes.outcomes)

    def get(self, key: bytes) -> bytes | None:
        """Return the row at table number || key, or None."""
        return self.rows.get(key)

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows in key order, start included, stop excluded."""
        return self.rows.range(start, stop)

    def bucket(self, index: int) -> bytes:
        """Return a bucket's pairs, concatenated; empty when it has none."""
        return self.buckets.get(index, (b"", b""))[0]

    def bucket_roots(self) -> Iterator[tuple[int, bytes]]:
        """Yield (bucket, root) of each bucket that was ever written."""
        for index in sorted(self.buckets):
            yield index, self.buckets[index][1]

    def tile(self, level: int, index: int) -> bytes:
        """Return a tile's hashes, concatenated; empty when there is none."""
        return self.tiles.get((level, index), b"")

    def unexpired_get(self, key: bytes) -> bytes | None:
        """Return what is remembered at `key`, or None."""
        return self.unexpired.get(key)

    def unexpired_range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what is remembered in key order, start included, stop excluded."""
        return self.unexpired.range(start, stop)

    def head(self) -> BlockSummary | None:
        """Return the newest height's summary, or None before the founding."""
        return self.summaries[-1] if self.summaries else None

    def outcomes(self, height: int) -> bytes | None:
        """Return the JCS array of a height's outcomes, or None."""
        return self.outcomes_by_height[height] if height < len(self.outcomes_by_height) else None

    def summary(self, height: int) -> BlockSummary | None:
        """Return a height's summary, or None."""
        return self.summaries[height] if height < len(self.summaries) else None
