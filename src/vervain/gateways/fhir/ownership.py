# SPDX-License-Identifier: Apache-2.0
"""Tables that say whose a resource is: its patient, its custodian, its author, its consent category.

Paths are FHIR element paths below the resource; the first that leads somewhere counts.

Source: FHIR R4 compartmentdefinition-patient.html (subject), w5.html (author), valueset-observation-category.html and
v2 table 0074 (categories).
"""

from typing import Final

from vervain.gateways.fhir.strict_json import JsonObject, JsonValue

SUBJECT_PATHS_DEFAULT: Final = ("subject", "patient")
SUBJECT_PATHS: Final = {
    "Coverage": ("beneficiary",),
    "EnrollmentRequest": ("candidate",),
    "ResearchSubject": ("individual",),
    "Task": ("for",),
}
"""Where a type names its patient, when not in `subject` or `patient`."""

CUSTODIAN_PATHS: Final = {
    "CareTeam": ("managingOrganization",),
    "Claim": ("provider",),
    "Composition": ("custodian",),
    "Device": ("owner",),
    "DocumentReference": ("custodian",),
    "Encounter": ("serviceProvider",),
    "EpisodeOfCare": ("managingOrganization",),
    "ExplanationOfBenefit": ("provider",),
    "HealthcareService": ("providedBy",),
    "Location": ("managingOrganization",),
    "Patient": ("managingOrganization",),
    "PractitionerRole": ("organization",),
}
"""Where a type names the organisation that keeps it; only a reference to an Organization counts."""

ENCOUNTER_PATHS: Final = ("encounter", "context", "context.encounter", "item.encounter")
"""Where a resource names the Encounter it came from; only a reference to an Encounter counts."""

AUTHOR_PATHS: Final = {
    "AllergyIntolerance": ("recorder", "asserter"),
    "CarePlan": ("author", "contributor"),
    "Claim": ("enterer", "provider", "careTeam.provider"),
    "Composition": ("author",),
    "Condition": ("recorder", "asserter"),
    "Consent": ("performer",),
    "DiagnosticReport": ("performer", "resultsInterpreter"),
    "DocumentReference": ("author",),
    "Encounter": ("participant.individual",),
    "ExplanationOfBenefit": ("enterer", "provider", "careTeam.provider"),
    "Goal": ("expressedBy",),
    "ImagingStudy": ("interpreter", "series.performer.actor"),
    "Immunization": ("performer.actor",),
    "MedicationAdministration": ("performer.actor",),
    "MedicationDispense": ("performer.actor",),
    "MedicationRequest": ("requester", "recorder"),
    "MedicationStatement": ("informationSource",),
    "Observation": ("performer",),
    "Procedure": ("recorder", "performer.actor"),
    "QuestionnaireResponse": ("author",),
    "ServiceRequest": ("requester",),
}
"""Where a type names its author; only a reference to a Practitioner or PractitionerRole counts."""

CATEGORY_OTHER: Final = "other"
CATEGORIES: Final = {
    "AllergyIntolerance": "allergies",
    "Appointment": "encounters",
    "CarePlan": "care-plans",
    "CareTeam": "care-plans",
    "Claim": "claims",
    "ClaimResponse": "claims",
    "Composition": "documents",
    "Condition": "conditions",
    "Coverage": "claims",
    "Device": "devices",
    "DeviceUseStatement": "devices",
    "DiagnosticReport": "laboratory",
    "DocumentReference": "documents",
    "Encounter": "encounters",
    "EpisodeOfCare": "encounters",
    "ExplanationOfBenefit": "claims",
    "FamilyMemberHistory": "family-history",
    "Goal": "care-plans",
    "HealthcareService": "directory",
    "ImagingStudy": "imaging",
    "Immunization": "immunizations",
    "Location": "directory",
    "Media": "imaging",
    "MedicationAdministration": "medications",
    "MedicationDispense": "medications",
    "MedicationRequest": "medications",
    "MedicationStatement": "medications",
    "MolecularSequence": "genetics",
    "Organization": "directory",
    "Patient": "demographics",
    "Person": "demographics",
    "Practitioner": "directory",
    "PractitionerRole": "directory",
    "Procedure": "procedures",
    "QuestionnaireResponse": "survey",
    "RelatedPerson": "demographics",
    "ServiceRequest": "orders",
    "Specimen": "laboratory",
}
"""The consent category of a type; a type that is not listed is `other`."""

CATEGORIES_BY_CODE: Final = {
    "Observation": {
        "social-history": "social-history",
        "survey": "survey",
        "laboratory": "laboratory",
        "imaging": "imaging",
        "procedure": "procedures",
        "therapy": "procedures",
        "exam": "exam",
        "activity": "exam",
        "vital-signs": "vital-signs",
    },
    "DiagnosticReport": {
        "GE": "genetics",
        "LAB": "laboratory",
        "RAD": "imaging",
        "RUS": "imaging",
        "CT": "imaging",
        "NMR": "imaging",
        "NMS": "imaging",
        "CTH": "imaging",
        "CUS": "imaging",
        "XRC": "imaging",
    },
}
"""A type's category codes, the more private first: of several, the first of this table counts."""


def category_of(content: JsonObject, resource_type: str) -> str:
    """Return the consent category of a resource: one ASCII code of these tables."""
    stated = _category_codes(content)
    for code, category in CATEGORIES_BY_CODE.get(resource_type, {}).items():
        if code in stated:
            return category
    return CATEGORIES.get(resource_type, CATEGORY_OTHER)


def _category_codes(content: JsonObject) -> set[JsonValue]:
    categories = content.get("category")
    codes: set[JsonValue] = set()
    for concept in categories if isinstance(categories, list) else []:
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for coding in codings if isinstance(codings, list) else []:
            code = coding.get("code") if isinstance(coding, dict) else None
            if isinstance(code, str):
                codes.add(code)
    return codes
