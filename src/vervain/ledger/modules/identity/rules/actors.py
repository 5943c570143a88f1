# SPDX-License-Identifier: Apache-2.0
"""Actors and their keys: who may enter, replace, withdraw or end one, and what changes.

Kept invariants: an active actor's current key counts, nobody else's does; a key is used once, for one actor, for ever;
an organisation always has a key. A change of keys takes effect after its block: admission looks at the state before.

Sources: architecture.md "Actor id", "Who may write", "Patients"; identity-keys-receipts reference, section 5.
"""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.refusals import Conflict, Forbidden, Malformed, NotFound, Unauthenticated
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity import queries
from vervain.ledger.modules.identity.messages import (
    ActorClosed,
    ActorKind,
    ActorRegistered,
    ActorStatus,
    CloseActor,
    Custody,
    IdentityReason,
    KeyRotated,
    KeyWithdrawn,
    Register,
    RotateKey,
    WithdrawKey,
    registration_bytes,
    rotation_bytes,
)
from vervain.ledger.modules.identity.state import ACTORS, FIRST_EPOCH, KEYS, Actor, Key
from vervain.ledger.primitives.hashing import actor_id
from vervain.ledger.primitives.key_agreement import is_valid_kem_key
from vervain.ledger.primitives.signatures import is_valid_public_key, verify


def register(context: Context, message: Register) -> None:
    """Enter a new actor under the submitting member.

    Source: architecture.md "Who may write": a new key enters by a member's transaction with the key's own signature.
    Refuses: Forbidden(NOT_A_MEMBER, NOT_ADMITTED), Malformed(CUSTODY_NOT_FIT, WEAK_KEY, WEAK_KEM_KEY),
        Conflict(KEY_USED_BEFORE), Unauthenticated(BAD_PROOF).
    """
    # AUTHORITY
    sponsor = context.organisation
    queries.require_acts_for(context, sponsor, IdentityReason.NOT_A_MEMBER)
    consortium.require_active_member(context.store, sponsor, IdentityReason.NOT_A_MEMBER)

    # PRECONDITIONS
    if (message.kind is ActorKind.PATIENT) is (message.custody is UNSET):
        raise Malformed(IdentityReason.CUSTODY_NOT_FIT)
    _require_fresh_keys(context.store, message.key, message.kem_key)
    new_actor = actor_id(message.key)
    if message.kind is ActorKind.ORGANISATION:
        consortium.require_active_member(context.store, new_actor, IdentityReason.NOT_ADMITTED)
    signed = registration_bytes(
        chain=context.chain,
        sponsor=sponsor,
        kind=message.kind,
        key=message.key,
        kem_key=message.kem_key,
        custody=message.custody,
    )
    if not verify(message.key, signed, message.proof):
        raise Unauthenticated(IdentityReason.BAD_PROOF)

    # CHANGE, EVENT
    organisation = new_actor if message.kind is ActorKind.ORGANISATION else sponsor
    enter(
        context,
        kind=message.kind,
        organisation=organisation,
        key=message.key,
        kem_key=message.kem_key,
        custody=message.custody,
    )


def enter(
    context: Context,
    *,
    kind: ActorKind,
    organisation: bytes,
    key: bytes,
    kem_key: bytes,
    custody: Custody | UnsetType = UNSET,
) -> None:
    """Write and announce a new actor whose keys (32 bytes each) were vetted."""
    new_actor = actor_id(key)
    row = Actor(
        kind=kind,
        organisation=organisation,
        key=key,
        kem_key=kem_key,
        epoch=FIRST_EPOCH,
        registered_at=context.block_time,
        custody=custody,
    )
    ACTORS.put(context.store, new_actor, row)
    KEYS.put(context.store, key, _key_of(new_actor, row, context.block_time))
    context.emit(
        ActorRegistered(
            actor=new_actor,
            kind=kind,
            organisation=organisation,
            key=key,
            kem_key=kem_key,
            registered_at=context.block_time,
            custody=custody,
        )
    )


def rotate_key(context: Context, message: RotateKey) -> None:
    """Replace an actor's keys; with `custody` the patient takes over from the institution.

    Refuses: NotFound(NO_SUCH_ACTOR), Forbidden(NOT_YOUR_ACTOR), Malformed(CUSTODY_NOT_FIT, WEAK_KEY, WEAK_KEM_KEY),
        Conflict(ACTOR_CLOSED, NOT_IN_CUSTODY, KEY_USED_BEFORE), Unauthenticated(BAD_PROOF).
    """
    # AUTHORITY
    rotated = context.actor if message.actor is UNSET else message.actor
    actor = queries.require_actor(context.store, rotated)
    if context.actor != rotated and not _keeps_key_of(context, actor):
        raise Forbidden(IdentityReason.NOT_YOUR_ACTOR, actor=rotated)

    # PRECONDITIONS
    if actor.status is ActorStatus.CLOSED:
        raise Conflict(IdentityReason.ACTOR_CLOSED, actor=rotated)
    _require_custody_fits(rotated, actor, message.custody)
    _require_fresh_keys(context.store, message.new_key, message.new_kem_key)
    signed = rotation_bytes(
        chain=context.chain,
        actor=rotated,
        new_key=message.new_key,
        new_kem_key=message.new_kem_key,
        reason=message.reason,
        custody=message.custody,
    )
    if not verify(message.new_key, signed, message.proof):
        raise Unauthenticated(IdentityReason.BAD_PROOF)

    # CHANGE
    _stop_key(context, actor.key)
    renewed = replace(
        actor,
        key=message.new_key,
        kem_key=message.new_kem_key,
        epoch=actor.epoch + 1,
        status=ActorStatus.ACTIVE,
        custody=actor.custody if message.custody is UNSET else message.custody,
    )
    ACTORS.put(context.store, rotated, renewed)
    KEYS.put(context.store, message.new_key, _key_of(rotated, renewed, context.block_time))

    # EVENT
    context.emit(
        KeyRotated(
            actor=rotated,
            epoch=renewed.epoch,
            old_key=actor.key,
            new_key=message.new_key,
            new_kem_key=message.new_kem_key,
            reason=message.reason,
            rotated_at=context.block_time,
            custody=message.custody,
        )
    )


def withdraw_key(context: Context, message: WithdrawKey) -> None:
    """Stop a key, or note since when an older one was compromised. The actor is locked until its key is rotated.

    Refuses: NotFound(NO_SUCH_KEY), Forbidden(NOT_YOUR_ACTOR), Malformed(COMPROMISED_IN_FUTURE),
        Conflict(KEY_ALREADY_WITHDRAWN, ORGANISATION_NEEDS_KEY).
    """
    # AUTHORITY
    key = KEYS.get(context.store, message.key)
    if key is None:
        raise NotFound(IdentityReason.NO_SUCH_KEY)
    actor = ACTORS.require(context.store, key.actor)
    _require_answers_for(context, key.actor, actor)

    # PRECONDITIONS
    since = message.compromised_since
    if since is not UNSET and since > context.block_time:
        raise Malformed(IdentityReason.COMPROMISED_IN_FUTURE)
    counts = key.withdrawn_at is UNSET
    if not counts and (since is UNSET or (key.compromised_since is not UNSET and since >= key.compromised_since)):
        raise Conflict(IdentityReason.KEY_ALREADY_WITHDRAWN, actor=key.actor)
    if counts and actor.kind is ActorKind.ORGANISATION:
        raise Conflict(IdentityReason.ORGANISATION_NEEDS_KEY, actor=key.actor)

    # CHANGE
    withdrawn_at = context.block_time if key.withdrawn_at is UNSET else key.withdrawn_at
    KEYS.put(context.store, message.key, replace(key, withdrawn_at=withdrawn_at, compromised_since=since))
    if counts:
        ACTORS.put(context.store, key.actor, replace(actor, status=ActorStatus.LOCKED))

    # EVENT
    context.emit(KeyWithdrawn(actor=key.actor, key=message.key, withdrawn_at=withdrawn_at, compromised_since=since))


def close_actor(context: Context, message: CloseActor) -> None:
    """End a staff or patient actor for good.

    Refuses: NotFound(NO_SUCH_ACTOR), Forbidden(NOT_YOUR_ACTOR), Conflict(ACTOR_CLOSED, ORGANISATION_NEEDS_KEY).
    """
    # AUTHORITY
    closed = context.actor if message.actor is UNSET else message.actor
    actor = queries.require_actor(context.store, closed)
    _require_answers_for(context, closed, actor)

    # PRECONDITIONS
    if actor.kind is ActorKind.ORGANISATION:
        raise Conflict(IdentityReason.ORGANISATION_NEEDS_KEY, actor=closed)
    if actor.status is ActorStatus.CLOSED:
        raise Conflict(IdentityReason.ACTOR_CLOSED, actor=closed)

    # CHANGE
    _stop_key(context, actor.key)
    ACTORS.put(context.store, closed, replace(actor, status=ActorStatus.CLOSED))

    # EVENT
    context.emit(ActorClosed(actor=closed, closed_at=context.block_time))


def _keeps_key_of(context: Context, actor: Actor) -> bool:
    """Tell whether the signer acts for the institution that keeps this patient's key."""
    return actor.custody is Custody.INSTITUTION and queries.acts_for(context, actor.organisation)


def _require_answers_for(context: Context, actor_id: bytes, actor: Actor) -> None:
    """Refuse a signer that is neither the actor, nor its employer, nor the institution that keeps its key."""
    employs = actor.kind is ActorKind.STAFF and queries.acts_for(context, actor.organisation)
    if context.actor != actor_id and not employs and not _keeps_key_of(context, actor):
        raise Forbidden(IdentityReason.NOT_YOUR_ACTOR, actor=actor_id)


def _require_custody_fits(actor_id: bytes, actor: Actor, custody: Custody | UnsetType) -> None:
    """A rotation may only hand a patient's key from the institution to the patient."""
    if custody is UNSET:
        return
    if actor.kind is not ActorKind.PATIENT or custody is not Custody.SELF:
        raise Malformed(IdentityReason.CUSTODY_NOT_FIT, actor=actor_id)
    if actor.custody is not Custody.INSTITUTION:
        raise Conflict(IdentityReason.NOT_IN_CUSTODY, actor=actor_id)


def _require_fresh_keys(store: Store, key: bytes, kem_key: bytes) -> None:
    if not is_valid_public_key(key):
        raise Malformed(IdentityReason.WEAK_KEY)
    if not is_valid_kem_key(kem_key):
        raise Malformed(IdentityReason.WEAK_KEM_KEY)
    if KEYS.has(store, key):
        raise Conflict(IdentityReason.KEY_USED_BEFORE)


def _key_of(actor_id: bytes, actor: Actor, active_from: int) -> Key:
    return Key(
        actor=actor_id,
        organisation=actor.organisation,
        epoch=actor.epoch,
        active_from=active_from,
        is_independent=actor.custody is Custody.SELF,
    )


def _stop_key(context: Context, key: bytes) -> None:
    """Make a key stop after this block, unless it had stopped before."""
    row = KEYS.require(context.store, key)
    if row.withdrawn_at is UNSET:
        KEYS.put(context.store, key, replace(row, withdrawn_at=context.block_time))
