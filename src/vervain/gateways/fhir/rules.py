# SPDX-License-Identifier: Apache-2.0
"""The published rules of FHIR import: their ids, what is wrong in plain words, what to do.

Ids are part of the interface and never reused.
`docs/concepts/fhir-import.md` lists the same table; a test compares them.
`BrokenRule` says which rule broke and where; `BadFile` says so of a whole file, which is accepted or refused as one.

Source: FHIR R4 4.0.1 (json.html, datatypes.html, bundle.html, domainresource.html); RFC 8259; RFC 1952.
"""

from typing import Final

import msgspec

from vervain.gateways.errors import GatewayError


class Rule(msgspec.Struct, frozen=True):
    """One published rule: its id, what is wrong when it is broken, what to do about it."""

    id: str
    broken: str
    do: str


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a file: the byte offset in the uncompressed file, and the entry's index, counted from 0."""

    offset: int
    entry: int | msgspec.UnsetType = msgspec.UNSET  # left out before the first entry and after the last

    def __str__(self) -> str:
        """Say the position in words."""
        return f"byte {self.offset}" if self.entry is msgspec.UNSET else f"entry {self.entry}, byte {self.offset}"


_AGAIN: Final = "Export the file again from its source."
_TELL: Final = "Have the system that wrote the file correct it."

RULES: Final = {
    rule.id: rule
    for rule in (
        Rule("file-kind", "the name ends in none of .json, .json.gz, .ndjson, .ndjson.gz", "Name FHIR files only."),
        Rule("file-unreadable", "the file cannot be opened or read", "Check its path and its permissions."),
        Rule("file-gzip", "the gzip data is damaged or cut short", _AGAIN),
        Rule("file-size", "the uncompressed file is larger than 128 MiB", "Split it into several files."),
        Rule("file-shape", "the file holds neither a Bundle nor a resource", "Give a FHIR R4 JSON file."),
        Rule("json-bom", "the file starts with a byte order mark", "Save it as plain UTF-8."),
        Rule("json-utf8", "the bytes are not UTF-8", "Save the file as UTF-8."),
        Rule("json-syntax", "the text is not JSON", _AGAIN),
        Rule("json-depth", "the nesting is deeper than 64", _TELL),
        Rule("json-duplicate-key", "an object has the same key twice", _TELL),
        Rule("json-number", "a number is longer than 64 characters, too large for a double, or not a number", _TELL),
        Rule("json-text", "a string holds a control character or half a surrogate pair", _TELL),
        Rule("bundle-entries", "there are more than 100,000 resources in one file", "Split it into several files."),
        Rule("bundle-resource", "a Bundle's entry holds no resource", "Leave out deletions and reads."),
        Rule("bundle-nested", "there is a Bundle among the resources", "Give each Bundle as its own file."),
        Rule("bundle-full-url", "two entries have the same fullUrl and the same version", _TELL),
        Rule("resource-size", "a resource is larger than 16 MiB", "Keep large attachments outside the resource."),
        Rule("resource-type", "resourceType is missing or not a type of R4", _TELL),
        Rule("resource-id", "id is missing or not 1 to 64 letters, digits, '-' and '.'", "Give every resource an id."),
        Rule("r4-schema", "the R4 JSON Schema is broken", _TELL),
        Rule("r4-date", "a date does not exist in the calendar", _TELL),
        Rule("r4-required", "a required element is missing", _TELL),
        Rule("r4-choice", "a choice element has more than one value", _TELL),
        Rule("r4-contained", "a contained resource contains another", _TELL),
        Rule("r4-empty", "an object or a list is empty", _TELL),
        Rule("link-subject", "it cannot be told which patient the resource is about", "Name one patient by reference."),
        Rule("link-custodian", "no organisation is named that keeps the resource", "Name a custodian when importing."),
        Rule(
            "patient-namespace",
            "its Patient has the id of one from another custodian with other content, perhaps somebody else",
            "Give the files of each system a namespace of their own.",
        ),
    )
}


class BrokenRule(GatewayError):
    """One rule is broken at one place. Names the rule, the element and the position, never a value."""

    def __init__(
        self, rule_id: str, *, path: str = "", detail: str = "", position: Position | None = None, index: int = 0
    ) -> None:
        """Make the error.

        Args:
            rule_id: A key of `RULES`.
            path: The element, such as `Observation.component[0].code`; empty where there is none.
            detail: More precise words than the rule's own.
            position: Where in the file, once that is known.
            index: Where in the text that was being read, in characters, until the position is known.
        """
        self.rule = RULES[rule_id]
        self.path, self.position, self.index = path, position, index
        self.reason = f"{path + ': ' if path else ''}{detail or self.rule.broken} (rule {rule_id})"
        super().__init__("The FHIR document breaks a rule", why=self.reason, do=self.rule.do)


class BadFile(GatewayError):
    """A file is refused as a whole: nothing of it is imported. `file` is the path as it was given."""

    def __init__(self, file: str, position: Position, reason: str, *, do: str = "") -> None:
        self.file, self.position, self.reason = file, position, reason
        super().__init__(f"Nothing was imported from {file}", why=f"{position}: {reason}", do=do)
