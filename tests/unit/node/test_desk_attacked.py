# SPDX-License-Identifier: Apache-2.0
"""What a desk survives: keys replaced, pools full, versions spoilt and relationships erased at the worst moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.node.founded import MovedClock, desk_of, documents, found
from tests.unit.node.test_desk import PulledPlug, lose_the_answer, records, stop_before_submitting
from vervain.engines.solo import engine as engine_module
from vervain.ledger.machine.refusals import Conflict, MachineReason
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import AdmitMember, Propose, ReinstateMember, Role, SuspendMember
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    IdentityReason,
    Register,
    RotateKey,
    RotationReason,
    registration_bytes,
    rotation_bytes,
)
from vervain.ledger.modules.records import queries
from vervain.ledger.modules.records.messages import DisputeRecord, MarkWrongPatient
from vervain.node.committing import Committer
from vervain.node.desk import MemberDesk
from vervain.node.erasing import ErasureDesk
from vervain.node.founding import keep_member_keys
from vervain.node.node import Node
from vervain.node.sending import NotApplied
from vervain.sdk.wallet import Wallet
from vervain.sealing.keys import KemKey, SigningKey
from vervain.vault.documents import NewDocument
from vervain.vault.erasure_certificates import verify_certificate
from vervain.vault.errors import KeyErased, NotStored, VaultError


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
    rotate_key(desk, node)
    assert desk.commit_kept() == 5
    assert len(records(node)) == 5


def rotate_key(desk: MemberDesk, node: Node) -> None:
    """Replace the organisation's keys on the ledger and at the desk."""
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


def test_commit_whose_key_was_replaced_before_it_was_ordered_is_signed_anew_at_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a commit that was written down and never handed in, and a key rotated since.
    When the desk goes on, long before the commit expires.
    Then the documents are committed under the new key; the old bytes, handed in again and again, never are.
    """
    desk = desk_of(node)
    desk.keep(documents(desk, 5))
    stop_before_submitting(node, monkeypatch)
    (waiting,) = desk._outbox
    rotate_key(desk, node)
    assert desk.commit_kept() == 5
    assert list(desk._outbox) == []
    for _ in range(3):
        assert node.submit(waiting.encoded).code == MachineReason.KEY_NOT_ACTIVE
        rotate_key(desk, node)
    assert node.outcome_of(waiting.txid) is None
    assert desk.commit_kept() == 0 and len(records(node)) == 5


def test_replaced_key_never_counts_again(node: Node) -> None:
    """
    Given a replaced key.
    When it is to be registered, or rotated to, once more.
    Then the ledger refuses: what was signed with it is over for good, as the outbox takes it to be.
    """
    desk = desk_of(node)
    old = desk.signing
    rotate_key(desk, node)
    kem = KemKey.generate().public_key
    signed = rotation_bytes(
        chain=node.chain,
        actor=desk.organisation,
        new_key=old.public_key,
        new_kem_key=kem,
        reason=RotationReason.ROUTINE,
    )
    back = RotateKey(new_key=old.public_key, new_kem_key=kem, proof=old.sign(signed), reason=RotationReason.ROUTINE)
    for message in (back, registration_of(node, old)):
        with pytest.raises(NotApplied) as refused:
            desk.send(message)
        assert refused.value.reason is IdentityReason.KEY_USED_BEFORE


def registration_of(node: Node, key: SigningKey) -> Register:
    """Return the message by which the hospital registers an organisation's key."""
    kem, sponsor = KemKey.generate().public_key, node.settings.organisation
    signed = registration_bytes(
        chain=node.chain, sponsor=sponsor, kind=ActorKind.ORGANISATION, key=key.public_key, kem_key=kem
    )
    return Register(kind=ActorKind.ORGANISATION, key=key.public_key, kem_key=kem, proof=key.sign(signed))


def test_commit_of_a_suspended_member_waits_and_is_ordered_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a hosted member with a commit that was never handed in, and that is suspended since.
    When its desk goes on, is reinstated, and goes on again.
    Then it is told that the key does not count and keeps the commit; then those very bytes are ordered, once.
    """
    hospital, key = desk_of(node), SigningKey.generate()
    keep_member_keys(node.directory, key, KemKey.generate())
    admitted = AdmitMember(
        organisation=key.actor, roles=(Role.PRACTICE,), register_entry="GLN 2", host=hospital.organisation
    )
    hospital.send(Propose(change=admitted), registration_of(node, key))
    desk = node.desk(key.actor)
    desk.keep(documents(desk, 3))
    with monkeypatch.context() as patched:
        patched.setattr(Committer, "_number", pulled_plug)
        patched.setattr(node, "submit_many", pulled_plug)
        with pytest.raises(PulledPlug):
            desk.commit_kept()
    (waiting,) = desk._outbox
    hospital.send(Propose(change=SuspendMember(organisation=key.actor)))
    with pytest.raises(NotApplied) as refused:
        desk.commit_kept()
    assert refused.value.reason is MachineReason.KEY_NOT_ACTIVE
    assert list(desk._outbox) == [waiting]
    hospital.send(Propose(change=ReinstateMember(organisation=key.actor)))
    assert desk.commit_kept() == 3
    assert node.outcome_of(waiting.txid) is not None and len(records(node)) == 3


def pulled_plug(*arguments: object, **named: object) -> None:
    """Stop the desk."""
    raise PulledPlug


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
    desk.send(MarkWrongPatient(record=desk.vault.find("Observation", first.resource_id).record))
    second = NewDocument(
        subject=desk.organisation, resource_type="Observation", resource_id="o-0", version="2", stored=b"again"
    )
    desk.keep([second, *documents(desk, 20, first=5)])
    assert desk.commit_kept() == 21
    (row,) = (each for each in records(node) if each.record == desk.vault.find("Observation", "o-0").record)
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
        patched.setattr(ErasureDesk, "settle", lambda self: None)
        desk.erase_subject(subject)
    assert {each.status for each in records(node)} == {"current"}
    desk.commit_kept()
    assert {each.status for each in records(node)} == {"erased"}


def test_one_record_is_erased_and_the_others_stay(node: Node) -> None:
    """
    Given a patient with three records.
    When one is erased by its number, and once more.
    Then its certificate's digest stands in its tombstone alone; the others open; the second time is refused.
    """
    desk = desk_of(node)
    _, subject = patient_of(desk, node)
    desk.keep(documents(desk, 3, subject=subject))
    desk.commit_kept()
    kept = desk.vault.of_subject(subject)
    (signed,) = desk.erase_record(kept[1].record)
    assert verify_certificate(signed, custodian_key=desk.signing.public_key).commitments == (kept[1].commitment,)
    with node.view() as state:
        rows = [queries.record(Store(state), each.record) for each in kept]
    assert [row.status for row in rows if row] == ["current", "erased", "current"]
    assert rows[1] is not None and rows[1].certificate_digest == signed.digest()
    assert desk.vault.of_subject(subject) == (kept[0], kept[2])
    assert list(desk._outbox.erasures()) == []
    with pytest.raises(KeyErased):
        desk.erase_record(kept[1].record)
    with pytest.raises(NotStored):
        desk.erase_record(10**9)


def test_disputed_record_is_not_erased(node: Node) -> None:
    """Given a record with an open dispute. When it is erased. Then it is refused, and nothing was destroyed."""
    desk = desk_of(node)
    wallet, subject = patient_of(desk, node)
    desk.keep(documents(desk, 2, subject=subject))
    desk.commit_kept()
    disputed, other = (each.record for each in desk.vault.of_subject(subject))
    desk.submit(wallet.sign(desk.organisation, [DisputeRecord(record=disputed)], now=int(node.clock())).encoded)
    with pytest.raises(Conflict, match="open dispute"):
        desk.erase_record(disputed)
    assert len(desk.vault.of_subject(subject)) == 2 and list(desk._outbox.erasures()) == []
    desk.erase_record(other)
    assert [each.record for each in desk.vault.of_subject(subject)] == [disputed]


STOPS = {
    "nothing destroyed": "vervain.vault.vault.Vault.erase_documents",
    "index not changed": "vervain.vault.index.IndexChange.forget_document",
    "slots not rewritten": "vervain.vault.slots.Slots.erase",
    "index does not know": "vervain.vault.index.IndexChange.set_head",
    "certificate not noted": "vervain.vault.erasing.Eraser.certificates",
    "ledger not told": "vervain.node.desk.MemberDesk.send_all",
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("whole", [True, False], ids=["relationship", "one record"])
def test_erasure_that_broke_off_gets_its_tombstones_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str, whole: bool
) -> None:
    """
    Given an erasure that broke off at one step, after which the desk went on before it was started anew.
    When it is started anew and goes on.
    Then document and record are both erased, or, when nothing had begun, neither; others are as they were.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        desk = desk_of(node)
        _, subject = patient_of(desk, node)
        desk.keep(documents(desk, 2, subject=subject))
        desk.commit_kept()
        first, second = (each.record for each in desk.vault.of_subject(subject))
        place = STOPS[stop].replace("erase_documents", "erase_subject") if whole else STOPS[stop]
        with monkeypatch.context() as patched:
            patched.setattr(place, pulled_plug)
            with pytest.raises(PulledPlug):
                desk.erase_subject(subject) if whole else desk.erase_record(first)
        desk.keep(documents(desk, 1, first=10))
        desk.commit_kept()
    with Node(tmp_path / "node") as node:
        desk = desk_of(node)
        desk.commit_kept()
        left = {each.record for each in desk.vault.of_subject(subject)}
        statuses = {each.record: each.status for each in records(node)}
        assert list(desk._outbox.erasures()) == [] and list(desk.vault.audit()) == []
    destroyed = set() if stop == "nothing destroyed" else {first, second} if whole else {first}
    assert left == {first, second} - destroyed
    assert {number for number, status in statuses.items() if status == "erased"} == destroyed


def test_hosted_member_s_vault_keeps_to_its_quota(node: Node) -> None:
    """Given a vault whose host agreed to one kilobyte. When more is kept. Then it is refused whole."""
    desk = desk_of(node)
    desk._vault_bytes_max = desk.vault.kept_bytes + 1_000
    with pytest.raises(VaultError, match="vault is full"):
        desk.keep(documents(desk, 200))
    assert desk.vault.of_subject(desk.organisation) == ()


def test_erased_documents_use_up_nobody_s_quota(tmp_path: Path) -> None:
    """
    Given a vault of a hosted member that is full to the byte.
    When a document and a relationship are erased, before and after a restart.
    Then exactly what they had is free again; a byte more is refused.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        desk = desk_of(node)
        _, subject = patient_of(desk, node)
        kept = desk.keep([*documents(desk, 3), *documents(desk, 4, first=10, subject=subject)])
        sizes = {each.document: desk.vault.ciphertext_bytes(each.document) for each in kept}
        assert desk.vault.kept_bytes == sum(sizes.values())
        desk.vault.erase_documents([kept[0].document], key=desk.signing, now=int(node.clock()))
        left = sum(sizes.values()) - sizes[kept[0].document]
        assert desk.vault.kept_bytes == left
    with Node(tmp_path / "node") as node:
        desk = desk_of(node)
        desk._vault_bytes_max = left
        assert desk.vault.kept_bytes == left
        desk.erase_subject(subject)
        for surplus in (1, 0):
            stored = bytes(sum(sizes[each.document] for each in kept[3:]) - 29 + surplus)
            more = NewDocument(
                subject=desk.organisation, resource_type="Note", resource_id="n", version="1", stored=stored
            )
            if surplus:
                with pytest.raises(VaultError, match="vault is full"):
                    desk.keep([more])
            else:
                desk.keep([more])
        assert desk.vault.kept_bytes == left


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
