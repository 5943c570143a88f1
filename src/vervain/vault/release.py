# SPDX-License-Identifier: Apache-2.0
"""The release desk: hands a document's key to a reader, against a final entry on the ledger and a grant still in force.

Every request passes these, in this order; the first that fails is the answer, and nothing was handed out:
1. The sealed notice to the patient is the one whose digest the reader signed.
2. The access is final: the newest committed state holds it, and it is this very request.
3. The grant is there, is this custodian's, and its reader key signed the request for this chain, not yet expired.
4. The record numbers are the ones that the reader signed for. From here on it is the reader who asks, for only the
   reader knew all of that: its key is counted, and told to come back later when it asks too often.
5. Each record is the grantor's, is here, and is one that grants open.
6. The ledger's own decision at the newest height, at the later of block time and own clock, for the categories that the
   custodian itself assigns to the record: a yes may be narrowed here, a no never widened.
7. The notice is kept for the patient and the release is on the disk; only then {DEK, salt} is sealed to the grant's
   X25519 key, and to no other.

Records that pass 1 to 4 and fail 5 or 6 are left out without a word: a reader does not learn that they exist. When
none is left, the answer is one and the same refusal.

Source: architecture.md "Patients"; consent reference (the FHIR door answers a denied read with 404).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.machine.refusals import NotFound
from vervain.ledger.machine.store import ReadOnlyState, Store
from vervain.ledger.modules.consent import queries as consent
from vervain.ledger.modules.consent.messages import CATEGORIES_MAX, RequestRead, access_id
from vervain.ledger.modules.records import queries as records
from vervain.sealing.derivation import category_commitment
from vervain.sealing.notices import SEALED_NOTICE_BYTES_MAX, notice_digest
from vervain.sealing.read_requests import RECORDS_MAX, require_record_set, verify_read_request
from vervain.sealing.release_requests import ReleaseRequest
from vervain.vault.documents import RecordWrap, StoredDocument
from vervain.vault.errors import KeyErased, NotReleased, NotStored, TooLargeToRelease
from vervain.vault.notices import NoticeEntry
from vervain.vault.releases import ReleaseEntry
from vervain.vault.vault import Vault


class HeadState(ReadOnlyState, Protocol):
    """One snapshot of the newest committed state."""

    def head(self) -> BlockSummary | None:
        """Return the newest height's summary."""
        ...


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is handed out: a wrap for each record, in the order of their numbers.

    Attributes:
        wraps: One for each record that was released.
        left_out: Numbers of records that may be read but did not fit; nothing of them was released.
    """

    wraps: tuple[RecordWrap, ...]
    left_out: tuple[int, ...] = ()


class CategoryAssignment(Protocol):
    """The custodian's own reading of its documents: what a record is about, and each relationship's category secret."""

    def categories_of(self, document: StoredDocument) -> frozenset[str]:
        """Return the category codes that the custodian assigns to a document."""
        ...

    def secret_of(self, subject: bytes) -> bytes | None:
        """Return the 32-byte category secret that the patient told this custodian, or None."""
        ...


class Bounds(Protocol):
    """How often one key may ask. Asked only about a key that was proved."""

    def take(self, key: bytes) -> None:
        """Count one request of a 32-byte key. Raises: AskedTooOften."""
        ...


class ReleaseAgent(Protocol):
    """The seam for release agents: three hold a share of a document's key each, two suffice (decision 0004).

    An agent passes the same checks against its own node's state, writes its own release list, and wraps its share to
    the reader's key with the purpose `share`; the reader joins two shares. No agent ever holds a whole key.
    """

    def release_share(self, request: ReleaseRequest) -> Release:
        """Return this agent's shares, wrapped to the reader. Raises: NotReleased, SealBroken, StorageError."""
        ...


class ReleaseDesk:
    """One custodian's desk.

    Args:
        vault: Holds the documents.
        view: Opens a snapshot of the newest committed state.
        clock: The custodian's own clock, UTC seconds.
        categories: The custodian's category assignment.
        bounds: How often one reader's key may ask.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        view: Callable[[], AbstractContextManager[HeadState]],
        clock: Callable[[], float],
        categories: CategoryAssignment,
        bounds: Bounds,
    ) -> None:
        self._vault, self._view, self._clock, self._categories = vault, view, clock, categories
        self._bounds = bounds

    def release(
        self, asked: ReleaseRequest, *, documents_max: int = RECORDS_MAX, bytes_max: int | None = None
    ) -> Release:
        """Hand out the keys that a request may have.

        Args:
            asked: What the reader sent.
            documents_max: At most so many documents.
            bytes_max: At most so many bytes of ciphertext together; None when only keys are handed out.

        Raises: NotReleased, AskedTooOften, TooLargeToRelease, SealBroken, StorageError.
        """
        if len(asked.notice) > SEALED_NOTICE_BYTES_MAX or notice_digest(asked.notice) != asked.request.notice_digest:
            raise _not_released()
        own_time = int(self._clock())
        with self._view() as state:
            store, head = Store(state), state.head()
            if head is None:
                raise _not_released()
            grantor, recipient, reader = self._require_final(store, asked, own_time)
            time = max(head.time, own_time)
            numbers = require_record_set(asked.request.terms(self._vault.chain), asked.record_set)
            wanted = frozenset(asked.among or numbers)
            if not wanted <= frozenset(numbers):
                raise _not_released()
            self._bounds.take(reader)
            documents = [
                document
                for number in numbers
                if number in wanted
                and (document := self._find(store, number, grantor)) is not None
                and self._is_permitted(store, asked.request, document, time)
            ]
        if not documents:
            raise _not_released()
        documents, left_out = self._fitting(documents, documents_max=documents_max, bytes_max=bytes_max)
        self._vault.notices.record(
            NoticeEntry(
                at=own_time,
                subject=grantor,
                grant=asked.request.grant,
                access=asked.access,
                sealed=asked.notice,
            )
        )
        entries = [
            ReleaseEntry(
                at=own_time,
                purpose="grant",
                commitment=document.commitment,
                recipient=recipient,
                scope=asked.request.grant,
                access=asked.access,
            )
            for document in documents
        ]
        self._vault.releases.record(entries)
        return Release(
            wraps=tuple(
                self._vault.wrap_for(document.document, purpose="grant", recipient=recipient, scope=asked.request.grant)
                for document in documents
            ),
            left_out=left_out,
        )

    def _require_final(self, store: Store, asked: ReleaseRequest, own_time: int) -> tuple[bytes, bytes, bytes]:
        """Return the grantor, the reader's X25519 key and its signing key when the access is final and it signed."""
        request = asked.request
        try:
            access = consent.access(store, asked.access)
            grant = consent.consent(store, request.grant)
        except NotFound:
            raise _not_released() from None
        signed = request.terms(self._vault.chain).signed_bytes()
        if access.request != access_id(signed) or access.custodian != self._vault.custodian:
            raise _not_released()
        terms = grant.terms
        if not hasattr(terms, "reader_key") or not hasattr(terms, "reader_kem_key"):  # a denial
            raise _not_released()
        if grant.custodian != self._vault.custodian:
            raise _not_released()
        verify_read_request(
            request,
            reader_key=terms.reader_key,
            chain=self._vault.chain,
            custodian=self._vault.custodian,
            now=own_time,
        )
        return grant.grantor, terms.reader_kem_key, terms.reader_key

    def _fitting(
        self, documents: Sequence[StoredDocument], *, documents_max: int, bytes_max: int | None
    ) -> tuple[list[StoredDocument], tuple[int, ...]]:
        """Return the documents that fit, and the record numbers of the others.

        Raises: TooLargeToRelease when none fits.
        """
        fitting: list[StoredDocument] = []
        left_out: list[int] = []
        size = 0
        for document in documents:
            length = 0 if bytes_max is None else self._vault.ciphertext_bytes(document.document)
            if len(fitting) < documents_max and (bytes_max is None or size + length <= bytes_max):
                fitting.append(document)
                size += length
            else:
                left_out.append(document.record)
        if not fitting:
            raise TooLargeToRelease(
                "Each document asked for is larger than one answer holds",
                why=f"{bytes_max} bytes are the most",
                do="Ask the custodian to hand it over on another way.",
            )
        return fitting, tuple(left_out)

    def _find(self, store: Store, number: int, grantor: bytes) -> StoredDocument | None:
        """Return a record's document when it is the grantor's, kept here, and one that grants open."""
        row = records.record(store, number)
        if row is None or row.subject != grantor or not records.is_opened_by_grants(row):
            return None
        try:
            document = self._vault.of_record(number)
        except (NotStored, KeyErased):
            return None
        return document if (document.subject, document.commitment) == (grantor, row.commitment) else None

    def _is_permitted(self, store: Store, request: RequestRead, document: StoredDocument, time: int) -> bool:
        """Ask the ledger's decision for the categories that the custodian itself assigns to the document."""
        categories = self._categories_named(request, document)
        if categories is None:
            return False
        decision = consent.decide(store, grant=request.grant, purpose=request.purpose, categories=categories, time=time)
        return decision.permit

    def _categories_named(self, request: RequestRead, document: StoredDocument) -> tuple[bytes, ...] | None:
        """Return the commitments to decide on, or None when the document is outside what the reader named."""
        codes = self._categories.categories_of(document)
        if not codes:  # in no category: only a grant that limits none, with no category denied, opens it
            return None if request.categories else ()
        secret = self._categories.secret_of(document.subject)
        if secret is None:
            # Without the secret nobody can tell whether the names cover this document: with names it is left out;
            # without names the ledger itself says no when the grant or a denial limits categories.
            return None if request.categories else ()
        assigned = tuple(sorted(category_commitment(secret, code) for code in codes))
        if len(assigned) > CATEGORIES_MAX or (request.categories and not set(assigned) <= set(request.categories)):
            return None
        return assigned


def _not_released() -> NotReleased:
    return NotReleased(
        "Nothing is released for this request",
        why="It is not final on the ledger, or no grant in force covers what it asks for",
        do="Wait until the request is final, or ask the patient.",
    )
