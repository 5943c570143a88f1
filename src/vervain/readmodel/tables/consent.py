# SPDX-License-Identifier: Apache-2.0
"""Consents and accesses as rows: who may read, and who looked. Ids only."""

from collections.abc import Mapping

from msgspec import UNSET
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from vervain.ledger.machine.outcome import Event
from vervain.ledger.modules.consent.messages import (
    AccessDenied,
    AccessesAnchored,
    ConsentGranted,
    ConsentWithdrawn,
    ReadRequested,
)
from vervain.readmodel.tables.chain import METADATA, Place, Projection, Rows

CONSENTS = Table(
    "consents",
    METADATA,
    Column("consent", LargeBinary(32), primary_key=True),
    Column("kind", String(5), nullable=False),
    Column("grantor", LargeBinary(32), nullable=False),
    Column("custodian", LargeBinary(32), nullable=False, index=True),
    Column("purposes", Text, nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Column("given_at", BigInteger, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("entry_index", Integer, nullable=False),
    Column("withdrawn_at", BigInteger),
    Column("replaced_by", LargeBinary(32)),
    Index("consents_of_grantor", "grantor", "given_at"),
)

ACCESSES = Table(
    "accesses",
    METADATA,
    Column("access", BigInteger, primary_key=True, autoincrement=False),
    Column("consent", LargeBinary(32), nullable=False),
    Column("grantor", LargeBinary(32), nullable=False),
    Column("custodian", LargeBinary(32), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("notice_digest", LargeBinary(32), nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("entry_index", Integer, nullable=False),
    Index("accesses_of_grantor", "grantor", "access"),
    Index("accesses_at_custodian", "custodian", "access"),
    Index("accesses_under_consent", "consent", "access"),
)

ANCHORS = Table(
    "access_anchors",
    METADATA,
    Column("custodian", LargeBinary(32), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("anchored_at", BigInteger, nullable=False),
)


def consent_granted(rows: Rows, place: Place, _message: object, event: ConsentGranted) -> None:
    """Add the grant; mark what it replaces."""
    _add(rows, place, event, "grant", ",".join(event.purposes))


def access_denied(rows: Rows, place: Place, _message: object, event: AccessDenied) -> None:
    """Add the denial; mark what it replaces."""
    _add(rows, place, event, "deny", "")


def _add(rows: Rows, place: Place, event: ConsentGranted | AccessDenied, kind: str, purposes: str) -> None:
    if event.previous is not UNSET:
        rows.update(CONSENTS, {"consent": event.previous}, replaced_by=event.consent)
    rows.insert(
        CONSENTS,
        consent=event.consent,
        kind=kind,
        grantor=event.grantor,
        custodian=event.custodian,
        purposes=purposes,
        valid_from=event.valid_from,
        valid_until=event.valid_until,
        given_at=place.time,
        leaf_index=place.leaf_index,
        entry_index=place.entry_index,
    )


def consent_withdrawn(rows: Rows, _place: Place, _message: object, event: ConsentWithdrawn) -> None:
    """Mark the consent withdrawn."""
    rows.update(CONSENTS, {"consent": event.consent}, withdrawn_at=event.withdrawn_at)


def read_requested(rows: Rows, place: Place, _message: object, event: ReadRequested) -> None:
    """Add the access."""
    rows.insert(
        ACCESSES,
        access=event.access,
        consent=event.grant,
        grantor=event.grantor,
        custodian=event.custodian,
        purpose=str(event.purpose),
        requested_at=place.time,
        notice_digest=event.notice_digest,
        leaf_index=place.leaf_index,
        entry_index=place.entry_index,
    )


def accesses_anchored(rows: Rows, place: Place, _message: object, event: AccessesAnchored) -> None:
    """Add the anchor of a batch of local accesses."""
    rows.insert(
        ANCHORS, custodian=event.custodian, first=event.first, last=event.last, root=event.root, anchored_at=place.time
    )


PROJECTIONS: Mapping[type[Event], Projection] = {
    ConsentGranted: consent_granted,
    AccessDenied: access_denied,
    ConsentWithdrawn: consent_withdrawn,
    ReadRequested: read_requested,
    AccessesAnchored: accesses_anchored,
}
