# SPDX-License-Identifier: Apache-2.0
"""One member's desk on a node: its keys, its vault, and how documents get from the vault to the ledger.

A node serves its own organisation and small members beside it; each has a desk of its own, and no desk sees another's.
Documents are committed in random order, never in that of care or of a file: order would join a patient's pseudonyms at
two organisations.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from vervain.engines.engine import FinalOutcome
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED, Conflict, MachineReason
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.records import queries as records
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    EraseRecord,
    RecordCommitted,
    RecordsReason,
    RecordSuperseded,
    SupersedeRecord,
)
from vervain.ledger.primitives.errors import VervainError
from vervain.node.access import AccessLog
from vervain.node.asking import AskingBounds
from vervain.node.category_secrets import CategorySecrets
from vervain.node.founding import KEM_KEY_FILE, SIGNING_KEY_FILE
from vervain.node.outbox import NO_CERTIFICATE, Outbox, OutgoingCommit, OutgoingErasure, signer_of
from vervain.sealing.documents import ciphertext_bytes
from vervain.sealing.keys import KemKey, SigningKey, read_kem_key, read_signing_key
from vervain.sealing.read_requests import RECORDS_MAX
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.signing import SignedTransaction, build_transaction
from vervain.vault.erasure import SignedErasureCertificate
from vervain.vault.errors import VaultError
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.release import OWN_WRAPS_MAX, Release, ReleaseDesk
from vervain.vault.slot_backups import SlotBackups
from vervain.vault.vault import NewDocument, RecordWrap, StoredDocument, Vault

COMMITS_PER_TRANSACTION: Final = 100
TRANSACTIONS_IN_FLIGHT: Final = 32
TRANSACTIONS_PER_GROUP: Final = 16  # submitted at once, while the outcomes of the group before are written down
EXPIRY_SECONDS: Final = 600
ANSWER_SECONDS: Final = 60.0
VERSIONS_MAX: Final = 10_000  # of one document, followed to the current one

ACCESS: Final = "access"
SLOT_BACKUPS: Final = "slot-backups"
SLOT_KEYS: Final = "slot-keys"
VAULT: Final = "vault"

T = TypeVar("T")


class NotApplied(VervainError):
    """The ledger refused what a desk asked for.

    Attributes:
        outcome: The final outcome.
    """

    def __init__(self, outcome: FinalOutcome) -> None:
        reason = CATALOGUE.reasons[outcome.code]
        super().__init__(reason.what, why=outcome.why, do=reason.do)
        self.outcome, self.reason = outcome, reason


class WrapsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Own documents of a patient, each with its key wrapped to the patient's own wallet.

    Attributes:
        epoch: Of the key that they are wrapped to.
        wraps: The documents and their wraps.
        next: The `after` of the following page; 0 on the last.
    """

    epoch: int
    wraps: tuple[tuple[StoredDocument, RecordWrap], ...]
    next: int


class Ledger(Protocol):
    """What a desk needs of its node."""

    @property
    def chain(self) -> str: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    def submit_many(self, encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]": ...
    def view(self) -> AbstractContextManager[CommittedState]: ...
    def outcome_of(self, txid: bytes) -> FinalOutcome | None: ...


class _Ready(NamedTuple):
    """A document to commit to, and the record that it supersedes; 0 for none."""

    document: StoredDocument
    supersedes: int


class MemberDesk:
    """One member's business on a node.

    Args:
        node: The ledger to ask.
        folder: The member's folder in the data directory.
        backup_keys: Folder of the keys of this member's slots backups.
        backup_seconds: After how long such a backup lapses.
        vault_bytes_max: How much ciphertext a hosted member may keep here, erased documents aside; None: as much as
            there is room for.
    """

    def __init__(
        self, node: Ledger, folder: Path, *, backup_keys: Path, backup_seconds: int, vault_bytes_max: int | None = None
    ) -> None:
        self._node = node
        self.signing: SigningKey = read_signing_key(folder / "keys" / SIGNING_KEY_FILE)
        self.kem: KemKey = read_kem_key(folder / "keys" / KEM_KEY_FILE)
        self.organisation = bytes.fromhex(folder.name)
        self.accesses = AccessLog(folder / ACCESS)
        self.secrets = CategorySecrets(folder / "category.secrets")
        (folder / SLOT_KEYS).mkdir(exist_ok=True, mode=0o700)
        (folder / SLOT_BACKUPS).mkdir(exist_ok=True, mode=0o700)
        backup_keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        holder = SoftwareKeyHolder(backup_keys, name=f"backup-{self.organisation.hex()[:16]}")
        self.slot_backups = SlotBackups(folder / SLOT_BACKUPS, holder, retention_seconds=backup_seconds)
        self.vault = Vault(
            folder / VAULT,
            custodian=self.organisation,
            chain=node.chain,
            holder=SoftwareKeyHolder(folder / SLOT_KEYS),
            accesses=self.accesses,
            backups=self.slot_backups,
        )
        for subject in self.vault.erased_on_opening:
            self.secrets.forget(subject)
        self._vault_bytes_max = vault_bytes_max
        self._keeping, self._committing = Lock(), Lock()  # against the quota; with the outbox
        self._outbox = Outbox(folder / "outbox")
        self.asking = AskingBounds()
        self._release = ReleaseDesk(self.vault, view=node.view, clock=node.clock, categories=self, bounds=self.asking)

    def close(self) -> None:
        """Close vault and access audit."""
        self.vault.close()
        self.accesses.close()

    # The ledger

    def sign(self, messages: Sequence[Message]) -> SignedTransaction:
        """Sign messages as this organisation."""
        return build_transaction(
            messages,
            chain=self._node.chain,
            actor=self.organisation,
            key=self.signing,
            expires_at=int(self._node.clock()) + EXPIRY_SECONDS,
        )

    def send(self, *messages: Message) -> FinalOutcome:
        """Sign and submit messages as one transaction; return its outcome when it is applied and durable.

        Raises: NotApplied, Unreachable.
        """
        return self.submit(self.sign(messages).encoded)

    def submit(self, encoded: bytes) -> FinalOutcome:
        """Submit a transaction that somebody else signed; return its outcome when it is applied and durable.

        Raises: NotApplied, Unreachable.
        """
        (outcome,) = self._node.submit_many([encoded]).result(ANSWER_SECONDS)
        if outcome.code != APPLIED:
            raise NotApplied(outcome)
        return outcome

    def send_all(self, messages: Sequence[Message], progress: Callable[[int], None] = lambda done: None) -> None:
        """Send many independent messages in batches; the order of messages is the caller's.

        Raises: NotApplied, Unreachable.
        """
        for some in _in_groups(messages, COMMITS_PER_TRANSACTION * TRANSACTIONS_IN_FLIGHT):
            signed = [self.sign(batch).encoded for batch in _in_groups(some, COMMITS_PER_TRANSACTION)]
            for outcome in self._node.submit_many(signed).result(ANSWER_SECONDS):
                if outcome.code != APPLIED:
                    raise NotApplied(outcome)
            progress(len(some))

    # Documents

    def keep(self, documents: Sequence[NewDocument]) -> tuple[StoredDocument, ...]:
        """Seal documents into the vault, durably; `commit_kept` puts their commitments on the ledger.

        Raises: AlreadyStored, VaultError when a hosted member's quota is used up, Full, StorageError.
        """
        if self._vault_bytes_max is None:
            return self.vault.put(documents)
        more = sum(ciphertext_bytes(len(each.stored)) for each in documents)
        with self._keeping:
            if self.vault.kept_bytes + more > self._vault_bytes_max:
                raise VaultError(
                    "The hosted member's vault is full",
                    why=f"Its host agreed to {self._vault_bytes_max} bytes of documents that are not erased",
                    do="Erase some, ask the host for a larger vault_bytes_max, or move to a node of your own.",
                )
            return self.vault.put(documents)

    def commit_kept(self, progress: Callable[[int], None] = lambda done: None) -> int:
        """Commit to every kept document that has no record number yet, in random order; return how many.

        A further version of a document supersedes the record of the version before, which is committed to first.
        May be interrupted at any point and called again: each document gets exactly one record.

        Raises: NotApplied, Unreachable.
        """
        with self._committing:
            done = self._settle_outbox()
            self._settle_erasures()
            while ready := self._ready():
                secrets.SystemRandom().shuffle(ready)
                for some in self._committed_groups(ready):
                    progress(some)
                    done += some
            return done

    def _ready(self) -> list[_Ready]:
        """Return the documents without a number whose version before, if there is one, has a number."""
        ready = []
        with self._node.view() as state:
            store = Store(state)
            unnumbered = tuple(self.vault.unnumbered())
            for document, former in zip(unnumbered, self.vault.former_versions(unnumbered), strict=True):
                if former is None or former.subject != document.subject:
                    ready.append(_Ready(document, 0))
                elif former.record:
                    ready.append(_Ready(document, _current_after(store, former.record)))
        return ready

    def _committed_groups(self, ready: Sequence[_Ready]) -> Iterator[int]:
        """Commit to documents, a group being ordered while the one before is numbered; yield how many at a time."""
        underway: deque[tuple[list[OutgoingCommit], Future[list[FinalOutcome]]]] = deque()
        for some in _in_groups(ready, COMMITS_PER_TRANSACTION * TRANSACTIONS_PER_GROUP):
            outgoing = [self._outgoing(batch) for batch in _in_groups(some, COMMITS_PER_TRANSACTION)]
            for each in outgoing:
                self._outbox.put(each)
            underway.append((outgoing, self._node.submit_many([each.encoded for each in outgoing])))
            if len(underway) == TRANSACTIONS_IN_FLIGHT // TRANSACTIONS_PER_GROUP:
                yield self._number_group(*underway.popleft())
        while underway:
            yield self._number_group(*underway.popleft())

    def _number_group(self, outgoing: Sequence[OutgoingCommit], outcomes: "Future[list[FinalOutcome]]") -> int:
        for each, outcome in zip(outgoing, outcomes.result(ANSWER_SECONDS), strict=True):
            self._number(each, outcome)
        return sum(len(each.documents) for each in outgoing)

    def _outgoing(self, ready: Sequence[_Ready]) -> OutgoingCommit:
        documents = [each.document for each in ready]
        messages: list[Message] = [
            SupersedeRecord(record=previous, commitment=document.commitment)
            if previous
            else CommitRecord(subject=document.subject, commitment=document.commitment)
            for document, previous in ready
        ]
        signed = self.sign(messages)
        return OutgoingCommit(
            encoded=signed.encoded,
            txid=signed.txid,
            expires_at=int(self._node.clock()) + EXPIRY_SECONDS,
            documents=tuple(each.document for each in documents),
        )

    def _settle_outbox(self) -> int:
        """Find out what became of transactions that were on their way when this desk stopped.

        An answer without a place in the log (expired, a key replaced since, a full pool) says nothing about an earlier
        time: the log is asked. Only what can never be ordered any more is forgotten, and signed anew with the rest;
        that it never can is found out first, so that the log cannot grow by it after it was asked.
        """
        done = 0
        for outgoing in self._outbox:
            answer = self._node.submit_many([outgoing.encoded]).result(ANSWER_SECONDS)[0]
            is_over = self._is_over(outgoing, answer)
            outcome = self._node.outcome_of(outgoing.txid) if answer.height is msgspec.UNSET else answer
            if outcome is not None:
                self._number(outgoing, outcome)
                done += len(outgoing.documents)
            elif is_over:
                self._outbox.remove(outgoing.txid)
            else:
                raise NotApplied(answer)
        return done

    def _is_over(self, outgoing: OutgoingCommit, answer: FinalOutcome) -> bool:
        """Tell whether a transaction that got no place can never get one: it expired, or its key was replaced.

        A key that was replaced never counts again (identity: a key is used once, its end is never taken back), while a
        suspended member's key may.
        """
        if outgoing.expires_at < self._node.clock() - EXPIRY_SECONDS or answer.code == MachineReason.EXPIRED:
            return True
        if answer.code != MachineReason.KEY_NOT_ACTIVE:
            return False
        with self._node.view() as state:
            return identity.is_revoked(Store(state), signer_of(outgoing))

    def _number(self, outgoing: OutgoingCommit, outcome: FinalOutcome) -> None:
        if outcome.code != APPLIED:
            self._outbox.remove(outgoing.txid)
            raise NotApplied(outcome)
        numbers = [self._committed(event) for event in outcome.events]
        numbered = list(zip(outgoing.documents, numbers, strict=True))
        live = self.vault.live_among(outgoing.documents)
        self.vault.assign_records([each for each in numbered if each[0] in live])
        erased = tuple(number for document, number in numbered if document not in live)
        if erased:  # erased while they were on their way: what reached the ledger gets its tombstone
            self._outbox.put_erasure(OutgoingErasure(subject=bytes(32), records=erased))
        self._outbox.remove(outgoing.txid)

    def _committed(self, event: object) -> int:
        decoded = CATALOGUE.event_decoder.decode(event) if isinstance(event, msgspec.Raw) else event
        assert isinstance(decoded, RecordCommitted | RecordSuperseded)
        return decoded.record

    # Patients

    def wraps_for(
        self, subject: bytes, *, known: frozenset[bytes] = frozenset()
    ) -> Iterator[tuple[StoredDocument, RecordWrap]]:
        """Yield the numbered documents of a patient, each with its key wrapped to the patient's own wallet.

        Args:
            subject: 32-byte pseudonym here.
            known: Commitments that the wallet has already.

        Refuses: NotFound when the patient is not registered. Raises: StorageError.
        """
        page = self.wraps_page(subject, known=known)
        yield from page.wraps
        while page.next:
            page = self.wraps_page(subject, after=page.next, known=known)
            yield from page.wraps

    def wraps_page(
        self, subject: bytes, *, after: int = 0, count: int = OWN_WRAPS_MAX, known: frozenset[bytes] = frozenset()
    ) -> WrapsPage:
        """Wrap some of a patient's numbered documents for its own wallet, written down like every release.

        Args:
            subject: 32-byte pseudonym here.
            after: Go on behind this place; 0, or the `next` of a page.
            count: At most so many documents, of which those that the wallet has are left out.
            known: Commitments that the wallet has already.

        Refuses: NotFound when the patient is not registered. Raises: StorageError.
        """
        count = min(count, OWN_WRAPS_MAX)
        with self._node.view() as state:
            actor = identity.require_actor(Store(state), subject)
        page = self.vault.of_subject(subject, after=after, count=count)
        numbered = [each for each in page if each.record and each.commitment not in known]
        wraps = self._release.hand_to_patient(numbered, recipient=actor.kem_key, epoch=actor.epoch)
        return WrapsPage(
            epoch=actor.epoch,
            wraps=tuple(zip(numbered, wraps, strict=True)),
            next=page[-1].document if len(page) == count else 0,
        )

    def back_up_slots(self) -> Path:
        """Write an encrypted backup of the slots, after destroying those that have lapsed; return its file.

        Raises: VaultError, StorageError.
        """
        now = int(self._node.clock())
        self.slot_backups.lapse(now=now)
        return self.vault.back_up_slots(now=now)

    def release(
        self, asked: ReleaseRequest, *, documents_max: int = RECORDS_MAX, bytes_max: int | None = None
    ) -> Release:
        """Hand out what a final read request may have; arguments as at the release desk.

        Raises: NotReleased, AskedTooOften, TooLargeToRelease, SealBroken, StorageError.
        """
        return self._release.release(asked, documents_max=documents_max, bytes_max=bytes_max)

    def erase_subject(self, subject: bytes) -> tuple[SignedErasureCertificate, ...]:
        """Erase a relationship: destroy its keys, put the tombstones on the ledger, return the certificates.

        What the ledger would refuse is refused before anything is destroyed, and the tombstones are written down
        before,
        so that a crash at any point leaves them to the next `commit_kept` or erasure.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, NotApplied, StorageError.
        """
        with self._committing:
            self._settle_outbox()
            self._settle_erasures()
            numbers = tuple(each.record for each in self._all_of(subject) if each.record)

            def destroy() -> tuple[SignedErasureCertificate, ...]:
                certificates = self.vault.erase_subject(subject, key=self.signing, now=int(self._node.clock()))
                self.secrets.forget(subject)
                return certificates

            return self._erase(OutgoingErasure(subject=subject, records=numbers), destroy)

    def erase_record(self, record: int) -> tuple[SignedErasureCertificate, ...]:
        """Erase one document by its record's number, as `erase_subject` erases all; the subject's others stay.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, KeyErased, NotApplied, StorageError.
        """
        with self._committing:
            self._settle_outbox()
            self._settle_erasures()
            kept = self.vault.of_record(record)

            def destroy() -> tuple[SignedErasureCertificate, ...]:
                return self.vault.erase_documents([kept.document], key=self.signing, now=int(self._node.clock()))

            outgoing = OutgoingErasure(subject=kept.subject, records=(record,), documents=(kept.document,))
            return self._erase(outgoing, destroy)

    def _erase(
        self, outgoing: OutgoingErasure, destroy: Callable[[], tuple[SignedErasureCertificate, ...]]
    ) -> tuple[SignedErasureCertificate, ...]:
        """Ask the ledger's rule, write the tombstones down, destroy, put the tombstones on the ledger."""
        with self._node.view() as state:
            _require_undisputed(Store(state), outgoing.records)
        self._outbox.put_erasure(outgoing)
        certificates = destroy()
        self._outbox.put_erasure(msgspec.structs.replace(outgoing, certificate_digest=certificates[0].digest()))
        self._settle_erasures()
        return certificates

    def _settle_erasures(self) -> None:
        """Put the tombstones of what was erased on the ledger."""
        for outgoing in self._outbox.erasures():
            if outgoing.certificate_digest == NO_CERTIFICATE:
                if self.vault.is_erasing:  # it broke off: opening the vault again carries it out, and settles this
                    continue
                if self._is_kept(outgoing):
                    self._outbox.remove_erasure(outgoing)  # nothing was destroyed: whoever asked for it asks again
                    continue
            with self._node.view() as state:
                store = Store(state)
                rows = [(number, records.record(store, number)) for number in outgoing.records]
            self.send_all(
                [
                    EraseRecord(record=number, certificate_digest=outgoing.certificate_digest)
                    for number, row in rows
                    if row is not None and row.status != "erased"
                ]
            )
            self._outbox.remove_erasure(outgoing)

    def _is_kept(self, outgoing: OutgoingErasure) -> bool:
        """Tell whether what was to be erased is still here."""
        if outgoing.documents is not msgspec.UNSET:
            return any(self.vault.is_live(each) for each in outgoing.documents)
        return bool(self.vault.of_subject(outgoing.subject, count=1))

    def _all_of(self, subject: bytes) -> Iterator[StoredDocument]:
        after = 0
        while page := self.vault.of_subject(subject, after=after):
            after = page[-1].document
            yield from page

    # Category assignment (vault/release.py)

    def categories_of(self, document: StoredDocument) -> frozenset[str]:
        """Return the consent category that the import assigned."""
        return frozenset({document.category}) if document.category else frozenset()

    def secret_of(self, subject: bytes) -> bytes | None:
        """Return the category secret that the patient told, or None."""
        return self.secrets.get(subject)


def _current_after(store: Store, number: int) -> int:
    """Return the current version of a record's chain, or 0 when nothing may supersede it (another patient's,
    erased).
    """
    row = records.record(store, number)
    for _ in range(VERSIONS_MAX):
        if row is None or row.status not in ("superseded", "corrected") or row.superseded_by is msgspec.UNSET:
            break
        number = row.superseded_by
        row = records.record(store, number)
    return number if row is not None and row.status == "current" else 0


def _require_undisputed(store: Store, numbers: Sequence[int]) -> None:
    for number in numbers:
        row = records.record(store, number)
        if row is not None and row.dispute is not msgspec.UNSET and row.dispute.status == "open":
            raise Conflict(RecordsReason.DISPUTE_OPEN, record=number)


def _in_groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
