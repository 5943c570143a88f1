# SPDX-License-Identifier: Apache-2.0
"""Server-sent events of final blocks: one hub, many subscribers, nobody can slow the node down.

Rules kept:
1. The id of an event is the block's height; after `Last-Event-ID: h` comes h + 1, from what is stored.
2. A subscriber has a bounded queue. One that does not keep up is told so in a comment and dropped; it comes back with
   its Last-Event-ID and misses nothing.
3. A comment every few seconds keeps proxies from closing a quiet stream.

Source: WHATWG HTML section 9.2, server-sent events.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vervain.ledger.machine.application import Finalized
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.primitives.codec import encode
from vervain.sdk.contract import EVENT_STREAM, BlockEvent

SUBSCRIBERS_MAX: Final = 1_000
QUEUE_EVENTS_MAX: Final = 256  # a few seconds of blocks under load
HEARTBEAT_SECONDS: Final = 15.0
SEND_SECONDS_MAX: Final = 30.0  # a reader that takes nothing for so long is gone
STORED_EVENTS_PER_READ: Final = 500  # read from the state at once when a subscriber resumes

ReadStored = Callable[[int, int], list[BlockSummary]]
"""(height, how many at most) -> summaries of stored blocks from that height on."""


def event_of(summary: BlockSummary) -> bytes:
    """Return a block's event as it stands in the stream."""
    event = BlockEvent(
        height=summary.height,
        time=summary.time,
        transactions=max(0, summary.leaves - 1) if summary.height else 0,  # all leaves but the block leaf
        first_leaf=summary.first_leaf,
        log_size=summary.log_size,
        app_hash=summary.app_hash,
    )
    return b"id: %d\nevent: block\ndata: %s\n\n" % (summary.height, encode(event))


class Subscriber:
    """One open stream's queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[BlockSummary] = asyncio.Queue(QUEUE_EVENTS_MAX)
        self.ended = ""

    def offer(self, summary: BlockSummary) -> None:
        """Queue a block; one that does not fit ends the stream."""
        try:
            self.queue.put_nowait(summary)
        except asyncio.QueueFull:
            self.end("you read too slowly: come back with Last-Event-ID")

    def end(self, why: str) -> None:
        """End the stream with a comment, and wake it."""
        self.ended = self.ended or why
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(_WAKE)


_WAKE: Final = BlockSummary(height=0, time=0, first_leaf=0, leaves=0, app_hash=bytes(32), log_root=bytes(32))


class EventHub:
    """Hands each final block to every subscriber, on the event loop."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def block_committed(self, _block: Block, finalized: Finalized) -> None:
        """Called on the engine's thread after each durable block."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.publish, finalized.changes.summary)

    def publish(self, summary: BlockSummary) -> None:
        """Offer a final block to every subscriber. On the event loop."""
        for subscriber in self._subscribers:
            subscriber.offer(summary)

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many subscribers as there may be."""
        return len(self._subscribers) >= SUBSCRIBERS_MAX

    def open(self) -> Subscriber:
        """Add a subscriber; what is committed from now on reaches it. On the event loop."""
        self._loop = asyncio.get_running_loop()
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        if self._closed:
            subscriber.end("the node stops")
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every stream: the node stops. On the event loop."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end("the node stops")


class EventStream(Response):
    """The answer to one subscriber: what is stored from `next_height` on, then what is committed."""

    def __init__(self, hub: EventHub, read_stored: ReadStored, next_height: int, *, heartbeat_seconds: float) -> None:
        super().__init__(media_type=EVENT_STREAM)
        self._hub, self._read_stored, self._next = hub, read_stored, next_height
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the subscriber goes, is dropped, or the node stops."""
        subscriber = self._hub.open()
        streaming = asyncio.ensure_future(self._stream(subscriber, send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(subscriber)
            for task in (streaming, leaving):
                task.cancel()
            results = await asyncio.gather(streaming, leaving, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, TimeoutError):
                raise result

    async def _stream(self, subscriber: Subscriber, send: Send) -> None:
        headers = [
            (b"content-type", EVENT_STREAM.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _send(send, b": final blocks of this chain\n\n")
        await self._send_stored(subscriber, send)
        while not subscriber.ended:
            try:
                summary = await asyncio.wait_for(subscriber.queue.get(), self._heartbeat_seconds)
            except TimeoutError:
                await _send(send, b": still here\n\n")
                continue
            if not subscriber.ended and summary.height >= self._next:
                await _send(send, event_of(summary))
                self._next = summary.height + 1
        await _send(send, f": {subscriber.ended}\n\n".encode(), more=False)

    async def _send_stored(self, subscriber: Subscriber, send: Send) -> None:
        """Send what is stored and not sent; it may overlap with the queue, which skips what is behind."""
        while not subscriber.ended:
            stored = await asyncio.to_thread(self._read_stored, self._next, STORED_EVENTS_PER_READ)
            if not stored:
                return
            await _send(send, b"".join(map(event_of, stored)))
            self._next = stored[-1].height + 1
            while (
                not subscriber.queue.empty() and not subscriber.ended
            ):  # it is stored too: a long way back is no slowness
                subscriber.queue.get_nowait()


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": more}), SEND_SECONDS_MAX)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
