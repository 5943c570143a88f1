# SPDX-License-Identifier: Apache-2.0
"""What the native API's handlers stand on: the node, quotas, the event hub, and the nonces of signed requests."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Final

from sqlalchemy import Engine

from vervain.engines.engine import FinalOutcome
from vervain.engines.errors import Unreachable
from vervain.gateways.native.authentication import Authenticator
from vervain.gateways.native.event_hub import EventHub
from vervain.gateways.native.problems import UNAVAILABLE, RequestProblem
from vervain.ledger.machine.module import Catalogue
from vervain.node.desk import MemberDesk
from vervain.node.hosting import HostingQuotas, OverQuota
from vervain.node.node import Node

ANSWER_SECONDS_MAX: Final = 30.0  # after that the sender is told to send the same bytes again


class NativeGateway:
    """Translates HTTP into calls of one node; decides nothing.

    Args:
        node: Started by whoever serves this gateway, before the first request.

    Attributes:
        document: The OpenAPI document, once the routes are made.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.catalogue: Catalogue = node.engine.application.catalogue
        self.quotas = HostingQuotas(node.settings.hosted, self.catalogue, clock=monotonic)
        self.authenticator = Authenticator(node.chain, self.catalogue, clock=node.clock)
        self.events = EventHub()
        self.document = b""
        node.listen(self.events.block_committed)

    async def submit(self, encoded: Sequence[bytes]) -> list[FinalOutcome]:
        """Hand in transactions as one group; return their durable outcomes in order.

        Raises: Unreachable, also when no answer came in time: then they may still be ordered.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[FinalOutcome]] = loop.create_future()

        def settle(outcomes: "Future[list[FinalOutcome]]") -> None:
            if answered.done():
                return
            error = outcomes.exception()
            if error is None:
                answered.set_result(outcomes.result())
            else:
                answered.set_exception(error)

        # Not asyncio.wrap_future: a request that is given up must not cancel what the engine holds.
        self.node.submit_many(encoded).add_done_callback(lambda done: loop.call_soon_threadsafe(settle, done))
        try:
            return await asyncio.wait_for(answered, ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise Unreachable(
                "The node has not answered in time",
                why="The transactions may still be ordered",
                do="Send the same bytes again; they count once only.",
            ) from None

    def read_model(self) -> Engine:
        """Return the read model, for reading.

        Raises: RequestProblem when its projector broke off.
        """
        if self.node.read_model.projector.failure is not None:
            raise RequestProblem(
                UNAVAILABLE,
                "The node's read model does not keep up",
                why="Its projector stopped",
                do="Look at the node's log; `vervain rebuild` makes it anew.",
            )
        return self.node.read_model.engine

    def desk(self, organisation: bytes) -> MemberDesk | None:
        """Return the desk of a member that this node serves, else None."""
        return self.node.desk(organisation) if organisation in self.node.directory.served_members() else None

    def over_quota(self, encoded: Sequence[bytes]) -> dict[int, OverQuota]:
        """Count transactions of hosted members; return, by position, those over their quota."""
        if not self.quotas.is_limiting:
            return {}
        with self.node.view() as state:
            return self.quotas.over_quota(encoded, state)
