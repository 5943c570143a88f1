# SPDX-License-Identifier: Apache-2.0
"""The one ASGI app of a node, and the process that serves it.

One process a node: uvicorn on uvloop and httptools, its own access log, the imported heap frozen after start-up so that
garbage collection does not stretch the slowest answers.

Source: ecosystem reference, findings 1 and section 1.
"""

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.middleware import AccessLines, AccessLog, KnownHosts
from vervain.gateways.native.problems import tell_error, tell_http_error, tell_unexpected
from vervain.gateways.native.routes import native_routes
from vervain.ledger.primitives.errors import VervainError
from vervain.node.node import Node

CONNECTIONS_MAX: Final = 4_096  # open at once; beyond that a plain 503
COLLECT_AFTER: Final = (50_000, 20, 100)
"""Garbage collection's thresholds: a node's objects hardly ever form cycles, and Python's usual thresholds, which look
at all decoded transactions again and again, took a seventh of the processor under load."""
GRACE_SECONDS: Final = 20  # for requests in hand when the node stops


def build_app(
    node: Node,
    *,
    more_routes: Sequence[BaseRoute] = (),
    hosts: Sequence[str] = (),
    write_access: Callable[[str], object] | None = None,
) -> Starlette:
    """Return the app over an opened node. Its lifespan starts the node and stops it.

    Args:
        node: Opened, not started.
        more_routes: Of other gateways and the portal; the native ones come first.
        hosts: Names under which the node is reached; empty serves any.
        write_access: Takes lines of the access log; None keeps none.
    """
    gateway = NativeGateway(node)
    access = AccessLines(write_access) if write_access else None

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(node.start)
        gc.collect()
        gc.freeze()
        usual = gc.get_threshold()
        gc.set_threshold(*COLLECT_AFTER)
        try:
            yield
        finally:
            gateway.events.close()
            await asyncio.to_thread(node.stop)
            gc.set_threshold(*usual)
            gc.unfreeze()
            if access:
                access.flush()

    app = Starlette(
        routes=[*native_routes(gateway), *more_routes],
        lifespan=lifespan,
        middleware=[
            Middleware(AccessLog, tell=access.add if access else None),
            *([Middleware(KnownHosts, hosts=tuple(hosts))] if hosts else []),
        ],
        exception_handlers={
            VervainError: tell_error,
            HTTPException: tell_http_error,
            Exception: tell_unexpected,
        },
    )
    app.router.redirect_slashes = False
    app.state.native = gateway
    return app


class NodeServer(uvicorn.Server):
    """Serves the app; ends event streams before it waits for requests in hand.

    Attributes:
        on_ready: Told the bound address once requests are answered.
    """

    on_ready: Callable[[str], None] = staticmethod(lambda address: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the node by the app's lifespan, listen, and tell so."""
        await super().startup(sockets)
        if self.started:
            self.on_ready(_address_of(self.servers[0].sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in order: streams, requests, then the node by the app's lifespan."""
        app = self.config.app
        assert isinstance(app, Starlette)
        app.state.native.events.close()
        await super().shutdown(sockets)


def _address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(app: Starlette, *, host: str, port: int) -> NodeServer:
    """Return the server of an app; `run` serves until a signal, port 0 takes a free one."""
    return NodeServer(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_level="warning",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def _write_access(lines: str) -> None:
    sys.stderr.write(lines)
    sys.stderr.flush()


def serve(node: Node, host: str, port: int, *, more_routes: Sequence[BaseRoute] = ()) -> None:
    """Serve a node until the process is told to stop; say on standard error when it is ready.

    Args:
        node: Opened, not started.
        host, port: Where to listen.
        more_routes: Of other gateways and the portal.
    """
    app = build_app(node, more_routes=more_routes, write_access=_write_access)
    server = server_of(app, host=host, port=port)
    server.on_ready = lambda address: print(f"{node.chain} is ready at {address}", file=sys.stderr, flush=True)
    server.run()
