# SPDX-License-Identifier: Apache-2.0
"""What a receipt says about one row of the proved state: present with a value, or absent.

Rules kept:
1. The bucket's number and the directions above it are never carried; the verifier derives them from table and key.
2. Inside a bucket a leaf's position is its directions, one bit a hash of its path. A leaf's number and the bucket's
   size would not do: no root binds them, so one proof could be written in several ways (size 5 or 7 for the first).

Source: rulings.md "State"; ledger/primitives/proved_map.py.
"""

from typing import Annotated, Final

import msgspec

from vervain.ledger.primitives.codec import Natural
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import DIGEST_BYTES, EMPTY_ROOT, leaf_hash, node_hash
from vervain.ledger.primitives.merkle_log import PATH_LENGTH_MAX
from vervain.ledger.primitives.proved_map import BUCKET_BITS, PAIR_BYTES, MapProof, bucket_of, map_key, value_hash

NEIGHBOURS_MAX: Final = 2

Hash = Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
Path = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=PATH_LENGTH_MAX)]
TableName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[ -~]+\Z")]
TreePath = Annotated[tuple[Hash, ...], msgspec.Meta(min_length=BUCKET_BITS, max_length=BUCKET_BITS)]


class Neighbour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row's 64-byte pair next to an absent one, its path in the bucket and its directions there."""

    pair: Annotated[bytes, msgspec.Meta(min_length=PAIR_BYTES, max_length=PAIR_BYTES)]
    path: Path
    position: Natural


class PresentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row is in the state.

    Attributes:
        table: Name of a proved table.
        key: The row's key, any bytes.
        value: The row's canonical JSON object.
        bucket_path: The row's path in its bucket, leaf side first.
        position: Its directions: bit i is set when hash i of the path stands on the left.
        tree_path: 18 siblings above the bucket.
    """

    table: TableName
    key: bytes
    value: msgspec.Raw
    position: Natural
    bucket_path: Path
    tree_path: TreePath


class AbsentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No row with this key is in the state: its neighbours (none in an empty bucket) leave no room between them."""

    table: TableName
    key: bytes
    bucket_neighbours: Annotated[tuple[Neighbour, ...], msgspec.Meta(max_length=NEIGHBOURS_MAX)]
    tree_path: TreePath


StateClaim = PresentRow | AbsentRow


def claim_of(*, table: str, key: bytes, row: bytes | None, proof: MapProof) -> StateClaim:
    """Return what a receipt carries, from the machine's proof.

    Args:
        table: Name of the proved table.
        key: The row's key, without the table number.
        row: The row's canonical bytes, or None to claim that it is absent.
        proof: From `proved_map.prove`.
    """
    shown = tuple(
        Neighbour(pair=one.pair, path=one.path, position=directions(one.position, proof.bucket_size))
        for one in proof.pairs
    )
    if row is None:
        return AbsentRow(table=table, key=key, bucket_neighbours=shown, tree_path=proof.tree_path)
    (own,) = shown
    return PresentRow(
        table=table,
        key=key,
        value=msgspec.Raw(row),
        position=own.position,
        bucket_path=own.path,
        tree_path=proof.tree_path,
    )


def directions(index: int, size: int) -> int:
    """Return the way of leaf `index` in an RFC 9162 tree: bit i is set when sibling i stands on the left."""
    node, last, bits, level = index, size - 1, 0, 0
    while last:
        if node & 1 or node == last:
            bits |= 1 << level
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        node, last, level = node >> 1, last >> 1, level + 1
    return bits


def verify_state(claim: StateClaim, proved_root: bytes) -> bytes | None:
    """Check a claim under a block leaf's `proved_root`; return the row's bytes, or None when it is proved absent.

    Raises: ProofError.
    """
    place = map_key(claim.table, claim.key)
    row: bytes | None = None
    if isinstance(claim, PresentRow):
        row = bytes(claim.value)
        own = Neighbour(pair=place + value_hash(row), path=claim.bucket_path, position=claim.position)
        node = _root_above(own)
    else:
        node = _verified_absence(place, claim.bucket_neighbours)
    bucket = bucket_of(place)
    for level, sibling in enumerate(claim.tree_path):
        node = node_hash(sibling, node) if bucket >> level & 1 else node_hash(node, sibling)
    if node != proved_root:
        raise ProofError(
            "The row is not proved by this block",
            why="The row, its absence or the proof was altered",
            do="Ask for a new receipt.",
        )
    return row


def _root_above(shown: Neighbour) -> bytes:
    """Return the bucket root that a pair's path leads to."""
    if shown.position >= 1 << len(shown.path):
        raise ProofError("A row's position does not fit its path", do="Ask for a new receipt.")
    node = leaf_hash(shown.pair)
    for level, sibling in enumerate(shown.path):
        node = node_hash(sibling, node) if shown.position >> level & 1 else node_hash(node, sibling)
    return node


def _verified_absence(place: bytes, neighbours: tuple[Neighbour, ...]) -> bytes:
    """Return the bucket root, after checking that the neighbours leave no room for `place`."""
    if not neighbours:
        return EMPTY_ROOT
    first, last = neighbours[0], neighbours[-1]
    if len(neighbours) == NEIGHBOURS_MAX:
        leaves_no_room = first.pair[:DIGEST_BYTES] < place < last.pair[:DIGEST_BYTES] and _are_adjacent(first, last)
    else:
        is_leftmost, is_rightmost = first.position == 0, first.position == (1 << len(first.path)) - 1
        own_place = first.pair[:DIGEST_BYTES]
        leaves_no_room = (is_leftmost and place < own_place) or (is_rightmost and own_place < place)
    same_bucket = all(bucket_of(shown.pair) == bucket_of(place) for shown in neighbours)
    roots = {_root_above(shown) for shown in neighbours}
    if not leaves_no_room or not same_bucket or len(roots) != 1:
        raise ProofError("The proof does not show that the row is absent", do="Ask for a new receipt.")
    return roots.pop()


def _are_adjacent(left: Neighbour, right: Neighbour) -> bool:
    """Tell whether no leaf can stand between two.

    Seen from the root both go the same way, until one turns left and then only right, the other the reverse.
    """
    ways = []
    for shown, first_turn in ((left, "0"), (right, "1")):
        from_root = f"{shown.position:b}".zfill(len(shown.path)) if shown.path else ""
        last_turn = from_root.rfind(first_turn)
        if last_turn < 0:
            return False
        ways.append(from_root[:last_turn])
    return ways[0] == ways[1]
