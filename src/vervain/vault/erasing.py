# SPDX-License-Identifier: Apache-2.0
"""Carries out one erasure, so that doing it again, after a crash or on an older copy, comes to the same end.

1. The index forgets the documents: their rows become marks, their names go, their bytes are given back.
2. Of one document of many: the slot gets a new key beside the old, and the rows that stay are sealed under the new one.
3. The slots file is rewritten without the destroyed keys.
4. The index keeps how far the erasures list is carried out.
A crash before 3 leaves the old key in place, and the next opening goes on; a crash after it has nothing left to
destroy. What breaks off in a running vault is gone on with before the next writing.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.sealing.keys import SigningKey
from vervain.vault.erasure_certificates import (
    COMMITMENTS_PER_CERTIFICATE_MAX,
    COPIES_PER_CERTIFICATE_MAX,
    Copy,
    Erasure,
    ErasureCertificate,
    SignedErasureCertificate,
    sign_certificate,
)
from vervain.vault.errors import KeyErased, Tampered
from vervain.vault.index import (
    UNCOUNTED,
    Index,
    IndexChange,
    IndexHead,
    IndexView,
    Row,
    SealedRow,
    Tokens,
    open_row,
    seal_row,
)
from vervain.vault.key_holder import ErasureKind
from vervain.vault.slot_format import Slot
from vervain.vault.slots import Slots

STEP_DOCUMENTS_MAX: Final = 10_000  # documents changed in one transaction of the index


class Eraser:
    """Erases from one vault's index and slots."""

    def __init__(self, index: Index, slots: Slots, tokens: Tokens, *, custodian: bytes) -> None:
        self._index, self._slots, self._tokens, self._custodian = index, slots, tokens, custodian

    def commitments(self, erasure: Erasure) -> tuple[bytes, ...]:
        """Return the commitments of what an erasure will destroy, sorted; asked before it is carried out."""
        found: list[bytes] = []
        with self._index.view() as view:
            after = 0
            while documents := view.documents_of_slot(erasure.slot, after=after, count=STEP_DOCUMENTS_MAX):
                for document in documents:
                    row = self._readable(view, document)
                    if row is not None and (not erasure.documents or document in erasure.documents):
                        found.append(row.commitment)
                after = documents[-1]
        return tuple(sorted(found))

    def carry_out(self, erasure: Erasure, *, applied: int) -> bytes | None:
        """Erase for good; `applied` is the erasure's number in the erasures list.

        Returns: The subject whose whole relationship was erased, None when it was some documents or was done before.

        Raises: StorageError; then the vault's next writing, or opening, goes on.
        """
        slot = self._slots.find(erasure.slot)
        if erasure.documents:
            fresh = self._slots.rekey(erasure.slot) if slot is not None else None
            self._go_through(erasure, frozenset(erasure.documents), fresh)
            self._slots.erase((), erasures_applied=applied)
        else:
            self._go_through(erasure, None, None)
            if slot is not None:
                with self._index.change() as change:
                    change.forget_subject(self._tokens.subject(slot.subject))
            self._slots.erase((erasure.slot,), erasures_applied=applied)
        self.count_live()  # before it counts as carried out: until then nothing new is kept
        with self._index.change() as change:
            change.set_head(msgspec.structs.replace(change.head(), erasures_applied=applied), self._tokens)
        return None if slot is None or erasure.documents else slot.subject

    def count_live(self) -> None:
        """Count the ciphertext of all documents that were not erased, when it is not known. Goes through all rows.

        Raises: Full, StorageError.
        """
        with self._index.view() as view:
            head = view.head()
            if head.live_bytes != UNCOUNTED or head == IndexHead():
                return
            rows = (self._readable(view, document) for document in range(1, head.next_document))
            live_bytes = sum(row.ciphertext_bytes for row in rows if row is not None)
        with self._index.change() as change:
            change.set_head(msgspec.structs.replace(change.head(), live_bytes=live_bytes), self._tokens)

    def certificates(
        self,
        commitments: Sequence[bytes],
        *,
        copies: Sequence[Copy],
        chain: str,
        kind: ErasureKind,
        erased_at: int,
        complete_at: int,
        key: SigningKey,
    ) -> tuple[SignedErasureCertificate, ...]:
        """Sign what was destroyed: one certificate for each `COMMITMENTS_PER_CERTIFICATE_MAX` commitments."""
        step = COMMITMENTS_PER_CERTIFICATE_MAX
        parts = [commitments[begin : begin + step] for begin in range(0, max(len(commitments), 1), step)]
        signed = []
        for number, part in enumerate(parts, 1):
            of_part = frozenset(part)
            given = [copy for copy in copies if copy.commitment in of_part]
            certificate = ErasureCertificate(
                version=1,
                chain=chain,
                custodian=self._custodian,
                commitments=tuple(part),
                copies=tuple(given[:COPIES_PER_CERTIFICATE_MAX]),
                copies_count=len(given),
                kind=kind,
                erased_at=erased_at,
                complete_at=complete_at,
                part=number,
                parts=len(parts),
            )
            signed.append(sign_certificate(certificate, key))
        return tuple(signed)

    def _go_through(self, erasure: Erasure, documents: frozenset[int] | None, fresh: Slot | None) -> None:
        """Forget the named documents of a slot, or all; seal the rows that stay under `fresh`."""
        after, unreadable = 0, set[int]()  # a row that does not open tells neither length nor version
        cipher = None if fresh is None else AESGCM(fresh.key)
        while True:
            with self._index.change() as change:
                step = change.documents_of_slot(erasure.slot, after=after, count=STEP_DOCUMENTS_MAX)
                given_back = version = 0
                for document in step:
                    row = self._readable(change, document)
                    if documents is None or document in documents:
                        self._forget(change, document, erasure.slot, row)
                        if row is None:
                            unreadable.add(document)
                        else:
                            given_back += row.ciphertext_bytes
                            version = max(version, row.version_number)
                    elif row is not None and fresh is not None and cipher is not None:
                        change.rewrite(document, seal_row(row, document=document, slot=fresh, cipher=cipher))
                self._give_back(change, given_back, version, is_known=not unreadable)
            if len(step) < STEP_DOCUMENTS_MAX:
                break
            after = step[-1]
        if unreadable:
            with self._index.change() as change:
                change.forget_unreadable(frozenset(unreadable))

    def _give_back(self, change: IndexChange, given_back: int, version: int, *, is_known: bool) -> None:
        """Take erased bytes off the live ones and keep the highest erased version, in the step in which rows go."""
        head = change.head()
        # A version's number is never above its document's, and what did not open may be any document.
        erased_version = max(head.erased_version, version if is_known else head.next_document - 1)
        is_known = is_known and head.live_bytes != UNCOUNTED
        live_bytes = head.live_bytes - given_back if is_known else UNCOUNTED
        kept = msgspec.structs.replace(head, live_bytes=live_bytes, erased_version=erased_version)
        if kept != head:
            change.set_head(kept, self._tokens)

    def _forget(self, change: IndexChange, document: int, slot: int, row: Row | None) -> None:
        name = None if row is None else self._tokens.name(self._custodian, row.resource_type, row.resource_id)
        change.forget_document(document, slot=slot, record=0 if row is None else row.record, name=name)

    def _readable(self, view: IndexView, document: int) -> Row | None:
        """Return a row, or None when its key is gone already or it was altered."""
        sealed = view.row(document)
        if not isinstance(sealed, SealedRow):
            return None
        try:
            slot = self._slots.require(sealed.slot, sealed.generation)
            return open_row(sealed, AESGCM(slot.key))
        except (KeyErased, Tampered):
            return None
