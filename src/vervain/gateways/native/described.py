# SPDX-License-Identifier: Apache-2.0
"""Types for the documentation alone: transactions, answers and blocks with every message and event of the catalogue.

At run time entries and events stay in their bytes; a reader of the documentation wants to see what they can be.
"""

import types
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from vervain.ledger.machine.limits import BLOCK_TRANSACTIONS_MAX, EVENTS_PER_TRANSACTION_MAX, TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.transaction import Header
from vervain.ledger.primitives.codec import Bytes32, Bytes64, Natural, UtcSeconds


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """The described types of one catalogue."""

    transaction: Any  # Any: a type made at run time, here and below
    transaction_answer: Any
    outcomes: Any
    block: Any


@lru_cache(maxsize=4)
def described(catalogue: Catalogue) -> Described:
    """Return the types of a catalogue's transactions, answers, outcomes and blocks."""
    entries = _list_of(_union(catalogue.message_types), 1, TRANSACTION_ENTRIES_MAX)
    announced = _list_of(_union(catalogue.event_types), 0, EVENTS_PER_TRANSACTION_MAX)
    absent = msgspec.UNSET
    transaction = msgspec.defstruct(
        "SignedTransaction",
        [("header", Header), ("signature", Bytes64), ("blind", Bytes32), ("entries", entries)],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    answer = msgspec.defstruct(
        "AppliedTransaction",
        [
            ("txid", Bytes32),
            ("code", Natural),
            ("reason", str),
            ("text", str),
            ("events", announced, ()),
            ("height", Natural | msgspec.UnsetType, absent),
            ("leaf_index", Natural | msgspec.UnsetType, absent),
            ("is_repeat", bool, False),
        ],
        kw_only=True,
    )
    outcome = msgspec.defstruct(
        "StoredOutcome",
        [
            ("code", Natural),
            ("failed_entry", Natural | msgspec.UnsetType, absent),
            ("events", announced, ()),
            ("event_ends", tuple[Natural, ...], ()),
        ],
        kw_only=True,
    )
    block = msgspec.defstruct(
        "StoredBlock",
        [("height", Natural), ("time", UtcSeconds), ("transactions", tuple[dict[str, Any], ...])],
        kw_only=True,
    )
    outcomes = _list_of(outcome, 0, BLOCK_TRANSACTIONS_MAX)
    return Described(transaction=transaction, transaction_answer=answer, outcomes=outcomes, block=block)


def _list_of(each: Any, least: int, most: int) -> Any:  # Any: types made at run time
    return Annotated[types.GenericAlias(tuple, (each, ...)), msgspec.Meta(min_length=least, max_length=most)]


def _union(members: tuple[type, ...]) -> Any:  # Any: a typing union built at run time
    merged: Any = members[0]
    for each in members[1:]:
        merged = merged | each
    return merged


def portable(schema: Any) -> Any:  # Any: JSON
    """Return a JSON Schema whose patterns every reader knows: Python's end of text is `$` in ECMA-262.

    Source: JSON Schema 2020-12 section 6.4.
    """
    if isinstance(schema, dict):
        return {
            name: value.replace("\\Z", "$") if name == "pattern" and isinstance(value, str) else portable(value)
            for name, value in schema.items()
        }
    if isinstance(schema, list | tuple):
        return [portable(each) for each in schema]
    return schema
