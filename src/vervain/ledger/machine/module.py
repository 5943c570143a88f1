# SPDX-License-Identifier: Apache-2.0
"""Module = handlers, tables, queries, invariants of its messages; a catalogue is all modules of a chain in order."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import MachineReason, Reason
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Row, Table
from vervain.ledger.primitives.codec import Bytes32, Code, Decoder, Natural, UtcSeconds


class Message(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
    """Base of what may be asked; a concrete one has a tag `<module>.<verb>` or `<module>.<verb>_<noun>`."""

    WORK: ClassVar[int] = 4
    """Work units of one such message, declared before it runs: about its row reads and writes."""

    def work_units(self) -> int:
        """Return this message's cost; messages with lists add their length."""
        return self.WORK


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question by name: the type of its arguments and the pure reader that answers it with a Struct."""

    arguments: type[msgspec.Struct]
    answer: Callable[[Store, Any], msgspec.Struct]  # Any: each reader takes its own arguments type
    summary: str


class Validator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """One consensus member, as digested in `next_validators`: sorted by organisation."""

    organisation: Bytes32
    engine_key: Bytes32
    power: Natural
    cosigning_key: Bytes32


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a chain is founded on: a name, a time and one section a module."""

    name: Code
    time: UtcSeconds
    sections: dict[str, msgspec.Raw]


Handler = Callable[[Context, Any], None]  # Any: each handler takes its own message type


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """One domain of the ledger, in one shape.

    Attributes:
        name: The package's name.
        number: Contracts.md "Module numbers".
        handlers: Message type to rule.
        tables: All tables, for proofs, digests and documentation.
        events: All event types.
        reasons: The module's refusal reasons.
        queries: Name `<module>.<noun>` to query.
        invariants: Store to a list of breaches; run after every block in simulation.
        section: Type of the module's section of the genesis file, or None.
        found: Writes the founding section, or None.
    """

    name: str
    number: int
    handlers: Mapping[type[Message], Handler]
    tables: tuple[Table[Any], ...]
    events: tuple[type[Event], ...]
    reasons: type[Reason]
    queries: Mapping[str, Query]
    invariants: tuple[Callable[[Store], list[str]], ...]
    section: type[msgspec.Struct] | None = None
    found: Callable[[Context, Any], None] | None = None


class Catalogue:
    """All modules of a chain, checked against each other and merged for look-up.

    Args:
        modules: In their order.
        organisation_of_active_key: (store, actor, key) -> the signer's organisation, or None when that key does not
            count.
        validators: store -> the consensus members, sorted.
    """

    def __init__(
        self,
        modules: tuple[Module, ...],
        *,
        organisation_of_active_key: Callable[[Store, bytes, bytes], bytes | None],
        validators: Callable[[Store], tuple[Validator, ...]],
    ) -> None:
        self.modules = modules
        self.organisation_of_active_key, self.validators = organisation_of_active_key, validators
        self.handlers: dict[type[Message], Handler] = {}
        self.queries: dict[str, Query] = {}
        self.tables: dict[int, Table[Row]] = {}
        self.reasons: dict[int, Reason] = {reason.value: reason for reason in MachineReason}
        for module in modules:
            self._add(module)
        self.message_types = tuple(self.handlers)
        self.event_types = tuple(event for module in modules for event in module.events)
        self.message_decoder = Decoder(_union(self.message_types))
        self.event_decoder = msgspec.json.Decoder(_union(self.event_types))
        self.proved = {number: table.name for number, table in self.tables.items() if table.proved}
        self.configuration = tuple(sorted(number for number, table in self.tables.items() if table.configuration))

    def _add(self, module: Module) -> None:
        for table in module.tables:
            assert table.number // 100 == module.number and table.number not in self.tables, table.name
            self.tables[table.number] = table
        for reason in module.reasons:
            assert reason.value // 100 == module.number and reason.value not in self.reasons, reason
            self.reasons[reason.value] = reason
        assert not self.handlers.keys() & module.handlers.keys() and not self.queries.keys() & module.queries.keys()
        self.handlers.update(module.handlers)
        self.queries.update(module.queries)

    def table(self, name: str) -> Table[Row] | None:
        """Return the table of that name, or None."""
        return next((table for table in self.tables.values() if table.name == name), None)


def _union(types: tuple[type, ...]) -> Any:  # Any: a typing union built at run time
    merged: Any = types[0]
    for each in types[1:]:
        merged = merged | each
    return merged
