# SPDX-License-Identifier: Apache-2.0
"""Is it R4? The JSON Schema of the resource's type, then our own rules (`element_rules.py`).

Patterns run on a linear-time engine, so no text can stall a check.
A validator is compiled when its type first comes.

Source: FHIR R4 json.html, validation.html; fhir-and-consent section 5.
"""

import re
from functools import cache
from typing import Final

import jsonschema_rs

from vervain.gateways.fhir.definitions.schema_file import resource_types, schema_of
from vervain.gateways.fhir.element_rules import check_elements
from vervain.gateways.fhir.rules import BrokenRule
from vervain.gateways.fhir.strict_json import JsonObject

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_WORDS: Final = {
    "additionalProperties": "has an element that R4 does not know",
    "anyOf": "is not what R4 allows in this list",
    "const": "is not the only value that R4 allows here",
    "enum": "is not one of the codes that R4 allows here",
    "maximum": "is a whole number outside R4's bounds",
    "minimum": "is a whole number outside R4's bounds",
    "pattern": "is not written as R4 asks for its type",
    "required": "lacks a required element",
    "type": "has the wrong JSON type",
}


def check_resource(content: JsonObject) -> str:
    """Check a resource against R4 and our own rules, and return its type.

    Raises: BrokenRule(resource-type, resource-id, r4-schema, r4-date, r4-required, r4-choice, r4-contained, r4-empty).
    """
    resource_type = require_type(content)
    identifier = content.get("id")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        raise BrokenRule("resource-id", path=f"{resource_type}.id")
    _check(content, resource_type, resource_type)
    contained = content.get("contained", [])
    assert isinstance(contained, list), "the schema has said so"
    for index, inner in enumerate(contained):
        assert isinstance(inner, dict), "the schema has said so"
        path = f"{resource_type}.contained[{index}]"
        if "contained" in inner:
            raise BrokenRule("r4-contained", path=path)
        _check(inner, require_type(inner, path), path)
    return resource_type


def check_envelope(content: JsonObject) -> None:
    """Check a Bundle whose entries' resources were cut out.

    Raises: BrokenRule(r4-schema, r4-date, r4-required, r4-choice, r4-empty).
    """
    _check(content, "Bundle", "Bundle")


def require_type(content: JsonObject, path: str = "") -> str:
    """Return the resource's type.

    Raises: BrokenRule(resource-type).
    """
    resource_type = content.get("resourceType")
    if not isinstance(resource_type, str) or resource_type not in resource_types():
        raise BrokenRule("resource-type", path=path)
    return resource_type


def _check(content: JsonObject, resource_type: str, path: str) -> None:
    validator = _validator(resource_type)
    if not validator.is_valid(content):
        raise _first_error(validator, content, path)
    check_elements(content, resource_type, path)


def _first_error(validator: jsonschema_rs.Validator, content: JsonObject, path: str) -> BrokenRule:
    """Return the first error in an order of our own. The library's message holds values, so it is never used."""
    errors = [(path + _as_path(error.instance_path), error.kind.name) for error in validator.iter_errors(content)]
    where, keyword = min(errors)
    return BrokenRule("r4-schema", path=where, detail=_WORDS.get(keyword, "breaks the R4 JSON Schema"))


def _as_path(steps: list[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


@cache
def _validator(resource_type: str) -> jsonschema_rs.Validator:
    schema = schema_of(resource_type)
    return jsonschema_rs.validator_for(schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True)
