# SPDX-License-Identifier: Apache-2.0
"""A domain module's README against its code: the tables of messages, reasons and events say what `messages.py` says.

The README's shape, one table under each of these headings (more columns and any text beside them are free):

- `## Messages`: first column the tag in backticks; a column "refused when" naming reasons in capitals; a column
  "counterpart" (or named for FHIR, EPCIS or CDS) with the counterpart or why there is none.
- `## Reasons`: columns "code", "name", "kind", "what happened", "what to do", word for word as in the code.
- `## Events`: first column the tag in backticks.

A reason that no message row names stands elsewhere, for instance under `## Queries`: none is left unexplained.
"""

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import MachineReason, Reason

TICKED: Final = re.compile(r"`([^`]+)`")
REASON_NAME: Final = re.compile(r"\b[A-Z][A-Z0-9_]{3,}\b")
REASON_COLUMNS: Final = ("name", "kind", "what happened", "what to do")
MAPPING_COLUMNS: Final = ("fhir", "epcis", "cds", "mapping", "counterpart")
Row = Mapping[str, str]


@dataclass(frozen=True)
class Wire:
    """What a module's code puts on the wire. Reasons are code -> (name, kind, what happened, what to do)."""

    messages: frozenset[str]
    events: frozenset[str]
    reasons: Mapping[int, tuple[str, str, str, str]]


def wire_of(module: str) -> Wire:
    """Return what `messages.py` of a domain defines: tagged messages and events, and the numbered reasons."""
    loaded = importlib.import_module(f"vervain.ledger.modules.{module}.messages")
    own = [entry for entry in vars(loaded).values() if isinstance(entry, type) and entry.__module__ == loaded.__name__]
    return Wire(
        messages=frozenset(tag for entry in own if issubclass(entry, Message) and (tag := _tag(entry))),
        events=frozenset(tag for entry in own if issubclass(entry, Event) and (tag := _tag(entry))),
        reasons={
            reason.value: (reason.name, reason.kind.__name__, reason.what, reason.do)
            for entry in own
            if issubclass(entry, Reason)
            for reason in entry
        },
    )


def _tag(struct: type[msgspec.Struct]) -> str:
    """Return the wire tag of a Struct, or nothing for a base without one."""
    tag = struct.__struct_config__.tag
    return tag if isinstance(tag, str) else ""


def table_under(readme: str, heading: str) -> tuple[Row, ...] | None:
    """Return the rows of the first table under `## heading`, by lower-case column name; None when there is none."""
    lines = [line.strip() for line in _section(readme, heading).splitlines()]
    table = list(_first_block(lines))
    if len(table) < 2:
        return None
    columns = [column.lower() for column in _cells(table[0])]
    return tuple(dict(zip(columns, _cells(line), strict=False)) for line in table[2:])


def _section(readme: str, heading: str) -> str:
    """Return the text under `## heading` up to the next heading of that level; empty when there is none."""
    found = re.search(rf"^## {heading}\b.*?$(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _first_block(lines: list[str]) -> Iterator[str]:
    """Yield the lines of the first run that starts with a bar."""
    begun = False
    for line in lines:
        if line.startswith("|"):
            begun = True
            yield line
        elif begun:
            return


def _cells(line: str) -> list[str]:
    """Return the cells of a table's line; an escaped bar stays in its cell."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def findings(readme: str, wire: Wire) -> tuple[str, ...]:
    """Return where the README and the code differ, in plain words."""
    return (
        *_tag_findings(readme, "Messages", wire.messages),
        *_message_findings(table_under(readme, "Messages") or (), wire),
        *_unexplained(readme, wire),
        *_reason_findings(table_under(readme, "Reasons"), wire),
        *_tag_findings(readme, "Events", wire.events),
    )


def _tag_findings(readme: str, heading: str, tags: frozenset[str]) -> Iterator[str]:
    """The first column of the table holds exactly the tags of the code, each once."""
    rows = table_under(readme, heading)
    if rows is None:
        yield f"{heading}: there is no table under this heading"
        return
    shown = [_first_ticked(next(iter(row.values()))) for row in rows]
    yield from (f"{heading}: {tag} has no row" for tag in sorted(tags.difference(shown)))
    yield from (f"{heading}: {tag} is not in the code" for tag in shown if tag not in tags)
    yield from (f"{heading}: {tag} has two rows" for tag in sorted({tag for tag in shown if shown.count(tag) > 1}))


def _first_ticked(cell: str) -> str:
    """Return what stands in the first backticks of a cell, else the whole cell."""
    found = TICKED.search(cell)
    return found[1] if found else cell


def _message_findings(rows: tuple[Row, ...], wire: Wire) -> Iterator[str]:
    """Each message names its reasons and its counterpart."""
    known = {told[0] for told in wire.reasons.values()} | {reason.name for reason in MachineReason}
    for row in rows:
        tag = _first_ticked(next(iter(row.values())))
        named = {name for column, cell in row.items() if "refus" in column for name in REASON_NAME.findall(cell)}
        if not named:
            yield f"Messages: {tag} names no reason"
        yield from (f"Messages: {tag} names {name}, which is no reason" for name in sorted(named - known))
        if not any(cell for column, cell in row.items() if any(word in column for word in MAPPING_COLUMNS)):
            yield f"Messages: {tag} names no FHIR, EPCIS or CDS counterpart, nor why there is none"


def _unexplained(readme: str, wire: Wire) -> Iterator[str]:
    """Each reason of the code is named outside the table of reasons: by the message or query that it refuses."""
    elsewhere = set(REASON_NAME.findall(readme.replace(_section(readme, "Reasons"), "")))
    yield from (
        f"Reasons: nothing says when {told[0]} comes" for told in wire.reasons.values() if told[0] not in elsewhere
    )


def _reason_findings(rows: tuple[Row, ...] | None, wire: Wire) -> Iterator[str]:
    """The table of reasons holds exactly the code's numbers, with their names, kinds and words."""
    if rows is None:
        yield "Reasons: there is no table under this heading"
        return
    shown = {
        _number(row.get("code", "")): tuple(row.get(column, "").strip("`") for column in REASON_COLUMNS) for row in rows
    }
    told = wire.reasons
    yield from (f"Reasons: {code} {told[code][0]} has no row" for code in sorted(told.keys() - shown.keys()))
    yield from (f"Reasons: {code} is not in the code" for code in sorted(shown.keys() - told.keys()))
    yield from (
        f"Reasons: {code} is {' | '.join(told[code])} in the code, {' | '.join(shown[code])} in the README"
        for code in sorted(told.keys() & shown.keys())
        if told[code] != shown[code]
    )


def _number(cell: str) -> int:
    """Return the number in a cell, or -1 when it holds none."""
    found = re.search(r"\d+", cell)
    return int(found[0]) if found else -1


def readme_of(folder: Path) -> str:
    """Return the README of a module's folder; empty when there is none."""
    path = folder / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
