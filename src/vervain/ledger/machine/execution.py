# SPDX-License-Identifier: Apache-2.0
"""One transaction: dispatch each entry to its rule; commit, or roll the whole transaction back."""

from vervain.ledger.machine.block import TransactionLeaf
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.outcome import Outcome, encode_outcome, outcome_digest
from vervain.ledger.machine.refusals import APPLIED, Refusal
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives.codec import encode


def execute(catalogue: Catalogue, context: Context, transaction: Transaction) -> Outcome:
    """Run all entries of an authenticated transaction. A refusal of one leaves no trace of any.

    Returns:
        The outcome: code 0 with what was announced, or the refusal's code with the number of the failed entry.
    """
    store, handlers = context.store, catalogue.handlers
    events, ends = context.events, []
    mark = store.savepoint()
    try:
        for context.entry_index, message in enumerate(transaction.messages):
            handlers[type(message)](context, message)
            ends.append(len(events))
    except Refusal as refusal:
        store.roll_back(mark)
        return Outcome(code=int(refusal.reason), failed_entry=context.entry_index)
    one_each = ends == list(range(1, len(ends) + 1))
    return Outcome(code=APPLIED, events=tuple(events), event_ends=() if one_each else tuple(ends))


def outcome_and_leaf(transaction: Transaction, outcome: Outcome, *, height: int, time: int) -> tuple[bytes, bytes]:
    """Return the outcome's canonical bytes and the transaction's leaf."""
    encoded = encode_outcome(outcome)
    leaf = TransactionLeaf(
        kind="transaction",
        txid=transaction.txid,
        code=outcome.code,
        outcome_digest=outcome_digest(encoded, transaction.blind),
        height=height,
        time=time,
    )
    return encoded, encode(leaf)
