# SPDX-License-Identifier: Apache-2.0
"""Records as rows: commitments and what became of them. The only index by commitment and by subject."""

from collections.abc import Mapping

from msgspec import UNSET, UnsetType
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from vervain.ledger.machine.outcome import Event
from vervain.ledger.modules.records.messages import (
    DisputeSettled,
    RecordCommitted,
    RecordCorrected,
    RecordDisputed,
    RecordErased,
    RecordMarkedWrongPatient,
    RecordSuperseded,
)
from vervain.readmodel.tables.chain import METADATA, Place, Projection, Rows

RECORDS = Table(
    "records",
    METADATA,
    Column("record", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", LargeBinary(32), nullable=False),
    Column("custodian", LargeBinary(32), nullable=False),
    Column("commitment", LargeBinary(32), nullable=False, index=True),
    Column("author", LargeBinary(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("committed_at", BigInteger, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("entry_index", Integer, nullable=False),
    Column("previous", BigInteger),
    Column("superseded_by", BigInteger),
    Column("dispute", String(16)),
    Index("records_of_subject", "subject", "record"),
    Index("records_at_custodian", "custodian", "record"),
)


def record_committed(rows: Rows, place: Place, _message: object, event: RecordCommitted) -> None:
    """Add the record."""
    _add(rows, place, event, None)


def record_superseded(rows: Rows, place: Place, _message: object, event: RecordSuperseded) -> None:
    """Add the new version; the older one is no longer current."""
    _add(rows, place, event, event.previous)
    rows.update(RECORDS, {"record": event.previous}, status="superseded", superseded_by=event.record)


def record_corrected(rows: Rows, place: Place, _message: object, event: RecordCorrected) -> None:
    """Add the correcting version; the older one was wrong."""
    _add(rows, place, event, event.previous)
    rows.update(RECORDS, {"record": event.previous}, status="corrected", superseded_by=event.record)


def _add(
    rows: Rows, place: Place, event: RecordCommitted | RecordSuperseded | RecordCorrected, previous: int | None
) -> None:
    author: bytes | UnsetType = event.author
    rows.insert(
        RECORDS,
        record=event.record,
        subject=event.subject,
        custodian=event.custodian,
        commitment=event.commitment,
        author=event.custodian if author is UNSET else author,
        status="current",
        committed_at=place.time,
        leaf_index=place.leaf_index,
        entry_index=place.entry_index,
        previous=previous,
    )


def record_marked_wrong_patient(rows: Rows, _place: Place, _message: object, event: RecordMarkedWrongPatient) -> None:
    """Mark the record."""
    rows.update(RECORDS, {"record": event.record}, status="wrong_patient")


def record_disputed(rows: Rows, _place: Place, _message: object, event: RecordDisputed) -> None:
    """Note the open dispute."""
    rows.update(RECORDS, {"record": event.record}, dispute="open")


def dispute_settled(rows: Rows, _place: Place, _message: object, event: DisputeSettled) -> None:
    """Note what came of the dispute."""
    rows.update(RECORDS, {"record": event.record}, dispute=str(event.verdict))


def record_erased(rows: Rows, _place: Place, _message: object, event: RecordErased) -> None:
    """Mark the record; its commitment stays and hides."""
    rows.update(RECORDS, {"record": event.record}, status="erased")


PROJECTIONS: Mapping[type[Event], Projection] = {
    RecordCommitted: record_committed,
    RecordSuperseded: record_superseded,
    RecordCorrected: record_corrected,
    RecordMarkedWrongPatient: record_marked_wrong_patient,
    RecordDisputed: record_disputed,
    DisputeSettled: dispute_settled,
    RecordErased: record_erased,
}
