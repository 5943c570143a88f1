# SPDX-License-Identifier: Apache-2.0
"""Rules of records: what each message changes and announces, and one test a refusal reason."""

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.unit.ledger.modules.ward import (
    DOCTOR,
    FOUNDED_AT,
    HE,
    NORTH,
    NURSE,
    OTHER,
    SHE,
    SOUTH,
    STRANGER,
    Ward,
    digest,
)
from vervain.ledger.machine.module import Message
from vervain.ledger.modules.identity.messages import CloseActor
from vervain.ledger.modules.records import queries, state
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    Correction,
    CorrectRecord,
    DisputeRecord,
    DisputeSettled,
    EraseRecord,
    Link,
    LinkKind,
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
    Verdict,
)
from vervain.ledger.modules.records.state import Dispute, DisputeStatus, Record, RecordStatus

ONE, TWO, THREE = (digest("commitment", name) for name in ("one", "two", "three"))
CERTIFICATE = digest("certificate")
LATER = FOUNDED_AT + 9
LINKS_DEFAULT_MAX = 64


@pytest.fixture
def ward() -> Ward:
    """A founded ledger."""
    return Ward()


def commit(ward: Ward, subject: str = SHE, signer: str = NORTH, **changes: Any) -> int:  # Any: fields of the message
    """Commit to a document and return its number."""
    ward.run(signer, replace(CommitRecord(subject=ward.id(subject), commitment=ONE), **changes))
    return queries.newest_record(ward.store)


def row(ward: Ward, **changes: Any) -> Record:  # Any: fields of the row
    """Return the row of `commit(ward)`."""
    record = Record(subject=ward.id(SHE), custodian=ward.id(NORTH), commitment=ONE, committed_at=FOUNDED_AT, height=1)
    return replace(record, **changes)


class TestCommit:
    """records.commit"""

    def test_record_is_numbered_kept_and_announced(self, ward: Ward) -> None:
        """Given a patient, when her hospital commits, then record 1 and the event say so, without an author."""
        ward.height = 5
        events = ward.run(NORTH, CommitRecord(subject=ward.id(SHE), commitment=ONE))
        assert events == (RecordCommitted(record=1, subject=ward.id(SHE), custodian=ward.id(NORTH), commitment=ONE),)
        assert dict(state.RECORDS.rows(ward.store)) == {(1).to_bytes(8, "big"): row(ward, height=5)}
        assert ward.breaches() == []

    def test_numbers_grow_by_one_over_all_custodians(self, ward: Ward) -> None:
        """Given two hospitals, when they commit in turn, then their records are 1, 2, 3 and 4."""
        numbers = [
            commit(ward),
            commit(ward, OTHER, SOUTH),
            commit(ward, NORTH),
            commit(ward, HE, NURSE),
        ]
        assert numbers == [1, 2, 3, 4]
        assert ward.breaches() == []

    @pytest.mark.parametrize(
        ("signer", "named", "author"),
        [
            (NORTH, None, None),
            (NORTH, NORTH, None),
            (NORTH, DOCTOR, DOCTOR),
            (NURSE, None, NURSE),
            (NURSE, NURSE, NURSE),
            (NURSE, DOCTOR, DOCTOR),
            (NURSE, NORTH, None),
        ],
    )
    def test_author_is_who_is_named_or_who_signs(
        self, ward: Ward, signer: str, named: str | None, author: str | None
    ) -> None:
        """Given a signer and perhaps a named author, when it commits, then the row names the author or nobody."""
        number = commit(ward, signer=signer, author=UNSET if named is None else ward.id(named))
        assert queries.record(ward.store, number) == row(ward, author=UNSET if author is None else ward.id(author))

    def test_links_are_kept(self, ward: Ward) -> None:
        """Given her record and the hospital's own document, when a third links both, then row and event say so."""
        hers, own = commit(ward), commit(ward, NORTH)
        links = (Link(kind=LinkKind.DERIVED_FROM, record=own), Link(kind=LinkKind.PART_OF, record=hers))
        number = commit(ward, links=links)
        assert queries.record(ward.store, number) == row(ward, links=links)
        assert ward.breaches() == []

    @pytest.mark.parametrize("signer", [SHE, HE])
    def test_refused_when_a_patient_commits(self, ward: Ward, signer: str) -> None:
        """Given a patient, when she commits a document about herself in the hospital's name, then NOT_THE_CUSTODIAN."""
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE)
        assert ward.refusal(signer, form) == RecordsReason.NOT_THE_CUSTODIAN

    @pytest.mark.parametrize("signer", [SOUTH, STRANGER])
    def test_refused_for_a_foreign_pseudonym(self, ward: Ward, signer: str) -> None:
        """Given a pseudonym of one hospital, when another commits for it, then NOT_THE_CUSTODIAN."""
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE)
        assert ward.refusal(signer, form) == RecordsReason.NOT_THE_CUSTODIAN

    def test_refused_for_another_organisations_own_documents(self, ward: Ward) -> None:
        """Given another hospital as subject, when this one commits for it, then NOT_THE_CUSTODIAN."""
        form = CommitRecord(subject=ward.id(SOUTH), commitment=ONE)
        assert ward.refusal(NORTH, form) == RecordsReason.NOT_THE_CUSTODIAN

    def test_refused_when_the_subject_is_unknown(self, ward: Ward) -> None:
        """Given nobody of that id, when the hospital commits for it, then NO_SUCH_SUBJECT."""
        form = CommitRecord(subject=digest("nobody"), commitment=ONE)
        assert ward.refusal(NORTH, form) == RecordsReason.NO_SUCH_SUBJECT

    def test_refused_when_the_subject_is_staff(self, ward: Ward) -> None:
        """Given a nurse as subject, when her hospital commits, then SUBJECT_NOT_A_PATIENT."""
        form = CommitRecord(subject=ward.id(NURSE), commitment=ONE)
        assert ward.refusal(NORTH, form) == RecordsReason.SUBJECT_NOT_A_PATIENT

    @pytest.mark.parametrize("author", [STRANGER, SOUTH, SHE, "nobody"])
    def test_refused_when_the_author_is_not_staff(self, ward: Ward, author: str) -> None:
        """Given an author who is not this hospital's staff, when it commits, then AUTHOR_NOT_STAFF."""
        named = digest(author) if author == "nobody" else ward.id(author)
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE, author=named)
        assert ward.refusal(NORTH, form) == RecordsReason.AUTHOR_NOT_STAFF

    def test_refused_when_the_author_has_left(self, ward: Ward) -> None:
        """Given a doctor whose actor is closed, when she is named or signs in the same block, then it is refused."""
        ward.run(NORTH, CloseActor(actor=ward.id(DOCTOR)))
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE)
        assert ward.refusal(NORTH, replace(form, author=ward.id(DOCTOR))) == RecordsReason.AUTHOR_NOT_STAFF
        assert ward.refusal(DOCTOR, form) == RecordsReason.NOT_THE_CUSTODIAN

    def test_refused_with_too_many_links(self, ward: Ward) -> None:
        """Given one link more than the parameter's default, when it commits, then TOO_MANY_LINKS; as many are taken."""
        for _ in range(LINKS_DEFAULT_MAX + 1):
            commit(ward)
        links = tuple(Link(kind=LinkKind.PART_OF, record=number) for number in range(1, LINKS_DEFAULT_MAX + 2))
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE, links=links)
        assert ward.refusal(NORTH, form) == RecordsReason.TOO_MANY_LINKS
        ward.run(NORTH, replace(form, links=links[1:]))

    def test_refused_when_links_are_not_sorted(self, ward: Ward) -> None:
        """Given links out of order or repeated, when it commits, then LINKS_NOT_SORTED."""
        first, second = (Link(kind=LinkKind.PART_OF, record=commit(ward)) for _ in range(2))
        for links in ((second, first), (first, first), (first, Link(kind=LinkKind.DERIVED_FROM, record=2))):
            form = CommitRecord(subject=ward.id(SHE), commitment=ONE, links=links)
            assert ward.refusal(NORTH, form) == RecordsReason.LINKS_NOT_SORTED

    def test_refused_when_a_link_names_nothing(self, ward: Ward) -> None:
        """Given one record, when a second links itself to be, then NO_SUCH_RECORD."""
        commit(ward)
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE, links=(Link(kind=LinkKind.PART_OF, record=2),))
        assert ward.refusal(NORTH, form) == RecordsReason.NO_SUCH_RECORD

    @pytest.mark.parametrize(("subject", "signer"), [(HE, NORTH), (OTHER, SOUTH)])
    def test_refused_when_a_link_would_join_two_pseudonyms(self, ward: Ward, subject: str, signer: str) -> None:
        """Given a record of another pseudonym, here or elsewhere, when hers links it, then LINKED_ELSEWHERE."""
        theirs = commit(ward, subject, signer)
        form = CommitRecord(subject=ward.id(SHE), commitment=ONE, links=(Link(kind=LinkKind.REPLY_TO, record=theirs),))
        assert ward.refusal(NORTH, form) == RecordsReason.LINKED_ELSEWHERE

    def test_a_refused_batch_takes_no_numbers(self, ward: Ward) -> None:
        """Given a batch whose last entry is refused, when the next record comes, then no number is missing."""
        good = CommitRecord(subject=ward.id(SHE), commitment=ONE)
        bad = CommitRecord(subject=digest("nobody"), commitment=ONE)
        assert ward.refusal(NORTH, good, good, bad) == RecordsReason.NO_SUCH_SUBJECT
        assert commit(ward) == 1


class TestSupersede:
    """records.supersede"""

    def test_new_version_is_current_and_the_old_one_kept(self, ward: Ward) -> None:
        """Given a record, when its custodian supersedes it, then both rows name each other and the event says so."""
        commit(ward)
        ward.time = LATER
        events = ward.run(NURSE, SupersedeRecord(record=1, commitment=TWO, author=ward.id(DOCTOR)))
        assert events == (
            RecordSuperseded(
                record=2,
                previous=1,
                subject=ward.id(SHE),
                custodian=ward.id(NORTH),
                commitment=TWO,
                author=ward.id(DOCTOR),
            ),
        )
        new = row(ward, commitment=TWO, author=ward.id(DOCTOR), committed_at=LATER, previous=1)
        assert queries.record(ward.store, 1) == row(ward, status=RecordStatus.SUPERSEDED, superseded_by=2)
        assert queries.record(ward.store, 2) == new
        assert ward.breaches() == []

    def test_refused_when_it_is_not_the_current_version(self, ward: Ward) -> None:
        """Given a superseded version, when it is superseded again, then NOT_CURRENT: the chain never forks."""
        commit(ward)
        ward.run(NORTH, SupersedeRecord(record=1, commitment=TWO))
        assert ward.refusal(NORTH, SupersedeRecord(record=1, commitment=THREE)) == RecordsReason.NOT_CURRENT

    def test_refused_when_the_author_is_not_staff(self, ward: Ward) -> None:
        """Given another hospital's nurse, when she is named as author of a version, then AUTHOR_NOT_STAFF."""
        commit(ward)
        form = SupersedeRecord(record=1, commitment=TWO, author=ward.id(STRANGER))
        assert ward.refusal(NORTH, form) == RecordsReason.AUTHOR_NOT_STAFF

    def test_links_of_a_version_are_checked_and_kept(self, ward: Ward) -> None:
        """Given another patient's record, when a version links it, then LINKED_ELSEWHERE; her own is kept."""
        hers, theirs, own = commit(ward), commit(ward, HE), commit(ward)
        form = SupersedeRecord(record=hers, commitment=TWO, links=(Link(kind=LinkKind.PART_OF, record=theirs),))
        assert ward.refusal(NORTH, form) == RecordsReason.LINKED_ELSEWHERE
        links = (Link(kind=LinkKind.PART_OF, record=own),)
        ward.run(NORTH, replace(form, links=links))
        assert queries.record(ward.store, 4) == row(ward, commitment=TWO, links=links, previous=hers)


class TestCorrect:
    """records.correct"""

    def test_wrong_version_stays_for_auditors(self, ward: Ward) -> None:
        """Given a wrong record, when it is corrected, then the new one says why, the old one is not for grants."""
        commit(ward)
        form = CorrectRecord(record=1, commitment=TWO, correction=Correction.AMENDED)
        assert ward.run(NORTH, form) == (
            RecordCorrected(
                record=2,
                previous=1,
                subject=ward.id(SHE),
                custodian=ward.id(NORTH),
                commitment=TWO,
                correction=Correction.AMENDED,
            ),
        )
        old, new = queries.require_record(ward.store, 1), queries.require_record(ward.store, 2)
        assert old == row(ward, status=RecordStatus.CORRECTED, superseded_by=2)
        assert new == row(ward, commitment=TWO, previous=1, correction=Correction.AMENDED)
        assert [queries.is_opened_by_grants(old), queries.is_opened_by_grants(new)] == [False, True]
        assert ward.breaches() == []

    @pytest.mark.parametrize("verdict", [None, Verdict.REJECTED])
    def test_refused_when_no_dispute_was_upheld(self, ward: Ward, verdict: Verdict | None) -> None:
        """Given an open or rejected dispute, when the correction claims an upheld one, then DISPUTE_NOT_UPHELD."""
        commit(ward)
        ward.run(SHE, DisputeRecord(record=1))
        if verdict is not None:
            ward.run(NORTH, SettleDispute(record=1, verdict=verdict))
        form = CorrectRecord(record=1, commitment=TWO, correction=Correction.DISPUTE_UPHELD)
        assert ward.refusal(NORTH, form) == RecordsReason.DISPUTE_NOT_UPHELD

    def test_correction_after_an_upheld_dispute(self, ward: Ward) -> None:
        """Given an upheld dispute, when the correction says so, then it is taken."""
        commit(ward)
        ward.run(SHE, DisputeRecord(record=1))
        ward.run(NORTH, SettleDispute(record=1, verdict=Verdict.UPHELD))
        ward.run(NORTH, CorrectRecord(record=1, commitment=TWO, correction=Correction.DISPUTE_UPHELD))
        dispute = Dispute(status=DisputeStatus.UPHELD, disputed_at=FOUNDED_AT, settled_at=FOUNDED_AT)
        expected = row(ward, status=RecordStatus.CORRECTED, superseded_by=2, dispute=dispute)
        assert queries.record(ward.store, 1) == expected


class TestMarkWrongPatient:
    """records.mark_wrong_patient"""

    def test_marked_record_is_opened_by_no_grant(self, ward: Ward) -> None:
        """Given a record, when its custodian marks it, then its subject stays, and no grant opens it."""
        commit(ward)
        ward.time = LATER
        assert ward.run(NURSE, MarkWrongPatient(record=1)) == (
            RecordMarkedWrongPatient(record=1, subject=ward.id(SHE), custodian=ward.id(NORTH)),
        )
        marked = queries.require_record(ward.store, 1)
        assert marked == row(ward, status=RecordStatus.WRONG_PATIENT, marked_at=LATER)
        assert not queries.is_opened_by_grants(marked)

    def test_an_older_version_can_be_marked(self, ward: Ward) -> None:
        """Given two versions, when the older one is marked, then it still names the newer one."""
        commit(ward)
        ward.run(NORTH, SupersedeRecord(record=1, commitment=TWO))
        ward.run(NORTH, MarkWrongPatient(record=1))
        expected = row(ward, status=RecordStatus.WRONG_PATIENT, marked_at=FOUNDED_AT, superseded_by=2)
        assert queries.record(ward.store, 1) == expected
        assert ward.breaches() == []

    def test_refused_when_marked_already(self, ward: Ward) -> None:
        """Given a marked record, when it is marked, superseded or corrected, then MARKED_WRONG_PATIENT."""
        commit(ward)
        ward.run(NORTH, MarkWrongPatient(record=1))
        for form in (
            MarkWrongPatient(record=1),
            SupersedeRecord(record=1, commitment=TWO),
            CorrectRecord(record=1, commitment=TWO, correction=Correction.AMENDED),
        ):
            assert ward.refusal(NORTH, form) == RecordsReason.MARKED_WRONG_PATIENT


class TestDispute:
    """records.dispute and records.settle_dispute"""

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_dispute_is_settled_and_may_come_again(self, ward: Ward, verdict: Verdict) -> None:
        """Given a dispute, when it is settled, then row and events say so, and the subject may dispute anew."""
        commit(ward)
        assert ward.run(SHE, DisputeRecord(record=1)) == (
            RecordDisputed(record=1, subject=ward.id(SHE), custodian=ward.id(NORTH), disputed_at=FOUNDED_AT),
        )
        ward.time = LATER
        assert ward.run(NURSE, SettleDispute(record=1, verdict=verdict)) == (
            DisputeSettled(record=1, subject=ward.id(SHE), custodian=ward.id(NORTH), verdict=verdict),
        )
        settled = Dispute(status=DisputeStatus(verdict.value), disputed_at=FOUNDED_AT, settled_at=LATER)
        assert queries.record(ward.store, 1) == row(ward, dispute=settled)
        ward.run(SHE, DisputeRecord(record=1))
        expected = row(ward, dispute=Dispute(status=DisputeStatus.OPEN, disputed_at=LATER))
        assert queries.record(ward.store, 1) == expected
        assert ward.breaches() == []

    @pytest.mark.parametrize("signer", [NORTH, NURSE, HE])
    def test_custodian_disputes_for_a_patient_in_custody(self, ward: Ward, signer: str) -> None:
        """Given a patient whose key the hospital keeps, when it, its nurse or his key disputes, then it is open."""
        commit(ward, HE)
        ward.run(signer, DisputeRecord(record=1))
        expected = row(ward, subject=ward.id(HE), dispute=Dispute(status=DisputeStatus.OPEN, disputed_at=FOUNDED_AT))
        assert queries.record(ward.store, 1) == expected

    @pytest.mark.parametrize("signer", [NORTH, NURSE, SOUTH, STRANGER, OTHER, HE])
    def test_refused_when_another_disputes(self, ward: Ward, signer: str) -> None:
        """Given her record, when anybody else disputes it, then NOT_THE_SUBJECT."""
        commit(ward)
        assert ward.refusal(signer, DisputeRecord(record=1)) == RecordsReason.NOT_THE_SUBJECT

    @pytest.mark.parametrize("signer", [SOUTH, STRANGER, SHE, OTHER])
    def test_refused_when_a_stranger_disputes_for_a_patient_in_custody(self, ward: Ward, signer: str) -> None:
        """Given a record of a patient in custody, when others than his hospital dispute it, then NOT_THE_SUBJECT."""
        commit(ward, HE)
        assert ward.refusal(signer, DisputeRecord(record=1)) == RecordsReason.NOT_THE_SUBJECT

    def test_refused_for_the_custodians_own_document(self, ward: Ward) -> None:
        """Given the hospital's own document, when the hospital disputes it, then SUBJECT_NOT_A_PATIENT."""
        commit(ward, NORTH)
        assert ward.refusal(NORTH, DisputeRecord(record=1)) == RecordsReason.SUBJECT_NOT_A_PATIENT

    def test_refused_when_one_is_open(self, ward: Ward) -> None:
        """Given an open dispute, when she disputes again, then ALREADY_DISPUTED."""
        commit(ward)
        ward.run(SHE, DisputeRecord(record=1))
        assert ward.refusal(SHE, DisputeRecord(record=1)) == RecordsReason.ALREADY_DISPUTED

    def test_refused_when_there_is_none_to_settle(self, ward: Ward) -> None:
        """Given no dispute, or a settled one, when the hospital settles, then NOT_DISPUTED."""
        commit(ward)
        form = SettleDispute(record=1, verdict=Verdict.REJECTED)
        assert ward.refusal(NORTH, form) == RecordsReason.NOT_DISPUTED
        ward.run(SHE, DisputeRecord(record=1))
        ward.run(NORTH, form)
        assert ward.refusal(NORTH, form) == RecordsReason.NOT_DISPUTED


class TestErase:
    """records.erase"""

    def test_tombstone_keeps_commitment_and_chain(self, ward: Ward) -> None:
        """Given a superseded version, when it is erased, then the row keeps all it had and gets the certificate."""
        commit(ward)
        ward.run(NORTH, SupersedeRecord(record=1, commitment=TWO))
        ward.time = LATER
        assert ward.run(NURSE, EraseRecord(record=1, certificate_digest=CERTIFICATE)) == (
            RecordErased(record=1, subject=ward.id(SHE), custodian=ward.id(NORTH), certificate_digest=CERTIFICATE),
        )
        tombstone = queries.require_record(ward.store, 1)
        assert tombstone == row(
            ward,
            status=RecordStatus.ERASED,
            superseded_by=2,
            erased_at=LATER,
            certificate_digest=CERTIFICATE,
        )
        assert not queries.is_opened_by_grants(tombstone)
        assert ward.breaches() == []

    def test_refused_when_erased_already(self, ward: Ward) -> None:
        """Given a tombstone, when anything but settling is asked of it, then ERASED."""
        commit(ward)
        ward.run(NORTH, EraseRecord(record=1, certificate_digest=CERTIFICATE))
        asked: list[tuple[str, Message]] = [
            (NORTH, EraseRecord(record=1, certificate_digest=CERTIFICATE)),
            (NORTH, MarkWrongPatient(record=1)),
            (NORTH, SupersedeRecord(record=1, commitment=TWO)),
            (NORTH, CorrectRecord(record=1, commitment=TWO, correction=Correction.AMENDED)),
            (SHE, DisputeRecord(record=1)),
        ]
        assert [ward.refusal(signer, form) for signer, form in asked] == [RecordsReason.ERASED] * 5

    def test_refused_while_a_dispute_is_open(self, ward: Ward) -> None:
        """Given an open dispute, when the hospital erases the evidence, then DISPUTE_OPEN."""
        commit(ward)
        ward.run(SHE, DisputeRecord(record=1))
        form = EraseRecord(record=1, certificate_digest=CERTIFICATE)
        assert ward.refusal(NORTH, form) == RecordsReason.DISPUTE_OPEN


CUSTODIANS_OWN: list[Message] = [
    SupersedeRecord(record=1, commitment=TWO),
    CorrectRecord(record=1, commitment=TWO, correction=Correction.AMENDED),
    MarkWrongPatient(record=1),
    SettleDispute(record=1, verdict=Verdict.REJECTED),
    EraseRecord(record=1, certificate_digest=CERTIFICATE),
]


@pytest.mark.parametrize("form", CUSTODIANS_OWN, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("signer", [SHE, HE, OTHER, SOUTH, STRANGER])
def test_refused_when_another_than_the_custodian_changes_a_record(ward: Ward, form: Message, signer: str) -> None:
    """Given a record, when a patient or another hospital changes it, then NOT_THE_CUSTODIAN."""
    commit(ward)
    assert ward.refusal(signer, form) == RecordsReason.NOT_THE_CUSTODIAN


@pytest.mark.parametrize("form", [*CUSTODIANS_OWN, DisputeRecord(record=1)], ids=lambda form: type(form).__name__)
def test_refused_when_there_is_no_such_record(ward: Ward, form: Message) -> None:
    """Given record 1 only, when number 2 is changed, then NO_SUCH_RECORD and record 1 is as it was."""
    commit(ward)
    assert ward.refusal(NORTH, replace(form, record=2)) == RecordsReason.NO_SUCH_RECORD
    assert queries.record(ward.store, 1) == row(ward)
