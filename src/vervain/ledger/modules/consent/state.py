# SPDX-License-Identifier: Apache-2.0
"""What the consent module keeps. Private to the module; others ask `queries`.

Denials are found by direct key, so that a decision never iterates: (grantor, scope).
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.table import Row, Table
from vervain.ledger.modules.consent.messages import Categories, Purpose, Purposes
from vervain.ledger.primitives.codec import Bytes32, Natural, Positive, UtcSeconds


class ConsentStatus(StrEnum):
    """Whether a consent still counts. A consent never leaves the second or third again."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"
    REPLACED = "replaced"


class Grant(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="grant",
):
    """The terms of a grant: who may read, what for, which categories (none: all)."""

    reader_key: Bytes32
    reader_kem_key: Bytes32
    reader_commitment: Bytes32
    purposes: Purposes
    categories: Categories = ()


class Denial(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="denial",
):
    """The terms of a denial: one grant, one category, or everything."""

    grant: Bytes32 | UnsetType = UNSET
    category: Bytes32 | UnsetType = UNSET


class Consent(Row, frozen=True, kw_only=True):
    """One consent, never removed.

    Attributes:
        grantor: The patient's pseudonym at `custodian`.
        custodian: 32-byte organisation whose records it is about.
        terms: Of a grant or a denial.
        valid_from, valid_until: UTC seconds; the first included, the second excluded.
        given_at: Block time of the message.
        status: Active, withdrawn or replaced.
        ended_at: Block time from which it has no effect, when not active.
        previous, replaced_by: Its neighbours in the chain of replacements.
    """

    grantor: Bytes32
    custodian: Bytes32
    terms: Grant | Denial
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    given_at: UtcSeconds
    status: ConsentStatus = ConsentStatus.ACTIVE
    ended_at: UtcSeconds | UnsetType = UNSET
    previous: Bytes32 | UnsetType = UNSET
    replaced_by: Bytes32 | UnsetType = UNSET


class ListedDenial(Row, frozen=True, kw_only=True):
    """The denial that counts for a scope, within its period. An ended one is not listed."""

    consent: Bytes32
    valid_from: UtcSeconds
    valid_until: UtcSeconds


class DenialCount(Row, frozen=True, kw_only=True):
    """How many denials of each kind of scope are listed for a grantor. No row: none at all."""

    everything: Natural = 0
    grants: Natural = 0
    categories: Natural = 0


class ReaderKey(Row, frozen=True, kw_only=True):
    """The one grant that a reader key belongs to."""

    consent: Bytes32


class Access(Row, frozen=True, kw_only=True):
    """One permitted read request.

    Attributes:
        request: 32-byte id, over what the reader signed.
        grant, custodian, record_set, purpose, categories, notice_digest, expires_at: As signed.
        submitter: 32-byte organisation that brought it.
        requested_at: Block time, UTC seconds.
        height: Of the block.
    """

    request: Bytes32
    grant: Bytes32
    custodian: Bytes32
    record_set: Bytes32
    purpose: Purpose
    categories: Categories = ()
    notice_digest: Bytes32
    expires_at: UtcSeconds
    submitter: Bytes32
    requested_at: UtcSeconds
    height: Natural


class AccessCounter(Row, frozen=True, kw_only=True):
    """Number of the newest access, and of the newest one whose once-only row was forgotten."""

    last: Natural = 0
    forgotten: Natural = 0


class SeenRequest(Row, frozen=True, kw_only=True):
    """The access number of a request that could still be sent again."""

    access: Positive


class Anchor(Row, frozen=True, kw_only=True):
    """A custodian's newest anchor; the older ones are entries of the log."""

    root: Bytes32
    first: Positive
    last: Positive
    anchored_at: UtcSeconds


CONSENTS: Final = Table(name="consent.consents", number=301, row=Consent, key=(32,), proved=True)
"""Consent id -> consent."""

DENIALS: Final = Table(name="consent.denials", number=302, row=ListedDenial, key=(32, 33))
"""Grantor, scope -> listed denial."""

DENIAL_COUNTS: Final = Table(name="consent.denial_counts", number=303, row=DenialCount, key=(32,))
"""Grantor -> how many denials are listed."""

READER_KEYS: Final = Table(name="consent.reader_keys", number=304, row=ReaderKey, key=(32,))
"""Reader key -> its grant."""

ACCESSES: Final = Table(name="consent.accesses", number=305, row=Access, key=(8,))
"""Access number, counted up from 1 -> access."""

SEEN_REQUESTS: Final = Table(name="consent.seen_requests", number=306, row=SeenRequest, key=(8, 32))
"""Expiry, request id -> access number; forgotten some time after the expiry."""

ACCESS_COUNTERS: Final = Table(name="consent.access_counters", number=307, row=AccessCounter, key=(1,))
"""0 -> the only counter."""

ANCHORS: Final = Table(name="consent.anchors", number=308, row=Anchor, key=(32,), proved=True)
"""Custodian -> its newest anchor."""

TABLES: Final = (
    CONSENTS, DENIALS, DENIAL_COUNTS, READER_KEYS, ACCESSES, SEEN_REQUESTS, ACCESS_COUNTERS, ANCHORS,
)  # fmt: skip

THE_COUNTER: Final = 0

Scope = bytes
"""What a denial is about, 33 bytes: one for the kind, then a grant id, a category commitment or zeros."""
EVERYTHING: Final = b"\x00" + bytes(32)
OF_GRANT: Final = b"\x01"
OF_CATEGORY: Final = b"\x02"


def scope_of(terms: Denial) -> Scope:
    """Return what a denial is about."""
    if terms.grant is not UNSET:
        return OF_GRANT + terms.grant
    if terms.category is not UNSET:
        return OF_CATEGORY + terms.category
    return EVERYTHING
