# SPDX-License-Identifier: Apache-2.0
"""The read model is what the blocks give: whenever, however often and from wherever it is projected."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.unit.readmodel.told_chain import rows_of, tell
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary
from vervain.node.directory import DataDirectory
from vervain.node.node import Node
from vervain.node.reading import StoredFeed, remove_read_model
from vervain.readmodel import projector as projector_module
from vervain.readmodel.database import open_database
from vervain.readmodel.projector import Projector
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import StorageError
from vervain.storage.state_store import StateStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The told chain, at rest."""
    place = tmp_path_factory.mktemp("told") / "node"
    tell(place)
    return place


@pytest.fixture
def feed(root: Path) -> Iterator[StoredFeed]:
    """Its blocks and outcomes."""
    with Node(root) as node:
        chain = node.chain
    directory = DataDirectory(root)
    with (
        closing(BlockLog(directory.blocks, chain=chain)) as log,
        closing(StateStore(directory.state, chain=chain)) as state,
    ):
        yield StoredFeed(log, state.view)


class ShortFeed:
    """A feed whose state has committed blocks up to a height only."""

    def __init__(self, feed: StoredFeed, height: int) -> None:
        self._feed, self.height = feed, height

    def blocks(self, from_height: int) -> Iterator[Block]:
        """Yield all stored blocks: the log may be ahead of the state."""
        return self._feed.blocks(from_height)

    def outcome_bytes(self, height: int) -> bytes:
        """Return the outcomes of a height."""
        return self._feed.outcome_bytes(height)

    def summary(self, height: int) -> BlockSummary | None:
        """Return a summary when the height is committed."""
        return self._feed.summary(height) if height <= self.height else None


def test_second_projection_adds_nothing(feed: StoredFeed, tmp_path: Path) -> None:
    """Given a projected chain, when projected again, then no row is added or changed."""
    engine = open_database(tmp_path / "rows.sqlite", writable=True)
    projector = Projector(engine, CATALOGUE, feed)
    height = projector.catch_up()
    before = rows_of(engine)
    assert projector.catch_up() == height == projector.height() and rows_of(engine) == before
    assert len(before["blocks"]) == height + 1 and len(before["accesses"]) == 12 and len(before["consents"]) == 9
    engine.dispose()


@pytest.mark.parametrize("entries_per_commit", [1, 7, 5_000])
def test_stop_after_any_height_gives_the_same_rows(
    feed: StoredFeed, tmp_path: Path, entries_per_commit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a projector restarted after every few heights, then the rows are those of one run."""
    whole = open_database(tmp_path / "whole.sqlite", writable=True)
    height = Projector(whole, CATALOGUE, feed).catch_up()
    monkeypatch.setattr(projector_module, "ENTRIES_PER_COMMIT", entries_per_commit)
    for stop in range(0, height + 3, 3):
        engine = open_database(tmp_path / "parts.sqlite", writable=True)
        assert Projector(engine, CATALOGUE, ShortFeed(feed, stop)).catch_up() == min(stop, height)
        engine.dispose()
    parts = open_database(tmp_path / "parts.sqlite", writable=False)
    assert rows_of(parts) == rows_of(whole)
    parts.dispose()
    whole.dispose()


def test_failure_in_a_block_leaves_no_part_of_it(feed: StoredFeed, tmp_path: Path) -> None:
    """Given outcomes that cannot be read, then what was projected before stays whole, and a repair goes on."""

    class Broken(ShortFeed):
        def outcome_bytes(self, height: int) -> bytes:
            if height == self.height:
                raise StorageError("The outcomes are missing")
            return super().outcome_bytes(height)

    engine = open_database(tmp_path / "rows.sqlite", writable=True)
    with pytest.raises(StorageError):
        Projector(engine, CATALOGUE, Broken(feed, 5)).catch_up()
    assert Projector(engine, CATALOGUE, feed).height() in (-1, 4)
    Projector(engine, CATALOGUE, feed).catch_up()
    whole = open_database(tmp_path / "whole.sqlite", writable=True)
    Projector(whole, CATALOGUE, feed).catch_up()
    assert rows_of(engine) == rows_of(whole)
    engine.dispose()
    whole.dispose()


def test_rebuild_gives_the_same_rows(root: Path) -> None:
    """Given a node's read model, when removed and made again, then every row is the same."""
    with Node(root) as node:
        node.read_model.catch_up()
        before = rows_of(node.read_model.engine)
    remove_read_model(DataDirectory(root).read_model)
    with Node(root) as node:
        node.read_model.catch_up()
        after = rows_of(node.read_model.engine)
    told = {name: rows for name, rows in after.items() if name != "blocks"}
    assert told == {name: rows for name, rows in before.items() if name != "blocks"}
    assert after["blocks"][: len(before["blocks"])] == before["blocks"]


def test_reader_opens_nothing_that_is_not_there_and_writes_nothing(feed: StoredFeed, tmp_path: Path) -> None:
    """Given no file, then a reader is told to rebuild; given one, then it cannot write."""
    with pytest.raises(StorageError, match="no read model"):
        open_database(tmp_path / "none.sqlite", writable=False)
    open_database(tmp_path / "rows.sqlite", writable=True).dispose()
    reader = open_database(tmp_path / "rows.sqlite", writable=False)
    with pytest.raises(Exception, match="readonly"), reader.begin() as connection:
        connection.exec_driver_sql("DELETE FROM blocks")
    reader.dispose()


def test_the_follower_stands_back_between_two_sql_transactions_but_not_for_ever(
    feed: StoredFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given SQL transactions of one block each, and an engine that becomes busy once the founding is in the tables.
    When the follower is woken, and later the longest lag is over.
    Then only the founding is in the tables at first, and all of the chain in the end.
    """
    monkeypatch.setattr(projector_module, "ENTRIES_PER_COMMIT", 1)
    monkeypatch.setattr(projector_module, "LAG_SECONDS_MAX", 1.5)
    engine = open_database(tmp_path / "fresh.sqlite", writable=True)
    projector = Projector(engine, CATALOGUE, feed, is_busy=lambda: projector.height() >= 0)
    projector.start()
    projector.wake()
    deadline = monotonic() + 30
    while projector.height() < 0 and monotonic() < deadline:
        sleep(0.01)
    sleep(0.3)
    first = projector.height()
    while projector.height() == first and monotonic() < deadline:
        sleep(0.01)
    projector.stop()
    newest = max(block.height for block in feed.blocks(0))
    assert (first, projector.height()) == (0, newest)
