# SPDX-License-Identifier: Apache-2.0
"""The state's process is killed, or its file taken, at any moment: it is of one commit, with all that was promised."""

import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from time import sleep
from typing import Final

import pytest

from tests.unit.storage.test_state_store import changes, open_state
from vervain.storage.files import RealFiles
from vervain.storage.lmdb_pages import META_BYTES, parse_meta
from vervain.storage.lmdb_walk import LmdbWalk
from vervain.storage.state_store import StateStore
from vervain.storage.state_view import DATABASES

ROWS: Final = 300
KILLS: Final = 5
KILLS_PROVED: Final = 100
PAGE_BYTES: Final = 4_096
WRITER: Final = """
import sys
from pathlib import Path
from tests.anomalies.test_state_store_crashes import commit_height
from tests.unit.storage.test_state_store import open_state
state = open_state(Path(sys.argv[1]), 2**26)
head = state.head()
height = 0 if head is None else head.height + 1
while True:
    commit_height(state, height)
    print(height, flush=True)
    height += 1
"""


def commit_height(state: StateStore, height: int) -> None:
    """Commit a height whose every row says the height."""
    told = height.to_bytes(8, "big")
    rows = tuple((b"\0\1" + number.to_bytes(4, "big"), told * 20) for number in range(ROWS))
    state.commit(changes(height, rows=(*rows, (b"\0\2" + told, told))))


def require_one_commit(directory: Path) -> int:
    """All rows are of one height, and the file is whole. Return the height, -1 for none."""
    path = directory / "data.mdb"
    with closing(RealFiles().open(path)) as file:
        walk = LmdbWalk(path, file, lambda offset, what: pytest.fail(f"{what} at {offset}"))
        for tree in walk.trees(DATABASES).values():
            for _ in walk.rows(tree):
                pass
        walk.finish()
    with closing(open_state(directory, 2**26)) as state, state.view() as view:
        head = view.head()
        height = -1 if head is None else head.height
        told = height.to_bytes(8, "big", signed=True)
        assert {value for _, value in view.range(b"\0\1", b"\0\2")} == ({told * 20} if head else set())
        assert [key[2:] for key, _ in view.range(b"\0\2", b"\0\3")] == [h.to_bytes(8, "big") for h in range(height + 1)]
        assert sum(1 for _ in view.database("summaries")) == height + 1
    return height


def kill_a_writer(directory: Path, chance: random.Random) -> None:
    """Start a writer, kill it in the middle of its work, and check that nothing promised is missing."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    promised = int(writer.stdout.readline())
    sleep(chance.random() * 0.05)
    writer.send_signal(signal.SIGKILL)
    for line in writer.stdout:
        promised = int(line) if line.endswith("\n") else promised
    writer.wait()
    writer.stdout.close()
    assert promised <= require_one_commit(directory) <= promised + 1


def test_a_killed_writer_leaves_one_commit(tmp_path: Path) -> None:
    """Given a process killed at any moment, When the state is opened, Then it is one commit, as new as promised."""
    chance = random.Random(1)
    for _ in range(KILLS):
        kill_a_writer(tmp_path, chance)


@pytest.mark.prove
def test_a_hundred_killed_writers_leave_one_commit(tmp_path: Path) -> None:
    """Given a process killed a hundred times, When the state is opened each time, Then it is one commit."""
    chance = random.Random(2)
    for _ in range(KILLS_PROVED):
        kill_a_writer(tmp_path, chance)


def test_a_copy_between_commits_is_that_commit(tmp_path: Path) -> None:
    """Given a disk that loses everything after a commit, When the state is opened, Then it is that commit."""
    copies = []
    with closing(open_state(tmp_path / "state", 2**26)) as state:
        for height in range(12):
            commit_height(state, height)
            (tmp_path / f"copy{height}").mkdir()
            copyfile(tmp_path / "state" / "data.mdb", tmp_path / f"copy{height}" / "data.mdb")
            copies.append(tmp_path / f"copy{height}")

    assert [require_one_commit(copy) for copy in copies] == list(range(12))


def test_a_lost_meta_page_is_the_commit_before(tmp_path: Path) -> None:
    """Given a power loss after a commit's pages and before its meta page, When opened, Then it is the commit before."""
    path = tmp_path / "data.mdb"
    with closing(open_state(tmp_path, 2**26)) as state:
        for height in range(9):
            commit_height(state, height)
        before = path.read_bytes()
        commit_height(state, 9)
    after = bytearray(path.read_bytes())
    newest = max(range(2), key=lambda page: parse_meta(bytes(after[page * PAGE_BYTES :][:META_BYTES]), 0).transaction)
    after[newest * PAGE_BYTES : (newest + 1) * PAGE_BYTES] = before[newest * PAGE_BYTES : (newest + 1) * PAGE_BYTES]
    path.write_bytes(after)
    (tmp_path / "lock.mdb").unlink()

    with closing(open_state(tmp_path, 2**26)) as state, state.view() as view:
        head = view.head()
        assert head is not None and head.height == 8
        assert {value[:8] for _, value in view.range(b"\0\1", b"\0\2")} == {(8).to_bytes(8, "big")}
