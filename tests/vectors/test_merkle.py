# SPDX-License-Identifier: Apache-2.0
"""RFC 6962 / 9162 Merkle trees: published roots, and published proofs when they can be had."""

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from vervain import verify
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import EMPTY_ROOT, leaf_hash
from vervain.ledger.primitives.merkle_log import path_of, root_of, verify_consistency, verify_inclusion

# The reference inputs and roots of the Certificate Transparency project for RFC 6962 (see SOURCES.md).
INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]


@pytest.mark.vectors
def test_published_roots() -> None:
    """Given the reference leaves, then the root at each size is the published one, and that of no leaf is H("")."""
    assert [root_of(LEAVES[:size]).hex() for size in range(1, 9)] == list(ROOTS)
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.vectors
def test_every_path_of_the_published_trees_leads_to_its_root_alone() -> None:
    """Given every leaf of every published tree, then its path leads to that root, in both verifiers, nowhere else."""
    for size in range(1, 9):
        root = bytes.fromhex(ROOTS[size - 1])
        for index in range(size):
            path = path_of(LEAVES[:size], index)
            for claimed in range(-1, size + 1):
                assert is_included(LEAVES[index], claimed, size, path, root) == (claimed == index)


def is_included(leaf: bytes, index: int, size: int, path: tuple[bytes, ...], root: bytes) -> bool:
    """Return the verdict on an inclusion proof; both verifiers must agree. As at every door, a hash has 32 bytes."""
    if any(len(one) != 32 for one in (leaf, root, *path)):
        return False
    try:
        verify_inclusion(leaf=leaf, index=index, size=size, path=path, root=root)
        fast = True
    except ProofError:
        fast = False
    try:
        court = verify.root_from_path(leaf, index, size, path) == root
    except verify.ProofError:
        court = False
    assert fast == court
    return fast


def published(kind: str) -> list[dict[str, Any]]:
    """Return the proofs of transparency-dev/merkle's testdata folder, or skip."""
    folder = os.environ.get("VERVAIN_VECTORS")
    paths = sorted((Path(folder) / "testdata" / kind).rglob("*.json")) if folder else []
    if not paths:
        pytest.skip("the testdata of transparency-dev/merkle is not shipped; name its folder in VERVAIN_VECTORS")
    return [json.loads(path.read_text()) for path in paths]


def _hashes(texts: list[str] | None) -> tuple[bytes, ...]:
    return tuple(b64decode(text) for text in texts or ())


@pytest.mark.vectors
def test_published_inclusion_proofs() -> None:
    """Given every published inclusion proof, then it is accepted or refused as labelled."""
    for case in published("inclusion"):
        leaf, root = b64decode(case["leafHash"] or ""), b64decode(case["root"] or "")
        verdict = is_included(leaf, case["leafIdx"], case["treeSize"], _hashes(case["proof"]), root)
        assert verdict != case["wantErr"], case["desc"]


FROM_NOTHING = "size1 is zero and size2 is not zero"
"""Labelled an error there, since RFC 9162 defines no such proof; C2SP tlog-witness asks to accept the empty one."""


@pytest.mark.vectors
def test_published_consistency_proofs() -> None:
    """Given every published consistency proof, then it is accepted or refused as labelled."""
    for case in published("consistency"):
        old_root, root = b64decode(case["root1"] or ""), b64decode(case["root2"] or "")
        path = _hashes(case["proof"])
        try:
            verify_consistency(old_size=case["size1"], old_root=old_root, size=case["size2"], root=root, path=path)
            accepted = True
        except ProofError:
            accepted = False
        expected = not case["wantErr"] or case["desc"] == FROM_NOTHING
        assert accepted == expected, case["desc"]
