# SPDX-License-Identifier: Apache-2.0
"""What can be read of identity: by anybody through `QUERIES`, by other modules through the plain functions.

`organisation_of_active_key` is asked for every transaction: it reads the key's row, and the member's unless the key is
a patient's own.
"""

import msgspec

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Query
from vervain.ledger.machine.refusals import NotFound, Reason
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity.messages import ActorKind as ActorKind
from vervain.ledger.modules.identity.messages import ActorStatus as ActorStatus
from vervain.ledger.modules.identity.messages import Custody as Custody
from vervain.ledger.modules.identity.messages import IdentityReason, LicenceStatus, Profession
from vervain.ledger.modules.identity.state import (
    ACTORS,
    HELD_LICENCES,
    KEYS,
    LICENCE_CHANGES,
    LICENCES,
    Actor,
    Key,
    Licence,
    LicenceChange,
)
from vervain.ledger.primitives.codec import Bytes32, UtcSeconds
from vervain.ledger.primitives.key_agreement import is_valid_kem_key as is_valid_kem_key

# For the machine and other modules


def organisation_of_active_key(store: Store, actor: bytes, key: bytes) -> bytes | None:
    """Return the organisation of a signer whose key counts, else None. All three are 32 bytes.

    A suspended member's keys, its staff's and those it keeps for patients do not count; a patient's own key does, so
    that nobody loses the right to withdraw a consent because an institution left.
    """
    row = KEYS.get(store, key)
    if row is None or row.actor != actor or row.withdrawn_at is not msgspec.UNSET:
        return None
    return row.organisation if row.is_independent or consortium.is_active(store, row.organisation) else None


def is_withdrawn(store: Store, key: bytes) -> bool:
    """Tell whether a signing key (32 bytes) was replaced or withdrawn: for ever, for no rule takes an end back or
    registers a key twice. A key that does not count for another reason (its member is suspended) may count again.
    """
    row = KEYS.get(store, key)
    return row is not None and row.withdrawn_at is not msgspec.UNSET


def actor(store: Store, actor_id: bytes) -> Actor | None:
    """Return an actor's row (32-byte id), whatever its status, or None."""
    return ACTORS.get(store, actor_id)


def require_actor(store: Store, actor_id: bytes, reason: Reason = IdentityReason.NO_SUCH_ACTOR) -> Actor:
    """Return an actor's row.

    Refuses: the kind of `reason` when there is none.
    """
    row = ACTORS.get(store, actor_id)
    if row is None:
        raise reason.kind(reason, actor=actor_id)
    return row


def is_staff_of(store: Store, actor_id: bytes, organisation: bytes) -> bool:
    """Tell whether an actor is active staff of an organisation (32-byte ids)."""
    row = ACTORS.get(store, actor_id)
    return (
        row is not None
        and row.kind is ActorKind.STAFF
        and row.status is ActorStatus.ACTIVE
        and row.organisation == organisation
    )


def acts_for(context: Context, organisation: bytes) -> bool:
    """Tell whether the signer is the organisation (32-byte id) itself or its active staff."""
    if context.actor == organisation:
        return True
    return context.organisation == organisation and is_staff_of(context.store, context.actor, organisation)


def require_acts_for(context: Context, organisation: bytes, reason: Reason) -> None:
    """Refuse a signer that is neither the organisation (32-byte id) itself nor its active staff.

    Refuses: the kind of `reason`.
    """
    if not acts_for(context, organisation):
        raise reason.kind(reason, actor=context.actor, organisation=organisation)


def holds_valid_licence(store: Store, staff: bytes, profession: str, time: int) -> bool:
    """Tell whether a staff actor (32-byte id) held a valid licence of a profession at `time` (UTC seconds)."""
    return any(
        is_valid_at(store, key[32:], LICENCES.require(store, key[32:]), time)
        for key, held in HELD_LICENCES.rows(store, staff)
        if held.profession == profession
    )


def is_valid_at(store: Store, licence: bytes, row: Licence, time: int) -> bool:
    """Tell whether a licence (32-byte id, its row) counted at `time`: within its period, its status then valid."""
    return row.valid_from <= time < row.valid_until and _status_at(store, licence, row, time) is LicenceStatus.VALID


def _status_at(store: Store, licence: bytes, row: Licence, time: int) -> LicenceStatus | None:
    """Return the status the ledger held at `time`, or None before the licence was issued."""
    if time >= row.changed_at:
        return row.status
    status = None
    for _, change in LICENCE_CHANGES.rows(store, licence):
        if change.changed_at > time:
            break
        status = change.status
    return status


# Questions


class ActorArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names an actor by its 32-byte id."""

    actor: Bytes32


class KeyArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a signing key, 32 bytes."""

    key: Bytes32


class LicenceArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a licence by its 32-byte id."""

    licence: Bytes32


class LicenceAtArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a licence and a time, UTC seconds; a time after the newest block is answered as of that block."""

    licence: Bytes32
    time: UtcSeconds


class HolderArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a staff actor by its 32-byte id."""

    holder: Bytes32


class LicenceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A licence with every change, oldest first."""

    licence: Licence
    changes: tuple[LicenceChange, ...]


class LicenceAtAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a licence counted at the time asked, for whom and for what."""

    is_valid: bool
    holder: bytes
    profession: Profession


class LicenceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A licence and its id."""

    id: bytes
    licence: Licence


class LicencesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All licences of a holder, in id order."""

    licences: tuple[LicenceEntry, ...]


def answer_actor(store: Store, arguments: ActorArguments) -> Actor:
    """Return one actor.

    Refuses: NotFound(NO_SUCH_ACTOR).
    """
    return require_actor(store, arguments.actor)


def answer_key(store: Store, arguments: KeyArguments) -> Key:
    """Return one key, also when it no longer counts.

    Refuses: NotFound(NO_SUCH_KEY).
    """
    row = KEYS.get(store, arguments.key)
    if row is None:
        raise NotFound(IdentityReason.NO_SUCH_KEY)
    return row


def answer_licence(store: Store, arguments: LicenceArguments) -> LicenceAnswer:
    """Return one licence with its history.

    Refuses: NotFound(NO_SUCH_LICENCE).
    """
    row = LICENCES.require(store, arguments.licence, IdentityReason.NO_SUCH_LICENCE)
    changes = tuple(change for _, change in LICENCE_CHANGES.rows(store, arguments.licence))
    return LicenceAnswer(licence=row, changes=changes)


def answer_licence_at(store: Store, arguments: LicenceAtArguments) -> LicenceAtAnswer:
    """Return whether a licence counted at a time.

    Refuses: NotFound(NO_SUCH_LICENCE).
    """
    row = LICENCES.require(store, arguments.licence, IdentityReason.NO_SUCH_LICENCE)
    return LicenceAtAnswer(
        is_valid=is_valid_at(store, arguments.licence, row, arguments.time),
        holder=row.holder,
        profession=row.profession,
    )


def answer_licences(store: Store, arguments: HolderArguments) -> LicencesAnswer:
    """Return all licences of a holder."""
    licences = [key[32:] for key, _ in HELD_LICENCES.rows(store, arguments.holder)]
    entries = [LicenceEntry(id=licence, licence=LICENCES.require(store, licence)) for licence in licences]
    return LicencesAnswer(licences=tuple(entries))


QUERIES = {
    "identity.actor": Query(arguments=ActorArguments, answer=answer_actor, summary="One actor."),
    "identity.key": Query(arguments=KeyArguments, answer=answer_key, summary="One signing key, past or present."),
    "identity.licence": Query(
        arguments=LicenceArguments, answer=answer_licence, summary="One licence and its history."
    ),
    "identity.licence_at": Query(
        arguments=LicenceAtArguments, answer=answer_licence_at, summary="Whether a licence counted at a time."
    ),
    "identity.licences": Query(arguments=HolderArguments, answer=answer_licences, summary="All licences of a holder."),
}
