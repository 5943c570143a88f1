# SPDX-License-Identifier: Apache-2.0
"""A reader gets keys and ciphertexts over HTTP, the patient its notice, wraps and documents, others nothing."""

import time
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from tests.integration.native_api.running import Running
from vervain.ledger.modules.consent.messages import Purpose, ReadRequested, WithdrawConsent
from vervain.ledger.primitives.codec import encode
from vervain.node import handing_out
from vervain.node.asking import REQUESTS_PER_MINUTE_MAX
from vervain.node.desk import MemberDesk
from vervain.sdk.client import Client, Refused
from vervain.sdk.contract import JSON, RELEASE_REQUEST_BYTES_MAX
from vervain.sdk.reader import Reader
from vervain.sdk.wallet import Wallet
from vervain.sealing.keys import SigningKey
from vervain.sealing.notices import notice_digest
from vervain.sealing.receipts import EntryProof, Opening, format_receipt, verify_receipt
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.trust import read_trust
from vervain.vault.documents import NewDocument

READ = Purpose.TREAT


class Ward:
    """A patient with three notes at the member, and a reader that the patient's wallet granted to."""

    def __init__(self, served: Running) -> None:
        self.served, self.at = served, served.organisation
        self.wallet = Wallet.create(served.node.chain)
        self.patient = self.wallet.join(self.at).actor
        self.key = self.wallet.keys(self.at).signing
        self.desk: MemberDesk = served.node.desk(self.at)
        with served.client() as member:
            member.submit(self.wallet.registration(self.at))
        self.stored = {f"n-{number}": f"{self.patient.hex()} {number}".encode() for number in (1, 2, 3)}
        self.desk.keep([self._note(name, stored) for name, stored in self.stored.items()])
        self.desk.commit_kept()
        self.records = sorted(each.record for each in self.desk.vault.of_subject(self.patient))
        self.reader = Reader.fresh(chain=served.node.chain, organisation=self.at)
        self.grant = self._grant()

    def _note(self, name: str, stored: bytes) -> NewDocument:
        unique = f"{self.patient.hex()[:16]}-{name}"
        return NewDocument(
            subject=self.patient, resource_type="Observation", resource_id=unique, version="1", stored=stored
        )

    def _grant(self) -> bytes:
        now = int(time.time())
        prepared = self.wallet.grant(
            self.at,
            self.reader.claim(self.served.key, grantor=self.patient),
            organisation_key=self.served.key.public_key,
            purposes=[READ],
            valid_from=now - 5,
            valid_until=now + 3_600,
        )
        signed = self.wallet.sign(self.at, [prepared.message], now=now)
        with self.served.client() as client:
            client.submit_signed(signed.encoded)
        return self.wallet.granted(prepared, txid=signed.txid).consent

    def ask(self, client: Client, *records: int) -> ReleaseRequest:
        """Put a request on the ledger; return what the custodian is to get."""
        asked = self.reader.ask(
            grant=self.grant,
            custodian=self.at,
            records=records or self.records,
            purpose=READ,
            patient_kem=self.wallet.keys(self.at).kem.public_key,
            now=int(time.time()),
        )
        (event,) = client.submit(asked.message).events
        requested = msgspec.json.decode(event, type=ReadRequested)
        return asked.release_request(requested.access)

    def withdraw(self) -> None:
        """End the grant."""
        signed = self.wallet.sign(self.at, [WithdrawConsent(consent=self.grant)], now=int(time.time()))
        with self.served.client() as client:
            client.submit_signed(signed.encoded)


@pytest.fixture
def ward(served: Running) -> Ward:
    """A patient of this test's own."""
    return Ward(served)


@pytest.fixture
def client(served: Running) -> Iterator[Client]:
    """The member's client."""
    with served.client() as client:
        yield client


def _post(ward: Ward, body: bytes, organisation: bytes | None = None) -> httpx.Response:
    at = ward.at if organisation is None else organisation
    with ward.served.http() as http:
        return http.post(f"/v1/members/{at.hex()}/releases", content=body, headers={"Content-Type": JSON})


def _written(ward: Ward) -> tuple[int, int]:
    return ward.desk.vault.releases.count, ward.desk.vault.notices.count


def test_reader_opens_what_was_granted_and_the_receipt_proves_it(ward: Ward, client: Client) -> None:
    """
    Given a grant and a request that is final.
    When the reader asks for the release over HTTP.
    Then it opens each document, checked against its commitment, and the ledger's receipt for that commitment holds.
    """
    asked = ward.ask(client)
    documents = list(ward.reader.open_all(lambda wanted: client.release(ward.at, wanted), asked))
    assert [each.record for each in documents] == ward.records
    assert {each.stored for each in documents} == set(ward.stored.values())
    ward.served.node.read_model.catch_up()
    with ward.served.client(ward.key) as own:
        rows = {row["record"]: row for row in own.own_records()["records"]}
        wraps = own.own_wraps().wraps
    trust = read_trust(client.trust_file())
    for each in documents:
        own_wrap = next(wrap for wrap in wraps if wrap.record == each.record)
        kept = ward.wallet.keep_record(
            ward.at,
            record=own_wrap.record,
            commitment=own_wrap.commitment,
            wrapped=own_wrap.wrap,
            resource_type=own_wrap.type,
            resource_id=own_wrap.id,
            version=own_wrap.version,
        )
        opened = ward.wallet.opening(kept)
        row = rows[each.record]
        receipt = ward.served.node.receipts.of_entry(
            row["leaf_index"],
            row.get("entry_index", 0),
            Opening(type=opened.type, id=opened.id, version=opened.version, salt=opened.salt),
        )
        assert isinstance(receipt.proof, EntryProof)
        assert verify_receipt(format_receipt(receipt), trust, each.stored).applied


def test_patient_reads_its_notice_and_its_own_documents(ward: Ward, client: Client) -> None:
    """
    Given a release of two of three records.
    When the patient asks for notices, wraps and documents with its own key.
    Then one notice names the reader, its records and purpose, and the wallet opens all three documents.
    """
    client.release(ward.at, ward.ask(client, *ward.records[:2]))
    releases = ward.desk.vault.releases.count
    with ward.served.client(ward.key) as own:
        answer, wraps = own.own_notices(), own.own_wraps()
        ciphertexts = {record: own.own_document(record) for record in ward.records}
        later = own.own_notices(after=1)
    assert (len(answer.notices), answer.next, later.notices) == (1, msgspec.UNSET, ())
    notice = ward.wallet.read_notice(ward.at, answer.notices[0].sealed, grant=answer.notices[0].grant)
    assert (notice.organisation, notice.reader) == (ward.at, ward.reader.signing.public_key)
    assert (notice.records, notice.purpose) == (tuple(ward.records[:2]), READ)
    assert (wraps.epoch, wraps.next) == (0, msgspec.UNSET)
    texts = set()
    for each in wraps.wraps:
        kept = ward.wallet.keep_record(
            ward.at,
            record=each.record,
            commitment=each.commitment,
            wrapped=each.wrap,
            resource_type=each.type,
            resource_id=each.id,
            version=each.version,
        )
        texts.add(ward.wallet.open_record(kept, ciphertexts[each.record]))
    assert texts == set(ward.stored.values())
    assert ward.desk.vault.releases.count == releases + 3


def test_stranger_gets_nothing(ward: Ward, client: Client) -> None:
    """
    Given a patient with documents, wraps and a notice.
    When another patient, the member itself and somebody unknown ask for theirs, and for the patient's documents.
    Then lists are empty, and each document is answered as one that does not exist; the unknown gets no answer at all.
    """
    client.release(ward.at, ward.ask(client))
    other = ward.served.register_patient()
    written = _written(ward)
    for key in (other, ward.served.key):
        with ward.served.client(key) as stranger:
            assert (stranger.own_notices().notices, stranger.own_wraps().wraps) == ((), ())
            told = set()
            for record in (ward.records[0], 10**9):
                with pytest.raises(Refused) as refused:
                    stranger.own_document(record)
                told.add(encode(refused.value.problem))
        assert len(told) == 1 and refused.value.problem.status == 404
    with ward.served.client(SigningKey.generate()) as unknown:
        for ask in (unknown.own_notices, unknown.own_wraps, lambda: unknown.own_document(ward.records[0])):
            with pytest.raises(Refused) as refused:
                ask()
            assert refused.value.problem.status == 401
    assert _written(ward) == written


def test_erased_own_document_is_answered_like_none(ward: Ward) -> None:
    """
    Given a patient whose first document was erased.
    When the patient asks for it and for one that never was.
    Then both answers are the same.
    """
    gone = ward.desk.vault.of_record(ward.records[0]).document
    ward.desk.vault.erase_documents([gone], key=ward.served.key, now=int(time.time()))
    told = set()
    with ward.served.client(ward.key) as own:
        for record in (ward.records[0], 10**9):
            with pytest.raises(Refused) as refused:
                own.own_document(record)
            told.add(encode(refused.value.problem))
        assert sorted(each.record for each in own.own_wraps().wraps) == ward.records[1:]
    assert len(told) == 1


def test_refused_release_leaks_nothing(ward: Ward, client: Client) -> None:
    """
    Given requests with a wrong notice or access, for a record that is not there or another's, and after a withdrawal.
    When they are sent.
    Then each gets the same answer with status 404, and nothing is written down.
    """
    asked, missing = ward.ask(client), ward.ask(client, 10**9)
    anothers = ward.ask(client, Ward(ward.served).records[0])
    written = _written(ward)
    altered = bytes([asked.notice[0] ^ 1]) + asked.notice[1:]
    wrong = [
        replace(asked, notice=altered),
        replace(asked, notice=missing.notice),
        replace(asked, access=10**6),
        replace(asked, among=(10**9,)),
        missing,
        anothers,
    ]
    answers = [_post(ward, encode(each)) for each in wrong]
    ward.withdraw()
    answers.append(_post(ward, encode(asked)))
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert _written(ward) == written


def test_reader_and_patient_that_ask_too_often_are_told_when_to_come_back(ward: Ward, client: Client) -> None:
    """
    Given a desk that answers two requests a minute for one key.
    When a reader and the patient ask thrice, and then another patient and its reader.
    Then the third gets a problem with status 429 and the seconds to wait, the others are answered as ever.
    """
    ward.desk.asking._per_minute = 2
    try:
        body = encode(ward.ask(client))
        answers = [_post(ward, body) for _ in range(3)]
        with ward.served.client(ward.key) as own:
            pages = [own.own_wraps() for _ in range(2)]
            with pytest.raises(Refused) as refused:
                own.own_wraps()
        other = Ward(ward.served)
        others = _post(other, encode(other.ask(client)))
    finally:
        ward.desk.asking._per_minute = REQUESTS_PER_MINUTE_MAX
    assert [answer.status_code for answer in (*answers, others)] == [200, 200, 429, 200]
    assert (answers[2].headers["retry-after"], answers[2].json()["type"]) == ("30", "/v1/problems#limit-exceeded")
    assert answers[2].json()["do"] == "Send the same request again in 30 s."
    assert refused.value.problem.status == 429 and [len(page.wraps) for page in pages] == [3, 3]


def test_altered_request_is_refused_by_its_signature(ward: Ward, client: Client) -> None:
    """
    Given a request that is final.
    When it is sent with another signature, or with the opening of another set.
    Then it is refused with status 403 and nothing is written down.
    """
    asked = ward.ask(client)
    written = _written(ward)
    forged = replace(asked, request=replace(asked.request, signature=bytes(64)))
    other = replace(asked, record_set=replace(asked.record_set, records=asked.record_set.records[:1]))
    assert [_post(ward, encode(each)).status_code for each in (forged, other)] == [403, 403]
    assert _written(ward) == written


def test_body_that_is_no_request_is_refused(ward: Ward, client: Client) -> None:
    """
    Given a release request.
    When it is sent without its notice, not canonical, too long, or to a member that is not served here.
    Then it is refused with the status of its kind.
    """
    asked = ward.ask(client)
    whole = msgspec.json.decode(encode(asked))
    without = encode({name: value for name, value in whole.items() if name != "notice"})
    assert _post(ward, without).status_code == 400
    assert _post(ward, encode(asked) + b" ").status_code == 400
    assert _post(ward, b"{" + b" " * RELEASE_REQUEST_BYTES_MAX).status_code == 413
    assert _post(ward, encode(asked), bytes(32)).status_code == 404
    assert _post(ward, encode(asked), b"short").status_code == 404
    assert asked.request.notice_digest == notice_digest(asked.notice)


def test_what_does_not_fit_comes_with_the_next_answer(
    ward: Ward, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a node whose answers hold two documents.
    When a reader opens all three of a request.
    Then the first answer names the third, the second brings it, and there is one notice.
    """
    monkeypatch.setattr(handing_out, "RELEASED_RECORDS_MAX", 2)
    asked, notices = ward.ask(client), ward.desk.vault.notices.count
    first = client.release(ward.at, asked)
    assert ([each.record for each in first.records], list(first.left_out)) == (ward.records[:2], ward.records[2:])
    documents = list(ward.reader.open_all(lambda wanted: client.release(ward.at, wanted), asked))
    assert [each.record for each in documents] == ward.records
    assert ward.desk.vault.notices.count == notices + 1
