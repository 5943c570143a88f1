# SPDX-License-Identifier: Apache-2.0
"""The block log: what is appended is read again, torn tails are cut, damage is refused, failures are told."""

from pathlib import Path

import pytest

from tests.anomalies.faulty_files import FaultyFiles
from tests.unit.storage.toy_directory import flip
from vervain.ledger.machine.block import Block
from vervain.ledger.primitives.errors import InvariantBroken
from vervain.storage.block_format import RECORD_HEADER_BYTES, RECORD_MAGIC, SEGMENT_HEADER_BYTES
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import Corrupt, Full, StorageError

CHAIN = "test-" + "0" * 32
BLOCKS = [
    Block(height=height, time=100 + height, transactions=tuple(bytes([height, n]) * 40 for n in range(height % 4)))
    for height in range(30)
]


def open_log(directory: Path, *, durable_height: int | None = None) -> BlockLog:
    """Open with segments of about four blocks."""
    return BlockLog(directory, chain=CHAIN, segment_bytes_max=1_000, durable_height=durable_height)


def write(directory: Path, blocks: list[Block] = BLOCKS) -> None:
    """Write blocks, each synced."""
    log = open_log(directory)
    for block in blocks:
        log.append(block.height, block.time, block.transactions)
        log.sync()
    log.close()


def last_segment(directory: Path) -> Path:
    """Return the newest segment."""
    return sorted(directory.glob("*.blocks"))[-1]


def test_empty_log(tmp_path: Path) -> None:
    """Given a new log, When it is read, Then it has no height and no block."""
    log = open_log(tmp_path)

    assert (log.first_height, log.last_height, list(log.blocks())) == (None, None, [])
    with pytest.raises(StorageError):
        log.read(0)


def test_blocks_are_read_again(tmp_path: Path) -> None:
    """Given blocks over several segments, When the log is opened again, Then each is read as it was appended."""
    write(tmp_path)
    log = open_log(tmp_path)

    assert (log.first_height, log.last_height) == (0, 29)
    assert [log.read(height) for height in range(30)] == BLOCKS
    assert list(log.blocks(11)) == BLOCKS[11:]
    assert len(list(tmp_path.glob("*.blocks"))) > 5


def test_a_log_may_begin_at_any_height(tmp_path: Path) -> None:
    """Given a member that joined by a snapshot, When its log begins at height 7, Then it goes on from there."""
    write(tmp_path, BLOCKS[7:])

    assert list(open_log(tmp_path).blocks()) == BLOCKS[7:]
    with pytest.raises(StorageError, match="Block 3 is not in the log"):
        open_log(tmp_path).read(3)


def test_iteration_ends_where_it_began(tmp_path: Path) -> None:
    """Given an iteration, When blocks are appended meanwhile, Then it yields those that were there when it began."""
    write(tmp_path, BLOCKS[:10])
    log = open_log(tmp_path)
    blocks = log.blocks()
    first = next(blocks)
    log.append(10, BLOCKS[10].time, BLOCKS[10].transactions)

    assert [first, *blocks] == BLOCKS[:10]


def test_a_gap_in_heights_is_refused(tmp_path: Path) -> None:
    """Given a log up to 9, When block 11 is appended, Then the node halts."""
    write(tmp_path, BLOCKS[:10])

    with pytest.raises(InvariantBroken):
        open_log(tmp_path).append(11, 0, ())


def test_another_chain_is_refused(tmp_path: Path) -> None:
    """Given one chain's log, When another chain opens it, Then it is refused and unchanged."""
    write(tmp_path)

    with pytest.raises(StorageError, match="another chain"):
        BlockLog(tmp_path, chain="other-" + "0" * 32)
    assert list(open_log(tmp_path).blocks()) == BLOCKS


@pytest.mark.parametrize("missing", [1, 10, RECORD_HEADER_BYTES + 3])
def test_a_torn_tail_is_cut(tmp_path: Path, missing: int) -> None:
    """Given a last record that is not whole, When the log is opened, Then it ends with the block before."""
    write(tmp_path)
    path = last_segment(tmp_path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - missing)

    assert list(open_log(tmp_path).blocks()) == BLOCKS[:29]
    write(tmp_path, BLOCKS[29:])
    assert list(open_log(tmp_path).blocks()) == BLOCKS


def test_a_torn_block_that_the_state_knows_is_damage(tmp_path: Path) -> None:
    """Given a torn last block, When the state's head is that block, Then the log is refused and left."""
    write(tmp_path)
    path = last_segment(tmp_path)
    flip(path, path.stat().st_size - 1, 0x01)
    before = path.read_bytes()

    with pytest.raises(Corrupt, match="Blocks 29 to 29 were here"):
        open_log(tmp_path, durable_height=29)
    assert path.read_bytes() == before


def test_damage_in_the_middle_is_refused_and_named(tmp_path: Path) -> None:
    """Given a synced block with another after it, When a byte of it is changed, Then opening names file and record."""
    log = BlockLog(tmp_path, chain=CHAIN)
    for block in BLOCKS[:5]:
        log.append(block.height, block.time, block.transactions)
        log.sync()
    log.close()
    path = last_segment(tmp_path)
    second = path.read_bytes().index(RECORD_MAGIC, SEGMENT_HEADER_BYTES + 1)
    for offset in (second, second + 5, second + 20, second + RECORD_HEADER_BYTES + 2):
        flip(path, offset, 0x10)
        with pytest.raises(Corrupt) as caught:
            BlockLog(tmp_path, chain=CHAIN)
        assert caught.value.file == str(path) and second <= caught.value.offset <= offset
        flip(path, offset, 0x10)


def test_a_missing_segment_is_refused(tmp_path: Path) -> None:
    """Given several segments, When one in the middle is gone, Then opening names it."""
    write(tmp_path)
    (tmp_path / "00000002.blocks").unlink()

    with pytest.raises(Corrupt, match=r"00000002\.blocks is damaged at byte 0"):
        open_log(tmp_path)


@pytest.mark.parametrize("spoil", ["missing", "short", "wrong"])
def test_a_spoilt_sidecar_is_made_again(tmp_path: Path, spoil: str) -> None:
    """Given a sidecar missing, short or wrong, When blocks are read, Then all are found, and it is as before."""
    write(tmp_path)
    path = tmp_path / "00000002.index"
    before = path.read_bytes()
    if spoil == "missing":
        path.unlink()
    elif spoil == "short":
        path.write_bytes(before[:5])
    else:
        path.write_bytes(bytes(len(before)))
    log = open_log(tmp_path)

    assert [log.read(height) for height in range(30)] == BLOCKS
    assert path.read_bytes() == before


def test_a_read_names_a_damaged_block(tmp_path: Path) -> None:
    """Given a damaged block in a finished segment, When it is read, Then it is Corrupt; its neighbours are read."""
    write(tmp_path)
    path = tmp_path / "00000001.blocks"
    flip(path, path.stat().st_size - 1, 0x01)
    log = open_log(tmp_path)
    first_of_second = int.from_bytes((tmp_path / "00000002.blocks").read_bytes()[16:24], "big")

    with pytest.raises(Corrupt):
        log.read(first_of_second - 1)
    assert log.read(first_of_second) == BLOCKS[first_of_second]


def test_a_full_disk_leaves_the_log_as_it_was() -> None:
    """Given a disk that fills up in the middle of a block, When there is room again, Then the log goes on."""
    full = [False]
    disk = FaultyFiles(fail=lambda label: Full("no room") if full[0] and "append .blocks in append" in label else None)
    log = BlockLog(Path("/b"), chain=CHAIN, files=disk)
    log.append(0, 0, [b"first"])
    full[0] = True
    with pytest.raises(Full):
        log.append(1, 1, [b"second"])
    full[0] = False
    log.append(1, 1, [b"again"])
    log.sync()

    found = [block.transactions for block in BlockLog(Path("/b"), chain=CHAIN, files=disk.after_power_loss(1)).blocks()]
    assert found == [(b"first",), (b"again",)]


def test_nothing_is_written_after_a_failed_sync() -> None:
    """Given a sync that failed, When anything more is asked, Then the log must be opened again."""
    disk = FaultyFiles(fail=lambda label: StorageError("broken") if label == "sync .blocks in sync" else None)
    log = BlockLog(Path("/b"), chain=CHAIN, files=disk)
    log.append(0, 0, [b"first"])
    with pytest.raises(StorageError, match="broken"):
        log.sync()

    with pytest.raises(StorageError, match="The block log is closed"):
        log.sync()
    with pytest.raises(StorageError, match="The block log is closed"):
        log.append(1, 1, [])


def test_one_sync_for_a_group() -> None:
    """Given many appended blocks, When they are synced, Then the disk is synced once, and not again for nothing."""
    disk = FaultyFiles()
    log = BlockLog(Path("/b"), chain=CHAIN, files=disk)
    for height in range(50):
        log.append(height, height, [b"x"])
    log.sync()
    log.sync()

    assert disk.points.count("sync .blocks in sync") == 1
