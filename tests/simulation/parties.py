# SPDX-License-Identifier: Apache-2.0
"""Who takes part in a simulation, and the genesis they found on. Keys come from numbers, so all seeds share them."""

import random
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import UNSET
from nacl import bindings

from vervain.ledger.machine.module import Genesis
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    ConsortiumFounding,
    PutRuleTable,
    Role,
    SetParameter,
    SetValidator,
)
from vervain.ledger.modules.identity.messages import FoundingOrganisation, IdentityFounding
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import actor_id

FOUNDED_AT: Final = 1_800_000_000  # UTC seconds: January 2027
VALIDATORS_FOUNDING_MAX: Final = 3
POWER_FOUNDING_MAX: Final = 10
PARTIES_KEPT: Final = 4_096  # key pairs kept between seeds


class Party:
    """Somebody with keys, all from a number."""

    __slots__ = ("id", "kem_key", "key", "number", "secret")

    def __init__(self, number: int) -> None:
        self.number = number
        self.key, self.secret = bindings.crypto_sign_seed_keypair(sha256(b"signs %d" % number).digest())
        self.kem_key: bytes = bindings.crypto_scalarmult_base(sha256(b"opens %d" % number).digest())
        self.id = actor_id(self.key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return bytes(bindings.crypto_sign(message, self.secret)[:64])


party: Final = lru_cache(maxsize=PARTIES_KEPT)(Party)
"""Return the party of a number."""


class Keyring:
    """Every party of one simulation: fresh ones by number, known ones by public key or by actor id."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, Party] = {}
        self.by_id: dict[bytes, Party] = {}

    def fresh(self) -> Party:
        """Return a party that nobody has used in this simulation."""
        new = party(len(self.by_key))
        self.by_key[new.key] = self.by_id[new.id] = new
        return new


class Founding:
    """The genesis of one simulation.

    Attributes:
        content: Its canonical bytes.
        members: The founding members: hospital, hospital, regulator, insurer; the last hosted by the first in half the
            seeds.
    """

    ROLES: Final = ((Role.HOSPITAL, Role.RESEARCHER), (Role.HOSPITAL,), (Role.REGULATOR,), (Role.INSURER,))

    def __init__(self, chance: random.Random, keyring: Keyring) -> None:
        self.members = tuple(keyring.fresh() for _ in self.ROLES)
        is_hosted = chance.random() < 0.5
        validating = self.members[: chance.randint(1, VALIDATORS_FOUNDING_MAX)]
        consortium = ConsortiumFounding(
            members=tuple(
                AdmitMember(
                    organisation=member.id,
                    roles=roles,
                    register_entry=f"GLN {member.number}",
                    host=self.members[0].id if is_hosted and member is self.members[-1] else UNSET,
                )
                for member, roles in zip(self.members, self.ROLES, strict=True)
            ),
            validators=tuple(
                SetValidator(
                    organisation=member.id,
                    power=chance.randint(1, POWER_FOUNDING_MAX),
                    engine_key=keyring.fresh().key,
                    cosigning_key=keyring.fresh().key,
                )
                for member in validating
            ),
            parameters=(SetParameter(name="records_links_max", value=chance.choice((2, 8, 64))),),
            rule_tables=(PutRuleTable(name="retest", version=1, rows=(("718-7", "72 h"),)),),
        )
        identity = IdentityFounding(
            organisations=tuple(FoundingOrganisation(key=member.key, kem_key=member.kem_key) for member in self.members)
        )
        sections = {"consortium": msgspec.Raw(encode(consortium)), "identity": msgspec.Raw(encode(identity))}
        self.name = f"seed-{chance.randrange(2**32)}"
        self.content = encode(Genesis(name=self.name, time=FOUNDED_AT, sections=sections))
