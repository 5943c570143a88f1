# SPDX-License-Identifier: Apache-2.0
"""Ask the outside witnesses to cosign a checkpoint.

Rules kept:
1. A witness's answer counts only when its cosignature holds under the key in our settings.
2. All witnesses are asked at once; none can hold up the others for longer than the time-out, nor answer without end.
3. A witness that fails is named with the reason and left out; whether enough signed, each reader's trust file says.

Source: C2SP tlog-witness "add-checkpoint".
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
TIMEOUT_SECONDS: Final = 5.0  # for connecting, for each wait on the network, and for reading one answer

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
        self._witnesses = tuple(witnesses)
        self._client = httpx.Client(timeout=timeout_seconds, follow_redirects=False)
        self._timeout_seconds = timeout_seconds
        self._last_sizes: dict[str, int] = {}
        self._proving = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def collect(
        self, checkpoint: Checkpoint, lines: Sequence[SignatureLine], consistency_path: ConsistencyPath
    ) -> Collected:
        """Ask every witness to cosign; return the lines that hold, and who failed.

        Args:
            checkpoint: The head.
            lines: Our validators' cosignatures, by which a witness knows the log.
            consistency_path: Proves growth between two sizes; called from other threads, one at a time.
        """
        if not self._witnesses:
            return Collected(lines=(), failures=())
        signed = format_signed(checkpoint, lines)

        def ask(witness: WitnessSettings) -> SignatureLine | WitnessFailure:
            try:
                return self._ask(witness, checkpoint, signed, consistency_path)
            except httpx.HTTPError as error:
                return WitnessFailure(name=witness.name, why=f"Cannot reach it ({type(error).__name__})")
            except VervainError as error:
                return WitnessFailure(name=witness.name, why=str(error))

        with ThreadPoolExecutor(max_workers=len(self._witnesses)) as threads:
            answers = tuple(threads.map(ask, self._witnesses))
        return Collected(
            lines=tuple(answer for answer in answers if isinstance(answer, SignatureLine)),
            failures=tuple(answer for answer in answers if isinstance(answer, WitnessFailure)),
        )

    def _ask(
        self, witness: WitnessSettings, checkpoint: Checkpoint, signed: bytes, consistency_path: ConsistencyPath
    ) -> SignatureLine:
        """Ask one witness, again with its size when it has seen another than we thought."""
        old_size = self._last_sizes.get(witness.name, 0)
        for _ in range(ATTEMPTS_MAX):
            if old_size > checkpoint.size:
                raise WitnessFailed(
                    "The witness has cosigned a larger checkpoint",
                    why=f"It has {old_size} leaves",
                    do="Send the newest.",
                )
            with self._proving:
                proof = consistency_path(old_size, checkpoint.size) if old_size else ()
            status, answer = self._post(witness, format_request(old_size, proof, signed))
            if status == httpx.codes.OK:
                line = _own_line(answer, witness, checkpoint)
                self._last_sizes[witness.name] = checkpoint.size
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

    def _post(self, witness: WitnessSettings, request: bytes) -> tuple[int, str]:
        url = witness.url.rstrip("/") + "/add-checkpoint"
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
