# SPDX-License-Identifier: Apache-2.0
"""Receipts: from the block log, the outcomes and the log's tiles to a file that anyone verifies offline."""

from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from vervain.engines.engine import FinalOutcome
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import Application, CommittedState
from vervain.ledger.machine.block import Block, BlockLeaf, TransactionLeaf
from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.machine.outcome import EncodedOutcome, outcome_digest
from vervain.ledger.machine.refusals import MachineReason, NotFound
from vervain.ledger.machine.table import Key
from vervain.ledger.machine.transaction import Transaction, entry_path, entry_salt
from vervain.ledger.primitives.codec import decode
from vervain.ledger.primitives.merkle_log import TiledTree
from vervain.node.cosigning import CheckpointDesk, SignedCheckpoint
from vervain.sealing.receipts import EntryProof, LeafProof, Opening, Receipt, StateProof
from vervain.sealing.state_proofs import claim_of


class Blocks(Protocol):
    """The block log, for reading."""

    def read(self, height: int) -> Block: ...


class Settled(Protocol):
    """The engine, as far as proofs need it."""

    @property
    def application(self) -> Application: ...
    def view(self) -> AbstractContextManager[CommittedState]: ...
    def settled(self) -> AbstractContextManager[CommittedState]: ...


class ReceiptDesk:
    """Makes receipts of one chain under the node's newest checkpoint."""

    def __init__(self, blocks: Blocks, engine: Settled, checkpoints: CheckpointDesk) -> None:
        self._blocks, self._engine, self._checkpoints = blocks, engine, checkpoints

    def of_entry(
        self, leaf_index: int, entry_index: int = 0, opening: Opening | msgspec.UnsetType = msgspec.UNSET
    ) -> Receipt:
        """Return the receipt of one entry of the transaction at a log index.

        Args:
            leaf_index: Number of the transaction's leaf.
            entry_index: Number of the entry in its transaction.
            opening: Opens a record commitment in the entry; only the custodian or patient has it.

        Refuses: NotFound when there is no such leaf, transaction or entry.
        """
        signed = self._checkpoints.newest()
        with self._engine.view() as state:
            summary = _summary_of(state, leaf_index, signed.checkpoint.size)
            block = self._blocks.read(summary.height)
            position = leaf_index - summary.first_leaf
            if summary.height == 0 or position >= len(block.transactions):
                raise NotFound(MachineReason.ROW_NOT_FOUND, leaf=leaf_index)
            transaction = Transaction.from_checked(block.transactions[position], CATALOGUE.message_decoder)
            if not 0 <= entry_index < len(transaction.entries):
                raise NotFound(MachineReason.ROW_NOT_FOUND, entry=entry_index)
            proof = EntryProof(
                leaf=_transaction_leaf(state, block, position, transaction),
                header=transaction.header,
                signature=transaction.signature,
                entry=msgspec.Raw(transaction.entries[entry_index]),
                entry_index=entry_index,
                entry_salt=entry_salt(transaction.blind, entry_index),
                entry_path=entry_path(transaction.entries, transaction.blind, entry_index),
                opening=opening,
            )
            return _receipt(state, leaf_index, signed, proof)

    def outcome_at(self, leaf_index: int) -> FinalOutcome:
        """Return the outcome of the transaction at a log index.

        Refuses: NotFound when there is no such transaction.
        """
        with self._engine.view() as state:
            head = state.head()
            summary = _summary_of(state, leaf_index, head.log_size if head else 0)
            block, position = self._blocks.read(summary.height), leaf_index - summary.first_leaf
            if summary.height == 0 or position >= len(block.transactions):
                raise NotFound(MachineReason.ROW_NOT_FOUND, leaf=leaf_index)
            outcome = msgspec.json.decode(_stored_outcome(state, summary.height, position), type=EncodedOutcome)
            return FinalOutcome(
                txid=Transaction.from_checked(block.transactions[position], CATALOGUE.message_decoder).txid,
                code=outcome.code,
                failed_entry=outcome.failed_entry,
                events=outcome.events,
                height=summary.height,
                leaf_index=leaf_index,
                is_repeat=True,
            )

    def of_block(self, height: int) -> Receipt:
        """Return the receipt of a block's own leaf: what the state was then, and who validates next.

        Refuses: NotFound when the block appended none.
        """
        signed = self._checkpoints.newest()
        with self._engine.view() as state:
            summary = state.summary(height)
            if summary is None or summary.leaf is msgspec.UNSET or summary.log_size > signed.checkpoint.size:
                raise NotFound(MachineReason.ROW_NOT_FOUND, height=height)
            return _receipt(state, summary.log_size - 1, signed, LeafProof(leaf=_block_leaf(summary)))

    def of_row(self, table: str, key: Key) -> Receipt:
        """Return the proof that a proved table has a row, or not, as of the newest block that changed anything.

        Refuses: Malformed for a table that is not proved.
        """
        with self._engine.settled() as state:
            row, proof = self._engine.application.prove_row(table, key, state)
            head = state.head()
            assert head is not None
            summary = _summary_of(state, head.log_size - 1, head.log_size)
            declared = CATALOGUE.table(table)
            assert declared is not None
            claim = claim_of(table=table, key=declared.stored_key(key)[2:], row=row, proof=proof)
        signed = self._checkpoints.newest()
        with self._engine.view() as state:
            return _receipt(state, head.log_size - 1, signed, StateProof(leaf=_block_leaf(summary), state=claim))


def _receipt(
    state: CommittedState, leaf_index: int, signed: SignedCheckpoint, proof: EntryProof | LeafProof | StateProof
) -> Receipt:
    size = signed.checkpoint.size
    return Receipt(
        index=leaf_index,
        path=TiledTree(size, state.tile).inclusion_path(leaf_index),
        checkpoint=signed.checkpoint,
        signatures=signed.lines,
        proof=proof,
    )


def _summary_of(state: CommittedState, leaf_index: int, size: int) -> BlockSummary:
    """Find the block that appended a leaf: the last height whose first leaf is not behind it, by halving."""
    head = state.head()
    if head is None or not 0 <= leaf_index < size:
        raise NotFound(MachineReason.ROW_NOT_FOUND, leaf=leaf_index)
    low, high = 0, head.height
    while low < high:
        middle = (low + high) // 2
        summary = state.summary(middle)
        assert summary is not None
        if summary.log_size > leaf_index:
            high = middle
        else:
            low = middle + 1
    summary = state.summary(low)
    assert summary is not None and summary.first_leaf <= leaf_index < summary.log_size
    return summary


def _transaction_leaf(state: CommittedState, block: Block, position: int, transaction: Transaction) -> TransactionLeaf:
    """Make the leaf again from the stored outcome."""
    outcome = _stored_outcome(state, block.height, position)
    return TransactionLeaf(
        kind="transaction",
        txid=transaction.txid,
        code=msgspec.json.decode(outcome)["code"],
        outcome_digest=outcome_digest(outcome, transaction.blind),
        height=block.height,
        time=block.time,
    )


def _stored_outcome(state: CommittedState, height: int, position: int) -> bytes:
    stored = state.outcomes(height)
    assert stored is not None
    return bytes(msgspec.json.decode(stored, type=tuple[msgspec.Raw, ...])[position])


def _block_leaf(summary: BlockSummary) -> BlockLeaf:
    assert isinstance(summary.leaf, msgspec.Raw)
    return decode(bytes(summary.leaf), BlockLeaf)
