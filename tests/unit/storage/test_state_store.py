# SPDX-License-Identifier: Apache-2.0
"""The state: one atomic step a block, snapshots, room that grows, other chains refused."""

import os
import resource
from pathlib import Path
from typing import Final

import lmdb
import pytest

from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.primitives.errors import InvariantBroken
from vervain.ledger.primitives.hashing import EMPTY_ROOT
from vervain.storage.errors import Corrupt, Full, StorageError
from vervain.storage.state_store import ENGINE, StateStore

CHAIN: Final = "test-" + "0" * 32
Row = tuple[bytes, bytes | None]


def changes(height: int, rows: tuple[Row, ...] = (), **more: object) -> Changes:
    """Return a block's changes with an invented summary."""
    summary = BlockSummary(
        height=height, time=height, first_leaf=height, leaves=1, app_hash=bytes(32), log_root=bytes([height % 256]) * 32
    )
    empty = {"buckets": (), "tiles": (), "outcomes": b"[]", "unexpired_added": (), "unexpired_removed": ()}
    return Changes(summary=summary, rows=rows, **{**empty, **more})  # type: ignore[arg-type]


def open_state(directory: Path, map_size: int = 2**20) -> StateStore:
    """Open a small state."""
    return StateStore(directory, chain=CHAIN, map_size=map_size)


def test_new_state_is_empty(tmp_path: Path) -> None:
    """Given a new state, When it is viewed, Then nothing is there."""
    with open_state(tmp_path).view() as view:
        assert view.head() is None
        assert list(view.range(b"", b"\xff")) == []
        assert (view.get(b"x"), view.bucket(1), view.tile(0, 0), view.outcomes(0), view.summary(0)) == (
            None,
            b"",
            b"",
            None,
            None,
        )


def test_everything_of_a_block_is_read_again(tmp_path: Path) -> None:
    """Given two blocks' changes, When the state is opened again, Then each database shows what they come to."""
    pairs = bytes(range(64))
    state = open_state(tmp_path)
    state.commit(
        changes(
            0,
            rows=((b"\0\1a", b"1"), (b"\0\1b", b"2"), (b"\0\2a", b"3")),
            buckets=((7, pairs, b"r" * 32), (9, pairs, b"s" * 32)),
            tiles=((0, 0, bytes(32)),),
            outcomes=b"[0]",
            unexpired_added=((b"k1", b"v1"), (b"k2", b"v2")),
        )
    )
    second = changes(
        1,
        rows=((b"\0\1a", None), (b"\0\1b", b"4")),
        buckets=((7, b"", EMPTY_ROOT),),
        tiles=((0, 0, bytes(64)), (1, 0, b"t" * 32)),
        unexpired_removed=(b"k1", b"never there"),
    )
    state.commit(second)
    state.close()

    with open_state(tmp_path).view() as view:
        assert list(view.range(b"\0\1", b"\0\2")) == [(b"\0\1b", b"4")]
        assert list(view.range(b"\0\1", b"\xff")) == [(b"\0\1b", b"4"), (b"\0\2a", b"3")]
        assert (view.get(b"\0\1a"), view.get(b"\0\1b")) == (None, b"4")
        assert list(view.bucket_roots()) == [(9, b"s" * 32)]
        assert (view.bucket(7), view.bucket(9)) == (b"", pairs)
        assert list(view.database("buckets")) == [((9).to_bytes(4, "big"), pairs)]
        assert (view.tile(0, 0), view.tile(1, 0), view.tile(1, 1)) == (bytes(64), b"t" * 32, b"")
        assert (view.outcomes(0), view.outcomes(1), view.outcomes(2)) == (b"[0]", b"[]", None)
        assert (view.unexpired_get(b"k1"), list(view.unexpired_range(b"", b"z"))) == (None, [(b"k2", b"v2")])
        assert (view.head(), view.summary(1), view.summary(2)) == (second.summary, second.summary, None)


def test_a_view_does_not_change(tmp_path: Path) -> None:
    """Given an open view, When a block is committed, Then it shows the state before, and a new view the state after."""
    state = open_state(tmp_path)
    state.commit(changes(0, rows=((b"a", b"1"),)))
    with state.view() as before:
        state.commit(changes(1, rows=((b"a", b"2"),)))
        with state.view() as after:
            assert (before.get(b"a"), after.get(b"a")) == (b"1", b"2")


def test_an_old_view_is_refused(tmp_path: Path) -> None:
    """Given a view past its time, When it is iterated over, Then it is refused; single rows are still read."""
    state = open_state(tmp_path)
    state.commit(changes(0, rows=((b"a", b"1"),)))
    with state.view(seconds_max=-1.0) as view:
        assert view.get(b"a") == b"1"
        with pytest.raises(StorageError, match="too old"):
            list(view.range(b"", b"z"))


def test_a_gap_in_heights_halts_and_writes_nothing(tmp_path: Path) -> None:
    """Given a state at 0, When a group holds 1 and 3, Then the node halts and nothing of the group is there."""
    state = open_state(tmp_path)
    state.commit(changes(0))

    with pytest.raises(InvariantBroken):
        state.commit_group((changes(1, rows=((b"a", b"1"),)), changes(3)))
    head = state.head()
    assert head is not None and head.height == 0
    with state.view() as view:
        assert view.get(b"a") is None


def test_a_group_is_one_step(tmp_path: Path) -> None:
    """Given several blocks, When they are committed as a group, Then the head is the last and LMDB committed once."""
    state = open_state(tmp_path)
    with state.view() as view:
        before = view.transaction.id()
    state.commit_group([changes(height) for height in range(5)])
    with state.view() as view:
        assert (view.head(), view.transaction.id()) == (changes(4).summary, before + 1)


def test_another_chain_or_format_is_refused(tmp_path: Path) -> None:
    """Given a state, When another chain opens it, or its format is another, Then it is refused."""
    open_state(tmp_path).close()
    with pytest.raises(StorageError, match="another chain"):
        StateStore(tmp_path, chain="other-" + "0" * 32)

    environment = lmdb.open(str(tmp_path), max_dbs=8, lib_version=ENGINE)
    with environment.begin(write=True) as transaction:
        transaction.put(b"format", b"2", db=environment.open_db(b"meta", txn=transaction))
    environment.close()
    with pytest.raises(StorageError, match="another format"):
        open_state(tmp_path)


def test_what_is_no_state_file_is_corrupt(tmp_path: Path) -> None:
    """Given a file that LMDB did not write, When it is opened, Then it is Corrupt."""
    (tmp_path / "data.mdb").write_bytes(b"no" * 10_000)

    with pytest.raises(Corrupt, match="not a state file"):
        open_state(tmp_path)


def test_room_grows_while_it_is_used(tmp_path: Path) -> None:
    """Given room for one MiB, When ten are written, Then the room has grown and all is there."""
    state = open_state(tmp_path)
    for height in range(10):
        state.commit(changes(height, rows=tuple((bytes([height, n]), bytes(4_000)) for n in range(256))))
    with state.view() as view:
        assert sum(1 for _ in view.range(b"", b"\xff")) == 2_560
    state.close()
    open_state(tmp_path).close()


def test_no_room_while_views_hold_it_is_full_and_changes_nothing(tmp_path: Path) -> None:
    """Given a view that keeps the room from growing, When a block does not fit, Then Full; later it fits."""
    state = open_state(tmp_path)
    state.commit(changes(0))
    large = changes(1, rows=tuple((bytes([1, n]), bytes(8_000)) for n in range(250)))
    with state.view(), pytest.raises(Full):
        state.commit(large)
    assert state.head() == changes(0).summary
    state.commit(large)
    assert state.head() == large.summary


@pytest.mark.parametrize(("left", "told"), [(0, Full), (2**30, StorageError)])
def test_a_write_cut_short_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, told: type[StorageError]
) -> None:
    """Given a write that the system cuts short, When little room is left, Then it is Full; the state is as before."""
    real = os.statvfs(tmp_path)
    room = os.statvfs_result((real.f_bsize, 1, 0, 0, left, 0, 0, 0, real.f_flag, real.f_namemax))
    monkeypatch.setattr(os, "statvfs", lambda path: room)
    state = open_state(tmp_path, 2**24)
    state.commit(changes(0, rows=((b"a", b"1"),)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(told) as caught:
            state.commit(changes(1, rows=tuple((bytes([1, n]), bytes(8_000)) for n in range(250))))
        assert type(caught.value) is told
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        state.close()
    state = open_state(tmp_path, 2**24)
    assert state.head() == changes(0).summary
    state.commit(changes(1))
