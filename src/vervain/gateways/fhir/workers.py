# SPDX-License-Identifier: Apache-2.0
"""Processes beside the node's own: they check files while it seals, commits and wraps.

Each is a program of its own, `python -m <module>`. What `multiprocessing` spawns would import the caller's main module
again, which for a command-line tool is a second of work in each (measured: a tenth of an import).
Wire: uint32 length and bytes of a task; answered likewise. A process ends with its input, or is killed: it keeps
nothing, and one that was stopped would heed nothing else.
"""

import fcntl
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import IO, Final, Self

from vervain.gateways.errors import GatewayError

FRAME_BYTES_MAX: Final = 2**31  # a file of 128 MiB, checked, with what is said of each of its resources
PIPE_BYTES: Final = 2**20  # what Linux gives everybody; so that a process which has its answer seldom waits for us
_LENGTH: Final = struct.Struct(">I")


class WorkerEnded(GatewayError):
    """A process of the import ended, or was killed for being late, before it had answered."""


class Worker:
    """One process, which answers one task after the other.

    Args:
        module: Its program; it calls `serve`.
    """

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._tasks, self._answers = self._process.stdin, self._process.stdout
        with suppress(OSError):  # this user's pipes may hold no more already
            fcntl.fcntl(self._answers.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def ask(self, task: bytes, *, seconds: int) -> bytes:
        """Hand in a task and wait for its answer, at most so long; then the process is killed.

        Raises: WorkerEnded.
        """
        is_over = Event()
        Thread(target=self._kill_when_late, args=(is_over, seconds), name="worker-watch", daemon=True).start()
        try:
            _write_frame(self._tasks, task)
            answer = _read_frame(self._answers)
        except (OSError, EOFError):
            answer = None
        finally:
            is_over.set()
        if answer is None:
            raise WorkerEnded(
                "A process of the import has ended",
                why=f"It was killed, met a fault (see its output) or took longer than {seconds} s over one task",
                do="Run again.",
            )
        return answer

    def _kill_when_late(self, is_over: Event, seconds: int) -> None:
        """Count the seconds, one by one: those in which this process was stopped itself do not count."""
        for _ in range(seconds):
            if is_over.wait(1):
                return
        self.kill()

    def kill(self) -> None:
        """Let the process end at once, whatever it does, and do not wait for that."""
        self._process.kill()

    def close(self) -> None:
        """End the process, whatever it does."""
        self.kill()
        for stream in (self._tasks, self._answers):
            with suppress(BrokenPipeError):
                stream.close()
        self._process.wait()


class Workers:
    """Some processes of one program, each with a thread that waits for it. Use as a context manager.

    Args:
        module: Their program.
        count: How many.
    """

    def __init__(self, module: str, count: int) -> None:
        self._module, self._count = module, count
        self._workers: list[Worker] = []
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")

    def submit(self, task: bytes, *, seconds: int) -> "Future[bytes]":
        """Hand in a task and the longest time it may take; with one process, answers come in the order of tasks."""
        return self._threads.submit(self._ask, task, seconds)

    def _ask(self, task: bytes, seconds: int) -> bytes:
        worker = self._idle.get()
        try:
            return worker.ask(task, seconds=seconds)
        finally:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._workers.append(Worker(self._module))
                self._idle.put(self._workers[-1])
        except BaseException:  # Ctrl-C between two of them
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.close()
        self._threads.shutdown()


def serve(answer: Callable[[bytes], bytes]) -> None:
    """Answer tasks from standard input until it ends: a worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who presses Ctrl-C stops the import, and its end is ours
    tasks, answers = sys.stdin.buffer, sys.stdout.buffer
    while (task := _read_frame(tasks)) is not None:
        _write_frame(answers, answer(task))


def _write_frame(stream: IO[bytes], content: bytes) -> None:
    assert len(content) <= FRAME_BYTES_MAX
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _read_frame(stream: IO[bytes]) -> bytes | None:
    """Return what the other side wrote, or None when it has ended between two frames."""
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    assert length <= FRAME_BYTES_MAX
    content = stream.read(length)
    if len(content) != length:
        raise EOFError
    return content
