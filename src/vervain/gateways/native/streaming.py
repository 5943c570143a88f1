# SPDX-License-Identifier: Apache-2.0
"""`GET /v1/events`: final blocks as they come, from where the reader left off."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.event_hub import HEARTBEAT_SECONDS, EventStream
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import MALFORMED, UNAVAILABLE, RequestProblem
from vervain.gateways.native.requests import natural, query_natural, require_known_query
from vervain.ledger.machine.changes import BlockSummary
from vervain.sdk.contract import EVENT_STREAM

RETRY_SECONDS: Final = 10


async def stream_events(gateway: NativeGateway, request: Request) -> Response:
    """Stream final blocks as server-sent events; the id is the height, `Last-Event-ID` resumes behind it."""
    require_known_query(request, "from")
    next_height = _next_height(gateway, request)
    if gateway.events.is_full:
        raise RequestProblem(
            UNAVAILABLE, "The node has as many event streams as it serves", do="Come back.", retry_seconds=RETRY_SECONDS
        )
    if request.method == "HEAD":
        return Response(headers={"Content-Type": EVENT_STREAM})

    def read_stored(height: int, count: int) -> list[BlockSummary]:
        with gateway.node.view() as state:
            head = state.head()
            end = height if head is None else min(height + count, head.height + 1)
            found = (state.summary(each) for each in range(height, end))
            return [summary for summary in found if summary is not None]

    return EventStream(gateway.events, read_stored, next_height, heartbeat_seconds=HEARTBEAT_SECONDS)


def _next_height(gateway: NativeGateway, request: Request) -> int:
    """Return the height of the first event: after Last-Event-ID, else `from`, else the next block.

    Raises: RequestProblem for a height that is not there yet.
    """
    newest = gateway.node.head.height
    last = request.headers.get("last-event-id")
    height = query_natural(request, "from", newest + 1) if last is None else natural(last, "Last-Event-ID") + 1
    if height > newest + 1:
        raise RequestProblem(MALFORMED, "There is no block of that height yet", do=f"The newest is {newest}.")
    return height
