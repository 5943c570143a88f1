# SPDX-License-Identifier: Apache-2.0
"""What a desk survives: keys replaced, pools full, versions spoilt and relationships erased at the worst moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.node.founded import MovedClock, desk_of, documents, found
from tests.unit.node.test_desk import lose_the_answer, records
from vervain.engines.solo import engine as engine_module
from vervain.ledger.machine.refusals import Conflict, MachineReason
from vervain.ledger.modules.identity.messages import RotateKey, RotationReason, rotation_bytes
from vervain.ledger.modules.records.messages import DisputeRecord, MarkWrongPatient
from vervain.node.desk import MemberDesk, NotApplied
from vervain.node.node import Node
from vervain.sdk.wallet import Wallet
from vervain.sealing.keys import KemKey, SigningKey
from vervain.vault.errors import VaultError
from vervain.vault.vault import NewDocument


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A running node of one hospital."""
    found(tmp_path / "node")
    with Node(tmp_path / "node", clock=MovedClock()) as running:
        yield running


def patient_of(desk: MemberDesk, node: Node) -> tuple[Wallet, bytes]:
    """Register a patient; return the wallet and the pseudonym."""
    wallet = Wallet.create(node.chain)
    subject = wallet.join(desk.organisation).actor
    desk.send(wallet.registration(desk.organisation))
    return wallet, subject


def test_key_replaced_while_the_answer_was_lost_doubles_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given an ordered commit whose answer was lost, and a key rotated since.
    When the desk goes on.
    Then it finds the commit in the log, and no document gets a second record.
    """
    desk = desk_of(node)
    desk.keep(documents(desk, 5))
    with monkeypatch.context() as patched:
        lose_the_answer(node, patched)
    fresh, kem = SigningKey.generate(), KemKey.generate()
    proof = fresh.sign(
        rotation_bytes(
            chain=node.chain,
            actor=desk.organisation,
            new_key=fresh.public_key,
            new_kem_key=kem.public_key,
            reason=RotationReason.ROUTINE,
        )
    )
    desk.send(
        RotateKey(new_key=fresh.public_key, new_kem_key=kem.public_key, proof=proof, reason=RotationReason.ROUTINE)
    )
    desk.signing = fresh
    assert desk.commit_kept() == 5
    assert len(records(node)) == 5


def test_full_pool_while_settling_doubles_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given an ordered commit whose answer was lost.
    When the pool is full at the next try, and has room at the one after.
    Then no document gets a second record.
    """
    desk = desk_of(node)
    desk.keep(documents(desk, 5))
    with monkeypatch.context() as patched:
        lose_the_answer(node, patched)
    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "POOL_TRANSACTIONS_MAX", 0)
        assert desk.commit_kept() == 5
    assert desk.commit_kept() == 0
    assert len(records(node)) == 5


def test_version_after_a_wrong_patient_s_is_committed_afresh_and_holds_up_nothing(node: Node) -> None:
    """
    Given a record marked as another patient's.
    When a further version of its document is kept with twenty others.
    Then all are committed, the further version as a record of its own.
    """
    desk = desk_of(node)
    (first,) = desk.keep(documents(desk, 1))
    desk.commit_kept()
    desk.send(MarkWrongPatient(record=desk.vault.describe(first.document).record))
    second = NewDocument(
        subject=desk.organisation, resource_type="Observation", resource_id="o-0", version="2", stored=b"again"
    )
    (kept, *_) = desk.keep([second, *documents(desk, 20, first=5)])
    assert desk.commit_kept() == 21
    (row,) = (each for each in records(node) if each.record == desk.vault.describe(kept.document).record)
    assert (row.status, row.previous) == ("current", None)


def test_erasure_that_the_ledger_would_refuse_destroys_nothing(node: Node) -> None:
    """
    Given a patient who disputes one of three records.
    When the relationship is to be erased.
    Then it is refused before any key is destroyed, and nothing waits for a tombstone.
    """
    desk = desk_of(node)
    wallet, subject = patient_of(desk, node)
    desk.keep(documents(desk, 3, subject=subject))
    desk.commit_kept()
    number = desk.vault.of_subject(subject)[0].record
    dispute = wallet.sign(desk.organisation, [DisputeRecord(record=number)], now=int(node.clock()))
    desk.submit(dispute.encoded)
    with pytest.raises(Conflict, match="open dispute"):
        desk.erase_subject(subject)
    assert len(desk.vault.of_subject(subject)) == 3
    assert list(desk._outbox.erasures()) == []
    assert {each.status for each in records(node)} == {"current"}


def test_erasure_meets_a_commit_whose_answer_was_lost(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a commit of a patient's documents whose answer was lost.
    When the relationship is erased, and the desk goes on.
    Then every record has its tombstone, and other documents are committed as ever.
    """
    desk = desk_of(node)
    _, subject = patient_of(desk, node)
    desk.keep(documents(desk, 3, subject=subject))
    with monkeypatch.context() as patched:
        lose_the_answer(node, patched)
    desk.erase_subject(subject)
    desk.keep(documents(desk, 4, first=10))
    assert desk.commit_kept() == 4
    assert [each.status for each in records(node)] == ["erased"] * 3 + ["current"] * 4


def test_tombstones_that_a_crash_left_over_are_put_on_the_ledger_later(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given an erasure after which the desk stopped before it reached the ledger.
    When the desk goes on.
    Then the tombstones reach the ledger, with the certificate's digest.
    """
    desk = desk_of(node)
    _, subject = patient_of(desk, node)
    desk.keep(documents(desk, 3, subject=subject))
    desk.commit_kept()
    with monkeypatch.context() as patched:
        patched.setattr(MemberDesk, "_settle_erasures", lambda self: None)
        desk.erase_subject(subject)
    assert {each.status for each in records(node)} == {"current"}
    desk.commit_kept()
    assert {each.status for each in records(node)} == {"erased"}


def test_hosted_member_s_vault_keeps_to_its_quota(node: Node) -> None:
    """Given a vault whose host agreed to one kilobyte. When more is kept. Then it is refused whole."""
    desk = desk_of(node)
    desk._vault_bytes_max = desk.vault.kept_bytes + 1_000
    with pytest.raises(VaultError, match="vault is full"):
        desk.keep(documents(desk, 200))
    assert desk.vault.of_subject(desk.organisation) == ()


def test_refused_first_hand_in_is_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a full pool. When documents are committed for the first time. Then the desk says so and tries later."""
    desk = desk_of(node)
    desk.keep(documents(desk, 2))
    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "POOL_TRANSACTIONS_MAX", 0)
        with pytest.raises(NotApplied) as refused:
            desk.commit_kept()
    assert refused.value.reason is MachineReason.POOL_FULL
    assert desk.commit_kept() == 2
