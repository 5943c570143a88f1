# SPDX-License-Identifier: Apache-2.0
"""A custodian erases one document by its record's number over HTTP; nobody else does, and by no other claim."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from tests.integration.native_api.running import Running, registration
from tests.integration.native_api.test_sharing import Ward
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.identity.messages import ActorKind
from vervain.ledger.modules.records import queries
from vervain.ledger.modules.records.messages import DisputeRecord
from vervain.sdk.client import Refused
from vervain.sealing.keys import SigningKey
from vervain.vault.erasure_certificates import SignedErasureCertificate, verify_certificate


@pytest.fixture
def ward(served: Running) -> Ward:
    """A patient with three records."""
    return Ward(served)


def _statuses(ward: Ward) -> list[str]:
    with ward.served.node.view() as state:
        rows = [queries.record(Store(state), each) for each in ward.records]
    return [row.status for row in rows if row is not None]


def test_custodian_erases_one_record_and_gets_its_certificate(ward: Ward) -> None:
    """
    Given three records of a patient.
    When the custodian erases the second by its number, and asks once more.
    Then the answer's certificate holds and stands in the tombstone; the others stay; the second time is answered 410.
    """
    commitment = ward.desk.vault.of_record(ward.records[1]).commitment
    with ward.served.client() as member:
        answer = member.erase_record(ward.records[1])
        with pytest.raises(Refused) as again:
            member.erase_record(ward.records[1])
    (signed,) = msgspec.convert(answer["certificates"], tuple[SignedErasureCertificate, ...])
    certificate = verify_certificate(signed, custodian_key=ward.served.key.public_key)
    with ward.served.node.view() as state:
        row = queries.record(Store(state), ward.records[1])
    assert answer["record"] == ward.records[1] and certificate.commitments == (commitment,)
    assert row is not None and row.certificate_digest == signed.digest()
    assert _statuses(ward) == ["current", "erased", "current"]
    assert {each.record for each in ward.desk.vault.of_subject(ward.patient)} == {ward.records[0], ward.records[2]}
    assert again.value.problem.status == 410


def test_nobody_else_erases(ward: Ward) -> None:
    """
    Given a patient's record, the patient, the custodian's staff, another patient, and somebody unknown.
    When each asks for its erasure, or the custodian's claim for another path is sent.
    Then each is refused by its kind, and nothing was erased.
    """
    staff = SigningKey.generate()
    with ward.served.client() as member:
        member.submit(registration(ward.served, staff, ActorKind.STAFF))
    told = []
    for key in (ward.key, staff, ward.served.register_patient(), SigningKey.generate()):
        with ward.served.client(key) as asker, pytest.raises(Refused) as refused:
            asker.erase_record(ward.records[0])
        told.append(refused.value.problem.status)
    with ward.served.client() as member, ward.served.http() as http:
        header = member._signed_for(f"/v1/me/documents/{ward.records[0]}")()
        path = f"/v1/me/records/{ward.records[0]}/erasure"
        answers = [http.post(path, headers=header), http.post(path), http.get(path)]
        with pytest.raises(Refused) as missing:
            member.erase_record(10**9)
    assert told == [403, 403, 403, 401] and missing.value.problem.status == 404
    assert [answer.status_code for answer in answers] == [401, 401, 405]
    assert _statuses(ward) == ["current"] * 3 and len(ward.desk.vault.of_subject(ward.patient)) == 3


def test_disputed_record_is_answered_as_conflict(ward: Ward) -> None:
    """Given a record with an open dispute. When the custodian erases it. Then 409, and it is still there."""
    dispute = ward.wallet.sign(ward.at, [DisputeRecord(record=ward.records[0])], now=int(ward.served.node.clock()))
    with ward.served.client() as member:
        member.submit_signed(dispute.encoded)
        with pytest.raises(Refused) as refused:
            member.erase_record(ward.records[0])
    assert refused.value.problem.status == 409 and "dispute" in refused.value.problem.what
    assert len(ward.desk.vault.of_subject(ward.patient)) == 3


def test_erasures_of_one_member_do_not_wait_in_the_threads_of_all(ward: Ward) -> None:
    """
    Given a member's erasure that waits for the desk.
    When the member asks for sixty more meanwhile, and somebody else for a page.
    Then those are answered 429 at once with Retry-After, nothing of theirs is erased, and the page comes; afterwards
    the waiting one is answered, and the next one too.
    """
    served = ward.served

    def erase(number: int) -> httpx.Response:
        with served.client() as member, served.http() as http:
            path = f"/v1/me/records/{number}/erasure"
            return http.post(path, headers=member._signed_for(path)())

    with ThreadPoolExecutor(61) as threads:
        with ward.desk._committing:
            waiting = threads.submit(erase, ward.records[0])
            deadline = time.monotonic() + 20
            while ward.desk.erasures_asked.acquire(blocking=False):
                ward.desk.erasures_asked.release()
                assert time.monotonic() < deadline, "the desk takes more than one at once"
                time.sleep(0.01)
            refused = list(threads.map(erase, [ward.records[1]] * 60))
            with served.http() as other:
                assert other.get("/v1/statistics").status_code == 200
            assert not waiting.done()
        assert waiting.result().status_code == 200
    assert {(each.status_code, each.headers["Retry-After"]) for each in refused} == {(429, "1")}
    assert _statuses(ward) == ["erased", "current", "current"]
    with served.client() as member:
        member.erase_record(ward.records[1])
    assert _statuses(ward) == ["erased", "erased", "current"]
