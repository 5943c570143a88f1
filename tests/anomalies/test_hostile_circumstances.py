# SPDX-License-Identifier: Apache-2.0
"""No assertions, a clock that goes back, verifying processes that die: the node refuses or goes on, and says so."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.imports import found
from tests.unit.node.founded import MovedClock
from vervain.engines.errors import Unreachable
from vervain.engines.solo.verifiers import RESTARTS_MAX, WorkerVerifier
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.node.audit import audit_node
from vervain.node.desk import MemberDesk
from vervain.node.node import Node

ANSWER_SECONDS = 30.0


@pytest.fixture
def clock() -> MovedClock:
    """A clock that the test moves."""
    return MovedClock()


@pytest.fixture
def node(tmp_path: Path, clock: MovedClock) -> Iterator[Node]:
    """A running node of one hospital."""
    found(tmp_path / "node")
    with Node(tmp_path / "node", clock=clock) as running:
        yield running


def own_desk(node: Node) -> MemberDesk:
    """Return the founding hospital's desk."""
    return node.desk(node.settings.organisation)


def signed(node: Node) -> bytes:
    """Return a fresh transaction of the hospital's."""
    desk = own_desk(node)
    return desk.sign([CommitRecord(subject=desk.organisation, commitment=secrets.token_bytes(32))]).encoded


@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_command_line_is_refused_without_assertions(option: str) -> None:
    """Given an interpreter that leaves assertions out, when any command is run, then refused with the reason."""
    command = [sys.executable, option, "-m", "vervain.cli", "node", "--data", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, env=_environment())
    assert ended.returncode != 0 and ended.stdout == ""
    assert "python -O" in ended.stderr and "Traceback" not in ended.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_block_time_never_falls(node: Node, clock: MovedClock) -> None:
    """
    Given a node whose clock goes back by five minutes, then by more, then forward again.
    When it orders transactions all the while.
    Then the time of each block is not before the one before it, and the audit is clean.
    """
    for ahead in (0.0, -300.0, -1.0, -800.0, 5.0):
        clock.ahead = ahead
        message = CommitRecord(subject=own_desk(node).organisation, commitment=secrets.token_bytes(32))
        clock.ahead = max(0.0, ahead)  # the sender's clock is right
        encoded = own_desk(node).sign([message]).encoded
        clock.ahead = ahead
        assert node.submit(encoded).code == APPLIED
    times = [block.time for block in node.blocks(0)]
    assert times == sorted(times) and len(times) >= 6


def test_killed_verifying_process_is_started_again(node: Node) -> None:
    """
    Given the processes that check signatures.
    When each is killed, idle and under load, and transactions come.
    Then new ones are started and every transaction is answered as applied.
    """
    verifiers = [each for each in node.engine._verifiers._verifiers if isinstance(each, WorkerVerifier)]
    assert len(verifiers) == 2
    answered = 0
    for _ in range(3):
        before = [each._process.pid for each in verifiers]
        futures = [node.submit_many([signed(node) for _ in range(100)]) for _ in range(2)]
        for process in before:
            os.kill(process, signal.SIGKILL)
        futures += [node.submit_many([signed(node) for _ in range(100)]) for _ in range(2)]
        for future in futures:
            outcomes = future.result(ANSWER_SECONDS)
            assert {each.code for each in outcomes} == {APPLIED}
            answered += len(outcomes)
        assert [each._process.pid for each in verifiers] != before
    assert answered == 1_200
    assert sum(len(block.transactions) for block in node.blocks(1)) == 1_200


def test_verifying_process_that_cannot_live_is_told_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given verifying processes that die at once, again and again.
    When transactions come, and later the processes live again.
    Then their senders are told to send them later; later ones are applied; the node stops in time.
    """
    found(tmp_path / "node")
    with Node(tmp_path / "node") as node:
        tried: list[int] = []

        def broken(verifier: WorkerVerifier, encoded: list[bytes]) -> list[int]:
            tried.append(len(encoded))
            raise EOFError

        encoded = signed(node)
        with monkeypatch.context() as patched:
            patched.setattr(WorkerVerifier, "_asked", broken)
            with pytest.raises(Unreachable, match="verified"):
                node.submit_many([encoded]).result(ANSWER_SECONDS)
        assert len(tried) == RESTARTS_MAX
        assert not node.engine.is_busy()
        assert node.submit(encoded).code == APPLIED
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 10
    assert list(audit_node(tmp_path / "node")) == []
