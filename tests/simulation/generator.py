# SPDX-License-Identifier: Apache-2.0
"""What the simulated people know and try: drafts of transactions aimed at success or at one refusal.

A generator knows the ids that events announced, holds everybody's private keys, and reads the state of the newest
replica to aim. It draws everything from one `random.Random`, never iterates over a set, and never looks at a clock.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from tests.simulation.parties import Keyring, Party
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Key, Row, Table
from vervain.ledger.modules.consent.messages import AccessDenied, ConsentGranted, ReadRequested, RequestRead
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.consortium.messages import MemberAdmitted, ProposalMade, Role
from vervain.ledger.modules.consortium.state import MEMBERS, OPEN_PROPOSALS
from vervain.ledger.modules.identity.messages import ActorKind, ActorRegistered, ActorStatus, KeyRotated, LicenceIssued
from vervain.ledger.modules.identity.state import ACTORS, Actor
from vervain.ledger.modules.records.messages import RecordCommitted

T = TypeVar("T")
R = TypeVar("R", bound=Row)
LOOKS: Final = 12  # how many known things are looked at for one that fits an aim
DAY: Final = 86_400


class Draft(NamedTuple):
    """What one actor is about to sign."""

    actor: bytes
    party: Party
    messages: tuple[Message, ...]


class Known:
    """Ids that were announced, in order; `asked` holds every read request that was signed."""

    def __init__(self) -> None:
        self.members: list[bytes] = []
        self.organisations: list[bytes] = []
        self.staff: list[bytes] = []
        self.patients: list[bytes] = []
        self.old_keys: list[bytes] = []
        self.licences: list[bytes] = []
        self.grants: list[bytes] = []
        self.denials: list[bytes] = []
        self.proposals: list[bytes] = []
        self.asked: dict[bytes, RequestRead] = {}  # by record set
        self.requests: list[RequestRead] = []
        self.patients_records: list[int] = []

    def learn(self, event: Event) -> None:
        """Take note of what an applied transaction announced."""
        match event:
            case MemberAdmitted(organisation=organisation):
                if organisation not in self.members:
                    self.members.append(organisation)
            case ActorRegistered(actor=actor, kind=kind):
                kept = {
                    ActorKind.ORGANISATION: self.organisations,
                    ActorKind.STAFF: self.staff,
                    ActorKind.PATIENT: self.patients,
                }
                kept[kind].append(actor)
            case KeyRotated(old_key=key):
                self.old_keys.append(key)
            case LicenceIssued(licence=licence):
                self.licences.append(licence)
            case ConsentGranted(consent=consent):
                self.grants.append(consent)
            case AccessDenied(consent=consent):
                self.denials.append(consent)
            case ReadRequested(record_set=record_set):
                self.requests.append(self.asked[record_set])
            case ProposalMade(proposal=proposal):
                self.proposals.append(proposal)
            case RecordCommitted(record=record, subject=subject, custodian=custodian) if subject != custodian:
                self.patients_records.append(record)
            case _:
                pass


class Generator:
    """The people of one simulation.

    Attributes:
        chance: The only source of randomness.
        store: The newest committed state, for aiming.
        now: The newest block's time.
    """

    def __init__(self, chance: random.Random, keyring: Keyring, chain: str) -> None:
        self.chance, self.keyring, self.chain = chance, keyring, chain
        self.known = Known()
        self.store: Store
        self.now = 0

    def look(self, store: Store, now: int) -> None:
        """Take in the newest state."""
        self.store, self.now = store, now

    # Choosing

    def pick(self, among: Sequence[T], fits: Callable[[T], bool] = lambda _: True) -> T | None:
        """Return one of `among` that fits, newer ones more often, or None after a few looks."""
        count = len(among)
        for _ in range(LOOKS if count else 0):
            each = among[int(count * max(self.chance.random(), self.chance.random()))]
            if fits(each):
                return each
        return None

    def row(self, table: Table[R], key: Key) -> R:
        """Return a row that is there."""
        found = table.get(self.store, key)
        assert found is not None
        return found

    def signer(self, actor_id: bytes, *messages: Message) -> Draft | None:
        """Return a draft signed by an actor's current key, also when it does not count; None for nobody."""
        actor = ACTORS.get(self.store, actor_id)
        return None if actor is None else Draft(actor_id, self.keyring.by_key[actor.key], messages)

    # People

    def member(self, role: Role | None = None) -> bytes | None:
        """Return an active member with keys, of a role when one is named."""
        return self.pick(self.known.organisations, lambda each: self.is_member(each, role))

    def is_member(self, organisation: bytes, role: Role | None = None) -> bool:
        """Tell whether an organisation is active, and has a role when one is named."""
        row = MEMBERS.get(self.store, organisation)
        return row is not None and row.status == "active" and (role is None or role in row.roles)

    def validator(self) -> bytes | None:
        """Return a validator."""
        return self.pick([each.organisation for each in consortium.validators(self.store)])

    def is_validator(self, organisation: bytes) -> bool:
        """Tell whether an organisation validates."""
        return any(each.organisation == organisation for each in consortium.validators(self.store))

    def active(self, actors: Sequence[bytes], fits: Callable[[Actor], bool] = lambda _: True) -> bytes | None:
        """Return an active actor whose organisation is an active member, and that fits."""

        def is_fit(each: bytes) -> bool:
            actor = self.row(ACTORS, each)
            return actor.status is ActorStatus.ACTIVE and self.is_member(actor.organisation) and fits(actor)

        return self.pick(actors, is_fit)

    def patient(self, fits: Callable[[Actor], bool] = lambda _: True) -> bytes | None:
        """Return an active patient of an active member."""
        return self.active(self.known.patients, fits)

    def staff_of(self, organisation: bytes) -> bytes | None:
        """Return active staff of an organisation."""
        return self.active(self.known.staff, lambda actor: actor.organisation == organisation)

    def acting_for(self, organisation: bytes) -> bytes:
        """Return who signs for an organisation: itself, or now and then one of its staff."""
        staff = self.staff_of(organisation) if self.chance.random() < 0.3 else None
        return staff or organisation

    def open_proposal(self, fits: Callable[[bytes], bool] = lambda _: True) -> bytes | None:
        """Return an open proposal that fits."""
        return self.pick([key[32:] for key, _ in OPEN_PROPOSALS.rows(self.store)], fits)

    # Values

    def digest(self) -> bytes:
        """Return 32 random bytes."""
        return self.chance.randbytes(32)

    def weak_key(self) -> bytes:
        """Return 32 bytes that are no sound Ed25519 key: of small order, not canonical, or off the curve."""
        return self.chance.choice((bytes([1]) + bytes(31), b"\xee" + b"\xff" * 30 + b"\x7f", b"\x02" + bytes(31)))

    def soon(self) -> int:
        """Return a time shortly ahead, minutes or days, so that much expires within a run."""
        return self.now + self.chance.choice((30, 120, 600, DAY, 30 * DAY))


Attempt = Callable[[Generator], Draft | None]


class Aims:
    """Attempts by what they aim at, each with how often it is made."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.weights: list[float] = []
        self.reasons: list[int] = []

    def at(self, reason: int, weight: float = 1.0) -> Callable[[Attempt], Attempt]:
        """Register an attempt at a refusal, or at success when `reason` is 0."""

        def register(attempt: Attempt) -> Attempt:
            self.attempts.append(attempt)
            self.weights.append(weight)
            self.reasons.append(int(reason))
            return attempt

        return register
