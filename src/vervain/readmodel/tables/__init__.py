# SPDX-License-Identifier: Apache-2.0
"""The SQL tables, one file a module of the ledger; `chain` has those of the machine itself.

Each file declares its tables and a `PROJECTIONS` mapping from event type to the function that turns one entry's message
and event into rows.
"""

from collections.abc import Mapping

from vervain.ledger.machine.outcome import Event
from vervain.readmodel.tables.chain import METADATA, Projection
from vervain.readmodel.tables.consent import PROJECTIONS as CONSENT
from vervain.readmodel.tables.consortium import PROJECTIONS as CONSORTIUM
from vervain.readmodel.tables.identity import PROJECTIONS as IDENTITY
from vervain.readmodel.tables.records import PROJECTIONS as RECORDS

PROJECTIONS: Mapping[type[Event], Projection] = {
    event: projection for module in (CONSORTIUM, IDENTITY, CONSENT, RECORDS) for event, projection in module.items()
}
"""Event type to projection, over all modules."""

__all__ = ["METADATA", "PROJECTIONS"]
