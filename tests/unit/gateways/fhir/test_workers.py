# SPDX-License-Identifier: Apache-2.0
"""Processes of an import: one answer for each task, in order where there is one, and a plain word when one dies."""

import os
import signal

import pytest

from vervain.gateways.fhir.workers import Worker, WorkerEnded, Workers, serve

MODULE = "tests.unit.gateways.fhir.test_workers"


def test_every_task_has_its_answer() -> None:
    """Given two processes. When given more tasks than that, empty and large ones. Then each has its own answer."""
    tasks = [bytes([number]) * number * 100_000 for number in range(12)]
    with Workers(MODULE, 2) as workers:
        answers = [workers.submit(task) for task in tasks]
        assert [answer.result(20) for answer in answers] == [task[::-1] for task in tasks]


def test_a_process_that_dies_is_told() -> None:
    """Given a process. When it is killed. Then whoever asks hears that it ended, now and again."""
    worker = Worker(MODULE)
    try:
        assert worker.ask(b"ab") == b"ba"
        os.kill(worker._process.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(WorkerEnded):
                worker.ask(b"ab")
    finally:
        worker.close()


def test_a_fault_in_a_task_ends_its_process() -> None:
    """Given a task that meets a fault. When asked. Then no answer is made up."""
    worker = Worker(MODULE)
    try:
        with pytest.raises(WorkerEnded):
            worker.ask(b"fault")
    finally:
        worker.close()


def test_interrupting_is_left_to_the_import() -> None:
    """Given Ctrl-C, which reaches every process. When it comes. Then a worker answers on, until it is ended."""
    worker = Worker(MODULE)
    try:
        assert worker.ask(b"ab") == b"ba"
        os.kill(worker._process.pid, signal.SIGINT)
        assert worker.ask(b"cd") == b"dc"
    finally:
        worker.close()
    assert worker._process.returncode is not None


def _reversed(task: bytes) -> bytes:
    if task == b"fault":
        raise SystemExit(3)
    return task[::-1]


if __name__ == "__main__":
    serve(_reversed)
