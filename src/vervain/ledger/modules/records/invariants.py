# SPDX-License-Identifier: Apache-2.0
"""What is always true of records. Each reads everything; they run in simulation and audit, never inside a block."""

from collections.abc import Callable
from typing import Final

from msgspec import UNSET

from vervain.ledger.machine.store import Store
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.identity.messages import ActorKind
from vervain.ledger.modules.records import queries, state
from vervain.ledger.modules.records.state import DisputeStatus, Record, RecordStatus


def _rows(store: Store) -> dict[int, Record]:
    return {int.from_bytes(key, "big"): record for key, record in state.RECORDS.rows(store)}


def record_numbers_have_no_gaps(store: Store) -> list[str]:
    """Records are numbered from 1 to the counter."""
    numbers, newest = list(_rows(store)), queries.newest_record(store)
    if numbers == list(range(1, newest + 1)):
        return []
    return [f"{len(numbers)} records are not numbered 1 to {newest}"]


def version_chains_are_linear(store: Store) -> list[str]:
    """`previous` and `superseded_by` name each other, within one subject and custodian, and numbers only rise."""
    breaches, records = [], _rows(store)
    for number, record in records.items():
        if record.previous is not UNSET:
            old = records.get(record.previous)
            if (
                old is None
                or record.previous >= number
                or old.superseded_by != number
                or (old.subject, old.custodian) != (record.subject, record.custodian)
            ):
                breaches.append(f"record {number} does not follow record {record.previous}")
        if record.superseded_by is not UNSET:
            new = records.get(record.superseded_by)
            if new is None or new.previous != number:
                breaches.append(f"record {number} names a next version that does not follow it")
        if (record.superseded_by is UNSET) and record.status in (RecordStatus.SUPERSEDED, RecordStatus.CORRECTED):
            breaches.append(f"record {number} has no next version and is {record.status}")
        if record.superseded_by is not UNSET and record.status is RecordStatus.CURRENT:
            breaches.append(f"record {number} has a next version and is current")
    return breaches


def subjects_belong_to_their_custodian(store: Store) -> list[str]:
    """A record's subject is its custodian, or a patient pseudonym of it."""
    breaches = []
    for number, record in _rows(store).items():
        if record.subject == record.custodian:
            continue
        actor = identity.actor(store, record.subject)
        if actor is None or actor.kind is not ActorKind.PATIENT or actor.organisation != record.custodian:
            breaches.append(f"record {number} has a subject of another custodian")
    return breaches


def links_stay_within_a_subject(store: Store) -> list[str]:
    """A link names an older record of the same custodian and the same subject, or the custodian's own document."""
    breaches, records = [], _rows(store)
    for number, record in records.items():
        for link in record.links:
            linked = records.get(link.record)
            if (
                linked is None
                or link.record >= number
                or linked.custodian != record.custodian
                or linked.subject not in (record.subject, record.custodian)
            ):
                breaches.append(f"record {number} links record {link.record} of another subject")
    return breaches


def tombstones_carry_their_certificate(store: Store) -> list[str]:
    """Erased and only erased records carry a certificate and a time; marked ones carry the time of the mark."""
    breaches = []
    for number, record in _rows(store).items():
        erased = record.status is RecordStatus.ERASED
        if erased is (record.certificate_digest is UNSET) or erased is (record.erased_at is UNSET):
            breaches.append(f"record {number} is erased without certificate, or has one without being erased")
        if record.status is RecordStatus.WRONG_PATIENT and record.marked_at is UNSET:
            breaches.append(f"record {number} is marked without a time")
    return breaches


def disputes_fit_their_record(store: Store) -> list[str]:
    """A dispute is by a patient, about a record that was there; settled and only settled ones have a time of settling;
    an open one is never about an erased record.
    """
    breaches = []
    for number, record in _rows(store).items():
        if record.dispute is UNSET:
            continue
        opened = record.dispute.status is DisputeStatus.OPEN
        if (
            opened is not (record.dispute.settled_at is UNSET)
            or record.dispute.disputed_at < record.committed_at
            or record.subject == record.custodian
            or (opened and record.status is RecordStatus.ERASED)
        ):
            breaches.append(f"record {number} has a dispute that does not fit it")
    return breaches


INVARIANTS: Final[tuple[Callable[[Store], list[str]], ...]] = (
    record_numbers_have_no_gaps,
    version_chains_are_linear,
    subjects_belong_to_their_custodian,
    links_stay_within_a_subject,
    tombstones_carry_their_certificate,
    disputes_fit_their_record,
)
