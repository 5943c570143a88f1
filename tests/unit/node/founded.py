# SPDX-License-Identifier: Apache-2.0
"""A founded chain of one hospital with a clock that a test moves, for tests of what stands on a node."""

import time
from pathlib import Path
from typing import Final

from vervain.ledger.modules.consortium.messages import Role
from vervain.node.desk import MemberDesk
from vervain.node.founding import found_alone
from vervain.node.node import Node
from vervain.vault.documents import NewDocument

NODE_NAME: Final = "hospital"


class MovedClock:
    """The computer's clock and how far it is ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Return UTC seconds."""
        return time.time() + self.ahead


def found(root: Path) -> bytes:
    """Found a chain in `root`; return the hospital's id."""
    return found_alone(
        root,
        chain="test",
        time=int(time.time()) - 1,
        node_name=NODE_NAME,
        roles=[Role.HOSPITAL],
        register_entry="GLN 0614141000012",
    )


def desk_of(node: Node) -> MemberDesk:
    """Return the desk of the one hospital."""
    return node.desk(node.settings.organisation)


def documents(desk: MemberDesk, count: int, *, first: int = 0, subject: bytes = b"") -> list[NewDocument]:
    """Return documents of a subject, the hospital's own when none is named."""
    return [
        NewDocument(
            subject=subject or desk.organisation,
            resource_type="Observation",
            resource_id=f"o-{number}",
            version="1",
            stored=f"document {number}".encode(),
            category="laboratory" if number % 2 else "",
        )
        for number in range(first, first + count)
    ]
