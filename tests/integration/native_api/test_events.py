# SPDX-License-Identifier: Apache-2.0
"""Final blocks as server-sent events: in order, without gaps, resumed where the reader left off."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import monotonic

from starlette.types import Message

from tests.integration.native_api.running import Running, over_http
from vervain.gateways.native.event_hub import QUEUE_EVENTS_MAX, EventHub, EventStream
from vervain.ledger.machine.changes import BlockSummary
from vervain.sdk.contract import BlockEvent
from vervain.server import GRACE_SECONDS


def _grow(running: Running, blocks: int) -> None:
    """Make so many blocks: a transaction each, one after the other."""
    with running.client() as client:
        for _ in range(blocks):
            client.submit_signed(running.signed())


def _stored(running: Running) -> list[BlockEvent]:
    """Return what every stored block should be told as."""
    with running.node.view() as state:
        summaries = [state.summary(height) for height in range(running.node.head.height + 1)]
    return [
        BlockEvent(
            height=each.height,
            time=each.time,
            transactions=len(running.node.block(each.height).transactions) if each.height else 0,
            first_leaf=each.first_leaf,
            log_size=each.log_size,
            app_hash=each.app_hash,
        )
        for each in summaries
        if each is not None
    ]


def test_stream_resumes_behind_the_last_event_id(served: Running) -> None:
    """
    Given a chain of some blocks, and a reader that has seen height 1.
    When it comes back with Last-Event-ID 1, and more blocks are made while it reads.
    Then it gets each block from height 2 on once, in order, stored and new alike.
    """
    _grow(served, 3)
    stored = served.node.head.height
    growing = threading.Thread(target=_grow, args=(served, 4))
    with served.client() as client:
        events = client.events(after_height=1)
        first = list(islice(events, stored - 1))
        growing.start()
        later = list(islice(events, 4))
        growing.join()
    assert first + later == _stored(served)[2 : stored + 5]


def test_stream_starts_with_the_next_block_when_nothing_is_said(served: Running) -> None:
    """
    Given a chain of some blocks.
    When a reader opens the stream without a height and a block is made.
    Then its first event is that block.
    """
    with served.http() as http, http.stream("GET", "/v1/events") as answer:
        lines = answer.iter_lines()
        assert (answer.headers["content-type"], next(lines)) == ("text/event-stream", ": final blocks of this chain")
        height = served.node.head.height + 1
        _grow(served, 1)
        assert next(line for line in lines if line.startswith("id:")) == f"id: {height}"


def test_head_request_on_the_stream_ends_at_once(served: Running) -> None:
    """
    Given the event stream.
    When only its headers are asked for.
    Then the answer ends.
    """
    with served.http() as http:
        assert http.head("/v1/events").headers["content-type"] == "text/event-stream"


def _summary(height: int) -> BlockSummary:
    return BlockSummary(height=height, time=1_000, first_leaf=0, leaves=0, app_hash=bytes(32), log_root=bytes(32))


class _Reader:
    """The reading side of one stream, that takes an event only when it is let."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.may_take = asyncio.Event()
        self.gone = asyncio.Event()

    async def send(self, message: Message) -> None:
        """Take a piece of the answer."""
        if message["type"] == "http.response.body":
            await self.may_take.wait()
            self.taken.append(message["body"])

    async def receive(self) -> Message:
        """Tell when the reader goes."""
        await self.gone.wait()
        return {"type": "http.disconnect"}


def _nothing_stored(_height: int, _count: int) -> list[BlockSummary]:
    return []


async def _dropped_stream() -> list[bytes]:
    hub, reader = EventHub(), _Reader()
    stream = EventStream(hub, _nothing_stored, 0, heartbeat_seconds=60)
    streaming = asyncio.ensure_future(stream({"type": "http"}, reader.receive, reader.send))
    await asyncio.sleep(0)
    for height in range(QUEUE_EVENTS_MAX + 2):
        hub.publish(_summary(height))
    reader.may_take.set()
    await asyncio.wait_for(streaming, 5)
    return reader.taken


def test_slow_reader_is_dropped_with_a_comment() -> None:
    """
    Given a reader that takes nothing while more blocks come than its queue holds.
    When it reads on.
    Then it is told to come back, and the stream ends.
    """
    taken = asyncio.run(_dropped_stream())
    assert taken == [b": final blocks of this chain\n\n", b": you read too slowly: come back with Last-Event-ID\n\n"]


async def _quiet_stream() -> tuple[list[bytes], bool]:
    hub, reader = EventHub(), _Reader()
    reader.may_take.set()
    stream = EventStream(hub, _nothing_stored, 0, heartbeat_seconds=0.01)
    streaming = asyncio.ensure_future(stream({"type": "http"}, reader.receive, reader.send))
    await asyncio.sleep(0.1)
    reader.gone.set()
    await asyncio.wait_for(streaming, 5)
    return reader.taken, hub.is_full


def test_quiet_stream_is_kept_open_by_comments_and_ends_when_the_reader_goes() -> None:
    """
    Given a stream without blocks.
    When time passes, and then the reader goes.
    Then it got comments, and nothing is kept of it.
    """
    taken, _ = asyncio.run(_quiet_stream())
    assert taken[:2] == [b": final blocks of this chain\n\n", b": still here\n\n"] and set(taken[1:]) == {taken[1]}


async def _long_way_back() -> list[bytes]:
    hub, reader = EventHub(), _Reader()
    reader.may_take.set()
    stored = [_summary(height) for height in range(2_000)]

    def read_stored(height: int, count: int) -> list[BlockSummary]:
        if len(stored) < 3_000:  # the chain grows while the reader catches up, by more than a queue holds
            new = [_summary(len(stored) + each) for each in range(QUEUE_EVENTS_MAX)]
            stored.extend(new)
            for summary in new:
                loop.call_soon_threadsafe(hub.publish, summary)
        return stored[height : height + count]

    loop = asyncio.get_running_loop()
    stream = EventStream(hub, read_stored, 0, heartbeat_seconds=60)
    streaming = asyncio.ensure_future(stream({"type": "http"}, reader.receive, reader.send))
    for _ in range(500):
        if b"id: 3023\n" in b"".join(reader.taken):
            break
        await asyncio.sleep(0.01)
    hub.publish(_summary(3_024))
    await asyncio.sleep(0.05)
    reader.gone.set()
    await asyncio.wait_for(streaming, 5)
    return reader.taken


def _heights(taken: list[bytes]) -> Iterator[int]:
    for line in b"".join(taken).split(b"\n"):
        if line.startswith(b"id: "):
            yield int(line[4:])


def test_long_way_back_has_no_gap_while_the_chain_grows() -> None:
    """
    Given a reader 2,000 blocks behind, and a chain that grows by more than a queue while it catches up.
    When it reads.
    Then every height comes once, in order.
    """
    assert list(_heights(asyncio.run(_long_way_back()))) == list(range(3_025))


async def _announced_late() -> list[bytes]:
    hub, reader = EventHub(), _Reader()
    reader.may_take.set()
    stored = [_summary(0)]

    def read_stored(height: int, count: int) -> list[BlockSummary]:
        return stored[height : height + count]

    stream = EventStream(hub, read_stored, 0, heartbeat_seconds=60)
    streaming = asyncio.ensure_future(stream({"type": "http"}, reader.receive, reader.send))
    await asyncio.sleep(0.1)
    hub.publish(_summary(0))
    hub.publish(_summary(1))
    await asyncio.sleep(0.05)
    reader.gone.set()
    await asyncio.wait_for(streaming, 5)
    return reader.taken


def test_block_that_was_read_from_storage_is_not_told_again() -> None:
    """
    Given a block that is stored before it is announced, and a reader that got it from storage.
    When it is announced, and then the next one.
    Then each is told once.
    """
    assert list(_heights(asyncio.run(_announced_late()))) == [0, 1]


def test_node_stops_at_once_though_a_stream_is_open(root: Path) -> None:
    """
    Given a reader on an open stream.
    When the node is told to stop.
    Then the stream ends with a comment, and the node does not wait for it.
    """
    lines: list[str] = []

    def read(running: Running, opened: threading.Event) -> None:
        with running.http() as http, http.stream("GET", "/v1/events") as answer:
            for line in answer.iter_lines():
                lines.append(line)
                opened.set()

    with over_http(root) as running:
        opened = threading.Event()
        reading = threading.Thread(target=read, args=(running, opened))
        reading.start()
        assert opened.wait(10)
        stopped_at = monotonic()
    reading.join()
    assert lines[-2:] == [": the node stops", ""]
    assert monotonic() - stopped_at < GRACE_SECONDS / 2
