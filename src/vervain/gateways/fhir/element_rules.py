# SPDX-License-Identifier: Apache-2.0
"""Rules that the R4 JSON Schema cannot say: calendar dates, required primitives, one value of a choice, nothing empty.

One walk over a resource that follows the schema's definitions, so a date is looked at where R4 has a date, and a text
that looks like one is left alone.

Source: FHIR R4 datatypes.html (date, dateTime, instant), json.html (no empty object or list), formats.html (choice of
types), and the resources' own tables of elements (cardinality 1..1).
"""

from datetime import date
from functools import cache
from typing import Final, TypeAlias

import msgspec

from vervain.gateways.fhir.definitions.schema_file import Definition, definitions
from vervain.gateways.fhir.rules import BrokenRule
from vervain.gateways.fhir.strict_json import JsonObject, JsonValue

REQUIRED: Final = {
    "AuditEvent": ("recorded",),
    "Bundle": ("type",),
    "CarePlan": ("status", "intent"),
    "Claim": ("status", "use", "created"),
    "Communication": ("status",),
    "Composition": ("status", "date", "title"),
    "Consent": ("status",),
    "Coverage": ("status",),
    "DiagnosticReport": ("status",),
    "DocumentReference": ("status",),
    "Encounter": ("status",),
    "EpisodeOfCare": ("status",),
    "ExplanationOfBenefit": ("status", "use", "created", "outcome"),
    "FamilyMemberHistory": ("status",),
    "Goal": ("lifecycleStatus",),
    "ImagingStudy": ("status",),
    "Immunization": ("status", "occurrence[x]"),
    "MedicationAdministration": ("status", "medication[x]", "effective[x]"),
    "MedicationDispense": ("status", "medication[x]"),
    "MedicationRequest": ("status", "intent", "medication[x]"),
    "MedicationStatement": ("status", "medication[x]"),
    "Observation": ("status",),
    "Procedure": ("status",),
    "Provenance": ("recorded",),
    "QuestionnaireResponse": ("status",),
    "ServiceRequest": ("status", "intent"),
}
"""Primitive and choice elements with cardinality 1..1, which the JSON Schema leaves out."""

Fault: TypeAlias = "tuple[str, str] | None"
"""The rule that broke and the path from here to it."""


class _Step(msgspec.Struct, frozen=True):
    """What to do at one property: look at a date, walk into a definition, count one value of a choice."""

    is_date: bool
    definition: str
    choice: str


def check_elements(content: JsonObject, resource_type: str, path: str) -> None:
    """Check one resource that the JSON Schema has passed.

    Raises: BrokenRule(r4-date, r4-required, r4-choice, r4-empty).
    """
    for element in REQUIRED.get(resource_type, ()):
        if not _is_present(content, element):
            raise BrokenRule("r4-required", path=f"{path}.{element}")
    fault = _walk(content, resource_type)
    if fault is not None:
        raise BrokenRule(fault[0], path=path + fault[1])


def _is_present(content: JsonObject, element: str) -> bool:
    if not element.endswith("[x]"):
        return element in content or f"_{element}" in content  # an extension may say why the value is absent
    stem = element.removesuffix("[x]")
    return any(key.removeprefix("_").startswith(stem) for key in content)


def _walk(content: JsonObject, definition: str) -> Fault:
    if not content:
        return ("r4-empty", "")
    steps = _steps(definition)
    choices: set[str] = set()
    for key, value in content.items():
        step = steps.get(key)
        if step is None:
            if value == []:
                return ("r4-empty", f".{key}")
            continue
        if step.choice:
            if step.choice in choices:
                return ("r4-choice", f".{step.choice}[x]")
            choices.add(step.choice)
        fault = _walk_list(value, step) if isinstance(value, list) else _visit(value, step)
        if fault is not None:
            return (fault[0], f".{key}{fault[1]}")
    return None


def _walk_list(values: list[JsonValue], step: _Step) -> Fault:
    if not values:
        return ("r4-empty", "")
    for index, value in enumerate(values):
        fault = _visit(value, step)
        if fault is not None:
            return (fault[0], f"[{index}]{fault[1]}")
    return None


def _visit(value: JsonValue, step: _Step) -> Fault:
    if isinstance(value, dict):
        return _walk(value, step.definition) if step.definition else None
    if step.is_date and isinstance(value, str) and not _exists(value):
        return ("r4-date", "")
    return None


def _exists(written: str) -> bool:
    """Tell whether a date's day, when it names one, is in the calendar. The schema has checked how it is written."""
    if len(written) < len("2021-02-28"):
        return True
    try:
        date.fromisoformat(written[:10])
    except ValueError:
        return False
    return True


@cache
def _steps(name: str) -> dict[str, _Step]:
    """Return what a walk does at each property of a definition; what needs nothing is left out."""
    choices = _choices(definitions()[name])
    steps: dict[str, _Step] = {}
    for key, element in definitions()[name].properties.items():
        target = definitions().get(element.target, Definition())
        is_date = element.target in _DATES or element.pattern in _date_patterns()
        into = element.target if target.properties else ""
        if is_date or into or key in choices:
            steps[key] = _Step(is_date, into, choices.get(key, ""))
    return steps


def _choices(definition: Definition) -> dict[str, str]:
    """Return, for each property that is one type of a choice, the choice's name.

    The schema writes `value[x]` as `valueString`, `valueQuantity` ... with one and the same description: properties
    whose names end in a data type, and that share stem and description with another, are a choice.
    """
    types = sorted((name for name in definitions() if "_" not in name), key=len)
    stems: dict[str, str] = {}
    singles = [key for key, value in definition.properties.items() if value.type != "array" and key[0] != "_"]
    for key in singles:  # a choice never repeats, and `_key` only extends `key`
        for suffix in types:
            if key.endswith(suffix[0].upper() + suffix[1:]) and len(key) > len(suffix):
                stems[key] = key[: -len(suffix)]  # the longest type comes last and wins
    groups: dict[tuple[str, str], list[str]] = {}
    for key, stem in stems.items():
        groups.setdefault((stem, definition.properties[key].description), []).append(key)
    return {key: stem for (stem, _), keys in groups.items() if len(keys) > 1 for key in keys}


_DATES: Final = frozenset({"date", "dateTime", "instant"})


@cache
def _date_patterns() -> frozenset[str]:
    return frozenset(definitions()[name].pattern for name in _DATES)
