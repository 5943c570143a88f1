# SPDX-License-Identifier: Apache-2.0
"""Requests that may be sent again: every one of this API is safe to repeat, because a transaction counts once only.

Connection faults, 503, and 429 with a short Retry-After are tried again with the same bytes after a growing pause;
anything else is final.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec

from vervain.sdk.client_errors import ClientError, Refused, Unavailable, UnexpectedAnswer
from vervain.sdk.contract import PROBLEM, Problem

ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 0.2  # before the second attempt; doubled each time
PAUSE_SECONDS_MAX: Final = 10.0  # also of what the node asks for
ANSWER_BYTES_MAX: Final = 64 * 2**20
PAUSE_DIGITS_MAX: Final = 6
UNAVAILABLE: Final = 503
_AGAIN: Final = (429, UNAVAILABLE)
_FAULTS: Final = (  # the first that fits
    (httpx.ConnectError, "Nothing answers at this address"),
    (httpx.TimeoutException, "It did not answer in time"),
    (httpx.UnsupportedProtocol, "Its address does not begin with http:// or https://"),
    (httpx.ProtocolError, "What answers there does not speak HTTP"),
    (httpx.TransportError, "The connection broke off"),
)


class Requester:
    """Sends requests to one node, again when that helps.

    Args:
        http: The HTTP client, with its base address.
        attempts: How often at most.
    """

    def __init__(self, http: httpx.Client, *, attempts: int = ATTEMPTS) -> None:
        assert attempts > 0
        self._http, self._attempts = http, attempts

    def get(self, path: str, headers: Callable[[], Mapping[str, str]] = dict) -> bytes:
        """Return the body of a successful GET; `headers` are made anew for each attempt.

        Raises: Refused, Unavailable, UnexpectedAnswer.
        """
        return self._send("GET", path, headers, reads=True)

    def post(
        self,
        path: str,
        content: bytes,
        media_type: str,
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        reads: bool = False,
    ) -> bytes:
        """Return the body of a successful POST of `content`; `reads` when it asks only and hands nothing in.

        Raises: Refused, Unavailable, UnexpectedAnswer.
        """
        return self._send("POST", path, lambda: {"Content-Type": media_type, **headers()}, content, reads=reads)

    def _send(
        self,
        method: str,
        path: str,
        headers: Callable[[], Mapping[str, str]],
        content: bytes | None = None,
        *,
        reads: bool,
    ) -> bytes:
        failed: ClientError
        wait: float | None
        for attempt in range(1, self._attempts + 1):
            try:
                answer = self._http.request(method, path, content=content, headers=headers())
            except httpx.TransportError as error:
                failed, wait = unreachable(error, reads=reads), 0.0
            else:
                if answer.is_success:
                    return _body(answer)
                failed, wait = _failure(answer), _asked_pause(answer)
            if wait is None or attempt == self._attempts:
                raise failed
            pause = PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # not all clients at once
            time.sleep(min(PAUSE_SECONDS_MAX, max(wait, pause)))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """Open a GET whose lines come as they come.

        Raises: Refused, Unavailable, UnexpectedAnswer.
        """
        try:
            with self._http.stream("GET", path, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _failure(answer)
                yield answer.iter_lines()
        except httpx.TransportError as error:
            raise unreachable(error, reads=True) from None


def unreachable(error: httpx.TransportError, *, reads: bool) -> Unavailable:
    """Return what a connection fault means to a person; whoever only `reads` has no bytes to send again."""
    check = "Start the node, or check its address (--url on the command line)"
    return Unavailable(
        "The node cannot be reached",
        why=next(why for kind, why in _FAULTS if isinstance(error, kind)),
        do=f"{check}." if reads else f"{check}; then send the same bytes again: they count once only.",
    )


def _body(answer: httpx.Response) -> bytes:
    if len(answer.content) > ANSWER_BYTES_MAX:
        raise UnexpectedAnswer("The answer is too large", why=f"{ANSWER_BYTES_MAX} bytes are the most")
    return answer.content


def _failure(answer: httpx.Response) -> ClientError:
    """Return the error that an unsuccessful answer means."""
    if answer.headers.get("content-type", "").partition(";")[0] != PROBLEM:
        if answer.status_code in _AGAIN:
            return Unavailable("The node takes no requests now", why=f"HTTP {answer.status_code}", do="Try later.")
        return UnexpectedAnswer(
            "This is not a Vervain node, or not this version of its API",
            why=f"HTTP {answer.status_code} without a problem document",
            do="Check the address.",
        )
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:
        return UnexpectedAnswer("The node told a problem in an unknown form", why=f"HTTP {answer.status_code}")
    if answer.status_code == UNAVAILABLE:
        return Unavailable(problem.what, why=problem.why, do=problem.do)
    return Refused(problem)


def _asked_pause(answer: httpx.Response) -> float | None:
    """Return after how many seconds the same bytes may do better, None for never or not soon."""
    asked = answer.headers.get("retry-after", "0" if answer.status_code == UNAVAILABLE else "")
    if answer.status_code not in _AGAIN or not asked.isdecimal() or len(asked) > PAUSE_DIGITS_MAX:
        return None
    return float(asked) if int(asked) <= PAUSE_SECONDS_MAX else None
