# SPDX-License-Identifier: Apache-2.0
"""Rules of the records module: who may commit to a document, put it right, dispute it or erase it.

Sources: GDPR Art. 16 and 17; FHIR R4 Provenance; architecture.md "Patients", "Record commitment".
Kept invariants: numbers have no gaps; a chain of versions never forks; nothing that was is forgotten, only added to.

`commit_record` is the hottest rule of the ledger. When the organisation signs with its own key, one look-up is the
subject's actor and one the counter; a staff signature or a named author costs one more each, a link one more each.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Handler, Message
from vervain.ledger.machine.refusals import Conflict, Forbidden, LimitExceeded, Malformed, NotFound
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.identity.messages import ActorKind, Custody
from vervain.ledger.modules.records import queries, state
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    Correction,
    CorrectRecord,
    DisputeRecord,
    DisputeSettled,
    EraseRecord,
    Links,
    MarkWrongPatient,
    RecordCommitted,
    RecordCorrected,
    RecordDisputed,
    RecordErased,
    RecordMarkedWrongPatient,
    RecordsReason,
    RecordSuperseded,
    SettleDispute,
    SupersedeRecord,
)
from vervain.ledger.modules.records.state import Dispute, DisputeStatus, Record, RecordStatus


def commit_record(context: Context, message: CommitRecord) -> None:
    """Number a commitment to a document of the signer's organisation.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: Subject and 32-byte commitment.

    Source: architecture.md "Record commitment"; FHIR R4 Provenance (agent author, agent custodian, recorded).
    Refuses: Forbidden(NOT_THE_CUSTODIAN, AUTHOR_NOT_STAFF, SUBJECT_NOT_A_PATIENT, LINKED_ELSEWHERE),
        NotFound(NO_SUCH_SUBJECT, NO_SUCH_RECORD), LimitExceeded(TOO_MANY_LINKS), Malformed(LINKS_NOT_SORTED).
    """
    # AUTHORITY
    custodian = context.organisation
    author = _author(context, message.author)
    if message.subject != custodian:
        _require_own_patient(context.store, message.subject, custodian)

    # PRECONDITIONS
    if message.links:
        _require_links(context.store, message.links, subject=message.subject, custodian=custodian)

    # CHANGE
    record = Record(
        subject=message.subject,
        custodian=custodian,
        commitment=message.commitment,
        author=author,
        committed_at=context.block_time,
        height=context.height,
        links=message.links,
    )
    number = state.append(context.store, record)

    # EVENT
    context.emit(
        RecordCommitted(
            record=number,
            subject=message.subject,
            custodian=custodian,
            commitment=message.commitment,
            author=author,
            links=message.links,
        )
    )


def supersede_record(context: Context, message: SupersedeRecord) -> None:
    """Make a new version the current one.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The current version's number and the new 32-byte commitment.

    Source: FHIR R4 versioning (`meta.versionId`), Provenance.entity.role revision.
    Refuses: NotFound(NO_SUCH_RECORD), Forbidden(NOT_THE_CUSTODIAN, AUTHOR_NOT_STAFF, LINKED_ELSEWHERE),
        Conflict(NOT_CURRENT, MARKED_WRONG_PATIENT, ERASED), LimitExceeded(TOO_MANY_LINKS), Malformed(LINKS_NOT_SORTED).
    """
    # AUTHORITY
    old = _own_record(context, message.record)
    author = _author(context, message.author)

    # PRECONDITIONS
    _require_current(message.record, old)
    if message.links:
        _require_links(context.store, message.links, subject=old.subject, custodian=old.custodian)

    # CHANGE
    new = _version_after(context, message.record, old, message.commitment, author)
    number = state.append(context.store, replace(new, links=message.links))
    _put(context, message.record, replace(old, status=RecordStatus.SUPERSEDED, superseded_by=number))

    # EVENT
    context.emit(
        RecordSuperseded(
            record=number,
            previous=message.record,
            subject=old.subject,
            custodian=old.custodian,
            commitment=message.commitment,
            author=author,
            links=message.links,
        )
    )


def correct_record(context: Context, message: CorrectRecord) -> None:
    """Put a version that is right in the place of one that is wrong; the wrong one stays for auditors.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The wrong version's number, the new 32-byte commitment, and why.

    Source: GDPR Art. 16; FHIR R4 DiagnosticReport.status (amended, entered-in-error).
    Refuses: NotFound(NO_SUCH_RECORD), Forbidden(NOT_THE_CUSTODIAN, AUTHOR_NOT_STAFF),
        Conflict(NOT_CURRENT, MARKED_WRONG_PATIENT, ERASED, DISPUTE_NOT_UPHELD).
    """
    # AUTHORITY
    old = _own_record(context, message.record)
    author = _author(context, message.author)

    # PRECONDITIONS
    _require_current(message.record, old)
    if message.correction is Correction.DISPUTE_UPHELD and _dispute_status(old) is not DisputeStatus.UPHELD:
        raise Conflict(RecordsReason.DISPUTE_NOT_UPHELD, record=message.record)

    # CHANGE
    new = _version_after(context, message.record, old, message.commitment, author)
    number = state.append(context.store, replace(new, correction=message.correction))
    _put(context, message.record, replace(old, status=RecordStatus.CORRECTED, superseded_by=number))

    # EVENT
    context.emit(
        RecordCorrected(
            record=number,
            previous=message.record,
            subject=old.subject,
            custodian=old.custodian,
            commitment=message.commitment,
            author=author,
            correction=message.correction,
        )
    )


def mark_wrong_patient(context: Context, message: MarkWrongPatient) -> None:
    """Take a record that is about somebody else out of every grant; its subject stays as it is on the ledger.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The record's number.

    Source: GDPR Art. 5(1)(d) accuracy; FHIR R4 entered-in-error on the wrong Patient.
    Refuses: NotFound(NO_SUCH_RECORD), Forbidden(NOT_THE_CUSTODIAN), Conflict(MARKED_WRONG_PATIENT, ERASED).
    """
    # AUTHORITY
    record = _own_record(context, message.record)

    # PRECONDITIONS
    _require_kept(message.record, record)
    if record.status is RecordStatus.WRONG_PATIENT:
        raise Conflict(RecordsReason.MARKED_WRONG_PATIENT, record=message.record)

    # CHANGE
    marked = replace(record, status=RecordStatus.WRONG_PATIENT, marked_at=context.block_time)
    _put(context, message.record, marked)

    # EVENT
    context.emit(RecordMarkedWrongPatient(record=message.record, subject=record.subject, custodian=record.custodian))


def dispute_record(context: Context, message: DisputeRecord) -> None:
    """Note that the subject says a record is wrong.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The record's number.

    Source: GDPR Art. 16 and 18(1)(a); HIPAA 45 CFR 164.526.
    Refuses: NotFound(NO_SUCH_RECORD), Forbidden(NOT_THE_SUBJECT, SUBJECT_NOT_A_PATIENT),
        Conflict(ERASED, ALREADY_DISPUTED).
    """
    # AUTHORITY
    record = queries.require_record(context.store, message.record)
    if record.subject == record.custodian:
        raise Forbidden(RecordsReason.SUBJECT_NOT_A_PATIENT, record=message.record)
    _require_speaks_for(context, record.subject)

    # PRECONDITIONS
    _require_kept(message.record, record)
    if _dispute_status(record) is DisputeStatus.OPEN:
        raise Conflict(RecordsReason.ALREADY_DISPUTED, record=message.record)

    # CHANGE
    dispute = Dispute(status=DisputeStatus.OPEN, disputed_at=context.block_time)
    _put(context, message.record, replace(record, dispute=dispute))

    # EVENT
    context.emit(
        RecordDisputed(
            record=message.record,
            subject=record.subject,
            custodian=record.custodian,
            disputed_at=context.block_time,
        )
    )


def settle_dispute(context: Context, message: SettleDispute) -> None:
    """Answer a dispute. An upheld one is put right by `records.correct`.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The record's number and what the custodian found.

    Source: GDPR Art. 12(3) and 16; HIPAA 45 CFR 164.526(b).
    Refuses: NotFound(NO_SUCH_RECORD), Forbidden(NOT_THE_CUSTODIAN), Conflict(NOT_DISPUTED).
    """
    # AUTHORITY
    record = _own_record(context, message.record)

    # PRECONDITIONS
    if record.dispute is UNSET or record.dispute.status is not DisputeStatus.OPEN:
        raise Conflict(RecordsReason.NOT_DISPUTED, record=message.record)

    # CHANGE
    status = DisputeStatus(message.verdict.value)
    settled = replace(record.dispute, status=status, settled_at=context.block_time)
    _put(context, message.record, replace(record, dispute=settled))

    # EVENT
    context.emit(
        DisputeSettled(
            record=message.record,
            subject=record.subject,
            custodian=record.custodian,
            verdict=message.verdict,
        )
    )


def erase_record(context: Context, message: EraseRecord) -> None:
    """Leave a tombstone: the content and its salt are destroyed off the ledger, the commitment stays and hides.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The record's number and the digest of the erasure certificate.

    Source: GDPR Art. 17, and 17(3)(e): not while a claim about it is open.
    Refuses: NotFound(NO_SUCH_RECORD), Forbidden(NOT_THE_CUSTODIAN), Conflict(ERASED, DISPUTE_OPEN).
    """
    # AUTHORITY
    record = _own_record(context, message.record)

    # PRECONDITIONS
    _require_kept(message.record, record)
    if _dispute_status(record) is DisputeStatus.OPEN:
        raise Conflict(RecordsReason.DISPUTE_OPEN, record=message.record)

    # CHANGE
    erased = replace(
        record,
        status=RecordStatus.ERASED,
        erased_at=context.block_time,
        certificate_digest=message.certificate_digest,
    )
    _put(context, message.record, erased)

    # EVENT
    context.emit(
        RecordErased(
            record=message.record,
            subject=record.subject,
            custodian=record.custodian,
            certificate_digest=message.certificate_digest,
        )
    )


# Who may


def _author(context: Context, named: bytes | UnsetType) -> bytes | UnsetType:
    """Return who wrote the document: a staff actor, or UNSET for the custodian itself.

    The signer acts for its organisation; a named author is that organisation's active staff.
    """
    actor, custodian = context.actor, context.organisation
    if actor != custodian:
        identity.require_acts_for(context, custodian, RecordsReason.NOT_THE_CUSTODIAN)
    author = actor if named is UNSET else named
    if author == custodian:
        return UNSET
    if author != actor and not identity.is_staff_of(context.store, author, custodian):
        raise Forbidden(RecordsReason.AUTHOR_NOT_STAFF, author=author)
    return author


def _require_own_patient(store: Store, subject: bytes, custodian: bytes) -> None:
    """Refuse a subject that is not a patient pseudonym of this custodian."""
    actor = identity.actor(store, subject)
    if actor is None:
        raise NotFound(RecordsReason.NO_SUCH_SUBJECT, subject=subject)
    if actor.organisation != custodian:
        raise Forbidden(RecordsReason.NOT_THE_CUSTODIAN, subject=subject)
    if actor.kind is not ActorKind.PATIENT:
        raise Forbidden(RecordsReason.SUBJECT_NOT_A_PATIENT, subject=subject)


def _own_record(context: Context, number: int) -> Record:
    """Return a record of which the signer's organisation is the custodian."""
    record = queries.require_record(context.store, number)
    identity.require_acts_for(context, record.custodian, RecordsReason.NOT_THE_CUSTODIAN)
    return record


def _require_speaks_for(context: Context, subject: bytes) -> None:
    """Refuse a signer that is neither the subject nor, where the institution keeps its key, its custodian."""
    if context.actor == subject:
        return
    actor = identity.actor(context.store, subject)
    if actor is None or actor.custody is not Custody.INSTITUTION:
        raise Forbidden(RecordsReason.NOT_THE_SUBJECT, subject=subject)
    identity.require_acts_for(context, actor.organisation, RecordsReason.NOT_THE_SUBJECT)


# What must hold


def _require_links(store: Store, links: Links, *, subject: bytes, custodian: bytes) -> None:
    """Refuse too many links, unsorted ones, and any that would join this subject's pseudonym to another."""
    if len(links) > consortium.parameter(store, "records_links_max"):
        raise LimitExceeded(RecordsReason.TOO_MANY_LINKS)
    if any(left >= right for left, right in pairwise(links)):
        raise Malformed(RecordsReason.LINKS_NOT_SORTED)
    for link in links:
        linked = queries.require_record(store, link.record)
        if linked.custodian != custodian or linked.subject not in (subject, custodian):
            raise Forbidden(RecordsReason.LINKED_ELSEWHERE, record=link.record)


def _require_kept(number: int, record: Record) -> None:
    if record.status is RecordStatus.ERASED:
        raise Conflict(RecordsReason.ERASED, record=number)


def _require_current(number: int, record: Record) -> None:
    """Refuse a version that cannot have a next one."""
    _require_kept(number, record)
    if record.status is RecordStatus.WRONG_PATIENT:
        raise Conflict(RecordsReason.MARKED_WRONG_PATIENT, record=number)
    if record.status is not RecordStatus.CURRENT:
        raise Conflict(RecordsReason.NOT_CURRENT, record=number)


def _dispute_status(record: Record) -> DisputeStatus | None:
    return None if record.dispute is UNSET else record.dispute.status


# What changes


def _version_after(context: Context, number: int, old: Record, commitment: bytes, author: bytes | UnsetType) -> Record:
    """Return the version that follows `old`: same subject, same custodian."""
    return Record(
        subject=old.subject,
        custodian=old.custodian,
        commitment=commitment,
        author=author,
        committed_at=context.block_time,
        height=context.height,
        previous=number,
    )


def _put(context: Context, number: int, record: Record) -> None:
    state.RECORDS.put(context.store, number, record)


HANDLERS: Final[Mapping[type[Message], Handler]] = {
    CommitRecord: commit_record,
    SupersedeRecord: supersede_record,
    CorrectRecord: correct_record,
    MarkWrongPatient: mark_wrong_patient,
    DisputeRecord: dispute_record,
    SettleDispute: settle_dispute,
    EraseRecord: erase_record,
}
