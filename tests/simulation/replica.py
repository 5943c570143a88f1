# SPDX-License-Identifier: Apache-2.0
"""One member of the simulated consortium: the real application, the real block log, a disk that can lose power.

The block log runs over `FaultyFiles`, so its appends, syncs, names and segments fail as disks do. The state is kept in
memory and commits in one step, as LMDB does: a crash stands before or after it, never inside. Recovery is the solo
engine's own code.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.anomalies.faulty_files import Crash, FaultyFiles
from tests.memory_state import MemoryState
from tests.simulation.witness import Broken, require
from vervain.engines.solo.engine import SoloEngine
from vervain.ledger.machine.application import Application, Finalized
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.transaction import Transaction
from vervain.storage.block_log import BlockLog

BLOCKS: Final = Path("/simulated/blocks")
SEGMENT_BYTES_MAX: Final = 16_384  # small, so that a short run crosses several segments
ACTS_AHEAD_MAX: Final = 6  # how far ahead of now a crash in the block log is set
RESTARTS_MAX: Final = 50  # crashes during recovery, one after the other


class Place(StrEnum):
    """Where a replica can crash; `IN_LOG` stands for every act of the block log on its disk."""

    IN_LOG = "in the block log"
    BEFORE_APPEND = "before the append"
    AFTER_APPEND = "after the append"
    AFTER_SYNC = "after the sync"
    AFTER_DECISION = "after the decision"
    BEFORE_COMMIT = "before the state commit"
    AFTER_COMMIT = "after the state commit"


class DurableState:
    """State that survives a crash, each commit whole or not at all; `changes` keeps every commit."""

    def __init__(self) -> None:
        self.memory = MemoryState()
        self.changes: list[Changes] = []
        self.crash_at: Place | None = None

    @contextmanager
    def view(self) -> Iterator[MemoryState]:
        """Open the state."""
        yield self.memory

    def commit(self, changes: Changes) -> None:
        """Commit a block's changes."""
        self.pass_by(Place.BEFORE_COMMIT)
        self.memory.apply(changes)
        self.changes.append(changes)
        self.pass_by(Place.AFTER_COMMIT)

    def pass_by(self, place: Place) -> None:
        """Crash here when that was asked for."""
        if self.crash_at is place:
            self.crash_at = None
            raise Crash(place)


class Recovered(SoloEngine):
    """The solo engine's recovery alone: no threads, no pool."""

    def __init__(self, catalogue: Catalogue, block_log: BlockLog, state: DurableState) -> None:
        self._catalogue, self._block_log, self._state = catalogue, block_log, state
        self.application = self._recovered()


class Replica:
    """A member that lags, crashes and comes back.

    Args:
        number: Its number.
        catalogue: The chain's modules.
        genesis: Block 0.
        chain: The chain's name.
        mutation: Entered around everything this replica does: a planted fault.
    """

    def __init__(
        self,
        number: int,
        catalogue: Catalogue,
        genesis: Block,
        chain: str,
        *,
        seed: int,
        mutation: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.number, self.mutation = number, mutation
        self._catalogue, self._genesis, self._chain = catalogue, genesis, chain
        self.disk = FaultyFiles(seed=seed)
        self.state = DurableState()
        self.log: BlockLog | None = None
        self.application: Application | None = None
        self._told: Finalized | None = None
        self.start()

    @property
    def height(self) -> int:
        """The height its state has reached, -1 before the founding."""
        head = self.state.memory.head()
        return -1 if head is None else head.height

    @property
    def running(self) -> Application:
        """Its application, which runs."""
        assert self.application is not None
        return self.application

    def start(self) -> None:
        """Open the log, found the chain or replay what the state lacks.

        Raises: Crash.
        """
        with self.mutation():
            height = self.height
            self.log = BlockLog(
                BLOCKS,
                chain=self._chain,
                files=self.disk,
                durable_height=height if height >= 0 else None,
                segment_bytes_max=SEGMENT_BYTES_MAX,
            )
            if self.log.last_height is None:
                self.log.append(0, self._genesis.time, self._genesis.transactions)
                self.log.sync()
            self.application = Recovered(self._catalogue, self.log, self.state).application

    def deliver(self, block: Block, decoded: Iterable[Transaction], *, sync_first: bool) -> None:
        """Take the next decided block as the engine does: log it, decide (see `told`), commit.

        Args:
            block: The one after the state's height.
            decoded: Its transactions that were decoded and verified before.
            sync_first: Whether the log's sync ends before the decision or after it; they run side by side.

        Raises: Crash.
        """
        assert self.log is not None
        require(self.log.last_height == self.height, f"replica {self.number} has a log and a state of other heights")
        with self.mutation():
            self.state.pass_by(Place.BEFORE_APPEND)
            self.log.append(block.height, block.time, block.transactions)
            self.state.pass_by(Place.AFTER_APPEND)
            if sync_first:
                self.log.sync()
                self.state.pass_by(Place.AFTER_SYNC)
            for transaction in decoded:
                self.running.remember(transaction)
            finalized = self._told = self.running.finalize_block(block, self.state.memory)
            self.state.pass_by(Place.AFTER_DECISION)
            if not sync_first:
                self.log.sync()
            self.state.commit(finalized.changes)
            self.running.committed(finalized.changes)

    def told(self) -> Finalized | None:
        """Return what the last delivery decided, once; None when it came not so far."""
        told, self._told = self._told, None
        return told

    # Crashes

    def call_off_crash(self) -> None:
        """Let it run from now on."""
        self.state.crash_at = self.disk.crash_at = None

    def set_crash(self, place: Place, chance: random.Random) -> None:
        """Arrange for the next crash."""
        if place is Place.IN_LOG:
            self.disk.crash_at = len(self.disk.points) + chance.randrange(ACTS_AHEAD_MAX)
        else:
            self.state.crash_at = place

    def crash(self, chance: random.Random) -> None:
        """Stop at once: the process is killed, or the machine loses power."""
        self.application = self.log = None
        self.state.crash_at = None
        self.disk = (
            self.disk.after_kill() if chance.random() < 0.4 else self.disk.after_power_loss(chance.getrandbits(32))
        )

    def restart(self, chance: random.Random) -> int:
        """Come back, crashing again on the way now and then; return how often."""
        for crashes in range(RESTARTS_MAX):
            if chance.random() < 0.3:
                self.set_crash(chance.choice((Place.IN_LOG, Place.BEFORE_COMMIT, Place.AFTER_COMMIT)), chance)
            try:
                self.start()
            except Crash:
                self.crash(chance)
                continue
            return crashes
        raise Broken("a replica crashes on every start")
