# SPDX-License-Identifier: Apache-2.0
"""Reasons beyond the simulator: the engine's own, and where the others are tested."""

import pytest

from tests.simulation.many import ROOT
from tests.simulation.reasons import ELSEWHERE
from tests.simulation.replica import DurableState
from tests.toy_ledger import FOUNDED_AT, GENESIS_BLOCK, TOY, signed
from tests.unit.engines.solo.test_engine import MemoryBlocks
from vervain.engines.solo import engine as solo
from vervain.ledger.machine.refusals import MachineReason


def test_full_pool_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a pool for two, when three are handed in at once, then the last is refused, and later taken."""
    monkeypatch.setattr(solo, "POOL_TRANSACTIONS_MAX", 2)
    state = DurableState()
    engine = solo.SoloEngine(TOY, MemoryBlocks(GENESIS_BLOCK), state, clock=lambda: FOUNDED_AT, heartbeat_seconds=60)
    engine.start()
    try:
        three = [signed(f"note {number}", chain=engine.application.chain) for number in range(3)]
        first = engine.submit(three).result(10)
        again = engine.submit(three[2:]).result(10)
    finally:
        engine.stop()

    assert [outcome.code for outcome in first] == [0, 0, MachineReason.POOL_FULL]
    assert [outcome.code for outcome in again] == [0]


@pytest.mark.parametrize("test", ELSEWHERE.values())
def test_named_test_is_there(test: str) -> None:
    """Given a reason that the simulator leaves out, then the test named for it exists."""
    path, name = test.split("::")

    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
