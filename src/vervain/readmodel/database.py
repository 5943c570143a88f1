# SPDX-License-Identifier: Apache-2.0
"""Opening the read model: SQLAlchemy Core on SQLite through the bundled library, migrated by Alembic.

The standard library's `sqlite3` may be an SQLite inside the range of the WAL-reset corruption bug (3.7.0 to 3.51.2), so
the wheel that bundles its own is used and anything older is refused. SQL stays portable: no dialect words outside here.

Source: ecosystem reference, finding 2; SQLite release notes 3.51.3.
"""

from pathlib import Path
from typing import Any, Final

import pysqlite3
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event

from vervain.storage.errors import StorageError

SQLITE_AT_LEAST: Final = (3, 51, 3)
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def open_database(path: Path, *, writable: bool) -> Engine:
    """Open the read model; the writer migrates it to the newest form first.

    Args:
        path: The SQLite file; created when `writable`.
        writable: One process has one writer; readers open read-only.

    Raises: StorageError when the bundled SQLite is too old or the file is missing.
    """
    if pysqlite3.sqlite_version_info < SQLITE_AT_LEAST:
        raise StorageError(
            f"The bundled SQLite is {pysqlite3.sqlite_version}",
            why="Versions before 3.51.3 can corrupt a write-ahead log",
            do="Install pysqlite3 0.6.1 or newer.",
        )
    if not writable and not path.is_file():
        raise StorageError("There is no read model here", why=f"{path} does not exist", do="Run `vervain rebuild`.")
    address = f"sqlite:///{path}" if writable else f"sqlite:///file:{path}?mode=ro&uri=true"
    engine = create_engine(address, module=pysqlite3)
    event.listen(engine, "connect", _writer_settings if writable else _reader_settings)
    if writable:
        _migrate(engine)
    return engine


def _writer_settings(connection: Any, _record: object) -> None:  # Any: a DB-API connection has no public type
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _reader_settings(connection: Any, _record: object) -> None:  # Any: as above
    connection.execute("PRAGMA query_only=ON")


def _migrate(engine: Engine) -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
