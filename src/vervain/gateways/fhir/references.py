# SPDX-License-Identifier: Apache-2.0
"""Where a FHIR resource points: references found in it, and what they mean inside one file.

A reference is brought to the form `Type/id`. A `urn:uuid:` is looked up among the file's entries; a URL that is an
entry's fullUrl likewise; a version at the end is dropped; another server's URL stays whole, because its `Type/id` is
not ours; a conditional reference (`Type?query`) stays as it is. `#` points into the resource itself and is left out.

Source: FHIR R4 references.html (literal references), bundle.html (resolving references in Bundles), http.html
(conditional references).
"""

import re
from collections.abc import Mapping
from typing import Final

from vervain.gateways.fhir.strict_json import JsonObject, JsonValue

_REFERENCE: Final = re.compile(rb'"reference"[ \t\n\r]*:[ \t\n\r]*"([^"]*)"')
_VERSION: Final = re.compile(r"/_history/[A-Za-z0-9\-.]{1,64}\Z")
_RELATIVE_OR_URL: Final = re.compile(r"(?:\Ahttps?://.*/|\A)([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}\Z", re.DOTALL)
_CONDITIONAL: Final = re.compile(r"\A([A-Z][A-Za-z]+)\?")


def references_in(content: JsonObject, source: bytes) -> tuple[str, ...]:
    """Return every literal reference once, in reading order, those into the resource itself left out.

    Args:
        content: A resource.
        source: The bytes that say it. Without a backslash a quote in them always begins or ends a string, so its
            references can be found there, five times quicker.
    """
    found: dict[str, None] = {}
    if b"\\" in source:
        _gather(content, found)
        return tuple(found)
    named = dict.fromkeys(_REFERENCE.findall(source))
    return tuple(each.decode() for each in named if not each.startswith(b"#"))


def references_at(content: JsonObject, path: str) -> list[str]:
    """Return the literal references at a dotted path; on the way, each element of a list is followed.

    A reference that names its target only by identifier or in words counts as an empty string.
    """
    first, *names = path.split(".")
    if first not in content:
        return []
    found: list[JsonValue] = [content]
    for name in (first, *names):
        values = [value.get(name) for value in found if isinstance(value, dict)]
        found = [each for value in values for each in (value if isinstance(value, list) else [value])]
    targets = [value.get("reference", "") for value in found if isinstance(value, dict)]
    return [target for target in targets if isinstance(target, str)]


def resolve(reference: str, entries: Mapping[str, str]) -> str:
    """Return what a reference means in its file.

    Args:
        reference: As written in the resource.
        entries: fullUrl -> `Type/id` of every entry of the file.
    """
    unversioned = _VERSION.sub("", reference) if "/_history/" in reference else reference
    return entries.get(unversioned, unversioned)


def type_of(resolved: str) -> str:
    """Return the resource type that a resolved reference names; empty when it names none."""
    match = _RELATIVE_OR_URL.match(resolved) or _CONDITIONAL.match(resolved)
    return "" if match is None else match[1]


def _gather(value: JsonValue, found: dict[str, None]) -> None:
    if isinstance(value, dict):
        target = value.get("reference")
        if isinstance(target, str) and not target.startswith("#"):
            found[target] = None
        for inner in value.values():
            if isinstance(inner, (dict, list)):
                _gather(inner, found)
    elif isinstance(value, list):
        for inner in value:
            _gather(inner, found)
