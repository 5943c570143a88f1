# SPDX-License-Identifier: Apache-2.0
"""What a rule may see, and how much it may announce."""

import pytest

from tests.memory_state import MemoryState
from tests.toy_ledger import NoteWritten
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.limits import EVENTS_PER_TRANSACTION_MAX
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason
from vervain.ledger.machine.store import Store


def test_events_of_a_transaction_are_bounded() -> None:
    """
    Given a transaction that has announced as much as it may.
    When it announces one thing more.
    Then TOO_MANY_EVENTS.
    """
    context = Context(
        chain="toy",
        actor=bytes(32),
        organisation=bytes(32),
        key=bytes(32),
        txid=bytes(32),
        height=1,
        block_time=1,
        store=Store(MemoryState()),
    )
    for number in range(EVENTS_PER_TRANSACTION_MAX):
        context.emit(NoteWritten(number=number))
    with pytest.raises(LimitExceeded) as caught:
        context.emit(NoteWritten(number=0))
    assert caught.value.reason is MachineReason.TOO_MANY_EVENTS
    assert len(context.events) == EVENTS_PER_TRANSACTION_MAX and not hasattr(context, "__dict__")
