# SPDX-License-Identifier: Apache-2.0
"""Actors, their keys and licences as rows. Ids only; who somebody is stands nowhere here."""

from collections.abc import Mapping

from msgspec import UNSET
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from vervain.ledger.machine.outcome import Event
from vervain.ledger.modules.identity.messages import (
    ActorClosed,
    ActorRegistered,
    KeyRotated,
    KeyWithdrawn,
    LicenceChanged,
    LicenceIssued,
)
from vervain.readmodel.tables.chain import METADATA, Place, Projection, Rows

ACTORS = Table(
    "actors",
    METADATA,
    Column("actor", LargeBinary(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("organisation", LargeBinary(32), nullable=False, index=True),
    Column("custody", String(16)),
    Column("key", LargeBinary(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("key", LargeBinary(32), primary_key=True),
    Column("actor", LargeBinary(32), nullable=False, index=True),
    Column("active_from", BigInteger, nullable=False),
    Column("withdrawn_at", BigInteger),
    Column("compromised_since", BigInteger),
)

LICENCES = Table(
    "licences",
    METADATA,
    Column("licence", LargeBinary(32), primary_key=True),
    Column("issuer", LargeBinary(32), nullable=False),
    Column("holder", LargeBinary(32), nullable=False, index=True),
    Column("profession", String(64), nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)


def actor_registered(rows: Rows, _place: Place, _message: object, event: ActorRegistered) -> None:
    """Add the actor and its first key."""
    rows.insert(
        ACTORS,
        actor=event.actor,
        kind=str(event.kind),
        organisation=event.organisation,
        custody=None if event.custody is UNSET else str(event.custody),
        key=event.key,
        epoch=0,
        registered_at=event.registered_at,
    )
    rows.insert(KEYS, key=event.key, actor=event.actor, active_from=event.registered_at)


def key_rotated(rows: Rows, _place: Place, _message: object, event: KeyRotated) -> None:
    """End the old key, add the new one."""
    rows.update(
        KEYS, {"key": event.old_key, "withdrawn_at": None}, withdrawn_at=event.rotated_at
    )  # unless withdrawn before
    rows.insert(KEYS, key=event.new_key, actor=event.actor, active_from=event.rotated_at)
    rows.update(ACTORS, {"actor": event.actor}, key=event.new_key, epoch=event.epoch)
    if event.custody is not UNSET:
        rows.update(ACTORS, {"actor": event.actor}, custody=str(event.custody))


def key_withdrawn(rows: Rows, _place: Place, _message: object, event: KeyWithdrawn) -> None:
    """End the key."""
    since = None if event.compromised_since is UNSET else event.compromised_since
    rows.update(KEYS, {"key": event.key}, withdrawn_at=event.withdrawn_at, compromised_since=since)


def actor_closed(rows: Rows, _place: Place, _message: object, event: ActorClosed) -> None:
    """Mark the actor."""
    rows.update(ACTORS, {"actor": event.actor}, closed_at=event.closed_at)


def licence_issued(rows: Rows, _place: Place, _message: object, event: LicenceIssued) -> None:
    """Add the licence."""
    rows.insert(
        LICENCES,
        licence=event.licence,
        issuer=event.issuer,
        holder=event.holder,
        profession=event.profession,
        valid_from=event.valid_from,
        valid_until=event.valid_until,
        status="valid",
        changed_at=event.issued_at,
    )


def licence_changed(rows: Rows, _place: Place, _message: object, event: LicenceChanged) -> None:
    """Note the licence's new status."""
    rows.update(LICENCES, {"licence": event.licence}, status=str(event.status), changed_at=event.changed_at)


PROJECTIONS: Mapping[type[Event], Projection] = {
    ActorRegistered: actor_registered,
    KeyRotated: key_rotated,
    KeyWithdrawn: key_withdrawn,
    ActorClosed: actor_closed,
    LicenceIssued: licence_issued,
    LicenceChanged: licence_changed,
}
