# SPDX-License-Identifier: Apache-2.0
"""The log's tree against RFC 9162 as it is written there: recursive definitions, every size and index, and forgeries.

Published vectors are checked in tests/vectors.
"""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as some

from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import (
    TILE_WIDTH,
    Frontier,
    TiledTree,
    TileWriter,
    path_of,
    root_from_path,
    root_of,
    split_point,
    verify_consistency,
    verify_inclusion,
)

SIZES = range(1, 34)
EDGES = (1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537)


def leaves(size: int) -> list[bytes]:
    """Return the hashes of `size` different leaves."""
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(size)]


def head_as_written(entries: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word by word: MTH over leaf hashes."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return entries[0]
    k = max(2**i for i in range(32) if 2**i < len(entries))
    return sha256(b"\x01" + head_as_written(entries[:k]) + head_as_written(entries[k:])).digest()


def path_as_written(index: int, entries: list[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, word by word: PATH(m, D_n)."""
    if len(entries) == 1:
        return []
    k = max(2**i for i in range(32) if 2**i < len(entries))
    if index < k:
        return [*path_as_written(index, entries[:k]), head_as_written(entries[k:])]
    return [*path_as_written(index - k, entries[k:]), head_as_written(entries[:k])]


def proof_as_written(old: int, entries: list[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.4.1, word by word: PROOF(m, D_n)."""

    def subproof(m: int, part: list[bytes], whole: bool) -> list[bytes]:
        if m == len(part):
            return [] if whole else [head_as_written(part)]
        k = max(2**i for i in range(32) if 2**i < len(part))
        if m <= k:
            return [*subproof(m, part[:k], whole), head_as_written(part[k:])]
        return [*subproof(m - k, part[k:], False), head_as_written(part[:k])]

    return subproof(old, entries, True)


class Tiles:
    """A growing tree with its tiles in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], bytes] = {}
        self.writer = TileWriter(0, self.read)

    def read(self, level: int, index: int) -> bytes:
        """Return a tile, or nothing."""
        return self.kept.get((level, index), b"")

    def append(self, hashes: list[bytes]) -> None:
        """Append leaf hashes and keep the changed tiles."""
        for level, index, tile in self.writer.append(hashes):
            self.kept[level, index] = tile

    def tree(self) -> TiledTree:
        """Return the tree as its tiles hold it."""
        return TiledTree(self.writer.frontier.size, self.read)


@pytest.mark.parametrize("size", [0, *SIZES])
def test_root_is_as_written(size: int) -> None:
    """
    Given up to 33 leaves.
    When the root is computed at once, and leaf by leaf.
    Then both are RFC 9162's.
    """
    entries, frontier = leaves(size), Frontier()
    for leaf in entries:
        frontier.append(leaf)
    assert root_of(entries) == frontier.root() == head_as_written(entries)
    assert frontier.size == size


def test_frontier_copy_is_independent() -> None:
    """
    Given a frontier of three leaves.
    When a copy grows.
    Then the first stays as it was.
    """
    frontier = Frontier()
    for leaf in leaves(3):
        frontier.append(leaf)
    root = frontier.root()
    copy = frontier.copy()
    copy.append(leaf_hash(b"more"))
    assert (frontier.size, frontier.root()) == (3, root) and copy.root() != root


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_path_is_as_written_and_verifies(size: int) -> None:
    """
    Given a tree of up to 33 leaves.
    When each leaf's path is computed, over a list and over tiles.
    Then both are RFC 9162's and lead to the root.
    """
    entries, tiles = leaves(size), Tiles()
    tiles.append(entries)
    tree, root = tiles.tree(), head_as_written(entries)
    for index in range(size):
        path = tuple(path_as_written(index, entries))
        assert path_of(entries, index) == tree.inclusion_path(index) == path
        verify_inclusion(leaf=entries[index], index=index, size=size, path=path, root=root)


@pytest.mark.parametrize("size", SIZES)
def test_every_consistency_path_is_as_written_and_verifies(size: int) -> None:
    """
    Given a tree of up to 33 leaves.
    When it is shown to continue each of its prefixes.
    Then the paths are RFC 9162's, and verify; the empty tree is continued by any.
    """
    entries, tiles = leaves(size), Tiles()
    tiles.append(entries)
    tree, root = tiles.tree(), head_as_written(entries)
    for old in range(1, size + 1):
        path = tree.consistency_path(old)
        assert path == tuple(proof_as_written(old, entries))
        old_root = head_as_written(entries[:old])
        verify_consistency(old_size=old, old_root=old_root, size=size, root=root, path=path)
    verify_consistency(old_size=0, old_root=head_as_written([]), size=size, root=root, path=tree.consistency_path(0))


def test_older_trees_are_read_from_newer_tiles() -> None:
    """
    Given the tiles of 600 leaves.
    When paths of the trees of 300 and 512 leaves are asked for.
    Then they are those of these trees.
    """
    entries, tiles = leaves(600), Tiles()
    tiles.append(entries)
    tree = tiles.tree()
    for size in (300, 512):
        for index in (0, 255, 256, size - 1):
            assert tree.inclusion_path(index, size) == path_of(entries[:size], index)
        path = tree.consistency_path(257, size)
        verify_consistency(
            old_size=257, old_root=root_of(entries[:257]), size=size, root=root_of(entries[:size]), path=path
        )


@pytest.mark.parametrize("size", EDGES)
def test_tiles_hold_the_tree_at_their_edges(size: int) -> None:
    """
    Given a tree around the edges of tiles of one, two and three levels.
    When it is read back from its tiles, and written on by a new writer.
    Then roots, leaves and paths are right before and after.
    """
    entries, tiles = leaves(size), Tiles()
    tiles.append(entries)
    tree = tiles.tree()
    assert tree.root() == root_of(entries)
    assert {key for key in tiles.kept if len(tiles.kept[key]) > TILE_WIDTH * 32} == set()
    for index in (0, size // 2, size - 1):
        assert tree.leaf(index) == entries[index]
        path = tree.inclusion_path(index)
        verify_inclusion(leaf=entries[index], index=index, size=size, path=path, root=root_of(entries))
    tiles.writer = TileWriter(size, tiles.read)
    tiles.append([leaf_hash(b"one more")])
    assert tiles.tree().root() == root_of([*entries, leaf_hash(b"one more")])


@given(some.lists(some.integers(0, 300), min_size=1, max_size=8), some.booleans())
def test_tiles_do_not_depend_on_how_leaves_come(batches: list[int], reopened: bool) -> None:
    """
    Given the same leaves in any batches, with a new writer for each or one for all.
    When they are appended.
    Then the tiles are those of all leaves at once.
    """
    entries, tiles, whole, position = leaves(sum(batches)), Tiles(), Tiles(), 0
    for batch in batches:
        tiles.append(entries[position : position + batch])
        position += batch
        if reopened:
            tiles.writer = TileWriter(position, tiles.read)
    whole.append(entries)
    assert tiles.kept == whole.kept
    assert tiles.writer.frontier.root() == root_of(entries)


def test_missing_tile_is_told() -> None:
    """
    Given a tree of 300 leaves whose second tile is gone or too short.
    When a leaf there is asked for.
    Then ProofError names the tile.
    """
    tiles = Tiles()
    tiles.append(leaves(300))
    for damaged in (b"", tiles.kept[0, 1][:64]):
        tiles.kept[0, 1] = damaged
        with pytest.raises(ProofError, match="Tile 1 of level 0"):
            TiledTree(300, tiles.read).leaf(299)


@given(some.integers(1, 40), some.data())
def test_forged_inclusion_is_refused(size: int, data: some.DataObject) -> None:
    """
    Given a good inclusion proof.
    When the leaf, the index, the size, the root or any part of the path is another.
    Then ProofError, or the changed index and size still lead by the same turns to the same root and leaf.
    """
    entries = leaves(size)
    root = root_of(entries)
    index = data.draw(some.integers(0, size - 1))
    path = path_of(entries, index)
    for forged_leaf, forged_root in ((leaf_hash(b"forged"), root), (entries[index], leaf_hash(b"forged"))):
        with pytest.raises(ProofError):
            verify_inclusion(leaf=forged_leaf, index=index, size=size, path=path, root=forged_root)
    forged_paths = [(*path, entries[0]), *(path[:i] + path[i + 1 :] for i in range(len(path)))]
    forged_paths += [(*path[:i], leaf_hash(b"forged"), *path[i + 1 :]) for i in range(len(path))]
    for forged in forged_paths:
        with pytest.raises(ProofError):
            verify_inclusion(leaf=entries[index], index=index, size=size, path=forged, root=root)
    with pytest.raises(ProofError):
        root_from_path(leaf=entries[index], index=size, size=size, path=path)


def test_no_other_index_of_the_same_size_verifies() -> None:
    """
    Given each leaf of each tree of up to 12 leaves, with its path.
    When it is claimed to stand at another index of the same size.
    Then ProofError.
    """
    for size in range(2, 13):
        entries = leaves(size)
        root = root_of(entries)
        for index in range(size):
            path = path_of(entries, index)
            for other in range(size):
                if other != index:
                    with pytest.raises(ProofError):
                        verify_inclusion(leaf=entries[index], index=other, size=size, path=path, root=root)


@given(some.integers(2, 40), some.data())
def test_forged_consistency_is_refused(size: int, data: some.DataObject) -> None:
    """
    Given a good consistency proof of two different trees.
    When a root or any part of the path is another, or a part is missing or too many.
    Then ProofError.
    """
    entries, tiles = leaves(size), Tiles()
    tiles.append(entries)
    old = data.draw(some.integers(1, size - 1))
    path = tiles.tree().consistency_path(old)
    old_root, root, forged_hash = root_of(entries[:old]), root_of(entries), leaf_hash(b"forged")
    forged_paths = [(*path, forged_hash), *(path[:i] + path[i + 1 :] for i in range(len(path)))]
    forged_paths += [(*path[:i], forged_hash, *path[i + 1 :]) for i in range(len(path))]
    cases = [(old_root, root, forged) for forged in forged_paths]
    cases += [(forged_hash, root, path), (old_root, forged_hash, path)]
    for case_old_root, case_root, case_path in cases:
        with pytest.raises(ProofError):
            verify_consistency(old_size=old, old_root=case_old_root, size=size, root=case_root, path=case_path)


@pytest.mark.parametrize(
    ("old_size", "size", "same_root", "path"),
    [(5, 4, False, ()), (4, 4, False, ()), (4, 4, True, (b"x" * 32,)), (0, 4, False, (b"x" * 32,)), (-1, 4, False, ())],
    ids=["shrunk", "same_size_another_root", "same_size_with_a_path", "empty_with_a_path", "negative"],
)
def test_consistency_of_the_edges_is_refused(
    old_size: int, size: int, same_root: bool, path: tuple[bytes, ...]
) -> None:
    """
    Given a tree that shrank, or changed at the same size, or a path where there is none.
    When it is to continue the older one.
    Then ProofError.
    """
    root = root_of(leaves(4))
    old_root = root if same_root else root_of(leaves(5))
    with pytest.raises(ProofError):
        verify_consistency(old_size=old_size, old_root=old_root, size=size, root=root, path=path)


def test_empty_old_tree_needs_the_empty_root() -> None:
    """
    Given the claim that a log began with another root than the empty one.
    When it is verified at size 0.
    Then ProofError.
    """
    with pytest.raises(ProofError):
        verify_consistency(old_size=0, old_root=leaf_hash(b"x"), size=4, root=root_of(leaves(4)), path=())


def test_split_point_is_the_largest_power_below() -> None:
    """
    Given sizes from 2 on.
    When they are split.
    Then at the largest power of two below.
    """
    assert [split_point(size) for size in (2, 3, 4, 5, 8, 9, 256, 257)] == [1, 2, 2, 4, 4, 8, 128, 256]
