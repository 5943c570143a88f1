# SPDX-License-Identifier: Apache-2.0
"""A member's desk: each document gets exactly one record, whatever stopped the desk in between."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.unit.node.founded import MovedClock, desk_of, documents, found
from vervain.engines.engine import FinalOutcome
from vervain.ledger.modules.identity.messages import IdentityReason
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.node import committing
from vervain.node.node import Node
from vervain.node.sending import NotApplied
from vervain.readmodel.queries import RecordRow, records_of
from vervain.sdk.wallet import Wallet
from vervain.sealing.errors import KeyFileRefused
from vervain.vault.vault import Vault


class PulledPlug(Exception):
    """The test's own interruption."""


@pytest.fixture
def clock() -> MovedClock:
    """A clock that the test moves."""
    return MovedClock()


@pytest.fixture
def node(tmp_path: Path, clock: MovedClock) -> Iterator[Node]:
    """A running node of one hospital."""
    found(tmp_path / "node")
    with Node(tmp_path / "node", clock=clock) as running:
        yield running


def records(node: Node) -> list[RecordRow]:
    """Return every record on the ledger."""
    node.read_model.catch_up()
    return records_of(node.read_model.engine)


def require_one_each(node: Node, count: int) -> None:
    """Require that `count` documents have one record each and nothing is on its way."""
    desk = desk_of(node)
    kept = desk.vault.of_subject(desk.organisation)
    assert len(kept) == count == len(records(node))
    assert {each.record: each.commitment for each in kept} == {each.record: each.commitment for each in records(node)}
    assert list(desk._outbox) == []


def lose_the_answer(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next commit be ordered, and the desk stop before it hears of it."""

    def broken(vault: Vault, numbers: Sequence[tuple[int, int]]) -> None:
        raise PulledPlug

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "assign_records", broken)
        with pytest.raises(PulledPlug):
            desk_of(node).commit_kept()


def stop_before_submitting(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the desk write its transactions down and stop before it hands them in."""

    def broken(encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]":
        raise PulledPlug

    with monkeypatch.context() as patched:
        patched.setattr(node, "submit_many", broken)
        with pytest.raises(PulledPlug):
            desk_of(node).commit_kept()


def test_kept_documents_are_committed_once(node: Node) -> None:
    """Given kept documents, when they are committed and committed again, then each has one record."""
    desk = desk_of(node)
    desk.keep(documents(desk, 7))
    told: list[int] = []
    assert desk.commit_kept(told.append) == 7
    assert desk.commit_kept(told.append) == 0
    assert told == [7]
    require_one_each(node, 7)


def test_order_on_the_ledger_is_not_the_order_of_keeping(node: Node) -> None:
    """Given many documents kept in order, then their records are in another order: chance alone gives 1 in 20!."""
    desk = desk_of(node)
    kept = desk.keep(documents(desk, 20))
    desk.commit_kept()
    assert [each.commitment for each in records(node)] != [each.commitment for each in kept]


def test_batches_are_cut_at_the_maximum(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more documents than one transaction takes, then all of them are committed, in several."""
    monkeypatch.setattr(committing, "ENTRIES_PER_TRANSACTION", 3)
    monkeypatch.setattr(committing, "TRANSACTIONS_PER_GROUP", 2)
    desk = desk_of(node)
    desk.keep(documents(desk, 10))
    told: list[int] = []
    assert desk.commit_kept(told.append) == 10
    assert told == [6, 4]
    assert len({each.leaf_index for each in records(node)}) == 4
    require_one_each(node, 10)


def test_lost_answer_is_taken_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a transaction that was ordered, its answer lost.
    When the desk commits again.
    Then the documents get the numbers of the first outcome, and no second record.
    """
    desk_of(node).keep(documents(desk_of(node), 4))
    lose_the_answer(node, monkeypatch)
    assert len(records(node)) == 4
    assert desk_of(node).commit_kept() == 4
    require_one_each(node, 4)


def test_lost_answer_is_found_in_the_log_after_the_expiry(
    node: Node, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a transaction that was ordered, its answer lost, and by now expired and forgotten by the replay window.
    When the desk commits again.
    Then its outcome is found in the log.
    """
    desk_of(node).keep(documents(desk_of(node), 4))
    lose_the_answer(node, monkeypatch)
    clock.ahead += 2_000
    desk_of(node).send(CommitRecord(subject=desk_of(node).organisation, commitment=bytes(32)))
    assert desk_of(node).commit_kept() == 4
    kept = desk_of(node).vault.of_subject(desk_of(node).organisation)
    assert sorted(each.record for each in kept) == [1, 2, 3, 4] and len(records(node)) == 5


def test_never_ordered_is_submitted_as_it_is(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a transaction written down, not handed in, when the desk commits again, then those bytes are ordered."""
    desk_of(node).keep(documents(desk_of(node), 4))
    stop_before_submitting(node, monkeypatch)
    (waiting,) = desk_of(node)._outbox
    assert desk_of(node).commit_kept() == 4
    assert node.outcome_of(waiting.txid) is not None
    require_one_each(node, 4)


def test_expired_and_never_ordered_is_signed_anew(
    node: Node, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a transaction that expired before it was handed in, then its documents go into a new one, once."""
    desk_of(node).keep(documents(desk_of(node), 4))
    stop_before_submitting(node, monkeypatch)
    (waiting,) = desk_of(node)._outbox
    clock.ahead += 2_000
    assert desk_of(node).commit_kept() == 4
    assert node.outcome_of(waiting.txid) is None
    require_one_each(node, 4)


def test_refused_commit_is_told_and_can_be_tried_again(node: Node) -> None:
    """
    Given a document of a patient who is not registered.
    When it is committed.
    Then the ledger's refusal is told, nothing stays on its way; and once registered, it is committed.
    """
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    actor = wallet.join(desk.organisation).actor
    desk.keep(documents(desk, 1, subject=actor))
    with pytest.raises(NotApplied) as caught:
        desk.commit_kept()
    assert caught.value.outcome.code != 0 and caught.value.diagnostics().what
    assert list(desk._outbox) == [] and records(node) == []
    desk.send(wallet.registration(desk.organisation))
    assert desk.commit_kept() == 1
    assert [each.subject for each in records(node)] == [actor]


def test_refused_commit_leaves_the_others_of_its_group_numbered(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a group of five transactions, one of them about a patient who is not registered.
    When they are committed.
    Then its refusal is told, the other documents have their numbers already, and nothing stays on its way.
    """
    monkeypatch.setattr(committing, "ENTRIES_PER_TRANSACTION", 1)
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    actor = wallet.join(desk.organisation).actor
    desk.keep([*documents(desk, 4), *documents(desk, 1, first=10, subject=actor)])
    with pytest.raises(NotApplied):
        desk.commit_kept()
    require_one_each(node, 4)
    desk.send(wallet.registration(desk.organisation))
    assert desk.commit_kept() == 1
    assert len(records(node)) == 5


def test_send_all_tells_the_first_refusal(node: Node) -> None:
    """Given a message that is refused among others, then sending all of them says so."""
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    wallet.join(desk.organisation)
    registration = wallet.registration(desk.organisation)
    desk.send_all([registration])
    with pytest.raises(NotApplied) as caught:
        desk.send_all([registration])
    assert caught.value.reason is IdentityReason.KEY_USED_BEFORE


def test_patient_gets_wraps_of_what_it_does_not_have(node: Node) -> None:
    """Given three numbered documents, one known, then the other two are wrapped and the wallet opens them."""
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    actor = wallet.join(desk.organisation).actor
    desk.send(wallet.registration(desk.organisation))
    kept = desk.keep(documents(desk, 3, subject=actor))
    desk.commit_kept()
    handed = list(desk.wraps_for(actor, known=frozenset({kept[1].commitment})))
    assert [document.document for document, _ in handed] == [kept[0].document, kept[2].document]
    for document, wrapped in handed:
        own = wallet.keep_record(
            desk.organisation,
            record=document.record,
            commitment=document.commitment,
            wrapped=wrapped.wrap,
            resource_type=document.resource_type,
            resource_id=document.resource_id,
            version=document.version,
        )
        opened = wallet.open_record(own, desk.vault.ciphertext(document.document))
        assert opened == f"document {document.resource_id[2:]}".encode()


def test_erased_relationship_leaves_tombstones_and_no_secret(node: Node) -> None:
    """Given a patient's documents and told secret, when erased, then both are gone and every record says so."""
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    actor = wallet.join(desk.organisation).actor
    desk.send(wallet.registration(desk.organisation))
    desk.secrets.add({actor: wallet.category_secret(desk.organisation)})
    desk.keep(documents(desk, 3, subject=actor))
    desk.commit_kept()
    assert desk.secret_of(actor) == wallet.category_secret(desk.organisation)
    assert {desk.categories_of(each) for each in desk.vault.of_subject(actor)} == {
        frozenset(),
        frozenset({"laboratory"}),
    }
    (certificate,) = desk.erase_subject(actor)
    assert desk.vault.of_subject(actor) == () and desk.secret_of(actor) is None
    assert {each.status for each in records(node)} == {"erased"}
    assert certificate.digest()


def test_desk_needs_the_members_keys(node: Node) -> None:
    """Given a member whose keys are not here, then there is no desk for it."""
    with pytest.raises(KeyFileRefused):
        node.desk(bytes(32))
