# SPDX-License-Identifier: Apache-2.0
"""The sealed notice of a read."""

import pytest
from msgspec.structs import replace

from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import KemKey
from vervain.sealing.notices import NOTICE_BYTES, Notice, notice_digest, open_notice, seal_notice

CHAIN, GRANT, PATIENT = "test-" + "0" * 32, b"g" * 32, KemKey(b"p" * 32)
NOTICE = Notice(
    organisation=b"o" * 32,
    reader=b"r" * 32,
    custodian=b"c" * 32,
    records=(3, 7),
    purpose="TREAT",
    requested_at=1_800_000_000,
    words="Visite am Montag, größere Dosis?",
)


def test_notice_opens_for_the_patient() -> None:
    """Given a notice in a language of people. When sealed and opened. Then it is the same."""
    sealed = seal_notice(NOTICE, recipient=PATIENT.public_key, chain=CHAIN, grant=GRANT)
    assert open_notice(sealed, kem=PATIENT, chain=CHAIN, grant=GRANT) == NOTICE
    assert notice_digest(sealed) != notice_digest(sealed[:-1] + b"\0") and len(notice_digest(sealed)) == 32


def test_notices_have_one_length() -> None:
    """Given a short and a long notice. When sealed. Then their lengths are equal and tell nothing."""
    lengths = {
        len(seal_notice(replace(NOTICE, words="x" * count), recipient=PATIENT.public_key, chain=CHAIN, grant=GRANT))
        for count in (0, 1, 500)
    }
    assert lengths == {NOTICE_BYTES + 48}


def test_notice_refused_for_another_grant_chain_or_patient() -> None:
    """Given a sealed notice. When opened under another grant, chain or key. Then refused."""
    sealed = seal_notice(NOTICE, recipient=PATIENT.public_key, chain=CHAIN, grant=GRANT)
    for kem, chain, grant in (
        (PATIENT, CHAIN, b"G" * 32),
        (PATIENT, "test-" + "1" * 32, GRANT),
        (KemKey(b"x" * 32), CHAIN, GRANT),
    ):
        with pytest.raises(SealBroken):
            open_notice(sealed, kem=kem, chain=chain, grant=grant)


def test_notice_refused_when_too_long() -> None:
    """Given a notice of many large record numbers. When beyond the longest. Then refused."""
    many = replace(NOTICE, records=tuple(range(10**40, 10**40 + 1_000)))
    with pytest.raises(SealingError, match="too long"):
        seal_notice(many, recipient=PATIENT.public_key, chain=CHAIN, grant=GRANT)
