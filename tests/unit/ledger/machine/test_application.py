# SPDX-License-Identifier: Apache-2.0
"""The machine as an engine sees it: blocks in, changes out; who may write, once only, whole or not at all."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest
import rfc8785
from msgspec import UNSET

from tests.memory_state import MemoryState
from tests.small_chain import HOSPITAL, Party, SmallChain
from tests.toy_ledger import (
    COUNTS,
    FOUNDED_AT,
    GENESIS,
    GENESIS_BLOCK,
    NOTES,
    TOY,
    WITHDRAWN,
    Count,
    NoKey,
    Note,
    NoteReason,
    NoteWritten,
    signed,
)
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine import application as machine
from vervain.ledger.machine import replay_window
from vervain.ledger.machine.application import Application, Finalized, replay
from vervain.ledger.machine.block import Block, BlockLeaf, app_hash, change_digest, rows_digest, validators_digest
from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.machine.limits import BLOCK_WORK_MAX, EXPIRY_SECONDS_MAX
from vervain.ledger.machine.outcome import Outcome
from vervain.ledger.machine.refusals import MachineReason, Malformed, Refusal
from vervain.ledger.machine.replay_window import ReplayWindow
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Row
from vervain.ledger.machine.transaction import Transaction, entry_leaf, entry_path, entry_salt
from vervain.ledger.modules.consortium.messages import Propose, SetParameter
from vervain.ledger.modules.consortium.queries import validators
from vervain.ledger.modules.consortium.state import MEMBERS
from vervain.ledger.primitives.codec import Decoder, NotCanonical, decode, encode
from vervain.ledger.primitives.errors import InvariantBroken, ProofError
from vervain.ledger.primitives.hashing import CONFIG, leaf_hash
from vervain.ledger.primitives.merkle_log import TiledTree, verify_inclusion
from vervain.ledger.primitives.proved_map import EMPTY_LEVELS, map_key, value_hash, verify

SEED, OTHER_SEED = b"\x01" * 32, b"\x02" * 32
MINUTE = FOUNDED_AT + 60


class Chain:
    """A toy chain over storage in memory."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.application = Application(TOY, self.state)
        self.genesis = self.application.init_chain(GENESIS, self.state)
        self._commit_changes(self.genesis)
        self.blocks = [GENESIS_BLOCK]
        self.name = self.application.chain

    def sign(self, *texts: str, seed: bytes = SEED, **fields: Any) -> bytes:  # Any: a header's fields
        """Return a signed transaction of notes."""
        return signed(*texts, chain=self.name, seed=seed, **fields)

    def block(self, *transactions: bytes, time: int = MINUTE) -> Finalized:
        """Finalize and commit the next block."""
        block = Block(height=len(self.blocks), time=time, transactions=transactions)
        finalized = self.application.finalize_block(block, self.state)
        self._commit_changes(finalized.changes)
        self.blocks.append(block)
        return finalized

    def codes(self, *transactions: bytes, time: int = MINUTE) -> list[int]:
        """Finalize and commit the next block; return its outcomes' codes."""
        return [outcome.code for outcome in self.block(*transactions, time=time).outcomes]

    def reopen(self) -> None:
        """Start a new application over the same state."""
        self.application = Application(TOY, self.state)
        self.application.resume(GENESIS)

    def tree(self) -> TiledTree:
        """Return the log as its tiles hold it."""
        head = self.state.head()
        assert head is not None
        return TiledTree(head.log_size, self.state.tile)

    def _commit_changes(self, changes: Changes) -> None:
        self.state.apply(changes)
        self.application.committed(changes)


@pytest.fixture
def chain() -> Chain:
    """A founded toy chain."""
    return Chain()


def block_leaf(finalized: Finalized) -> BlockLeaf:
    """Return the block leaf that a block appended."""
    leaf = finalized.changes.summary.leaf
    assert leaf is not UNSET
    return decode(bytes(leaf), BlockLeaf)


# Founding


def test_founding_appends_two_leaves(chain: Chain) -> None:
    """
    Given a genesis.
    When the chain is founded.
    Then height 0 has the genesis leaf and a block leaf, and the summary holds their root and app hash.
    """
    summary = chain.genesis.summary
    assert (summary.height, summary.time, summary.first_leaf, summary.leaves) == (0, FOUNDED_AT, 0, 2)
    digest = sha256(b"vervain/genesis/v1\n" + GENESIS).digest()
    first = rfc8785.dumps(
        {
            "chain": f"toy-{digest.hex()[:32]}",
            "genesis_digest": msgspec.to_builtins(digest),
            "kind": "genesis",
            "time": FOUNDED_AT,
        }
    )
    assert summary.leaf is not UNSET
    leaves = [leaf_hash(first), leaf_hash(bytes(summary.leaf))]
    root = sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    assert (summary.log_root, summary.app_hash) == (root, app_hash(2, root))
    assert chain.name == f"toy-{digest.hex()[:32]}"
    assert chain.genesis.outcomes == b'[{"code":0}]'


def test_founding_refused_when_content_is_not_canonical() -> None:
    """
    Given content with a space too many.
    When a chain is founded on it.
    Then NotCanonical, and the application can still be founded on the right content.
    """
    state = MemoryState()
    application = Application(TOY, state)
    with pytest.raises(NotCanonical):
        application.init_chain(GENESIS + b" ", state)
    assert application.init_chain(GENESIS, state).summary.height == 0


# Applied, refused


def test_applied_transaction_leaves_rows_leaf_outcome_and_memory(chain: Chain) -> None:
    """
    Given a founded chain.
    When a block of one note is finalized.
    Then rows, outcome, both leaves by hand, tiles, head and the remembered id are in its changes.
    """
    encoded = chain.sign("hello", blind=bytes(32))
    transaction = Transaction(encoded, TOY.message_decoder)
    finalized = chain.block(encoded)
    assert finalized.outcomes == (Outcome(code=0, events=(NoteWritten(number=1),)),)
    assert finalized.leaf_indexes == (2,)
    changes = finalized.changes
    outcome = b'{"code":0,"events":[{"number":1,"type":"note.written"}]}'
    assert changes.outcomes == b"[" + outcome + b"]"
    assert changes.rows == (
        (NOTES.stored_key(1), encode(Note(text="hello", at=MINUTE))),
        (COUNTS.stored_key(0), encode(Count(last=1))),
    )
    salt = sha256(b"vervain/outcome-salt/v1\n" + bytes(32)).digest()
    leaf = rfc8785.dumps(
        {
            "code": 0,
            "height": 1,
            "kind": "transaction",
            "outcome_digest": msgspec.to_builtins(sha256(b"vervain/outcome/v1\n" + salt + outcome).digest()),
            "time": MINUTE,
            "txid": msgspec.to_builtins(bytes(transaction.txid)),
        }
    )
    assert chain.tree().leaf(2) == leaf_hash(leaf)
    closing = block_leaf(finalized)
    assert (closing.height, closing.time, closing.change_digest) == (1, MINUTE, change_digest(changes.rows))
    assert closing.next_validators == validators_digest(())
    assert closing.config_root == rows_digest(CONFIG, ())
    assert chain.tree().leaf(3) == leaf_hash(encode(closing))
    root = chain.tree().root()
    assert changes.summary == BlockSummary(
        height=1,
        time=MINUTE,
        first_leaf=2,
        leaves=2,
        app_hash=app_hash(4, root),
        log_root=root,
        leaf=msgspec.Raw(encode(closing)),
    )
    place = transaction.header.expires_at.to_bytes(8, "big") + transaction.txid
    where = transaction.header.actor + (1).to_bytes(8, "big") + bytes(4)
    count = (b"\xff" * 8 + transaction.header.actor, (1).to_bytes(8, "big"))
    assert (changes.unexpired_added, changes.unexpired_removed) == (((place, where), count), ())


def test_refused_transaction_gets_a_leaf_and_is_remembered_and_changes_nothing(chain: Chain) -> None:
    """
    Given a note that the rule refuses after it has written.
    When its block is finalized, and the same bytes come again.
    Then it has a leaf with its code and no rows; the second time it was seen already.
    """
    refused = chain.sign("refuse me")
    finalized = chain.block(refused)
    assert finalized.outcomes == (Outcome(code=int(NoteReason.UNWANTED), failed_entry=0),)
    assert (finalized.leaf_indexes, finalized.changes.rows) == ((2,), ())
    assert finalized.changes.summary.leaves == 2
    assert chain.codes(refused) == [MachineReason.ALREADY_SEEN]


def test_batch_applies_whole_or_not_at_all(chain: Chain) -> None:
    """
    Given a batch whose third entry is refused, between two good transactions.
    When the block is finalized.
    Then nothing of the batch is in the state, its outcome names the entry, and the others count on without a gap.
    """
    batch = chain.sign("a", "b", "refuse me", "d")
    finalized = chain.block(chain.sign("first"), batch, chain.sign("last"))
    assert finalized.outcomes == (
        Outcome(code=0, events=(NoteWritten(number=1),)),
        Outcome(code=int(NoteReason.UNWANTED), failed_entry=2),
        Outcome(code=0, events=(NoteWritten(number=2),)),
    )
    assert [decode(row, Note).text for key, row in finalized.changes.rows if key[:2] == b"\x04\xb1" and row] == [
        "first",
        "last",
    ]
    assert finalized.leaf_indexes == (2, 3, 4)


# Once only, and nobody else's


def test_duplicate_gets_no_second_leaf(chain: Chain) -> None:
    """
    Given one transaction.
    When it stands twice in a block, and again in the next.
    Then it is applied once; the others get ALREADY_SEEN, no leaf and no memory.
    """
    encoded = chain.sign("once")
    finalized = chain.block(encoded, encoded)
    assert [outcome.code for outcome in finalized.outcomes] == [0, MachineReason.ALREADY_SEEN]
    assert finalized.leaf_indexes == (2, None)
    assert len(finalized.changes.unexpired_added) == 2
    again = chain.block(encoded)
    assert (again.outcomes[0].code, again.leaf_indexes) == (MachineReason.ALREADY_SEEN, (None,))
    assert (again.changes.summary.leaves, again.changes.unexpired_added) == (0, ())


def altered_entries(encoded: bytes) -> bytes:
    """Return the transaction with other entries under the same header and signature."""
    value = json.loads(encoded)
    value["entries"][0]["text"] = "altered"
    return rfc8785.dumps(value)


def test_altered_entries_under_anothers_header_burn_nothing(chain: Chain) -> None:
    """
    Given a transaction, and a copy of it with altered entries.
    When the copy is ordered first, in the same block and the one before.
    Then the copy gets WRONG_ROOT, no leaf and no memory, and the original is applied.
    """
    encoded = chain.sign("original")
    before = chain.block(altered_entries(encoded))
    assert (before.outcomes[0].code, before.leaf_indexes) == (MachineReason.WRONG_ROOT, (None,))
    assert (before.changes.unexpired_added, before.changes.summary.leaves) == ((), 0)
    assert chain.codes(altered_entries(encoded), encoded) == [MachineReason.WRONG_ROOT, 0]


def test_forged_signature_burns_nothing(chain: Chain) -> None:
    """
    Given a transaction whose signature was replaced.
    When it is ordered before the real one.
    Then it gets BAD_SIGNATURE, no leaf and no memory, and the real one is applied.
    """
    encoded = chain.sign("original")
    value = json.loads(encoded)
    value["signature"] = "A" * 86 + "=="
    finalized = chain.block(rfc8785.dumps(value), encoded)
    assert [outcome.code for outcome in finalized.outcomes] == [MachineReason.BAD_SIGNATURE, 0]
    assert finalized.leaf_indexes == (None, 2)


def test_bytes_of_no_form_get_a_code_and_no_leaf(chain: Chain) -> None:
    """
    Given bytes that are no transaction.
    When they stand in a block.
    Then NOT_CANONICAL and no leaf: a block is never stuck.
    """
    finalized = chain.block(b"noise", b"")
    assert [outcome.code for outcome in finalized.outcomes] == [MachineReason.NOT_CANONICAL] * 2
    assert finalized.changes.summary.leaves == 0


@pytest.mark.parametrize(
    ("expires_in", "code"),
    [
        (-1, MachineReason.EXPIRED),
        (0, 0),
        (EXPIRY_SECONDS_MAX, 0),
        (EXPIRY_SECONDS_MAX + 1, MachineReason.EXPIRES_TOO_LATE),
    ],
)
def test_transaction_lives_from_its_time_to_its_expiry(chain: Chain, expires_in: int, code: int) -> None:
    """
    Given transactions that expire a second ago, now, in 900 s and in 901 s of block time.
    When each is ordered.
    Then both ends count, beyond them the code says which.
    """
    assert chain.codes(chain.sign("x", expires_at=MINUTE + expires_in)) == [code]


def test_transaction_of_another_chain_is_refused(chain: Chain) -> None:
    """
    Given a transaction signed for a chain of the same name and another founding.
    When it is ordered here.
    Then WRONG_CHAIN.
    """
    assert chain.codes(signed("x", chain="toy-" + "0" * 32)) == [MachineReason.WRONG_CHAIN]


def test_expired_id_is_forgotten_and_can_not_be_used_again(chain: Chain) -> None:
    """
    Given an applied transaction.
    When a block after its expiry ends, and it is ordered again.
    Then its id was forgotten, and EXPIRED keeps it out all the same.
    """
    encoded = chain.sign("x", expires_at=MINUTE + 10)
    chain.block(encoded)
    forgotten = chain.block(time=MINUTE + 11)
    assert len(forgotten.changes.unexpired_removed) == 1 and forgotten.changes.summary.leaves == 0
    assert chain.codes(encoded, time=MINUTE + 11) == [MachineReason.EXPIRED]


def test_key_is_looked_up_in_the_state_before_the_block(chain: Chain) -> None:
    """
    Given a key that is withdrawn in the state.
    When it signs.
    Then KEY_NOT_ACTIVE and no leaf; another key writes.
    """
    encoded = chain.sign("x")
    key = Transaction(encoded, TOY.message_decoder).header.key
    chain.state.rows.put(WITHDRAWN.stored_key(key), encode(NoKey()))
    finalized = chain.block(encoded, chain.sign("y", seed=OTHER_SEED))
    assert [outcome.code for outcome in finalized.outcomes] == [MachineReason.KEY_NOT_ACTIVE, 0]
    assert finalized.leaf_indexes == (None, 2)


def test_member_with_too_many_unexpired_is_refused(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a limit of two unexpired transactions a member.
    When a third of one comes, and one of another.
    Then TOO_MANY_UNEXPIRED for the third alone.
    """
    monkeypatch.setattr(replay_window, "UNEXPIRED_PER_ORGANISATION_MAX", 2)
    block = [chain.sign(text) for text in "abc"] + [chain.sign("d", seed=OTHER_SEED)]
    assert chain.codes(*block) == [0, 0, MachineReason.TOO_MANY_UNEXPIRED, 0]


def test_too_much_work_is_refused(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a block that may do eight units of work.
    When a batch of two notes and one of three come.
    Then TOO_MUCH_WORK for the second, in a block as in the pool.
    """
    monkeypatch.setattr(machine, "BLOCK_WORK_MAX", 8)
    batch = chain.sign("a", "b", "c")
    assert chain.codes(chain.sign("a", "b"), batch) == [0, MachineReason.TOO_MUCH_WORK]
    assert refusal_of(chain, batch) is MachineReason.TOO_MUCH_WORK


# Empty blocks, time


def test_empty_block_appends_nothing(chain: Chain) -> None:
    """
    Given a chain with a note.
    When a block without transactions is finalized.
    Then app hash and log are as before, nothing is written, and its time is kept.
    """
    before = chain.block(chain.sign("x")).changes.summary
    changes = chain.block(time=MINUTE + 30).changes
    assert changes.summary == BlockSummary(
        height=2,
        time=MINUTE + 30,
        first_leaf=before.log_size,
        leaves=0,
        app_hash=before.app_hash,
        log_root=before.log_root,
    )
    assert (changes.rows, changes.buckets, changes.tiles, changes.outcomes) == ((), (), (), b"[]")


def test_time_never_falls_and_heights_follow(chain: Chain) -> None:
    """
    Given a head at a time.
    When a block before that time, or at a height that does not follow, is finalized.
    Then an assertion stops it.
    """
    chain.block(time=MINUTE)
    for block in (
        Block(height=2, time=MINUTE - 1, transactions=()),
        Block(height=3, time=MINUTE, transactions=()),
        Block(height=1, time=MINUTE, transactions=()),
    ):
        with pytest.raises(AssertionError):
            chain.application.finalize_block(block, chain.state)


# Restart, replay


def test_restarted_application_goes_on_alike(chain: Chain) -> None:
    """
    Given two chains with the same blocks, one restarted before each.
    When they go on.
    Then their heads are equal throughout: nothing but the state counts.
    """
    other = Chain()
    for number in range(5):
        transactions = tuple(chain.sign(f"{number} {text}") for text in ("a", "refuse me", "c"))
        other.reopen()
        assert other.block(*transactions).changes == chain.block(*transactions).changes


def test_replay_gives_the_same_heads(chain: Chain) -> None:
    """
    Given a chain of some blocks.
    When they are replayed from the founding.
    Then every change is the same.
    """
    kept = [chain.block(chain.sign(str(number)), time=MINUTE + number).changes for number in range(4)]
    replica = Chain()

    def apply(finalized: Iterator[Finalized]) -> Iterator[Changes]:
        for each in finalized:
            replica.state.apply(each.changes)
            yield each.changes

    replayed = list(apply(replay(replica.application, chain.blocks[1:], lambda: replica.state)))
    assert replayed == kept
    with pytest.raises(InvariantBroken, match="does not follow"):
        next(replay(replica.application, chain.blocks[3:4], lambda: replica.state))


# The pool and proposals


def refusal_of(chain: Chain, encoded: bytes, *, time: int = MINUTE) -> MachineReason:
    """Return why the pool refuses it."""
    with pytest.raises(Refusal) as caught:
        chain.application.check(encoded, time=time, state=chain.state)
    reason = caught.value.reason
    assert isinstance(reason, MachineReason)
    return reason


def test_pool_takes_what_a_block_would(chain: Chain) -> None:
    """
    Given a good transaction, and one each that is altered, expired, foreign, forged and seen.
    When the pool checks them.
    Then the first is taken and the others refused with the code a block would give.
    """
    good = chain.sign("x")
    assert chain.application.check(good, time=MINUTE, state=chain.state).txid
    value = json.loads(good)
    value["signature"] = "A" * 86 + "=="
    seen = chain.sign("seen")
    chain.block(seen)
    bad = [
        altered_entries(good),
        chain.sign("x", expires_at=MINUTE - 1),
        signed("x", chain="toy-1"),
        rfc8785.dumps(value),
        seen,
    ]
    expected = [
        MachineReason.WRONG_ROOT,
        MachineReason.EXPIRED,
        MachineReason.WRONG_CHAIN,
        MachineReason.BAD_SIGNATURE,
        MachineReason.ALREADY_SEEN,
    ]
    assert [refusal_of(chain, encoded) for encoded in bad] == expected
    assert chain.codes(*bad) == expected


def taken(chain: Chain, *transactions: bytes) -> list[Transaction]:
    """Decode transactions as they wait."""
    return [Transaction(encoded, chain.application.catalogue.message_decoder) for encoded in transactions]


def test_proposal_holds_what_may_write(chain: Chain) -> None:
    """
    Given two good transactions, one of them twice, and an expired one.
    When a proposal is made.
    Then it holds the two, and says why the others are out.
    """
    first, second = chain.sign("a"), chain.sign("b")
    expired = chain.sign("c", expires_at=MINUTE - 1)
    waiting = taken(chain, first, second, first, expired)
    prepared = chain.application.prepare(waiting, time=MINUTE, state=chain.state)
    assert [each.encoded for each in prepared.transactions] == [first, second]
    assert [(each.encoded, refusal.reason) for each, refusal in prepared.refused] == [
        (first, MachineReason.ALREADY_SEEN),
        (expired, MachineReason.EXPIRED),
    ]
    assert prepared.postponed == ()


@pytest.mark.parametrize(
    ("name", "limit", "fit"),
    [("BLOCK_WORK_MAX", 9, 2), ("BLOCK_TRANSACTIONS_MAX", 1, 1), ("BLOCK_BYTES_MAX", 1_400, 2)],
)
def test_proposal_keeps_every_maximum(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, name: str, limit: int, fit: int
) -> None:
    """
    Given four transactions of four work units and about 600 bytes, and a maximum of work, count or bytes.
    When a proposal is made, and a block of one more is judged.
    Then it holds as many as fit, in order, the rest waits, and the larger block is rejected.
    """
    transactions = [chain.sign(text) for text in "abcd"]
    monkeypatch.setattr(machine, name, limit)
    prepared = chain.application.prepare(taken(chain, *transactions), time=MINUTE, state=chain.state)
    assert [each.encoded for each in prepared.transactions] == transactions[:fit]
    assert [each.encoded for each in prepared.postponed] == transactions[fit:]
    judged = [
        chain.application.process(Block(height=1, time=MINUTE, transactions=tuple(transactions[:count])), chain.state)
        for count in (fit, fit + 1)
    ]
    assert judged == [True, False]


def test_what_is_refused_takes_no_room_in_a_proposal(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given room for two notes, and before them an expired note and a batch that is too much work for any block.
    When a proposal is made.
    Then the two are refused, not postponed for ever, and both notes fit.
    """
    monkeypatch.setattr(machine, "BLOCK_WORK_MAX", 9)
    expired, heavy = chain.sign("a", expires_at=MINUTE - 1), chain.sign("b", "c", "d")
    notes = [chain.sign("e"), chain.sign("f")]
    prepared = chain.application.prepare(taken(chain, expired, heavy, *notes), time=MINUTE, state=chain.state)
    assert [refusal.reason for _, refusal in prepared.refused] == [MachineReason.EXPIRED, MachineReason.TOO_MUCH_WORK]
    assert [each.encoded for each in prepared.transactions] == notes
    assert prepared.postponed == ()


def test_proposed_block_is_rejected_for_anything_that_may_not_write(chain: Chain) -> None:
    """
    Given a good transaction beside one that is altered, expired, seen twice, or no transaction.
    When the proposed block is judged.
    Then it is rejected; the good one alone is accepted, and judging changes nothing.
    """
    good = chain.sign("x")
    head = chain.state.head()
    companions = [altered_entries(good), chain.sign("y", expires_at=MINUTE - 1), good, b"noise"]
    blocks = [Block(height=1, time=MINUTE, transactions=(good, companion)) for companion in companions]
    assert [chain.application.process(block, chain.state) for block in blocks] == [False] * 4
    assert chain.application.process(Block(height=1, time=MINUTE, transactions=(good,)), chain.state)
    assert chain.state.head() == chain.application.head == head
    assert chain.codes(good) == [0]


def test_judged_proposal_and_another_block_at_the_same_time_agree(chain: Chain) -> None:
    """
    Given a proposal that was judged, and another block at the same height and time, with a duplicate.
    When the other block is finalized.
    Then what was judged has no say: the duplicate is seen, and an application that judged nothing decides alike.
    """
    first, second = chain.sign("a"), chain.sign("b")
    chain.application.process(Block(height=1, time=MINUTE, transactions=(first,)), chain.state)
    other = Chain()
    block = (second, first, first)
    assert chain.block(*block).changes == other.block(*block).changes
    assert chain.codes(first) == [MachineReason.ALREADY_SEEN]


def test_judged_proposal_has_no_say_at_another_time_or_height(chain: Chain) -> None:
    """
    Given a transaction in a proposal that was judged good.
    When a block with it comes only after its expiry, and another after its key was withdrawn.
    Then EXPIRED and KEY_NOT_ACTIVE: what was judged counts for that height and time alone.
    """
    late, withdrawn = chain.sign("late", expires_at=MINUTE + 1), chain.sign("withdrawn", seed=OTHER_SEED)
    judged = Block(height=1, time=MINUTE, transactions=(late, withdrawn))
    assert chain.application.process(judged, chain.state)
    assert chain.codes(late, time=MINUTE + 2) == [MachineReason.EXPIRED]
    key = Transaction(withdrawn, TOY.message_decoder).header.key
    chain.state.rows.put(WITHDRAWN.stored_key(key), encode(NoKey()))
    assert chain.codes(withdrawn, time=MINUTE + 2) == [MachineReason.KEY_NOT_ACTIVE]


def test_memo_is_bounded_however_often_one_is_remembered(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a memo of 2,000 bytes.
    When one transaction is remembered a hundred times, and then five others of about 600 bytes.
    Then the newest three are kept and not decoded again; the others were dropped.
    """
    monkeypatch.setattr(machine, "MEMO_BYTES_MAX", 2_000)
    repeated = taken(chain, chain.sign("x"))[0]
    for _ in range(100):
        chain.application.remember(repeated)
    others = taken(chain, *map(chain.sign, "abcde"))
    for other in others:
        chain.application.remember(other)
    decoded: list[bytes] = []

    class Counted(Transaction):
        def __init__(self, encoded: bytes, decoder: Decoder) -> None:
            decoded.append(encoded)
            super().__init__(encoded, decoder)

    monkeypatch.setattr(machine, "Transaction", Counted)
    assert chain.codes(*(each.encoded for each in others[2:]), repeated.encoded) == [0] * 4
    assert decoded == [repeated.encoded]


# Reading


def test_query_is_answered_from_committed_state(chain: Chain) -> None:
    """
    Given two notes.
    When the newest is asked for.
    Then the canonical answer says 2.
    """
    chain.block(chain.sign("a", "b"))
    assert chain.application.query("note.newest", b"{}", chain.state) == b'{"last":2}'


@pytest.mark.parametrize(
    ("name", "arguments"), [("note.oldest", b"{}"), ("note.newest", b'{"a":1}'), ("note.newest", b"")]
)
def test_question_of_no_form_is_refused(chain: Chain, name: str, arguments: bytes) -> None:
    """
    Given an unknown question, or arguments of another form.
    When it is asked.
    Then Malformed(NOT_CANONICAL).
    """
    with pytest.raises(Malformed) as caught:
        chain.application.query(name, arguments, chain.state)
    assert caught.value.reason is MachineReason.NOT_CANONICAL


def test_row_is_proved_under_the_block_leaf(chain: Chain) -> None:
    """
    Given a chain whose proved row changes with each block.
    When the row, and one that is not there, are proved.
    Then the proofs hold under the newest block leaf's root and not under the one before.
    """
    assert block_leaf(Finalized(chain.genesis, (), ())).proved_root == EMPTY_LEVELS[18]
    roots = [block_leaf(chain.block(chain.sign(text))).proved_root for text in "ab"]
    for key, expected in ((0, encode(Count(last=2))), (1, None)):
        value, proof = chain.application.prove_row("note.counts", key, chain.state)
        assert value == expected
        place = map_key("note.counts", bytes([key]))
        digest = None if value is None else value_hash(value)
        verify(place=place, value=digest, proof=proof, root=roots[1])
        with pytest.raises(ProofError):
            verify(place=place, value=digest, proof=proof, root=roots[0])


@pytest.mark.parametrize("name", ["note.notes", "note.nothing"])
def test_row_of_a_plain_table_has_no_proof(chain: Chain, name: str) -> None:
    """
    Given a table that is not proved, and none at all.
    When a row is to be proved.
    Then Malformed(NOT_CANONICAL).
    """
    with pytest.raises(Malformed) as caught:
        chain.application.prove_row(name, 1, chain.state)
    assert caught.value.reason is MachineReason.NOT_CANONICAL


def test_deleted_row_is_proved_absent() -> None:
    """
    Given a real chain, and a member row that is deleted past the rules.
    When the next block is finalized.
    Then the map proves the row absent under that block's leaf.
    """
    real = RealChain()
    value, _ = real.application.prove_row("consortium.members", HOSPITAL.id, real.state)
    assert value is not None
    changes = real.changes_of(lambda store: MEMBERS.delete(store, HOSPITAL.id))
    root = decode(bytes(changes.summary.leaf), BlockLeaf).proved_root if changes.summary.leaf is not UNSET else b""
    value, proof = real.application.prove_row("consortium.members", HOSPITAL.id, real.state)
    assert value is None
    verify(place=map_key("consortium.members", HOSPITAL.id), value=None, proof=proof, root=root)


def test_entry_is_proved_from_its_bytes_to_the_log_root(chain: Chain) -> None:
    """
    Given a batch of five in a log of some blocks.
    When an entry's path, and its leaf's path, are followed.
    Then they lead from the entry's bytes to the header's root and from the leaf to the log's root.
    """
    for text in "abc":
        chain.block(chain.sign(text))
    batch = chain.sign(*"vwxyz")
    transaction, finalized = Transaction(batch, TOY.message_decoder), chain.block(batch)
    salt = entry_salt(transaction.blind, 3)
    path = entry_path(transaction.entries, transaction.blind, 3)
    leaf = entry_leaf(salt, b'{"text":"y","type":"note.write"}')
    verify_inclusion(leaf=leaf, index=3, size=5, path=path, root=transaction.header.root)
    (index,) = finalized.leaf_indexes
    assert index is not None
    tree = chain.tree()
    head = chain.state.head()
    assert head is not None
    verify_inclusion(
        leaf=tree.leaf(index), index=index, size=tree.size, path=tree.inclusion_path(index), root=head.log_root
    )


# The real catalogue


class RealChain:
    """A chain of the real catalogue over storage in memory."""

    def __init__(self) -> None:
        self.small = SmallChain()
        self.state = MemoryState()
        self.application = Application(CATALOGUE, self.state)
        self.genesis = self.application.init_chain(self.small.content, self.state)
        self._commit(self.genesis)

    def block(self, *transactions: bytes) -> Finalized:
        """Finalize and commit the next block."""
        head = self.state.head()
        assert head is not None
        block = Block(height=head.height + 1, time=head.time + 1, transactions=transactions)
        finalized = self.application.finalize_block(block, self.state)
        self._commit(finalized.changes)
        return finalized

    def changes_of(self, change: Any) -> Changes:  # Any: a function of a store
        """Commit a block that makes a change past all rules."""
        head = self.state.head()
        assert head is not None
        store, window = Store(self.state), ReplayWindow(self.state)
        change(store)
        changes = self.application._changes(store, self.state, window, head.height + 1, head.time, [], [])
        self._commit(changes)
        return changes

    def sign(self, party: Party, *messages: Any) -> bytes:  # Any: messages of any module
        """Return a signed transaction."""
        self.small.height += 1
        return self.small.signed(party, *messages).encoded

    def _commit(self, changes: Changes) -> None:
        self.state.apply(changes)
        self.application.committed(changes)


def test_new_key_writes_from_the_next_block_and_an_old_one_until_the_end_of_its_own() -> None:
    """
    Given a doctor who signs in the block that registers the doctor, and again in the block that rotates the key.
    When the blocks are finalized.
    Then a new key does not write in its own block, an old one still does: the state before the block counts.
    """
    real = RealChain()
    chain, doctor, new = real.small, Party("doctor"), Party("doctor's new")
    registration = real.sign(HOSPITAL, chain.registration(doctor))
    by_doctor = [real.sign(doctor, chain.registration(Party(f"nurse {number}"))) for number in range(3)]
    assert [each.code for each in real.block(registration, by_doctor[0]).outcomes] == [0, MachineReason.KEY_NOT_ACTIVE]
    rotation = real.sign(doctor, chain.rotation(doctor.id, new))
    assert [each.code for each in real.block(rotation, by_doctor[1]).outcomes] == [0, 0]
    assert [each.code for each in real.block(by_doctor[2]).outcomes] == [MachineReason.KEY_NOT_ACTIVE]


def test_configuration_and_validators_stand_in_the_block_leaf() -> None:
    """
    Given a founded chain of the real catalogue.
    When a parameter is set by vote, and a block after that changes no configuration.
    Then the configuration root is over the rows, changes once, survives a restart, and the validators' digest stands.
    """
    real = RealChain()
    founded = block_leaf(Finalized(real.genesis, (), ()))
    change = Propose(change=SetParameter(name="records_links_max", value=5))
    first = block_leaf(real.block(real.sign(HOSPITAL, change)))
    row = (b"\x00\x67records_links_max", b'{"value":5}')
    assert (founded.config_root, first.config_root) == (rows_digest(CONFIG, ()), rows_digest(CONFIG, (row,)))
    real.application = Application(CATALOGUE, real.state)
    real.application.resume(real.small.content)
    nurse = real.sign(HOSPITAL, real.small.registration(Party("nurse")))
    second = block_leaf(real.block(nurse))
    assert second.config_root == first.config_root
    store = Store(real.state)
    assert second.next_validators == founded.next_validators == validators_digest(validators(store))


def test_work_of_every_message_fits_a_block() -> None:
    """
    Given every message type of the chain.
    When its least work is compared with what a block may do.
    Then many of each fit.
    """
    assert all(message.WORK * 100 <= BLOCK_WORK_MAX for message in CATALOGUE.message_types)
    assert all(issubclass(table.row, Row) for table in CATALOGUE.tables.values())
