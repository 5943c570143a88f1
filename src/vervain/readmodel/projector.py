# SPDX-License-Identifier: Apache-2.0
"""Turns stored blocks and outcomes into rows, height by height: idempotent, restartable, outside the commit path.

Source: ledger-engine reference, section 8.1: "derived, outside the commit path, rebuildable, idempotent by height".
"""

import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Final, Protocol

import msgspec
from sqlalchemy import Engine, func, select

from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.outcome import EncodedOutcome
from vervain.ledger.machine.transaction import Transaction
from vervain.readmodel.tables import PROJECTIONS
from vervain.readmodel.tables.chain import BLOCKS, TRANSACTIONS, Place, Rows

ENTRIES_PER_COMMIT: Final = 5_000  # rows of one SQL transaction, about
LAG_SECONDS_MAX: Final = 30.0  # how long the tables stand back while transactions wait
GIVE_WAY_SECONDS: Final = 0.1
_OUTCOMES = msgspec.json.Decoder(tuple[EncodedOutcome, ...])


class Feed(Protocol):
    """Where blocks and what came of them are read from."""

    def blocks(self, from_height: int) -> Iterator[Block]:
        """Yield stored blocks from a height on."""
        ...

    def outcome_bytes(self, height: int) -> bytes:
        """Return the JCS array of a committed height's outcomes."""
        ...

    def summary(self, height: int) -> BlockSummary | None:
        """Return a committed height's summary, or None when it is not committed yet."""
        ...


class Projector:
    """Writes one read model. One writer; `catch_up` may be called again at any time.

    Args:
        engine: The writable database.
        catalogue: The chain's modules.
        feed: Blocks, outcomes and summaries.
        is_busy: Tells whether transactions wait; following the chain then gives way to them, for a while.
    """

    def __init__(
        self, engine: Engine, catalogue: Catalogue, feed: Feed, *, is_busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._is_busy = is_busy
        self._engine, self._catalogue, self._feed = engine, catalogue, feed
        self._wake = threading.Event()
        self._stopping = False
        self._give_way_until = 0.0
        self._projecting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None

    def height(self) -> int:
        """Return the newest height that is in the tables, -1 when none is."""
        with self._engine.connect() as connection:
            newest = connection.execute(select(func.max(BLOCKS.c.height))).scalar()
        return -1 if newest is None else int(newest)

    def catch_up(self, progress: Callable[[int], None] = lambda height: None) -> int:
        """Project every committed block that is not in the tables yet; return the newest height.

        Args:
            progress: Told the newest height after each SQL transaction.
        """
        with self._projecting:
            height = self.height()
            blocks = self._feed.blocks(height + 1)
            while (done := self._project_some(blocks)) is not None:
                height = done
                progress(height)
            return height

    def _project_some(self, blocks: Iterator[Block]) -> int | None:
        """Project blocks until about `ENTRIES_PER_COMMIT` entries, in one SQL transaction."""
        done, entries = None, 0
        with self._engine.begin() as connection:
            rows = Rows(connection)
            for block in blocks:
                summary = self._feed.summary(block.height)
                if summary is None:
                    break
                entries += self._project(rows, block, summary)
                done = block.height
                if entries >= ENTRIES_PER_COMMIT:
                    break
            rows.flush()
        return done

    def _project(self, rows: Rows, block: Block, summary: BlockSummary) -> int:
        """Add the rows of one block; return how many entries it had."""
        outcomes = _OUTCOMES.decode(self._feed.outcome_bytes(block.height))
        entries = 0
        if block.height == 0:
            place = Place(0, block.time, 0, 0, bytes(32))
            for event in outcomes[0].events:
                self._project_event(rows, place, None, event)
        else:
            entries = sum(self._project_transactions(rows, block, summary, outcomes))
        rows.insert(
            BLOCKS,
            height=block.height,
            time=block.time,
            transactions=0 if block.height == 0 else len(block.transactions),
            log_size=summary.log_size,
            app_hash=summary.app_hash,
        )
        return entries + 1

    def _project_transactions(
        self, rows: Rows, block: Block, summary: BlockSummary, outcomes: tuple[EncodedOutcome, ...]
    ) -> Iterator[int]:
        for index, encoded in enumerate(block.transactions):
            transaction, outcome = Transaction.from_checked(encoded, self._catalogue.message_decoder), outcomes[index]
            leaf_index, actor = summary.first_leaf + index, transaction.header.actor
            rows.insert(
                TRANSACTIONS,
                leaf_index=leaf_index,
                height=block.height,
                txid=transaction.txid,
                actor=actor,
                code=outcome.code,
                entries=len(transaction.entries),
            )
            for entry_index, event in zip(outcome.entry_of_events(), outcome.events, strict=True):
                place = Place(block.height, block.time, leaf_index, entry_index, actor)
                self._project_event(rows, place, transaction.messages[entry_index], event)
            yield len(transaction.entries)

    def _project_event(self, rows: Rows, place: Place, message: object, encoded: msgspec.Raw) -> None:
        event = self._catalogue.event_decoder.decode(encoded)
        PROJECTIONS[type(event)](rows, place, message, event)

    # Following the chain

    def start(self) -> None:
        """Follow the chain on a thread of its own; `wake` tells it of a new block."""
        self._thread = threading.Thread(target=self._follow, name="projector", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """A block is durable: project it soon."""
        self._wake.set()

    def stop(self) -> None:
        """Project what is committed, then stop."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _give_way(self, _height: int = 0) -> None:
        """Wait while the engine is busy, before each SQL transaction, but never longer than the tables may lag."""
        while self._is_busy() and not self._stopping and monotonic() < self._give_way_until:
            sleep(GIVE_WAY_SECONDS)

    def _follow(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait()
                self._give_way_until = monotonic() + LAG_SECONDS_MAX
                self._give_way()
                self._wake.clear()
                self.catch_up(self._give_way)
        except Exception as error:  # noqa: BLE001 - a broken read model must not stop the ledger; /readyz tells it
            self.failure = error
