# SPDX-License-Identifier: Apache-2.0
"""The vault: one custodian's encrypted documents, kept off the ledger.

```
packs/        ciphertexts, append-only        index/       where each is, sealed under its slot (LMDB)
slots.bin     the key slots                   erasures/    what was erased, append-only
releases/     every key handed out, append-only   notices/   sealed to the patients, append-only
```
Rules kept:
1. `put` returns when slots, packs and index are on the disk, in this order; a crash in between leaves nothing that
   counts.
2. Nothing is read before the access is on the disk; no key is handed out before the release is, and under a grant
   before the sealed notice is kept for the patient.
3. An erasure is written to the erasures list first and carried out after; opening carries out what is still open,
   and so whatever an older copy of packs, index and slots does not know of, before it serves. So does every `put` and
   erasure of a running vault, before anything else: nothing is kept under a key that is yet to be destroyed, and no
   erasure overtakes another. Notices stay: they are sealed to the patient, and the custodian cannot read them.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Final, Self

import msgspec

from vervain.ledger.primitives.codec import decode, encode
from vervain.sealing.documents import open_document, seal_document
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import SigningKey
from vervain.sealing.wraps import Purpose, WrapContext, wrap, wrap_all
from vervain.storage.files import FileLayer, RealFiles, hold_directory
from vervain.storage.findings import Finding
from vervain.vault.accesses import AccessAudit, AccessEntry
from vervain.vault.audit import audit_vault
from vervain.vault.chained_log import ChainedLog
from vervain.vault.documents import NewDocument, RecordWrap, StoredDocument, facts_of
from vervain.vault.erasing import Eraser
from vervain.vault.erasure_certificates import DOCUMENTS_PER_ERASURE_MAX, Erasure, SignedErasureCertificate
from vervain.vault.errors import AlreadyStored, Tampered, VaultError
from vervain.vault.index import (
    INDEX_BYTES_MAX,
    UNCOUNTED,
    Index,
    IndexHead,
    IndexView,
    Row,
    Tokens,
    seal_row,
)
from vervain.vault.key_holder import KeyHolder
from vervain.vault.layout import ERASURES, INDEX, NOTICES, PACKS, RELEASES, SLOTS
from vervain.vault.look_up import PAGE_DOCUMENTS_MAX, LookUp, not_stored
from vervain.vault.notices import NoticeLog
from vervain.vault.packs import Packs
from vervain.vault.releases import ReleaseEntry, ReleaseLog
from vervain.vault.slot_backups import SlotBackups
from vervain.vault.slot_format import Slot
from vervain.vault.slots import Slots

BATCH_DOCUMENTS_MAX: Final = 10_000
BATCH_BYTES_MAX: Final = 2**30  # stored bytes of one batch: the largest document alone


class Vault(LookUp):
    """One custodian's vault, opened. Writes come one at a time; reads from any thread. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        *,
        custodian: bytes,
        chain: str,
        holder: KeyHolder,
        accesses: AccessAudit,
        backups: SlotBackups | None = None,
        files: FileLayer | None = None,
        index_bytes_max: int = INDEX_BYTES_MAX,
    ) -> None:
        """Open, or begin, a vault, and carry out every erasure that it does not know of yet.

        Args:
            directory: The vault's folder.
            custodian: 32-byte id of whose vault it is.
            chain: The chain's name and founding digest.
            holder: Keeps the slots file's key, and no other key.
            accesses: Where the custodian's own reads are written down.
            backups: The backups of the slots, when there are any; they decide when an erasure is complete.
            files: The file layer of packs and lists.
            index_bytes_max: Room set aside for the index.

        Raises: StorageError, VaultError, SealingError.
        """
        layer = RealFiles() if files is None else files
        layer.make_directory(directory)
        self.directory, self.chain = directory, chain
        self._holder, self._accesses, self._files = holder, accesses, layer
        self._lock = RLock()
        with ExitStack() as stack:
            stack.enter_context(hold_directory(directory))
            layer.make_directory(directory / INDEX)
            index = Index(directory / INDEX, bytes_max=index_bytes_max)
            stack.callback(index.close)
            with index.view() as view:
                head = view.head()
            slots = Slots(directory / SLOTS, holder, is_new=head == IndexHead())
            super().__init__(index, slots, Tokens(slots.index_key), custodian=custodian)
            with index.view() as view:
                view.verify_head(self._tokens)
            self._packs = Packs(directory / PACKS, head.end, files=layer)
            stack.callback(self._packs.close)
            self._erasures = ChainedLog(directory / ERASURES, tag=ERASURES, files=layer)
            stack.callback(self._erasures.close)
            self.releases = ReleaseLog(directory / RELEASES, files=layer)
            stack.callback(self.releases.close)
            self.notices = NoticeLog(directory / NOTICES, files=layer)
            stack.callback(self.notices.close)
            self._eraser = Eraser(self._index, self._slots, self._tokens, custodian=custodian)
            self.erased_on_opening = self._replay_erasures(head)  # subjects: what else is kept of them must go too
            self._eraser.count_live()
            self._backups = backups
            self._open = stack.pop_all()

    def close(self) -> None:
        """Close every file and let the folder go."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Keeping

    def put(self, batch: Sequence[NewDocument]) -> tuple[StoredDocument, ...]:
        """Seal and keep a batch of document versions, durably and whole; return them in order.

        Raises: AlreadyStored when a version is kept already or stands twice in the batch, Full, StorageError,
        VaultError; StorageError also while an erasure that broke off cannot be finished.
        """
        if len(batch) > BATCH_DOCUMENTS_MAX or sum(len(each.stored) for each in batch) > BATCH_BYTES_MAX:
            raise VaultError(
                "The batch is too large",
                why=f"{BATCH_DOCUMENTS_MAX} documents and {BATCH_BYTES_MAX} bytes are the most",
                do="Put it in several.",
            )
        with self._lock:
            self._finish_erasures()
            names = [self._tokens.name(self.custodian, each.resource_type, each.resource_id) for each in batch]
            with self._index.view() as view:
                self._require_new(view, batch, names)
                head = view.head()
                slots, fresh = self._slots_for(view, batch)
            sealed = [
                seal_document(
                    each.stored, resource_type=each.resource_type, resource_id=each.resource_id, version=each.version
                )
                for each in batch
            ]
            places = self._packs.append([each.ciphertext for each in sealed])
            rows, kept = [], []
            for document, (each, name, made, parts) in enumerate(
                zip(batch, names, sealed, places, strict=True), head.next_document
            ):
                row = Row(
                    each.resource_type,
                    each.resource_id,
                    each.version,
                    each.record,
                    made.commitment,
                    made.key.dek,
                    made.key.salt,
                    parts,
                    each.category,
                )
                slot = slots[each.subject]
                value = seal_row(row, document=document, slot=slot, cipher=self._cipher(slot))
                rows.append((document, slot.number, name, value, self._record_token(each.record)))
                kept.append(facts_of(document, each.subject, row))
            try:
                with self._index.change() as change:
                    change.add(rows)
                    for slot in fresh:
                        change.set_slot(self._tokens.subject(slot.subject), slot.number)
                    added = sum(len(each.ciphertext) for each in sealed)
                    newest = msgspec.structs.replace(
                        head,
                        next_document=head.next_document + len(batch),
                        end=self._packs.end,
                        live_bytes=_grown(head, added),
                    )
                    change.set_head(newest, self._tokens)
            except BaseException:
                self._packs.cut_back(head.end)
                raise
            return tuple(kept)

    def assign_records(self, numbers: Sequence[tuple[int, int]]) -> None:
        """Tell documents the record numbers that the ledger gave them: (document, record) pairs, durably and whole.

        Raises: NotStored, KeyErased, Full, StorageError.
        """
        with self._lock, self._index.change() as change:
            for document, record in numbers:
                sealed = self._require_live(change, document)
                slot, row = self._open_row(sealed)
                numbered = msgspec.structs.replace(row, record=record)
                value = seal_row(numbered, document=document, slot=slot, cipher=self._cipher(slot))
                change.rewrite(document, value)
                change.set_record(self._tokens.record(record), document)

    # Opening

    def get(self, documents: Sequence[int], *, accessor: bytes, purpose: str, now: int) -> tuple[bytes, ...]:
        """Return the stored bytes of documents, after the access is on the disk.

        Args:
            documents: Numbers in this vault.
            accessor: 32-byte actor id of who reads.
            purpose: Purpose of use.
            now: UTC seconds.

        Raises: NotStored, KeyErased, BlobMissing, Tampered, StorageError.
        """
        with self._index.view() as view:
            opened = [self._open_row(self._require_live(view, document)) for document in documents]
        entries = [
            AccessEntry(at=now, accessor=accessor, commitment=row.commitment, subject=slot.subject, purpose=purpose)
            for slot, row in opened
        ]
        if entries:
            self._accesses.record(entries)
        return tuple(self._open_document(row) for _, row in opened)

    def ciphertext(self, document: int) -> bytes:
        """Return a document as it is kept, for whoever has a wrap of its key.

        Raises: NotStored, KeyErased, BlobMissing, Tampered.
        """
        with self._index.view() as view:
            _, row = self._open_row(self._require_live(view, document))
        return self._packs.read(row.places)

    def ciphertext_bytes(self, document: int) -> int:
        """Return how long a document's ciphertext is, without reading it.

        Raises: NotStored, KeyErased, Tampered.
        """
        with self._index.view() as view:
            _, row = self._open_row(self._require_live(view, document))
        return row.ciphertext_bytes

    def wrap_for(
        self, document: int, *, purpose: Purpose, recipient: bytes, scope: bytes, epoch: int = 0
    ) -> RecordWrap:
        """Seal a document's key to one recipient. Only for the release desk, which writes the release down first.

        Raises: NotStored, KeyErased, Tampered, SealingError.
        """
        with self._index.view() as view:
            _, row = self._open_row(self._require_live(view, document))
        context = WrapContext(
            purpose=purpose,
            commitment=row.commitment,
            recipient=recipient,
            chain=self.chain,
            scope=scope,
            epoch=epoch,
        )
        return RecordWrap(record=row.record, commitment=row.commitment, wrap=wrap(row.key, context))

    def hand_to_patient(
        self, documents: Sequence[StoredDocument], *, recipient: bytes, epoch: int, now: int
    ) -> tuple[RecordWrap, ...]:
        """Seal the keys of one subject's documents to the patient's own wallet, after the release is on the disk.

        Args:
            documents: At most `PAGE_DOCUMENTS_MAX`.
            recipient: 32-byte X25519 key that the ledger has for the subject, of the epoch.
            epoch: The relationship's epoch.
            now: UTC seconds.

        Raises: NotStored, KeyErased, Tampered, SealingError, StorageError.
        """
        if not documents:
            return ()
        assert len(documents) <= PAGE_DOCUMENTS_MAX
        self.releases.record(
            [
                ReleaseEntry(
                    at=now,
                    purpose="own",
                    commitment=each.commitment,
                    recipient=recipient,
                    scope=each.subject,
                    access=0,
                )
                for each in documents
            ]
        )
        with self._index.view() as view:
            rows = [self._open_row(self._require_live(view, each.document))[1] for each in documents]
        contexts = [
            WrapContext(
                purpose="own",
                commitment=row.commitment,
                recipient=recipient,
                chain=self.chain,
                scope=each.subject,
                epoch=epoch,
            )
            for each, row in zip(documents, rows, strict=True)
        ]
        wraps = wrap_all([row.key for row in rows], contexts)
        return tuple(
            RecordWrap(record=row.record, commitment=row.commitment, wrap=wrapped)
            for row, wrapped in zip(rows, wraps, strict=True)
        )

    # Erasing

    @property
    def is_erasing(self) -> bool:
        """Tell whether an erasure broke off half-way: it is listed, and the next `put`, erasure or opening goes on."""
        with self._lock, self._index.view() as view:
            return view.head().erasures_applied < self._erasures.count

    def erase_subject(self, subject: bytes, *, key: SigningKey, now: int) -> tuple[SignedErasureCertificate, ...]:
        """Destroy the slot of a relationship, and so every document under it; return the certificates.

        Raises: NotStored, StorageError; StorageError also while an erasure that broke off cannot be finished.
        """
        with self._lock:
            self._finish_erasures()
            with self._index.view() as view:
                slot = self._slot_of(view, subject)
            if slot is None:
                raise not_stored()
            return self._erase(Erasure(slot=slot.number, erased_at=now), key)

    def erase_documents(
        self, documents: Sequence[int], *, key: SigningKey, now: int
    ) -> tuple[SignedErasureCertificate, ...]:
        """Destroy some documents of one subject: the others are put under a new key, and the old one is destroyed.

        Raises: NotStored, KeyErased, StorageError, VaultError when they are of several subjects or too many;
        StorageError also while an erasure that broke off cannot be finished.
        """
        with self._lock:
            self._finish_erasures()
            with self._index.view() as view:
                slots = {self._require_live(view, document).slot for document in documents}
            if len(slots) != 1 or len(documents) > DOCUMENTS_PER_ERASURE_MAX:
                raise VaultError(
                    "These documents cannot be erased in one step",
                    why=f"They must be 1 to {DOCUMENTS_PER_ERASURE_MAX} documents of one subject",
                    do="Erase each subject's documents in a step of their own.",
                )
            erasure = Erasure(slot=slots.pop(), documents=tuple(sorted(set(documents))), erased_at=now)
            return self._erase(erasure, key)

    def _erase(self, erasure: Erasure, key: SigningKey) -> tuple[SignedErasureCertificate, ...]:
        commitments = self._eraser.commitments(erasure)
        self._erasures.append([encode(erasure)])
        self._carry_out(erasure, applied=self._erasures.count)
        complete_at = self._backups.erasure_complete_at(erased_at=erasure.erased_at) if self._backups else 0
        return self._eraser.certificates(
            commitments,
            copies=self.releases.copies_of(commitments),
            chain=self.chain,
            kind=self._holder.erasure_kind,
            erased_at=erasure.erased_at,
            complete_at=max(complete_at, erasure.erased_at),
            key=key,
        )

    def _finish_erasures(self) -> None:
        """Carry out, in order, what the erasures list has and index or slots do not know of; called with the lock held.

        Raises: StorageError, VaultError; then nothing may be kept or erased.
        """
        with self._index.view() as view:
            head = view.head()
        if min(head.erasures_applied, self._slots.erasures_applied) < self._erasures.count:
            self._slots.finish_erasing()
            self._replay_erasures(head)

    def _carry_out(self, erasure: Erasure, *, applied: int) -> bytes | None:
        try:
            return self._eraser.carry_out(erasure, applied=applied)
        finally:
            self._ciphers.clear()  # after the slots went, also when it broke off then: see `_cipher`

    def _replay_erasures(self, head: IndexHead) -> list[bytes]:
        """Carry out what is listed and not known of; return the subjects whose whole relationship was erased."""
        applied = min(head.erasures_applied, self._slots.erasures_applied)
        if self._erasures.count < max(head.erasures_applied, self._slots.erasures_applied):
            raise VaultError(
                "The erasures list is older than the vault",
                why="It lacks erasures that were already carried out",
                do="Put today's erasures list in its place; never serve without it.",
            )
        listed = self._erasures.read(applied + 1)
        erased = [self._carry_out(decode(encoded, Erasure), applied=number) for number, encoded in listed]
        return [subject for subject in erased if subject is not None]

    def back_up_slots(self, *, now: int) -> Path:
        """Write a backup of the slots; return its file.

        Raises: VaultError when this vault has no place for them, KeyFileRefused.
        """
        if self._backups is None:
            raise VaultError(
                "This vault has no slots backups", why="None were set up", do="Set up a folder and a holder."
            )
        with self._lock:
            return self._backups.make(self._slots, now=now)

    def back_up(self, target: Path) -> None:
        """Copy packs, index and lists to a new folder, as they are at one moment. Without the slots it opens nothing.

        Raises: StorageError.
        """
        with self._lock:
            (target / INDEX).mkdir(parents=True, mode=0o700)
            self._index.copy(target / INDEX)
            for name in (PACKS, ERASURES, RELEASES, NOTICES):
                shutil.copytree(self.directory / name, target / name)

    def audit(self) -> Iterator[Finding]:
        """Yield every altered part of packs, index, slots and lists; nothing when the vault is clean."""
        with self._lock:
            yield from audit_vault(self.directory, custodian=self.custodian, holder=self._holder, files=self._files)

    # Inner parts

    def _require_new(self, view: IndexView, batch: Sequence[NewDocument], names: Sequence[bytes]) -> None:
        seen: set[tuple[bytes, str]] = set()
        for position, (each, name) in enumerate(zip(batch, names, strict=True)):
            kept = self._described(view, view.documents_named(name))
            if (name, each.version) in seen or any(former.version == each.version for former in kept):
                raise AlreadyStored(
                    f"Document {position + 1} of the batch is kept already",
                    why="This version of it is in the vault, or stands twice in the batch",
                    do="Leave it out, or give it a new version.",
                )
            seen.add((name, each.version))

    def _slots_for(self, view: IndexView, batch: Sequence[NewDocument]) -> tuple[dict[bytes, Slot], tuple[Slot, ...]]:
        """Return each subject's slot, and which of them are fresh; those are durable already."""
        slots: dict[bytes, Slot] = {}
        missing: list[bytes] = []
        for subject in dict.fromkeys(each.subject for each in batch):
            slot = self._slot_of(view, subject)
            if slot is None:
                missing.append(subject)
            else:
                slots[subject] = slot
        fresh = self._slots.add(missing) if missing else ()
        slots.update({slot.subject: slot for slot in fresh})
        return slots, fresh

    def _record_token(self, record: int) -> bytes | None:
        return self._tokens.record(record) if record else None

    def _open_document(self, row: Row) -> bytes:
        try:
            return open_document(
                self._packs.read(row.places),
                commitment=row.commitment,
                key=row.key,
                resource_type=row.resource_type,
                resource_id=row.resource_id,
                version=row.version,
            )
        except SealBroken as broken:
            raise Tampered(broken.what, why=broken.why, do=broken.do) from None


def _grown(head: IndexHead, added: int) -> int:
    """Return the live bytes when `added` more are kept. What is not known stays so, except where nothing is kept."""
    if head.live_bytes == UNCOUNTED and head.next_document > 1:
        return UNCOUNTED
    return max(0, head.live_bytes) + added
