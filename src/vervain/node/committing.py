# SPDX-License-Identifier: Apache-2.0
"""From kept documents to records on the ledger: each gets exactly one number, whatever breaks off in between.

Documents are committed in random order, never in that of care or of a file: order would join a patient's pseudonyms at
two organisations.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple

import msgspec

from vervain.engines.engine import FinalOutcome
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED, MachineReason
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.records import queries as records
from vervain.ledger.modules.records.messages import CommitRecord, RecordCommitted, RecordSuperseded, SupersedeRecord
from vervain.node.outbox import Outbox, OutgoingCommit, OutgoingErasure, signer_of
from vervain.node.sending import (
    ENTRIES_PER_TRANSACTION,
    EXPIRY_SECONDS,
    TRANSACTIONS_IN_FLIGHT,
    NotApplied,
    Sender,
    answer_of,
    in_groups,
)
from vervain.vault.documents import StoredDocument
from vervain.vault.vault import Vault

TRANSACTIONS_PER_GROUP: Final = 16  # submitted at once, while the outcomes of the group before are written down
VERSIONS_MAX: Final = 10_000  # of one document, followed to the current one


class _Ready(NamedTuple):
    """A document to commit to, and the record that it supersedes; 0 for none."""

    document: StoredDocument
    supersedes: int


class Committer:
    """Puts the commitments of one member's documents on the ledger. One thread at a time: the desk sees to it."""

    def __init__(self, sender: Sender, vault: Vault, outbox: Outbox) -> None:
        self._sender, self._vault, self._outbox = sender, vault, outbox

    def commit(self, progress: Callable[[int], None]) -> int:
        """Commit to every kept document that has no record number yet, in random order; return how many.

        Raises: NotApplied, Unreachable.
        """
        done = 0
        while ready := self._ready():
            secrets.SystemRandom().shuffle(ready)
            for some in self._committed_groups(ready):
                progress(some)
                done += some
        return done

    def _ready(self) -> list[_Ready]:
        """Return the documents without a number whose version before, if there is one, has a number."""
        ready = []
        with self._sender.node.view() as state:
            store = Store(state)
            unnumbered = tuple(self._vault.unnumbered())
            for document, former in zip(unnumbered, self._vault.former_versions(unnumbered), strict=True):
                if former is None or former.subject != document.subject:
                    ready.append(_Ready(document, 0))
                elif former.record:
                    ready.append(_Ready(document, _current_after(store, former.record)))
        return ready

    def _committed_groups(self, ready: Sequence[_Ready]) -> Iterator[int]:
        """Commit to documents, a group being ordered while the one before is numbered; yield how many at a time."""
        underway: deque[tuple[list[OutgoingCommit], Future[list[FinalOutcome]]]] = deque()
        for some in in_groups(ready, ENTRIES_PER_TRANSACTION * TRANSACTIONS_PER_GROUP):
            outgoing = [self._outgoing(batch) for batch in in_groups(some, ENTRIES_PER_TRANSACTION)]
            for each in outgoing:
                self._outbox.put(each)
            underway.append((outgoing, self._sender.node.submit_many([each.encoded for each in outgoing])))
            if len(underway) == TRANSACTIONS_IN_FLIGHT // TRANSACTIONS_PER_GROUP:
                yield self._number_group(*underway.popleft())
        while underway:
            yield self._number_group(*underway.popleft())

    def _number_group(self, outgoing: Sequence[OutgoingCommit], outcomes: "Future[list[FinalOutcome]]") -> int:
        self._number(list(zip(outgoing, answer_of(outcomes), strict=True)))
        return sum(len(each.documents) for each in outgoing)

    def _outgoing(self, ready: Sequence[_Ready]) -> OutgoingCommit:
        documents = [each.document for each in ready]
        messages: list[Message] = [
            SupersedeRecord(record=previous, commitment=document.commitment)
            if previous
            else CommitRecord(subject=document.subject, commitment=document.commitment)
            for document, previous in ready
        ]
        signed = self._sender.sign(messages)
        return OutgoingCommit(
            encoded=signed.encoded,
            txid=signed.txid,
            expires_at=self._sender.now + EXPIRY_SECONDS,
            documents=tuple(each.document for each in documents),
        )

    def settle(self) -> int:
        """Find out what became of transactions that were on their way when this desk stopped.

        Returns: How many documents got a number.

        An answer without a place in the log (expired, a key replaced since, a full pool) says nothing about an earlier
        time: the log is asked. Only what can never be ordered any more is forgotten, and signed anew with the rest;
        that it never can is found out first, so that the log cannot grow by it after it was asked.
        """
        done = 0
        for outgoing in self._outbox:
            (answer,) = answer_of(self._sender.node.submit_many([outgoing.encoded]))
            is_over = self._is_over(outgoing, answer)
            outcome = self._sender.node.outcome_of(outgoing.txid) if answer.height is msgspec.UNSET else answer
            if outcome is not None:
                self._number([(outgoing, outcome)])
                done += len(outgoing.documents)
            elif is_over:
                self._outbox.remove(outgoing.txid)
            else:
                raise NotApplied(answer)
        return done

    def _is_over(self, outgoing: OutgoingCommit, answer: FinalOutcome) -> bool:
        """Tell whether a transaction that got no place can never get one: it expired, or its key was replaced.

        A key that was replaced never counts again (identity: a key is used once, its end is never taken back), while a
        suspended member's key may.
        """
        if outgoing.expires_at < self._sender.now - EXPIRY_SECONDS or answer.code == MachineReason.EXPIRED:
            return True
        if answer.code != MachineReason.KEY_NOT_ACTIVE:
            return False
        with self._sender.node.view() as state:
            return identity.is_withdrawn(Store(state), signer_of(outgoing))

    def _number(self, answered: Sequence[tuple[OutgoingCommit, FinalOutcome]]) -> None:
        """Give the documents of applied transactions their numbers, in one durable step; forget all of the outgoing.

        Raises: NotApplied for the first that was refused, when the others have their numbers.
        """
        refused = [outcome for _, outcome in answered if outcome.code != APPLIED]
        numbered = [
            (document, self._committed(event))
            for outgoing, outcome in answered
            if outcome.code == APPLIED
            for document, event in zip(outgoing.documents, outcome.events, strict=True)
        ]
        live = self._vault.live_among([document for document, _ in numbered])
        self._vault.assign_records([each for each in numbered if each[0] in live])
        erased = tuple(number for document, number in numbered if document not in live)
        if erased:  # erased while they were on their way: what reached the ledger gets its tombstone
            self._outbox.put_erasure(OutgoingErasure(subject=bytes(32), records=erased))
        for outgoing, _ in answered:
            self._outbox.remove(outgoing.txid)
        if refused:
            raise NotApplied(refused[0])

    def _committed(self, event: object) -> int:
        decoded = CATALOGUE.event_decoder.decode(event) if isinstance(event, msgspec.Raw) else event
        assert isinstance(decoded, RecordCommitted | RecordSuperseded)
        return decoded.record


def _current_after(store: Store, number: int) -> int:
    """Return the current version of a record's chain; 0 when nothing may supersede it."""
    row = records.record(store, number)
    for _ in range(VERSIONS_MAX):
        if row is None or row.status not in ("superseded", "corrected") or row.superseded_by is msgspec.UNSET:
            break
        number = row.superseded_by
        row = records.record(store, number)
    return number if row is not None and row.status == "current" else 0
