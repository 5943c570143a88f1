# SPDX-License-Identifier: Apache-2.0
"""The proved map: rows whose presence or absence a stranger can check.

A fixed binary tree of 2^18 buckets. A key's bucket is the first 18 bits of its hash. A bucket's root is the RFC 9162
root over its (key hash || value hash) pairs sorted by key hash; presence is a path in the bucket and 18 siblings above
it, absence is shown by the two neighbours of the place where the key would stand. Only the upper tree (16 MiB) is in
memory; pairs are read from storage, one row a bucket.

Source: rulings.md "State"; decision 0002 (measured against other shapes at 10^4 to 10^7 rows).
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import DIGEST_BYTES, EMPTY_ROOT, KEY, leaf_hash, node_hash
from vervain.ledger.primitives.merkle_log import path_of, root_from_path, root_of

BUCKET_BITS: Final = 18
BUCKETS: Final = 2**BUCKET_BITS
PAIR_BYTES: Final = 2 * DIGEST_BYTES


def map_key(table: str, key: bytes) -> bytes:
    """Return the 32-byte place of a row: SHA-256("vervain/key/v1\\n" || table || "\\n" || key)."""
    return sha256(KEY + table.encode("ascii") + b"\n" + key).digest()


def value_hash(row: bytes) -> bytes:
    """Return the 32-byte digest of a row's canonical bytes: SHA-256(0x02 || row)."""
    return sha256(b"\x02" + row).digest()


def bucket_of(place: bytes) -> int:
    """Return the bucket number of a 32-byte place: its first 18 bits."""
    return int.from_bytes(place[:3], "big") >> (24 - BUCKET_BITS)


def split_pairs(pairs: bytes) -> list[bytes]:
    """Cut a bucket's bytes into its 64-byte pairs."""
    return [pairs[i : i + PAIR_BYTES] for i in range(0, len(pairs), PAIR_BYTES)]


def bucket_root(pairs: Sequence[bytes]) -> bytes:
    """Return the RFC 9162 root over a bucket's 64-byte pairs."""
    return root_of([leaf_hash(pair) for pair in pairs])


def update_bucket(pairs: bytes, changes: Mapping[bytes, bytes | None]) -> list[bytes]:
    """Return the pairs of a bucket after `changes` (place -> value hash, None removes), sorted by place."""
    by_place = {pair[:DIGEST_BYTES]: pair for pair in split_pairs(pairs)}
    for place, value in changes.items():
        if value is None:
            by_place.pop(place, None)
        else:
            by_place[place] = place + value
    return [by_place[place] for place in sorted(by_place)]


def _empty_levels() -> tuple[bytes, ...]:
    levels = [EMPTY_ROOT]
    for _ in range(BUCKET_BITS):
        levels.append(node_hash(levels[-1], levels[-1]))
    return tuple(levels)


EMPTY_LEVELS: Final = _empty_levels()
"""Root of an empty subtree of 2^i buckets, for i from 0 to 18."""


_UNSET: Final = bytes(DIGEST_BYTES)


class UpperTree:
    """The 2^18 bucket roots and all nodes above them, as a heap in one bytearray (node n at 32*n; the root is node 1).

    A node of all zeros stands for an empty subtree, so that a small chain touches little of the 16 MiB.
    """

    __slots__ = ("_nodes",)

    def __init__(self, bucket_roots: Iterable[tuple[int, bytes]] = ()) -> None:
        self._nodes = bytearray(DIGEST_BYTES * 2 * BUCKETS)
        self.update(bucket_roots)

    @property
    def root(self) -> bytes:
        """The root over all buckets, 32 bytes."""
        return self._node(1, BUCKET_BITS)

    def update(self, bucket_roots: Iterable[tuple[int, bytes]]) -> None:
        """Set bucket roots and hash every node above them once."""
        nodes = self._nodes
        dirty = []
        for index, root in sorted(bucket_roots):
            node = BUCKETS + index
            nodes[DIGEST_BYTES * node : DIGEST_BYTES * (node + 1)] = root
            dirty.append(node)
        for level in range(BUCKET_BITS):
            above: list[int] = []
            for node in dirty:
                parent = node >> 1
                if not above or above[-1] != parent:
                    above.append(parent)
                    place = DIGEST_BYTES * parent
                    pair = bytes(nodes[2 * place : 2 * place + 2 * DIGEST_BYTES])
                    if pair.startswith(_UNSET) or pair.endswith(_UNSET):
                        pair = self._node(2 * parent, level) + self._node(2 * parent + 1, level)
                    nodes[place : place + DIGEST_BYTES] = sha256(b"\x01" + pair).digest()
            dirty = above

    def path(self, bucket: int) -> tuple[bytes, ...]:
        """Return the 18 siblings of a bucket, bucket side first."""
        return tuple(self._node((BUCKETS + bucket >> level) ^ 1, level) for level in range(BUCKET_BITS))

    def _node(self, node: int, level: int) -> bytes:
        stored = bytes(self._nodes[DIGEST_BYTES * node : DIGEST_BYTES * (node + 1)])
        return EMPTY_LEVELS[level] if stored == _UNSET else stored


class PairProof(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's place in its bucket: number `position`, the pair (64 bytes) and its inclusion path there."""

    position: int
    pair: bytes
    path: tuple[bytes, ...]


class MapProof(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that a place is taken, or free, under a root.

    `pairs` holds the one pair of a taken place, or the neighbours (none to two) of a free one; `tree_path` 18 siblings.
    """

    bucket_size: int
    pairs: tuple[PairProof, ...]
    tree_path: tuple[bytes, ...]


def prove(place: bytes, pairs: bytes, upper: UpperTree) -> MapProof:
    """Make the proof for `place` (32 bytes) from its bucket's bytes and the upper tree."""
    cut = split_pairs(pairs)
    leaves = [leaf_hash(pair) for pair in cut]
    position = bisect_left(cut, place)
    taken = position < len(cut) and cut[position][:DIGEST_BYTES] == place
    shown = [position] if taken else [i for i in (position - 1, position) if 0 <= i < len(cut)]
    return MapProof(
        bucket_size=len(cut),
        pairs=tuple(PairProof(position=i, pair=cut[i], path=path_of(leaves, i)) for i in shown),
        tree_path=upper.path(bucket_of(place)),
    )


def verify(*, place: bytes, value: bytes | None, proof: MapProof, root: bytes) -> None:
    """Check that `place` holds value hash `value` under `root`, or holds nothing when `value` is None.

    Raises: ProofError.
    """
    bucket = _verified_bucket_root(place, value, proof)
    if len(proof.tree_path) != BUCKET_BITS:
        raise ProofError("The state proof has the wrong length", do="Ask for a new one.")
    node = bucket_of(place)
    for sibling in proof.tree_path:
        bucket = node_hash(sibling, bucket) if node & 1 else node_hash(bucket, sibling)
        node >>= 1
    if bucket != root:
        raise ProofError(
            "The state proof leads to another root",
            why="The row, its absence or the root was altered",
            do="Ask for a new proof.",
        )


def _verified_bucket_root(place: bytes, value: bytes | None, proof: MapProof) -> bytes:
    """Check the pairs shown against the claim and return the bucket root they agree on."""
    places = [shown.pair[:DIGEST_BYTES] for shown in proof.pairs]
    if any(len(shown.pair) != PAIR_BYTES or bucket_of(shown.pair) != bucket_of(place) for shown in proof.pairs):
        raise ProofError("The state proof shows pairs of another bucket", do="Ask for a new proof.")
    if value is not None:
        if [shown.pair for shown in proof.pairs] != [place + value]:
            raise ProofError("The state proof is about another row", do="Ask for a proof of this row.")
    elif not proof.bucket_size:
        if proof.pairs:
            raise ProofError("The state proof shows pairs of an empty bucket", do="Ask for a new proof.")
        return EMPTY_ROOT
    else:
        _require_neighbours(place, places, proof)
    roots = {
        root_from_path(leaf=leaf_hash(shown.pair), index=shown.position, size=proof.bucket_size, path=shown.path)
        for shown in proof.pairs
    }
    if len(roots) != 1:
        raise ProofError("The state proof contradicts itself", do="Ask for a new proof.")
    return min(roots)


def _require_neighbours(place: bytes, places: Sequence[bytes], proof: MapProof) -> None:
    """Absence: the pairs shown are neighbours around `place`, or the first or last of the bucket beside it."""
    positions = [shown.position for shown in proof.pairs]
    last = proof.bucket_size - 1
    between = len(places) == 2 and positions[1] == positions[0] + 1 and places[0] < place < places[1]
    before = len(places) == 1 and positions == [0] and place < places[0]
    after = len(places) == 1 and positions == [last] and places[0] < place
    if not (between or before or after):
        raise ProofError("The state proof does not show that the row is absent", do="Ask for a new proof.")
