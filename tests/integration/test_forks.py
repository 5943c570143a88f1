# SPDX-License-Identifier: Apache-2.0
"""A chain that forks: two copies of one data directory go different ways, and everybody who looks finds out."""

import secrets
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.unit.node.founded import desk_of, found
from vervain.ledger.machine.refusals import MachineReason
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.errors import ProofError
from vervain.node.cosigning import SignedCheckpoint
from vervain.node.founding import COSIGNING_KEY_FILE
from vervain.node.node import Node
from vervain.node.witnesses import format_request
from vervain.sealing.checkpoints import verify_cosignature
from vervain.sealing.keys import read_signing_key
from vervain.sealing.receipts import format_receipt, verify_receipt
from vervain.sealing.trust import PinnedCheckpoint, TrustFile, trust_of
from vervain.storage.errors import StorageError
from vervain.witness import Submitter, Witness, add_checkpoint, create_witness, watch_log


def go_on(root: Path, blocks: int) -> tuple[SignedCheckpoint, bytes, bytes]:
    """Order some blocks; return the newest signed checkpoint, a receipt under it, and the trust file."""
    with Node(root) as node:
        desk = desk_of(node)
        for _ in range(blocks):
            outcome = desk.send(CommitRecord(subject=desk.organisation, commitment=secrets.token_bytes(32)))
        assert isinstance(outcome.leaf_index, int)
        receipt = format_receipt(node.receipt(outcome.leaf_index))
        return node.checkpoints.newest(), receipt, node.trust_file()


def forked(tmp_path: Path) -> tuple[Path, Path]:
    """Return two data directories of one chain with one past."""
    one, other = tmp_path / "one", tmp_path / "other"
    found(one)
    go_on(one, 2)
    shutil.copytree(one, other)
    return one, other


def test_witness_refuses_the_second_branch_and_the_two_heads_are_evidence(tmp_path: Path) -> None:
    """
    Given a witness that has cosigned one branch of a forked log.
    When the other branch is submitted at the same size, and later at a larger one with its own consistency proof.
    Then both are refused, and anyone can check that one key signed two roots of one size.
    """
    one, other = forked(tmp_path)
    first, _, _ = go_on(one, 1)
    second, _, _ = go_on(other, 1)
    key = read_signing_key(one / "keys" / COSIGNING_KEY_FILE).public_key
    create_witness(tmp_path / "witness", "university")
    watch_log(tmp_path / "witness", first.checkpoint.origin, [Submitter(name=first.lines[0].name, key=key)])
    witness = Witness(tmp_path / "witness")

    accepted = add_checkpoint(witness, format_request(0, (), first.text))
    same_size = add_checkpoint(witness, format_request(first.checkpoint.size, (), second.text))
    longer, _, _ = go_on(other, 1)
    with Node(other) as node:
        proof = node.consistency_path(first.checkpoint.size, longer.checkpoint.size)
    larger = add_checkpoint(witness, format_request(first.checkpoint.size, proof, longer.text))

    assert (accepted.status, same_size.status, larger.status) == (200, 409, 422)
    assert first.checkpoint.size == second.checkpoint.size and first.checkpoint.root != second.checkpoint.root
    for each in (first, second):  # the evidence: a third party needs nothing but the two texts and the key
        verify_cosignature(each.lines[0], public_key=key, body=each.checkpoint.body)


def test_reader_who_has_seen_one_branch_refuses_receipts_of_the_other(tmp_path: Path) -> None:
    """
    Given a reader that pinned a checkpoint of one branch.
    When it is shown a receipt of the other branch, under a checkpoint of that size.
    Then the receipt is refused; without the pin the two branches look alike, which is why witnesses and pins matter.
    """
    one, other = forked(tmp_path)
    first, _, _ = go_on(one, 1)
    _, receipt, trust = go_on(other, 1)
    file = msgspec.json.decode(trust, type=TrustFile)
    pin = PinnedCheckpoint(size=first.checkpoint.size, root=first.checkpoint.root)
    assert verify_receipt(receipt, trust_of(file)).applied
    with pytest.raises(ProofError, match="differs from one that is pinned"):
        verify_receipt(receipt, trust_of(msgspec.structs.replace(file, pinned=(pin,))))


def test_node_with_the_cosigner_s_memory_does_not_go_on_behind_it(tmp_path: Path) -> None:
    """
    Given a copy of a data directory made before further blocks were cosigned.
    When it is started with the cosigner's newest memory.
    Then it orders nothing and says that going on would fork the chain.
    """
    one, other = forked(tmp_path)
    go_on(one, 1)
    shutil.copy2(one / "cosigner.state", other / "cosigner.state")
    with pytest.raises(StorageError, match="were already cosigned"), Node(other):
        pass


def test_transaction_of_one_branch_means_the_same_on_the_other_once(tmp_path: Path) -> None:
    """
    Given a transaction ordered on one branch.
    When it is sent to the other branch, and to another chain of the same organisation.
    Then the branch, which is the same chain, takes it once; the other chain refuses it.
    """
    one, other = forked(tmp_path)
    found(tmp_path / "stranger")
    with Node(one) as node:
        desk = desk_of(node)
        signed = desk.sign([CommitRecord(subject=desk.organisation, commitment=secrets.token_bytes(32))])
        assert node.submit(signed.encoded).code == 0
    with Node(other) as node:
        again = [node.submit(signed.encoded) for _ in range(2)]
    with Node(tmp_path / "stranger") as node:
        stranger = node.submit(signed.encoded)
    assert [(each.code, each.is_repeat) for each in again] == [(0, False), (0, True)]
    assert stranger.code == MachineReason.WRONG_CHAIN
