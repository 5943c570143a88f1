# SPDX-License-Identifier: Apache-2.0
"""A patient's wallet: one master secret, unrelated keys at each organisation, what was granted, and the own records.

The wallet builds and signs messages; sending them is the client's business. What stands on the ledger as a
commitment is kept here with its opening. Nothing in it is derived from who the patient is.

Source: architecture.md "Patients".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vervain.ledger.machine.module import Message
from vervain.ledger.modules.consent.messages import DenyAccess, GrantConsent, Purpose, WithdrawConsent, consent_id
from vervain.ledger.modules.identity.messages import (
    ActorKind,
    Custody,
    Register,
    RotateKey,
    RotationReason,
    registration_bytes,
    rotation_bytes,
)
from vervain.sdk.parcels import Parcel, open_parcel, seal_parcel
from vervain.sdk.wallet_errors import WalletError
from vervain.sdk.wallet_file import (
    GivenGrant,
    OwnRecord,
    ReceivedRecord,
    Relationship,
    WalletContent,
    read_wallet,
    write_wallet,
)
from vervain.sealing.commitments import Opening
from vervain.sealing.derivation import (
    RelationshipKeys,
    category_commitment,
    category_secret,
    new_master,
    relationship_keys,
)
from vervain.sealing.documents import DocumentKey, open_document
from vervain.sealing.notices import Notice, open_notice
from vervain.sealing.readers import ReaderClaim, ReaderOpening, commit_reader, verify_claim
from vervain.sealing.receipts import VerifiedReceipt
from vervain.sealing.signing import SignedTransaction, build_transaction
from vervain.sealing.trust import Trust
from vervain.sealing.wraps import WrapContext, unwrap, unwrap_all, wrap

SIGNING_SECONDS: Final = 600  # how long a transaction may wait to be ordered


class PreparedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant ready to be signed: the message, and what its commitments open to."""

    message: GrantConsent
    counterparty: bytes
    opening: ReaderOpening
    categories: tuple[str, ...]


class HandedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record as its custodian hands it over: number, names, 32-byte commitment, and the 112-byte wrap of its key."""

    counterparty: bytes
    record: int
    commitment: bytes
    wrap: bytes
    type: str
    id: str
    version: str

    def __repr__(self) -> str:
        return f"HandedRecord(record={self.record})"


class Wallet:
    """One patient's wallet on one chain.

    Attributes:
        chain: The chain's name and founding digest.
    """

    def __init__(self, chain: str, content: WalletContent) -> None:
        self.chain, self._content = chain, content
        self._derived: dict[tuple[bytes, int, int], RelationshipKeys] = {}

    @classmethod
    def create(cls, chain: str) -> Self:
        """Return a new wallet with a fresh master secret."""
        empty = WalletContent(masters=(new_master(),), relationships=(), records=(), grants=(), received=())
        return cls(chain, empty)

    @classmethod
    def load(cls, path: Path, *, chain: str, passphrase: str | None = None) -> Self:
        """Open a wallet file; without a passphrase only one that was kept in clear.

        Raises: WalletError, KeyFileRefused.
        """
        return cls(chain, read_wallet(path, passphrase=passphrase))

    def save(self, path: Path, *, passphrase: str | None = None) -> None:
        """Keep the wallet; in clear, for a demonstration, when there is no passphrase.

        Raises: WalletError, KeyFileRefused.
        """
        write_wallet(path, self._content, passphrase=passphrase)

    # Relationships and keys

    def join(self, counterparty: bytes) -> Relationship:
        """Begin a relationship with an organisation; return it, or the one there is."""
        known = self._find(counterparty)
        if known is not None:
            return known
        master = len(self._content.masters) - 1
        actor = relationship_keys(self._content.masters[master], counterparty).signing.actor
        return self._add(
            Relationship(counterparty=counterparty, actor=actor, master=master, epoch=0, category_master=master)
        )

    def registration(self, counterparty: bytes) -> Register:
        """Return the message by which the organisation registers this patient, with the new key's own signature."""
        keys = self.keys(counterparty)
        unproved = registration_bytes(
            chain=self.chain,
            sponsor=counterparty,
            kind=ActorKind.PATIENT,
            key=keys.signing.public_key,
            kem_key=keys.kem.public_key,
            custody=Custody.SELF,
        )
        return Register(
            kind=ActorKind.PATIENT,
            key=keys.signing.public_key,
            kem_key=keys.kem.public_key,
            proof=keys.signing.sign(unproved),
            custody=Custody.SELF,
        )

    @property
    def relationships(self) -> tuple[Relationship, ...]:
        """All relationships, in the order they began."""
        return self._content.relationships

    def relationship(self, counterparty: bytes) -> Relationship:
        """Return the relationship with an organisation.

        Raises: WalletError.
        """
        known = self._find(counterparty)
        if known is None:
            raise WalletError(
                "There is no relationship with this organisation",
                why="The wallet has no keys for it",
                do="Register there first.",
            )
        return known

    def keys(self, counterparty: bytes) -> RelationshipKeys:
        """Return the present keys of a relationship.

        Raises: WalletError.
        """
        known = self.relationship(counterparty)
        return self._keys(known.counterparty, known.master, known.epoch)

    def category_secret(self, counterparty: bytes) -> bytes:
        """Return the relationship's 32-byte category secret, to be told to that custodian and nobody else.

        Raises: WalletError.
        """
        known = self.relationship(counterparty)
        return category_secret(self._content.masters[known.category_master], counterparty)

    def sign(
        self, counterparty: bytes, messages: Sequence[Message], *, now: int, expires_at: int | None = None
    ) -> SignedTransaction:
        """Sign messages as the patient of one relationship. Messages of two relationships never share a transaction.

        Raises: WalletError, NotCanonical. Refuses: LimitExceeded(TOO_LARGE).
        """
        return build_transaction(
            messages,
            chain=self.chain,
            actor=self.relationship(counterparty).actor,
            key=self.keys(counterparty).signing,
            expires_at=now + SIGNING_SECONDS if expires_at is None else expires_at,
        )

    # Rotation and theft

    def renew_master(self) -> None:
        """Draw a new master secret, after a theft; each relationship moves to it by its next rotation."""
        self._content = replace(self._content, masters=(*self._content.masters, new_master()))

    def rotation(self, counterparty: bytes, reason: RotationReason) -> RotateKey:
        """Return the message that moves a relationship to the keys of the next epoch; sign it with the present one."""
        known, fresh = self.relationship(counterparty), self._next_keys(counterparty)
        proof = fresh.signing.sign(
            rotation_bytes(
                chain=self.chain,
                actor=known.actor,
                new_key=fresh.signing.public_key,
                new_kem_key=fresh.kem.public_key,
                reason=reason,
            )
        )
        return RotateKey(new_key=fresh.signing.public_key, new_kem_key=fresh.kem.public_key, proof=proof, reason=reason)

    def rotated(self, counterparty: bytes) -> None:
        """Move to the next epoch once the rotation is final, and wrap the own records for the new key."""
        known, fresh = self.relationship(counterparty), self._next_keys(counterparty)
        moved = replace(known, master=len(self._content.masters) - 1, epoch=fresh.epoch)
        records = tuple(
            self._rewrapped(each, moved, fresh) if each.counterparty == counterparty else each
            for each in self._content.records
        )
        relationships = tuple(moved if each is known else each for each in self._content.relationships)
        self._content = replace(self._content, relationships=relationships, records=records)

    # Consent

    def grant(
        self,
        counterparty: bytes,
        claim: ReaderClaim,
        *,
        organisation_key: bytes,
        purposes: Sequence[Purpose],
        valid_from: int,
        valid_until: int,
        categories: Sequence[str] = (),
        previous: bytes | UnsetType = UNSET,
    ) -> PreparedGrant:
        """Prepare a grant at one custodian for a reader, after checking who the reader is.

        Args:
            counterparty: The custodian.
            claim: The reader organisation's word for its fresh keys.
            organisation_key: 32-byte key that the ledger has for that organisation.
            purposes: At least one.
            valid_from: UTC seconds.
            valid_until: UTC seconds, excluded.
            categories: Codes; none means all.
            previous: The grant that this one replaces.

        Raises: WalletError, SealBroken when the organisation did not claim the reader for this patient.
        """
        known = self.relationship(counterparty)
        verify_claim(claim, organisation_key=organisation_key, grantor=known.actor, chain=self.chain)
        commitment, opening = commit_reader(claim)
        message = GrantConsent(
            reader_key=claim.reader,
            reader_kem_key=claim.reader_kem,
            reader_commitment=commitment,
            purposes=tuple(sorted(set(purposes))),
            categories=self._committed(counterparty, categories),
            valid_from=valid_from,
            valid_until=valid_until,
            previous=previous,
        )
        return PreparedGrant(
            message=message, counterparty=counterparty, opening=opening, categories=tuple(sorted(set(categories)))
        )

    def granted(self, prepared: PreparedGrant, *, txid: bytes, entry_index: int = 0) -> GivenGrant:
        """Keep a grant once it is final; return it with its id on the ledger."""
        given = GivenGrant(
            consent=consent_id(txid, entry_index),
            counterparty=prepared.counterparty,
            opening=prepared.opening,
            categories=prepared.categories,
            valid_from=prepared.message.valid_from,
            valid_until=prepared.message.valid_until,
        )
        grants = tuple(
            replace(each, ended=True) if each.consent == prepared.message.previous else each
            for each in self._content.grants
        )
        self._content = replace(self._content, grants=(*grants, given))
        return given

    def withdraw(self, consent: bytes) -> WithdrawConsent:
        """Return the message that ends a grant or denial; as easy to withdraw as to give (GDPR Art. 7(3))."""
        return WithdrawConsent(consent=consent)

    def withdrawn(self, consent: bytes) -> None:
        """Note that a grant has ended, once that is final."""
        grants = tuple(replace(each, ended=True) if each.consent == consent else each for each in self._content.grants)
        self._content = replace(self._content, grants=grants)

    def deny(
        self,
        counterparty: bytes,
        *,
        valid_from: int,
        valid_until: int,
        grant: bytes | UnsetType = UNSET,
        category: str | None = None,
        previous: bytes | UnsetType = UNSET,
    ) -> DenyAccess:
        """Return the message that forbids a grant, a category, or (neither named) everything at one custodian.

        Raises: WalletError.
        """
        committed = UNSET if category is None else self._committed(counterparty, (category,))[0]
        return DenyAccess(
            valid_from=valid_from, valid_until=valid_until, grant=grant, category=committed, previous=previous
        )

    @property
    def grants(self) -> tuple[GivenGrant, ...]:
        """All grants given, oldest first."""
        return self._content.grants

    def read_notice(self, counterparty: bytes, sealed: bytes, *, grant: bytes) -> Notice:
        """Open the notice of a read.

        Raises: WalletError, SealBroken.
        """
        return open_notice(sealed, kem=self.keys(counterparty).kem, chain=self.chain, grant=grant)

    # Records

    def keep_record(
        self,
        counterparty: bytes,
        *,
        record: int,
        commitment: bytes,
        wrapped: bytes,
        resource_type: str,
        resource_id: str,
        version: str,
    ) -> OwnRecord:
        """Keep the wrap of an own record, after checking that it opens with the present key.

        Raises: WalletError, SealBroken.
        """
        handed = HandedRecord(
            counterparty=counterparty,
            record=record,
            commitment=commitment,
            wrap=wrapped,
            type=resource_type,
            id=resource_id,
            version=version,
        )
        return self.keep_records([handed])[0]

    def keep_records(self, handed: Sequence[HandedRecord]) -> tuple[OwnRecord, ...]:
        """Keep the wraps of own records, all or none, after checking that each opens with the present key.

        Raises: WalletError, SealBroken.
        """
        own = tuple(map(self._own, handed))
        for counterparty in dict.fromkeys(each.counterparty for each in own):
            keys = self.keys(counterparty)
            some = [each for each in own if each.counterparty == counterparty]
            unwrap_all([each.wrap for each in some], keys.kem, [self._context(each, keys) for each in some])
        fresh = {each.commitment: each for each in own}
        others = tuple(each for each in self._content.records if each.commitment not in fresh)
        self._content = replace(self._content, records=(*others, *fresh.values()))
        return own

    @property
    def records(self) -> tuple[OwnRecord, ...]:
        """The own records, in the order they were kept."""
        return self._content.records

    def open_record(self, own: OwnRecord, ciphertext: bytes) -> bytes:
        """Return the stored bytes of an own record from its ciphertext, checked against its commitment.

        Raises: SealBroken.
        """
        return open_document(
            ciphertext,
            commitment=own.commitment,
            key=self._document_key(own),
            resource_type=own.type,
            resource_id=own.id,
            version=own.version,
        )

    def opening(self, own: OwnRecord) -> Opening:
        """Return what opens the commitment of an own record, to go with its receipt to whoever may see the document.

        Raises: SealBroken.
        """
        return Opening(type=own.type, id=own.id, version=own.version, salt=self._document_key(own).salt)

    def send_record(self, own: OwnRecord, *, ciphertext: bytes, receipt: bytes, recipient: bytes) -> bytes:
        """Return an own record as a parcel sealed to another wallet's 32-byte X25519 key.

        Args:
            own: Which record.
            ciphertext: As the custodian keeps it.
            receipt: Its receipt file's bytes.
            recipient: The receiver's key.

        Raises: SealBroken, SealingError, WalletError when it is too large.
        """
        document = self.open_record(own, ciphertext)
        return seal_parcel(Parcel(document=document, opening=self.opening(own), receipt=receipt), recipient)

    def receive(self, counterparty: bytes, parcel: bytes, trust: Trust, *, now: int) -> VerifiedReceipt:
        """Open a parcel sealed to a relationship's key, verify document, opening and receipt, and keep it.

        Raises: SealBroken, DamagedProof, ProofError, WalletError.
        """
        opened, verified = open_parcel(parcel, self.keys(counterparty).kem, trust)
        kept = ReceivedRecord(document=opened.document, opening=opened.opening, receipt=opened.receipt, received_at=now)
        self._content = replace(self._content, received=(*self._content.received, kept))
        return verified

    @property
    def received(self) -> tuple[ReceivedRecord, ...]:
        """Records that others sent, oldest first."""
        return self._content.received

    # Inner parts

    def _find(self, counterparty: bytes) -> Relationship | None:
        return next((each for each in self._content.relationships if each.counterparty == counterparty), None)

    def _add(self, relationship: Relationship) -> Relationship:
        self._content = replace(self._content, relationships=(*self._content.relationships, relationship))
        return relationship

    def _keys(self, counterparty: bytes, master: int, epoch: int) -> RelationshipKeys:
        derived = self._derived.get((counterparty, master, epoch))
        if derived is None:
            derived = relationship_keys(self._content.masters[master], counterparty, epoch)
            self._derived[counterparty, master, epoch] = derived
        return derived

    def _next_keys(self, counterparty: bytes) -> RelationshipKeys:
        known = self.relationship(counterparty)
        return self._keys(counterparty, len(self._content.masters) - 1, known.epoch + 1)

    def _committed(self, counterparty: bytes, codes: Sequence[str]) -> tuple[bytes, ...]:
        secret = self.category_secret(counterparty)
        return tuple(sorted({category_commitment(secret, code) for code in codes}))

    def _context(self, own: OwnRecord, keys: RelationshipKeys) -> WrapContext:
        return WrapContext(
            purpose="own",
            commitment=own.commitment,
            recipient=keys.kem.public_key,
            chain=self.chain,
            scope=self.relationship(own.counterparty).actor,
            epoch=keys.epoch,
        )

    def _own(self, handed: HandedRecord) -> OwnRecord:
        known = self.relationship(handed.counterparty)
        return OwnRecord(
            record=handed.record,
            counterparty=handed.counterparty,
            commitment=handed.commitment,
            wrap=handed.wrap,
            master=known.master,
            epoch=known.epoch,
            type=handed.type,
            id=handed.id,
            version=handed.version,
        )

    def _document_key(self, own: OwnRecord) -> DocumentKey:
        keys = self._keys(own.counterparty, own.master, own.epoch)
        return unwrap(own.wrap, keys.kem, self._context(own, keys))

    def _rewrapped(self, own: OwnRecord, moved: Relationship, fresh: RelationshipKeys) -> OwnRecord:
        wrapped = wrap(self._document_key(own), self._context(own, fresh))
        return replace(own, wrap=wrapped, master=moved.master, epoch=moved.epoch)
