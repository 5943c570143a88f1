# SPDX-License-Identifier: Apache-2.0
"""Who belongs: member organisations, validators, votes, parameters and versioned rule tables. Module number 1."""

from vervain.ledger.machine.module import Module
from vervain.ledger.modules.consortium.invariants import INVARIANTS
from vervain.ledger.modules.consortium.messages import EVENTS, ConsortiumFounding, ConsortiumReason
from vervain.ledger.modules.consortium.queries import QUERIES
from vervain.ledger.modules.consortium.rules import HANDLERS
from vervain.ledger.modules.consortium.rules.founding import found
from vervain.ledger.modules.consortium.state import TABLES

MODULE = Module(
    name="consortium",
    number=1,
    handlers=HANDLERS,
    tables=TABLES,
    events=EVENTS,
    reasons=ConsortiumReason,
    queries=QUERIES,
    invariants=INVARIANTS,
    section=ConsortiumFounding,
    found=found,
)
