# SPDX-License-Identifier: Apache-2.0
"""Whose is each resource of a file: its patient, custodian and author, found from what the resources name.

The patient, the first that is known:
1. for a Patient: itself;
2. the Patient that the resource names as its subject;
3. the one patient among all that it refers to, directly or through a resource of the same file.
A resource is refused when its subject cannot be told (named by identifier, in words, or by a `urn:uuid:` that is no
entry of the file), when it concerns several patients, and when, having no subject, it refers to a resource outside the
file that may be about a patient. So what has no patient here is an organisation's own document.

The custodian, the first that is known:
1. the one given by the caller;
2. the organisation that the resource itself names (`ownership.CUSTODIAN_PATHS`);
3. for an Organization that provides an Encounter of the file: itself;
4. the serviceProvider of the Encounter that it names;
5. for what has no patient: the serviceProvider of the first Encounter that names it (a practitioner, a location);
6. the serviceProvider of the file's first Encounter that has one;
7. for an Organization: itself.

Source: contracts.md (`vervain import`); FHIR R4 bundle.html, compartmentdefinition-patient.html.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from vervain.gateways.fhir import ownership
from vervain.gateways.fhir.definitions.schema_file import definitions
from vervain.gateways.fhir.references import references_at, references_in, resolve, type_of
from vervain.gateways.fhir.rules import BrokenRule, Position
from vervain.gateways.fhir.slices import Slice

_AUTHORS: Final = frozenset({"Practitioner", "PractitionerRole"})


class StatedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a resource until its whole file is read; its references as written."""

    resource_type: str
    id: str
    version: str
    source: bytes
    position: Position
    category: str
    subjects: tuple[str, ...]
    custodians: tuple[str, ...]
    encounters: tuple[str, ...]
    authors: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def name(self) -> str:
        """The resource as a reference: `Type/id`."""
        return f"{self.resource_type}/{self.id}"


def state(resource: Slice, resource_type: str) -> StatedResource:
    """Return what a checked resource says of itself."""
    content = resource.content
    identifier, meta = content["id"], content.get("meta")
    version = meta.get("versionId", "") if isinstance(meta, dict) else ""
    assert isinstance(identifier, str) and isinstance(version, str), "the schema has said so"

    def at(*paths: str) -> tuple[str, ...]:
        return tuple(target for path in paths for target in references_at(content, path))

    return StatedResource(
        resource_type=resource_type,
        id=identifier,
        version=version,
        source=resource.source,
        position=resource.position,
        category=ownership.category_of(content, resource_type),
        subjects=at(*ownership.SUBJECT_PATHS.get(resource_type, ownership.SUBJECT_PATHS_DEFAULT)),
        custodians=at(*ownership.CUSTODIAN_PATHS.get(resource_type, ())),
        encounters=at(*ownership.ENCOUNTER_PATHS),
        authors=at(*ownership.AUTHOR_PATHS.get(resource_type, ())),
        references=references_in(content, resource.source),
    )


class Resolution:
    """The resources of one file, each of which may name the others."""

    def __init__(self, resources: Sequence[StatedResource], entries: dict[str, str]) -> None:
        """Take every resource of a file, and its entries: fullUrl -> `Type/id`."""
        self._entries = entries
        self._by_name = {resource.name: resource for resource in resources}
        self._provider_by_mention: dict[str, str] = {}
        self._providers: dict[str, None] = {}  # in order of their first Encounter
        for encounter in resources:
            provider = self._stated_custodian(encounter) if encounter.resource_type == "Encounter" else ""
            if provider:
                self._providers.setdefault(provider)
                for mentioned in self.references(encounter):
                    self._provider_by_mention.setdefault(mentioned, provider)

    def references(self, resource: StatedResource) -> tuple[str, ...]:
        """Return what a resource refers to, resolved, each once."""
        return tuple(dict.fromkeys(self._resolved(resource.references)))

    def author(self, resource: StatedResource) -> str:
        """Return the practitioner that a resource names as its author; empty when it names none."""
        return next((name for name in self._resolved(resource.authors) if type_of(name) in _AUTHORS), "")

    def subject(self, resource: StatedResource) -> str:
        """Return the patient that a resource is about; empty when it is an organisation's own document.

        Raises: BrokenRule(link-subject).
        """
        patients = {self._stated_subject(resource)} - {""} or self._patients_referred_to(resource)
        if len(patients) > 1:
            raise _unclear_subject(resource)
        return patients.pop() if patients else ""

    def custodian(self, resource: StatedResource, subject: str) -> str:
        """Return the organisation that keeps a resource.

        Raises: BrokenRule(link-custodian).
        """
        is_organization = resource.resource_type == "Organization"
        candidates = [self._stated_custodian(resource)]
        candidates.append(resource.name if is_organization and resource.name in self._providers else "")
        for name in self._resolved(resource.encounters):
            encounter = self._by_name.get(name)
            candidates.append(self._stated_custodian(encounter) if encounter and type_of(name) == "Encounter" else "")
        candidates.append("" if subject else self._provider_by_mention.get(resource.name, ""))
        candidates.append(next(iter(self._providers), ""))
        candidates.append(resource.name if is_organization else "")
        for candidate in candidates:
            if candidate:
                return candidate
        raise BrokenRule("link-custodian", path=resource.resource_type, position=resource.position)

    def _resolved(self, references: Sequence[str]) -> list[str]:
        return [resolve(reference, self._entries) for reference in references]

    def _stated_custodian(self, resource: StatedResource) -> str:
        named = self._resolved(resource.custodians)
        return next((name for name in named if type_of(name) == "Organization"), "")

    def _stated_subject(self, resource: StatedResource) -> str:
        if resource.resource_type == "Patient":
            return resource.name
        named = set(self._resolved(resource.subjects))
        types = {type_of(name) for name in named}
        if "" in types or len(named) > 1:  # named by identifier, in words, by `#`, or by what is not in the file
            raise _unclear_subject(resource)
        return named.pop() if "Patient" in types else ""

    def _patients_referred_to(self, resource: StatedResource) -> set[str]:
        patients: set[str] = set()
        for name in self.references(resource):
            if type_of(name) == "Patient":
                patients.add(name)
            elif name in self._by_name:
                patients.add(self._stated_subject(self._by_name[name]))
            elif not type_of(name) or _may_be_about_a_patient(type_of(name)):
                raise _unclear_subject(resource)
        return patients - {""}


def _may_be_about_a_patient(resource_type: str) -> bool:
    known = definitions().get(resource_type)
    paths = ownership.SUBJECT_PATHS.get(resource_type, ownership.SUBJECT_PATHS_DEFAULT)
    return known is None or any(path in known.properties for path in paths)


def _unclear_subject(resource: StatedResource) -> BrokenRule:
    return BrokenRule("link-subject", path=resource.resource_type, position=resource.position)
