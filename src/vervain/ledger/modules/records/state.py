# SPDX-License-Identifier: Apache-2.0
"""What the records module keeps. Private to the module; others ask `queries`.

Keys are numbers counted up, so that the B-tree only ever grows at its right edge. There is no index by commitment or
by subject: commitments are salted, and the read model answers who has which records.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Row, Table
from vervain.ledger.modules.records.messages import Correction, Links
from vervain.ledger.primitives.codec import Bytes32, Natural, Positive, UtcSeconds, encode


class RecordStatus(StrEnum):
    """What a version is now. Only current -> any; superseded or corrected -> wrong patient; any -> erased."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    CORRECTED = "corrected"
    WRONG_PATIENT = "wrong_patient"
    ERASED = "erased"


class DisputeStatus(StrEnum):
    """How far the newest dispute has come."""

    OPEN = "open"
    REJECTED = "rejected"
    UPHELD = "upheld"


class Dispute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The newest dispute about a record. Times are block times, UTC seconds."""

    status: DisputeStatus
    disputed_at: UtcSeconds
    settled_at: UtcSeconds | UnsetType = UNSET


class Record(Row, frozen=True, kw_only=True):
    """One version of one document, never removed.

    Attributes:
        subject: 32-byte patient pseudonym of the custodian, or the custodian itself.
        custodian: 32-byte organisation that keeps the document.
        commitment: 32-byte salted record commitment.
        author: 32-byte staff actor; left out for the custodian itself.
        committed_at, height: Block time (UTC seconds) and height of the message.
        links: Older records of the same subject.
        previous: The version before this one.
        correction: Why this version took the place of a wrong one.
        status: What this version is now.
        superseded_by: The version after this one; kept whatever the status becomes.
        marked_at: Block time since when it counts as another patient's.
        dispute: The newest one.
        erased_at, certificate_digest: When its content was destroyed, and the certificate of that.
    """

    subject: Bytes32
    custodian: Bytes32
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    committed_at: UtcSeconds
    height: Natural
    links: Links = ()
    previous: Positive | UnsetType = UNSET
    correction: Correction | UnsetType = UNSET
    status: RecordStatus = RecordStatus.CURRENT
    superseded_by: Positive | UnsetType = UNSET
    marked_at: UtcSeconds | UnsetType = UNSET
    dispute: Dispute | UnsetType = UNSET
    erased_at: UtcSeconds | UnsetType = UNSET
    certificate_digest: Bytes32 | UnsetType = UNSET


class RecordCounter(Row, frozen=True, kw_only=True):
    """Number of the newest record."""

    last: Natural


RECORDS: Final = Table(name="records.records", number=601, row=Record, key=(8,))
"""Record number, counted up from 1 -> record."""

RECORD_COUNTERS: Final = Table(name="records.record_counters", number=602, row=RecordCounter, key=(1,))
"""0 -> the only counter."""

TABLES: Final = (RECORDS, RECORD_COUNTERS)

_THE_COUNTER: Final = RECORD_COUNTERS.stored_key(0)  # built once: it is read and written by every commit


def newest_number(store: Store) -> int:
    """Return the number of the newest record; 0 when there is none."""
    stored = store.get(_THE_COUNTER)
    return 0 if stored is None else RECORD_COUNTERS.from_stored(stored).last


def append(store: Store, record: Record) -> int:
    """Write a record under the next number and return the number."""
    number = newest_number(store) + 1
    RECORDS.put(store, number, record)
    store.put(_THE_COUNTER, encode(RecordCounter(last=number)))
    return number
