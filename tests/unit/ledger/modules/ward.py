# SPDX-License-Identifier: Apache-2.0
"""Two hospitals with staff and patients, for tests of consent and records: messages run one by one, without signatures.

Built on the small chain; here the test moves the clock, and the ids of transactions can be told beforehand.
"""

from hashlib import sha256
from typing import Final

from msgspec import UNSET, UnsetType

from tests.small_chain import FOUNDED_AT as FOUNDED_AT
from tests.small_chain import Party, SmallChain
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import Refusal
from vervain.ledger.modules.identity.messages import ActorKind, Custody

NORTH, SOUTH = "hospital north", "hospital south"
NURSE, DOCTOR, STRANGER = "nurse north", "doctor north", "nurse south"
SHE = "patient"  # self custody, at hospital north
HE = "patient in custody"  # the hospital keeps the key, at hospital north
OTHER = "patient elsewhere"  # self custody, at hospital south

ORGANISATION: Final = {NORTH: NORTH, NURSE: NORTH, DOCTOR: NORTH, SHE: NORTH, HE: NORTH} | {
    SOUTH: SOUTH,
    STRANGER: SOUTH,
    OTHER: SOUTH,
}
PEOPLE: Final = {name: Party(name) for name in ORGANISATION}


def digest(*parts: str) -> bytes:
    """Return 32 bytes that belong to these words."""
    return sha256("|".join(parts).encode("ascii")).digest()


class Ward:
    """The ledger as one block sees it, with a clock that the test moves."""

    def __init__(self) -> None:
        founded = SmallChain((PEOPLE[NORTH], PEOPLE[SOUTH]))
        self.chain, self.store = founded.name, founded.store
        self.time, self.height, self.transactions, self.failed_entry = FOUNDED_AT, 1, 0, 0
        for name in (NURSE, DOCTOR, STRANGER):
            self._register(founded, name, ActorKind.STAFF)
        for name, custody in ((SHE, Custody.SELF), (HE, Custody.INSTITUTION), (OTHER, Custody.SELF)):
            self._register(founded, name, ActorKind.PATIENT, custody)

    def id(self, name: str) -> bytes:
        """Return an actor's id by its name."""
        return PEOPLE[name].id

    def context(self, signer: str) -> Context:
        """Return what the rules see of the next transaction of `signer`."""
        self.transactions += 1
        return Context(
            chain=self.chain,
            actor=self.id(signer),
            organisation=self.id(ORGANISATION[signer]),
            key=PEOPLE[signer].key,
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
            self.failed_entry = context.entry_index
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

    def _register(self, founded: SmallChain, name: str, kind: ActorKind, custody: Custody | UnsetType = UNSET) -> None:
        sponsor = ORGANISATION[name]
        form = founded.registration(PEOPLE[name], kind, sponsor=PEOPLE[sponsor], custody=custody)
        self.run(sponsor, form)
