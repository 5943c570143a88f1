# SPDX-License-Identifier: Apache-2.0
"""The append-only log: an RFC 9162 tree, its tiles, inclusion and consistency proofs.

A tree is kept as tiles of 256 hashes, as in C2SP tlog-tiles: tile i of level 0 holds leaf hashes 256*i and on, tile i
of level L the roots of full tiles of level L-1. A proof reads a handful of tiles; appending rewrites only the last of
each level.

Source: RFC 9162 sections 2.1.1 to 2.1.4; C2SP tlog-tiles.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import DIGEST_BYTES, EMPTY_ROOT, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 2**TILE_HEIGHT
PATH_LENGTH_MAX: Final = 63  # trees stay below 2^53 leaves; one level to spare for each bit of an int64

ReadTile = Callable[[int, int], bytes]
"""(level, index) -> the tile's hashes, concatenated; empty when the tree has no such tile."""


def split_point(size: int) -> int:
    """Return the largest power of two below `size` (RFC 9162: k), for a size of at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over all leaf hashes; level by level, since RFC 9162 promotes a lone right node unchanged."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def path_of(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the inclusion path of leaf `index`, leaf side first."""
    assert 0 <= index < len(leaf_hashes)
    path, level, position = [], list(leaf_hashes), index
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, position = paired, position // 2
    return tuple(path)


class Frontier:
    """A growing tree's right edge: roots of its full subtrees, largest first. Enough to append and name the root."""

    __slots__ = ("size", "subtrees")

    def __init__(self, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self.subtrees = list(subtrees)
        assert len(self.subtrees) == size.bit_count()

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash (32 bytes)."""
        size, subtrees = self.size, self.subtrees
        while size & 1:
            leaf = node_hash(subtrees.pop(), leaf)
            size >>= 1
        subtrees.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        if not self.subtrees:
            return EMPTY_ROOT
        root = self.subtrees[-1]
        for subtree in reversed(self.subtrees[:-1]):
            root = node_hash(subtree, root)
        return root

    def copy(self) -> "Frontier":
        """Return an independent frontier of the same tree."""
        return Frontier(self.size, self.subtrees)


class TiledTree:
    """A tree of `size` leaves read through its tiles."""

    def __init__(self, size: int, read_tile: ReadTile) -> None:
        self.size, self._read_tile = size, read_tile

    def frontier(self) -> Frontier:
        """Return the right edge, to go on appending."""
        subtrees, start = [], 0
        for level in range(self.size.bit_length() - 1, -1, -1):
            if self.size >> level & 1:
                subtrees.append(self._subtree(level, start >> level))
                start += 1 << level
        return Frontier(self.size, subtrees)

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return self.frontier().root()

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` leaves."""
        return TiledTree(size, self._read_tile).root()

    def leaf(self, index: int) -> bytes:
        """Return the hash of leaf `index`."""
        return self._subtree(0, index)

    def inclusion_path(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the path of leaf `index` in the tree of the first `size` leaves (RFC 9162 section 2.1.3.1)."""
        size = self.size if size is None else size
        assert 0 <= index < size <= self.size
        start, end, path = 0, size, []
        while end - start > 1:
            middle = start + split_point(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency_path(self, old_size: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that the first `old_size` leaves are a prefix of the first `size` (RFC 9162 section
        2.1.4.1).
        """
        size = self.size if size is None else size
        assert 0 <= old_size <= size <= self.size
        if old_size in (0, size):
            return ()
        start, end, whole, path = 0, size, True, []
        while old_size != end:
            middle = start + split_point(end - start)
            if old_size <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._range(start, end))
        return tuple(reversed(path))

    def _range(self, start: int, end: int) -> bytes:
        """Return the root over leaves [start, end), where start is a multiple of the largest power of two below its
        length.
        """
        length = end - start
        if length & (length - 1) == 0 and start % length == 0:
            return self._subtree(length.bit_length() - 1, start // length)
        middle = start + split_point(length)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def _subtree(self, level: int, index: int) -> bytes:
        """Return the root of the full subtree of 2^level leaves number `index`."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        tile = self._read_tile(tile_level, first // TILE_WIDTH)
        offset = first % TILE_WIDTH * DIGEST_BYTES
        hashes = tile[offset : offset + (DIGEST_BYTES << height)]
        if len(hashes) != DIGEST_BYTES << height:
            raise ProofError(
                f"Tile {first // TILE_WIDTH} of level {tile_level} is missing or too short",
                why="The stored log does not hold all its leaves",
                do="Run `vervain audit`.",
            )
        return root_of([hashes[i : i + DIGEST_BYTES] for i in range(0, len(hashes), DIGEST_BYTES)])


class TileWriter:
    """Appends leaf hashes, collects changed tiles; frontier and last tile of each level stay in memory."""

    def __init__(self, size: int, read_tile: ReadTile) -> None:
        self.frontier = TiledTree(size, read_tile).frontier()
        self._last: list[bytearray] = []
        hashes = size
        while hashes:
            index = hashes // TILE_WIDTH
            partial = read_tile(len(self._last), index) if hashes % TILE_WIDTH else b""
            self._last.append(bytearray(partial[: hashes % TILE_WIDTH * DIGEST_BYTES]))
            hashes = index

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[tuple[int, int, bytes], ...]:
        """Add leaf hashes; return the changed tiles as (level, index, hashes), every full tile and each last one."""
        for leaf in leaf_hashes:
            self.frontier.append(leaf)
        changed: list[tuple[int, int, bytes]] = []
        level, incoming, total = 0, list(leaf_hashes), self.frontier.size
        while incoming:
            if level == len(self._last):
                self._last.append(bytearray())
            tile, full = self._last[level], []
            index = (total - len(incoming)) // TILE_WIDTH
            for item in incoming:
                tile += item
                if len(tile) == TILE_WIDTH * DIGEST_BYTES:
                    changed.append((level, index, bytes(tile)))
                    full.append(root_of([bytes(tile[i : i + DIGEST_BYTES]) for i in range(0, len(tile), DIGEST_BYTES)]))
                    tile.clear()
                    index += 1
            if tile:
                changed.append((level, index, bytes(tile)))
            level, incoming, total = level + 1, full, total // TILE_WIDTH
        return tuple(changed)


def verify_inclusion(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash `leaf` is number `index` of the tree of `size` leaves with `root` (RFC 9162 section
    2.1.3.2).

    Raises: ProofError.
    """
    if root != root_from_path(leaf=leaf, index=index, size=size, path=path):
        raise ProofError(
            "The entry is not in the log under this root",
            why="The inclusion path leads to another root",
            do="Ask for a new receipt; if that fails too, the log or the receipt was altered.",
        )


def root_from_path(*, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion path leads to.

    Raises: ProofError when the path has the wrong length for `index` and `size`.
    """
    if not 0 <= index < size or len(path) > PATH_LENGTH_MAX:
        raise ProofError("The index is outside the tree", do="Ask for a new receipt.")
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError("The inclusion path is too long for this tree", do="Ask for a new receipt.")
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise ProofError("The inclusion path is too short for this tree", do="Ask for a new receipt.")
    return root


def verify_consistency(*, old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of `old_size` leaves is a prefix of the tree of `size` (RFC 9162 section 2.1.4.2).

    Raises: ProofError.
    """
    inconsistent = ProofError(
        "The two roots do not belong to one append-only log",
        why=f"The first {old_size} leaves of the tree of {size} are not the ones seen before",
        do="Keep both checkpoints: together they are evidence of a split or altered log.",
    )
    if not 0 <= old_size <= size or len(path) > 2 * PATH_LENGTH_MAX:
        raise inconsistent
    if old_size == 0 or old_size == size:
        if path or (old_size == size and old_root != root) or (old_size == 0 and old_root != EMPTY_ROOT):
            raise inconsistent
        return
    hashes = list(path) if old_size & (old_size - 1) else [old_root, *path]
    if not hashes:
        raise inconsistent
    node, last = old_size - 1, size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old_seen = new_seen = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise inconsistent
        if node & 1 or node == last:
            old_seen, new_seen = node_hash(sibling, old_seen), node_hash(sibling, new_seen)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            new_seen = node_hash(new_seen, sibling)
        node >>= 1
        last >>= 1
    if last or old_seen != old_root or new_seen != root:
        raise inconsistent
