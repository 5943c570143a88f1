# SPDX-License-Identifier: Apache-2.0
"""One member's desk on a node: its keys, its vault, what it commits to, hands out and erases.

A node serves its own organisation and small members beside it; each has a desk of its own, and no desk sees another's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Final

import msgspec

from vervain.ledger.machine.store import Store
from vervain.ledger.modules.identity import queries as identity
from vervain.node.access import AccessLog
from vervain.node.asking import AskingBounds
from vervain.node.category_secrets import CategorySecrets
from vervain.node.committing import Committer
from vervain.node.directory import ACCESS, KEYS, OUTBOX, SECRETS_FILE, SLOT_BACKUPS, SLOT_KEYS, VAULT
from vervain.node.erasing import ErasureDesk
from vervain.node.founding import KEM_KEY_FILE, SIGNING_KEY_FILE
from vervain.node.outbox import Outbox
from vervain.node.sending import Ledger, Sender
from vervain.sealing.documents import ciphertext_bytes
from vervain.sealing.keys import KemKey, read_kem_key, read_signing_key
from vervain.sealing.read_requests import RECORDS_MAX
from vervain.sealing.release_requests import ReleaseRequest
from vervain.vault.documents import NewDocument, RecordWrap, StoredDocument
from vervain.vault.erasure_certificates import SignedErasureCertificate
from vervain.vault.errors import VaultError
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.look_up import PAGE_DOCUMENTS_MAX
from vervain.vault.release import Release, ReleaseDesk
from vervain.vault.slot_backups import SlotBackups
from vervain.vault.vault import Vault

ERASURES_ASKED_MAX: Final = 1  # over HTTP at one desk, waiting or under way: each holds one of the threads of all


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


class MemberDesk(Sender):
    """One member's business on a node.

    Args:
        node: The ledger to ask.
        folder: The member's folder in the data directory.
        backup_keys: Folder of the keys of this member's slots backups.
        backup_seconds: After how long such a backup lapses.
        vault_bytes_max: How much ciphertext a hosted member may keep here, erased documents aside; None: as much as
            there is room for.

    Attributes:
        asking: How often one key may ask.
        erasures_asked: Who erases over HTTP takes one, without waiting for it.
    """

    def __init__(
        self, node: Ledger, folder: Path, *, backup_keys: Path, backup_seconds: int, vault_bytes_max: int | None = None
    ) -> None:
        super().__init__(node, bytes.fromhex(folder.name), read_signing_key(folder / KEYS / SIGNING_KEY_FILE))
        self.kem: KemKey = read_kem_key(folder / KEYS / KEM_KEY_FILE)
        self.accesses = AccessLog(folder / ACCESS)
        self.secrets = CategorySecrets(folder / SECRETS_FILE)
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
        self._outbox = Outbox(folder / OUTBOX)
        self._committer = Committer(self, self.vault, self._outbox)
        self._erasures = ErasureDesk(self, self.vault, self._outbox, self.secrets)
        self.asking = AskingBounds()
        self.erasures_asked = BoundedSemaphore(ERASURES_ASKED_MAX)
        self._release = ReleaseDesk(self.vault, view=node.view, clock=node.clock, categories=self, bounds=self.asking)

    def close(self) -> None:
        """Close vault and access audit."""
        self.vault.close()
        self.accesses.close()

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
        with self._settled() as numbered:
            return numbered + self._committer.commit(progress)

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
        self, subject: bytes, *, after: int = 0, count: int = PAGE_DOCUMENTS_MAX, known: frozenset[bytes] = frozenset()
    ) -> WrapsPage:
        """Wrap some of a patient's numbered documents for its own wallet, written down like every release.

        Args:
            subject: 32-byte pseudonym here.
            after: Go on behind this place; 0, or the `next` of a page.
            count: At most so many documents, of which those that the wallet has are left out.
            known: Commitments that the wallet has already.

        Refuses: NotFound when the patient is not registered. Raises: StorageError.
        """
        count = min(count, PAGE_DOCUMENTS_MAX)
        with self.node.view() as state:
            actor = identity.require_actor(Store(state), subject)
        page = self.vault.of_subject(subject, after=after, count=count)
        numbered = [each for each in page if each.record and each.commitment not in known]
        wraps = self.vault.hand_to_patient(numbered, recipient=actor.kem_key, epoch=actor.epoch, now=self.now)
        return WrapsPage(
            epoch=actor.epoch,
            wraps=tuple(zip(numbered, wraps, strict=True)),
            next=page[-1].document if len(page) == count else 0,
        )

    def back_up_slots(self) -> Path:
        """Write an encrypted backup of the slots, after destroying those that have lapsed; return its file.

        Raises: VaultError, StorageError.
        """
        now = self.now
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
        """Erase a relationship; see `ErasureDesk`.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, NotApplied, Unreachable, StorageError.
        """
        with self._settled():
            return self._erasures.erase_subject(subject)

    def erase_record(self, record: int) -> tuple[SignedErasureCertificate, ...]:
        """Erase one document by its record's number; the subject's others stay.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, KeyErased, NotApplied, Unreachable, StorageError.
        """
        with self._settled():
            return self._erasures.erase_record(record)

    @contextmanager
    def _settled(self) -> Iterator[int]:
        """Settle what was on its way and keep others out; gives how many documents of that got a number."""
        with self._committing:
            numbered = self._committer.settle()
            self._erasures.settle()
            yield numbered

    # Category assignment (vault/release.py)

    def categories_of(self, document: StoredDocument) -> frozenset[str]:
        """Return the consent category that the import assigned."""
        return frozenset({document.category}) if document.category else frozenset()

    def secret_of(self, subject: bytes) -> bytes | None:
        """Return the category secret that the patient told, or None."""
        return self.secrets.get(subject)
