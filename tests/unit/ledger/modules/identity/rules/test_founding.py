# SPDX-License-Identifier: Apache-2.0
"""Identity's founding: what it writes, and the nonsense it refuses."""

import pytest
from msgspec.structs import replace

from tests.memory_state import MemoryState
from tests.small_chain import FOUNDED_AT, HOSPITAL, INSURER, Party, SmallChain, admission, genesis_of, validator
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.genesis import decode_genesis, found
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import ConsortiumFounding
from vervain.ledger.modules.identity.messages import ActorKind, FoundingOrganisation, IdentityFounding
from vervain.ledger.modules.identity.state import ACTORS, KEYS, Actor, Key
from vervain.ledger.primitives.codec import NotCanonical

CONSORTIUM = ConsortiumFounding(members=(admission(HOSPITAL), admission(INSURER)), validators=(validator(HOSPITAL),))
FOUNDER = FoundingOrganisation(key=HOSPITAL.key, kem_key=HOSPITAL.kem_key)


def test_founding_enters_organisations() -> None:
    """
    Given a genesis with a hospital's keys.
    When the chain is founded.
    Then the hospital is its own organisation, active from the founding, and its key writes.
    """
    chain = SmallChain((HOSPITAL,))
    assert chain.row(ACTORS, HOSPITAL.id) == Actor(
        kind=ActorKind.ORGANISATION,
        organisation=HOSPITAL.id,
        key=HOSPITAL.key,
        kem_key=HOSPITAL.kem_key,
        epoch=0,
        registered_at=FOUNDED_AT,
    )
    assert chain.row(KEYS, HOSPITAL.key) == Key(
        actor=HOSPITAL.id, organisation=HOSPITAL.id, epoch=0, active_from=FOUNDED_AT
    )
    assert chain.can_write(HOSPITAL)


INSURER_ALONE = FoundingOrganisation(key=INSURER.key, kem_key=INSURER.kem_key)
STRANGER = FoundingOrganisation(key=Party("stranger").key, kem_key=Party("stranger").kem_key)
NONSENSE = {
    "nobody": (),
    "a_weak_key": (replace(FOUNDER, key=bytes(32)),),
    "a_weak_kem_key": (replace(FOUNDER, kem_key=bytes(32)),),
    "a_key_twice": (FOUNDER, FOUNDER),
    "no_member": (FOUNDER, STRANGER),
    "a_validator_without_key": (INSURER_ALONE,),
}


@pytest.mark.parametrize("organisations", NONSENSE.values(), ids=NONSENSE.keys())
def test_founding_refused_when_it_does_not_fit(organisations: tuple[FoundingOrganisation, ...]) -> None:
    """
    Given a genesis with nobody's, weak, repeated or strangers' keys, or a validator without one.
    When a chain is founded on it.
    Then NotCanonical, with words that say what to do.
    """
    content = genesis_of(CONSORTIUM, IdentityFounding(organisations=organisations))
    with pytest.raises(NotCanonical) as caught:
        found(CATALOGUE, decode_genesis(content), content, Store(MemoryState()))
    assert caught.value.do
