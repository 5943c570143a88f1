# SPDX-License-Identifier: Apache-2.0
"""A node signs what extends its own word, and orders nothing when it was restored behind it."""

import shutil
from pathlib import Path

import pytest

from tests.unit.node.founded import NODE_NAME, desk_of, found
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.node.node import Node
from vervain.node.witnesses import Collected, WitnessFailure
from vervain.sealing.checkpoints import Checkpoint, verify_cosignature
from vervain.sealing.keys import read_signing_key
from vervain.storage.errors import StorageError


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
    """Given a witness that fails, then it is asked once about a head, and again when the pause is over."""
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        asked: list[int] = []

        def fails(checkpoint: Checkpoint, *_: object) -> Collected:
            asked.append(checkpoint.size)
            return Collected(lines=(), failures=(WitnessFailure(name="university", why="no answer"),))

        monkeypatch.setattr(node.checkpoints._witnesses, "collect", fails)
        first = node.checkpoints.newest()
        assert node.checkpoints.newest() is first and len(asked) == 1
        monkeypatch.setattr("vervain.node.cosigning.WITNESS_PAUSE_SECONDS", 0.0)
        node.checkpoints.newest()
        assert asked == [first.checkpoint.size] * 2


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
