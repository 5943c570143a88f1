# SPDX-License-Identifier: Apache-2.0
"""Is the process alive; is the node ready: for whoever restarts processes and routes requests."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.endpoint import RUNNING, STRING, Answer, Endpoint
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import UNAVAILABLE, RequestProblem
from vervain.gateways.native.requests import require_known_query
from vervain.sdk.contract import TEXT

HEARTBEATS_MISSED_MAX: Final = 3
NO_STORE: Final = {"Cache-Control": "no-store"}


async def tell_alive(_gateway: NativeGateway, request: Request) -> Response:
    """Tell that the process answers."""
    require_known_query(request)
    return Response("alive\n", media_type=TEXT, headers=NO_STORE)


async def tell_ready(gateway: NativeGateway, request: Request) -> Response:
    """Tell that the node takes transactions, its newest block is not stale, and its read model follows."""
    require_known_query(request)
    gateway.read_model()
    node = gateway.node
    node.submit_many([])  # Unreachable when the engine is stopped or halted
    behind = node.clock() - node.head.time
    if behind > HEARTBEATS_MISSED_MAX * node.settings.heartbeat_seconds:
        raise RequestProblem(
            UNAVAILABLE,
            "The newest block is too old",
            why=f"It is {int(behind)} s old; a heartbeat comes every {node.settings.heartbeat_seconds:g} s",
            do="Look at the node's log and its disk.",
        )
    return Response("ready\n", media_type=TEXT, headers=NO_STORE)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    return (
        Endpoint(
            method="GET",
            path="/livez",
            handle=tell_alive,
            group=RUNNING,
            summary="Whether the process answers.",
            answer=Answer(media_type=TEXT, schema=STRING, text="It does.", example="alive\n"),
        ),
        Endpoint(
            method="GET",
            path="/readyz",
            handle=tell_ready,
            group=RUNNING,
            summary="Whether the node takes transactions and keeps up.",
            answer=Answer(media_type=TEXT, schema=STRING, text="It does.", example="ready\n"),
        ),
    )
