# SPDX-License-Identifier: Apache-2.0
"""Read requests: what a reader signs, who checks it, and what must break it."""

import hashlib
from itertools import pairwise

import pytest
from msgspec.structs import replace

from vervain.ledger.modules.consent.messages import Purpose, RequestRead
from vervain.ledger.primitives import signatures
from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import SigningKey
from vervain.sealing.read_requests import (
    RecordSet,
    build_read_request,
    new_record_set,
    require_record_set,
    verify_read_request,
)

CHAIN, CUSTODIAN, NOW = "test-" + "0" * 32, b"c" * 32, 1_800_000_000
READER = SigningKey(b"r" * 32)
RECORDS = new_record_set([7, 3, 11])


def request(**changed: object) -> RequestRead:
    """Build a request for records 3, 7 and 11."""
    built = build_read_request(
        chain=CHAIN,
        grant=b"g" * 32,
        custodian=CUSTODIAN,
        record_set=RECORDS,
        purpose=Purpose.TREAT,
        notice_digest=b"n" * 32,
        expires_at=NOW + 600,
        reader=READER,
        categories=[b"2" * 32, b"1" * 32],
    )
    return replace(built, **changed)


def verify(asked: RequestRead, *, reader: bytes = READER.public_key, now: int = NOW, chain: str = CHAIN) -> None:
    """Check a request as its custodian."""
    verify_read_request(asked, reader_key=reader, chain=chain, custodian=CUSTODIAN, now=now)


def test_request_holds_and_is_what_the_ledger_checks() -> None:
    """Given a request. When checked as custodian and as the ledger does. Then it holds, its categories sorted."""
    asked = request()
    verify(asked)
    assert signatures.verify(READER.public_key, asked.terms(CHAIN).signed_bytes(), asked.signature)
    assert asked.categories == (b"1" * 32, b"2" * 32)


@pytest.mark.parametrize(
    "changed",
    [
        {"grant": b"G" * 32},
        {"record_set": b"R" * 32},
        {"purpose": Purpose.HRESCH},
        {"categories": ()},
        {"notice_digest": b"N" * 32},
        {"nonce": b"x" * 16},
        {"expires_at": NOW + 601},
        {"custodian": b"C" * 32},
        {"signature": bytes(64)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_request_refused_when_anything_signed_is_another(changed: dict[str, object]) -> None:
    """Given a signed request. When one field is replaced. Then refused."""
    with pytest.raises(SealBroken):
        verify(request(**changed))


def test_request_refused_on_another_chain_or_by_another_key() -> None:
    """Given a signed request. When checked for another chain, or against another reader key. Then refused."""
    with pytest.raises(SealBroken):
        verify(request(), chain="test-" + "1" * 32)
    with pytest.raises(SealBroken):
        verify(request(), reader=SigningKey(b"x" * 32).public_key)


@pytest.mark.parametrize(
    ("now", "holds"), [(NOW - 301, False), (NOW - 300, True), (NOW + 600, True), (NOW + 601, False)]
)
def test_request_holds_only_within_its_time(now: int, holds: bool) -> None:
    """Given a request that expires in 600 s. When checked earlier than 900 s before, or after its end. Then refused."""
    if holds:
        verify(request(), now=now)
    else:
        with pytest.raises(SealBroken):
            verify(request(), now=now)


def test_record_set_is_the_agreed_formula() -> None:
    """Given a record set. When digested. Then it is the tagged hash of salt and the sorted list."""
    expected = hashlib.sha256(b"vervain/record-set/v1\n" + RECORDS.salt + b"[3,7,11]").digest()
    assert RECORDS.digest() == expected and RECORDS.records == (3, 7, 11)
    assert require_record_set(request().terms(CHAIN), RECORDS) == (3, 7, 11)
    assert new_record_set([3, 7, 11]).digest() != RECORDS.digest()


@pytest.mark.parametrize("records", [(3, 7), (3, 7, 11, 12), (7, 3, 11), (3, 3, 7, 11), (11, 7, 3)])
def test_record_set_refused_when_it_is_not_the_signed_one(records: tuple[int, ...]) -> None:
    """Given a request for 3, 7, 11. When other, more, fewer or unsorted records are shown. Then refused."""
    with pytest.raises(SealBroken):
        require_record_set(request().terms(CHAIN), RecordSet(records=records, salt=RECORDS.salt))


@pytest.mark.parametrize("records", [[], [1, 1], [0], [-1], list(range(1, 1_002))], ids=len)
def test_record_set_refused_when_it_is_no_set(records: list[int]) -> None:
    """Given no record, one twice, a number below 1, or 1,001 records. When a set is made. Then refused."""
    with pytest.raises(SealingError):
        new_record_set(records)


def test_two_requests_never_have_the_same_nonce() -> None:
    """Given the same request 50 times. When built. Then the nonces differ: the ledger takes each once."""
    nonces = sorted(request().nonce for _ in range(50))
    assert all(one != two for one, two in pairwise(nonces))
