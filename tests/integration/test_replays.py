# SPDX-License-Identifier: Apache-2.0
"""Once only: no transaction counts twice, on no chain but its own, and nobody can burn another's or fill the memory."""

import base64
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.integration.imports import found
from tests.integration.lived_in import lived_in
from tests.unit.node.founded import MovedClock
from vervain.engines.engine import FinalOutcome
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.refusals import APPLIED, MachineReason
from vervain.ledger.machine.transaction import Envelope, Header, Transaction, entries_root
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import TX
from vervain.node.backup import copy_keys, restore_node
from vervain.node.desk import MemberDesk
from vervain.node.node import Node
from vervain.sealing.keys import SigningKey
from vervain.sealing.signing import build_transaction

ANSWER_SECONDS: Final = 60.0
WINDOW_SECONDS: Final = 900


class FixedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = int(time.time())

    def __call__(self) -> float:
        """Return UTC seconds."""
        return float(self.now)


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still."""
    return FixedClock()


@pytest.fixture
def node(tmp_path: Path, clock: FixedClock) -> Iterator[Node]:
    """A running node of one hospital whose clock stands still."""
    found(tmp_path / "node")
    with Node(tmp_path / "node", clock=clock) as running:
        yield running


def own_desk(node: Node) -> MemberDesk:
    """Return the founding hospital's desk."""
    return node.desk(node.settings.organisation)


def commit(node: Node, *, expires_at: int, key: SigningKey | None = None) -> bytes:
    """Return a signed transaction that commits to one of the hospital's own documents."""
    desk = own_desk(node)
    message = CommitRecord(subject=desk.organisation, commitment=secrets.token_bytes(32))
    key = key or desk.signing
    return build_transaction([message], chain=node.chain, actor=key.actor, key=key, expires_at=expires_at).encoded


def codes(node: Node, encoded: list[bytes]) -> list[int]:
    """Hand in a group; return the codes in order."""
    return [outcome.code for outcome in node.submit_many(encoded).result(ANSWER_SECONDS)]


def all_transactions(node: Node) -> list[tuple[int, bytes]]:
    """Return every ordered transaction with its height."""
    return [(block.height, each) for block in node.blocks(1) for each in block.transactions]


def remembered(node: Node) -> list[tuple[bytes, bytes]]:
    """Return the ids that the state remembers, and the members' counts."""
    with node.view() as state:
        return list(state.unexpired_range(b"", b"\xff" * 41))


def restored(node: Node, backup: Path, target: Path, clock: Callable[[], float]) -> Node:
    """Restore a backup; return the node, not yet started."""
    copy_keys(node.directory.root, target.parent / "keys")
    restore_node(
        backup,
        target,
        keys=target.parent / "keys",
        slot_keys=node.directory.root / "slot-backup-keys",
        cosigner_state=None,
        erasures=None,
        now=int(clock()),
    )
    return Node(target, clock=clock)


def test_every_transaction_of_a_chain_counts_once_and_there_only(tmp_path: Path) -> None:
    """
    Given a chain with registrations, records, grants and reads, and a fork with another genesis.
    When every transaction is handed in again, to both.
    Then the chain answers each with its first outcome and its log stays as it was; the fork takes none.
    """
    with lived_in(tmp_path / "node") as life:
        reader = life.share(life.wallets[0], 0)
        life.read(life.wallets[0], 0, reader, life.record_numbers(life.wallets[0], 0)[:1])
        life.desk(0).erase_subject(life.pseudonym(life.wallets[1], 0))
        ordered = all_transactions(life.node)
        size, root = life.node.head.log_size, life.node.head.log_root
        first = [life.node.outcome_of(txid_of(each)) for _, each in ordered]
        again = life.node.submit_many([each for _, each in ordered]).result(ANSWER_SECONDS)
        assert [(each.height, each.is_repeat) for each in again] == [(height, True) for height, _ in ordered]
        assert [(e.code, e.leaf_index, e.events) for e in again] == [
            (e.code, e.leaf_index, e.events) for e in first if e
        ]
        assert (life.node.head.log_size, life.node.head.log_root) == (size, root)
    found(tmp_path / "fork")
    with Node(tmp_path / "fork") as fork:
        size = fork.head.log_size
        assert codes(fork, [each for _, each in ordered]) == [MachineReason.WRONG_CHAIN] * len(ordered)
        assert fork.head.log_size == size and remembered(fork) == []


def txid_of(encoded: bytes) -> bytes:
    """Return a transaction's id."""
    return Transaction.from_checked(encoded, CATALOGUE.message_decoder).txid


def test_restored_chain_takes_each_once_within_its_window_and_none_after(
    node: Node, clock: FixedClock, tmp_path: Path
) -> None:
    """
    Given a backup, transactions before and after it.
    When all are handed in to the restored chain twice, and again when they have expired.
    Then those before are repeats, those after are applied once; after their expiry none is taken.
    """
    before = [commit(node, expires_at=clock.now + 600) for _ in range(5)]
    assert codes(node, before) == [APPLIED] * 5
    node.back_up(tmp_path / "backup")
    after = [commit(node, expires_at=clock.now + 700) for _ in range(5)]
    assert codes(node, after) == [APPLIED] * 5
    with restored(node, tmp_path / "backup", tmp_path / "restored", clock) as second:
        size = second.head.log_size
        repeats = second.submit_many(before).result(ANSWER_SECONDS)
        assert [(each.code, each.is_repeat) for each in repeats] == [(APPLIED, True)] * 5
        assert second.head.log_size == size
        once = second.submit_many(after).result(ANSWER_SECONDS)
        twice = second.submit_many(after).result(ANSWER_SECONDS)
        assert [each.is_repeat for each in once + twice] == [False] * 5 + [True] * 5
        assert [each.leaf_index for each in once] == [each.leaf_index for each in twice]
        clock.now += 701
        assert codes(second, [*before, *after]) == [MachineReason.EXPIRED] * 10
        codes(second, [commit(second, expires_at=clock.now)])
        assert codes(second, [*before, *after]) == [MachineReason.EXPIRED] * 10
        assert len(all_transactions(second)) == 11 and len(remembered(second)) == 2  # the newest and the count


def altered(genuine: bytes) -> dict[str, tuple[bytes, int]]:
    """Return what one who saw a transaction on its way can make of it, and the code that answers each."""
    envelope = json.loads(genuine)
    entry = {**envelope["entries"][0], "commitment": base64.b64encode(bytes(32)).decode()}
    signature = bytearray(base64.b64decode(envelope["signature"]))
    signature[0] ^= 1

    def other(**changes: object) -> bytes:
        return json.dumps({**envelope, **changes}, separators=(",", ":"), sort_keys=True).encode()

    assert other() == genuine
    header = envelope["header"]
    return {
        "entry": (other(entries=[entry]), MachineReason.WRONG_ROOT),
        "more entries": (other(entries=[*envelope["entries"], entry]), MachineReason.WRONG_ROOT),
        "blind": (other(blind=base64.b64encode(bytes(32)).decode()), MachineReason.WRONG_ROOT),
        "signature": (other(signature=base64.b64encode(signature).decode()), MachineReason.BAD_SIGNATURE),
        "expiry": (other(header={**header, "expires_at": header["expires_at"] + 1}), MachineReason.BAD_SIGNATURE),
        "nonce": (other(header={**header, "nonce": base64.b64encode(bytes(16)).decode()}), MachineReason.BAD_SIGNATURE),
        "spaces": (json.dumps(envelope, sort_keys=True).encode(), MachineReason.NOT_CANONICAL),
        "count": (other(header={**header, "count": 2}), MachineReason.WRONG_ROOT),
    }


def test_altered_entries_under_anothers_header_burn_nothing(node: Node, clock: FixedClock) -> None:
    """
    Given transactions on their way, and somebody who alters each in every place and is faster.
    When the altered ones are handed in before and with the genuine one.
    Then none of them is taken, and the genuine one is, the first time it comes.
    """
    for together in (False, True):
        genuine = commit(node, expires_at=clock.now + 300)
        size, ids = node.head.log_size, remembered(node)
        forged = altered(genuine)
        sent = [each for each, _ in forged.values()]
        expected = [int(code) for _, code in forged.values()]
        if together:
            assert codes(node, [*sent, genuine, *sent]) == [*expected, APPLIED, *expected]
        else:
            assert codes(node, sent) == expected
            assert (node.head.log_size, remembered(node)) == (size, ids)
            (outcome,) = node.submit_many([genuine]).result(ANSWER_SECONDS)
            assert (outcome.code, outcome.is_repeat) == (APPLIED, False)
    assert len(all_transactions(node)) == 2


def test_same_id_cannot_be_anothers(node: Node, clock: FixedClock) -> None:
    """
    Given two members who sign the same entry with the same nonce, blind and expiry.
    When both hand it in, and one signs in the other's name.
    Then the two have ids of their own and count both; the third counts for nobody.
    """
    one, other = own_desk(node).signing, SigningKey.generate()
    message = CommitRecord(subject=own_desk(node).organisation, commitment=bytes(32))
    entries, blind = (encode(message),), bytes(32)

    def by(actor: bytes, key: SigningKey) -> bytes:
        header = Header(
            version=1,
            chain=node.chain,
            actor=actor,
            key=key.public_key,
            nonce=bytes(16),
            expires_at=clock.now + 60,
            root=entries_root(entries, blind),
            count=1,
        )
        raw = tuple(map(msgspec.Raw, entries))
        return encode(Envelope(header=header, signature=key.sign(TX + encode(header)), blind=blind, entries=raw))

    made = [by(one.actor, one), by(other.actor, other), by(one.actor, other)]
    assert len({txid_of(each) for each in made}) == 3
    assert codes(node, made) == [APPLIED, MachineReason.KEY_NOT_ACTIVE, MachineReason.KEY_NOT_ACTIVE]
    assert codes(node, made[1:]) == [MachineReason.KEY_NOT_ACTIVE] * 2
    assert len(all_transactions(node)) == 1


def test_twins_in_one_block_are_one(node: Node, clock: FixedClock) -> None:
    """Given the same bytes many times in one group, then one is ordered and every one gets its answer."""
    twin, single = (commit(node, expires_at=clock.now + 60) for _ in range(2))
    outcomes = node.submit_many([twin, single, *[twin] * 20]).result(ANSWER_SECONDS)
    assert {each.code for each in outcomes} == {APPLIED}
    assert len({each.leaf_index for each in outcomes}) == 2
    assert sorted(each for _, each in all_transactions(node)) == sorted([twin, single])


def test_expiry_boundaries(node: Node, clock: FixedClock) -> None:
    """Given a block at t: what expires at t or t + 900 is taken; what expired at t - 1 or lives till t + 901 is not."""
    codes(node, [commit(node, expires_at=clock.now + 10)])
    expected = {
        -1: MachineReason.EXPIRED,
        0: APPLIED,
        WINDOW_SECONDS: APPLIED,
        WINDOW_SECONDS + 1: MachineReason.EXPIRES_TOO_LATE,
    }
    found_codes = codes(node, [commit(node, expires_at=clock.now + seconds) for seconds in expected])
    assert found_codes == [int(code) for code in expected.values()]


def test_id_is_remembered_to_its_last_second_and_refused_after(node: Node, clock: FixedClock) -> None:
    """Given an ordered transaction, then in its last second it is a repeat, in the next one expired: no gap between."""
    once = commit(node, expires_at=clock.now + 60)
    assert codes(node, [once]) == [APPLIED]
    clock.now += 60
    (last,) = node.submit_many([once]).result(ANSWER_SECONDS)
    codes(node, [commit(node, expires_at=clock.now)])
    (still,) = node.submit_many([once]).result(ANSWER_SECONDS)
    clock.now += 1
    assert (last.is_repeat, still.is_repeat, codes(node, [once])) == (True, True, [MachineReason.EXPIRED])
    codes(node, [commit(node, expires_at=clock.now)])
    assert codes(node, [once]) == [MachineReason.EXPIRED]
    assert sum(each == once for _, each in all_transactions(node)) == 1


GROWTH_BYTES_MAX: Final = 48 * 2**20  # of this process, whatever the rate and however long


@pytest.mark.parametrize(("per_second", "seconds"), [(1_000, 3), pytest.param(10_000, 30, marks=pytest.mark.prove)])
def test_unknown_keys_at_a_high_rate_leave_nothing(
    tmp_path: Path, per_second: int, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    """
    Given strangers' keys that sign well-formed transactions.
    When they are handed in at a high rate.
    Then every one is answered, none is written or remembered, and the process does not grow.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node", clock=MovedClock()) as node:
        expires_at = int(time.time()) + WINDOW_SECONDS - 60
        keys = [SigningKey.generate() for _ in range(1_000)]
        strangers = [commit(node, expires_at=expires_at, key=key) for key in keys]
        codes(node, strangers)  # once, so that what is allocated once is there
        size, ids, resident = node.head.log_size, remembered(node), resident_bytes()
        files = file_sizes(node)
        answers = offer(node, strangers, per_second=per_second, seconds=seconds)
        growth = resident_bytes() - resident
        record_property("answered", sum(answers.values()))
        assert sum(answers.values()) == per_second * seconds
        assert set(answers) <= {int(MachineReason.KEY_NOT_ACTIVE), int(MachineReason.POOL_FULL)}
        assert answers[int(MachineReason.KEY_NOT_ACTIVE)] >= 1_000
        assert (node.head.log_size, remembered(node)) == (size, ids)
        assert file_sizes(node)["state"] - files["state"] <= 64 * 4_096  # heartbeats alone
        assert all_transactions(node) == []
        assert growth < GROWTH_BYTES_MAX, growth
        assert codes(node, [commit(node, expires_at=int(time.time()) + 60)]) == [APPLIED]


def offer(node: Node, strangers: list[bytes], *, per_second: int, seconds: int) -> Counter[int]:
    """Hand in groups at a rate, whether or not they were answered; count the answers without keeping any."""
    begin, groups = time.monotonic(), per_second * seconds // len(strangers)
    answers, answered = Counter[int](), threading.Semaphore(0)
    counting = threading.Lock()

    def count(future: "Future[list[FinalOutcome]]") -> None:
        with counting:
            answers.update(outcome.code for outcome in future.result())
        answered.release()

    for number in range(groups):
        time.sleep(max(0.0, begin + number * len(strangers) / per_second - time.monotonic()))
        node.submit_many(strangers).add_done_callback(count)
    for _ in range(groups):
        assert answered.acquire(timeout=ANSWER_SECONDS)
    return answers


def resident_bytes() -> int:
    """Return this process's memory that is no file's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def file_sizes(node: Node) -> dict[str, int]:
    """Return the bytes in block log and state."""
    root = node.directory.root
    return {name: sum(path.stat().st_size for path in (root / name).iterdir()) for name in ("blocks", "state")}
