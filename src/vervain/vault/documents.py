# SPDX-License-Identifier: Apache-2.0
"""What a vault takes in and tells of a document; no key and no salt."""

import msgspec

from vervain.vault.index import Row


class NewDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document version to keep.

    Attributes:
        subject: 32-byte pseudonym, or the custodian's own id for its own documents.
        resource_type, resource_id, version: FHIR's; printable ASCII without spaces.
        stored: The received bytes, never re-serialised.
        record: Its number on the ledger when it already has one, else 0.
        category: The custodian's consent category of it, a code; empty when it assigns none.
    """

    subject: bytes
    resource_type: str
    resource_id: str
    version: str
    stored: bytes
    record: int = 0
    category: str = ""

    def __repr__(self) -> str:
        return "NewDocument(...)"


class StoredDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What the vault says of a document version; no key and no salt.

    Attributes:
        document: Its number in this vault.
        subject: 32 bytes.
        resource_type, resource_id, version: FHIR's.
        record: Its number on the ledger; 0 until it has one.
        commitment: 32 bytes.
        category: The custodian's consent category of it; empty when it assigned none.
    """

    document: int
    subject: bytes
    resource_type: str
    resource_id: str
    version: str
    record: int
    commitment: bytes
    category: str = ""

    def __repr__(self) -> str:
        return f"StoredDocument(document={self.document}, record={self.record})"


class KnownDocument(msgspec.Struct, frozen=True):
    """What the vault has of a document that comes in.

    Attributes:
        next_version: The number of a further version: above every one of it that is kept or was erased.
        is_newest: Whether the newest that is kept has the same bytes.
    """

    next_version: int
    is_newest: bool


class RecordWrap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document's key sealed to one recipient: record number, 32-byte commitment, 112-byte wrap."""

    record: int
    commitment: bytes
    wrap: bytes


def facts_of(document: int, subject: bytes, row: Row) -> StoredDocument:
    """Return what is told of a document, from its opened row."""
    return StoredDocument(
        document=document,
        subject=subject,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        version=row.version,
        record=row.record,
        commitment=row.commitment,
        category=row.category,
    )
