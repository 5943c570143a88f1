# SPDX-License-Identifier: Apache-2.0
"""`GET /v1/events`: final blocks as they come, from where the reader left off."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native import examples
from vervain.gateways.native.endpoint import READING, STRING, Answer, Endpoint, natural_parameter
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


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    return (
        Endpoint(
            method="GET",
            path="/v1/events",
            handle=stream_events,
            group=READING,
            summary="Final blocks as they come: server-sent events.",
            text="The id of an event is the height; its data is a BlockEvent. `Last-Event-ID` resumes behind that "
            "height, `from` starts at one, else the stream starts with the next block. Comments keep the line open. "
            "Who reads too slowly is told so in a comment and dropped; coming back with Last-Event-ID misses nothing.",
            parameters=(
                natural_parameter("from", "query", "Height of the first event.", "0"),
                natural_parameter("Last-Event-ID", "header", "Height of the last event that was read.", "6"),
            ),
            answer=Answer(media_type=EVENT_STREAM, schema=STRING, text="An endless stream.", example=examples.EVENT),
        ),
    )
