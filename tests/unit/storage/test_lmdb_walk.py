# SPDX-License-Identifier: Apache-2.0
"""Every changed byte of a state file is named, or LMDB shows and keeps the same state in spite of it."""

import random
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Final

import lmdb
import pytest
from lmdb.verify import verify

from tests.toy_ledger import GENESIS, TOY
from tests.unit.storage.toy_directory import CHAIN, flip, replay, write_blocks
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import Block
from vervain.storage.files import RealFiles
from vervain.storage.lmdb_pages import META_BYTES, PageDamage, parse_meta
from vervain.storage.lmdb_walk import LiveRow, LmdbWalk
from vervain.storage.state_compare import compare_rows
from vervain.storage.state_store import ENGINE, StateStore
from vervain.storage.state_view import DATABASES

FLIPS: Final = 400
FLIPS_PROVED: Final = 10_000
PAGE_BYTES: Final = 4_096
Found = list[tuple[int, str]]
Content = dict[str, list[tuple[bytes, bytes]]]


class Bench:
    """A state file, and beside it a state that is known to be whole."""

    def __init__(self, directory: Path, heights: int, notes: int) -> None:
        self.directory = directory
        blocks = write_blocks(directory, heights, notes=notes)
        for name in ("state", "whole"):
            with closing(StateStore(directory / name, chain=CHAIN, map_size=2**24)) as state:
                for changes in replay(blocks, state):
                    state.commit(changes)
        self.whole = StateStore(directory / "whole", chain=CHAIN, map_size=2**24)
        self.data_file = directory / "state" / "data.mdb"
        self.content = content(directory / "state")

    def walk(self, *, compare: bool = True) -> Found:
        """Return what the walk, and the comparison with the whole state, report."""
        found: Found = []

        def report(offset: int, what: str) -> None:
            found.append((offset, what))

        with closing(RealFiles().open(self.data_file)) as file:
            try:
                walk = LmdbWalk(self.data_file, file, report)
                trees = walk.trees(DATABASES)
                for name, tree in trees.items():
                    rows: Iterator[LiveRow | None] = walk.rows(tree)
                    with self.whole.view(seconds_max=inf) as view:
                        if compare:
                            rows = compare_rows(rows, view.database(name), report, tree_at=tree.at)
                        for _ in rows:
                            pass
                walk.finish()
            except PageDamage as damage:
                report(damage.offset, damage.what)
        return found

    def require_named_or_harmless(self, offset: int, mask: int, *, write: bool) -> bool:
        """Change one byte: it is named (true), or LMDB reads the same and, asked to, writes on (false)."""
        flip(self.data_file, offset, mask)
        try:
            found = self.walk()
            if found:
                assert any(page_of(at) == page_of(offset) for at, _ in found), (offset, mask, found)
                return True
            assert content(self.directory / "state") == self.content, (offset, mask)
            if write:
                self.require_writable(offset)
            return False
        finally:
            flip(self.data_file, offset, mask)

    def require_writable(self, offset: int) -> None:
        """A copy of the file takes one more block and is whole afterwards."""
        copy = self.directory / "copy"
        copy.mkdir(exist_ok=True)
        (copy / "data.mdb").write_bytes(self.data_file.read_bytes())
        with closing(StateStore(copy, chain=CHAIN, map_size=2**24)) as state, state.view() as view:
            head = view.head()
            assert head is not None
            application = Application(TOY, view)
            application.resume(GENESIS)
            block = Block(height=head.height + 1, time=head.time + 1, transactions=())
            state.commit(application.finalize_block(block, view).changes)
        assert verify(str(copy)) == [], offset  # type: ignore[no-untyped-call]


def page_of(offset: int) -> int:
    """Return the number of the page that holds a byte."""
    return offset // PAGE_BYTES


def content(directory: Path) -> Content:
    """Return all that LMDB shows."""
    environment = lmdb.open(str(directory), max_dbs=len(DATABASES), readonly=True, lock=False, lib_version=ENGINE)
    with closing(environment), environment.begin() as transaction:
        return {
            name: list(transaction.cursor(environment.open_db(name.encode(), txn=transaction, create=False)))
            for name in DATABASES
        }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A state with several levels of trees, overflow pages and free pages."""
    return Bench(tmp_path_factory.mktemp("bench"), heights=60, notes=12)


def test_a_whole_file_is_clean_to_both_walkers(bench: Bench) -> None:
    """Given a state written block by block, When it is walked, Then nothing is found, nor by py-lmdb's verifier."""
    assert bench.walk() == []
    assert verify(str(bench.directory / "state")) == []  # type: ignore[no-untyped-call]


def test_every_row_is_where_the_walk_says(bench: Bench) -> None:
    """Given the walk's places, When the file's bytes there are read, Then they are the rows that LMDB shows."""
    encoded = bench.data_file.read_bytes()
    shown: Content = {}
    with closing(RealFiles().open(bench.data_file)) as file:
        walk = LmdbWalk(bench.data_file, file, lambda offset, what: pytest.fail(what))
        for name, tree in walk.trees(DATABASES).items():
            shown[name] = [
                (
                    encoded[row.key_at : row.key_at + len(row.key)],
                    encoded[row.value_at : row.value_at + len(row.value)],
                )
                for row in walk.rows(tree)
                if row is not None
            ]
    assert shown == bench.content


def test_each_changed_byte_is_named_or_harmless(bench: Bench) -> None:
    """Given any changed byte, When the file is walked, Then its page is named, or LMDB shows the same state."""
    chance = random.Random(11)
    size = bench.data_file.stat().st_size
    named = [
        bench.require_named_or_harmless(chance.randrange(size), chance.randrange(1, 256), write=number % 8 == 0)
        for number in range(FLIPS)
    ]
    assert named.count(True) > FLIPS // 4 and named.count(False) > 0


def test_each_changed_byte_of_the_metas_is_named_or_harmless(bench: Bench) -> None:
    """Given any changed byte of the two meta pages' fields, When the file is walked, Then it is named or harmless."""
    chance = random.Random(12)
    for page in range(2):
        for offset in range(160):
            bench.require_named_or_harmless(page * PAGE_BYTES + offset, chance.randrange(1, 256), write=offset % 8 == 0)


def test_a_changed_value_is_named_to_the_byte(bench: Bench) -> None:
    """Given a changed byte in any row's value, When the rows are compared, Then exactly that byte is named."""
    chance = random.Random(13)
    with closing(RealFiles().open(bench.data_file)) as file:
        walk = LmdbWalk(bench.data_file, file, lambda offset, what: None)
        rows = [row for tree in walk.trees(DATABASES).values() for row in walk.rows(tree) if row is not None]
    for row in chance.sample(rows, 60):
        offset = row.value_at + chance.randrange(len(row.value))
        flip(bench.data_file, offset, 0x04)
        assert [at for at, _ in bench.walk()] == [offset]
        flip(bench.data_file, offset, 0x04)


@pytest.mark.prove
def test_ten_thousand_changed_bytes_are_named_or_harmless(bench: Bench) -> None:
    """Given 10,000 changed bytes, one at a time, When the file is walked, Then each is named or harmless."""
    chance = random.Random(14)
    size = bench.data_file.stat().st_size
    for number in range(FLIPS_PROVED):
        bench.require_named_or_harmless(chance.randrange(size), chance.randrange(1, 256), write=number % 16 == 0)


@pytest.mark.parametrize("kept", [0, 10, 200, 4_200, 40_000])
def test_a_file_cut_short_is_named(bench: Bench, kept: int) -> None:
    """Given a file that ends too early, When it is walked, Then that is reported, and nothing crashes."""
    whole = bench.data_file.read_bytes()
    bench.data_file.write_bytes(whole[:kept])
    try:
        assert bench.walk(compare=False) != []
    finally:
        bench.data_file.write_bytes(whole)


def test_two_pages_changed_into_each_other_are_named(bench: Bench) -> None:
    """Given two live pages that were swapped, When the file is walked, Then both are named."""
    whole = bench.data_file.read_bytes()
    live = sorted({page_of(at) for at in _entry_places(bench)})
    one, other = live[1] * PAGE_BYTES, live[-1] * PAGE_BYTES
    swapped = bytearray(whole)
    swapped[one : one + PAGE_BYTES], swapped[other : other + PAGE_BYTES] = (
        whole[other : other + PAGE_BYTES],
        whole[one : one + PAGE_BYTES],
    )
    bench.data_file.write_bytes(swapped)
    try:
        assert {one // PAGE_BYTES, other // PAGE_BYTES} <= {page_of(at) for at, _ in bench.walk()}
    finally:
        bench.data_file.write_bytes(whole)


def test_a_list_of_free_pages_out_of_order_is_named(bench: Bench) -> None:
    """Given two free pages listed the wrong way round, When the file is walked, Then the second is named."""
    whole = bench.data_file.read_bytes()
    newest = max((parse_meta(whole[at : at + META_BYTES], at) for at in (0, PAGE_BYTES)), key=lambda m: m.transaction)
    with closing(RealFiles().open(bench.data_file)) as file:
        rows = LmdbWalk(bench.data_file, file, lambda offset, what: None).rows(newest.free)
        at = next(row.value_at for row in rows if row is not None and len(row.value) >= 24) + 8
    bench.data_file.write_bytes(whole[:at] + whole[at + 8 : at + 16] + whole[at : at + 8] + whole[at + 16 :])
    found = bench.walk()
    bench.data_file.write_bytes(whole)

    assert found == [(at + 8, "The list of free pages is out of order")]


def _entry_places(bench: Bench) -> list[int]:
    """Return where the rows' entries stand."""
    with closing(RealFiles().open(bench.data_file)) as file:
        walk = LmdbWalk(bench.data_file, file, lambda offset, what: None)
        return [row.entry_at for row in walk.rows(walk.trees(DATABASES)["rows"]) if row is not None]
