# SPDX-License-Identifier: Apache-2.0
"""Who a reader is: claims, commitments, and forgeries of both."""

import hashlib

import pytest
from msgspec.structs import replace

from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import SigningKey
from vervain.sealing.readers import ReaderClaim, claim_reader, commit_reader, require_reader, verify_claim

CHAIN, GRANTOR = "test-" + "0" * 32, b"g" * 32
CLINIC = SigningKey(b"c" * 32)


def claim(key: SigningKey = CLINIC) -> ReaderClaim:
    """Claim a reader key for the grantor."""
    return claim_reader(
        key, organisation=CLINIC.actor, reader=b"r" * 32, reader_kem=b"k" * 32, grantor=GRANTOR, chain=CHAIN
    )


def test_claim_holds_and_opens_its_commitment() -> None:
    """Given a claim. When checked, committed to and opened. Then the reader is who the organisation said."""
    made = claim()
    verify_claim(made, organisation_key=CLINIC.public_key, grantor=GRANTOR, chain=CHAIN)
    commitment, opening = commit_reader(made)
    parts = opening.salt + made.organisation + made.reader + made.grantor + made.signature
    assert commitment == hashlib.sha256(b"vervain/reader/v1\n" + parts).digest()
    assert require_reader(commitment, opening, organisation_key=CLINIC.public_key, chain=CHAIN) == made


@pytest.mark.parametrize("field", ["organisation", "reader", "reader_kem", "grantor", "signature"])
def test_claim_refused_when_anything_in_it_is_another(field: str) -> None:
    """Given a claim. When one field is replaced, the X25519 key by somebody on the way among them. Then refused."""
    forged = replace(claim(), **{field: b"x" * (64 if field == "signature" else 32)})
    with pytest.raises(SealBroken):
        verify_claim(forged, organisation_key=CLINIC.public_key, grantor=GRANTOR, chain=CHAIN)


def test_claim_refused_for_another_grantor_chain_or_organisation() -> None:
    """Given a claim for one patient on one chain. When shown to another, elsewhere, or signed by another.

    Then refused.
    """
    with pytest.raises(SealBroken):
        verify_claim(claim(), organisation_key=CLINIC.public_key, grantor=b"o" * 32, chain=CHAIN)
    with pytest.raises(SealBroken):
        verify_claim(claim(), organisation_key=CLINIC.public_key, grantor=GRANTOR, chain="test-" + "1" * 32)
    with pytest.raises(SealBroken):
        verify_claim(claim(SigningKey(b"x" * 32)), organisation_key=CLINIC.public_key, grantor=GRANTOR, chain=CHAIN)


def test_two_grants_to_one_reader_cannot_be_joined() -> None:
    """Given one claim. When committed to twice.

    Then the commitments differ, and neither opens with the other's opening.
    """
    (one, first), (two, second) = commit_reader(claim()), commit_reader(claim())
    assert one != two
    for commitment, opening in ((one, second), (two, first)):
        with pytest.raises(SealBroken):
            require_reader(commitment, opening, organisation_key=CLINIC.public_key, chain=CHAIN)
