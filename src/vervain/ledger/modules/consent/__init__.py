# SPDX-License-Identifier: Apache-2.0
"""Consent: grants, denials, withdrawals, read requests, anchors of the custodians' access audits."""

from vervain.ledger.machine.module import Module
from vervain.ledger.modules.consent.invariants import INVARIANTS
from vervain.ledger.modules.consent.messages import EVENTS, ConsentReason
from vervain.ledger.modules.consent.queries import QUERIES
from vervain.ledger.modules.consent.rules import HANDLERS
from vervain.ledger.modules.consent.state import TABLES

MODULE = Module(
    name="consent",
    number=3,
    handlers=HANDLERS,
    tables=TABLES,
    events=EVENTS,
    reasons=ConsentReason,
    queries=QUERIES,
    invariants=INVARIANTS,
)
