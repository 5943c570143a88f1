# SPDX-License-Identifier: Apache-2.0
"""Random records against a reference that keeps one plain list."""

from dataclasses import dataclass, field
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import UNSET

from tests.unit.ledger.modules.ward import DOCTOR, HE, NORTH, NURSE, OTHER, SHE, SOUTH, STRANGER, Ward, digest
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED, Refusal
from vervain.ledger.modules.records import queries
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    Correction,
    CorrectRecord,
    DisputeRecord,
    EraseRecord,
    Link,
    LinkKind,
    MarkWrongPatient,
    RecordsReason,
    SettleDispute,
    SupersedeRecord,
    Verdict,
)

HOSPITAL: Final = {NORTH: NORTH, NURSE: NORTH, SHE: NORTH, HE: NORTH, SOUTH: SOUTH, STRANGER: SOUTH, OTHER: SOUTH}
STAFF: Final = (NORTH, NURSE, SOUTH, STRANGER)
EMPLOYER: Final = {NORTH: "nobody", NURSE: NORTH, DOCTOR: NORTH, STRANGER: SOUTH}
Why = RecordsReason


@dataclass
class Kept:
    """One record as the reference keeps it."""

    subject: str
    custodian: str
    author: str
    status: str = "current"
    previous: int | None = None
    next: int | None = None
    dispute: str = "none"
    links: list[int] = field(default_factory=list)


class Reference:
    """What the records module should do."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []

    def commit(self, signer: str, subject: str, author: str, link: int | None) -> Why | None:
        """Keep a record, or say why not."""
        if signer not in STAFF:
            return Why.NOT_THE_CUSTODIAN
        custodian = HOSPITAL[signer]
        if author != custodian and EMPLOYER[author] != custodian:
            return Why.AUTHOR_NOT_STAFF
        if HOSPITAL[subject] != custodian:
            return Why.NOT_THE_CUSTODIAN
        if link is not None:
            if link > len(self.kept):
                return Why.NO_SUCH_RECORD
            linked = self.kept[link - 1]
            if linked.custodian != custodian or linked.subject not in (subject, custodian):
                return Why.LINKED_ELSEWHERE
        self.kept.append(Kept(subject, custodian, author, links=[] if link is None else [link]))
        return None

    def why_not_own(self, signer: str, number: int) -> Why | None:
        """Say why the signer may not change a record."""
        if number > len(self.kept):
            return Why.NO_SUCH_RECORD
        if signer not in STAFF or HOSPITAL[signer] != self.kept[number - 1].custodian:
            return Why.NOT_THE_CUSTODIAN
        return None

    def follow(self, signer: str, number: int, status: str, correction: Correction | None) -> Why | None:
        """Keep a next version, or say why not."""
        why = self.why_not_own(signer, number)
        if why is not None:
            return why
        old = self.kept[number - 1]
        if old.status in ("erased", "wrong patient"):
            return Why.ERASED if old.status == "erased" else Why.MARKED_WRONG_PATIENT
        if old.status != "current":
            return Why.NOT_CURRENT
        if correction is Correction.DISPUTE_UPHELD and old.dispute != "upheld":
            return Why.DISPUTE_NOT_UPHELD
        self.kept.append(Kept(old.subject, old.custodian, signer, previous=number))
        old.status, old.next = status, len(self.kept)
        return None

    def mark(self, signer: str, number: int) -> Why | None:
        """Mark as another patient's, or say why not."""
        why = self.why_not_own(signer, number)
        if why is not None:
            return why
        record = self.kept[number - 1]
        if record.status in ("erased", "wrong patient"):
            return Why.ERASED if record.status == "erased" else Why.MARKED_WRONG_PATIENT
        record.status = "wrong patient"
        return None

    def dispute(self, signer: str, number: int) -> Why | None:
        """Open a dispute, or say why not."""
        if number > len(self.kept):
            return Why.NO_SUCH_RECORD
        record = self.kept[number - 1]
        if record.subject == record.custodian:
            return Why.SUBJECT_NOT_A_PATIENT
        if signer != record.subject and not (record.subject == HE and signer in (NORTH, NURSE)):
            return Why.NOT_THE_SUBJECT
        if record.status == "erased":
            return Why.ERASED
        if record.dispute == "open":
            return Why.ALREADY_DISPUTED
        record.dispute = "open"
        return None

    def settle(self, signer: str, number: int, verdict: Verdict) -> Why | None:
        """Settle a dispute, or say why not."""
        why = self.why_not_own(signer, number)
        if why is None and self.kept[number - 1].dispute != "open":
            why = Why.NOT_DISPUTED
        if why is None:
            self.kept[number - 1].dispute = verdict.value
        return why

    def erase(self, signer: str, number: int) -> Why | None:
        """Leave a tombstone, or say why not."""
        why = self.why_not_own(signer, number)
        if why is not None:
            return why
        record = self.kept[number - 1]
        if record.status == "erased":
            return Why.ERASED
        if record.dispute == "open":
            return Why.DISPUTE_OPEN
        record.status = "erased"
        return None


signers = st.sampled_from([NORTH, NORTH, NORTH, NURSE, NURSE, SOUTH, STRANGER, SHE, HE, OTHER])
subjects = st.sampled_from([SHE, SHE, HE, OTHER, NORTH, SOUTH])
authors = st.sampled_from([None, None, DOCTOR, NURSE, NORTH, STRANGER])
numbers = st.integers(0, 1_000)


class RecordsMachine(RuleBasedStateMachine):
    """Runs each step on the ledger and on the reference, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.ward, self.reference, self.steps = Ward(), Reference(), 0

    def code(self, signer: str, message: Message) -> int:
        """Run one message and return its code."""
        try:
            self.ward.run(signer, message)
        except Refusal as refusal:
            return int(refusal.reason)
        return APPLIED

    def number(self, number: int) -> int:
        """Return the number of a record, or now and then the one after the newest."""
        return (
            number % (len(self.reference.kept) + 1) + 1 if number % 10 == 0 else number % len(self.reference.kept) + 1
        )

    def commitment(self) -> bytes:
        """Return a fresh commitment."""
        self.steps += 1
        return digest("commitment", str(self.steps))

    @rule(signer=signers, subject=subjects, author=authors, link=st.none() | numbers)
    def commit(self, signer: str, subject: str, author: str | None, link: int | None) -> None:
        """Commit, now and then with an author or a link."""
        linked = None if link is None else link % (len(self.reference.kept) + 1) + 1
        form = CommitRecord(
            subject=self.ward.id(subject),
            commitment=self.commitment(),
            author=UNSET if author is None else self.ward.id(author),
            links=() if linked is None else (Link(kind=LinkKind.PART_OF, record=linked),),
        )
        why = self.reference.commit(signer, subject, author or signer, linked)
        assert self.code(signer, form) == (why or APPLIED)

    @precondition(lambda self: self.reference.kept)
    @rule(signer=signers, number=numbers)
    def supersede(self, signer: str, number: int) -> None:
        """Give a record a next version."""
        at = self.number(number)
        why = self.reference.follow(signer, at, "superseded", None)
        assert self.code(signer, SupersedeRecord(record=at, commitment=self.commitment())) == (why or APPLIED)

    @precondition(lambda self: self.reference.kept)
    @rule(signer=signers, number=numbers, correction=st.sampled_from(Correction))
    def correct(self, signer: str, number: int, correction: Correction) -> None:
        """Put a record right."""
        at = self.number(number)
        why = self.reference.follow(signer, at, "corrected", correction)
        form = CorrectRecord(record=at, commitment=self.commitment(), correction=correction)
        assert self.code(signer, form) == (why or APPLIED)

    @precondition(lambda self: self.reference.kept)
    @rule(signer=signers, number=numbers)
    def mark(self, signer: str, number: int) -> None:
        """Mark a record as another patient's."""
        at = self.number(number)
        assert self.code(signer, MarkWrongPatient(record=at)) == (self.reference.mark(signer, at) or APPLIED)

    @precondition(lambda self: self.reference.kept)
    @rule(signer=signers, number=numbers)
    def dispute(self, signer: str, number: int) -> None:
        """Dispute a record."""
        at = self.number(number)
        assert self.code(signer, DisputeRecord(record=at)) == (self.reference.dispute(signer, at) or APPLIED)

    @precondition(lambda self: self.reference.kept)
    @rule(signer=signers, number=numbers, verdict=st.sampled_from(Verdict))
    def settle(self, signer: str, number: int, verdict: Verdict) -> None:
        """Settle a dispute."""
        at = self.number(number)
        why = self.reference.settle(signer, at, verdict)
        assert self.code(signer, SettleDispute(record=at, verdict=verdict)) == (why or APPLIED)

    @precondition(lambda self: self.reference.kept)
    @rule(signer=signers, number=numbers)
    def erase(self, signer: str, number: int) -> None:
        """Erase a record."""
        at = self.number(number)
        form = EraseRecord(record=at, certificate_digest=digest("certificate", str(at)))
        assert self.code(signer, form) == (self.reference.erase(signer, at) or APPLIED)

    @rule(seconds=st.integers(0, 100_000))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.ward.time += seconds
        self.ward.height += 1

    @invariant()
    def rows_agree(self) -> None:
        """Every row says what the reference keeps, and whether a grant opens it."""
        assert queries.newest_record(self.ward.store) == len(self.reference.kept)
        for number, kept in enumerate(self.reference.kept, start=1):
            row = queries.require_record(self.ward.store, number)
            assert (row.subject, row.custodian) == (self.ward.id(kept.subject), self.ward.id(kept.custodian))
            assert row.author == (UNSET if kept.author == kept.custodian else self.ward.id(kept.author))
            assert row.status.value == kept.status.replace(" ", "_")
            assert row.previous == (UNSET if kept.previous is None else kept.previous)
            assert row.superseded_by == (UNSET if kept.next is None else kept.next)
            assert ("none" if row.dispute is UNSET else row.dispute.status.value) == kept.dispute
            assert [link.record for link in row.links] == kept.links
            assert queries.is_opened_by_grants(row) is (kept.status in ("current", "superseded"))

    @invariant()
    def nothing_is_broken(self) -> None:
        """Every invariant of every module holds."""
        assert self.ward.breaches() == []


TestRecordsMachine = RecordsMachine.TestCase
TestRecordsMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
