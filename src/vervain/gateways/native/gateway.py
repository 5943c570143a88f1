# SPDX-License-Identifier: Apache-2.0
"""What the native API's handlers stand on: the node, quotas, the event hub, and the nonces of signed requests."""

from collections.abc import Sequence
from time import monotonic

from sqlalchemy import Engine

from vervain.gateways.native.authentication import Authenticator
from vervain.gateways.native.event_hub import EventHub
from vervain.gateways.native.intake import Intake
from vervain.gateways.native.problems import UNAVAILABLE, RequestProblem
from vervain.ledger.machine.module import Catalogue
from vervain.node.desk import MemberDesk
from vervain.node.hosting import HostingQuotas, OverQuota
from vervain.node.node import Node


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
        self.intake = Intake(node.submit_many)
        self.events = EventHub()
        self.document = b""
        node.listen(self.events.block_committed)

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
