# SPDX-License-Identifier: Apache-2.0
"""The proved map: against a plain dict, presence and absence in every place of a bucket, and forgeries.

Places are crafted so that several fall into one bucket; by hash they hardly ever do in a small map.
"""

from bisect import bisect_left
from hashlib import sha256
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import EMPTY_ROOT, leaf_hash, node_hash
from vervain.ledger.primitives.merkle_log import path_of
from vervain.ledger.primitives.proved_map import (
    BUCKET_BITS,
    BUCKETS,
    EMPTY_LEVELS,
    MapProof,
    PairProof,
    UpperTree,
    bucket_of,
    bucket_root,
    map_key,
    prove,
    split_pairs,
    update_bucket,
    value_hash,
    verify,
)


def place(bucket: int, number: int) -> bytes:
    """Return a place in a bucket; larger numbers sort later."""
    return (bucket << (24 - BUCKET_BITS)).to_bytes(3, "big") + number.to_bytes(29, "big")


def value(number: int) -> bytes:
    """Return a value hash."""
    return value_hash(b"row %d" % number)


class SmallMap:
    """A map kept as storage keeps it: buckets of pairs, and the upper tree."""

    def __init__(self) -> None:
        self.buckets: dict[int, bytes] = {}
        self.upper = UpperTree()

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        """Write a block's changes."""
        by_bucket: dict[int, dict[bytes, bytes | None]] = {}
        for where, what in changes.items():
            by_bucket.setdefault(bucket_of(where), {})[where] = what
        roots = []
        for bucket, bucket_changes in by_bucket.items():
            pairs = update_bucket(self.buckets.get(bucket, b""), bucket_changes)
            self.buckets[bucket] = b"".join(pairs)
            roots.append((bucket, bucket_root(pairs)))
        self.upper.update(roots)

    def proof(self, where: bytes) -> MapProof:
        """Return the proof about a place."""
        return prove(where, self.buckets.get(bucket_of(where), b""), self.upper)


def root_by_hand(rows: dict[bytes, bytes]) -> bytes:
    """Compute the root from a plain dict, level by level, with nothing of the map's code but the empty levels."""
    buckets: dict[int, list[bytes]] = {}
    for where in sorted(rows):
        number = int.from_bytes(where[:3], "big") // 64
        buckets.setdefault(number, []).append(sha256(b"\x00" + where + rows[where]).digest())
    level = {number: _rfc_root(hashes) for number, hashes in buckets.items()}
    for height in range(18):
        empty = EMPTY_LEVELS[height]
        level = {
            parent: sha256(b"\x01" + level.get(2 * parent, empty) + level.get(2 * parent + 1, empty)).digest()
            for parent in {number // 2 for number in level}
        }
    return level.get(0, EMPTY_LEVELS[18])


def _rfc_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    k = max(2**i for i in range(20) if 2**i < len(hashes))
    return sha256(b"\x01" + _rfc_root(hashes[:k]) + _rfc_root(hashes[k:])).digest()


def test_places_and_values_are_the_agreed_digests() -> None:
    """
    Given a table, a key and a row.
    When place, value hash and bucket are computed by hand.
    Then they are those of the formats page.
    """
    expected = sha256(b"vervain/key/v1\nconsent.consents\n" + b"k" * 32).digest()
    assert map_key("consent.consents", b"k" * 32) == expected
    assert value_hash(b"{}") == sha256(b"\x02{}").digest()
    assert bucket_of(b"\xff" * 32) == BUCKETS - 1 and bucket_of(bytes(2) + b"\x40" + bytes(29)) == 1


def test_empty_levels_are_hashes_of_each_other() -> None:
    """
    Given the roots of empty subtrees.
    When each is hashed with itself.
    Then it is the next, from the empty root up to the empty map's.
    """
    assert EMPTY_LEVELS[0] == EMPTY_ROOT and len(EMPTY_LEVELS) == 19
    assert [node_hash(level, level) for level in EMPTY_LEVELS[:-1]] == list(EMPTY_LEVELS[1:])
    assert UpperTree().root == EMPTY_LEVELS[18] == root_by_hand({})


BUCKETS_USED = (0, 1, 2, 7, BUCKETS - 1)
places = some.builds(place, some.sampled_from(BUCKETS_USED), some.integers(0, 8))
blocks = some.lists(
    some.dictionaries(places, some.none() | some.integers(0, 3).map(value), max_size=6), min_size=1, max_size=6
)


@settings(max_examples=40)
@given(blocks)
def test_map_is_a_dict_with_proofs(history: list[dict[bytes, bytes | None]]) -> None:
    """
    Given any blocks of writes and deletions, crowded into five buckets.
    When they are written to the map and to a dict.
    Then the root is the dict's, computed by hand; a fresh tree over the bucket roots has it too; and every place, taken
    or free, proves what the dict says, and not the contrary.
    """
    tested, reference = SmallMap(), dict[bytes, bytes]()
    for changes in history:
        tested.write(changes)
        reference |= {where: what for where, what in changes.items() if what is not None}
        reference = {where: what for where, what in reference.items() if changes.get(where, what) is not None}
        assert tested.upper.root == root_by_hand(reference)
    root = tested.upper.root
    reopened = UpperTree((bucket, bucket_root(split_pairs(pairs))) for bucket, pairs in tested.buckets.items())
    assert reopened.root == root
    for bucket, number in product(BUCKETS_USED, range(9)):
        where = place(bucket, number)
        proof, what = tested.proof(where), reference.get(where)
        verify(place=where, value=what, proof=proof, root=root)
        with pytest.raises(ProofError):
            verify(place=where, value=value(99) if what is None else None, proof=proof, root=root)


@pytest.fixture(scope="module")
def crowded() -> SmallMap:
    """A map with buckets of no, one, three and four pairs."""
    made = SmallMap()
    rows = [place(1, 5), *(place(2, n) for n in (2, 4, 6)), *(place(3, n) for n in (2, 4, 6, 8))]
    made.write({where: value(1) for where in rows})
    return made


def test_absence_is_shown_by_neighbours(crowded: SmallMap) -> None:
    """
    Given buckets of no, one and three pairs.
    When absence is proved in an empty bucket, before the first, between two and after the last pair.
    Then none, one, two and one pairs are shown.
    """
    wheres = [place(0, 1), place(1, 1), place(1, 9), place(2, 1), place(2, 3), place(2, 9)]
    proofs = [crowded.proof(where) for where in wheres]
    assert [[shown.position for shown in proof.pairs] for proof in proofs] == [[], [0], [0], [0], [0, 1], [2]]
    for where, proof in zip(wheres, proofs, strict=True):
        verify(place=where, value=None, proof=proof, root=crowded.upper.root)


def forgeries(crowded: SmallMap) -> dict[str, tuple[bytes, bytes | None, MapProof]]:
    """Return claims that are not so, each with the best proof there is for it."""
    taken, free = place(2, 4), place(2, 3)
    of_taken, of_free, empty = crowded.proof(taken), crowded.proof(free), crowded.proof(place(0, 1))
    pairs = split_pairs(crowded.buckets[2])
    leaves = [leaf_hash(pair) for pair in pairs]
    shown = [PairProof(position=i, pair=pair, path=path_of(leaves, i)) for i, pair in enumerate(pairs)]
    stray = place(0, 2) + value(1)
    short, moved = of_taken.tree_path[:-1], (of_taken.tree_path[1], of_taken.tree_path[0], *of_taken.tree_path[2:])
    return {
        "another_value": (taken, value(2), of_taken),
        "present_as_absent": (taken, None, of_taken),
        "absent_as_present": (free, value(1), of_free),
        "empty_bucket_claimed": (taken, None, replace(of_taken, bucket_size=0, pairs=())),
        "empty_bucket_with_pairs": (free, None, replace(of_free, bucket_size=0)),
        "true_absence_with_stray_pairs": (place(0, 1), None, replace(empty, pairs=(replace(shown[0], pair=stray),))),
        "empty_bucket_as_present": (place(0, 1), value(1), empty),
        "no_pairs_of_a_full_bucket": (free, None, replace(of_free, pairs=())),
        "neighbours_with_one_left_out": (taken, None, replace(of_taken, pairs=(shown[0], shown[2]))),
        "left_neighbour_alone": (taken, None, replace(of_taken, pairs=(shown[0],))),
        "right_neighbour_alone": (taken, None, replace(of_taken, pairs=(shown[2],))),
        "last_claimed_earlier": (taken, None, replace(of_taken, bucket_size=1, pairs=(shown[0],))),
        "first_claimed_later": (taken, None, replace(of_taken, pairs=(replace(shown[2], position=0),))),
        "positions_made_adjacent": (taken, None, replace(of_taken, pairs=(shown[0], replace(shown[2], position=1)))),
        "neighbours_swapped": (free, None, replace(of_free, pairs=(shown[1], shown[0]))),
        "two_buckets_mixed": (free, None, replace(of_free, pairs=(shown[0], crowded.proof(place(3, 4)).pairs[0]))),
        "proof_of_another_bucket": (place(3, 4), value(1), of_taken),
        "proof_of_another_row": (place(2, 6), value(1), of_taken),
        "tree_path_short": (taken, value(1), replace(of_taken, tree_path=short)),
        "tree_path_long": (taken, value(1), replace(of_taken, tree_path=(*of_taken.tree_path, bytes(32)))),
        "tree_path_moved": (taken, value(1), replace(of_taken, tree_path=moved)),
        "pair_cut": (taken, value(1), replace(of_taken, pairs=(replace(shown[1], pair=shown[1].pair[:63]),))),
        "path_of_another_pair": (taken, value(1), replace(of_taken, pairs=(replace(shown[1], path=shown[2].path),))),
    }


NAMES = (
    "another_value present_as_absent absent_as_present empty_bucket_claimed empty_bucket_with_pairs "
    "true_absence_with_stray_pairs "
    "empty_bucket_as_present no_pairs_of_a_full_bucket neighbours_with_one_left_out left_neighbour_alone "
    "right_neighbour_alone last_claimed_earlier first_claimed_later positions_made_adjacent neighbours_swapped "
    "two_buckets_mixed proof_of_another_bucket proof_of_another_row tree_path_short tree_path_long tree_path_moved "
    "pair_cut path_of_another_pair"
).split()


WORDS = {
    "tree_path_short": "wrong length",
    "tree_path_long": "wrong length",
    "proof_of_another_bucket": "pairs of another bucket",
    "two_buckets_mixed": "pairs of another bucket",
    "true_absence_with_stray_pairs": "pairs of an empty bucket",
}  # where a later check would refuse as well


@pytest.mark.parametrize("name", NAMES)
def test_forged_proof_is_refused(crowded: SmallMap, name: str) -> None:
    """
    Given a claim that is not so.
    When it is verified with the best forgery of that kind.
    Then ProofError.
    """
    known = forgeries(crowded)
    assert set(known) == set(NAMES)
    where, what, proof = known[name]
    with pytest.raises(ProofError, match=WORDS.get(name)):
        verify(place=where, value=what, proof=proof, root=crowded.upper.root)


def test_true_claim_is_refused_under_another_root(crowded: SmallMap) -> None:
    """
    Given a good proof.
    When it is verified under the root of an empty map.
    Then ProofError.
    """
    where = place(2, 4)
    with pytest.raises(ProofError, match="another root"):
        verify(place=where, value=value(1), proof=crowded.proof(where), root=EMPTY_LEVELS[18])


def test_no_claimed_sizes_and_positions_hide_a_row(crowded: SmallMap) -> None:
    """
    Given each row of buckets of one, three and four pairs.
    When its absence is claimed with any one or two real pairs, at any positions of any bucket size up to six.
    Then ProofError every time: sizes and positions are the prover's word, but the turns of the paths are not.
    """
    for bucket in (1, 2, 3):
        pairs = split_pairs(crowded.buckets[bucket])
        leaves = [leaf_hash(pair) for pair in pairs]
        real = [(pair, path_of(leaves, index)) for index, pair in enumerate(pairs)]
        tree_path = crowded.upper.path(bucket)
        for pair, size in product(pairs, range(7)):
            where = pair[:32]
            singles = [
                (PairProof(position=position, pair=shown, path=path),)
                for position in range(size)
                for shown, path in real
            ]
            doubles = [
                (
                    PairProof(position=position, pair=one, path=path),
                    PairProof(position=position + 1, pair=two, path=two_path),
                )
                for position in range(size - 1)
                for (one, path), (two, two_path) in product(real, real)
            ]
            for shown_pairs in (*singles, *doubles, ()):
                proof = MapProof(bucket_size=size, pairs=shown_pairs, tree_path=tree_path)
                with pytest.raises(ProofError):
                    verify(place=where, value=None, proof=proof, root=crowded.upper.root)


def test_update_bucket_keeps_pairs_sorted_and_ignores_deleting_nothing() -> None:
    """
    Given a bucket of two pairs.
    When one is replaced, one added before, and one deleted that is not there.
    Then the pairs stand sorted by place.
    """
    first = b"".join(update_bucket(b"", {place(1, 5): value(1), place(1, 3): value(2)}))
    assert split_pairs(first) == [place(1, 3) + value(2), place(1, 5) + value(1)]
    changed = update_bucket(first, {place(1, 5): value(7), place(1, 1): value(3), place(1, 9): None})
    assert changed == [place(1, 1) + value(3), place(1, 3) + value(2), place(1, 5) + value(7)]
    assert bisect_left(changed, place(1, 3)) == 1
    assert update_bucket(first, {place(1, 3): None, place(1, 5): None}) == []
