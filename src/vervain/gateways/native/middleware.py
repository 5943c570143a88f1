# SPDX-License-Identifier: Apache-2.0
"""Around every request: an access log without values, and headers that keep browsers strict.

The log says method, the route's pattern, status and milliseconds. Never the path as sent, the query, a header or an
address: an id in a path together with an address would say who asked about whom.
"""

import logging
import re
from time import perf_counter
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vervain.gateways.native.problems import MALFORMED, RequestProblem, problem_of, response_of

ACCESS_LOG: Final = logging.getLogger("vervain.access")
PATTERN_KEY: Final = "vervain.pattern"
"""Where an endpoint notes its path pattern in the ASGI scope."""

_PORT: Final = re.compile(rb":[0-9]{1,5}$")
_STRICT: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class AccessLog:
    """Logs each request when it is answered, and adds strict headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
            if ACCESS_LOG.isEnabledFor(logging.INFO):
                pattern, spent_ms = scope.get(PATTERN_KEY, "-"), (perf_counter() - started) * 1_000
                ACCESS_LOG.info("%s %s %d %.1f ms", scope["method"], pattern, status, spent_ms)


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
