# SPDX-License-Identifier: Apache-2.0
"""Processes of an import: one answer for each task, in order where there is one, and a plain word when one dies."""

import os
import signal

import pytest

from vervain.gateways.fhir.workers import Worker, WorkerEnded, Workers, serve

MODULE = "tests.unit.gateways.fhir.test_workers"
SECONDS = 60


def test_every_task_has_its_answer() -> None:
    """Given two processes. When given more tasks than that, empty and large ones. Then each has its own answer."""
    tasks = [bytes([number]) * number * 100_000 for number in range(12)]
    with Workers(MODULE, 2) as workers:
        answers = [workers.submit(task, seconds=SECONDS) for task in tasks]
        assert [answer.result(20) for answer in answers] == [task[::-1] for task in tasks]


def test_a_process_that_dies_is_told() -> None:
    """Given a process. When it is killed. Then whoever asks hears that it ended, now and again."""
    worker = Worker(MODULE)
    try:
        assert worker.ask(b"ab", seconds=SECONDS) == b"ba"
        os.kill(worker._process.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(WorkerEnded):
                worker.ask(b"ab", seconds=SECONDS)
    finally:
        worker.close()


def test_a_fault_in_a_task_ends_its_process() -> None:
    """Given a task that meets a fault. When asked. Then no answer is made up."""
    worker = Worker(MODULE)
    try:
        with pytest.raises(WorkerEnded):
            worker.ask(b"fault", seconds=SECONDS)
    finally:
        worker.close()


def test_interrupting_is_left_to_the_import() -> None:
    """Given Ctrl-C, which reaches every process. When it comes. Then a worker answers on, until it is ended."""
    worker = Worker(MODULE)
    try:
        assert worker.ask(b"ab", seconds=SECONDS) == b"ba"
        os.kill(worker._process.pid, signal.SIGINT)
        assert worker.ask(b"cd", seconds=SECONDS) == b"dc"
    finally:
        worker.close()
    assert worker._process.returncode is not None


def test_a_process_that_does_not_answer_is_killed_and_told() -> None:
    """Given a process that was stopped. When it is late. Then whoever asks hears of it, and it is gone."""
    worker = Worker(MODULE)
    try:
        assert worker.ask(b"ab", seconds=SECONDS) == b"ba"
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerEnded, match="longer than 1 s"):
            worker.ask(b"ab", seconds=1)
        assert worker._process.wait(SECONDS) == -signal.SIGKILL
    finally:
        worker.close()


def test_breaking_off_leaves_no_process() -> None:
    """Given two processes, one stopped over its task, and tasks waiting. When the import breaks off. Then both end."""
    with pytest.raises(KeyboardInterrupt), Workers(MODULE, 2) as workers:
        os.kill(workers._workers[0]._process.pid, signal.SIGSTOP)
        for _ in range(4):
            workers.submit(b"ab", seconds=SECONDS)
        raise KeyboardInterrupt
    assert [each._process.returncode for each in workers._workers] == [-signal.SIGKILL] * 2


def _reversed(task: bytes) -> bytes:
    if task == b"fault":
        raise SystemExit(3)
    return task[::-1]


if __name__ == "__main__":
    serve(_reversed)
