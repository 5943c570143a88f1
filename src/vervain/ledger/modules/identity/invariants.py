# SPDX-License-Identifier: Apache-2.0
"""What is always true of identity. Run after every block in simulation, never in production."""

from msgspec import UNSET

from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity.messages import ActorKind, ActorStatus, Custody
from vervain.ledger.modules.identity.state import ACTORS, HELD_LICENCES, KEYS, LICENCE_CHANGES, LICENCES


def current_keys_count(store: Store) -> list[str]:
    """An active actor's current key is its own and counts; a locked or closed actor's does not."""
    breaches = []
    for actor_id, actor in ACTORS.rows(store):
        key = KEYS.get(store, actor.key)
        counts = key is not None and key.actor == actor_id and key.withdrawn_at is UNSET and key.epoch == actor.epoch
        if counts is not (actor.status is ActorStatus.ACTIVE):
            breaches.append(
                f"actor {actor_id.hex()} is {actor.status}, its key {'counts' if counts else 'does not count'}"
            )
        if actor.kind is ActorKind.ORGANISATION and actor.status is not ActorStatus.ACTIVE:
            breaches.append(f"organisation {actor_id.hex()} is {actor.status}")
    return breaches


def keys_belong(store: Store) -> list[str]:
    """Every key's actor is there, of the same organisation; a key that counts is that actor's current one."""
    breaches = []
    for public_key, key in KEYS.rows(store):
        actor = ACTORS.get(store, key.actor)
        if actor is None or actor.organisation != key.organisation:
            breaches.append(f"a key names actor {key.actor.hex()}, who is missing or of another organisation")
        elif key.withdrawn_at is UNSET and actor.key != public_key:
            breaches.append(f"a key that is not the current one of actor {key.actor.hex()} counts")
        elif key.withdrawn_at is UNSET and key.is_independent is not (actor.custody is Custody.SELF):
            breaches.append(f"the key of actor {key.actor.hex()} is not kept by whom its actor says")
    return breaches


def actors_share_no_key(store: Store) -> list[str]:
    """No two actors have the same current key, and none has one of an actor id's first keys but its own."""
    keys = [actor.key for _, actor in ACTORS.rows(store)]
    return [f"{len(keys) - len(set(keys))} actors share a key"] if len(set(keys)) != len(keys) else []


def organisations_were_admitted(store: Store) -> list[str]:
    """Every actor's organisation is or was a member, every validator an actor, and custody is patients' alone."""
    breaches = []
    for actor_id, actor in ACTORS.rows(store):
        if consortium.member(store, actor.organisation) is None:
            breaches.append(f"actor {actor_id.hex()} belongs to no member")
        if (actor.kind is ActorKind.ORGANISATION) is not (actor.organisation == actor_id):
            breaches.append(f"actor {actor_id.hex()} is {actor.kind} and its organisation does not fit")
        if (actor.kind is ActorKind.PATIENT) is (actor.custody is UNSET):
            breaches.append(f"actor {actor_id.hex()} is {actor.kind} and its custody does not fit")
    return breaches


def licences_match_their_changes(store: Store) -> list[str]:
    """A licence's head is its last change, changes are numbered without gap in time order, and its holder lists it."""
    breaches = []
    for licence, row in LICENCES.rows(store):
        changes = [change for _, change in LICENCE_CHANGES.rows(store, licence)]
        times = [change.changed_at for change in changes]
        last = changes[-1] if changes else None
        if last is None or (last.status, last.changed_at) != (row.status, row.changed_at):
            breaches.append(f"licence {licence.hex()} is not as its last change says")
        if len(changes) != row.sequence + 1 or times != sorted(times):
            breaches.append(f"licence {licence.hex()} has {len(changes)} changes in no right order")
        if not HELD_LICENCES.has(store, (row.holder, licence)):
            breaches.append(f"licence {licence.hex()} is not listed under its holder")
    listed = sum(1 for _ in HELD_LICENCES.rows(store))
    issued = sum(1 for _ in LICENCES.rows(store))
    return breaches if listed == issued else [*breaches, f"{issued} licences are issued, {listed} listed"]


INVARIANTS = (
    current_keys_count,
    keys_belong,
    actors_share_no_key,
    organisations_were_admitted,
    licences_match_their_changes,
)
