# SPDX-License-Identifier: Apache-2.0
"""Runs every module's invariants after each block; one that read nothing of what changed is not run again."""

from collections.abc import Callable, Iterator
from typing import Final

from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.store import ReadOnlyState, Store

Invariant = Callable[[Store], list[str]]
TABLE_BYTES: Final = 2


class ObservedStore(Store):
    """A store that notes which tables are read."""

    __slots__ = ("tables",)

    def __init__(self, base: ReadOnlyState) -> None:
        super().__init__(base)
        self.tables: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, noting its table."""
        self.tables.add(key[:TABLE_BYTES])
        return super().get(key)

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of a range, noting its table."""
        self.tables.add(start[:TABLE_BYTES])
        return super().range(start, stop)


class Invariants:
    """All invariants of a catalogue. They are pure, so a result holds until a table that was read changes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._read: dict[Invariant, set[bytes]] = {
            invariant: set() for module in catalogue.modules for invariant in module.invariants
        }
        self._is_first = True

    def breaches(self, state: ReadOnlyState, changes: Changes) -> list[str]:
        """Return what is broken after a block."""
        changed = {key[:TABLE_BYTES] for key, _ in changes.rows}
        found: list[str] = []
        for invariant, read in self._read.items():
            if self._is_first or not read.isdisjoint(changed):
                store = ObservedStore(state)
                found += invariant(store)
                self._read[invariant] = store.tables
        self._is_first = False
        return found
