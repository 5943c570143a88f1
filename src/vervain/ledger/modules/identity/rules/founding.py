# SPDX-License-Identifier: Apache-2.0
"""The founding: the first keys of founding members, taken on the founders' word; everybody runs this genesis."""

from vervain.ledger.machine.context import Context
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity.messages import ActorKind, IdentityFounding
from vervain.ledger.modules.identity.rules.actors import enter
from vervain.ledger.modules.identity.state import ACTORS, KEYS
from vervain.ledger.primitives.codec import NotCanonical
from vervain.ledger.primitives.hashing import actor_id
from vervain.ledger.primitives.key_agreement import is_valid_kem_key
from vervain.ledger.primitives.signatures import is_valid_public_key


def found(context: Context, founding: IdentityFounding) -> None:
    """Write identity's section of the genesis.

    Raises: NotCanonical for a weak or repeated key, one that is no founding member's, or a validator without one.
    """
    for founder in founding.organisations:
        organisation = actor_id(founder.key)
        if not is_valid_public_key(founder.key) or not is_valid_kem_key(founder.kem_key):
            raise NotCanonical("A founding key is not a sound public key", do="Make a fresh key pair.")
        if KEYS.has(context.store, founder.key):
            raise NotCanonical("A founding key stands twice", why=organisation.hex(), do="Name each once.")
        if not consortium.is_active(context.store, organisation):
            raise NotCanonical(
                "A founding key is no member's", why=organisation.hex(), do="Name its actor id as member."
            )
        enter(
            context,
            kind=ActorKind.ORGANISATION,
            organisation=organisation,
            key=founder.key,
            kem_key=founder.kem_key,
        )
    for validator in consortium.validators(context.store):
        if not ACTORS.has(context.store, validator.organisation):
            why = validator.organisation.hex()
            raise NotCanonical("A founding validator has no key", why=why, do="Name its organisation's keys.")
