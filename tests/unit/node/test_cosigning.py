# SPDX-License-Identifier: Apache-2.0
"""A node signs what extends its own word, and orders nothing when it was restored behind it."""

import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import msgspec
import pytest

from tests.unit.node.founded import NODE_NAME, desk_of, found
from tests.unit.test_witness import served
from vervain.ledger.machine.application import CommittedState
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.node.config import WitnessSettings, read_settings, write_settings
from vervain.node.node import Node
from vervain.node.witnesses import Collected
from vervain.sealing.checkpoints import Checkpoint, verify_cosignature
from vervain.sealing.keys import read_signing_key
from vervain.storage.errors import StorageError
from vervain.witness import Submitter, Witness, create_witness, watch_log

SOON_SECONDS = 3.0  # below the five for which a mute witness is waited for


@contextmanager
def mute() -> Iterator[str]:
    """Listen and never answer; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def good_witness(folder: Path) -> Iterator[tuple[bytes, str]]:
    """Found a node in `folder` and serve a witness that watches its log; yield the witness's key and address."""
    root = folder / "node"
    found(root)
    with Node(root) as node:
        chain, own = node.chain, read_signing_key(node.directory.keys / "cosigning.key").public_key
    key = create_witness(folder / "witness", "regulator")
    watch_log(folder / "witness", chain, [Submitter(name=NODE_NAME, key=own)])
    with served(Witness(folder / "witness")) as url:
        yield key, url


@contextmanager
def asking(
    folder: Path, urls: Mapping[str, str], keys: Mapping[str, bytes] | None = None
) -> Iterator[tuple[Node, list[int]]]:
    """Run the node in `folder`, founded when it is not, with these witnesses; yield it and the sizes it asks about."""
    root = folder / "node"
    if not root.exists():
        found(root)
    settings = read_settings(root / "node.toml")
    witnesses = [
        WitnessSettings(name=name, url=url, key=(keys or {}).get(name, bytes(32))) for name, url in urls.items()
    ]
    write_settings(root / "node.toml", msgspec.structs.replace(settings, witnesses=tuple(witnesses)))
    with Node(root) as node:
        asked: list[int] = []
        collect = node.checkpoints._witnesses.collect

        def noted(checkpoint: Checkpoint, *rest: Any, **named: Any) -> Collected:
            asked.append(checkpoint.size)
            return collect(checkpoint, *rest, **named)

        node.checkpoints._witnesses.collect = noted  # type: ignore[method-assign]
        yield node, asked


def count_views(node: Node) -> list[CommittedState]:
    """Return a list of the snapshots that the node's checkpoint desk has open now."""
    opened: list[CommittedState] = []
    view: Callable[[], AbstractContextManager[CommittedState]] = node.checkpoints._view

    @contextmanager
    def counted() -> Iterator[CommittedState]:
        with view() as state:
            opened.append(state)
            try:
                yield state
            finally:
                opened.remove(state)

    node.checkpoints._view = counted
    return opened


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, twenty seconds at the longest."""
    deadline = monotonic() + 20
    while not is_so():
        assert monotonic() < deadline
        sleep(0.01)


def commit(node: Node) -> None:
    """Let the log grow."""
    desk = desk_of(node)
    desk.send(CommitRecord(subject=desk.organisation, commitment=bytes(32)))


def test_newest_is_signed_once_for_each_size(tmp_path: Path) -> None:
    """Given a log, then its head is signed once while the log does not grow, and signed anew when it does."""
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        commit(node)
        first = node.checkpoints.newest()
        assert node.checkpoints.newest() is first
        commit(node)
        second = node.checkpoints.newest()
        key = read_signing_key(node.directory.keys / "cosigning.key").public_key
    assert first.checkpoint.size < second.checkpoint.size
    for signed in (first, second):
        (line,) = signed.lines
        assert line.name == NODE_NAME and signed.failures == ()
        assert verify_cosignature(line, public_key=key, body=signed.checkpoint.body) > 0
        assert signed.text.startswith(signed.checkpoint.body)


def test_mute_witness_is_left_alone_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a witness that is out of reach, then it is asked once about a head, and again when the pause is over."""
    with asking(tmp_path, {"university": "http://127.0.0.1:9"}) as (node, asked):
        first = node.checkpoints.newest()
        assert node.checkpoints.newest() is first and len(asked) == 1
        assert [each.name for each in first.failures] == ["university"]
        monkeypatch.setattr("vervain.node.cosigning.WITNESS_PAUSE_SECONDS", 0.0)
        node.checkpoints.newest()
        assert asked == [first.checkpoint.size] * 2


def test_mute_witness_holds_up_nobody_else(tmp_path: Path) -> None:
    """
    Given a witness that takes the question and says nothing, and one that answers.
    When others want receipts, the head, a backup and the log to grow while the first asker waits.
    Then all of that is done at once, with the other witness's line; no snapshot of the state is open meanwhile.
    """
    with mute() as mute_url, good_witness(tmp_path) as (key, good_url):
        urls = {"university": mute_url, "regulator": good_url}
        with asking(tmp_path, urls, {"regulator": key}) as (node, asked), ThreadPoolExecutor(1) as threads:
            views = count_views(node)
            outcome = desk_of(node).send(CommitRecord(subject=desk_of(node).organisation, commitment=bytes(32)))
            first_asker = threads.submit(node.checkpoints.newest)
            wait_until(lambda: len(asked) == 1)
            started = monotonic()
            again = node.checkpoints.newest()
            assert isinstance(outcome.leaf_index, int)
            receipt = node.receipt(outcome.leaf_index)
            node.back_up(tmp_path / "backup")
            assert views == [] and monotonic() - started < SOON_SECONDS
            commit(node)
            grown = node.checkpoints.newest()
            assert monotonic() - started < 2 * SOON_SECONDS and not first_asker.done()
            waited_for = first_asker.result(20)
    assert [line.name for line in again.lines] == [NODE_NAME, "regulator"] == [line.name for line in grown.lines]
    assert receipt.signatures == again.lines and grown.checkpoint.size > again.checkpoint.size
    assert {each.name for each in grown.failures} == {"university"}
    assert waited_for == grown and asked == [again.checkpoint.size, grown.checkpoint.size]


def test_late_answer_of_an_older_head_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a head whose witness answers only after the log has grown and the newer head was signed.
    When the answer comes.
    Then who asked gets a head that covers what it asked for, and the newest head stays the newer one.
    """
    with good_witness(tmp_path) as (key, url), asking(tmp_path, {"regulator": url}, {"regulator": key}) as (node, _):
        collect, may_go = node.checkpoints._witnesses.collect, Event()

        def late(checkpoint: Checkpoint, *rest: Any, **named: Any) -> Collected:
            if not may_go.is_set():
                assert may_go.wait(20)
            return collect(checkpoint, *rest, **named)

        monkeypatch.setattr(node.checkpoints._witnesses, "collect", late)
        with ThreadPoolExecutor(1) as threads:
            older = threads.submit(node.checkpoints.newest)
            wait_until(lambda: node.checkpoints._newest is not None)
            size = node.head.log_size
            commit(node)
            signed = node.checkpoints._signed_head()
            may_go.set()
            got = older.result(20)
        assert (got.checkpoint.size, [line.name for line in got.lines]) == (size, [NODE_NAME, "regulator"])
        assert node.checkpoints._newest is signed
        newest = node.checkpoints.newest()
        assert newest.checkpoint.size == node.head.log_size > size and newest.failures == ()


def test_restart_goes_on_from_what_was_signed(tmp_path: Path) -> None:
    """Given a node that signed and was stopped, when started again, then it signs the next heads."""
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        commit(node)
        first = node.checkpoints.newest()
    with Node(tmp_path / "node") as node:
        commit(node)
        assert node.checkpoints.newest().checkpoint.size > first.checkpoint.size


def test_restored_behind_the_cosigner_refuses(tmp_path: Path) -> None:
    """
    Given a copy of a node, and the node that went on and signed.
    When the copy's blocks and state are put back beside the newer signed head.
    Then the node does not start, and says what to do.
    """
    root = tmp_path / "node"
    found(root)
    with Node(root) as node:
        commit(node)
    shutil.copytree(root, tmp_path / "older")
    with Node(root) as node:
        commit(node)
        node.checkpoints.newest()
    shutil.copy(root / "cosigner.state", tmp_path / "older" / "cosigner.state")
    older = Node(tmp_path / "older")
    with pytest.raises(StorageError, match="were already cosigned") as caught:
        older.start()
    older.stop()
    assert "backup" in caught.value.do


def test_other_history_than_the_signed_one_refuses(tmp_path: Path) -> None:
    """
    Given two copies of a node that went on differently.
    When one has the other's signed head.
    Then it does not start: it would fork what was signed.
    """
    root = tmp_path / "node"
    found(root)
    shutil.copytree(root, tmp_path / "other")
    for each in (root, tmp_path / "other"):
        with Node(each) as node:
            commit(node)
            node.checkpoints.newest()
    shutil.copy(root / "cosigner.state", tmp_path / "other" / "cosigner.state")
    other = Node(tmp_path / "other")
    with pytest.raises(StorageError, match="not those that were cosigned"):
        other.start()
    other.stop()
