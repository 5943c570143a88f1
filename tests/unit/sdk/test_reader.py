# SPDX-License-Identifier: Apache-2.0
"""A reader opens what its grant's keys open, asks again for what did not fit, and takes nothing else."""

import pytest

from vervain.ledger.modules.consent.messages import Purpose
from vervain.sdk.client_errors import UnexpectedAnswer
from vervain.sdk.contract import ReleaseAnswer, ReleasedRecord
from vervain.sdk.reader import AskedRead, Reader
from vervain.sealing.documents import seal_document
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import KemKey
from vervain.sealing.notices import notice_digest, open_notice
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.wraps import WrapContext, wrap

CHAIN, ORGANISATION, GRANT, CUSTODIAN = "reading-" + "0" * 32, b"o" * 32, b"g" * 32, b"h" * 32
NOW = 1_800_000_000
PATIENT = KemKey(b"p" * 32)


@pytest.fixture
def reader() -> Reader:
    """A reader with fresh keys."""
    return Reader.fresh(chain=CHAIN, organisation=ORGANISATION)


def _ask(reader: Reader, *records: int) -> AskedRead:
    return reader.ask(
        grant=GRANT,
        custodian=CUSTODIAN,
        records=records,
        purpose=Purpose.TREAT,
        patient_kem=PATIENT.public_key,
        now=NOW,
    )


def _released(reader: Reader, record: int, *, grant: bytes = GRANT) -> ReleasedRecord:
    """Release a note as a custodian does."""
    sealed = seal_document(f"note {record}".encode(), resource_type="Note", resource_id=str(record), version="1")
    context = WrapContext(
        purpose="grant",
        commitment=sealed.commitment,
        recipient=reader.kem.public_key,
        chain=CHAIN,
        scope=grant,
    )
    return ReleasedRecord(
        record=record,
        commitment=sealed.commitment,
        wrap=wrap(sealed.key, context),
        type="Note",
        id=str(record),
        version="1",
        ciphertext=sealed.ciphertext,
    )


def test_request_names_the_notice_that_the_patient_opens(reader: Reader) -> None:
    """Given a request. When it is shown with its access number. Then its notice is the signed one, for the patient."""
    asked = _ask(reader, 7, 5)
    shown = asked.release_request(9)
    assert (shown.request, shown.access, shown.record_set.records) == (asked.message, 9, (5, 7))
    assert notice_digest(shown.notice) == asked.message.notice_digest
    notice = open_notice(shown.notice, kem=PATIENT, chain=CHAIN, grant=GRANT)
    assert (notice.organisation, notice.custodian, notice.records) == (ORGANISATION, CUSTODIAN, (5, 7))


def test_reader_asks_again_for_what_did_not_fit(reader: Reader) -> None:
    """Given a custodian that answers one record at a time. When all are opened. Then each came once, in three asks."""
    asked: list[ReleaseRequest] = []

    def hand_out(request: ReleaseRequest) -> ReleaseAnswer:
        asked.append(request)
        first, *rest = request.among or request.record_set.records
        return ReleaseAnswer(records=(_released(reader, first),), left_out=tuple(rest))

    documents = list(reader.open_all(hand_out, _ask(reader, 5, 7, 8).release_request(9)))
    assert [(each.record, each.stored) for each in documents] == [(5, b"note 5"), (7, b"note 7"), (8, b"note 8")]
    assert [each.among for each in asked] == [(), (7, 8), (8,)]


@pytest.mark.parametrize(
    ("released", "left_out"),
    [((6,), ()), ((5,), (6,)), ((5,), (5, 7)), ((), (5, 7)), ((), ())],
    ids=["another_record", "another_left_out", "left_out_and_released", "no_progress", "nothing"],
)
def test_answer_that_does_not_fit_the_request_is_refused(
    reader: Reader, released: tuple[int, ...], left_out: tuple[int, ...]
) -> None:
    """Given an answer with other records than asked for, or none. When opened. Then refused, and not asked again."""
    answer = ReleaseAnswer(records=tuple(_released(reader, each) for each in released), left_out=left_out)
    with pytest.raises(UnexpectedAnswer):
        list(reader.open_all(lambda _: answer, _ask(reader, 5, 7).release_request(9)))


def test_release_under_another_grant_or_reader_does_not_open(reader: Reader) -> None:
    """Given a release made for another grant, or for another reader. When opened. Then refused."""
    other = Reader.fresh(chain=CHAIN, organisation=ORGANISATION)
    for released in (_released(reader, 5, grant=b"x" * 32), _released(other, 5)):
        with pytest.raises(SealBroken):
            reader.open(released, grant=GRANT)
