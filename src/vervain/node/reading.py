# SPDX-License-Identifier: Apache-2.0
"""The node's read model: fed from the block log and the committed outcomes, never from memory, so that it rebuilds."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Engine

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary
from vervain.readmodel.database import open_database
from vervain.readmodel.projector import Projector
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import StorageError


class StoredFeed:
    """Blocks and outcomes of one data directory, as the projector asks for them."""

    def __init__(self, block_log: BlockLog, view: Callable[[], AbstractContextManager[CommittedState]]) -> None:
        self._block_log, self._view = block_log, view

    def blocks(self, from_height: int) -> Iterator[Block]:
        """Yield stored blocks from a height on."""
        return self._block_log.blocks(from_height)

    def outcome_bytes(self, height: int) -> bytes:
        """Return the outcomes of a committed height.

        Raises: StorageError when they are missing.
        """
        with self._view() as state:
            stored = state.outcomes(height)
        if stored is None:
            raise StorageError(f"The outcomes of block {height} are missing", do="Run `vervain audit`.")
        return stored

    def summary(self, height: int) -> BlockSummary | None:
        """Return a committed height's summary, or None."""
        with self._view() as state:
            return state.summary(height)


def remove_read_model(path: Path) -> None:
    """Remove the read model's files; it is made again from blocks and outcomes."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class ReadModel:
    """The projector and its database."""

    def __init__(self, path: Path, feed: StoredFeed, *, is_busy: Callable[[], bool] = lambda: False) -> None:
        self.engine: Engine = open_database(path, writable=True)
        self.projector = Projector(self.engine, CATALOGUE, feed, is_busy=is_busy)

    def start(self) -> None:
        """Follow the chain from where the tables end."""
        self.projector.start()
        self.projector.wake()

    def catch_up(self) -> int:
        """Wait until every committed block is in the tables; return the newest height."""
        return self.projector.catch_up()

    def stop(self) -> None:
        """Stop following and close the database."""
        self.projector.stop()
        self.engine.dispose()
