# SPDX-License-Identifier: Apache-2.0
"""Where each document is, in LMDB: nothing in it can be read, guessed or checked without a key that LMDB never sees.

```
documents        document uint64 -> 0x01 | slot uint32 | generation uint32 | nonce 12 | AES-256-GCM(row), slot's key
                                    0x00 | record uint64                      (erased)
names            name token 16 | document uint64 -> nothing
records          record token 16 -> document uint64
subjects         subject token 16 -> slot uint32
slot_documents   slot uint32 | document uint64 -> nothing
meta             "head" -> seal 16 | IndexHead
```
A token or seal is the first half of HMAC-SHA-256, under the index key, of what is looked up or kept.
The row holds the document's key, salt, names and places. LMDB keeps freed pages with their old bytes; that is why a
row lies under its slot, and the slot's key is in no database. What an erased document may leave in freed pages: a
sealed row that nobody can open, and a token that tells only to who has the index key and guesses the name that such a
name was once here.
"""

import hmac
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.sealing.documents import DocumentKey
from vervain.storage.errors import Full, StorageError
from vervain.vault.errors import Tampered
from vervain.vault.packs import PackEnd, Place
from vervain.vault.slot_format import Slot

INDEX_BYTES_MAX: Final = 16 * 2**30  # room set aside; about 20 million documents
TOKEN_BYTES: Final = 16
UNCOUNTED: Final = -1  # of live bytes: an index from before they were counted, or an erasure of rows that do not open
VERSIONS_MAX: Final = 10_000  # versions of one document that a look-up goes through
VERSION_DIGITS_MAX: Final = 18  # of a version that is a number
NONCE_BYTES: Final = 12
DATABASES: Final = ("documents", "names", "records", "subjects", "slot_documents", "meta")

_ROW: Final = b"vervain/row/v1\n"
_HEAD: Final = b"head"
_LIVE: Final = struct.Struct(f">BII{NONCE_BYTES}s")
_ERASED: Final = struct.Struct(">BQ")
_NUMBER: Final = struct.Struct(">Q")
_SLOT: Final = struct.Struct(">I")
_SLOT_DOCUMENT: Final = struct.Struct(">IQ")


class IndexHead(msgspec.Struct, frozen=True, array_like=True):
    """What the index knows of everything: next document number, end of the packs, erasures carried out, live bytes.

    `live_bytes` is the ciphertext of all documents that were not erased; it changes in one step with their rows.
    `erased_version` is the highest version number that was erased, of whichever document: no name is kept of it, so a
    version that comes in is numbered above it, and no document gets a number twice.
    """

    next_document: int = 1
    end: PackEnd = PackEnd()
    erasures_applied: int = 0
    live_bytes: int = UNCOUNTED
    erased_version: int = 0


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one document version, sealed under its slot.

    Attributes:
        resource_type, resource_id, version: FHIR's.
        record: Its number on the ledger; 0 until it has one.
        commitment: 32 bytes.
        dek, salt: 32 bytes each.
        places: Its ciphertext's parts.
        category: The custodian's consent category of it; empty when it assigned none.
    """

    resource_type: str
    resource_id: str
    version: str
    record: int
    commitment: bytes
    dek: bytes
    salt: bytes
    places: tuple[Place, ...]
    category: str = ""

    @property
    def version_number(self) -> int:
        """Its version as a number; 0 when whoever kept it does not count."""
        return int(self.version) if self.version.isdecimal() and len(self.version) <= VERSION_DIGITS_MAX else 0

    @property
    def ciphertext_bytes(self) -> int:
        """How long its ciphertext is, all parts together."""
        return sum(place.length for place in self.places)

    @property
    def key(self) -> DocumentKey:
        """What opens the document."""
        return DocumentKey(self.dek, self.salt)

    def __repr__(self) -> str:
        return f"Row(record={self.record})"


class SealedRow(msgspec.Struct, frozen=True):
    """A row as it lies in the index: which slot opens it."""

    document: int
    slot: int
    generation: int
    nonce: bytes
    sealed: bytes


class ErasedRow(msgspec.Struct, frozen=True):
    """What stands where an erased document was."""

    document: int
    record: int


_encode_row = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(Row).decode
_decode_head = msgspec.msgpack.Decoder(IndexHead).decode


def seal_row(row: Row, *, document: int, slot: Slot, cipher: AESGCM) -> bytes:
    """Return a row's value: sealed under the slot's key, bound to document, slot and generation."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    head = _LIVE.pack(1, slot.number, slot.generation, nonce)
    return head + cipher.encrypt(nonce, _encode_row(row), _row_context(document, slot.number, slot.generation))


def parse_row(document: int, value: bytes) -> SealedRow | ErasedRow | None:
    """Return what stands at a document's number; None when it is neither form."""
    if len(value) == _ERASED.size and value[0] == 0:
        return ErasedRow(document, _ERASED.unpack(value)[1])
    if len(value) > _LIVE.size and value[0] == 1:
        _, slot, generation, nonce = _LIVE.unpack_from(value)
        return SealedRow(document, slot, generation, nonce, value[_LIVE.size :])
    return None


def open_row(sealed: SealedRow, cipher: AESGCM) -> Row:
    """Open a row with its slot's cipher.

    Raises: Tampered.
    """
    try:
        context = _row_context(sealed.document, sealed.slot, sealed.generation)
        return _decode_row(cipher.decrypt(sealed.nonce, sealed.sealed, context))
    except (InvalidTag, msgspec.MsgspecError):
        raise Tampered(
            "An index row does not open under its slot",
            why="Row or slot was altered, or they do not belong together",
            do="Run `vervain audit`; restore packs, index and slots of one time together.",
        ) from None


def _row_context(document: int, slot: int, generation: int) -> bytes:
    return _ROW + struct.pack(">QII", document, slot, generation)


class Tokens:
    """Computes look-up tokens under the index key."""

    def __init__(self, index_key: bytes) -> None:
        self._key = index_key

    def name(self, custodian: bytes, resource_type: str, resource_id: str) -> bytes:
        """Return the token of a document's name, whatever its version."""
        return self._token(b"name\n" + custodian + f"{resource_type}\n{resource_id}".encode("ascii"))

    def record(self, number: int) -> bytes:
        """Return the token of a record number."""
        return self._token(b"record\n" + _NUMBER.pack(number))

    def subject(self, subject: bytes) -> bytes:
        """Return the token of a subject."""
        return self._token(b"subject\n" + subject)

    def head(self, encoded: bytes) -> bytes:
        """Return the seal of what the index knows of everything."""
        return self._token(b"head\n" + encoded)

    def _token(self, value: bytes) -> bytes:
        return hmac.digest(self._key, value, "sha256")[:TOKEN_BYTES]


def parse_head(value: bytes, tokens: Tokens | None) -> IndexHead:
    """Return what the index knows of everything; its seal is checked when the index key is known.

    Raises: Tampered.
    """
    try:
        head = _decode_head(value[TOKEN_BYTES:])
    except msgspec.MsgspecError:
        head = None
    if head is None or (tokens is not None and tokens.head(value[TOKEN_BYTES:]) != value[:TOKEN_BYTES]):
        raise Tampered(
            "What the index knows of everything is altered",
            why="It lacks its seal, or the slots belong to another vault",
            do="Run `vervain audit`; restore packs, index and slots of one time together.",
        )
    return head


class Index:
    """The index of one vault, opened."""

    def __init__(self, directory: Path, *, bytes_max: int = INDEX_BYTES_MAX) -> None:
        """Open, or begin, the index.

        Raises: StorageError.
        """
        try:
            self._environment = lmdb.open(
                str(directory), map_size=bytes_max, max_dbs=len(DATABASES), mode=0o600, metasync=True, sync=True
            )
            self._databases = {name: self._environment.open_db(name.encode()) for name in DATABASES}
        except lmdb.Error as error:
            raise StorageError(
                "The vault's index cannot be opened", why=str(error), do="Run `vervain audit`."
            ) from error

    def close(self) -> None:
        """Close the index."""
        self._environment.close()

    def copy(self, directory: Path) -> None:
        """Write the newest committed index, without free pages, into an empty directory.

        Raises: StorageError.
        """
        try:
            self._environment.copy(str(directory), compact=True)
        except lmdb.Error as error:
            raise StorageError("The vault's index cannot be copied", why=str(error), do="Make room.") from error

    @contextmanager
    def view(self) -> Iterator["IndexView"]:
        """Open a snapshot."""
        with self._environment.begin() as transaction:
            yield IndexView(transaction, self._databases)

    @contextmanager
    def change(self) -> Iterator["IndexChange"]:
        """Open the one writing transaction; it is durable, whole, when this is left without an error.

        Raises: Full, StorageError.
        """
        try:
            with self._environment.begin(write=True) as transaction:
                yield IndexChange(transaction, self._databases)
        except lmdb.MapFullError as error:
            raise Full(
                "The vault's index is full", why="The room set aside for it is used up", do="Raise index_bytes_max."
            ) from error
        except lmdb.Error as error:
            raise StorageError("The vault's index cannot be written", why=str(error), do="Check the disk.") from error


class IndexView:
    """One snapshot of the index."""

    def __init__(self, transaction: lmdb.Transaction, databases: "dict[str, lmdb._Database]") -> None:
        self._transaction, self._databases = transaction, databases

    def head(self) -> IndexHead:
        """Return what the index knows of everything."""
        value = self._get("meta", _HEAD)
        return IndexHead() if value is None else parse_head(value, None)

    def verify_head(self, tokens: Tokens) -> None:
        """Check the head's seal, once the slots have given the index key.

        Raises: Tampered.
        """
        value = self._get("meta", _HEAD)
        if value is not None:
            parse_head(value, tokens)

    def row(self, document: int) -> SealedRow | ErasedRow | None:
        """Return what stands at a document's number.

        Raises: Tampered.
        """
        value = self._get("documents", _NUMBER.pack(document))
        if value is None:
            return None
        row = parse_row(document, value)
        if row is None:
            raise Tampered("An index row has no known form", why="It was altered", do="Run `vervain audit`.")
        return row

    def documents_named(self, name: bytes) -> list[int]:
        """Return the documents under a name token, oldest first, at most `VERSIONS_MAX`."""
        found: list[int] = []
        with self._transaction.cursor(self._databases["names"]) as cursor:
            is_there = cursor.set_range(name)
            while is_there and cursor.key()[:TOKEN_BYTES] == name and len(found) < VERSIONS_MAX:
                found.append(_NUMBER.unpack(cursor.key()[TOKEN_BYTES:])[0])
                is_there = cursor.next()
        return found

    def document_of_record(self, record: bytes) -> int | None:
        """Return the document under a record token."""
        value = self._get("records", record)
        return None if value is None else int(_NUMBER.unpack(value)[0])

    def slot_of_subject(self, subject: bytes) -> int | None:
        """Return the slot under a subject token."""
        value = self._get("subjects", subject)
        return None if value is None else int(_SLOT.unpack(value)[0])

    def documents_of_slot(self, slot: int, *, after: int = 0, count: int) -> list[int]:
        """Return up to `count` documents of a slot with numbers above `after`, in order."""
        found: list[int] = []
        prefix = _SLOT.pack(slot)
        with self._transaction.cursor(self._databases["slot_documents"]) as cursor:
            is_there = cursor.set_range(_SLOT_DOCUMENT.pack(slot, after + 1))
            while is_there and cursor.key()[: len(prefix)] == prefix and len(found) < count:
                found.append(_SLOT_DOCUMENT.unpack(cursor.key())[1])
                is_there = cursor.next()
        return found

    def _get(self, database: str, key: bytes) -> bytes | None:
        value = self._transaction.get(key, db=self._databases[database])
        return None if value is None else bytes(value)


class IndexChange(IndexView):
    """The one writing transaction."""

    def add(self, rows: Sequence[tuple[int, int, bytes, bytes, bytes | None]]) -> None:
        """Add rows of new documents: (document, slot, name token, value, record token or None), numbers ascending."""
        put, databases = self._transaction.put, self._databases
        documents, names, records = databases["documents"], databases["names"], databases["records"]
        slot_documents = databases["slot_documents"]
        for document, slot, name, value, record in rows:
            number = _NUMBER.pack(document)
            put(number, value, db=documents, append=True)
            put(name + number, b"", db=names)
            put(_SLOT_DOCUMENT.pack(slot, document), b"", db=slot_documents)
            if record is not None:
                put(record, number, db=records)

    def rewrite(self, document: int, value: bytes) -> None:
        """Replace a document's row."""
        self._transaction.put(_NUMBER.pack(document), value, db=self._databases["documents"])

    def set_record(self, record: bytes, document: int) -> None:
        """Put a document under a record token."""
        self._transaction.put(record, _NUMBER.pack(document), db=self._databases["records"])

    def set_slot(self, subject: bytes, slot: int) -> None:
        """Put a slot under a subject token."""
        self._transaction.put(subject, _SLOT.pack(slot), db=self._databases["subjects"])

    def forget_subject(self, subject: bytes) -> None:
        """Remove a subject token."""
        self._transaction.delete(subject, db=self._databases["subjects"])

    def forget_document(self, document: int, *, slot: int, record: int, name: bytes | None) -> None:
        """Leave of a document only that it was erased, and its record number."""
        number = _NUMBER.pack(document)
        self._transaction.put(number, _ERASED.pack(0, record), db=self._databases["documents"])
        self._transaction.delete(_SLOT_DOCUMENT.pack(slot, document), db=self._databases["slot_documents"])
        if name is not None:
            self._transaction.delete(name + number, db=self._databases["names"])

    def forget_unreadable(self, documents: frozenset[int]) -> None:
        """Remove the tokens of documents whose rows no key opens any more; goes through all of them."""
        for database in ("names", "records"):
            with self._transaction.cursor(self._databases[database]) as cursor:
                is_there = cursor.first()
                while is_there:
                    number = cursor.key()[TOKEN_BYTES:] or cursor.value()
                    if _NUMBER.unpack(number)[0] in documents:
                        cursor.delete()  # which stands on the next afterwards, or on none: its key is empty then
                        is_there = bool(cursor.key())
                    else:
                        is_there = cursor.next()

    def set_head(self, head: IndexHead, tokens: Tokens) -> None:
        """Keep what the index knows of everything."""
        encoded = _encode_row(head)
        self._transaction.put(_HEAD, tokens.head(encoded) + encoded, db=self._databases["meta"])
