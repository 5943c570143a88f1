# SPDX-License-Identifier: Apache-2.0
"""What must hold of a finished chain: proofs verify, and roots built from nothing are the ones that were agreed."""

import random
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final

import msgspec

from tests.memory_state import MemoryState
from tests.simulation.witness import Witness, require
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import BlockLeaf
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.merkle_log import TiledTree, verify_consistency, verify_inclusion
from vervain.ledger.primitives.proved_map import (
    BUCKET_BITS,
    MapProof,
    bucket_of,
    map_key,
    value_hash,
    verify,
)

PROOFS: Final = 6  # of each kind, a seed
ROOTS: Final = 8  # heights whose log root is built anew


class Roots:
    """RFC 9162 roots over the first leaves, by the definition, remembering full subtrees."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._leaves = leaves
        self._known: dict[tuple[int, int], bytes] = {}

    def of(self, size: int) -> bytes:
        """Return the root of the first `size` leaves."""
        return self._range(0, size) if size else sha256(b"").digest()

    def _range(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self._leaves[start]
        known = self._known.get((start, end))
        if known is None:
            split = 1
            while 2 * split < end - start:
                split *= 2
            pair = self._range(start, start + split) + self._range(start + split, end)
            known = self._known[start, end] = sha256(b"\x01" + pair).digest()
        return known


def require_log(witness: Witness, state: MemoryState, chance: random.Random) -> None:
    """The log's roots are those of its leaves; inclusion and consistency proofs from the stored tiles verify."""
    roots, size = Roots(witness.leaves), len(witness.leaves)
    heights = [len(witness.sizes) - 1, *(chance.randrange(len(witness.sizes)) for _ in range(ROOTS))]
    for height in heights:
        require(
            witness.changes[height].summary.log_root == roots.of(witness.sizes[height]),
            f"the log root of height {height} is not that of its leaves",
        )
    tree = TiledTree(size, state.tile)
    for _ in range(PROOFS):
        index, old = chance.randrange(size), chance.randint(0, size)
        seen = chance.randint(index + 1, size)
        path = tree.inclusion_path(index, seen)
        verify_inclusion(leaf=witness.leaves[index], index=index, size=seen, path=path, root=roots.of(seen))
        consistency = tree.consistency_path(old)
        verify_consistency(old_size=old, old_root=roots.of(old), size=size, root=roots.of(size), path=consistency)
        lie = partial(verify_inclusion, leaf=bytes(32), index=index, size=seen, path=path, root=roots.of(seen))
        _require_refused(lie, "an inclusion proof of another leaf verified")


def require_map(catalogue: Catalogue, application: Application, state: MemoryState, chance: random.Random) -> None:
    """The proved root is that of all proved rows; proofs of present and absent rows verify, and of nothing else."""
    rows = [
        (table, key, value)
        for key, value in state.range(b"", b"\xff\xff\xff")
        if (table := catalogue.proved.get(int.from_bytes(key[:2], "big"))) is not None
    ]
    root = _newest_block_leaf(state).proved_root
    require(root == _map_root(rows), "the proved root is not that of the proved rows")
    for table, key, value in chance.sample(rows, min(PROOFS, len(rows))):
        proof = _proved(application, state, table, key[2:], value, root)
        lie = partial(verify, place=map_key(table, key[2:]), value=None, proof=proof, root=root)
        _require_refused(lie, "a present row was proved absent")
    for number in chance.sample(sorted(catalogue.proved), min(PROOFS, len(catalogue.proved))):
        key = _absent_key(rows, chance)
        proof = _proved(application, state, catalogue.proved[number], key, None, root)
        lie = partial(verify, place=map_key(catalogue.proved[number], key), value=bytes(32), proof=proof, root=root)
        _require_refused(lie, "an absent row was proved present")


def _absent_key(rows: list[tuple[str, bytes, bytes]], chance: random.Random) -> bytes:
    """Return a key that has no row: random, or one bit beside a present one."""
    key = chance.choice(rows)[1][2:]
    return chance.choice((chance.randbytes(32), key[:-1] + bytes([key[-1] ^ 1])))


def _proved(
    application: Application, state: MemoryState, table: str, key: bytes, value: bytes | None, root: bytes
) -> MapProof:
    """Ask for a row with its proof, and verify both."""
    told, proof = application.prove_row(table, key, state)
    require(told == value, "a proof was given for another row")
    hashed = None if value is None else value_hash(value)
    verify(place=map_key(table, key), value=hashed, proof=proof, root=root)
    return proof


def _newest_block_leaf(state: MemoryState) -> BlockLeaf:
    for summary in reversed(state.summaries):
        if summary.leaf is not msgspec.UNSET:
            return msgspec.json.decode(bytes(summary.leaf), type=BlockLeaf)
    raise AssertionError("a chain has at least the block leaf of its founding")


def _map_root(rows: list[tuple[str, bytes, bytes]]) -> bytes:
    """Return the proved map's root from all proved rows, by its definition."""
    pairs: dict[int, list[bytes]] = {}
    for table, key, value in rows:
        place = sha256(b"vervain/key/v1\n" + table.encode("ascii") + b"\n" + key[2:]).digest()
        pairs.setdefault(bucket_of(place), []).append(place + sha256(b"\x02" + value).digest())
    empty = sha256(b"").digest()
    level = {
        bucket: Roots([sha256(b"\x00" + pair).digest() for pair in sorted(each)]).of(len(each))
        for bucket, each in pairs.items()
    }
    for _ in range(BUCKET_BITS):
        above: dict[int, bytes] = {}
        for node in level:
            if node >> 1 not in above:
                left, right = level.get(node & ~1, empty), level.get(node | 1, empty)
                above[node >> 1] = sha256(b"\x01" + left + right).digest()
        empty = sha256(b"\x01" + empty + empty).digest()
        level = above
    return level.get(0, empty)


def _require_refused(verification: Callable[[], None], what: str) -> None:
    try:
        verification()
    except ProofError:
        return
    require(False, what)
