# SPDX-License-Identifier: Apache-2.0
"""Who signs: organisations, staff, patients' pseudonyms, their keys, and professional licences. Module number 2."""

from vervain.ledger.machine.module import Module
from vervain.ledger.modules.identity.invariants import INVARIANTS
from vervain.ledger.modules.identity.messages import EVENTS, IdentityFounding, IdentityReason
from vervain.ledger.modules.identity.queries import QUERIES
from vervain.ledger.modules.identity.rules import HANDLERS
from vervain.ledger.modules.identity.rules.founding import found
from vervain.ledger.modules.identity.state import TABLES

MODULE = Module(
    name="identity",
    number=2,
    handlers=HANDLERS,
    tables=TABLES,
    events=EVENTS,
    reasons=IdentityReason,
    queries=QUERIES,
    invariants=INVARIANTS,
    section=IdentityFounding,
    found=found,
)
