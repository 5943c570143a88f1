# SPDX-License-Identifier: Apache-2.0
"""A real `vervain node` is killed under load, again and again: what it acknowledged is there, where it said it is."""

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.imports import found
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.errors import VervainError
from vervain.node.audit import audit_node
from vervain.node.directory import DataDirectory
from vervain.node.node import Node
from vervain.sdk.client import Client
from vervain.sdk.contract import BulkAnswer
from vervain.sealing.keys import SigningKey, read_signing_key

READY_SECONDS_MAX: Final = 30.0
SENDERS: Final = 2
BATCH: Final = 20

Acknowledged = dict[bytes, tuple[int, int]]
"""txid -> (height, leaf index)"""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(root: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `vervain node` in a process of its own, until it answers; it is killed at the end at the latest."""
    command = [sys.executable, "-m", "vervain.cli", "node", "--data", str(root), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (root.parent / "node.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (root.parent / "node.log").read_text()[
                -2000:
            ]
            with Client(f"http://127.0.0.1:{port}", attempts=1) as client:
                try:
                    client.head()
                    break
                except VervainError:
                    time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


class Load:
    """Senders that hand in transactions until the node is gone, and note what it acknowledged."""

    def __init__(self, port: int, key: SigningKey, acknowledged: Acknowledged) -> None:
        self._port, self._key, self._acknowledged = port, key, acknowledged
        self._threads = [threading.Thread(target=self._send, name="sender") for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with Client(f"http://127.0.0.1:{self._port}", key=self._key, attempts=1) as client:
            while True:
                messages = [
                    CommitRecord(subject=self._key.actor, commitment=secrets.token_bytes(32)) for _ in range(BATCH)
                ]
                try:
                    answers = client.submit_many([client.sign(each).encoded for each in messages])
                except VervainError:
                    return  # it was killed: what was on its way may or may not be there
                for answer in answers:
                    self._note(answer)

    def _note(self, answer: BulkAnswer) -> None:
        assert answer.code == APPLIED
        assert isinstance(answer.height, int) and isinstance(answer.leaf_index, int)
        assert isinstance(answer.txid, bytes)
        self._acknowledged[answer.txid] = (answer.height, answer.leaf_index)

    def join(self) -> None:
        """Wait until every sender has noticed."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.prove)])
def test_killed_node_has_all_that_it_acknowledged(tmp_path: Path, kills: int) -> None:
    """
    Given a node process under load.
    When it is killed at any moment and started again, several times.
    Then after each restart every acknowledged transaction is at its height and log index, and in the end it is clean.
    """
    root, chance = tmp_path / "node", random.Random(kills)
    organisation = found(root)
    key = read_signing_key(DataDirectory(root).member(organisation) / "keys" / "signing.key")
    acknowledged: Acknowledged = {}
    for _ in range(kills):
        before, port = len(acknowledged), free_port()
        with served(root, port) as process:
            load = Load(port, key, acknowledged)
            deadline = time.monotonic() + READY_SECONDS_MAX
            while len(acknowledged) == before and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(chance.random() * 0.4)
            process.send_signal(signal.SIGKILL)
            load.join()
        assert len(acknowledged) > before
        require_all(root, acknowledged)
    assert list(audit_node(root)) == []


def require_all(root: Path, acknowledged: Acknowledged) -> None:
    """Every acknowledged transaction is where the node said it is."""
    node = Node(root)
    try:
        for txid, place in acknowledged.items():
            outcome = node.outcome_of(txid)
            assert outcome is not None and (outcome.height, outcome.leaf_index) == place
            assert outcome.code == APPLIED
    finally:
        node.stop()


def test_audit_is_clean_right_after_a_kill(tmp_path: Path) -> None:
    """Given a node that was killed under load, when it is audited before anything opened it, then nothing is found."""
    root, port = tmp_path / "node", free_port()
    organisation = found(root)
    key = read_signing_key(DataDirectory(root).member(organisation) / "keys" / "signing.key")
    acknowledged: Acknowledged = {}
    with served(root, port) as process:
        load = Load(port, key, acknowledged)
        while not acknowledged:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        load.join()
    assert list(audit_node(root)) == []
