# SPDX-License-Identifier: Apache-2.0
"""What custodians, their staff and patients try with the records module."""

from collections.abc import Callable
from typing import Final

from msgspec import UNSET, UnsetType

from tests.simulation.generator import Aims, Draft, Generator
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity.messages import ActorStatus, Custody
from vervain.ledger.modules.identity.state import ACTORS
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    Correction,
    CorrectRecord,
    DisputeRecord,
    EraseRecord,
    Link,
    LinkKind,
    MarkWrongPatient,
    SettleDispute,
    SupersedeRecord,
    Verdict,
)
from vervain.ledger.modules.records.messages import RecordsReason as Reason
from vervain.ledger.modules.records.queries import newest_record
from vervain.ledger.modules.records.state import RECORDS, DisputeStatus, Record, RecordStatus

AIMS: Final = Aims()
KEPT: Final = (RecordStatus.CURRENT, RecordStatus.SUPERSEDED, RecordStatus.CORRECTED, RecordStatus.WRONG_PATIENT)


def _record(
    g: Generator, fits: Callable[[Record], bool] = lambda _: True, among: list[int] | None = None
) -> int | None:
    """Return a record of an active custodian that fits."""
    numbers = range(1, newest_record(g.store) + 1) if among is None else among

    def is_fit(number: int) -> bool:
        record = g.row(RECORDS, number)
        return g.is_member(record.custodian) and fits(record)

    return g.pick(numbers, is_fit)


def _of(*statuses: RecordStatus) -> Callable[[Record], bool]:
    return lambda record: record.status in statuses


def _is_open(record: Record) -> bool:
    return record.dispute is not UNSET and record.dispute.status is DisputeStatus.OPEN


def _is_current(record: Record) -> bool:
    return record.status is RecordStatus.CURRENT


def _kept(g: Generator, number: int | None, *messages: Message) -> Draft | None:
    """Return messages about a record signed by its custodian or its staff."""
    return None if number is None else g.signer(g.acting_for(g.row(RECORDS, number).custodian), *messages)


def _author(g: Generator, custodian: bytes) -> bytes | UnsetType:
    staff = g.staff_of(custodian) if g.chance.random() < 0.3 else None
    return staff or UNSET


def _links(g: Generator, subject: bytes, custodian: bytes) -> tuple[Link, ...]:
    """Return none, one or two links to records of the same subject."""
    most = min(consortium.parameter(g.store, "records_links_max"), 2)
    links = {}
    for _ in range(g.chance.randint(0, most)):
        older = _record(g, lambda record: record.custodian == custodian and record.subject in (subject, custodian))
        if older is not None:
            links[older] = Link(kind=g.chance.choice(list(LinkKind)), record=older)
    return tuple(sorted(links.values()))


def _commit(g: Generator, subject: bytes, custodian: bytes) -> CommitRecord:
    return CommitRecord(
        subject=subject,
        commitment=g.digest(),
        author=_author(g, custodian),
        links=_links(g, subject, custodian) if g.chance.random() < 0.4 else (),
    )


# What should be applied


@AIMS.at(APPLIED, 9)
def commit(g: Generator) -> Draft | None:
    """Commit to one to three documents of a patient."""
    patient = g.pick(g.known.patients, lambda each: g.is_member(g.row(ACTORS, each).organisation))
    if patient is None:
        return None
    custodian = g.row(ACTORS, patient).organisation
    messages = [_commit(g, patient, custodian) for _ in range(g.chance.choice((1, 1, 2, 3)))]
    return g.signer(g.acting_for(custodian), *messages)


@AIMS.at(APPLIED, 2)
def commit_own_document(g: Generator) -> Draft | None:
    """Commit to a document of the organisation's own."""
    custodian = g.member()
    return None if custodian is None else g.signer(g.acting_for(custodian), _commit(g, custodian, custodian))


@AIMS.at(APPLIED, 3)
def supersede(g: Generator) -> Draft | None:
    """Commit to a new version."""
    number = _record(g, _is_current)
    if number is None:
        return None
    record = g.row(RECORDS, number)
    links = _links(g, record.subject, record.custodian) if g.chance.random() < 0.3 else ()
    message = SupersedeRecord(record=number, commitment=g.digest(), author=_author(g, record.custodian), links=links)
    return _kept(g, number, message)


@AIMS.at(APPLIED, 2)
def correct(g: Generator) -> Draft | None:
    """Commit to a version that is right, also after a dispute was upheld."""
    upheld = _record(g, lambda record: _is_current(record) and _status(record) is DisputeStatus.UPHELD)
    number = _record(g, _is_current) if upheld is None else upheld
    if number is None:
        return None
    correction = g.chance.choice((Correction.AMENDED, Correction.ENTERED_IN_ERROR))
    message = CorrectRecord(
        record=number,
        commitment=g.digest(),
        correction=correction if upheld is None else Correction.DISPUTE_UPHELD,
    )
    return _kept(g, number, message)


def _status(record: Record) -> DisputeStatus | None:
    return None if record.dispute is UNSET else record.dispute.status


@AIMS.at(APPLIED, 1.5)
def mark_wrong_patient(g: Generator) -> Draft | None:
    """Mark a version as another patient's."""
    number = _record(g, _of(RecordStatus.CURRENT, RecordStatus.SUPERSEDED, RecordStatus.CORRECTED))
    return None if number is None else _kept(g, number, MarkWrongPatient(record=number))


@AIMS.at(APPLIED, 4)
def dispute(g: Generator) -> Draft | None:
    """Dispute a record as its subject, or as who keeps the subject's key."""
    number = _record(g, lambda record: record.status in KEPT and not _is_open(record), g.known.patients_records)
    return None if number is None else _by_subject(g, number)


def _by_subject(g: Generator, number: int) -> Draft | None:
    record = g.row(RECORDS, number)
    actor = g.row(ACTORS, record.subject)
    is_kept = actor.custody is Custody.INSTITUTION and g.chance.random() < 0.8
    signer = record.custodian if is_kept or actor.custody is UNSET else record.subject
    return g.signer(signer, DisputeRecord(record=number))


@AIMS.at(APPLIED, 3)
def settle_dispute(g: Generator) -> Draft | None:
    """Settle an open dispute."""
    number = _record(g, _is_open)
    if number is None:
        return None
    return _kept(g, number, SettleDispute(record=number, verdict=g.chance.choice(list(Verdict))))


@AIMS.at(APPLIED, 1.5)
def erase(g: Generator) -> Draft | None:
    """Erase a record that has no open dispute."""
    number = _record(g, lambda record: record.status in KEPT and not _is_open(record))
    return None if number is None else _kept(g, number, EraseRecord(record=number, certificate_digest=g.digest()))


# What should be refused


def _any_change(g: Generator, number: int) -> Message:
    """Return one of the custodian's messages about a record."""
    return g.chance.choice(
        (
            SupersedeRecord(record=number, commitment=g.digest()),
            CorrectRecord(record=number, commitment=g.digest(), correction=Correction.AMENDED),
            MarkWrongPatient(record=number),
            EraseRecord(record=number, certificate_digest=g.digest()),
            SettleDispute(record=number, verdict=Verdict.UPHELD),
        )
    )


@AIMS.at(Reason.NO_SUCH_RECORD)
def change_no_record(g: Generator) -> Draft | None:
    """Change, dispute or link a record that there is not."""
    custodian, number = g.member(), newest_record(g.store) + 1_000
    if custodian is None:
        return None
    link = Link(kind=LinkKind.PART_OF, record=number)
    linked = CommitRecord(subject=custodian, commitment=g.digest(), links=(link,))
    return g.signer(custodian, g.chance.choice((_any_change(g, number), DisputeRecord(record=number), linked)))


@AIMS.at(Reason.NO_SUCH_SUBJECT)
def commit_for_nobody(g: Generator) -> Draft | None:
    """Commit to a document of a patient that there is not."""
    custodian = g.member()
    if custodian is None:
        return None
    return g.signer(custodian, CommitRecord(subject=g.digest(), commitment=g.digest()))


@AIMS.at(Reason.NOT_THE_CUSTODIAN)
def change_another_custodians_record(g: Generator) -> Draft | None:
    """Change a record of another custodian, commit for its patient, or as a patient."""
    patient, number = g.patient(), _record(g)
    if patient is not None and g.chance.random() < 0.3:
        return g.signer(patient, CommitRecord(subject=patient, commitment=g.digest()))
    if number is None:
        return None
    record = g.row(RECORDS, number)
    other = g.pick(g.known.organisations, lambda each: each != record.custodian and g.is_member(each))
    if other is None:
        return None
    committed = CommitRecord(subject=record.subject, commitment=g.digest())
    return g.signer(other, g.chance.choice((_any_change(g, number), committed)))


@AIMS.at(Reason.NOT_THE_SUBJECT)
def dispute_somebody_elses_record(g: Generator) -> Draft | None:
    """Dispute a record as neither its subject nor who keeps the subject's key."""
    number, anybody = _record(g, among=g.known.patients_records), g.active([*g.known.patients, *g.known.staff])
    if number is None or anybody is None or g.row(RECORDS, number).subject == anybody:
        return None
    return g.signer(anybody, DisputeRecord(record=number))


@AIMS.at(Reason.AUTHOR_NOT_STAFF)
def name_a_strange_author(g: Generator) -> Draft | None:
    """Name an author who is not active staff of the custodian."""
    custodian = g.member()
    author = g.pick([*g.known.staff, *g.known.patients], lambda each: _is_no_author(g, each, custodian)) or g.digest()
    if custodian is None:
        return None
    return g.signer(custodian, CommitRecord(subject=custodian, commitment=g.digest(), author=author))


def _is_no_author(g: Generator, actor_id: bytes, custodian: bytes | None) -> bool:
    actor = g.row(ACTORS, actor_id)
    return actor.organisation != custodian or actor.status is not ActorStatus.ACTIVE or actor.custody is not UNSET


@AIMS.at(Reason.SUBJECT_NOT_A_PATIENT)
def commit_about_staff(g: Generator) -> Draft | None:
    """Commit to a document about staff, or dispute the custodian's own document."""
    staff = g.active(g.known.staff)
    own = _record(g, lambda record: record.subject == record.custodian)
    if own is not None and g.chance.random() < 0.5:
        return _kept(g, own, DisputeRecord(record=own))
    if staff is None:
        return None
    return g.signer(g.row(ACTORS, staff).organisation, CommitRecord(subject=staff, commitment=g.digest()))


@AIMS.at(Reason.TOO_MANY_LINKS)
def link_too_many(g: Generator) -> Draft | None:
    """Name one link more than the consortium allows, where a message holds them."""
    custodian, most = g.member(), consortium.parameter(g.store, "records_links_max")
    if custodian is None or most > 64:
        return None
    links = tuple(Link(kind=LinkKind.PART_OF, record=record) for record in range(1, most + 2))
    return g.signer(custodian, CommitRecord(subject=custodian, commitment=g.digest(), links=links))


@AIMS.at(Reason.LINKS_NOT_SORTED)
def link_unsorted(g: Generator) -> Draft | None:
    """Name links that are not sorted, or one twice."""
    custodian = g.member()
    if custodian is None:
        return None
    first = Link(kind=LinkKind.REPLY_TO, record=1)
    second = g.chance.choice((first, Link(kind=LinkKind.PART_OF, record=1)))
    return g.signer(custodian, CommitRecord(subject=custodian, commitment=g.digest(), links=(first, second)))


@AIMS.at(Reason.LINKED_ELSEWHERE)
def link_another_subject(g: Generator) -> Draft | None:
    """Link a record of another subject."""
    number = _record(g, among=g.known.patients_records)
    if number is None:
        return None
    custodian = g.chance.choice((g.row(RECORDS, number).custodian, g.member()))
    if custodian is None:
        return None
    link = Link(kind=LinkKind.DERIVED_FROM, record=number)
    return g.signer(custodian, CommitRecord(subject=custodian, commitment=g.digest(), links=(link,)))


@AIMS.at(Reason.NOT_CURRENT)
def supersede_an_old_version(g: Generator) -> Draft | None:
    """Supersede or correct a version that is no longer current."""
    number = _record(g, _of(RecordStatus.SUPERSEDED, RecordStatus.CORRECTED))
    if number is None:
        return None
    asked = (
        SupersedeRecord(record=number, commitment=g.digest()),
        CorrectRecord(record=number, commitment=g.digest(), correction=Correction.AMENDED),
    )
    return _kept(g, number, g.chance.choice(asked))


@AIMS.at(Reason.MARKED_WRONG_PATIENT)
def change_a_marked_record(g: Generator) -> Draft | None:
    """Mark a record again, or supersede it."""
    number = _record(g, _of(RecordStatus.WRONG_PATIENT))
    if number is None:
        return None
    asked = (MarkWrongPatient(record=number), SupersedeRecord(record=number, commitment=g.digest()))
    return _kept(g, number, g.chance.choice(asked))


@AIMS.at(Reason.ERASED)
def change_an_erased_record(g: Generator) -> Draft | None:
    """Change or dispute an erased record."""
    disputed = _record(g, _of(RecordStatus.ERASED), g.known.patients_records)
    if disputed is not None and g.chance.random() < 0.3:
        return _by_subject(g, disputed)
    number = _record(g, _of(RecordStatus.ERASED))
    return None if number is None else _kept(g, number, _any_change(g, number))


@AIMS.at(Reason.ALREADY_DISPUTED)
def dispute_again(g: Generator) -> Draft | None:
    """Dispute a record that has an open dispute."""
    number = _record(g, _is_open)
    return None if number is None else _by_subject(g, number)


@AIMS.at(Reason.NOT_DISPUTED)
def settle_nothing(g: Generator) -> Draft | None:
    """Settle a dispute that there is not."""
    number = _record(g, lambda record: not _is_open(record))
    return None if number is None else _kept(g, number, SettleDispute(record=number, verdict=Verdict.REJECTED))


@AIMS.at(Reason.DISPUTE_OPEN)
def erase_a_disputed_record(g: Generator) -> Draft | None:
    """Erase a record that has an open dispute."""
    number = _record(g, _is_open)
    return None if number is None else _kept(g, number, EraseRecord(record=number, certificate_digest=g.digest()))


@AIMS.at(Reason.DISPUTE_NOT_UPHELD)
def correct_without_an_upheld_dispute(g: Generator) -> Draft | None:
    """Correct a record for a dispute that was not upheld."""
    number = _record(g, lambda record: _is_current(record) and _status(record) is not DisputeStatus.UPHELD)
    if number is None:
        return None
    message = CorrectRecord(record=number, commitment=g.digest(), correction=Correction.DISPUTE_UPHELD)
    return _kept(g, number, message)
