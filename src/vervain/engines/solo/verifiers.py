# SPDX-License-Identifier: Apache-2.0
"""Form and signatures, checked in processes of their own so that the committer's thread is never held up.

LMDB and libsodium let go of the interpreter lock at every call; with verifiers on threads, the committer then waits for
the lock at each of its reads (measured: 19 us a read instead of 0.5). A worker takes whatever waits, up to a chunk, so
that hand-over costs little under load and a lone transaction does not wait.

Wire between parent and worker: uint32 count, then uint32 length and bytes of each; answered by uint16 code of each (0:
good).
"""

import gc
import os
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import IO, Final, Protocol

from vervain.engines.errors import Unreachable
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.refusals import APPLIED, Refusal
from vervain.ledger.machine.transaction import Transaction

CHUNK_TRANSACTIONS: Final = 256
CHUNK_BYTES: Final = 4 * 2**20
WORKERS: Final = 2
RESTARTS_MAX: Final = 3  # of one worker, for one chunk
_COUNT: Final = struct.Struct(">I")


def verdict(encoded: bytes, catalogue: Catalogue) -> int:
    """Return 0 when form, root, count and signature hold, else the refusal's code."""
    try:
        Transaction(encoded, catalogue.message_decoder).require_signature()
    except Refusal as refusal:
        return int(refusal.reason)
    return APPLIED


class Verifier(Protocol):
    """Judges transactions, in order."""

    def verdicts(self, encoded: Sequence[bytes]) -> Sequence[int]:
        """Return a code for each."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class LocalVerifier:
    """Judges in this process: for simulations and tools that need no speed."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def verdicts(self, encoded: Sequence[bytes]) -> Sequence[int]:
        """Return a code for each."""
        return [verdict(each, self._catalogue) for each in encoded]

    def close(self) -> None:
        """Nothing is held."""


class WorkerVerifier:
    """Judges in a process of its own, started again when it dies.

    Args:
        catalogue_name: Where the worker finds the catalogue, as `package.module:NAME`.
    """

    def __init__(self, catalogue_name: str) -> None:
        self._catalogue_name = catalogue_name
        self._process = self._started()

    def verdicts(self, encoded: Sequence[bytes]) -> Sequence[int]:
        """Return a code for each.

        Raises: Unreachable when the worker cannot be kept alive.
        """
        for _ in range(RESTARTS_MAX):
            try:
                return self._asked(encoded)
            except (OSError, EOFError, ValueError):  # dead, or closed because no other could be started
                self.close()
            try:
                self._process = self._started()
            except OSError:  # no descriptor or memory is left: the next chunk tries again
                break
        raise Unreachable(
            "Signatures cannot be verified now",
            why="The verifying process dies again and again, or none can be started",
            do="See the log.",
        )

    def _asked(self, encoded: Sequence[bytes]) -> Sequence[int]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(b"".join([_COUNT.pack(len(encoded)), *(_COUNT.pack(len(each)) + each for each in encoded)]))
        stdin.flush()
        return struct.unpack(f">{len(encoded)}H", _read_exactly(stdout, 2 * len(encoded)))

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "vervain.engines.solo.verifiers", self._catalogue_name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def close(self) -> None:
        """End the worker: it stops at the end of its input."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()


class VerifierPool:
    """Threads that take what waits, in chunks, to their verifiers.

    Args:
        verifiers: One a thread.
        judged: Called with each chunk (key, bytes, code), on the verifier's thread.
        failed: Called with a chunk (key, bytes) that could not be judged, and why.
    """

    def __init__(
        self,
        verifiers: Sequence[Verifier],
        judged: Callable[[list[tuple[object, bytes, int]]], None],
        failed: Callable[[list[tuple[object, bytes]], Exception], None],
    ) -> None:
        self._judged, self._failed = judged, failed
        self._waiting: deque[tuple[object, bytes]] = deque()
        self._arrived = threading.Condition()
        self._stopping = False
        self._verifiers = verifiers
        self._threads = [
            threading.Thread(target=self._run, args=(verifier,), name="verifier", daemon=True) for verifier in verifiers
        ]
        for thread in self._threads:
            thread.start()

    def put(self, waiting: Sequence[tuple[object, bytes]]) -> None:
        """Hand in transactions; each comes back through `judged` with its key."""
        with self._arrived:
            self._waiting.extend(waiting)
            self._arrived.notify_all()

    def close(self) -> None:
        """Judge what waits, then stop."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join()
        for verifier in self._verifiers:
            verifier.close()

    def _run(self, verifier: Verifier) -> None:
        while chunk := self._next_chunk():
            try:
                codes = verifier.verdicts([encoded for _, encoded in chunk])
            except Unreachable as error:
                self._failed(chunk, error)
                continue
            except Exception as error:  # noqa: BLE001 - this thread must live: without it nothing is ever answered
                told = "Send the same bytes again; if that fails too, start the node again."
                self._failed(chunk, Unreachable("Signatures cannot be verified now", why=type(error).__name__, do=told))
                continue
            self._judged([(key, encoded, code) for (key, encoded), code in zip(chunk, codes, strict=True)])

    def _next_chunk(self) -> list[tuple[object, bytes]]:
        """Wait for work; an empty chunk means stop. Two verifiers share what waits evenly."""
        with self._arrived:
            while not self._waiting and not self._stopping:
                self._arrived.wait()
            share = min(CHUNK_TRANSACTIONS, -(-len(self._waiting) // len(self._verifiers)))
            chunk: list[tuple[object, bytes]] = []
            size = 0
            while len(chunk) < share and (not chunk or size < CHUNK_BYTES):
                chunk.append(self._waiting.popleft())
                size += len(chunk[-1][1])
            return chunk


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        raise EOFError
    return content


def serve(catalogue_name: str) -> None:
    """Judge chunks from standard input until it ends: the worker's life."""
    module, name = catalogue_name.split(":")
    catalogue: Catalogue = getattr(import_module(module), name)
    gc.disable()  # nothing here forms cycles, and nothing outlives its chunk
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while head := stdin.read(_COUNT.size):
        codes = []
        for _ in range(_COUNT.unpack(head)[0]):
            (length,) = _COUNT.unpack(_read_exactly(stdin, _COUNT.size))
            codes.append(verdict(_read_exactly(stdin, length), catalogue))
        stdout.write(struct.pack(f">{len(codes)}H", *codes))
        stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
