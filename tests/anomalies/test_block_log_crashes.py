# SPDX-License-Identifier: Apache-2.0
"""The block log loses power, or its process, at every act; what was synced is always there again."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.anomalies.faulty_files import Crash, FaultyFiles
from vervain.ledger.machine.block import Block
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import Corrupt, StorageError

CHAIN: Final = "test-" + "0" * 32
BLOCKS: Final = Path("/data/blocks")
HEIGHTS: Final = 14
SEEDS: Final = 4
SEEDS_PROVED: Final = 100

DURABLE_ACTS: Final = {
    "create .blocks in _begin_segment",
    "append .blocks in _begin_segment",
    "sync .blocks in _begin_segment",
    "sync_directory blocks in _begin_segment",
    "append .blocks in append",
    "sync .blocks in sync",
    "remove .index in _write_sidecar",
    "create .index in _write_sidecar",
    "append .index in _write_sidecar",
    "remove .blocks in _open",
    "truncate .blocks in _open",
    "sync .blocks in _open",
    "sync_directory blocks in _open",
}
SYNCS: Final = sorted(label for label in DURABLE_ACTS if label.startswith("sync"))


def block(height: int) -> Block:
    """Return the block of a height: between nothing and 2 kB, other bytes for each height."""
    chance = random.Random(height)
    transactions = tuple(chance.randbytes(chance.randrange(700)) for _ in range(chance.randrange(4)))
    return Block(height=height, time=1_000 + height, transactions=transactions)


def open_log(disk: FaultyFiles, durable_height: int | None = None) -> BlockLog:
    """Open the log with small segments, so that the run crosses several."""
    return BlockLog(BLOCKS, files=disk, chain=CHAIN, durable_height=durable_height, segment_bytes_max=4_096)


def last(log: BlockLog) -> int:
    """Return the last height, -1 when there is none."""
    return -1 if log.last_height is None else log.last_height


class Run:
    """Appends and syncs, and remembers which heights were promised."""

    def __init__(self) -> None:
        self.promised = -1

    def go(self, disk: FaultyFiles, upto: int = HEIGHTS) -> None:
        """Open, check, append to `upto`; a group of one to three blocks a sync."""
        log = open_log(disk)
        self.check(log)
        self.promised = last(log)
        for height in range(self.promised + 1, upto + 1):
            expected = block(height)
            log.append(height, expected.time, expected.transactions)
            if height % 3 != 1 or height == upto:
                log.sync()
                self.promised = height

    def check(self, log: BlockLog) -> None:
        """The log holds a prefix of the blocks, and in it every promised one."""
        assert last(log) >= self.promised
        assert list(log.blocks()) == [block(height) for height in range(last(log) + 1)]
        for height in range(last(log) + 1):
            assert log.read(height) == block(height)


def survive(crash_at: int, seed: int, skip: Callable[[str], bool] = lambda label: False) -> list[str]:
    """Crash at a point, then again somewhere in the recovery, then check what is left. Return the points passed."""
    chance = random.Random(seed * 10_007 + crash_at)
    run = Run()
    disk = FaultyFiles(crash_at=crash_at, skip=skip, seed=seed)
    passed = _run(run, disk)
    for _ in range(2):
        disk = disk.after_kill() if chance.random() < 0.4 else disk.after_power_loss(chance.randrange(2**32))
        disk.crash_at = chance.randrange(12)
        passed += _run(run, disk, upto=HEIGHTS + 1)
    disk = disk.after_power_loss(chance.randrange(2**32))
    run.check(open_log(disk, durable_height=run.promised if run.promised >= 0 else None))
    return passed + disk.points


def _run(run: Run, disk: FaultyFiles, upto: int = HEIGHTS) -> list[str]:
    with suppress(Crash):
        run.go(disk, upto)
    return disk.points


def points() -> int:
    """Return how many points one undisturbed run has."""
    disk = FaultyFiles()
    Run().go(disk)
    return len(disk.points)


def test_every_durable_act_is_a_point() -> None:
    """Given runs that crash at every point, When their acts are listed, Then they are exactly the known ones."""
    passed = {label for crash_at in range(points()) for seed in range(SEEDS) for label in survive(crash_at, seed)}

    assert passed == DURABLE_ACTS


def test_synced_blocks_survive_a_crash_at_every_point() -> None:
    """Given a crash at any point, When the log is opened again, Then it is a prefix with every synced block."""
    for crash_at in range(points()):
        for seed in range(SEEDS):
            survive(crash_at, seed)


@pytest.mark.prove
@pytest.mark.parametrize("crash_at", range(points()))
def test_synced_blocks_survive_a_hundred_crashes_at_each_point(crash_at: int) -> None:
    """Given a hundred different losses at one point, When the log is opened again, Then no synced block is missing."""
    for seed in range(SEEDS_PROVED):
        survive(crash_at, seed)


@pytest.mark.parametrize("left_out", SYNCS)
def test_a_left_out_sync_is_caught(left_out: str) -> None:
    """Given a log that leaves out one of its syncs, When it crashes at every point, Then a synced block is missed."""
    with pytest.raises((AssertionError, Corrupt, StorageError)):
        for seed in range(40):
            for crash_at in range(points()):
                survive(crash_at, seed, skip=lambda label: label == left_out)
