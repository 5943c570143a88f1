# SPDX-License-Identifier: Apache-2.0
"""The audit: a clean directory is clean, and each damaged part of a damaged one is named with file and byte."""

import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import Final

import lmdb
import pytest

from tests.unit.storage.toy_directory import (
    CHAIN,
    PROVED_TABLES,
    audited,
    flip,
    replay,
    write_blocks,
    write_directory,
    write_state,
)
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.primitives.proved_map import bucket_of, map_key
from vervain.storage.audit import audit
from vervain.storage.block_audit import BlockAudit
from vervain.storage.block_format import RECORD_HEADER_BYTES, RECORD_MAGIC, SEGMENT_HEADER_BYTES
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import StorageError
from vervain.storage.files import RealFiles, hold_directory
from vervain.storage.findings import Finding, first_difference
from vervain.storage.lmdb_walk import LmdbWalk
from vervain.storage.state_store import ENGINE, StateStore
from vervain.storage.state_view import DATABASES, bucket_key, height_key, tile_key

FLIPS: Final = 20
FLIPS_PROVED: Final = 10_000
HEIGHTS: Final = 24


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that each test leaves as it found it."""
    place = tmp_path_factory.mktemp("directory")
    write_directory(place, HEIGHTS)
    return place


def segments(directory: Path) -> list[Path]:
    """Return the block log's files, sidecars too."""
    return sorted((directory / "blocks").iterdir())


def places(found: Iterable[Finding]) -> list[tuple[str, int]]:
    """Return the findings' files and offsets."""
    return [(finding.file, finding.offset) for finding in found]


def put(directory: Path, database: str, key: bytes, value: bytes | None) -> None:
    """Write a row behind the state's back, into whole pages."""
    environment = lmdb.open(str(directory / "state"), max_dbs=len(DATABASES), map_size=2**24, lib_version=ENGINE)
    with environment.begin(write=True) as transaction:
        handle = environment.open_db(database.encode(), txn=transaction)
        if value is None:
            assert transaction.delete(key, db=handle)
        else:
            transaction.put(key, value, db=handle)
    environment.close()


def lose_block(directory: Path) -> None:
    """Damage a block in two bytes, so that it cannot be read as it was."""
    path = directory / "blocks" / "00000002.blocks"
    for distance in (40, 90):
        flip(path, path.stat().st_size - distance, 0x21)


def test_a_clean_directory_is_clean(directory: Path) -> None:
    """Given a directory as a node leaves it, When it is audited, Then nothing is found."""
    assert audited(directory) == []


def test_a_state_behind_its_blocks_is_clean(tmp_path: Path) -> None:
    """Given a crash after the log's sync and before the state's commit, When it is audited, Then nothing is found."""
    blocks = write_blocks(tmp_path, 9)
    write_state(tmp_path, blocks[:7])

    assert audited(tmp_path) == []


def test_a_torn_tail_is_clean(tmp_path: Path) -> None:
    """Given a last block that was never synced and is torn, When it is audited, Then it is no damage."""
    blocks = write_blocks(tmp_path, 9, segment_bytes_max=2**20)
    write_state(tmp_path, blocks[:9])
    path = segments(tmp_path)[-1]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 10)

    assert audited(tmp_path) == []


def test_a_directory_in_use_is_refused(directory: Path) -> None:
    """Given a node on the directory, When it is audited, Then it is refused."""
    with hold_directory(directory), pytest.raises(StorageError, match="Another process"):
        audited(directory)


def test_a_changed_byte_of_the_block_log_is_named_exactly(directory: Path) -> None:
    """Given any one changed byte in any file of the block log, When it is audited, Then exactly that byte is named."""
    chance = random.Random(21)
    for _ in range(FLIPS):
        path = chance.choice(segments(directory))
        offset, mask = chance.randrange(path.stat().st_size), chance.randrange(1, 256)
        flip(path, offset, mask)
        found = audited(directory)
        flip(path, offset, mask)
        assert places(found) == [(f"blocks/{path.name}", offset)], (path.name, offset, mask)


@pytest.mark.parametrize("count", [200, pytest.param(FLIPS_PROVED, marks=pytest.mark.prove)])
def test_many_changed_bytes_of_the_block_log_are_named_exactly(directory: Path, count: int) -> None:
    """Given many changed bytes, one at a time, When the block log alone is read, Then exactly that byte is named."""
    chance = random.Random(22)
    for _ in range(count):
        path = chance.choice(segments(directory))
        offset, mask = chance.randrange(path.stat().st_size), chance.randrange(1, 256)
        flip(path, offset, mask)
        found: list[tuple[str, int]] = []
        reading = BlockAudit(
            directory / "blocks",
            RealFiles(),
            lambda name, at, what, found=found: found.append((name, at)),  # type: ignore[misc]
            chain=CHAIN,
            durable_height=HEIGHTS,
        )
        heights = [block.height for block in reading.blocks() if block is not None]
        flip(path, offset, mask)
        assert (found, heights) == ([(path.name, offset)], list(range(HEIGHTS + 1))), mask


def test_damage_in_blocks_and_state_is_named_together(directory: Path) -> None:
    """Given one changed byte in a block and one in a row, When it is audited, Then exactly these two are named."""
    state = directory / "state" / "data.mdb"
    log = directory / "blocks" / "00000002.blocks"
    with closing(RealFiles().open(state)) as file:
        walk = LmdbWalk(state, file, lambda offset, what: None)
        row = next(row for row in walk.rows(walk.trees(DATABASES)["rows"]) if row is not None)
    for path, offset in ((log, 400), (state, row.value_at + 5)):
        flip(path, offset, 0x02)
    found = audited(directory)
    for path, offset in ((log, 400), (state, row.value_at + 5)):
        flip(path, offset, 0x02)

    assert places(found) == [("blocks/00000002.blocks", 400), ("state/data.mdb", row.value_at + 5)]


def test_a_lost_block_is_named_and_the_state_not_compared(tmp_path: Path) -> None:
    """Given a block with two changed bytes, When it is audited, Then it is named; nothing is compared."""
    write_directory(tmp_path, HEIGHTS)
    lose_block(tmp_path)
    encoded = (tmp_path / "blocks" / "00000002.blocks").read_bytes()
    last = encoded.rindex(RECORD_MAGIC)
    found = audited(tmp_path)

    assert places(found) == [("blocks/00000002.blocks", last + RECORD_HEADER_BYTES), ("state/data.mdb", 0)]
    assert "could not be compared" in found[1].what


@pytest.mark.parametrize(("flipped", "told"), [(True, "does not have its checksum"), (False, "continue the chain")])
def test_damage_that_deceives_the_checksum_is_told_by_the_digest(tmp_path: Path, flipped: bool, told: str) -> None:
    """Given five bytes changed so that the CRC-32 stays, with or without a sixth, When audited, Then SHA-256 tells."""
    write_directory(tmp_path, HEIGHTS)
    path = tmp_path / "blocks" / "00000002.blocks"
    end = path.stat().st_size
    register = 0x77073096  # what the CRC-32 register holds after one byte 0x01; feeding it to itself gives zero
    for position, mask in enumerate(b"\x01" + register.to_bytes(4, "little")):
        flip(path, end - 60 + position, mask)
    if flipped:
        flip(path, end - 30, 0x40)

    assert [finding.what for finding in audited(tmp_path) if told in finding.what] != []


def test_a_replaced_block_breaks_the_chain(tmp_path: Path) -> None:
    """Given two logs of one chain, When a segment of one stands in the other, Then that is named."""
    one, other = tmp_path / "one", tmp_path / "other"
    write_directory(one, HEIGHTS)
    log = BlockLog(other / "blocks", chain=CHAIN, segment_bytes_max=4_096)
    for block in BlockLog(one / "blocks", chain=CHAIN).blocks():
        transactions = block.transactions if block.height != 1 else (*block.transactions, b"{}")
        log.append(block.height, block.time, transactions)
    log.sync()
    log.close()
    (one / "blocks" / "00000003.blocks").write_bytes((other / "blocks" / "00000003.blocks").read_bytes())
    found = audited(one)

    assert found[0].file == "blocks/00000003.blocks" and found[0].offset < SEGMENT_HEADER_BYTES


@pytest.mark.parametrize("gone", ["00000003.blocks", "00000001.blocks"])
def test_a_missing_segment_is_named(tmp_path: Path, gone: str) -> None:
    """Given a segment that is gone, When it is audited, Then it is named."""
    write_directory(tmp_path, HEIGHTS)
    (tmp_path / "blocks" / gone).unlink()

    assert (f"blocks/{gone}", 0) in places(audited(tmp_path))


def test_missing_last_blocks_are_named(tmp_path: Path) -> None:
    """Given a state whose newest blocks are gone from the log, When it is audited, Then their number is told."""
    blocks = write_blocks(tmp_path, 9)
    write_state(tmp_path, blocks)
    segments(tmp_path)[-1].unlink()
    found = audited(tmp_path)

    assert any("to 9 are missing" in finding.what for finding in found)


def test_a_missing_state_is_named(tmp_path: Path) -> None:
    """Given blocks without a state, When they are audited, Then the missing file is named."""
    write_blocks(tmp_path, 3)

    assert places(audited(tmp_path)) == [("state/data.mdb", 0)]


@pytest.mark.parametrize("database", DATABASES)
def test_a_row_of_any_database_that_the_blocks_do_not_give_is_named(tmp_path: Path, database: str) -> None:
    """Given a changed, an added and a deleted row in whole pages, When each is audited, Then one finding names each."""
    write_directory(tmp_path, HEIGHTS)
    with (
        lmdb.open(str(tmp_path / "state"), max_dbs=8, readonly=True, lock=False, lib_version=ENGINE) as environment,
        environment.begin() as transaction,
    ):
        rows = list(transaction.cursor(environment.open_db(database.encode(), txn=transaction, create=False)))
    key, value = rows[-2] if len(rows) > 1 else rows[0]
    added = key + b"\0"
    for damage, repair in (
        ((key, bytes((value[0] ^ 1,)) + value[1:]), (key, value)),
        ((added, value), (added, None)),
        ((key, None), (key, value)),
    ):
        put(tmp_path, database, *damage)
        found = audited(tmp_path)
        assert len(found) == 1 and found[0].file == "state/data.mdb" and found[0].offset > 0, found
        put(tmp_path, database, *repair)
    assert audited(tmp_path) == []


@pytest.fixture(scope="module")
def lost_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A larger directory with a lost block."""
    place = tmp_path_factory.mktemp("lost")
    write_directory(place, 300, notes=2, segment_bytes_max=2**17)
    lose_block(place)
    return place


@pytest.fixture
def lost(lost_once: Path, tmp_path: Path) -> Path:
    """A copy of it: nothing can be compared, so the state is checked against itself."""
    copytree(lost_once, tmp_path / "lost")
    return tmp_path / "lost"


def words(directory: Path) -> str:
    """Return what the audit says of the state."""
    return " ".join(finding.what for finding in audited(directory) if finding.file == "state/data.mdb")


def proved_bucket() -> bytes:
    """Return the key of the bucket of the only proved row."""
    (name,) = PROVED_TABLES.values()
    return bucket_key(bucket_of(map_key(name, b"\0")))


def first_summary(directory: Path) -> bytes:
    """Return the encoded summary of height 0."""
    with closing(StateStore(directory / "state", chain=CHAIN, map_size=2**24)) as state, state.view() as view:
        return next(view.database("summaries"))[1]


def test_without_blocks_a_whole_state_agrees_with_itself(lost: Path) -> None:
    """Given a whole state, When it is checked, Then only the missing comparison is told."""
    assert words(lost) == "The state could not be compared with the blocks, since some of them are lost"


def test_without_blocks_a_changed_proved_row_is_told(lost: Path) -> None:
    """Given a changed row of a proved table, When it is checked, Then its bucket does not hold it."""
    (number,) = PROVED_TABLES
    put(lost, "rows", number.to_bytes(2, "big") + b"\0", b'{"last":1}')
    assert "A bucket's pairs are not those of the rows" in words(lost)


def test_without_blocks_a_missing_bucket_is_told(lost: Path) -> None:
    """Given a proved row whose bucket is gone, When it is checked, Then that is told."""
    for database in ("buckets", "bucket_roots"):
        put(lost, database, proved_bucket(), None)
    assert "A proved row is in no bucket" in words(lost)


def test_without_blocks_a_changed_bucket_root_is_told(lost: Path) -> None:
    """Given a changed bucket root, When it is checked, Then it is told."""
    put(lost, "bucket_roots", proved_bucket(), bytes(32))
    assert "A bucket's root is not its pairs'" in words(lost)


@pytest.mark.parametrize(("level", "hashes"), [(0, 256), (1, 1)])
def test_without_blocks_a_changed_tile_is_told(lost: Path, level: int, hashes: int) -> None:
    """Given changed hashes in a tile, When it is checked, Then the level above is not made of it."""
    put(lost, "tiles", tile_key(level, 0), bytes(32 * hashes))
    assert "A tile is not made of those below it" in words(lost)


def test_without_blocks_a_changed_last_tile_is_told(lost: Path) -> None:
    """Given a changed leaf in the last tile, When it is checked, Then the log's root is another."""
    with closing(StateStore(lost / "state", chain=CHAIN, map_size=2**24)) as state, state.view() as view:
        head = view.head()
        assert head is not None
        index = head.log_size // 256
        tile = view.tile(0, index)
    put(lost, "tiles", tile_key(0, index), bytes(32) + tile[32:])
    assert "The newest summary's log root is not the tiles'" in words(lost)


def test_without_blocks_a_summary_of_another_height_is_told(lost: Path) -> None:
    """Given a summary of another height in its place, When it is checked, Then it is told."""
    put(lost, "summaries", height_key(5), first_summary(lost))
    assert "A summary is of another height" in words(lost)


def test_without_blocks_missing_outcomes_are_told(lost: Path) -> None:
    """Given outcomes that are gone, When it is checked, Then their number is told."""
    put(lost, "outcomes", height_key(5), None)
    assert "not as many outcomes as heights" in words(lost)


def test_without_blocks_another_head_is_told(lost: Path) -> None:
    """Given a head that is not the newest summary, When it is checked, Then it is told."""
    put(lost, "meta", b"head", first_summary(lost))
    assert "The head is not the newest summary" in words(lost)


def test_an_application_that_refuses_a_block_is_told(directory: Path) -> None:
    """Given a replay that cannot run a block, When it is audited, Then the height is told, and nothing was compared."""

    def refusing(blocks: Iterable[Block], state: StateStore) -> Iterator[Changes]:
        for changes in replay(blocks, state):
            yield changes
            if changes.summary.height == 5:
                raise StorageError("no")

    found = list(audit(directory, chain=CHAIN, replay=refusing, proved_tables=PROVED_TABLES))
    assert "after height 5" in found[0].what and found[0].file == "blocks/"


@pytest.mark.parametrize(
    ("found", "expected", "position"),
    [(b"", b"", 0), (b"abc", b"abc", 3), (b"abc", b"abd", 2), (b"ab", b"abc", 2), (b"xbc", b"abc", 0)],
)
def test_first_difference(found: bytes, expected: bytes, position: int) -> None:
    """Given two strings of bytes, When they are compared, Then the first difference is found."""
    assert first_difference(found, expected) == position
