# SPDX-License-Identifier: Apache-2.0
"""Questions to the read model, against lists filtered by hand; pages end; small counts are not told."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import asdict
from sqlalchemy import Engine

from tests.unit.readmodel.told_chain import tell
from vervain.node.directory import DataDirectory
from vervain.readmodel import queries
from vervain.readmodel.database import open_database
from vervain.readmodel.queries import (
    PAGE_ROWS_MAX,
    AccessFilter,
    AccessRow,
    accesses,
    consents,
    leaf_of,
    records_of,
    statistics,
)
from vervain.readmodel.tables.chain import TRANSACTIONS
from vervain.readmodel.tables.consent import ACCESSES
from vervain.readmodel.tables.records import RECORDS


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The read model of the told chain, opened for reading."""
    root: Path = tmp_path_factory.mktemp("told") / "node"
    tell(root)
    opened = open_database(DataDirectory(root).read_model, writable=False)
    yield opened
    opened.dispose()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Engine]:
    """Tables without rows, opened for writing."""
    opened = open_database(tmp_path / "rows.sqlite", writable=True)
    yield opened
    opened.dispose()


def matches(row: AccessRow, asked: AccessFilter) -> bool:
    """Tell by hand whether a row is asked for."""
    return all(
        (
            not asked.grantors or row.grantor in asked.grantors,
            asked.custodian is UNSET or row.custodian == asked.custodian,
            asked.consent is UNSET or row.consent == asked.consent,
            asked.purpose is UNSET or row.purpose == asked.purpose,
            asked.since is UNSET or row.requested_at >= asked.since,
            asked.until is UNSET or row.requested_at < asked.until,
            asked.before is UNSET or row.access < asked.before,
        )
    )


def test_every_combination_of_filters(engine: Engine) -> None:
    """Given every combination of fields, values that match or not, then the rows are those filtered by hand."""
    everything = accesses(engine, AccessFilter(rows=PAGE_ROWS_MAX))
    assert [each.access for each in everything] == list(range(12, 0, -1))
    one, other = everything[3], everything[-1]
    choices: dict[str, tuple[Any, ...]] = {
        "grantors": ((), (one.grantor,), (one.grantor, other.grantor), (bytes(32),)),
        "custodian": (UNSET, one.custodian, bytes(32)),
        "consent": (UNSET, one.consent),
        "purpose": (UNSET, one.purpose, "ETREAT"),
        "since": (UNSET, one.requested_at),
        "until": (UNSET, one.requested_at, one.requested_at + 1),
        "before": (UNSET, one.access),
    }
    matched = 0
    for values in product(*choices.values()):
        asked = AccessFilter(**dict(zip(choices, values, strict=True)), rows=PAGE_ROWS_MAX)
        expected = [row for row in everything if matches(row, asked)]
        matched += bool(expected)
        assert accesses(engine, asked) == expected, asdict(asked)
    assert matched > 50


def test_pages_join_to_the_whole(engine: Engine) -> None:
    """Given pages of five, each asked below the last of the one before, then together they are everything, once."""
    pages: list[AccessRow] = []
    before: Any = UNSET
    while page := accesses(engine, AccessFilter(before=before, rows=5)):
        assert len(page) <= 5
        pages += page
        before = page[-1].access
    assert pages == accesses(engine, AccessFilter(rows=PAGE_ROWS_MAX))


def test_no_page_is_longer_than_the_maximum(empty: Engine) -> None:
    """Given more rows than a page may have, then asking for all of them gives the maximum."""
    with empty.begin() as connection:
        connection.execute(ACCESSES.insert(), [_access(number) for number in range(PAGE_ROWS_MAX + 1)])
        connection.execute(RECORDS.insert(), [_record(number) for number in range(1, PAGE_ROWS_MAX + 2)])
    assert len(accesses(empty, AccessFilter(rows=10 * PAGE_ROWS_MAX))) == PAGE_ROWS_MAX
    assert len(records_of(empty, rows=10 * PAGE_ROWS_MAX)) == PAGE_ROWS_MAX
    last = records_of(empty, after=PAGE_ROWS_MAX)
    assert [each.record for each in last] == [PAGE_ROWS_MAX + 1]


def test_consents_of_a_patient(engine: Engine) -> None:
    """Given two grants, one withdrawn, and a denial, then all three are told, newest first, and no other's."""
    grantor = accesses(engine, AccessFilter())[0].grantor
    found = consents(engine, (grantor,))
    assert [each.kind for each in found] == ["deny", "grant", "grant"]
    assert [each.withdrawn_at is None for each in found] == [True, True, False]
    assert {each.grantor for each in found} == {grantor}
    assert consents(engine, (bytes(32),)) == [] and consents(engine, ()) == []
    assert len(consents(engine, (grantor,), rows=1)) == 1


def test_records_by_subject_and_custodian(engine: Engine) -> None:
    """Given two records of each patient, then they are found by subject, by custodian and by both, oldest first."""
    everything = records_of(engine)
    assert [each.record for each in everything] == [1, 2, 3, 4, 5, 6]
    subject, custodian = everything[2].subject, everything[2].custodian
    own = [each for each in everything if each.subject == subject]
    assert records_of(engine, subject=subject) == records_of(engine, subject=subject, custodian=custodian) == own
    assert records_of(engine, custodian=custodian) == everything
    assert records_of(engine, subject=subject, after=own[0].record) == own[1:]
    assert records_of(engine, custodian=bytes(32)) == []


def test_leaf_of_a_transaction(engine: Engine) -> None:
    """Given a transaction's id, then its log index is told; of an unknown one, nothing."""
    asked = TRANSACTIONS.select().with_only_columns(TRANSACTIONS.c.txid, TRANSACTIONS.c.leaf_index)
    with engine.connect() as connection:
        txid, leaf = connection.execute(asked.order_by(TRANSACTIONS.c.leaf_index.desc()).limit(1)).one()
    assert leaf_of(engine, txid) == leaf and leaf_of(engine, bytes(32)) is None


@pytest.mark.parametrize(("count", "told"), [(0, 0), (9, 0), (10, 10), (11, 11)])
def test_small_counts_are_not_told(empty: Engine, count: int, told: int) -> None:
    """Given fewer than ten records, then the count is told as 0; from ten on as it is."""
    if count:
        with empty.begin() as connection:
            connection.execute(RECORDS.insert(), [_record(number) for number in range(1, count + 1)])
    assert statistics(empty) == {"blocks": 0, "transactions": 0, "records": told, "grants": 0, "accesses": 0}
    assert queries.STATISTICS_AT_LEAST == 10


def _access(number: int) -> dict[str, Any]:
    return {
        "access": number,
        "consent": bytes(32),
        "grantor": bytes(32),
        "custodian": bytes(32),
        "purpose": "TREAT",
        "requested_at": number,
        "notice_digest": bytes(32),
        "leaf_index": number,
        "entry_index": 0,
    }


def _record(number: int) -> dict[str, Any]:
    return {
        "record": number,
        "subject": bytes(32),
        "custodian": bytes(32),
        "commitment": bytes(32),
        "author": bytes(32),
        "status": "current",
        "committed_at": number,
        "leaf_index": number,
        "entry_index": 0,
    }
