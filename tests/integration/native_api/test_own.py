# SPDX-License-Identifier: Apache-2.0
"""Only the one it concerns sees its rows, by a signed claim that counts once, here, now, for this path."""

import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.integration.native_api.running import Running
from vervain.gateways.native.authentication import NONCES_MAX
from vervain.ledger.modules.consent.messages import GrantConsent, Purpose, consent_id
from vervain.ledger.modules.identity.messages import RotateKey, RotationReason, rotation_bytes
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.codec import encode
from vervain.sdk.authorization import HTTP_REQUEST, Claim, authorization
from vervain.sealing.checkpoints import to_base64
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.read_requests import build_read_request, new_record_set

PATH = "/v1/me/records"


def _status(called: Running, value: str, path: str = PATH) -> int:
    with called.http() as http:
        return http.get(path, headers={"Authorization": value}).status_code


def _claim(called: Running) -> Claim:
    return Claim(
        chain=called.node.chain,
        actor=called.organisation,
        key=called.key.public_key,
        path=PATH,
        expires_at=int(time.time()) + 30,
        nonce=int.to_bytes(time.monotonic_ns(), 16, "big"),
    )


def _header(claim: Claim, key: SigningKey, tag: bytes = HTTP_REQUEST) -> str:
    return f"Vervain {to_base64(encode(claim))}.{to_base64(key.sign(tag + encode(claim)))}"


def test_member_sees_the_records_in_its_custody_and_a_patient_its_own(called: Running) -> None:
    """
    Given two patients of a member with one record each.
    When member and patients ask for their records.
    Then the member sees both, each patient its own and nothing else.
    """
    first, second = called.register_patient(), called.register_patient()
    with called.client() as client:
        placed = [
            client.submit(CommitRecord(subject=patient.actor, commitment=bytes([number]) * 32))
            for number, patient in enumerate((first, second))
        ]
        called.node.read_model.catch_up()
        in_custody = client.own_records()["records"]
    with called.client(first) as client:
        of_first = client.own_records()["records"]
        consents, accesses = client.own_consents(), client.own_accesses()
    assert [row["leaf_index"] for row in in_custody if row["subject"] != to_base64(called.organisation)] == [
        answer.leaf_index for answer in placed
    ]
    assert [(row["subject"], row["leaf_index"]) for row in of_first] == [(to_base64(first.actor), placed[0].leaf_index)]
    assert (consents, accesses) == ({"consents": []}, {"accesses": []})


def _read_by_a_grant(called: Running, patient: SigningKey) -> bytes:
    """Let a patient grant, and a reader ask under the grant; return the grant's id."""
    reader, now = SigningKey.generate(), int(time.time())
    grant = GrantConsent(
        reader_key=reader.public_key,
        reader_kem_key=KemKey.generate().public_key,
        reader_commitment=bytes(32),
        purposes=(Purpose.TREAT,),
        valid_from=now - 60,
        valid_until=now + 3_600,
    )
    with called.client(patient) as client:
        consent = consent_id(client.submit(grant).txid, 0)
    request = build_read_request(
        chain=called.node.chain,
        grant=consent,
        custodian=called.organisation,
        record_set=new_record_set([1]),
        purpose=Purpose.TREAT,
        notice_digest=bytes(32),
        expires_at=now + 300,
        reader=reader,
    )
    with called.client() as client:
        client.submit(request)
    return consent


def test_accesses_and_consents_are_told_to_the_one_they_concern(called: Running) -> None:
    """
    Given two patients who each granted, and a read under each grant.
    When patients and member ask who read.
    Then each patient sees the read under its own grant and its own consent, the member both reads.
    """
    patients = [called.register_patient() for _ in range(2)]
    consents = [_read_by_a_grant(called, patient) for patient in patients]
    called.node.read_model.catch_up()
    for patient, consent in zip(patients, consents, strict=True):
        with called.client(patient) as client:
            accesses, own_consents = client.own_accesses()["accesses"], client.own_consents()["consents"]
        assert [(row["consent"], row["grantor"]) for row in accesses] == [
            (to_base64(consent), to_base64(patient.actor))
        ]
        assert [row["consent"] for row in own_consents] == [to_base64(consent)]
    with called.client() as client:
        seen = client.own_accesses()["accesses"]
        older = client.own_accesses(before=seen[0]["access"])["accesses"]
    assert [row["consent"] for row in seen] == [to_base64(consent) for consent in reversed(consents)]
    assert older == seen[1:]


@pytest.mark.parametrize(
    "altered",
    [
        lambda claim: replace(claim, chain="other-" + "0" * 32),
        lambda claim: replace(claim, path="/v1/me/consents"),
        lambda claim: replace(claim, path=PATH + "?after=1"),
        lambda claim: replace(claim, expires_at=claim.expires_at - 31),
        lambda claim: replace(claim, expires_at=claim.expires_at + 40),
        lambda claim: replace(claim, actor=bytes(32)),
    ],
    ids=["other_chain", "other_path", "other_query", "expired", "expires_too_late", "other_actor"],
)
def test_claim_for_something_else_is_refused(called: Running, altered: Callable[[Claim], Claim]) -> None:
    """
    Given a claim that is well signed, but for another chain, path, query, time or actor.
    When it is sent.
    Then it is refused; unaltered it is taken.
    """
    claim = _claim(called)
    assert _status(called, _header(altered(claim), called.key)) == 401
    assert _status(called, _header(claim, called.key)) == 200


def test_claim_counts_once(called: Running) -> None:
    """
    Given a claim that was taken.
    When it is sent again.
    Then it is refused.
    """
    value = _header(_claim(called), called.key)
    assert [_status(called, value), _status(called, value)] == [200, 401]


def test_signature_by_another_key_or_for_another_use_is_refused(called: Running) -> None:
    """
    Given claims signed by another key, or under a transaction's domain tag, or not of the form at all.
    When they are sent.
    Then each is refused.
    """
    claim = _claim(called)
    values = [
        _header(claim, SigningKey.generate()),
        _header(claim, called.key, b"vervain/tx/v1\n"),
        "Vervain",
        "Vervain .",
        "Vervain AAAA.AAAA",
        "Vervain " + "A" * 4_000,
        "Bearer " + _header(claim, called.key).removeprefix("Vervain "),
        _header(claim, called.key).replace("Vervain ", "Vervain  "),
    ]
    assert [_status(called, value) for value in values] == [401] * len(values)


def test_key_that_was_replaced_is_refused(called: Running) -> None:
    """
    Given a patient whose key was replaced on the ledger.
    When the old key and the new one ask.
    Then the old one is refused, the new one is answered.
    """
    old, new, kem_key = called.register_patient(), SigningKey.generate(), KemKey.generate().public_key
    signed = rotation_bytes(
        chain=called.node.chain,
        actor=old.actor,
        new_key=new.public_key,
        new_kem_key=kem_key,
        reason=RotationReason.ROUTINE,
    )
    rotation = RotateKey(
        new_key=new.public_key, new_kem_key=kem_key, proof=new.sign(signed), reason=RotationReason.ROUTINE
    )
    with called.client(old) as client:
        client.submit(rotation)
    now = int(time.time())
    statuses = [
        _status(called, authorization(chain=called.node.chain, actor=old.actor, key=key, path=PATH, now=now))
        for key in (old, new)
    ]
    assert statuses == [401, 200]


def test_nonces_are_bounded(called: Running) -> None:
    """
    Given as many unexpired nonces as are remembered.
    When another claim comes.
    Then it is told to wait, not let through unremembered; once they have expired it is taken.
    """
    authenticator = called.app.state.native.authenticator
    later = int(time.time()) + 60
    authenticator.expiry_of_nonce = {number.to_bytes(16, "big"): later for number in range(NONCES_MAX)}
    full = _status(called, _header(_claim(called), called.key))
    authenticator.expiry_of_nonce = {number.to_bytes(16, "big"): 0 for number in range(NONCES_MAX)}
    assert [full, _status(called, _header(_claim(called), called.key))] == [429, 200]
    assert len(authenticator.expiry_of_nonce) == 1


def test_statistics_tell_no_small_number(called: Running) -> None:
    """
    Given a chain with few records.
    When its statistics are asked for, by anybody.
    Then no count between 1 and 9 is told.
    """
    with called.client() as client:
        client.submit_many([called.signed() for _ in range(12)])
    called.node.read_model.catch_up()
    with called.http() as http:
        counts = http.get("/v1/statistics").json()
    assert counts["records"] >= 12
    assert [name for name, count in counts.items() if 0 < count < 10] == []
