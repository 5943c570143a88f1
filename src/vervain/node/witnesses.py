# SPDX-License-Identifier: Apache-2.0
"""Ask the outside witnesses to cosign a checkpoint.

Rules kept:
1. A witness's answer counts only when its cosignature holds under the key in our settings.
2. All witnesses are asked at once, on threads of their own; whoever asks waits for the time-out at the longest, however
   slowly a witness speaks.
3. Each witness is asked one thing at a time. Who finds it busy waits for a moment and goes on without it: a mute
   witness holds up one asker, and at most one thread.
4. A witness that fails is named with the reason and left out; whether enough signed, each reader's trust file says.

Source: C2SP tlog-witness "add-checkpoint".
"""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec

from vervain.ledger.primitives.errors import VervainError
from vervain.node.config import WITNESSES_MAX, WitnessSettings
from vervain.sealing.checkpoints import (
    Checkpoint,
    SignatureLine,
    format_signed,
    key_id,
    parse_decimal,
    parse_signature_lines,
    to_base64,
    verify_cosignature,
)

ANSWER_BYTES_MAX: Final = 16_000
ATTEMPTS_MAX: Final = 3  # the first may be told another size; the second may lose a race
TIMEOUT_SECONDS: Final = 5.0  # for connecting, for each wait on the network, and for all answers together
TURN_SECONDS: Final = 0.5  # that an asker waits for a witness that is busy with another question

ConsistencyPath = Callable[[int, int], Sequence[bytes]]
"""(old size, size) -> the consistency proof between them."""


class WitnessFailed(VervainError):
    """A witness gave no cosignature that counts."""


class WitnessFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Which witness did not sign, and why."""

    name: str
    why: str


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking all witnesses once."""

    lines: tuple[SignatureLine, ...]
    failures: tuple[WitnessFailure, ...]


class Witnesses:
    """The outside witnesses of one node. Use as a context manager, or call `close`."""

    def __init__(self, witnesses: Sequence[WitnessSettings], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        assert len(witnesses) <= WITNESSES_MAX
        self._client = httpx.Client(timeout=timeout_seconds, follow_redirects=False)
        self._witnesses = tuple(_Witness(each, self._client, timeout_seconds) for each in witnesses)
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(witnesses)), thread_name_prefix="witness")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what was asked and not answered yet is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    @property
    def unanswered(self) -> tuple[WitnessFailure, ...]:
        """What can be said of the witnesses before they are asked."""
        return tuple(WitnessFailure(name=each.name, why="It has not answered yet") for each in self._witnesses)

    def collect(
        self,
        checkpoint: Checkpoint,
        lines: Sequence[SignatureLine],
        consistency_path: ConsistencyPath,
        heard: Callable[[SignatureLine], None] = lambda line: None,
        *,
        among: frozenset[str] | None = None,
    ) -> Collected:
        """Ask the witnesses to cosign; return the lines that hold, and who failed.

        Args:
            checkpoint: The head.
            lines: Our validators' cosignatures, by which a witness knows the log.
            consistency_path: Proves growth between two sizes; called from other threads, from several at once.
            heard: Told each line that holds as soon as it is there, on another thread.
            among: Names of those to ask; all when left out.
        """
        wanted = [each for each in self._witnesses if among is None or each.name in among]
        deadline = monotonic() + self._timeout_seconds
        signed = format_signed(checkpoint, lines)

        def ask(witness: _Witness) -> SignatureLine | WitnessFailure:
            try:
                line = witness.ask(checkpoint, signed, consistency_path)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                return WitnessFailure(name=witness.name, why=f"Cannot reach it ({type(error).__name__})")
            except VervainError as error:
                return WitnessFailure(name=witness.name, why=str(error))
            finally:
                witness.turn.release()
            heard(line)
            return line

        asked = self._begin(wanted, ask)
        answers = [_answer_of(each, asked.get(each), deadline) for each in wanted]
        return Collected(
            lines=tuple(answer for answer in answers if isinstance(answer, SignatureLine)),
            failures=tuple(answer for answer in answers if isinstance(answer, WitnessFailure)),
        )

    def _begin(
        self, wanted: "Sequence[_Witness]", ask: "Callable[[_Witness], SignatureLine | WitnessFailure]"
    ) -> "dict[_Witness, Future[SignatureLine | WitnessFailure]]":
        """Begin to ask every witness whose turn it is: first those that are free, then those that soon are."""
        asked, until = {}, monotonic() + TURN_SECONDS
        for may_wait in (False, True):
            for each in wanted:
                seconds = max(0.0, until - monotonic()) if may_wait else 0.0
                if each not in asked and each.turn.acquire(timeout=seconds):
                    asked[each] = self._threads.submit(ask, each)
        return asked


def _answer_of(
    witness: "_Witness", asked: "Future[SignatureLine | WitnessFailure] | None", deadline: float
) -> SignatureLine | WitnessFailure:
    """Return what a witness answered by the deadline (monotonic seconds)."""
    if asked is None:
        return WitnessFailure(name=witness.name, why="It is still busy with an earlier question")
    try:
        return asked.result(max(0.0, deadline - monotonic()))
    except (NotDone, CancelledError):
        return WitnessFailure(name=witness.name, why="It did not answer in time")


class _Witness:
    """One witness: its settings, whose turn it is to ask it, and the last size it is known to have cosigned."""

    def __init__(self, settings: WitnessSettings, client: httpx.Client, timeout_seconds: float) -> None:
        self._settings, self._client, self._timeout_seconds = settings, client, timeout_seconds
        self._last_size = 0
        self.turn = Lock()

    @property
    def name(self) -> str:
        """Its name in cosignatures."""
        return self._settings.name

    def ask(self, checkpoint: Checkpoint, signed: bytes, consistency_path: ConsistencyPath) -> SignatureLine:
        """Ask for a cosignature, again with its size when it has seen another than we thought.

        Raises: WitnessFailed, ProofError, HTTPError.
        """
        old_size = self._last_size
        for _ in range(ATTEMPTS_MAX):
            if old_size > checkpoint.size:
                raise WitnessFailed(
                    "The witness has cosigned a larger checkpoint",
                    why=f"It has {old_size} leaves",
                    do="Send the newest.",
                )
            proof = consistency_path(old_size, checkpoint.size) if old_size else ()
            status, answer = self._post(format_request(old_size, proof, signed))
            if status == httpx.codes.OK:
                line = _own_line(answer, self._settings, checkpoint)
                self._last_size = checkpoint.size
                return line
            if status != httpx.codes.CONFLICT or not answer.endswith("\n"):
                raise WitnessFailed("The witness refused", why=f"It answered {status}", do="Read its log.")
            seen = parse_decimal(answer[:-1])
            if seen == old_size:
                raise WitnessFailed(
                    "The witness has seen another log of this name",
                    why=f"At {seen} leaves it has another root",
                    do="Stop and compare both logs: this is what witnesses are for.",
                )
            old_size = seen
        raise WitnessFailed("The witness keeps changing its mind", why="Somebody else sends it checkpoints too")

    def _post(self, request: bytes) -> tuple[int, str]:
        url = self._settings.url.rstrip("/") + "/add-checkpoint"
        with self._client.stream("POST", url, content=request) as response:
            answer, deadline = b"", monotonic() + self._timeout_seconds
            for piece in response.iter_bytes():
                answer += piece
                if len(answer) > ANSWER_BYTES_MAX or monotonic() > deadline:
                    raise WitnessFailed("The witness answers too much or too slowly", do="Ask its operator.")
        return response.status_code, answer.decode("utf-8", "replace")


def format_request(old_size: int, proof: Sequence[bytes], signed: bytes) -> bytes:
    """Return the body of an add-checkpoint request: old size, consistency proof, empty line, signed checkpoint."""
    lines = [f"old {old_size}", *map(to_base64, proof), "", ""]
    return "\n".join(lines).encode() + signed


def _own_line(answer: str, witness: WitnessSettings, checkpoint: Checkpoint) -> SignatureLine:
    """Return the witness's own cosignature from its answer; lines by other keys are ignored."""
    own_id = key_id(witness.name, witness.key)
    for line in parse_signature_lines(answer.removesuffix("\n").split("\n")):
        if (line.name, line.key_id) == (witness.name, own_id):
            verify_cosignature(line, public_key=witness.key, body=checkpoint.body)
            return line
    raise WitnessFailed(
        "The witness signed with another key", why="Its answer has no line by the key in our settings", do="Check them."
    )
