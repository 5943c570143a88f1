# SPDX-License-Identifier: Apache-2.0
"""A world with low maxima, so that a short simulation reaches what takes millions of transactions outside.

Every odd seed runs in it. Only the numbers change; the code that compares with them is the real one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from vervain.ledger.machine import application, context, replay_window, table, transaction
from vervain.ledger.modules.consortium.rules import changes, votes
from vervain.ledger.modules.identity.rules import licences

LOWERED: Final[tuple[tuple[ModuleType, str, int], ...]] = (
    (transaction, "MESSAGE_BYTES_MAX", 8_000),
    (transaction, "TRANSACTION_BYTES_MAX", 20_000),
    (transaction, "TRANSACTION_ENTRIES_MAX", 20),
    (application, "BLOCK_BYTES_MAX", 24_000),
    (application, "BLOCK_TRANSACTIONS_MAX", 8),
    (application, "BLOCK_WORK_MAX", 2_500),
    (application, "MEMO_BYTES_MAX", 40_000),
    (context, "EVENTS_PER_TRANSACTION_MAX", 16),
    (replay_window, "UNEXPIRED_FORGOTTEN_PER_BLOCK_MAX", 5),
    (replay_window, "UNEXPIRED_PER_ORGANISATION_MAX", 30),
    (table, "ROW_BYTES_MAX", 4_000),
    (changes, "RULE_TABLES_MAX", 2),
    (changes, "VALIDATORS_MAX", 3),
    (votes, "OPEN_PROPOSALS_MAX", 3),
    (licences, "LICENCES_PER_HOLDER_MAX", 3),
    (licences, "LICENCE_CHANGES_MAX", 4),
)
"""Where a maximum is compared with, its name there, and its value in the low world."""


@contextmanager
def lowered(active: bool) -> Iterator[None]:
    """Run with the low maxima when `active`."""
    kept = [(module, name, getattr(module, name)) for module, name, _ in LOWERED]
    try:
        for module, name, value in LOWERED if active else ():
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def maximum(name: str) -> int:
    """Return a maximum as it counts now."""
    return next(int(getattr(module, name)) for module, each, _ in LOWERED if each == name)
