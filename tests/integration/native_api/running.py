# SPDX-License-Identifier: Apache-2.0
"""A real node on a directory of its own, served over real HTTP or called in memory."""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import httpx
import msgspec
from starlette.applications import Starlette

from vervain.ledger.modules.consortium.messages import Role
from vervain.ledger.modules.identity.messages import ActorKind, Custody, Register, registration_bytes
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.node.config import HostedSettings, write_settings
from vervain.node.directory import DataDirectory
from vervain.node.founding import found_alone
from vervain.node.node import Node
from vervain.sdk.client import Client
from vervain.sealing.keys import KemKey, SigningKey, read_signing_key
from vervain.sealing.signing import build_transaction
from vervain.sealing.trust import read_trust
from vervain.server import build_app, server_of

T = TypeVar("T")

READY_SECONDS_MAX: Final = 20.0


class Running:
    """A node that answers.

    Attributes:
        url: Where it listens; any address when it is called in memory.
        app, node: Behind it.
        key, organisation: Of its one member.
    """

    def __init__(
        self, url: str, app: Starlette, node: Node, key: SigningKey, transport: httpx.BaseTransport | None
    ) -> None:
        self.url, self.app, self.node, self.key, self._transport = url, app, node, key, transport
        self.organisation = key.actor

    def http(self) -> httpx.Client:
        """Return a plain HTTP client."""
        return httpx.Client(base_url=self.url, transport=self._transport, timeout=20.0)

    def client(self, key: SigningKey | None = None, *, actor: bytes | None = None) -> Client:
        """Return an SDK client that signs with `key` (the member's own when left out) and trusts this node."""
        trust = read_trust(self.node.trust_file())
        return Client(self.url, key=key or self.key, actor=actor, trust=trust, transport=self._transport, attempts=2)

    def signed(
        self,
        *,
        key: SigningKey | None = None,
        subject: bytes = b"",
        expires_in_seconds: int = 300,
        entries: int = 1,
        chain: str = "",
    ) -> bytes:
        """Return a signed transaction that commits to documents of a subject, the node's member when left out."""
        key = key or self.key
        messages = [
            CommitRecord(subject=subject or self.organisation, commitment=secrets.token_bytes(32))
            for _ in range(entries)
        ]
        expires_at = int(time.time()) + expires_in_seconds
        chain = chain or self.node.chain
        return build_transaction(messages, chain=chain, actor=key.actor, key=key, expires_at=expires_at).encoded

    def register_patient(self) -> SigningKey:
        """Register a patient's pseudonym with the member; return its key."""
        key = SigningKey.generate()
        with self.client() as client:
            client.submit(registration(self, key, ActorKind.PATIENT, Custody.SELF))
        return key


def registration(
    running: Running, key: SigningKey, kind: ActorKind, custody: Custody | msgspec.UnsetType = msgspec.UNSET
) -> Register:
    """Return the message by which the node's member registers an actor."""
    kem_key = KemKey.generate().public_key
    signed = registration_bytes(
        chain=running.node.chain,
        sponsor=running.organisation,
        kind=kind,
        key=key.public_key,
        kem_key=kem_key,
        custody=custody,
    )
    return Register(kind=kind, key=key.public_key, kem_key=kem_key, proof=key.sign(signed), custody=custody)


def found_node(root: Path, *, hosted: tuple[HostedSettings, ...] = ()) -> tuple[Node, SigningKey]:
    """Found a chain of one hospital in an empty directory; return its node, opened, and its key."""
    root.mkdir(parents=True)
    organisation = found_alone(
        root,
        chain="test",
        time=int(time.time()),
        node_name="hospital",
        roles=[Role.HOSPITAL],
        register_entry="GLN 0614141000012",
    )
    directory = DataDirectory(root)
    key = read_signing_key(directory.member(organisation) / "keys" / "signing.key")
    node = Node(root)
    if hosted:
        write_settings(directory.settings, msgspec.structs.replace(node.settings, hosted=hosted))
        node.settings = msgspec.structs.replace(node.settings, hosted=hosted)
    return node, key


@contextmanager
def over_http(
    root: Path, *, hosted: tuple[HostedSettings, ...] = (), write_access: Callable[[str], object] | None = None
) -> Iterator[Running]:
    """Serve a fresh node over HTTP in a thread."""
    node, key = found_node(root, hosted=hosted)
    app = build_app(node, write_access=write_access)
    server = server_of(app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, name="http")
    thread.start()
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", app, node, key, None)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def in_memory(root: Path, *, hosted: tuple[HostedSettings, ...] = ()) -> Iterator[Running]:
    """Call a fresh node's app without a network."""
    node, key = found_node(root, hosted=hosted)
    app = build_app(node)
    transport = MemoryTransport(app)
    transport.begin()
    try:
        yield Running("http://node.test", app, node, key, transport)
    finally:
        transport.end()


class MemoryTransport(httpx.BaseTransport):
    """Calls an ASGI app on an event loop of its own, its lifespan around everything. Answers come whole."""

    def __init__(self, app: Starlette) -> None:
        self._app, self._asgi = app, httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="memory")
        self._lifespan = app.router.lifespan_context(app)

    def begin(self) -> None:
        """Start the app. Not `__enter__`: every client enters and leaves its transport."""
        self._thread.start()
        self._run(self._lifespan.__aenter__())

    def end(self) -> None:
        """Stop the app."""
        self._run(self._lifespan.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        return self._run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._asgi.handle_async_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def _run(self, awaited: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result()
