# SPDX-License-Identifier: Apache-2.0
"""The interface of an engine: bytes in, final outcomes out.

Recovery contract of every engine: the application may be behind the engine, never ahead; state, head and outcomes are
written in one atomic step; on start the engine hands over every block above the state's height. An answer means
durable.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from vervain.ledger.machine.application import CommittedState, Finalized
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.outcome import Event


class FinalOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a sender learns: durable and final, or that the transaction got no leaf.

    Attributes:
        txid: 32-byte id, all zero when the bytes could not be decoded.
        code: 0 applied, else the refusal's code.
        failed_entry: Number of the refused entry, when one was.
        events: What was announced.
        height, leaf_index: Where it stands; absent when it got no leaf.
        is_repeat: It had been ordered before; this is the first outcome.
        why: More words of a refusal, without values.
    """

    txid: bytes
    code: int
    failed_entry: int | msgspec.UnsetType = msgspec.UNSET
    events: tuple[Event | msgspec.Raw, ...] = ()
    height: int | msgspec.UnsetType = msgspec.UNSET
    leaf_index: int | msgspec.UnsetType = msgspec.UNSET
    is_repeat: bool = False
    why: str = ""


Listener = Callable[[Block, Finalized], None]
"""Called on the engine's thread after a block is durable; must be quick and must not raise."""


class Engine(Protocol):
    """Orders transactions for one application."""

    def start(self) -> None:
        """Recover, then take transactions."""
        ...

    def stop(self) -> None:
        """Finish what is waiting and stop. Afterwards submissions are Unreachable."""
        ...

    def submit(self, encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]":
        """Hand in transactions; the future holds their final outcomes in the same order."""
        ...

    def view(self) -> AbstractContextManager[CommittedState]:
        """Open a snapshot of the newest committed state."""
        ...

    def listen(self, listener: Listener) -> None:
        """Have `listener` called after each durable block."""
        ...
