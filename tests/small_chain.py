# SPDX-License-Identifier: Apache-2.0
"""A small consortium in memory, for tests of rules: signed transactions, decoded and executed, without blocks.

Everything is derived from names, so every run gives the same keys, ids and bytes. Each transaction stands for a block
of its own: its signer is looked up in what the ones before wrote. After each applied one all invariants are checked.
"""

from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from nacl import bindings

from tests.memory_state import MemoryState
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.execution import execute
from vervain.ledger.machine.genesis import decode_genesis, found
from vervain.ledger.machine.module import Genesis, Message
from vervain.ledger.machine.outcome import Outcome
from vervain.ledger.machine.refusals import MachineReason, Reason
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Key, Row, Table
from vervain.ledger.machine.transaction import Envelope, Header, Transaction, entries_root
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    ConsortiumFounding,
    PutRuleTable,
    Role,
    SetParameter,
    SetValidator,
)
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    Custody,
    FoundingOrganisation,
    IdentityFounding,
    Register,
    RotateKey,
    RotationReason,
    registration_bytes,
    rotation_bytes,
)
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import TX, actor_id

FOUNDED_AT: Final = 1_800_000_000
R = TypeVar("R", bound=Row)


def digest(name: str) -> bytes:
    """Return 32 bytes that belong to a name."""
    return sha256(name.encode("ascii")).digest()


class Party:
    """Somebody with keys; all from the name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key, self._secret = bindings.crypto_sign_seed_keypair(digest(f"{name} signs"))
        self.kem_key: bytes = bindings.crypto_scalarmult_base(digest(f"{name} opens"))
        self.id = actor_id(self.key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return bytes(bindings.crypto_sign(message, self._secret)[:64])


HOSPITAL: Final = Party("hospital")
REGULATOR: Final = Party("regulator")
INSURER: Final = Party("insurer")
ROLES: Final = {
    HOSPITAL.id: (Role.HOSPITAL, Role.RESEARCHER),
    REGULATOR.id: (Role.REGULATOR,),
    INSURER.id: (Role.INSURER,),
}


def admission(party: Party, *, host: bytes | UnsetType = UNSET) -> AdmitMember:
    """Return the change that admits a party; a hospital unless it is one of the three above."""
    roles = ROLES.get(party.id, (Role.HOSPITAL,))
    return AdmitMember(organisation=party.id, roles=roles, register_entry=f"GLN {party.name}", host=host)


def validator(party: Party, power: int = 1) -> SetValidator:
    """Return the change that makes a party a validator."""
    engine, cosigner = Party(f"{party.name} engine"), Party(f"{party.name} cosigner")
    return SetValidator(organisation=party.id, power=power, engine_key=engine.key, cosigning_key=cosigner.key)


def genesis_of(consortium: ConsortiumFounding, identity: IdentityFounding) -> bytes:
    """Return the canonical content of a genesis."""
    sections = {"consortium": msgspec.Raw(encode(consortium)), "identity": msgspec.Raw(encode(identity))}
    return encode(Genesis(name="small", time=FOUNDED_AT, sections=sections))


class SmallChain:
    """A founded chain that runs transactions one by one.

    Args:
        members: Founding members, each with its keys.
        validators: Founding validators; the first member alone when left out.
        parameters, rule_tables: Of the founding.
    """

    def __init__(
        self,
        members: tuple[Party, ...] = (HOSPITAL, REGULATOR, INSURER),
        *,
        validators: tuple[SetValidator, ...] = (),
        parameters: tuple[SetParameter, ...] = (),
        rule_tables: tuple[PutRuleTable, ...] = (),
    ) -> None:
        consortium = ConsortiumFounding(
            members=tuple(map(admission, members)),
            validators=validators or (validator(members[0]),),
            parameters=parameters,
            rule_tables=rule_tables,
        )
        identity = IdentityFounding(
            organisations=tuple(FoundingOrganisation(key=party.key, kem_key=party.kem_key) for party in members)
        )
        self.content = genesis_of(consortium, identity)
        self.store = Store(MemoryState())
        founding = found(CATALOGUE, decode_genesis(self.content), self.content, self.store)
        self.name, self.founding_events = founding.chain, tuple(founding.events)
        self.height, self.time = 0, FOUNDED_AT
        self.last_txid = bytes(32)
        assert self.breaches() == []

    def submit(self, party: Party, *messages: Message, actor: bytes | None = None) -> Outcome:
        """Run one transaction signed by `party`'s key, a second after the one before; return its outcome.

        Args:
            party: Whose key signs.
            messages: The entries.
            actor: Who acts, when it is not whom the key first belonged to (after a rotation).
        """
        self.height, self.time = self.height + 1, self.time + 1
        before = self.store.writes()
        outcome = self._execute(self.signed(party, *messages, actor=actor))
        if outcome.is_applied:
            assert self.breaches() == []
        else:
            assert self.store.writes() == before, "a refused transaction left a trace"
        return outcome

    def refusal(self, party: Party, *messages: Message, actor: bytes | None = None) -> tuple[Reason, int]:
        """Run one transaction that must be refused; return the reason and the number of the failed entry."""
        outcome = self.submit(party, *messages, actor=actor)
        assert not outcome.is_applied and outcome.events == ()
        assert outcome.failed_entry is not UNSET
        return CATALOGUE.reasons[outcome.code], outcome.failed_entry

    def can_write(self, party: Party, *, actor: bytes | None = None) -> bool:
        """Tell whether the party's key counts now."""
        return CATALOGUE.organisation_of_active_key(self.store, actor or party.id, party.key) is not None

    def row(self, table: Table[R], key: Key) -> R | None:
        """Return a row as it is now."""
        return table.get(self.store, key)

    def breaches(self) -> list[str]:
        """Return what breaks an invariant of any module."""
        invariants = [invariant for module in CATALOGUE.modules for invariant in module.invariants]
        return [breach for invariant in invariants for breach in invariant(self.store)]

    def signed(self, party: Party, *messages: Message, actor: bytes | None = None) -> Transaction:
        """Return a signed transaction of this chain."""
        entries = tuple(map(encode, messages))
        blind = digest(f"blind {self.height}")
        header = Header(
            version=1,
            chain=self.name,
            actor=actor or party.id,
            key=party.key,
            nonce=digest(f"nonce {self.height}")[:16],
            expires_at=self.time + 600,
            root=entries_root(entries, blind),
            count=len(entries),
        )
        envelope = Envelope(
            header=header,
            signature=party.sign(TX + encode(header)),
            blind=blind,
            entries=tuple(map(msgspec.Raw, entries)),
        )
        transaction = Transaction(encode(envelope), CATALOGUE.message_decoder)
        transaction.require_signature()
        return transaction

    def _execute(self, transaction: Transaction) -> Outcome:
        header, self.last_txid = transaction.header, transaction.txid
        organisation = CATALOGUE.organisation_of_active_key(self.store, header.actor, header.key)
        if organisation is None:
            return Outcome(code=int(MachineReason.KEY_NOT_ACTIVE))
        context = Context(
            chain=self.name,
            actor=header.actor,
            organisation=organisation,
            key=header.key,
            txid=transaction.txid,
            height=self.height,
            block_time=self.time,
            store=self.store,
        )
        return execute(CATALOGUE, context, transaction)

    # Messages that carry a proof

    def registration(
        self,
        party: Party,
        kind: ActorKind = ActorKind.STAFF,
        *,
        sponsor: Party = HOSPITAL,
        custody: Custody | UnsetType = UNSET,
    ) -> Register:
        """Return the registration of a party by a sponsor."""
        signed = registration_bytes(
            chain=self.name, sponsor=sponsor.id, kind=kind, key=party.key, kem_key=party.kem_key, custody=custody
        )
        return Register(kind=kind, key=party.key, kem_key=party.kem_key, proof=party.sign(signed), custody=custody)

    def rotation(
        self,
        rotated: bytes,
        new: Party,
        reason: RotationReason = RotationReason.ROUTINE,
        *,
        actor: bytes | UnsetType = UNSET,
        custody: Custody | UnsetType = UNSET,
    ) -> RotateKey:
        """Return the rotation of the actor `rotated` to the keys of `new`; `actor` as in the message."""
        signed = rotation_bytes(
            chain=self.name,
            actor=rotated,
            new_key=new.key,
            new_kem_key=new.kem_key,
            reason=reason,
            custody=custody,
        )
        return RotateKey(
            new_key=new.key,
            new_kem_key=new.kem_key,
            proof=new.sign(signed),
            reason=reason,
            actor=actor,
            custody=custody,
        )
