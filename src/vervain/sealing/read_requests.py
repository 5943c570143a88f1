# SPDX-License-Identifier: Apache-2.0
"""The signed request to read: under which grant, which records, for what.

The reader's key signs `"vervain/read/v1\\n" || JCS terms`; the request enters the ledger once, by
`consent.request_read`, and what is released is released against that entry. Records stand in it only as a salted
digest, categories only as commitments.

Source: architecture.md "Patients" (a grant carries no decryption key).
"""

import secrets
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from vervain.ledger.modules.consent.messages import Purpose, ReadTerms, RequestRead
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import Bytes32, Positive, decode, encode
from vervain.ledger.primitives.hashing import RECORD_SET, sha256
from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import SigningKey

REQUEST_SECONDS_MAX: Final = 900  # how far ahead of the custodian's own clock a request may expire
RECORDS_MAX: Final = 1_000  # record numbers of one request
SALT_BYTES: Final = 32
NONCE_BYTES: Final = 16


class RecordSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The opening of a record set: which record numbers, and the 32-byte salt. Shown to the custodian alone."""

    records: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1, max_length=RECORDS_MAX)]
    salt: Bytes32

    def digest(self) -> bytes:
        """Return SHA-256("vervain/record-set/v1\\n" || salt || JCS sorted list of record numbers)."""
        return sha256(RECORD_SET + self.salt + encode(self.records))


def new_record_set(records: Sequence[int]) -> RecordSet:
    """Return the sorted record set under a fresh salt.

    Raises: SealingError when it is empty, too long, or names a record twice or by a number that is none.
    """
    ordered = tuple(sorted(set(records)))
    if not 0 < len(ordered) <= RECORDS_MAX or len(ordered) != len(records) or ordered[0] < 1:
        raise SealingError(
            "The records asked for are not a set",
            why=f"1 to {RECORDS_MAX} different record numbers are needed",
            do="Name each record once; ask in several requests for more.",
        )
    return RecordSet(records=ordered, salt=secrets.token_bytes(SALT_BYTES))


def build_read_request(
    *,
    chain: str,
    grant: bytes,
    custodian: bytes,
    record_set: RecordSet,
    purpose: Purpose,
    notice_digest: bytes,
    expires_at: int,
    reader: SigningKey,
    categories: Sequence[bytes] = (),
) -> RequestRead:
    """Sign a read request with the reader's key; any member may put the message on the ledger.

    Args:
        chain: The chain's name and founding digest.
        grant: 32-byte consent id.
        custodian: 32-byte id of the organisation that holds the records.
        record_set: What is asked for; only its digest is signed.
        purpose: One of the grant's purposes.
        notice_digest: 32-byte digest of the notice sealed to the patient.
        expires_at: UTC seconds, at most 900 s ahead.
        reader: The grant's reader key.
        categories: 32-byte category commitments; named when the grant or a denial limits categories.

    Raises: NotCanonical when a value is outside its limits.
    """
    terms = ReadTerms(
        chain=chain,
        grant=grant,
        custodian=custodian,
        record_set=record_set.digest(),
        purpose=purpose,
        categories=tuple(sorted(categories)),
        notice_digest=notice_digest,
        nonce=secrets.token_bytes(NONCE_BYTES),
        expires_at=expires_at,
    )
    decode(encode(terms), ReadTerms)
    return RequestRead(
        grant=terms.grant,
        custodian=terms.custodian,
        record_set=terms.record_set,
        purpose=terms.purpose,
        categories=terms.categories,
        notice_digest=terms.notice_digest,
        nonce=terms.nonce,
        expires_at=terms.expires_at,
        signature=reader.sign(terms.signed_bytes()),
    )


def verify_read_request(
    request: RequestRead, *, reader_key: bytes, chain: str, custodian: bytes, now: int
) -> ReadTerms:
    """Return what was signed when the signature holds, for this custodian and chain, and it has not expired.

    Args:
        request: As received.
        reader_key: 32-byte key that the ledger's grant names; never taken from the request.
        chain: The chain's name and founding digest.
        custodian: 32-byte id of the organisation that checks.
        now: Its own clock, UTC seconds.

    Raises: SealBroken.
    """
    terms = request.terms(chain)
    if request.custodian != custodian:
        raise _refused("It is meant for another custodian", "Ask the grant's custodian.")
    if not now <= request.expires_at <= now + REQUEST_SECONDS_MAX:
        raise _refused(f"It has expired, or expires over {REQUEST_SECONDS_MAX} s ahead", "Check the clock; sign again.")
    if not signatures.verify(reader_key, terms.signed_bytes(), request.signature):
        raise _refused("The grant's reader key did not sign it for this chain", "Sign it with the grant's reader key.")
    return terms


def require_record_set(terms: ReadTerms, opening: RecordSet) -> tuple[int, ...]:
    """Return the record numbers when they are the ones the reader signed for, sorted and each once.

    Raises: SealBroken.
    """
    records = opening.records
    if list(records) != sorted(set(records)) or opening.digest() != terms.record_set:
        raise _refused("The records are not the ones that were signed for", "Send the record set of this request.")
    return records


def _refused(why: str, do: str) -> SealBroken:
    return SealBroken("The read request does not hold", why=why, do=do)
