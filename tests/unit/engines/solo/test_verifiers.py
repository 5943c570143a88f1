# SPDX-License-Identifier: Apache-2.0
"""The verifiers' threads: they outlive whatever befalls their verifier."""

import subprocess
from collections.abc import Sequence
from queue import SimpleQueue

import pytest

from vervain.engines.errors import Unreachable
from vervain.engines.solo.verifiers import VerifierPool, WorkerVerifier
from vervain.ledger.machine.refusals import MachineReason

CATALOGUE = "tests.toy_ledger:TOY"


class Failing:
    """A verifier that fails once, in a way nobody foresaw, and then finds everything good."""

    def __init__(self) -> None:
        self.failures = [ZeroDivisionError()]

    def verdicts(self, encoded: Sequence[bytes]) -> Sequence[int]:
        """Fail, or find good."""
        if self.failures:
            raise self.failures.pop()
        return [0] * len(encoded)

    def close(self) -> None:
        """Nothing is held."""


def test_a_fault_is_told_for_its_chunk_and_the_next_chunk_is_judged() -> None:
    """Given a verifier that fails in an unforeseen way, when two are handed in, then one failed and one is judged."""
    told: SimpleQueue[object] = SimpleQueue()
    pool = VerifierPool(
        [Failing()], told.put, lambda chunk, error: told.put((chunk, type(error), getattr(error, "why", "")))
    )
    pool.put([("first", b"1")])
    assert told.get(timeout=10) == ([("first", b"1")], Unreachable, "ZeroDivisionError")
    pool.put([("second", b"2")])
    assert told.get(timeout=10) == [("second", b"2", 0)]
    pool.close()


def test_a_verifying_process_that_cannot_be_started_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a worker that died and no descriptor to start another, when that is over, then verdicts come again."""
    verifier = WorkerVerifier(CATALOGUE)
    verifier._process.kill()
    verifier._process.wait()

    def no_descriptor(*arguments: object, **options: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", no_descriptor)
        for _ in range(2):
            with pytest.raises(Unreachable, match="cannot be verified now"):
                verifier.verdicts([b"{}"])
    assert list(verifier.verdicts([b"{}"])) == [MachineReason.NOT_CANONICAL]
    verifier.close()
