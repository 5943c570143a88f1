# SPDX-License-Identifier: Apache-2.0
"""What a member's desk hands out, as whole answers: to a reader under a grant, and to a patient of its own.

Rules kept:
1. Every wrap is written down before it is in an answer.
2. A patient's own answers hold what stands under its pseudonym; a record of anybody else, an erased one and none at all
   are one and the same refusal.
3. Answers are bounded in number and bytes; what does not fit is said. A reader's key and a patient's pseudonym have a
   bounded number of answers with keys a minute.
"""

import msgspec

from vervain.node.desk import MemberDesk
from vervain.sdk.contract import (
    OWN_DOCUMENT_BYTES_MAX,
    OWN_WRAPS_PAGE,
    RELEASED_BYTES_MAX,
    RELEASED_RECORDS_MAX,
    OwnNotice,
    OwnNoticesAnswer,
    OwnWrap,
    OwnWrapsAnswer,
    ReleaseAnswer,
    ReleasedRecord,
)
from vervain.sealing.release_requests import ReleaseRequest
from vervain.vault.documents import RecordWrap, StoredDocument
from vervain.vault.errors import KeyErased, NotStored, TooLargeToRelease
from vervain.vault.notices import PAGE_NOTICES_MAX


def release_answer(desk: MemberDesk, asked: ReleaseRequest) -> ReleaseAnswer:
    """Hand out what a final read request may have: keys and ciphertexts.

    Raises: NotReleased, AskedTooOften, TooLargeToRelease, SealBroken, KeyErased, StorageError, VaultError.
    """
    released = desk.release(asked, documents_max=RELEASED_RECORDS_MAX, bytes_max=RELEASED_BYTES_MAX)
    return ReleaseAnswer(
        records=tuple(_released(desk, wrapped) for wrapped in released.wraps), left_out=released.left_out
    )


def own_wraps(desk: MemberDesk, subject: bytes, *, after: int = 0) -> OwnWrapsAnswer:
    """Return a page of a patient's own documents' keys, each wrapped to its wallet.

    Refuses: NotFound when the patient is not registered. Raises: AskedTooOften, KeyErased, StorageError, VaultError.
    """
    desk.asking.take(subject)
    page = desk.wraps_page(subject, after=after, count=OWN_WRAPS_PAGE)
    return OwnWrapsAnswer(
        epoch=page.epoch,
        wraps=tuple(_own_wrap(document, wrapped) for document, wrapped in page.wraps),
        next=page.next or msgspec.UNSET,
    )


def own_notices(desk: MemberDesk, subject: bytes, *, after: int = 0) -> OwnNoticesAnswer:
    """Return a page of the notices sealed to a patient, behind its first `after`.

    Raises: StorageError.
    """
    kept = desk.vault.notices.of_subject(subject, after=after)
    return OwnNoticesAnswer(
        notices=tuple(OwnNotice(at=each.at, grant=each.grant, access=each.access, sealed=each.sealed) for each in kept),
        next=after + len(kept) if len(kept) == PAGE_NOTICES_MAX else msgspec.UNSET,
    )


def own_document(desk: MemberDesk, subject: bytes, record: int) -> bytes:
    """Return the ciphertext of a patient's own document.

    Raises: NotStored, TooLargeToRelease, StorageError, VaultError.
    """
    try:
        kept = desk.vault.of_record(record)
        if kept.subject != subject:
            raise _not_own()
        if desk.vault.ciphertext_bytes(kept.document) > OWN_DOCUMENT_BYTES_MAX:
            raise TooLargeToRelease(
                "The document is larger than one answer holds",
                why=f"{OWN_DOCUMENT_BYTES_MAX} bytes are the most",
                do="Ask the custodian to hand it over on another way.",
            )
        return desk.vault.ciphertext(kept.document)
    except (KeyErased, NotStored):
        raise _not_own() from None


def _released(desk: MemberDesk, wrapped: RecordWrap) -> ReleasedRecord:
    kept = desk.vault.of_record(wrapped.record)
    return ReleasedRecord(
        record=wrapped.record,
        commitment=wrapped.commitment,
        wrap=wrapped.wrap,
        type=kept.resource_type,
        id=kept.resource_id,
        version=kept.version,
        ciphertext=desk.vault.ciphertext(kept.document),
    )


def _own_wrap(document: StoredDocument, wrapped: RecordWrap) -> OwnWrap:
    return OwnWrap(
        record=wrapped.record,
        commitment=wrapped.commitment,
        wrap=wrapped.wrap,
        type=document.resource_type,
        id=document.resource_id,
        version=document.version,
    )


def _not_own() -> NotStored:
    return NotStored(
        "There is no such record of yours here",
        why="It is another's, was erased, or never was",
        do="Check the record number, and the organisation that keeps it.",
    )
