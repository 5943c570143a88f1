# SPDX-License-Identifier: Apache-2.0
"""A founded ledger for tests of modules: two hospitals, their staff and patients, run message by message.

Everything is derived from names, so that every run gives the same ids and signatures.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from nacl import bindings
from nacl.signing import SigningKey

from tests.memory_state import MemoryState
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.genesis import found
from vervain.ledger.machine.module import Genesis, Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import Refusal
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import AdmitMember, ConsortiumFounding, Role, SetValidator
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    Custody,
    FoundingOrganisation,
    IdentityFounding,
    Register,
    registration_bytes,
)
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import actor_id

FOUNDED_AT = 1_800_000_000  # UTC seconds: January 2027
SHE = "patient"  # self custody, at hospital north
HE = "patient in custody"  # the hospital keeps the key, at hospital north
OTHER = "patient elsewhere"  # self custody, at hospital south
NORTH, SOUTH = "hospital north", "hospital south"
NURSE, DOCTOR, STRANGER = "nurse north", "doctor north", "nurse south"


class Person:
    """An actor with its key, made from its name."""

    def __init__(self, name: str) -> None:
        self.signing = SigningKey(digest(name, "sign"))
        self.key = bytes(self.signing.verify_key)
        self.kem_key: bytes = bindings.crypto_scalarmult_base(digest(name, "kem"))
        self.id = actor_id(self.key)

    def sign(self, signed: bytes) -> bytes:
        """Return the 64-byte signature over `signed`."""
        return self.signing.sign(signed).signature


def digest(*parts: str) -> bytes:
    """Return 32 bytes that belong to these words."""
    return sha256("|".join(parts).encode("ascii")).digest()


def people() -> dict[str, Person]:
    """Return everybody by name."""
    return {name: Person(name) for name in (NORTH, SOUTH, NURSE, DOCTOR, STRANGER, SHE, HE, OTHER)}


class Ward:
    """The ledger as one block sees it, with a clock that the test moves."""

    def __init__(self) -> None:
        self.people = people()
        self.organisation = dict.fromkeys((NORTH, NURSE, DOCTOR, SHE, HE), NORTH)
        self.organisation |= dict.fromkeys((SOUTH, STRANGER, OTHER), SOUTH)
        self.store = Store(MemoryState())
        self.time, self.height, self.transactions = FOUNDED_AT, 1, 0
        content = encode(_genesis(self.people))
        genesis = msgspec.json.decode(content, type=Genesis)
        self.chain = found(CATALOGUE, genesis, content, self.store).chain
        for name in (NURSE, DOCTOR, STRANGER):
            self._register(name, ActorKind.STAFF)
        for name, custody in ((SHE, Custody.SELF), (HE, Custody.INSTITUTION), (OTHER, Custody.SELF)):
            self._register(name, ActorKind.PATIENT, custody)

    def id(self, name: str) -> bytes:
        """Return an actor's id by its name."""
        return self.people[name].id

    def context(self, signer: str) -> Context:
        """Return what the rules see of the next transaction of `signer`."""
        self.transactions += 1
        return Context(
            chain=self.chain,
            actor=self.id(signer),
            organisation=self.id(self.organisation[signer]),
            key=self.people[signer].key,
            txid=digest("transaction", str(self.transactions)),
            height=self.height,
            block_time=self.time,
            store=self.store,
        )

    def run(self, signer: str, *messages: Message) -> tuple[Event, ...]:
        """Run one transaction; return what it announced, or raise its refusal after undoing all of it."""
        context, mark = self.context(signer), self.store.savepoint()
        try:
            for context.entry_index, message in enumerate(messages):
                CATALOGUE.handlers[type(message)](context, message)
        except Refusal:
            self.store.roll_back(mark)
            raise
        return tuple(context.events)

    def refusal(self, signer: str, *messages: Message) -> int:
        """Run one transaction that must be refused and change nothing; return its code."""
        before = self.store.writes()
        try:
            self.run(signer, *messages)
        except Refusal as refusal:
            assert self.store.writes() == before, "a refused transaction left a trace"
            return int(refusal.reason)
        raise AssertionError("nothing was refused")

    def breaches(self) -> list[str]:
        """Return every breach of every invariant of every module."""
        return [
            breach
            for module in CATALOGUE.modules
            for invariant in module.invariants
            for breach in invariant(self.store)
        ]

    def _register(self, name: str, kind: ActorKind, custody: Custody | msgspec.UnsetType = msgspec.UNSET) -> None:
        person, sponsor = self.people[name], self.organisation[name]
        signed = registration_bytes(
            chain=self.chain,
            sponsor=self.id(sponsor),
            kind=kind,
            key=person.key,
            kem_key=person.kem_key,
            custody=custody,
        )
        proof = person.sign(signed)
        self.run(sponsor, Register(kind=kind, key=person.key, kem_key=person.kem_key, proof=proof, custody=custody))


def _genesis(known: dict[str, Person]) -> Genesis:
    """Return a genesis of two hospitals, of which the first validates."""
    hospitals = [known[NORTH], known[SOUTH]]
    consortium = ConsortiumFounding(
        members=tuple(
            AdmitMember(organisation=hospital.id, roles=(Role.HOSPITAL,), register_entry="GLN 0614141000012")
            for hospital in hospitals
        ),
        validators=(
            SetValidator(
                organisation=hospitals[0].id,
                power=10,
                engine_key=Person("engine").key,
                cosigning_key=Person("cosigner").key,
            ),
        ),
    )
    identity = IdentityFounding(
        organisations=tuple(FoundingOrganisation(key=each.key, kem_key=each.kem_key) for each in hospitals)
    )
    sections: Sequence[tuple[str, msgspec.Struct]] = (("consortium", consortium), ("identity", identity))
    return Genesis(
        name="ward", time=FOUNDED_AT, sections={name: msgspec.Raw(encode(section)) for name, section in sections}
    )
