# SPDX-License-Identifier: Apache-2.0
"""Blocks and transactions as rows, and what every projection is given."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, Table
from sqlalchemy.dialects import sqlite

METADATA = MetaData()
"""All tables of the read model."""

BLOCKS = Table(
    "blocks",
    METADATA,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("transactions", Integer, nullable=False),
    Column("log_size", BigInteger, nullable=False),
    Column("app_hash", LargeBinary(32), nullable=False),
)

TRANSACTIONS = Table(
    "transactions",
    METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("height", BigInteger, nullable=False, index=True),
    Column("txid", LargeBinary(32), nullable=False, index=True),
    Column("actor", LargeBinary(32), nullable=False),
    Column("code", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
)


class Place(NamedTuple):
    """Where an entry stands and who signed it: what every row may name."""

    height: int
    time: int
    leaf_index: int
    entry_index: int
    actor: bytes


@cache
def _insert_of(table: Table) -> str:
    """Return the plain INSERT of a table: a third quicker than building it for each batch (ecosystem reference)."""
    return str(table.insert().compile(dialect=sqlite.dialect(paramstyle="qmark")))


@cache
def _columns_of(table: Table) -> tuple[str, ...]:
    """Return the names of a table's columns, which SQLAlchemy lists anew each time."""
    return tuple(table.c.keys())


class Rows:
    """Rows gathered for one SQL transaction: inserts of one table go in one statement, kept in order with updates."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inserts: dict[Table, list[tuple[Any, ...]]] = {}  # Any: a row's columns are of several types

    def insert(self, table: Table, /, **row: Any) -> None:  # Any: as above
        """Add a row; columns that are not named are NULL."""
        self._inserts.setdefault(table, []).append(tuple(map(row.get, _columns_of(table))))

    def update(self, table: Table, where: dict[str, Any], /, **values: Any) -> None:  # Any: as above
        """Change the row with that key, after every insert so far."""
        self.flush()
        matching = [table.c[name] == value for name, value in where.items()]
        self._connection.execute(table.update().where(*matching).values(**values))

    def flush(self) -> None:
        """Send the gathered inserts."""
        for table, rows in self._inserts.items():
            self._connection.exec_driver_sql(_insert_of(table), rows)
        self._inserts.clear()


Projection = Callable[[Rows, Place, Any, Any], None]  # Any: each takes its own message and event type
