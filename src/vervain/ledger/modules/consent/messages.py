# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the consent module, what it announces, why it refuses: the wire contract.

Sources: FHIR R4 Consent; HL7 v3 PurposeOfUse; GDPR Art. 7(3); EHDS Art. 8 and 9; architecture.md "Patients".
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.limits import WORK_SIGNATURE
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import (
    Conflict,
    Forbidden,
    LimitExceeded,
    Malformed,
    NotFound,
    Reason,
    Unauthenticated,
)
from vervain.ledger.primitives.codec import Bytes16, Bytes32, Bytes64, Code, Natural, Positive, UtcSeconds, encode
from vervain.ledger.primitives.hashing import ACCESS, CONSENT, READ, sha256

CATEGORIES_MAX: Final = 32  # category commitments of one grant or request; DS4P has about twenty sensitivities
WORK_KEY_CHECK: Final = 30  # work units of one subgroup check of a public key
WORK_PROVED_ROW: Final = 16  # work units of one proved row: its bucket is read, hashed again and written


class Purpose(StrEnum):
    """Why somebody may read. The closed list of the ledger; another code is refused when decoding.

    Source: HL7 v3 PurposeOfUse.
    """

    ETREAT = "ETREAT"  # emergency treatment
    HOPERAT = "HOPERAT"  # health care operations
    HPAYMT = "HPAYMT"  # health care payment
    HRESCH = "HRESCH"  # health care research
    PATRQT = "PATRQT"  # at the patient's request
    PUBHLTH = "PUBHLTH"  # public health
    TREAT = "TREAT"  # treatment


Purposes = Annotated[tuple[Purpose, ...], msgspec.Meta(min_length=1, max_length=len(Purpose))]
Categories = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=CATEGORIES_MAX)]


class ConsentReason(Reason):
    """Why a consent message or question is refused. Module number 3."""

    NO_SUCH_CONSENT = 301, NotFound, "No consent has this id.", "Check the id; the grant may not be final yet."
    NO_SUCH_GRANTOR = 302, NotFound, "The patient named as grantor is not registered.", "Register the patient first."
    NOT_A_PATIENT = (
        303,
        Forbidden,
        "Only a patient's pseudonym consents.",
        "Sign with the patient's key or name a grantor.",
    )
    NOT_THE_GRANTOR = (
        304,
        Forbidden,
        "The signer is neither the grantor nor the institution that keeps the grantor's key.",
        "Let the patient sign.",
    )
    WEAK_READER_KEY = 305, Malformed, "A reader key is not a sound public key.", "Let the reader make a fresh key pair."
    READER_KEY_USED = 306, Conflict, "The reader key belongs to another grant.", "Let the reader make a fresh key pair."
    NOT_SORTED = 307, Malformed, "A list is not sorted or repeats a member.", "Sort it and name each member once."
    EMPTY_PERIOD = 308, Malformed, "The period ends before it begins.", "Put valid_until after valid_from."
    PERIOD_OVER = 309, Conflict, "The period is already over.", "Put valid_until into the future."
    PERIOD_TOO_LONG = 310, LimitExceeded, "The period is longer than the consortium allows.", "Choose a shorter period."
    TWO_SCOPES = (
        311,
        Malformed,
        "A denial names a grant and a category.",
        "Name one of them, or neither for everything.",
    )
    OTHER_KIND = (
        312,
        Conflict,
        "The named consent is a denial where a grant is meant, or a grant for a denial.",
        "Check the id.",
    )
    ALREADY_WITHDRAWN = 313, Conflict, "The consent had already been withdrawn.", "Give a new one; it never comes back."
    ALREADY_REPLACED = 314, Conflict, "The consent had already been replaced.", "Name the newest consent of its chain."
    ALREADY_DENIED = (
        315,
        Conflict,
        "A denial of the same scope is not over.",
        "Name that denial as previous to replace it.",
    )
    NOT_A_MEMBER = 316, Forbidden, "Only an active member or its staff may submit this.", "Submit it through a member."
    WRONG_CUSTODIAN = 317, Conflict, "The grant is not for this custodian.", "Ask the grant's custodian."
    EXPIRED_REQUEST = 318, Conflict, "The read request has expired.", "Sign a new one; check this computer's clock."
    REQUEST_EXPIRES_TOO_LATE = (
        319,
        Conflict,
        "The read request expires too far ahead.",
        "Choose an earlier expires_at; 900 seconds are the most.",
    )
    BAD_READER_SIGNATURE = (
        320,
        Unauthenticated,
        "The grant's reader key did not sign this request.",
        "Sign it as it is sent.",
    )
    ALREADY_REQUESTED = (
        321,
        Conflict,
        "This read request is on the ledger.",
        "Use its access number, or sign a new one.",
    )
    WITHDRAWN = 322, Forbidden, "The grant was withdrawn.", "Ask the patient for a new grant."
    REPLACED = 323, Forbidden, "The grant was replaced.", "Use the newest grant of its chain."
    NOT_IN_FORCE = 324, Forbidden, "The grant is not in force at this time.", "Use it within its period."
    PURPOSE_NOT_GRANTED = 325, Forbidden, "The grant does not cover this purpose.", "Ask the patient for a wider grant."
    CATEGORY_NOT_GRANTED = (
        326,
        Forbidden,
        "The grant does not cover a named category.",
        "Leave it out, or ask the patient.",
    )
    CATEGORY_NOT_NAMED = (
        327,
        Forbidden,
        "The categories to be read must be named here.",
        "Name each category of the records.",
    )
    DENIED = 328, Forbidden, "A denial by the patient is in force.", "Ask the patient."
    WRONG_COUNT = 329, Malformed, "The count does not belong to first and last.", "Let count be last - first + 1."
    ANCHOR_GAP = (
        330,
        Conflict,
        "The anchor does not follow the newest one.",
        "Let first be the newest anchor's last + 1.",
    )
    NO_SUCH_ACCESS = 331, NotFound, "No access has this number.", "Ask for a number up to the newest."
    GRANTOR_CLOSED = 332, Conflict, "The patient's pseudonym is closed.", "A closed pseudonym gives no new consent."


class GrantConsent(Message, frozen=True, kw_only=True, tag="consent.grant"):
    """Let the holder of a fresh reader key read, at the grantor's custodian, within purposes, categories and period.

    Attributes:
        grantor: 32-byte pseudonym of the patient; left out when it signs itself.
        reader_key: 32-byte Ed25519 key, made by the reader for this grant alone.
        reader_kem_key: 32-byte X25519 key to which record keys are wrapped.
        reader_commitment: 32-byte salted commitment to who the reader is.
        purposes: Sorted, at least one.
        categories: Sorted 32-byte category commitments; none means all.
        valid_from: UTC seconds, included.
        valid_until: UTC seconds, excluded.
        previous: The grant that this one replaces.
    """

    WORK: ClassVar[int] = 10 + WORK_KEY_CHECK + 2 * WORK_PROVED_ROW

    reader_key: Bytes32
    reader_kem_key: Bytes32
    reader_commitment: Bytes32
    purposes: Purposes
    categories: Categories = ()
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    grantor: Bytes32 | UnsetType = UNSET
    previous: Bytes32 | UnsetType = UNSET


class DenyAccess(Message, frozen=True, kw_only=True, tag="consent.deny"):
    """Forbid, at the grantor's custodian and for all readers: one grant, one category, or (neither named) everything.

    Attributes:
        grantor: 32-byte pseudonym of the patient; left out when it signs itself.
        grant: 32-byte id of the grantor's grant that is to have no effect for the period.
        category: 32-byte category commitment.
        valid_from: UTC seconds, included.
        valid_until: UTC seconds, excluded.
        previous: The denial that this one replaces.
    """

    WORK: ClassVar[int] = 14 + 2 * WORK_PROVED_ROW

    valid_from: UtcSeconds
    valid_until: UtcSeconds
    grantor: Bytes32 | UnsetType = UNSET
    grant: Bytes32 | UnsetType = UNSET
    category: Bytes32 | UnsetType = UNSET
    previous: Bytes32 | UnsetType = UNSET


class WithdrawConsent(Message, frozen=True, kw_only=True, tag="consent.withdraw"):
    """Make a grant or a denial inactive from the block that carries this message.

    Attributes:
        consent: Its 32-byte id.
    """

    WORK: ClassVar[int] = 8 + WORK_PROVED_ROW

    consent: Bytes32


class RequestRead(Message, frozen=True, kw_only=True, tag="consent.request_read"):
    """Put a reader's signed request on the ledger, once; its custodian releases the key after that.

    Attributes:
        grant: 32-byte consent id.
        custodian: 32-byte organisation that keeps the records.
        record_set: 32-byte salted commitment to the record numbers.
        purpose: One of the grant's purposes.
        categories: Sorted commitments of what is read; must be named when the grant or a denial limits categories.
        notice_digest: 32-byte digest of the sealed notice to the patient.
        nonce: 16 random bytes.
        expires_at: UTC seconds, included; at most 900 ahead of block time.
        signature: 64 bytes, by the grant's reader key over `ReadTerms.signed_bytes`.
    """

    WORK: ClassVar[int] = 16 + WORK_SIGNATURE

    grant: Bytes32
    custodian: Bytes32
    record_set: Bytes32
    purpose: Purpose
    categories: Categories = ()
    notice_digest: Bytes32
    nonce: Bytes16
    expires_at: UtcSeconds
    signature: Bytes64

    def work_units(self) -> int:
        """Return this message's cost: each category is looked up."""
        return self.WORK + len(self.categories)

    def terms(self, chain: str) -> "ReadTerms":
        """Return what the reader signed, on the chain of that name."""
        return ReadTerms(
            chain=chain,
            grant=self.grant,
            custodian=self.custodian,
            record_set=self.record_set,
            purpose=self.purpose,
            categories=self.categories,
            notice_digest=self.notice_digest,
            nonce=self.nonce,
            expires_at=self.expires_at,
        )


class ReadTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a reader signs. No categories are left out, as everywhere in the agreed formats."""

    chain: Code
    grant: Bytes32
    custodian: Bytes32
    record_set: Bytes32
    purpose: Purpose
    categories: Categories = ()
    notice_digest: Bytes32
    nonce: Bytes16
    expires_at: UtcSeconds

    def signed_bytes(self) -> bytes:
        """Return "vervain/read/v1\\n" || JCS of these terms."""
        return READ + encode(self)


class AnchorAccesses(Message, frozen=True, kw_only=True, tag="consent.anchor_accesses"):
    """Commit to a gap-free batch of the custodian's local access audit.

    Attributes:
        root: 32-byte RFC 9162 root over the batch's audit entries.
        count: How many they are.
        first, last: Numbers of the first and last one in the custodian's audit, counted from 1.
    """

    WORK: ClassVar[int] = 6 + WORK_PROVED_ROW

    root: Bytes32
    count: Positive
    first: Positive
    last: Positive


class ConsentGranted(Event, frozen=True, kw_only=True, tag="consent.granted"):
    """A grant has effect within its period, from this block on; `previous` has none any more."""

    consent: Bytes32
    grantor: Bytes32
    custodian: Bytes32
    reader_key: Bytes32
    reader_commitment: Bytes32
    purposes: Purposes
    categories: Categories = ()
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    previous: Bytes32 | UnsetType = UNSET


class AccessDenied(Event, frozen=True, kw_only=True, tag="consent.denied"):
    """A denial has effect within its period, from this block on; `previous` has none any more."""

    consent: Bytes32
    grantor: Bytes32
    custodian: Bytes32
    grant: Bytes32 | UnsetType = UNSET
    category: Bytes32 | UnsetType = UNSET
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    previous: Bytes32 | UnsetType = UNSET


class ConsentWithdrawn(Event, frozen=True, kw_only=True, tag="consent.withdrawn"):
    """A consent has no effect from `withdrawn_at` (block time, UTC seconds) on."""

    consent: Bytes32
    grantor: Bytes32
    custodian: Bytes32
    withdrawn_at: UtcSeconds


class ReadRequested(Event, frozen=True, kw_only=True, tag="consent.read_requested"):
    """A permitted read request is on the ledger; the custodian's release desk may answer it."""

    access: Positive
    request: Bytes32
    grant: Bytes32
    grantor: Bytes32
    custodian: Bytes32
    record_set: Bytes32
    purpose: Purpose
    notice_digest: Bytes32
    expires_at: UtcSeconds


class AccessesAnchored(Event, frozen=True, kw_only=True, tag="consent.accesses_anchored"):
    """A custodian's local access audit is committed to, up to entry `last`."""

    custodian: Bytes32
    root: Bytes32
    first: Positive
    last: Positive


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether a read is permitted, why not, and which consent decided (the grant, or the denial that wins)."""

    permit: bool
    reason: ConsentReason | UnsetType = UNSET
    consent: Bytes32 | UnsetType = UNSET


def consent_id(txid: bytes, entry_index: Natural) -> bytes:
    """Return a consent's 32-byte id: SHA-256("vervain/consent/v1\\n" || txid || uint32 entry index)."""
    return sha256(CONSENT + txid + entry_index.to_bytes(4, "big"))


def access_id(signed_bytes: bytes) -> bytes:
    """Return a read request's 32-byte id: SHA-256("vervain/access/v1\\n" || what the reader signed)."""
    return sha256(ACCESS + signed_bytes)


EVENTS: Final = (ConsentGranted, AccessDenied, ConsentWithdrawn, ReadRequested, AccessesAnchored)
