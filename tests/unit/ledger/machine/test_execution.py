# SPDX-License-Identifier: Apache-2.0
"""One transaction: applied whole or not at all."""

from tests.memory_state import MemoryState
from tests.toy_ledger import NOTES, TOY, Note, NoteReason, NoteWritten, signed
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.execution import execute, outcome_and_leaf
from vervain.ledger.machine.outcome import Outcome, outcome_digest
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives.codec import encode


def run(store: Store, *texts: str) -> tuple[Transaction, Outcome]:
    """Run one transaction of notes."""
    transaction = Transaction(signed(*texts, chain="toy-1"), TOY.message_decoder)
    context = Context(
        chain="toy-1",
        actor=transaction.header.actor,
        organisation=transaction.header.actor,
        key=transaction.header.key,
        txid=transaction.txid,
        height=1,
        block_time=5,
        store=store,
    )
    return transaction, execute(TOY, context, transaction)


def test_applied_batch_writes_and_announces_in_order() -> None:
    """
    Given a batch of two notes.
    When it runs.
    Then both are written and announced in order.
    """
    store = Store(MemoryState())
    _, outcome = run(store, "one", "two")
    assert outcome == Outcome(code=0, events=(NoteWritten(number=1), NoteWritten(number=2)))
    assert [row for _, row in NOTES.rows(store)] == [Note(text="one", at=5), Note(text="two", at=5)]


def test_refused_entry_undoes_the_whole_batch_and_nothing_else() -> None:
    """
    Given an applied note, and a batch whose second entry writes before it is refused.
    When the batch runs.
    Then the outcome names the entry and no event, and the state is as before the batch.
    """
    store = Store(MemoryState())
    run(store, "before")
    writes = store.writes()
    _, outcome = run(store, "one", "refuse me", "three")
    assert outcome == Outcome(code=int(NoteReason.UNWANTED), failed_entry=1)
    assert store.writes() == writes


def test_leaf_holds_the_salted_outcome() -> None:
    """
    Given an applied transaction.
    When its leaf is made.
    Then it names id, code, height, time and the outcome's digest, salted from the blind.
    """
    transaction, outcome = run(Store(MemoryState()), "one")
    encoded, leaf = outcome_and_leaf(transaction, outcome, height=1, time=5)
    assert encoded == b'{"code":0,"events":[{"number":1,"type":"note.written"}]}'
    assert leaf == encode(
        {
            "code": 0,
            "height": 1,
            "kind": "transaction",
            "outcome_digest": outcome_digest(encoded, transaction.blind),
            "time": 5,
            "txid": transaction.txid,
        }
    )
