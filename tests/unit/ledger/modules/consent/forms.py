# SPDX-License-Identifier: Apache-2.0
"""Consent messages filled in, for tests to change one field at a time."""

from typing import Any

from msgspec.structs import replace

from tests.small_chain import FOUNDED_AT, Party
from tests.unit.ledger.modules.ward import NORTH, SHE, Ward, digest
from vervain.ledger.modules.consent.messages import (
    DenyAccess,
    GrantConsent,
    Purpose,
    ReadTerms,
    RequestRead,
    consent_id,
)

DAY = 86_400
FROM, UNTIL = FOUNDED_AT, FOUNDED_AT + 100 * DAY
PSY, SUD, HIV = sorted(digest("category", code) for code in ("PSY", "SUD", "HIV"))


def reader(name: str = "reader") -> Party:
    """Return a reader's fresh key pair."""
    return Party(name)


def grant_form(name: str = "reader", **changes: Any) -> GrantConsent:  # Any: fields of the message
    """Return a grant for treatment and payment, all categories, 100 days."""
    form = GrantConsent(
        reader_key=reader(name).key,
        reader_kem_key=reader(name).kem_key,
        reader_commitment=digest("reader commitment", name),
        purposes=(Purpose.HPAYMT, Purpose.TREAT),
        valid_from=FROM,
        valid_until=UNTIL,
    )
    return replace(form, **changes)


def denial_form(**changes: Any) -> DenyAccess:  # Any: fields of the message
    """Return a denial of everything, 100 days."""
    return replace(DenyAccess(valid_from=FROM, valid_until=UNTIL), **changes)


def next_consent_id(ward: Ward, entry: int = 0) -> bytes:
    """Return the id of a consent given by entry `entry` of the next transaction."""
    return consent_id(digest("transaction", str(ward.transactions + 1)), entry)


def give(ward: Ward, form: GrantConsent | DenyAccess, signer: str = SHE) -> bytes:
    """Give a consent and return its id."""
    given = next_consent_id(ward)
    ward.run(signer, form)
    return given


def request_form(ward: Ward, grant: bytes, name: str = "reader", **changes: Any) -> RequestRead:  # Any: fields
    """Return a request for treatment under `grant` at hospital north, signed by the reader of that name."""
    terms = ReadTerms(
        chain=ward.chain,
        grant=grant,
        custodian=ward.id(NORTH),
        record_set=digest("record set"),
        purpose=Purpose.TREAT,
        notice_digest=digest("notice"),
        nonce=digest("nonce", name)[:16],
        expires_at=ward.time + 600,
    )
    terms = replace(terms, **changes)
    return RequestRead(
        grant=terms.grant,
        custodian=terms.custodian,
        record_set=terms.record_set,
        purpose=terms.purpose,
        categories=terms.categories,
        notice_digest=terms.notice_digest,
        nonce=terms.nonce,
        expires_at=terms.expires_at,
        signature=reader(name).sign(terms.signed_bytes()),
    )
