# SPDX-License-Identifier: Apache-2.0
"""Small made-up R4 bundles for the demonstration and for tests that run without a folder of samples.

One bundle is one patient with one to three encounters at each of the given organisations. The same seed gives the same
bytes, on every Python: chance comes from SHA-256, not from the library's generator. Organisation n and its practitioner
have the same id and bytes in every bundle, as in real exports. Names say that they are made up, and every resource is
labelled HTEST ("test health data"). Codes are opaque here; a few LOINC codes stand without LOINC's own names, so that
repeat-test rules have something to find (this material contains content from LOINC, loinc.org).

Source: FHIR R4 resource pages of the ten types; v3-ActReason HTEST.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")
Resource: TypeAlias = dict[str, object]

ORGANISATIONS_MAX: Final = 100  # organisations that one patient visits
ENCOUNTERS_MAX: Final = 3  # encounters of one patient at one organisation
_CODES: Final = "https://vervain.example/codes"
_IDENTIFIERS: Final = "https://vervain.example/identifiers"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_UNITS: Final = "http://unitsofmeasure.org"
_LOINC: Final = "http://loinc.org"
_FIRST_DAY: Final = datetime(2020, 1, 1, 8, 0, tzinfo=UTC)
_DAYS: Final = 5 * 365
_CITIES: Final = ("Samplebury", "Exampleton", "Mockville", "Fixture-on-Sea", "Testhaven")
_GIVEN: Final = ("Synthia", "Specimen", "Example", "Mocklin", "Placea")
_CONDITIONS: Final = ("raised blood pressure", "seasonal cough", "sprained ankle", "type 2 diabetes", "migraine")
_MEDICINES: Final = ("sample tablets 5 mg", "sample tablets 500 mg", "sample drops", "sample ointment")
_ALLERGENS: Final = ("grass pollen", "house dust", "peanut", "sample antibiotic")
_VACCINES: Final = ("sample influenza vaccine", "sample tetanus vaccine")
_VITAL_SIGNS: Final = (("8302-2", "body height", "cm", 150, 195), ("29463-7", "body weight", "kg", 45, 120))
_LABORATORY: Final = (
    ("4548-4", "glycated haemoglobin", "%", 4, 11),
    ("2160-0", "creatinine", "mg/dL", 0, 2),
    ("2823-3", "potassium", "mmol/L", 3, 5),
)


def generate_bundle(seed: int, *, organisations: Sequence[int] = (0, 1)) -> bytes:
    """Return a transaction Bundle: one patient, seen at each of the given organisations.

    Args:
        seed: Names the patient; other seeds give other patients.
        organisations: Numbers of the organisations visited, from 0, each at most once.

    Raises: ValueError for more than `ORGANISATIONS_MAX` organisations.
    """
    if len(organisations) > ORGANISATIONS_MAX:
        raise ValueError(f"A patient visits at most {ORGANISATIONS_MAX} organisations.")
    draw = _Draw(f"patient {seed}")
    patient = _patient(draw, seed)
    resources = [patient]
    for number in organisations:
        organisation, practitioner = _organisation(number)
        resources += [organisation, practitioner]
        for _ in range(1 + draw.below(ENCOUNTERS_MAX)):
            resources += _visit(draw, patient, organisation, practitioner)
    resources.append(_allergy(draw, patient))
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for resource in resources]}
    return msgspec.json.format(_ENCODER.encode(bundle), indent=2)


class _Draw:
    """Chance from a name: the same name gives the same draws."""

    def __init__(self, name: str) -> None:
        self._name, self._count = name, 0

    def octets(self) -> bytes:
        self._count += 1
        return hashlib.sha256(f"vervain synthetic {self._name} {self._count}".encode()).digest()

    def below(self, limit: int) -> int:
        return int.from_bytes(self.octets()[:8], "big") % limit

    def one_of(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def decimal(self, low: int, high: int) -> Decimal:
        """Return a number with two digits after the point, a last zero kept: 1.50."""
        return Decimal(low * 100 + self.below((high - low) * 100)).scaleb(-2)

    def identifier(self) -> str:
        digits = self.octets().hex()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-{digits[18:30]}"


def _visit(draw: _Draw, patient: Resource, organisation: Resource, practitioner: Resource) -> list[Resource]:
    """Return one Encounter and what came of it."""
    start = _FIRST_DAY + timedelta(days=draw.below(_DAYS), minutes=draw.below(9 * 60))
    encounter = _resource(draw, "Encounter") | {
        "status": "finished",
        "class": {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "AMB"},
        "subject": _to(patient),
        "participant": [{"individual": _to(practitioner)}],
        "period": {"start": start.isoformat(), "end": (start + timedelta(minutes=15)).isoformat()},
        "serviceProvider": _to(organisation),
    }
    about: Resource = {"subject": _to(patient), "encounter": _to(encounter)}
    condition = _condition(draw, about, practitioner, start)
    vital_signs = [_observation(draw, row, "vital-signs", about, practitioner, start) for row in _VITAL_SIGNS]
    laboratory = [_observation(draw, row, "laboratory", about, practitioner, start) for row in _LABORATORY]
    report = _report(draw, laboratory, about, organisation, start)
    medication = _medication(draw, condition, about, practitioner, start)
    immunization = _immunization(draw, about, practitioner, start)
    return [encounter, condition, *vital_signs, *laboratory, report, medication, immunization]


def _condition(draw: _Draw, about: Resource, practitioner: Resource, at: datetime) -> Resource:
    return _resource(draw, "Condition") | {
        "clinicalStatus": _coded(f"{_TERMINOLOGY}/condition-clinical", "active"),
        "verificationStatus": _coded(f"{_TERMINOLOGY}/condition-ver-status", "confirmed"),
        "code": _named(draw.one_of(_CONDITIONS)),
        **about,
        "onsetDateTime": at.isoformat(),
        "recorder": _to(practitioner),
    }


def _report(
    draw: _Draw, observations: Sequence[Resource], about: Resource, organisation: Resource, at: datetime
) -> Resource:
    return _resource(draw, "DiagnosticReport") | {
        "status": "final",
        "category": [_coded(f"{_TERMINOLOGY}/v2-0074", "LAB")],
        "code": _named("sample blood panel"),
        **about,
        "effectiveDateTime": at.isoformat(),
        "issued": (at + timedelta(hours=4)).isoformat(timespec="milliseconds"),
        "performer": [_to(organisation)],
        "result": [_to(observation) for observation in observations],
    }


def _medication(draw: _Draw, reason: Resource, about: Resource, author: Resource, at: datetime) -> Resource:
    return _resource(draw, "MedicationRequest") | {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": _named(draw.one_of(_MEDICINES)),
        **about,
        "authoredOn": at.isoformat(),
        "requester": _to(author),
        "reasonReference": [_to(reason)],
        "dosageInstruction": [{"sequence": 1, "doseAndRate": [{"doseQuantity": {"value": Decimal("1.50")}}]}],
    }


def _immunization(draw: _Draw, about: Resource, author: Resource, at: datetime) -> Resource:
    return _resource(draw, "Immunization") | {
        "status": "completed",
        "vaccineCode": _named(draw.one_of(_VACCINES)),
        "patient": about["subject"],
        "encounter": about["encounter"],
        "occurrenceDateTime": at.isoformat(),
        "primarySource": True,
        "performer": [{"actor": _to(author)}],
    }


def _observation(
    draw: _Draw, row: tuple[str, str, str, int, int], category: str, about: Resource, author: Resource, at: datetime
) -> Resource:
    code, name, unit, low, high = row
    return _resource(draw, "Observation") | {
        "status": "final",
        "category": [_coded(f"{_TERMINOLOGY}/observation-category", category)],
        "code": {"coding": [{"system": _LOINC, "code": code}], "text": name},
        **about,
        "effectiveDateTime": at.isoformat(),
        "issued": at.isoformat(timespec="milliseconds"),
        "performer": [_to(author)],
        "valueQuantity": {"value": draw.decimal(low, high), "unit": unit, "system": _UNITS, "code": unit},
    }


def _patient(draw: _Draw, seed: int) -> Resource:
    born = datetime(1930, 1, 1, tzinfo=UTC) + timedelta(days=draw.below(85 * 365))
    return _resource(draw, "Patient") | {
        "identifier": [{"system": f"{_IDENTIFIERS}/patient", "value": f"synthetic-{seed}"}],
        "name": [{"family": f"Testperson-{seed}", "given": [draw.one_of(_GIVEN)]}],
        "gender": draw.one_of(("female", "male", "other", "unknown")),
        "birthDate": born.date().isoformat(),
        "address": [{"city": draw.one_of(_CITIES), "country": "XX"}],
    }


def _organisation(number: int) -> tuple[Resource, Resource]:
    """Return an organisation and its practitioner, the same in every bundle."""
    draw = _Draw(f"organisation {number}")
    city = _CITIES[number % len(_CITIES)]
    organisation = _resource(draw, "Organization") | {
        "identifier": [{"system": f"{_IDENTIFIERS}/organisation", "value": f"synthetic-organisation-{number}"}],
        "active": True,
        "name": f"Synthetic Hospital {number} of {city}",
    }
    practitioner = _resource(draw, "Practitioner") | {
        "identifier": [{"system": f"{_IDENTIFIERS}/practitioner", "value": f"synthetic-practitioner-{number}"}],
        "active": True,
        "name": [{"family": f"Testdoctor-{number}", "given": [draw.one_of(_GIVEN)], "prefix": ["Dr."]}],
    }
    return organisation, practitioner


def _allergy(draw: _Draw, patient: Resource) -> Resource:
    return _resource(draw, "AllergyIntolerance") | {
        "clinicalStatus": _coded(f"{_TERMINOLOGY}/allergyintolerance-clinical", "active"),
        "verificationStatus": _coded(f"{_TERMINOLOGY}/allergyintolerance-verification", "confirmed"),
        "code": _named(draw.one_of(_ALLERGENS)),
        "patient": _to(patient),
        "recordedDate": (_FIRST_DAY + timedelta(days=draw.below(_DAYS))).isoformat(),
    }


def _resource(draw: _Draw, resource_type: str) -> Resource:
    label: Resource = {"system": f"{_TERMINOLOGY}/v3-ActReason", "code": "HTEST"}
    return {"resourceType": resource_type, "id": draw.identifier(), "meta": {"security": [label]}}


def _entry(resource: Resource) -> Resource:
    request: Resource = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource, "request": request}


def _to(resource: Resource) -> Resource:
    return {"reference": f"urn:uuid:{resource['id']}"}


def _coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _named(text: str) -> Resource:
    return {"coding": [{"system": _CODES, "code": text.replace(" ", "-")}], "text": text}


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
