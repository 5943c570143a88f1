# SPDX-License-Identifier: Apache-2.0
"""From the route table to Starlette's routes over one gateway."""

import inspect
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vervain.gateways.native.endpoint import Endpoint
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.middleware import PATTERN_KEY
from vervain.gateways.native.openapi import document
from vervain.gateways.native.table import endpoints


def native_routes(gateway: NativeGateway) -> list[Route]:
    """Return the routes that serve the table over a gateway."""
    table = endpoints(gateway.catalogue)
    gateway.document = document(table, gateway.catalogue)
    return [_route(endpoint, gateway) for endpoint in table]


def _route(endpoint: Endpoint, gateway: NativeGateway) -> Route:
    return Route(endpoint.path, _bound(endpoint, gateway), methods=[endpoint.method], name=endpoint.operation)


def _bound(endpoint: Endpoint, gateway: NativeGateway) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler over a gateway; a plain function is run on a thread."""
    pattern, handle, is_coroutine = endpoint.path, endpoint.handle, inspect.iscoroutinefunction(endpoint.handle)

    async def answer(request: Request) -> Response:
        request.scope[PATTERN_KEY] = pattern
        if is_coroutine:
            answered = handle(gateway, request)
            assert inspect.isawaitable(answered)
            return await answered
        on_thread = await run_in_threadpool(handle, gateway, request)
        assert isinstance(on_thread, Response)
        return on_thread

    return answer
