# SPDX-License-Identifier: Apache-2.0
"""Checks that the state agrees with itself, without the blocks: tiles, buckets, proved rows, summaries, outcomes, head.

Each check passes the rows on, so that a tree is read once. Memory: 8 MiB of bucket roots, 8 MiB of row sums, and 32
bytes for each 256 leaves of the log.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.primitives.codec import NotCanonical
from vervain.ledger.primitives.hashing import APP, DIGEST_BYTES, sha256
from vervain.ledger.primitives.merkle_log import TILE_WIDTH, Frontier, root_of
from vervain.ledger.primitives.proved_map import (
    BUCKETS,
    PAIR_BYTES,
    UpperTree,
    bucket_of,
    bucket_root,
    map_key,
    split_pairs,
    value_hash,
)
from vervain.storage.findings import first_difference
from vervain.storage.lmdb_walk import LiveRow, Report
from vervain.storage.state_view import CHAIN, FORMAT, HEAD, decode_summary

_SUM_MASK: Final = 2**256 - 1
_TABLE_BYTES: Final = 2
Rows = Iterator[LiveRow | None]


class _BlockLeaf(msgspec.Struct, frozen=True):
    """What is read of a block leaf here."""

    proved_root: bytes


class StateCheck:
    """One reading of a state. Feed it rows, buckets, bucket_roots, tiles, summaries, outcomes, meta: in this order."""

    def __init__(self, report: Report, *, chain: str, proved_tables: Mapping[int, str]) -> None:
        """Prepare.

        Args:
            report: Takes a byte of the file and what is wrong there.
            chain: The chain's id.
            proved_tables: Name of each proved table by number.
        """
        self._report, self._chain, self._proved = report, chain, proved_tables
        self._sums = bytearray(BUCKETS * DIGEST_BYTES)
        self._roots = bytearray(BUCKETS * DIGEST_BYTES)
        self._has_bucket = bytearray(BUCKETS)
        self._last: BlockSummary | None = None
        self._last_at = 0
        self._proved_root: tuple[bytes, int] | None = None
        self._heights = 0
        self._log_root: bytes | None = None
        self._leaves = 0

    def tree(self, name: str, rows: Rows) -> Rows:
        """Yield a tree's rows on, checking them."""
        checks = {
            "rows": self._rows,
            "buckets": self._buckets,
            "bucket_roots": self._bucket_roots,
            "tiles": self._tiles,
            "summaries": self._summaries,
            "outcomes": self._outcomes,
            "meta": self._meta,
        }
        return checks[name](rows) if name in checks else rows

    # Rows and buckets

    def _rows(self, rows: Rows) -> Rows:
        """Add each proved row to the sum of its bucket."""
        for row in rows:
            yield row
            if row is None:
                continue
            name = self._proved.get(int.from_bytes(row.key[:_TABLE_BYTES], "big"))
            if name is not None:
                place = map_key(name, row.key[_TABLE_BYTES:])
                self._add(bucket_of(place), place + value_hash(row.value), 1)

    def _add(self, bucket: int, pair: bytes, sign: int) -> None:
        """Add a pair's digest to a bucket's sum, or take it off: zero at the end means the same set of pairs."""
        at = bucket * DIGEST_BYTES
        total = int.from_bytes(self._sums[at : at + DIGEST_BYTES], "big")
        total += sign * int.from_bytes(sha256(pair), "big")
        self._sums[at : at + DIGEST_BYTES] = (total & _SUM_MASK).to_bytes(DIGEST_BYTES, "big")

    def _buckets(self, rows: Rows) -> Rows:
        """Each bucket's pairs are whole, in order, its own, and those of the rows."""
        for row in rows:
            yield row
            if row is None:
                continue
            bucket = int.from_bytes(row.key, "big")
            if len(row.key) != 4 or bucket >= BUCKETS:
                self._report(row.key_at, "There is no such bucket")
                continue
            pairs = split_pairs(row.value)
            if not row.value or len(row.value) % PAIR_BYTES:
                self._report(row.value_at, "A bucket does not hold whole pairs")
                continue
            for position, pair in enumerate(pairs):
                if bucket_of(pair) != bucket or (
                    position and pair[:DIGEST_BYTES] <= pairs[position - 1][:DIGEST_BYTES]
                ):
                    self._report(row.value_at + PAIR_BYTES * position, "A pair is in the wrong bucket or out of order")
                self._add(bucket, pair, -1)
            self._roots[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES] = bucket_root(pairs)
            self._has_bucket[bucket] = 1
            if any(self._sums[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES]):
                self._report(row.value_at, "A bucket's pairs are not those of the rows")
        for bucket in range(BUCKETS):
            if not self._has_bucket[bucket] and any(self._sums[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES]):
                self._report(0, f"A proved row is in no bucket; it belongs in bucket {bucket}")

    def _bucket_roots(self, rows: Rows) -> Rows:
        """Each kept root is the root over its bucket."""
        for row in rows:
            yield row
            if row is None:
                continue
            bucket = int.from_bytes(row.key, "big")
            if len(row.key) != 4 or bucket >= BUCKETS or not self._has_bucket[bucket]:
                self._report(row.key_at, "There is no such bucket")
                continue
            root = bytes(self._roots[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES])
            self._has_bucket[bucket] = 2
            if row.value != root:
                self._report(row.value_at + first_difference(row.value, root), "A bucket's root is not its pairs'")
        self._upper_root = UpperTree(
            (bucket, bytes(self._roots[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES]))
            for bucket in range(BUCKETS)
            if self._has_bucket[bucket]
        ).root

    # Tiles

    def _tiles(self, rows: Rows) -> Rows:
        """Each tile above the lowest level holds the roots of the full tiles below; the leaves give the log's root."""
        level, below, here = 0, bytearray(), bytearray()
        count = width = 0
        frontier = Frontier()
        tail: list[bytes] = []
        for row in rows:
            yield row
            if row is None:
                self._log_root = None
                frontier.size = -1
                continue
            at_level, index = row.key[0], int.from_bytes(row.key[1:], "big")
            hashes = [row.value[at : at + DIGEST_BYTES] for at in range(0, len(row.value), DIGEST_BYTES)]
            if at_level != level:
                level, below, here, count, width = at_level, here, bytearray(), 0, TILE_WIDTH
            if len(row.key) != 9 or not row.value or len(row.value) % DIGEST_BYTES or len(hashes) > TILE_WIDTH:
                self._report(row.value_at, "A tile does not hold whole hashes")
                continue
            if index != count or (count and width != TILE_WIDTH):
                self._report(row.key_at, "A tile before this one is missing or not full")
            count, width = index + 1, len(hashes)
            expected = bytes(below[index * TILE_WIDTH * DIGEST_BYTES : (index + 1) * TILE_WIDTH * DIGEST_BYTES])
            if level and row.value != expected:
                self._report(
                    row.value_at + first_difference(row.value, expected), "A tile is not made of those below it"
                )
            if width == TILE_WIDTH:
                root = root_of(hashes)
                here += root
                if not level and frontier.size >= 0:
                    frontier.append(root)
            elif not level:
                tail = hashes
        if frontier.size >= 0:
            whole = Frontier(frontier.size * TILE_WIDTH, frontier.subtrees)
            for leaf in tail:
                whole.append(leaf)
            self._log_root, self._leaves = whole.root(), whole.size

    # Summaries, outcomes, meta

    def _summaries(self, rows: Rows) -> Rows:
        """Heights follow each other, time never falls, and each height's first leaf is the next one."""
        for row in rows:
            yield row
            summary = None if row is None else self._decode(row)
            if row is None or summary is None:
                self._last = None
                continue
            self._heights += 1
            last = self._last
            if int.from_bytes(row.key, "big") != summary.height:
                self._report(row.key_at, "A summary is of another height")
            if last is not None and (
                summary.height != last.height + 1 or summary.time < last.time or summary.first_leaf != last.log_size
            ):
                self._report(row.value_at, "A summary does not follow the one before")
            if isinstance(summary.leaf, msgspec.Raw):
                self._note_proved_root(bytes(summary.leaf), row)
            self._last, self._last_at = summary, row.value_at
        self._check_head()

    def _decode(self, row: LiveRow) -> BlockSummary | None:
        try:
            summary = decode_summary(row.value)
        except NotCanonical:
            self._report(row.value_at, "A summary cannot be read")
            return None
        assert isinstance(summary, BlockSummary)
        return summary

    def _note_proved_root(self, leaf: bytes, row: LiveRow) -> None:
        """Keep the newest block leaf's proved root."""
        try:
            self._proved_root = msgspec.json.decode(leaf, type=_BlockLeaf).proved_root, row.value_at
        except ValueError:
            self._proved_root = None

    def _check_head(self) -> None:
        """The newest summary's roots are those of tiles and buckets."""
        if self._last is None:
            return
        if self._log_root is not None:
            size = self._last.log_size.to_bytes(8, "big")
            if self._leaves != self._last.log_size or self._last.log_root != self._log_root:
                self._report(self._last_at, "The newest summary's log root is not the tiles'")
            elif self._last.app_hash != sha256(APP + size + self._log_root):
                self._report(self._last_at, "The newest summary's app hash is not its log root's")
        if self._proved_root is not None and self._proved_root[0] != self._upper_root:
            self._report(self._proved_root[1], "The newest block leaf's proved root is not the buckets'")

    def _outcomes(self, rows: Rows) -> Rows:
        """Each height has an array of outcomes."""
        count = 0
        for row in rows:
            yield row
            if row is None:
                count = self._heights
                continue
            count += 1
            if not (row.value.startswith(b"[") and row.value.endswith(b"]")):
                self._report(row.value_at, "Outcomes are not an array")
        if count != self._heights:
            self._report(0, "There are not as many outcomes as heights")

    def _meta(self, rows: Rows) -> Rows:
        """Format, chain and head are what they must be."""
        for row in rows:
            yield row
            if row is None:
                continue
            if row.key == CHAIN and row.value != self._chain.encode("ascii"):
                self._report(
                    row.value_at + first_difference(row.value, self._chain.encode("ascii")), "The chain's id is another"
                )
            elif row.key == FORMAT and row.value != b"1":
                self._report(row.value_at, "The format is not known")
            elif row.key == HEAD and self._last is not None and self._decode(row) != self._last:
                self._report(row.value_at, "The head is not the newest summary")
