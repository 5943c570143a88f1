# SPDX-License-Identifier: Apache-2.0
"""Records: salted commitments to clinical documents, their versions, disputes and erasures."""

from vervain.ledger.machine.module import Module
from vervain.ledger.modules.records.invariants import INVARIANTS
from vervain.ledger.modules.records.messages import EVENTS, RecordsReason
from vervain.ledger.modules.records.queries import QUERIES
from vervain.ledger.modules.records.rules import HANDLERS
from vervain.ledger.modules.records.state import TABLES

MODULE = Module(
    name="records",
    number=6,
    handlers=HANDLERS,
    tables=TABLES,
    events=EVENTS,
    reasons=RecordsReason,
    queries=QUERIES,
    invariants=INVARIANTS,
)
