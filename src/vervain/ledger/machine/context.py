# SPDX-License-Identifier: Apache-2.0
"""All that a rule may see."""

from vervain.ledger.machine.limits import EVENTS_PER_TRANSACTION_MAX
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason
from vervain.ledger.machine.store import Store


class Context:
    """One transaction's surroundings, the same for all its entries but `entry_index`.

    Attributes:
        chain: The chain's name.
        actor: 32-byte id of who signed.
        organisation: 32-byte id of the member the signer belongs to (itself, its employer, or who registered it).
        key: 32-byte public key that signed.
        txid: 32-byte transaction id.
        height: Height of this block.
        block_time: Agreed time of this block, UTC seconds. There is no other clock.
        store: The state, writable.
        entry_index: Number of the entry being executed.
    """

    __slots__ = (
        "actor",
        "block_time",
        "chain",
        "entry_index",
        "events",
        "height",
        "key",
        "organisation",
        "store",
        "txid",
    )

    def __init__(
        self,
        *,
        chain: str,
        actor: bytes,
        organisation: bytes,
        key: bytes,
        txid: bytes,
        height: int,
        block_time: int,
        store: Store,
    ) -> None:
        self.chain, self.actor, self.organisation, self.key, self.txid = chain, actor, organisation, key, txid
        self.height, self.block_time, self.store = height, block_time, store
        self.entry_index = 0
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Announce what changed.

        Refuses: LimitExceeded(TOO_MANY_EVENTS).
        """
        if len(self.events) == EVENTS_PER_TRANSACTION_MAX:
            raise LimitExceeded(MachineReason.TOO_MANY_EVENTS)
        self.events.append(event)
