# SPDX-License-Identifier: Apache-2.0
"""Reasons that no simulated transaction can earn, each with the test that earns it."""

from typing import Final

from vervain.ledger.machine.refusals import MachineReason, Reason

ELSEWHERE: Final[dict[Reason, str]] = {
    MachineReason.POOL_FULL: "tests/simulation/test_reasons.py::test_full_pool_refuses",
    MachineReason.ROW_NOT_FOUND: "tests/unit/ledger/machine/test_table.py::test_require_refuses_with_the_named_reason",
}
"""A full pool is the engine's own; every rule names a reason of its module where a row may be missing."""
