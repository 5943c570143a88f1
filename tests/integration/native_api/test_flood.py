# SPDX-License-Identifier: Apache-2.0
"""Anybody can send; only active keys can write: a flood leaves nothing on the ledger and nothing in memory."""

import gc
import threading
from pathlib import Path

import pytest

from tests.integration.native_api.running import Running, over_http
from vervain.ledger.machine.refusals import MachineReason
from vervain.sealing.keys import SigningKey

LINES = 500
GROWTH_BYTES_MAX = 24 * 2**20  # after warming up; the pool, the memo and a bulk request are all bounded


def _resident_bytes() -> int:
    """Return this process's resident memory; the server runs in it."""
    gc.collect()  # the client lives in this process too, and its requests form cycles
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _flood(running: Running, requests: int) -> set[int]:
    """Send bulk requests of transactions that unknown keys signed well, each by a fresh key; return the codes."""
    codes: set[int] = set()
    with running.client() as client:
        for _ in range(requests):
            lines = [running.signed(key=SigningKey.generate()) for _ in range(LINES)]
            codes.update(answer.code for answer in client.submit_many(lines))
    return codes


def _kept(running: Running) -> tuple[int, int, int]:
    """Return how many leaves, rows and remembered ids the node has."""
    with running.node.view() as state:
        head = state.head()
        assert head is not None
        rows = sum(1 for _ in state.range(b"", b"\xff" * 64))
        return head.log_size, rows, sum(1 for _ in state.unexpired_range(b"", b"\xff" * 64))


def _check_flood(running: Running, requests: int) -> None:
    before = _kept(running)
    codes = _flood(running, max(2, requests // 4))
    warm = _resident_bytes()
    halves = [threading.Thread(target=lambda: codes.update(_flood(running, requests // 2))) for _ in range(2)]
    for half in halves:
        half.start()
    for half in halves:
        half.join()
    grown = _resident_bytes() - warm
    assert codes == {MachineReason.KEY_NOT_ACTIVE}
    assert _kept(running) == before
    assert grown < GROWTH_BYTES_MAX, f"{grown / 2**20:.1f} MiB more after {requests * LINES} transactions"
    with running.client() as client:
        assert client.submit_signed(running.signed()).code == 0


def test_flood_of_unknown_keys_leaves_nothing(root: Path) -> None:
    """
    Given a node and 6,000 transactions well signed by keys that nobody registered, from two senders at once.
    When they are handed in.
    Then each is refused, there is no leaf, row or remembered id more, memory is flat, and the member still writes.
    """
    with over_http(root) as running:
        _check_flood(running, 10)


@pytest.mark.prove
def test_long_flood_of_unknown_keys_leaves_nothing(root: Path) -> None:
    """
    Given a node and 250,000 transactions well signed by keys that nobody registered, from two senders at once.
    When they are handed in.
    Then each is refused, there is no leaf, row or remembered id more, memory is flat, and the member still writes.
    """
    with over_http(root) as running:
        _check_flood(running, 400)
