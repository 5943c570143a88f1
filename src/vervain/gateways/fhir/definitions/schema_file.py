# SPDX-License-Identifier: Apache-2.0
"""The R4 JSON Schema as typed values, changed where it refuses what R4 allows or passes what is of the wrong type.

Changes, all made on loading; the file stays as it was published:
1. `ResourceList` becomes "an object with a resourceType": a contained resource is checked by its own type's validator,
   which gives its own path and keeps 146 types out of each compiled validator.
2. The schema gives `integer`, `unsignedInt`, `positiveInt` only text patterns, which never apply to JSON numbers;
   they become integers with the bounds of R4.
3. The pattern of text uses `\\S`, which excludes the no-break space that names and narratives hold; it becomes
   "no control characters but tab, line feed, carriage return".
4. A definition with properties is said to be an object: without, any number or text passes for a CodeableConcept.
5. A list of primitives, or of the extensions beside one (`_given`), may hold null, as R4 asks where one side is absent.
6. `xhtml` becomes a string.
7. The list of FHIR versions gets 4.0.1, which this schema's makers did not have yet.

Source: FHIR R4 json.html, datatypes.html; NOTICE.md beside this file.
"""

from collections.abc import Set
from functools import cache
from typing import Final

import msgspec
from msgspec.structs import replace

from vervain.gateways.fhir.definitions.build import unpack

INTEGER_MAX: Final = 2**31 - 1  # R4: a signed 32-bit integer
DRAFT: Final = "http://json-schema.org/draft-06/schema#"
_REFERENCE: Final = "#/definitions/"
_TEXT_PATTERN: Final = r"^[ \r\n\t\S]+$"
_TEXT_PATTERN_INSTEAD: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]+$"
_WHOLE_NUMBERS: Final = {
    "^-?([0]|([1-9][0-9]*))$": -INTEGER_MAX - 1,
    "^[0]|([1-9][0-9]*)$": 0,
    "^[1-9][0-9]*$": 1,
}  # the schema's pattern -> the smallest number


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One definition, or one property of one: the keywords that this schema uses."""

    ref: str = msgspec.field(default="", name="$ref")
    type: str = ""
    pattern: str = ""
    const: str = ""
    enum: tuple[str, ...] = ()
    items: "Definition | msgspec.UnsetType" = msgspec.UNSET
    any_of: "tuple[Definition, ...]" = msgspec.field(default=(), name="anyOf")
    minimum: int | msgspec.UnsetType = msgspec.UNSET
    maximum: int | msgspec.UnsetType = msgspec.UNSET
    properties: "dict[str, Definition]" = {}
    required: tuple[str, ...] = ()
    additional: bool = msgspec.field(default=True, name="additionalProperties")
    description: str = ""

    @property
    def target(self) -> str:
        """The name of the definition that this property, or each element of this list, is; empty for a plain type."""
        element = self if self.items is msgspec.UNSET else self.items
        return (element.any_of[-1] if element.any_of else element).ref.removeprefix(_REFERENCE)


_NULL: Final = Definition(type="null")


class _SchemaFile(msgspec.Struct, frozen=True):
    definitions: dict[str, Definition]


@cache
def definitions() -> dict[str, Definition]:
    """Return every definition by its name, changed as the module says."""
    published = msgspec.json.decode(unpack(), type=_SchemaFile).definitions
    primitives = {name for name, definition in published.items() if not definition.properties} - {"ResourceList"}
    amended = {name: _amend(definition, primitives | {"Element"}) for name, definition in published.items()}
    amended["ResourceList"] = Definition(type="object", required=("resourceType",))
    amended["xhtml"] = Definition(type="string")
    return amended


@cache
def resource_types() -> frozenset[str]:
    """Return the names of R4's 146 resource types."""
    named = {name for name, definition in definitions().items() if "resourceType" in definition.properties}
    return frozenset(name for name in named if "_" not in name)  # parts of a resource are written `Type_Part`


def schema_of(name: str) -> dict[str, object]:
    """Return one definition as a JSON Schema that holds only what it leads to: it compiles ten times quicker."""
    needed: dict[str, Definition] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in needed:
            needed[current] = definitions()[current]
            waiting += [element.target for element in needed[current].properties.values() if element.target]
    plain = {key: msgspec.to_builtins(replace(value, description="")) for key, value in needed.items()}
    return {"$schema": DRAFT, "$ref": _REFERENCE + name, "definitions": plain}


def _amend(definition: Definition, absent: Set[str]) -> Definition:
    """Return a definition changed as the module says; a list of those named in `absent` may hold null."""
    if definition.properties:
        properties = {key: _amend(value, absent) for key, value in definition.properties.items()}
        return replace(definition, type="object", properties=properties)
    if definition.items is not msgspec.UNSET:
        element = _amend(definition.items, absent)
        may_be_null = definition.target in absent or not definition.target
        return replace(definition, items=Definition(any_of=(_NULL, element)) if may_be_null else element)
    if definition.pattern == _TEXT_PATTERN:
        return replace(definition, pattern=_TEXT_PATTERN_INSTEAD)
    if definition.pattern in _WHOLE_NUMBERS:
        minimum = _WHOLE_NUMBERS[definition.pattern]
        return replace(definition, type="integer", pattern="", minimum=minimum, maximum=INTEGER_MAX)
    if "4.0.0" in definition.enum:
        return replace(definition, enum=(*definition.enum, "4.0.1"))
    return definition
