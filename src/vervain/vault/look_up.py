# SPDX-License-Identifier: Apache-2.0
"""Looking documents up in an opened vault: by name, by record, by subject. From any thread; nothing is written.

Names stand in the index as tokens under the vault's own key, and what is said of a document is sealed under its slot.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.ledger.primitives.hashing import record_commitment
from vervain.vault.documents import KnownDocument, StoredDocument, facts_of
from vervain.vault.errors import KeyErased, NotStored
from vervain.vault.index import ErasedRow, Index, IndexChange, IndexView, Row, SealedRow, Tokens, open_row
from vervain.vault.slot_format import Slot
from vervain.vault.slots import INDEX_SLOT, Slots

PAGE_DOCUMENTS_MAX: Final = 1_000
CIPHERS_MAX: Final = 4_096  # slots' ciphers kept ready


class LookUp:
    """Looks documents up.

    Args:
        index, slots, tokens: Of the opened vault.
        custodian: 32-byte id of whose vault it is.
    """

    def __init__(self, index: Index, slots: Slots, tokens: Tokens, *, custodian: bytes) -> None:
        self._index, self._slots, self._tokens, self.custodian = index, slots, tokens, custodian
        self._ciphers: dict[tuple[int, int], AESGCM] = {}
        self._numbered_to = 0  # every document up to here has its record number

    def find(self, resource_type: str, resource_id: str, version: str | None = None) -> StoredDocument:
        """Return a document version; the one kept last when no version is named.

        Raises: NotStored.
        """
        found = self.versions(resource_type, resource_id)
        wanted = [each for each in found if version is None or each.version == version]
        if not wanted:
            raise not_stored()
        return wanted[-1]

    def versions(self, resource_type: str, resource_id: str) -> tuple[StoredDocument, ...]:
        """Return all versions of a document that are not erased, in the order they were kept."""
        name = self._tokens.name(self.custodian, resource_type, resource_id)
        with self._index.view() as view:
            return tuple(self._described(view, view.documents_named(name)))

    def known(self, received: Sequence[tuple[str, str, bytes]]) -> tuple[KnownDocument, ...]:
        """Return what is kept of each received document: resource type, resource id, stored bytes. Nothing is opened.

        Raises: KeyErased, Tampered.
        """
        with self._index.view() as view:
            return tuple(self._known(view, *each) for each in received)

    def former_versions(self, documents: Sequence[StoredDocument]) -> tuple[StoredDocument | None, ...]:
        """Return, for each document, the version kept before it that is not erased, if there is one.

        Raises: KeyErased, Tampered.
        """
        with self._index.view() as view:
            return tuple(self._former(view, each) for each in documents)

    def of_record(self, record: int) -> StoredDocument:
        """Return the document version with a record number.

        Raises: NotStored, KeyErased.
        """
        with self._index.view() as view:
            document = view.document_of_record(self._tokens.record(record))
            if document is None:
                raise not_stored()
            return self._facts_of(view, document)

    def of_subject(
        self, subject: bytes, *, after: int = 0, count: int = PAGE_DOCUMENTS_MAX
    ) -> tuple[StoredDocument, ...]:
        """Return up to `count` documents of a subject with numbers above `after`, in the order they were kept."""
        with self._index.view() as view:
            slot = self._slot_of(view, subject)
            if slot is None:
                return ()
            documents = view.documents_of_slot(slot.number, after=after, count=min(count, PAGE_DOCUMENTS_MAX))
            return tuple(self._described(view, documents))

    def unnumbered(self) -> Iterator[StoredDocument]:
        """Yield every document that has no record number yet: kept, but not on the ledger.

        Up to where all have one is remembered while the vault is open: a number is never taken away.
        """
        after = self._numbered_to
        while True:
            with self._index.view() as view:
                stop = min(view.head().next_document, after + 1 + PAGE_DOCUMENTS_MAX)
                page = [each for each in self._described(view, range(after + 1, stop)) if not each.record]
            if not page and after == self._numbered_to:
                self._numbered_to = max(after, stop - 1)
            yield from page
            if stop <= after + 1:
                return
            after = stop - 1

    def is_live(self, document: int) -> bool:
        """Tell whether a document is kept and was not erased."""
        return bool(self.live_among([document]))

    def live_among(self, documents: Sequence[int]) -> frozenset[int]:
        """Return those of some documents that are kept and were not erased."""
        with self._index.view() as view:
            return frozenset(each for each in documents if self._is_live(view, each))

    @property
    def kept_bytes(self) -> int:
        """Bytes of ciphertext of all documents that are kept and were not erased."""
        with self._index.view() as view:
            return max(0, view.head().live_bytes)

    # Inner parts

    def _slot_of(self, view: IndexView, subject: bytes) -> Slot | None:
        number = view.slot_of_subject(self._tokens.subject(subject))
        slot = None if number is None else self._slots.find(number)
        return slot if slot is not None and slot.number != INDEX_SLOT and slot.subject == subject else None

    def _cipher(self, slot: Slot) -> AESGCM:
        place = (slot.number, slot.generation)
        cipher = self._ciphers.get(place)
        if cipher is None:
            if len(self._ciphers) >= CIPHERS_MAX:
                self._ciphers.clear()
            cipher = self._ciphers[place] = AESGCM(slot.key)
            if not self._slots.has(*place):  # erased meanwhile; what goes later is cleared by the erasure after it went
                self._ciphers.pop(place, None)
        return cipher

    def _is_live(self, view: IndexView, document: int) -> bool:
        row = view.row(document)
        return isinstance(row, SealedRow) and self._slots.find(row.slot) is not None

    def _require_live(self, view: IndexView | IndexChange, document: int) -> SealedRow:
        row = view.row(document)
        if row is None:
            raise not_stored()
        if isinstance(row, ErasedRow):
            raise KeyErased(
                "The document was erased",
                why="Its key was destroyed on purpose",
                do="Nothing can bring it back; the erasure certificate says when and by whom.",
            )
        return row

    def _open_row(self, sealed: SealedRow) -> tuple[Slot, Row]:
        slot = self._slots.require(sealed.slot, sealed.generation)
        return slot, open_row(sealed, self._cipher(slot))

    def _known(self, view: IndexView, resource_type: str, resource_id: str, stored: bytes) -> KnownDocument:
        name = self._tokens.name(self.custodian, resource_type, resource_id)
        sealed = [each for each in map(view.row, view.documents_named(name)) if isinstance(each, SealedRow)]
        erased_version = view.head().erased_version
        if not sealed:
            return KnownDocument(erased_version + 1, is_newest=False)
        rows = [self._open_row(each)[1] for each in sealed]
        row = rows[-1]
        made = record_commitment(
            resource_type=resource_type, resource_id=resource_id, version=row.version, salt=row.salt, stored=stored
        )
        highest = max(erased_version, *(each.version_number for each in rows))
        return KnownDocument(highest + 1, is_newest=made == row.commitment)

    def _former(self, view: IndexView, document: StoredDocument) -> StoredDocument | None:
        name = self._tokens.name(self.custodian, document.resource_type, document.resource_id)
        earlier = [each for each in view.documents_named(name) if each < document.document]
        return next(self._described(view, earlier[::-1]), None)

    def _facts_of(self, view: IndexView, document: int) -> StoredDocument:
        slot, row = self._open_row(self._require_live(view, document))
        return facts_of(document, slot.subject, row)

    def _described(self, view: IndexView, documents: Sequence[int]) -> Iterator[StoredDocument]:
        for document in documents:
            sealed = view.row(document)
            if isinstance(sealed, SealedRow):
                slot, row = self._open_row(sealed)
                yield facts_of(document, slot.subject, row)


def not_stored() -> NotStored:
    """Return the error for what this vault does not have."""
    return NotStored("Nothing is kept under this name", why="It is not in this vault", do="Check the name.")
