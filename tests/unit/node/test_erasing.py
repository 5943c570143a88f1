# SPDX-License-Identifier: Apache-2.0
"""Erasing at a desk: what crashes, disputes, a wrong clock and a mute ledger leave of it."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.unit.node.founded import MovedClock, desk_of, documents, found
from tests.unit.node.test_desk import PulledPlug, records
from vervain.engines.errors import Unreachable
from vervain.engines.solo import engine as engine_module
from vervain.engines.solo.block_clock import BlockClock, ClockLeapt
from vervain.ledger.machine.refusals import MachineReason
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.records import queries
from vervain.ledger.modules.records.messages import DisputeRecord, SettleDispute, Verdict
from vervain.node import sending
from vervain.node.desk import MemberDesk
from vervain.node.node import Node
from vervain.node.sending import NotApplied
from vervain.sdk.wallet import Wallet
from vervain.storage.errors import Full
from vervain.vault.erasure_certificates import SignedErasureCertificate
from vervain.vault.vault import Vault


class House:
    """A running node of one hospital with a patient's numbered documents.

    Attributes:
        wallet, subject: The patient.
        numbers: Its records.
    """

    def __init__(self, node: Node, count: int = 2) -> None:
        self.node, self.desk = node, desk_of(node)
        self.wallet = Wallet.create(node.chain)
        self.subject = self.wallet.join(self.desk.organisation).actor
        self.desk.send(self.wallet.registration(self.desk.organisation))
        self.desk.secrets.add({self.subject: self.wallet.category_secret(self.desk.organisation)})
        self.desk.keep(documents(self.desk, count, subject=self.subject))
        self.desk.commit_kept()
        self.numbers = [each.record for each in self.desk.vault.of_subject(self.subject)]

    def dispute(self, number: int) -> None:
        """The patient disputes a record."""
        signed = self.wallet.sign(self.desk.organisation, [DisputeRecord(record=number)], now=int(self.node.clock()))
        self.desk.submit(signed.encoded)


def statuses(node: Node) -> dict[int, str]:
    """Return each record's status on the ledger."""
    return {each.record: each.status for each in records(node)}


def digest_of(node: Node, number: int) -> bytes:
    """Return the certificate's digest in a record's tombstone."""
    with node.view() as state:
        row = queries.record(Store(state), number)
    assert row is not None and isinstance(row.certificate_digest, bytes)
    return row.certificate_digest


def pulled_plug(*arguments: object, **named: object) -> None:
    """Stop the desk."""
    raise PulledPlug


def test_patient_who_is_back_before_the_tombstones_does_not_save_the_old_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a crash when a relationship's keys were destroyed and no certificate was noted.
    When, after the restart, a document of the same patient is kept before the desk goes on.
    Then the old records get their tombstones, and the new document a record of its own.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node)
        monkeypatch.setattr("vervain.vault.erasing.Eraser.certificates", pulled_plug)
        with pytest.raises(PulledPlug):
            house.desk.erase_subject(house.subject)
        monkeypatch.undo()
    with Node(tmp_path / "node") as node:
        desk = desk_of(node)
        desk.keep(documents(desk, 1, first=50, subject=house.subject))
        desk.commit_kept()
        assert list(desk._outbox.erasures()) == []
        (back,) = desk.vault.of_subject(house.subject)
        assert statuses(node) == {**dict.fromkeys(house.numbers, "erased"), back.record: "current"}


def test_erasure_that_did_not_begin_is_forgotten_though_its_row_is_altered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an erasure that stopped before the vault, and an altered row. Then nothing gets a tombstone."""
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node, 1)
        monkeypatch.setattr(Vault, "erase_subject", pulled_plug)
        with pytest.raises(PulledPlug):
            house.desk.erase_subject(house.subject)
        monkeypatch.undo()
        with house.desk.vault._index.change() as change:
            value = change._get("documents", (1).to_bytes(8, "big"))
            assert value is not None
            change.rewrite(1, value[:-1] + bytes([value[-1] ^ 1]))
        house.desk._erasures.settle()
        assert list(house.desk._outbox.erasures()) == []
        assert statuses(node) == {house.numbers[0]: "current"}


def meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Let something happen once, just before the vault destroys."""
    honest = getattr(Vault, name)

    def destroy(vault: Vault, *arguments: object, **named: object) -> tuple[SignedErasureCertificate, ...]:
        monkeypatch.setattr(Vault, name, honest)
        happens()
        done: tuple[SignedErasureCertificate, ...] = honest(vault, *arguments, **named)
        return done

    monkeypatch.setattr(Vault, name, destroy)


@pytest.mark.parametrize("whole", [True, False], ids=["relationship", "one record"])
def test_dispute_ordered_beside_an_erasure_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """
    Given a dispute that is ordered between the desk's look at the ledger and the destruction.
    When the erasure goes on, other documents are committed, and other records erased.
    Then the certificate is returned, all else gets through, and the tombstone follows when the dispute is closed.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node)
        desk, (first, second) = house.desk, house.numbers
        name = "erase_subject" if whole else "erase_documents"
        meanwhile(monkeypatch, name, lambda: house.dispute(first))
        (signed,) = desk.erase_subject(house.subject) if whole else desk.erase_record(first)
        assert signed.certificate.commitments and not desk.vault.is_live(1)
        assert statuses(node) == {first: "current", second: "erased" if whole else "current"}
        desk.keep(documents(desk, 3, first=50))
        assert desk.commit_kept() == 3 and desk.commit_kept() == 0
        others = [each.record for each in desk.vault.of_subject(desk.organisation)]
        desk.erase_record(others[0])
        if not whole:
            desk.erase_record(second)
        assert {each for each, status in statuses(node).items() if status == "erased"} == {second, others[0]}
        assert len(list(desk._outbox.erasures())) == 1
        desk.send(SettleDispute(record=first, verdict=Verdict.REJECTED))
        desk.commit_kept()
        assert statuses(node)[first] == "erased" and digest_of(node, first) == signed.digest()
        assert list(desk._outbox.erasures()) == []


def test_tombstones_refused_in_one_transaction_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given an erasure whose tombstones are refused together, for a dispute ordered after the last look.
    When the desk goes on.
    Then those that may be are on the ledger, and the disputed one waits.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node, 3)
        honest = MemberDesk.send_all

        def send_all(desk: MemberDesk, *arguments: object) -> None:
            monkeypatch.setattr(MemberDesk, "send_all", honest)
            house.dispute(house.numbers[1])
            honest(desk, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(MemberDesk, "send_all", send_all)
        house.desk.erase_subject(house.subject)
        assert set(statuses(node).values()) == {"current"}
        house.desk.commit_kept()
        disputed = house.numbers[1]
        assert statuses(node) == {each: "current" if each == disputed else "erased" for each in house.numbers}


@pytest.mark.parametrize("whole", [True, False], ids=["relationship", "one record"])
def test_nothing_is_erased_while_the_clock_has_leapt(tmp_path: Path, whole: bool) -> None:
    """
    Given a node whose clock leapt ten years forward, so that it takes no transactions.
    When something is to be erased, and again when the clock is mended.
    Then it is refused and nothing destroyed; then the certificate tells the true time and its tombstone stands.
    """
    found(tmp_path / "node")
    clock = MovedClock()
    with Node(tmp_path / "node", clock=clock) as node:
        node.engine._clock = BlockClock(clock, time.monotonic)
        house = House(node)
        clock.ahead = 10 * 365 * 86_400

        def erase() -> tuple[SignedErasureCertificate, ...]:
            desk = house.desk
            return desk.erase_subject(house.subject) if whole else desk.erase_record(house.numbers[0])

        with pytest.raises(ClockLeapt):
            erase()
        assert len(house.desk.vault.of_subject(house.subject)) == 2 and list(house.desk._outbox.erasures()) == []
        clock.ahead = 0.0
        (signed,) = erase()
        assert abs(signed.certificate.erased_at - time.time()) < 60
        assert digest_of(node, house.numbers[0]) == signed.digest()


def test_leap_on_either_side_of_the_answer_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a clock that leaps when the ledger was asked, or is mended then. Then the earlier time is told."""
    found(tmp_path / "node")
    clock = MovedClock()
    with Node(tmp_path / "node", clock=clock) as node:
        desk, submit_many = desk_of(node), node.submit_many
        for before, after in ((0.0, 1e6), (1e6, 0.0)):
            clock.ahead = before

            def leap(encoded: list[bytes], after: float = after) -> "Future[list[object]]":
                clock.ahead = after
                return submit_many(encoded)  # type: ignore[return-value]

            monkeypatch.setattr(node, "submit_many", leap)
            assert abs(desk.time_while_taking() - time.time()) < 60


def test_asking_leaves_nothing_on_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a desk that asks for the time, then no block is made; with a full pool it is refused."""
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        desk, head = desk_of(node), node.head
        for _ in range(3):
            desk.time_while_taking()
        assert node.head == head
        monkeypatch.setattr(engine_module, "POOL_TRANSACTIONS_MAX", 0)
        with pytest.raises(NotApplied) as refused:
            desk.time_while_taking()
        assert refused.value.reason is MachineReason.POOL_FULL


def test_mute_ledger_is_told_in_plain_words_and_nothing_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given an engine that answers nothing.
    When a record is erased, documents are committed, a left-over commit is settled, or a message is sent.
    Then each is told so within the time, as an engine's error, and nothing was destroyed.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house, desk = House(node), desk_of(node)
        desk.keep(documents(desk, 1, first=50))
        with monkeypatch.context() as patched:
            patched.setattr(sending, "ANSWER_SECONDS", 0.01)
            patched.setattr(node, "submit_many", lambda encoded: Future())
            registration = Wallet.create(node.chain)
            registration.join(desk.organisation)
            message = registration.registration(desk.organisation)
            asked: list[Callable[[], object]] = [
                lambda: desk.erase_record(house.numbers[0]),
                lambda: desk.send(message),
                lambda: desk.send_all([message]),
                desk.commit_kept,
                desk.commit_kept,  # settles what the one before left in the outbox
            ]
            for ask in asked:
                with pytest.raises(Unreachable, match="not answered in time"):
                    ask()
        assert len(desk.vault.of_subject(house.subject)) == 2
        desk.commit_kept()
        assert set(statuses(node).values()) == {"current"} and len(statuses(node)) == 3


def test_certificate_is_returned_when_the_ledger_falls_silent_behind_the_destruction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given an engine that goes mute when the keys are destroyed.
    When the erasure ends, and the engine answers again.
    Then the certificate was returned, and the tombstone that follows names it.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node)
        with monkeypatch.context() as patched:

            def fall_silent() -> None:
                patched.setattr(sending, "ANSWER_SECONDS", 0.01)
                patched.setattr(node, "submit_many", lambda encoded: Future())

            meanwhile(patched, "erase_documents", fall_silent)
            (signed,) = house.desk.erase_record(house.numbers[0])
        assert set(statuses(node).values()) == {"current"}
        house.desk.commit_kept()
        assert digest_of(node, house.numbers[0]) == signed.digest()


def test_told_secret_goes_after_a_crash_behind_the_destruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a crash between keys and category secret. When the desk goes on after the restart. Then it is gone."""
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node)
        monkeypatch.setattr("vervain.node.category_secrets.CategorySecrets.forget", pulled_plug)
        with pytest.raises(PulledPlug):
            house.desk.erase_subject(house.subject)
        monkeypatch.undo()
    with Node(tmp_path / "node") as node:
        desk = desk_of(node)
        desk.commit_kept()
        assert desk.secrets.get(house.subject) is None and set(statuses(node).values()) == {"erased"}
    with Node(tmp_path / "node") as node:
        assert desk_of(node).secrets.get(house.subject) is None


def test_told_secret_that_the_disk_does_not_forget_is_forgotten_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a disk that is full when the secret is to go. When there is room. Then file and memory lose it."""

    def fail(*arguments: object, **named: object) -> None:
        raise Full("no room")

    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        house = House(node)
        with monkeypatch.context() as patched:
            patched.setattr("vervain.node.category_secrets.write_summed_file", fail)
            with pytest.raises(Full):
                house.desk.erase_subject(house.subject)
        house.desk.commit_kept()
        assert house.desk.secrets.get(house.subject) is None
    with Node(tmp_path / "node") as node:
        assert desk_of(node).secrets.get(house.subject) is None
