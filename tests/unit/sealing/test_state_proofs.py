# SPDX-License-Identifier: Apache-2.0
"""State proofs: a row present or absent under a block leaf, and claims that must fail, in both verifiers."""

import json
from collections import defaultdict
from typing import Any

import pytest

from tests.receipt_builder import LogBuilder
from vervain import verify
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import path_of, root_of
from vervain.ledger.primitives.proved_map import bucket_of, map_key, value_hash
from vervain.sealing.receipts import verify_receipt
from vervain.sealing.state_proofs import Neighbour, _are_adjacent, _root_above, directions
from vervain.sealing.trust import read_trust

TABLE = "consent.grants"


def crowded_keys() -> tuple[bytes, bytes, bytes, bytes]:
    """Return four keys of one bucket, in the order of their places."""
    buckets: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for number in range(200_000):
        key = number.to_bytes(4, "big")
        place = map_key(TABLE, key)
        bucket = buckets[bucket_of(place)]
        bucket.append((place, key))
        if len(bucket) == 4:
            first, second, third, fourth = (key for _, key in sorted(bucket))
            return first, second, third, fourth
    raise AssertionError("four of 200,000 keys share one of 262,144 buckets")


FIRST, SECOND, THIRD, FOURTH = crowded_keys()
LOG = LogBuilder(seed="state", validators=1, witnesses=1)
for stored in (FIRST, THIRD, FOURTH):
    LOG.put_row(TABLE, stored, {"key": stored.hex()})
BLOCK = LOG.end_block()
TRUST, COURT_TRUST = read_trust(LOG.trust_bytes()), verify.read_trust(LOG.trust_bytes())


def state_of(key: bytes) -> dict[str, Any]:
    """Return the claim that the honest proof of `key` makes."""
    state: dict[str, Any] = json.loads(LOG.state_receipt(TABLE, key, BLOCK).split(b"\n")[-2])["state"]
    return state


def receipt_with(state: dict[str, Any]) -> bytes:
    """Return a receipt of the block leaf with another claim."""
    lines = LOG.state_receipt(TABLE, FIRST, BLOCK).split(b"\n")
    proof = json.loads(lines[-2]) | {"state": state}
    return b"\n".join([*lines[:-2], verify.canonical_json(proof), b""])


def assert_not_proved(state: dict[str, Any]) -> None:
    """Both verifiers refuse the claim."""
    receipt = receipt_with(state)
    with pytest.raises(ProofError):
        verify_receipt(receipt, TRUST)
    with pytest.raises(verify.ProofError):
        verify.verify(receipt, COURT_TRUST)


@pytest.mark.parametrize("key", [FIRST, THIRD, FOURTH])
def test_present_row_is_proved(key: bytes) -> None:
    """Given a row of a crowded bucket, then its bytes are proved by both verifiers."""
    receipt = LOG.state_receipt(TABLE, key, BLOCK)
    expected = f'{{"key":"{key.hex()}"}}'.encode()
    assert verify_receipt(receipt, TRUST).row == expected
    assert verify.verify(receipt, COURT_TRUST).row == expected


def test_absent_row_is_proved_between_its_neighbours() -> None:
    """Given a key whose place lies between two rows, then its absence is proved by both verifiers."""
    receipt = LOG.state_receipt(TABLE, SECOND, BLOCK)
    assert len(state_of(SECOND)["bucket_neighbours"]) == 2
    assert (verify_receipt(receipt, TRUST).kind, verify_receipt(receipt, TRUST).row) == ("state", None)
    assert (verify.verify(receipt, COURT_TRUST).kind, verify.verify(receipt, COURT_TRUST).row) == ("state", None)


def neighbours(*keys: bytes) -> list[dict[str, Any]]:
    """Return present rows as neighbours, each with its true place."""
    shown = []
    for key in keys:
        state, place = state_of(key), map_key(TABLE, key)
        value = value_hash(verify.canonical_json(state["value"]))
        pair = verify._base64(place + value)
        shown.append({"pair": pair, "path": state["bucket_path"], "position": state["position"]})
    return shown


def absence_of(key: bytes, *shown: bytes) -> dict[str, Any]:
    """Return the claim that `key` is absent, showing the given rows as neighbours."""
    state = state_of(SECOND) | {"key": verify._base64(key), "bucket_neighbours": neighbours(*shown)}
    return state


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        pytest.param(THIRD, (FIRST, FOURTH), id="a row between the neighbours is skipped"),
        pytest.param(THIRD, (FIRST,), id="the first row, though it is not the last"),
        pytest.param(THIRD, (FOURTH,), id="the last row, though it is not the first"),
        pytest.param(THIRD, (FOURTH, FIRST), id="neighbours in the wrong order"),
        pytest.param(THIRD, (THIRD,), id="the row itself"),
        pytest.param(SECOND, (FIRST, FIRST), id="one neighbour twice"),
        pytest.param(SECOND, (), id="no neighbour in a bucket that is not empty"),
        pytest.param(SECOND, (THIRD, FOURTH), id="neighbours beside the place"),
    ],
)
def test_absence_is_refused(key: bytes, shown: tuple[bytes, ...]) -> None:
    """Given neighbours that leave room for the row, then its absence is not proved."""
    assert_not_proved(absence_of(key, *shown))


def test_helper_makes_an_honest_absence() -> None:
    """Given the right neighbours, then the claim made by the helpers above is the honest one."""
    assert absence_of(SECOND, FIRST, THIRD) == state_of(SECOND)


def test_absence_refused_with_neighbours_of_another_bucket() -> None:
    """Given a key of another bucket, when rows of this one are shown around it, then nothing is proved."""
    other = next(
        key
        for key in (number.to_bytes(4, "big") for number in range(1_000))
        if bucket_of(map_key(TABLE, key)) != bucket_of(map_key(TABLE, FIRST))
    )
    shown = (FOURTH,) if map_key(TABLE, other) > map_key(TABLE, FOURTH) else (FIRST,)
    assert_not_proved(absence_of(other, *shown))


@pytest.mark.parametrize(
    "altered",
    [
        {"table": "consent.other"},
        {"key": verify._base64(b"other")},
        {"value": {"key": "00"}},
        {"position": 1},
        {"position": 3},
        {"position": 2},
        {"position": 2 ** len(state_of(FIRST)["bucket_path"]) + state_of(FIRST)["position"]},
        {"bucket_path": []},
        {"bucket_size": 3},
        {"tree_path": []},
        {"tree_path": [verify._base64(bytes(32))] * 18},
        {"bucket_neighbours": []},
        {"value": 7},
        {"value": None},
    ],
    ids=str,
)
def test_presence_is_refused_when_altered(altered: dict[str, Any]) -> None:
    """Given a present row's proof with one part altered, then nothing is proved."""
    assert_not_proved(state_of(FIRST) | altered)


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65])
def test_directions_lead_to_the_root_and_name_the_neighbours(size: int) -> None:
    """Given trees of many sizes, then each leaf's directions lead to the root, and only the next leaf is adjacent."""
    pairs = [number.to_bytes(64, "big") for number in range(size)]
    leaves = [leaf_hash(pair) for pair in pairs]
    shown = [Neighbour(pair=pairs[n], path=path_of(leaves, n), position=directions(n, size)) for n in range(size)]
    assert {_root_above(one) for one in shown} == {root_of(leaves)}
    for left in range(size):
        for right in range(size):
            sides = [(shown[n].position, len(shown[n].path)) for n in (left, right)]
            assert _are_adjacent(shown[left], shown[right]) == (right == left + 1)
            assert verify._are_adjacent(sides[0], sides[1]) == (right == left + 1)
