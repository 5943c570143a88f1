# SPDX-License-Identifier: Apache-2.0
"""Questions to the read model. Every answer is a page with a named maximum; ids only."""

from typing import Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Engine, Select, func, select

from vervain.readmodel.tables.chain import BLOCKS, TRANSACTIONS
from vervain.readmodel.tables.consent import ACCESSES, CONSENTS
from vervain.readmodel.tables.records import RECORDS

PAGE_ROWS_MAX: Final = 500
STATISTICS_AT_LEAST: Final = 10  # smaller counts are not told (k-anonymity)

R = TypeVar("R", bound=msgspec.Struct)


class AccessFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which accesses are asked for; every given field must match.

    Attributes:
        grantors: 32-byte pseudonyms; the patient alone can join them.
        custodian, consent: 32-byte ids.
        purpose: HL7 purpose of use.
        since, until: Block times, UTC seconds, since included, until excluded.
        before: Access number to go on below, for the next page.
        rows: Page size.
    """

    grantors: tuple[bytes, ...] = ()
    custodian: bytes | msgspec.UnsetType = msgspec.UNSET
    consent: bytes | msgspec.UnsetType = msgspec.UNSET
    purpose: str | msgspec.UnsetType = msgspec.UNSET
    since: int | msgspec.UnsetType = msgspec.UNSET
    until: int | msgspec.UnsetType = msgspec.UNSET
    before: int | msgspec.UnsetType = msgspec.UNSET
    rows: int = 100


class AccessRow(msgspec.Struct, frozen=True, kw_only=True):
    """One logged access."""

    access: int
    consent: bytes
    grantor: bytes
    custodian: bytes
    purpose: str
    requested_at: int
    leaf_index: int
    entry_index: int


class ConsentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One consent as it is now."""

    consent: bytes
    kind: str
    grantor: bytes
    custodian: bytes
    purposes: str
    valid_from: int
    valid_until: int
    given_at: int
    leaf_index: int
    entry_index: int
    withdrawn_at: int | None
    replaced_by: bytes | None


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it is now."""

    record: int
    subject: bytes
    custodian: bytes
    commitment: bytes
    author: bytes
    status: str
    committed_at: int
    leaf_index: int
    entry_index: int
    previous: int | None
    superseded_by: int | None


def accesses(engine: Engine, asked: AccessFilter) -> list[AccessRow]:
    """Return the newest matching accesses, newest first."""
    column = ACCESSES.c
    where: list[ColumnElement[bool]] = []
    if asked.grantors:
        where.append(column.grantor.in_(asked.grantors))
    for name in ("custodian", "consent", "purpose"):
        value = getattr(asked, name)
        if value is not msgspec.UNSET:
            where.append(column[name] == value)
    if asked.since is not msgspec.UNSET:
        where.append(column.requested_at >= asked.since)
    if asked.until is not msgspec.UNSET:
        where.append(column.requested_at < asked.until)
    if asked.before is not msgspec.UNSET:
        where.append(column.access < asked.before)
    names = AccessRow.__struct_fields__
    query = select(*(column[name] for name in names)).where(*where).order_by(column.access.desc())
    return _page(engine, query, AccessRow, asked.rows)


def consents(engine: Engine, grantors: tuple[bytes, ...], rows: int = PAGE_ROWS_MAX) -> list[ConsentRow]:
    """Return the consents given by these pseudonyms, newest first."""
    column = CONSENTS.c
    names = ConsentRow.__struct_fields__
    query = select(*(column[name] for name in names)).where(column.grantor.in_(grantors))
    return _page(engine, query.order_by(column.leaf_index.desc(), column.entry_index.desc()), ConsentRow, rows)


def records_of(
    engine: Engine,
    *,
    subject: bytes | None = None,
    custodian: bytes | None = None,
    after: int = 0,
    rows: int = PAGE_ROWS_MAX,
) -> list[RecordRow]:
    """Return the records of a subject or a custodian with numbers above `after`, oldest first."""
    column = RECORDS.c
    where: list[ColumnElement[bool]] = [column.record > after]
    if subject is not None:
        where.append(column.subject == subject)
    if custodian is not None:
        where.append(column.custodian == custodian)
    names = RecordRow.__struct_fields__
    query = select(*(column[name] for name in names)).where(*where).order_by(column.record)
    return _page(engine, query, RecordRow, rows)


def leaf_of(engine: Engine, txid: bytes) -> int | None:
    """Return the log index of a transaction, or None when it is not (yet) in the tables."""
    with engine.connect() as connection:
        found = connection.execute(select(TRANSACTIONS.c.leaf_index).where(TRANSACTIONS.c.txid == txid)).scalar()
    return None if found is None else int(found)


def statistics(engine: Engine) -> dict[str, int]:
    """Return counts of the whole chain that say nothing about a person; counts below ten are told as 0."""
    questions = {
        "blocks": select(func.count()).select_from(BLOCKS),
        "transactions": select(func.count()).select_from(TRANSACTIONS),
        "records": select(func.count()).select_from(RECORDS),
        "grants": select(func.count()).select_from(CONSENTS).where(CONSENTS.c.kind == "grant"),
        "accesses": select(func.count()).select_from(ACCESSES),
    }
    with engine.connect() as connection:
        counted = {name: int(connection.execute(query).scalar() or 0) for name, query in questions.items()}
    return {name: count if count >= STATISTICS_AT_LEAST else 0 for name, count in counted.items()}


def _page(engine: Engine, query: Select[tuple[object, ...]], row: type[R], rows: int) -> list[R]:
    with engine.connect() as connection:
        found = connection.execute(query.limit(min(rows, PAGE_ROWS_MAX)))
        return [row(**each) for each in found.mappings()]
