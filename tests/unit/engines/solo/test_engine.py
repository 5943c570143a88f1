# SPDX-License-Identifier: Apache-2.0
"""The embedded engine over storage in memory: order, durability, recovery, once only, honest refusals."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from msgspec import UNSET

from tests.memory_state import MemoryState
from tests.toy_ledger import FOUNDED_AT, GENESIS_BLOCK, TOY, NoteReason, NoteWritten, signed
from vervain.engines.errors import OutOfSync, Unreachable
from vervain.engines.solo import engine as solo
from vervain.engines.solo.engine import SoloEngine
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.refusals import MachineReason

NOW = FOUNDED_AT + 5


class MemoryBlocks:
    """A block log in memory; `synced` says how much of it is durable."""

    def __init__(self, *stored: Block) -> None:
        self.stored, self.synced = list(stored), len(stored)

    @property
    def last_height(self) -> int | None:
        """Height of the newest block."""
        return self.stored[-1].height if self.stored else None

    def append(self, height: int, time: int, transactions: Sequence[bytes]) -> None:
        """Add a block."""
        self.stored.append(Block(height=height, time=time, transactions=tuple(transactions)))

    def sync(self) -> None:
        """Make it durable."""
        self.synced = len(self.stored)

    def blocks(self, from_height: int) -> Iterator[Block]:
        """Yield blocks from a height on."""
        return (block for block in list(self.stored) if block.height >= from_height)


class MemoryStore:
    """A state store in memory."""

    def __init__(self) -> None:
        self.state = MemoryState()

    @contextmanager
    def view(self) -> Iterator[MemoryState]:
        """Open the state."""
        yield self.state

    def commit(self, changes: Changes) -> None:
        """Commit a block's changes."""
        self.state.apply(changes)


@pytest.fixture
def blocks() -> MemoryBlocks:
    """A block log that holds the founding."""
    return MemoryBlocks(GENESIS_BLOCK)


@pytest.fixture
def engine(blocks: MemoryBlocks) -> Iterator[SoloEngine]:
    """A started engine on a fresh chain."""
    engine = SoloEngine(TOY, blocks, MemoryStore(), clock=lambda: NOW, heartbeat_seconds=60)
    engine.start()
    yield engine
    engine.stop()


def test_a_transaction_is_applied_durable_and_announced(engine: SoloEngine, blocks: MemoryBlocks) -> None:
    """Given a chain, when a note is submitted, then its outcome is final, in block 1, and the block was synced
    before.
    """
    encoded = signed("hello", chain=engine.application.chain)
    (outcome,) = engine.submit([encoded]).result(10)
    assert (outcome.code, outcome.height, outcome.leaf_index) == (0, 1, 2)
    assert outcome.events == (NoteWritten(number=1),)
    assert blocks.stored[1] == Block(height=1, time=NOW, transactions=(encoded,))
    assert blocks.synced == 2


def test_a_refused_entry_rolls_its_whole_batch_back_and_leaves_a_leaf(engine: SoloEngine) -> None:
    """Given a batch whose second entry is refused, when it is submitted, then nothing of it stays and the code says
    why.
    """
    (outcome,) = engine.submit([signed("one", "refuse me", chain=engine.application.chain)]).result(10)
    assert (outcome.code, outcome.failed_entry, outcome.events) == (NoteReason.UNWANTED, 1, ())
    assert outcome.leaf_index == 2
    with engine.view() as state:
        assert engine.application.query("note.newest", b"{}", state) == b'{"last":0}'


def test_a_repeat_is_answered_with_the_first_outcome(engine: SoloEngine, blocks: MemoryBlocks) -> None:
    """Given an ordered transaction, when the same bytes come again, then the answer is the first one and nothing is
    added.
    """
    encoded = signed("once", chain=engine.application.chain)
    first = engine.submit([encoded]).result(10)[0]
    again = engine.submit([encoded]).result(10)[0]
    assert (again.code, again.height, again.is_repeat) == (first.code, first.height, True)
    assert len(blocks.stored) == 2


def test_twins_in_one_group_are_ordered_once(engine: SoloEngine) -> None:
    """Given the same bytes twice in one group, when they are submitted, then one note is written and both are
    answered.
    """
    encoded = signed("twin", chain=engine.application.chain)
    outcomes = engine.submit([encoded, encoded]).result(10)
    assert [outcome.code for outcome in outcomes] == [0, 0]
    with engine.view() as state:
        assert engine.application.query("note.newest", b"{}", state) == b'{"last":1}'


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        (MachineReason.WRONG_CHAIN, lambda chain: signed("x", chain="other-" + "0" * 32)),
        (MachineReason.EXPIRED, lambda chain: signed("x", chain=chain, expires_at=NOW - 1)),
        (MachineReason.EXPIRES_TOO_LATE, lambda chain: signed("x", chain=chain, expires_at=NOW + 901)),
        (MachineReason.NOT_CANONICAL, lambda chain: signed("x", chain=chain) + b" "),
        (MachineReason.TOO_LARGE, lambda chain: b"x" * 1_048_577),
        (MachineReason.WRONG_ROOT, lambda chain: signed("x", chain=chain).replace(b'"text":"x"', b'"text":"y"')),
    ],
)
def test_what_may_not_write_gets_a_code_no_leaf_and_no_memory(
    engine: SoloEngine, blocks: MemoryBlocks, reason: MachineReason, spoil: object
) -> None:
    """Given bytes that may not write, when they are submitted, then they get their code and no block is made."""
    assert callable(spoil)
    (outcome,) = engine.submit([spoil(engine.application.chain)]).result(10)
    assert (outcome.code, outcome.leaf_index) == (reason, UNSET)
    assert len(blocks.stored) == 1


def test_a_crash_between_log_and_state_is_replayed(blocks: MemoryBlocks) -> None:
    """Given a log that is ahead of the state, when the engine opens, then it replays to the same hash."""
    store = MemoryStore()
    engine = SoloEngine(TOY, blocks, store, clock=lambda: NOW)
    engine.start()
    engine.submit([signed("kept", chain=engine.application.chain)]).result(10)
    engine.stop()
    head = engine.application.head
    recovered = SoloEngine(TOY, blocks, MemoryStore(), clock=lambda: NOW)
    assert recovered.application.head == head


def test_a_state_ahead_of_its_log_is_refused(blocks: MemoryBlocks) -> None:
    """Given a state that knows more than the log, when the engine opens, then it refuses and says what to do."""
    store = MemoryStore()
    engine = SoloEngine(TOY, blocks, store, clock=lambda: NOW)
    engine.start()
    engine.submit([signed("lost", chain=engine.application.chain)]).result(10)
    engine.stop()
    with pytest.raises(OutOfSync, match="height 1, the block log ends at 0"):
        SoloEngine(TOY, MemoryBlocks(GENESIS_BLOCK), store, clock=lambda: NOW)


def test_a_heartbeat_keeps_time_and_appends_nothing(blocks: MemoryBlocks) -> None:
    """Given an idle chain, when the heartbeat comes, then a block with the new time and the old app hash is stored."""
    now = [float(NOW)]
    engine = SoloEngine(TOY, blocks, MemoryStore(), clock=lambda: now[0], heartbeat_seconds=0.02)
    before = engine.application.head
    heard: list[int] = []
    engine.listen(lambda block, finalized: heard.append(block.height))
    engine.start()
    while not heard:
        pass
    engine.stop()
    after = engine.application.head
    assert before is not None and after is not None
    assert (after.leaves, after.app_hash, after.time) == (0, before.app_hash, NOW)


def test_a_clock_that_leaps_forward_makes_no_block_until_it_is_back(
    blocks: MemoryBlocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a node on the machine's clock.
    When the clock leaps ten years forward, a note is submitted, the clock is mended and the note is sent again.
    Then the first sending is refused and leaves no block, and the second is in a block of the right time.
    """
    now = [float(NOW)]

    def clock() -> float:
        return now[0]

    monkeypatch.setattr(solo, "system_time", clock)
    engine = SoloEngine(TOY, blocks, MemoryStore(), clock=clock, heartbeat_seconds=60)
    engine.start()
    note = signed("hello", chain=engine.application.chain)
    now[0] += 10 * 365 * 86_400
    with pytest.raises(Unreachable, match="leapt 315360000 seconds forward"):
        engine.submit([note]).result(10)
    assert blocks.last_height == 0
    now[0] = NOW + 1
    (outcome,) = engine.submit([note]).result(10)
    engine.stop()
    assert (outcome.code, outcome.height, blocks.stored[-1].time) == (0, 1, NOW + 1)


def test_a_stopped_engine_says_so(blocks: MemoryBlocks) -> None:
    """Given a stopped engine, when something is submitted, then it is Unreachable, not lost."""
    engine = SoloEngine(TOY, blocks, MemoryStore(), clock=lambda: NOW)
    engine.start()
    engine.stop()
    with pytest.raises(Unreachable):
        engine.submit([b"{}"])


def test_when_storage_fails_the_node_halts_and_nobody_is_told_it_was_durable(blocks: MemoryBlocks) -> None:
    """Given storage that fails to commit, when a note is submitted, then its sender is told the node halted."""

    class FailingStore(MemoryStore):
        def commit(self, changes: Changes) -> None:
            if changes.summary.height == 1:
                raise OSError("no room")
            super().commit(changes)

    engine = SoloEngine(TOY, blocks, FailingStore(), clock=lambda: NOW)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("threading.excepthook", lambda arguments: None)
        engine.start()
        future = engine.submit([signed("x", chain=engine.application.chain)])
        with pytest.raises(Unreachable):
            future.result(10)
        engine.stop()
