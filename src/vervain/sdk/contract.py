# SPDX-License-Identifier: Apache-2.0
"""The native HTTP API's wire contract, shared by the node's gateway and the client: answers, limits, media types.

Every answer is canonical JSON (sorted keys, defaults left out); bytes are padded base64.
"""

from typing import Final

import msgspec

from vervain.ledger.machine.limits import TRANSACTION_BYTES_MAX
from vervain.ledger.primitives.codec import Bytes32, Natural, Positive, Text, UtcSeconds

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"
EVENT_STREAM: Final = "text/event-stream"
TEXT: Final = "text/plain; charset=utf-8"
OCTETS: Final = "application/octet-stream"

SUBMISSION_BYTES_MAX: Final = TRANSACTION_BYTES_MAX
BULK_TRANSACTIONS_MAX: Final = 2_000  # lines of one bulk request
BULK_BYTES_MAX: Final = 8 * 2**20  # of one bulk request's body
QUERY_BYTES_MAX: Final = 64_000  # of one question's arguments
PAGE_ROWS_MAX: Final = 500  # rows of one page of the read model
RELEASE_REQUEST_BYTES_MAX: Final = 128 * 2**10  # a full record set named twice, and the longest notice
RELEASED_RECORDS_MAX: Final = 100  # documents of one release's answer
RELEASED_BYTES_MAX: Final = 32 * 2**20  # of their ciphertexts together
OWN_WRAPS_PAGE: Final = 100  # documents of one page of own wraps
OWN_DOCUMENT_BYTES_MAX: Final = 64 * 2**20  # ciphertext of one own document


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest durable block of a node.

    Attributes:
        chain: The chain's name and founding digest.
        height, time: Of the block; UTC seconds.
        log_size, log_root: Of the log after it; the root has 32 bytes.
        app_hash: 32 bytes over both.
    """

    chain: Text
    height: Natural
    time: UtcSeconds
    log_size: Natural
    log_root: Bytes32
    app_hash: Bytes32


class TransactionAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a transaction that was applied: durable and final.

    Attributes:
        txid: 32-byte id.
        code: 0.
        reason, text: `APPLIED`, and that in words.
        events: What was announced, in order.
        height, leaf_index: Where it stands; `leaf_index` is what a receipt is asked by.
        is_repeat: It had been ordered before; this is the first outcome.
    """

    txid: Bytes32
    code: Natural
    reason: str
    text: str
    events: tuple[msgspec.Raw, ...] = ()
    height: Natural | msgspec.UnsetType = msgspec.UNSET
    leaf_index: Natural | msgspec.UnsetType = msgspec.UNSET
    is_repeat: bool = False


class BulkAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a bulk answer, in the order of the request's lines.

    Attributes:
        code: 0 applied, else the refusal's code; `GET /v1/problems` tells what each means.
        txid: 32-byte id; absent when the bytes were refused before it was needed.
        height, leaf_index: Where it stands; absent when it got no leaf.
    """

    code: Natural
    txid: Bytes32 | msgspec.UnsetType = msgspec.UNSET
    height: Natural | msgspec.UnsetType = msgspec.UNSET
    leaf_index: Natural | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request did not do what it asked (RFC 9457), told so that a person knows what to do.

    Attributes:
        type: `/v1/problems#` and the kind's name.
        title: The kind in words.
        status: The HTTP status.
        detail: What happened, why, what to do, as one text.
        what, why, do: The same in three parts.
        code, reason: A refusal's numbered reason and its name.
        txid, failed_entry, height, leaf_index, is_repeat: Of a refused transaction, as in its answer.
    """

    type: str
    title: str
    status: int
    detail: str
    what: str
    why: str = ""
    do: str = ""
    code: Natural | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    txid: Bytes32 | msgspec.UnsetType = msgspec.UNSET
    failed_entry: Natural | msgspec.UnsetType = msgspec.UNSET
    height: Natural | msgspec.UnsetType = msgspec.UNSET
    leaf_index: Natural | msgspec.UnsetType = msgspec.UNSET
    is_repeat: bool = False


class BlockAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stored block. Block 0 holds the genesis content as its one transaction."""

    height: Natural
    time: UtcSeconds
    transactions: tuple[msgspec.Raw, ...]


class BlockEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A block has become final, as `GET /v1/events` tells it; the event's id is the height.

    Attributes:
        height, time: Of the block; UTC seconds.
        transactions: How many transactions got a leaf in it.
        first_leaf, log_size: Log index of its first leaf; size of the log after it.
        app_hash: 32 bytes.
    """

    height: Natural
    time: UtcSeconds
    transactions: Natural
    first_leaf: Natural
    log_size: Natural
    app_hash: Bytes32


class ConsistencyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that the log of `old_size` leaves is a prefix of the log of `size` (RFC 9162 section 2.1.4)."""

    old_size: Natural
    size: Natural
    path: tuple[Bytes32, ...]


class ReleasedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One document that a grant lets a reader open.

    Attributes:
        record: Its number on the ledger.
        commitment: 32 bytes, as on the ledger.
        wrap: Its key, sealed to the grant's X25519 key; 112 bytes.
        type, id, version: What its commitment says it is.
        ciphertext: As the custodian keeps it.
    """

    record: Positive
    commitment: Bytes32
    wrap: bytes
    type: str
    id: str
    version: str
    ciphertext: bytes

    def __repr__(self) -> str:
        return f"ReleasedRecord(record={self.record})"


class ReleaseAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a custodian releases under a grant, at most `RELEASED_RECORDS_MAX` and `RELEASED_BYTES_MAX` at once.

    Attributes:
        records: In the order of their numbers.
        left_out: Numbers of records that may be read but did not fit: ask again with `among` naming them.
    """

    records: tuple[ReleasedRecord, ...]
    left_out: tuple[Positive, ...] = ()


class OwnWrap(msgspec.Struct, frozen=True, kw_only=True):
    """The key of one own document, sealed to the patient's own wallet; attributes as in `ReleasedRecord`."""

    record: Positive
    commitment: Bytes32
    wrap: bytes
    type: str
    id: str
    version: str

    def __repr__(self) -> str:
        return f"OwnWrap(record={self.record})"


class OwnWrapsAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of own wraps.

    Attributes:
        epoch: Of the asker's X25519 key that they are sealed to.
        wraps: In the order in which the custodian kept the documents.
        next: The `after` of the following page, absent on the last.
    """

    epoch: Natural
    wraps: tuple[OwnWrap, ...]
    next: Natural | msgspec.UnsetType = msgspec.UNSET


class OwnNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed notice of a read.

    Attributes:
        at: When the custodian got it, UTC seconds.
        grant: 32-byte id of the grant that was read under; needed to open it.
        access: Number of the access on the ledger.
        sealed: Opens with the relationship's key alone.
    """

    at: UtcSeconds
    grant: Bytes32
    access: Positive
    sealed: bytes


class OwnNoticesAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of own notices, oldest first; `next` is the `after` of the following page, absent on the last."""

    notices: tuple[OwnNotice, ...]
    next: Natural | msgspec.UnsetType = msgspec.UNSET
