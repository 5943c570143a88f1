# SPDX-License-Identifier: Apache-2.0
"""One snapshot of the committed state, and where each kind of row stands in LMDB.

| database | key | value |
| --- | --- | --- |
| rows | uint16 table, row key | the row's canonical bytes |
| buckets | uint32 bucket | its 64-byte pairs, sorted |
| bucket_roots | uint32 bucket | 32 bytes |
| tiles | uint8 level, uint64 index | 1 to 256 hashes |
| outcomes | uint64 height | JCS array |
| summaries | uint64 height | JCS of BlockSummary |
| unexpired | as the machine writes them | as the machine writes them |
| meta | head, format, chain | JCS of the newest BlockSummary, b"1", the chain's id |

Keys are big-endian, so LMDB's byte order is the order of numbers. An empty bucket has no rows.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Final

import lmdb

from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.primitives.codec import Decoder
from vervain.storage.errors import StorageError

DATABASES: Final = (
    "rows",
    "buckets",
    "bucket_roots",
    "tiles",
    "outcomes",
    "summaries",
    "unexpired",
    "meta",
)
VIEW_SECONDS_MAX: Final = 60.0  # an older snapshot pins pages, and the file grows
_ROWS_BETWEEN_CLOCKS: Final = 1_024

HEAD: Final = b"head"
FORMAT: Final = b"format"
CHAIN: Final = b"chain"

decode_summary: Final = Decoder(BlockSummary).decode


def bucket_key(bucket: int) -> bytes:
    """Return the 4-byte key of a bucket."""
    return bucket.to_bytes(4, "big")


def tile_key(level: int, index: int) -> bytes:
    """Return the 9-byte key of a tile."""
    return bytes((level,)) + index.to_bytes(8, "big")


def height_key(height: int) -> bytes:
    """Return the 8-byte key of a height."""
    return height.to_bytes(8, "big")


class StateView:
    """The state as of one commit, unchanged while others commit. Valid in its `with` block, in one thread at a time."""

    __slots__ = ("_databases", "_deadline", "_get", "_rows", "transaction")

    def __init__(
        self,
        transaction: "lmdb.Transaction[bytes]",
        databases: dict[str, "lmdb._Database"],
        seconds_max: float,
    ) -> None:
        self.transaction, self._databases = transaction, databases
        self._rows = databases["rows"]
        self._get = transaction.get
        self._deadline = monotonic() + seconds_max

    def get(self, key: bytes) -> bytes | None:
        """Return the row at table number || key, or None."""
        return self._get(key, None, self._rows)

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, row) in key order, start included, stop excluded.

        Raises: StorageError when the view is older than it may be.
        """
        return self.database("rows", start, stop)

    def bucket(self, index: int) -> bytes:
        """Return a bucket's sorted pairs, concatenated; empty for an empty bucket."""
        return self._get(bucket_key(index), b"", self._databases["buckets"])

    def bucket_roots(self) -> Iterator[tuple[int, bytes]]:
        """Yield (bucket, root) of every bucket that is not empty."""
        for key, root in self.database("bucket_roots"):
            yield int.from_bytes(key, "big"), root

    def tile(self, level: int, index: int) -> bytes:
        """Return a tile's hashes, concatenated; empty when there is none."""
        return self._get(tile_key(level, index), b"", self._databases["tiles"])

    def outcomes(self, height: int) -> bytes | None:
        """Return the JCS array of a block's outcomes, or None."""
        return self._get(height_key(height), None, self._databases["outcomes"])

    def summary(self, height: int) -> BlockSummary | None:
        """Return what a height came to, or None."""
        encoded = self._get(height_key(height), None, self._databases["summaries"])
        return None if encoded is None else _summary(encoded)

    def head(self) -> BlockSummary | None:
        """Return the newest height's summary, None before the founding."""
        encoded = self._get(HEAD, None, self._databases["meta"])
        return None if encoded is None else _summary(encoded)

    def unexpired_get(self, key: bytes) -> bytes | None:
        """Return what is remembered at `key`, or None."""
        return self._get(key, None, self._databases["unexpired"])

    def unexpired_range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of the remembered ids in key order, start included, stop excluded."""
        return self.database("unexpired", start, stop)

    def database(self, name: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of one named database in key order.

        Raises: StorageError when the view is older than it may be.
        """
        self._require_young()
        with self.transaction.cursor(self._databases[name]) as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return
            for count, (key, value) in enumerate(cursor, start=1):
                if stop is not None and key >= stop:
                    return
                if not count % _ROWS_BETWEEN_CLOCKS:
                    self._require_young()
                yield key, value

    def _require_young(self) -> None:
        if monotonic() > self._deadline:
            raise StorageError(
                "This view of the state is too old",
                why="A long reading keeps the state's file growing",
                do="Open a new view; a reading that needs longer asks for its time when it opens one.",
            )


def _summary(encoded: bytes) -> BlockSummary:
    """Decode a stored summary."""
    summary = decode_summary(encoded)
    assert isinstance(summary, BlockSummary)
    return summary
