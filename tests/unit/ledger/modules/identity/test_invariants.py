# SPDX-License-Identifier: Apache-2.0
"""Each invariant of identity finds the breach it is for: rows are written past the rules."""

from collections.abc import Callable

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.small_chain import HOSPITAL, REGULATOR, Party, SmallChain, digest
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    ActorStatus,
    Custody,
    IssueLicence,
    LicenceStatus,
    licence_id,
)
from vervain.ledger.modules.identity.state import ACTORS, HELD_LICENCES, KEYS, LICENCES, HeldLicence

DOCTOR, NURSE, SHE = Party("doctor"), Party("nurse"), Party("she")


@pytest.fixture
def ward(chain: SmallChain) -> SmallChain:
    """The chain with staff, a patient and a licence, which is the last transaction."""
    chain.submit(
        HOSPITAL,
        chain.registration(DOCTOR),
        chain.registration(NURSE),
        chain.registration(SHE, ActorKind.PATIENT, custody=Custody.SELF),
    )
    until = chain.time + 1_000
    licence = IssueLicence(holder=DOCTOR.id, profession="physician", valid_from=chain.time, valid_until=until)
    chain.submit(REGULATOR, licence)
    return chain


def stopped_key(chain: SmallChain) -> None:
    """Stop an active actor's key."""
    KEYS.put(chain.store, DOCTOR.key, replace(KEYS.require(chain.store, DOCTOR.key), withdrawn_at=chain.time))


def running_key(chain: SmallChain) -> None:
    """Close an actor and leave its key running."""
    row = ACTORS.require(chain.store, DOCTOR.id)
    ACTORS.put(chain.store, DOCTOR.id, replace(row, status=ActorStatus.CLOSED))


def locked_organisation(chain: SmallChain) -> None:
    """Lock an organisation with its key."""
    row = ACTORS.require(chain.store, REGULATOR.id)
    ACTORS.put(chain.store, REGULATOR.id, replace(row, status=ActorStatus.LOCKED))
    key = KEYS.require(chain.store, REGULATOR.key)
    KEYS.put(chain.store, REGULATOR.key, replace(key, withdrawn_at=chain.time))


def ownerless_key(chain: SmallChain) -> None:
    """Let a key name an actor that is not there."""
    KEYS.put(chain.store, digest("key"), replace(KEYS.require(chain.store, DOCTOR.key), actor=digest("nobody")))


def second_key(chain: SmallChain) -> None:
    """Give an actor a second running key."""
    KEYS.put(chain.store, digest("key"), KEYS.require(chain.store, DOCTOR.key))


def dependent_key(chain: SmallChain) -> None:
    """Let a patient's own key depend on the hospital."""
    KEYS.put(chain.store, SHE.key, replace(KEYS.require(chain.store, SHE.key), is_independent=False))


def shared_key(chain: SmallChain) -> None:
    """Give two actors one key."""
    row = ACTORS.require(chain.store, NURSE.id)
    ACTORS.put(chain.store, NURSE.id, replace(row, key=DOCTOR.key))


def stray_actor(chain: SmallChain) -> None:
    """Employ staff at no member."""
    row, key = ACTORS.require(chain.store, NURSE.id), KEYS.require(chain.store, NURSE.key)
    ACTORS.put(chain.store, NURSE.id, replace(row, organisation=digest("nowhere")))
    KEYS.put(chain.store, NURSE.key, replace(key, organisation=digest("nowhere")))


def keyless_patient(chain: SmallChain) -> None:
    """Let nobody keep a patient's key."""
    ACTORS.put(chain.store, SHE.id, replace(ACTORS.require(chain.store, SHE.id), custody=UNSET))


def changed_kind(chain: SmallChain) -> None:
    """Make staff an organisation that belongs to another."""
    row = ACTORS.require(chain.store, NURSE.id)
    ACTORS.put(chain.store, NURSE.id, replace(row, kind=ActorKind.ORGANISATION))


def wrong_head(chain: SmallChain) -> None:
    """Suspend a licence without a change."""
    licence = licence_id(chain.last_txid, 0)
    row = LICENCES.require(chain.store, licence)
    LICENCES.put(chain.store, licence, replace(row, status=LicenceStatus.SUSPENDED))


def missing_change(chain: SmallChain) -> None:
    """Count a change that is not there."""
    licence = licence_id(chain.last_txid, 0)
    LICENCES.put(chain.store, licence, replace(LICENCES.require(chain.store, licence), sequence=1))


def unlisted_licence(chain: SmallChain) -> None:
    """List a licence under somebody else."""
    licence = licence_id(chain.last_txid, 0)
    HELD_LICENCES.delete(chain.store, (DOCTOR.id, licence))
    HELD_LICENCES.put(chain.store, (NURSE.id, licence), HeldLicence(profession="physician"))


def listed_nothing(chain: SmallChain) -> None:
    """List a licence that was never issued."""
    HELD_LICENCES.put(chain.store, (NURSE.id, digest("nothing")), HeldLicence(profession="physician"))


BREACHES = (
    (stopped_key, [f"actor {DOCTOR.id.hex()} is active, its key does not count"]),
    (running_key, [f"actor {DOCTOR.id.hex()} is closed, its key counts"]),
    (locked_organisation, [f"organisation {REGULATOR.id.hex()} is locked"]),
    (ownerless_key, [f"names actor {digest('nobody').hex()}, who is missing"]),
    (second_key, [f"a key that is not the current one of actor {DOCTOR.id.hex()} counts"]),
    (dependent_key, [f"the key of actor {SHE.id.hex()} is not kept by whom its actor says"]),
    (
        shared_key,
        [
            "1 actors share a key",
            f"actor {NURSE.id.hex()} is active, its key does not count",
            f"a key that is not the current one of actor {NURSE.id.hex()} counts",
        ],
    ),
    (stray_actor, [f"actor {NURSE.id.hex()} belongs to no member"]),
    (
        keyless_patient,
        [
            f"actor {SHE.id.hex()} is patient and its custody does not fit",
            f"the key of actor {SHE.id.hex()} is not kept by whom its actor says",
        ],
    ),
    (changed_kind, [f"actor {NURSE.id.hex()} is organisation and its organisation does not fit"]),
    (wrong_head, ["is not as its last change says"]),
    (missing_change, ["has 1 changes in no right order"]),
    (unlisted_licence, ["is not listed under its holder"]),
    (listed_nothing, ["1 licences are issued, 2 listed"]),
)


@pytest.mark.parametrize(("breach", "expected"), BREACHES, ids=[breach.__name__ for breach, _ in BREACHES])
def test_breach_is_found(ward: SmallChain, breach: Callable[[SmallChain], None], expected: list[str]) -> None:
    """
    Given a chain without a breach.
    When rows are written past the rules.
    Then exactly that breach is told.
    """
    assert ward.breaches() == []
    breach(ward)
    found = ward.breaches()
    assert len(found) == len(expected), found
    assert all(any(words in told for told in found) for words in expected), found
