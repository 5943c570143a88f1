# SPDX-License-Identifier: Apache-2.0
"""From a FHIR file to resources ready for the vault, each with its patient, custodian, author and category.

Rules kept:
1. A file is accepted or refused as one: whatever breaks a rule refuses all of it, with the place and the reason.
2. The bytes of a resource are those received, with their `urn:uuid:` references; what they point to stands beside them.
3. A resource that may be about a patient never passes as an organisation's own document (`resolution.py`).

Source: contracts.md (`vervain import`); fhir-and-consent section 7, rule 1.
"""

from pathlib import Path
from typing import TypeAlias

import msgspec

from vervain.gateways.fhir.resolution import Resolution, StatedResource, state
from vervain.gateways.fhir.rules import BadFile, BrokenRule, Position
from vervain.gateways.fhir.schema import check_envelope, check_resource
from vervain.gateways.fhir.slices import Slice, Slicer
from vervain.gateways.fhir.source import holds_lines, read_bytes

Octets: TypeAlias = bytes  # so that a field may be named `bytes`


class ImportedResource(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of a file that was accepted.

    `subject` (`Patient/id`; empty for an organisation's own document), `custodian` (`Organization/id`, or what the
    caller gave), `author` (`Practitioner/id` or `PractitionerRole/id`; empty when none is named) and `references` are
    resolved inside the file. `version` is the resource's own `meta.versionId`, empty when it has none: numbering the
    versions of one id is the importer's. `position.offset` is where `bytes` begin in the uncompressed file.
    """

    resource_type: str
    id: str
    version: str
    bytes: Octets
    subject: str
    custodian: str
    author: str
    category: str
    references: tuple[str, ...]
    position: Position


def read_fhir_file(path: Path, *, custodian: str = "") -> tuple[ImportedResource, ...]:
    """Read a FHIR file and return its resources in order.

    Args:
        path: A .json, .json.gz, .ndjson or .ndjson.gz file.
        custodian: Who keeps all of them; left out, each resource's own custodian is found.

    Raises: BadFile, naming the file as given, the position and the reason.
    """
    try:
        return read_fhir_bytes(read_bytes(path), lines=holds_lines(path), custodian=custodian)
    except BrokenRule as error:
        assert error.position is not None, "every broken rule of a file has a place"
        raise BadFile(str(path), error.position, error.reason, do=error.rule.do) from error


def read_fhir_bytes(source: Octets, *, lines: bool = False, custodian: str = "") -> tuple[ImportedResource, ...]:
    """Do the same for the uncompressed bytes of a file, `lines` for NDJSON.

    Raises: BrokenRule with its position.
    """
    slicer = Slicer(source, lines=lines)
    resources: list[StatedResource] = []
    entries: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for piece in slicer:
        resource = _checked(piece)
        resources.append(resource)
        if (piece.full_url, resource.version) in seen:
            raise BrokenRule("bundle-full-url", position=piece.position)
        if piece.full_url:
            seen.add((piece.full_url, resource.version))
            entries[piece.full_url] = resource.name
    _check_around(slicer)
    resolution = Resolution(resources, entries)
    return tuple(_imported(resource, resolution, custodian) for resource in resources)


def _checked(piece: Slice) -> StatedResource:
    """Check one resource; a broken rule gets its place."""
    try:
        resource_type = check_resource(piece.content)
        if resource_type == "Bundle":
            raise BrokenRule("bundle-nested")
    except BrokenRule as error:
        error.position = piece.position
        raise
    return state(piece, resource_type)


def _check_around(slicer: Slicer) -> None:
    """Check what stands around a Bundle's resources: its type, links, requests."""
    try:
        if slicer.envelope:
            check_envelope(slicer.envelope)
    except BrokenRule as error:
        error.position = Position(offset=0)
        raise


def _imported(resource: StatedResource, resolution: Resolution, custodian: str) -> ImportedResource:
    subject = resolution.subject(resource)
    return ImportedResource(
        resource_type=resource.resource_type,
        id=resource.id,
        version=resource.version,
        bytes=resource.source,
        subject=subject,
        custodian=custodian or resolution.custodian(resource, subject),
        author=resolution.author(resource),
        category=resource.category,
        references=resolution.references(resource),
        position=resource.position,
    )
