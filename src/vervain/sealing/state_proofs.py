# SPDX-License-Identifier: Apache-2.0
"""What a receipt says about one row of the proved state: present with a value, or absent.

The bucket's number and the directions above it are never carried; the verifier derives them from table and key.

Source: rulings.md "State"; ledger/primitives/proved_map.py.
"""

from typing import Annotated, Final

import msgspec

from vervain.ledger.primitives.codec import Natural
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import DIGEST_BYTES
from vervain.ledger.primitives.merkle_log import PATH_LENGTH_MAX
from vervain.ledger.primitives.proved_map import (
    BUCKET_BITS,
    PAIR_BYTES,
    MapProof,
    PairProof,
    map_key,
    value_hash,
    verify,
)

BUCKET_PAIRS_MAX: Final = 2**32  # rows of one bucket
NEIGHBOURS_MAX: Final = 2

Hash = Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
Path = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=PATH_LENGTH_MAX)]
TableName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[ -~]+\Z")]
BucketSize = Annotated[int, msgspec.Meta(ge=0, le=BUCKET_PAIRS_MAX)]
TreePath = Annotated[tuple[Hash, ...], msgspec.Meta(min_length=BUCKET_BITS, max_length=BUCKET_BITS)]


class Neighbour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row's 64-byte pair next to an absent one, its number in the bucket and its path there."""

    pair: Annotated[bytes, msgspec.Meta(min_length=PAIR_BYTES, max_length=PAIR_BYTES)]
    path: Path
    position: Natural


class PresentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row is in the state.

    Attributes:
        table: Name of a proved table.
        key: The row's key, any bytes.
        value: The row's canonical JSON object.
        position, bucket_size, bucket_path: The row's place in its bucket.
        tree_path: 18 siblings above the bucket.
    """

    table: TableName
    key: bytes
    value: msgspec.Raw
    position: Natural
    bucket_size: BucketSize
    bucket_path: Path
    tree_path: TreePath


class AbsentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No row with this key is in the state: its neighbours (none in an empty bucket) leave no room between them."""

    table: TableName
    key: bytes
    bucket_size: BucketSize
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
    if row is None:
        return AbsentRow(
            table=table,
            key=key,
            bucket_size=proof.bucket_size,
            bucket_neighbours=tuple(
                Neighbour(pair=shown.pair, path=shown.path, position=shown.position) for shown in proof.pairs
            ),
            tree_path=proof.tree_path,
        )
    (shown,) = proof.pairs
    return PresentRow(
        table=table,
        key=key,
        value=msgspec.Raw(row),
        position=shown.position,
        bucket_size=proof.bucket_size,
        bucket_path=shown.path,
        tree_path=proof.tree_path,
    )


def verify_state(claim: StateClaim, proved_root: bytes) -> bytes | None:
    """Check a claim under a block leaf's `proved_root`; return the row's bytes, or None when it is proved absent.

    Raises: ProofError.
    """
    place = map_key(claim.table, claim.key)
    if isinstance(claim, AbsentRow):
        pairs = tuple(PairProof(position=n.position, pair=n.pair, path=n.path) for n in claim.bucket_neighbours)
        proof = MapProof(bucket_size=claim.bucket_size, pairs=pairs, tree_path=claim.tree_path)
        verify(place=place, value=None, proof=proof, root=proved_root)
        return None
    if claim.position >= claim.bucket_size:
        raise ProofError("The row's number is outside its bucket", do="Ask for a new receipt.")
    row = bytes(claim.value)
    value = value_hash(row)
    shown = PairProof(position=claim.position, pair=place + value, path=claim.bucket_path)
    proof = MapProof(bucket_size=claim.bucket_size, pairs=(shown,), tree_path=claim.tree_path)
    verify(place=place, value=value, proof=proof, root=proved_root)
    return row
