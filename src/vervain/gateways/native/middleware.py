# SPDX-License-Identifier: Apache-2.0
"""Around every request: an access log without values, and headers that keep browsers strict.

The log says when, method, the route's pattern, status and milliseconds. Never the path as sent, the query, a header or
an address: an id in a path together with an address would say who asked about whom. It is for operators; who read which
record is logged durably by the vault.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vervain.gateways.native.problems import MALFORMED, RequestProblem, problem_of, response_of

ACCESS_LINES_SECONDS: Final = 0.25  # how long a line may wait
ACCESS_LINES_MAX: Final = 1_000  # that wait
PATTERN_KEY: Final = "vervain.pattern"
"""Where an endpoint notes its path pattern in the ASGI scope."""

_PORT: Final = re.compile(rb":[0-9]{1,5}$")
_STRICT: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class AccessLines:
    """Lines of the access log, written together a moment later: a write a request would cost as much as its routing.

    Args:
        write: Takes whole lines.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Write a line soon, with its time. On the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_later(ACCESS_LINES_SECONDS, self.flush)
        self._lines.append(f"{datetime.fromtimestamp(time(), UTC):%Y-%m-%dT%H:%M:%S.%fZ} {line}\n")
        if len(self._lines) >= ACCESS_LINES_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        if lines:
            with suppress(OSError):  # a full disk must not break off whoever is answered
                self._write("".join(lines))


class AccessLog:
    """Tells each request when it is answered, and adds strict headers.

    Args:
        tell: Takes one line, without a time.
    """

    def __init__(self, app: ASGIApp, tell: Callable[[str], None] | None = None) -> None:
        self._app, self._tell = app, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 0, perf_counter()

        async def send_strict(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_STRICT]
            await send(message)

        try:
            await self._app(scope, receive, send_strict)
        finally:
            if self._tell is not None:
                spent_ms = (perf_counter() - started) * 1_000
                self._tell(f"{scope['method']} {scope.get(PATTERN_KEY, '-')} {status} {spent_ms:.1f} ms")


class KnownHosts:
    """Refuses requests that name another host: off unless hosts are given."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app, self._hosts = app, frozenset(host.lower().encode("ascii") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when its Host, without a port, is a known one."""
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"host"]
            if len(given) != 1 or _PORT.sub(b"", given[0]).lower() not in self._hosts:
                await self._refusal()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self) -> Response:
        return response_of(problem_of(RequestProblem(MALFORMED, "This node does not serve that host")))
