# SPDX-License-Identifier: Apache-2.0
"""What the identity module keeps: actors, every key that ever was, licences and each change of them.

Actors, keys and licences are proved: a stranger asks whether a key counted, or a licence did not.
"""

from typing import Final

from msgspec import UNSET, UnsetType

from vervain.ledger.machine.table import Row, Table
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    ActorStatus,
    Custody,
    LicenceReason,
    LicenceStatus,
    Profession,
)
from vervain.ledger.primitives.codec import Bytes32, Natural, UtcSeconds

FIRST_EPOCH: Final = 0


class Actor(Row, frozen=True, kw_only=True):
    """Who may sign.

    Attributes:
        kind: Organisation, staff or patient.
        organisation: 32-byte id: itself for an organisation, the employer of staff, who registered a patient.
        key: 32-byte Ed25519 key of this epoch; it counts unless the status is locked or closed.
        kem_key: 32-byte X25519 key to which others seal.
        epoch: How often the keys were rotated.
        registered_at: Block time.
        status: Active, locked or closed.
        custody: Who keeps a patient's private key; absent for others.
    """

    kind: ActorKind
    organisation: Bytes32
    key: Bytes32
    kem_key: Bytes32
    epoch: Natural
    registered_at: UtcSeconds
    status: ActorStatus = ActorStatus.ACTIVE
    custody: Custody | UnsetType = UNSET


class Key(Row, frozen=True, kw_only=True):
    """A signing key, kept for ever. Holds all that admission asks, so that it reads one row.

    Attributes:
        actor: 32-byte id.
        organisation: 32-byte id of the actor's organisation.
        epoch: The actor's epoch in which it counts.
        active_from: Block time of its registration; it signs from the next block on.
        is_independent: A patient's own: it counts also while the organisation is suspended or gone.
        withdrawn_at: Block time after whose block it stopped.
        compromised_since: From when on what it signed is in doubt.
    """

    actor: Bytes32
    organisation: Bytes32
    epoch: Natural
    active_from: UtcSeconds
    is_independent: bool = False
    withdrawn_at: UtcSeconds | UnsetType = UNSET
    compromised_since: UtcSeconds | UnsetType = UNSET


class Licence(Row, frozen=True, kw_only=True):
    """That a regulator licenses a staff actor.

    Attributes:
        issuer: 32-byte organisation id.
        holder: 32-byte staff actor id.
        profession: Code of the register.
        valid_from, valid_until: UTC seconds; `valid_until` is excluded.
        status: As of the last change.
        changed_at: Block time of the last change.
        sequence: Number of the last change; its issue is number 0.
        register_digest: 32-byte salted digest of the register's entry.
    """

    issuer: Bytes32
    holder: Bytes32
    profession: Profession
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    changed_at: UtcSeconds
    sequence: Natural
    status: LicenceStatus = LicenceStatus.VALID
    register_digest: Bytes32 | UnsetType = UNSET


class LicenceChange(Row, frozen=True, kw_only=True):
    """One status of a licence and since when (block time), kept so that the past can be answered."""

    status: LicenceStatus
    changed_at: UtcSeconds
    reason: LicenceReason | UnsetType = UNSET


class HeldLicence(Row, frozen=True, kw_only=True):
    """Index: a holder's licence and what it is for."""

    profession: Profession


ACTORS = Table(name="identity.actors", number=201, row=Actor, key=(32,), proved=True)
KEYS = Table(name="identity.keys", number=202, row=Key, key=(32,), proved=True)
LICENCES = Table(name="identity.licences", number=203, row=Licence, key=(32,), proved=True)
LICENCE_CHANGES = Table(name="identity.licence_changes", number=204, row=LicenceChange, key=(32, 4))
HELD_LICENCES = Table(name="identity.held_licences", number=205, row=HeldLicence, key=(32, 32))

TABLES = (ACTORS, KEYS, LICENCES, LICENCE_CHANGES, HELD_LICENCES)
