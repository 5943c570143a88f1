# SPDX-License-Identifier: Apache-2.0
"""Cut a FHIR file into its resources, each with the exact bytes it came in.

Rules kept:
1. Not one byte changes: numbers, dates, order of members and white space inside a resource stay as received.
2. A file is a Bundle, one bare resource, or one resource a line (NDJSON); nothing may follow.
3. Every size has a maximum: file (`source.py`), resource, entries, nesting and numbers (`strict_json.py`).

Source: FHIR R4 bundle.html, json.html; fhir-and-consent section 7, rule 1 (receive).
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from vervain.gateways.fhir.rules import BrokenRule, Position
from vervain.gateways.fhir.source import decode_text
from vervain.gateways.fhir.strict_json import Cursor, JsonObject, JsonValue, require_readable

RESOURCE_BYTES_MAX: Final = 16 * 1024 * 1024  # bytes of one resource; the largest sample has 50 kB
ENTRIES_MAX: Final = 100_000  # resources of one file; the largest sample has about 1,000


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of a file: its exact bytes, what they say, and where they stood."""

    source: bytes
    content: JsonObject
    position: Position
    full_url: str = ""


class Slicer:
    """Yields the slices of one file in order. `envelope` is the Bundle around them, its resources left out."""

    def __init__(self, source: bytes, *, lines: bool = False) -> None:
        """Take the uncompressed bytes of a file.

        Args:
            source: The whole file.
            lines: Whether each line is a resource (NDJSON).

        Raises: BrokenRule(json-bom, json-utf8, json-depth, json-text).
        """
        self.envelope: JsonObject = {}
        self._text = decode_text(source)
        self._ascii = self._text.isascii()
        self._counted, self._counted_bytes = 0, 0
        self._lines = lines
        self._entry: int | msgspec.UnsetType = msgspec.UNSET
        with _Placing(self):
            require_readable(source, self._text)

    def __iter__(self) -> Iterator[Slice]:
        """Yield every resource.

        Raises: BrokenRule with its position.
        """
        cursor = Cursor(self._text)
        with _Placing(self):
            if self._lines:
                yield from self._each_line(cursor)
            elif _resource_type(self._text, cursor) == "Bundle":
                yield from self._each_entry(cursor)
            else:
                self._entry = 0
                yield self._cut(cursor, "file-shape")
                self._entry = msgspec.UNSET
            if cursor.skip_space():
                raise BrokenRule("json-syntax", index=cursor.index)

    def position(self, index: int) -> Position:
        """Return the byte position of a character of the text."""
        if self._ascii:
            return Position(offset=index, entry=self._entry)
        if index < self._counted:  # only errors look back
            return Position(offset=len(self._text[:index].encode()), entry=self._entry)
        self._counted_bytes += len(self._text[self._counted : index].encode())
        self._counted = index
        return Position(offset=self._counted_bytes, entry=self._entry)

    def _each_line(self, cursor: Cursor) -> Iterator[Slice]:
        count = 0
        while cursor.skip_space():
            self._begin(cursor, count)
            yield self._cut(cursor, "file-shape")
            ending = self._text.find("\n", cursor.index)
            ending = len(self._text) if ending < 0 else ending
            if self._text[cursor.index : ending].strip(" \t\r"):
                raise BrokenRule("json-syntax", index=cursor.index)
            count += 1
        self._entry = msgspec.UNSET

    def _each_entry(self, cursor: Cursor) -> Iterator[Slice]:
        for key in cursor.members():
            if key != "entry":
                self.envelope[key] = cursor.value()
                continue
            if cursor.skip_space() != "[":
                raise BrokenRule("r4-schema", path="Bundle.entry", detail="is not a list", index=cursor.index)
            entries: list[JsonValue] = []
            self.envelope[key] = entries
            for count in cursor.elements():
                self._begin(cursor, count)
                slice_, rest = self._read_entry(cursor)
                entries.append(rest)
                yield slice_
            self._entry = msgspec.UNSET

    def _read_entry(self, cursor: Cursor) -> tuple[Slice, JsonObject]:
        """Return an entry's resource, cut out, and the entry with nothing left of the resource but its type."""
        start = cursor.index
        if cursor.skip_space() != "{":
            raise BrokenRule("bundle-resource", index=start)
        resource: Slice | None = None
        rest: JsonObject = {}
        for key in cursor.members():
            if key == "resource":
                resource = self._cut(cursor, "bundle-resource")
            else:
                rest[key] = cursor.value()
        if resource is None:
            raise BrokenRule("bundle-resource", index=start)
        rest["resource"] = {"resourceType": resource.content.get("resourceType")}
        full_url = rest.get("fullUrl")
        return msgspec.structs.replace(resource, full_url=full_url if isinstance(full_url, str) else ""), rest

    def _begin(self, cursor: Cursor, count: int) -> None:
        self._entry = count
        if count >= ENTRIES_MAX:
            raise BrokenRule("bundle-entries", index=cursor.index)

    def _cut(self, cursor: Cursor, rule_if_no_object: str) -> Slice:
        """Read one resource and cut out its bytes."""
        cursor.skip_space()
        start = cursor.index
        content = cursor.value()
        if not isinstance(content, dict):
            raise BrokenRule(rule_if_no_object, index=start)
        source = self._text[start : cursor.index].encode()
        if len(source) > RESOURCE_BYTES_MAX:
            raise BrokenRule("resource-size", index=start)
        return Slice(source=source, content=content, position=self.position(start))


class _Placing:
    """Gives every broken rule that passes through it the position that belongs to its index."""

    def __init__(self, slicer: Slicer) -> None:
        self._slicer = slicer

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, BrokenRule) and error.position is None:
            error.position = self._slicer.position(error.index)


def _resource_type(text: str, cursor: Cursor) -> JsonValue:
    """Return the outermost object's resourceType without moving the cursor: most often it is the first member."""
    look = Cursor(text, cursor.index)
    if look.skip_space() == "{":
        for key in look.members():
            value = look.value()
            if key == "resourceType":
                return value
    return None
