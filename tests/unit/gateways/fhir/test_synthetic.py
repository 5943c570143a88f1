# SPDX-License-Identifier: Apache-2.0
"""Made-up bundles: the same bytes for the same seed on every Python, ten types, decimals with their last zero."""

import hashlib
import re
import subprocess
import sys

import pytest

from vervain.gateways.fhir.bundle import read_fhir_bytes
from vervain.gateways.fhir.synthetic import ORGANISATIONS_MAX, generate_bundle

SHA256_OF_SEED_1 = "4a065700ab2c0944bc769a5d5446d567388b0bbd2e35594825d9ac29d8d3fb83"


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_same_seed_gives_same_bytes_in_every_process(hash_seed: str) -> None:
    """
    Given seed 1 and two processes with other hash seeds.
    When each makes the bundle.
    Then it has the digest written here.
    """
    program = (
        "import sys; from vervain.gateways.fhir.synthetic import generate_bundle as g; sys.stdout.buffer.write(g(1))"
    )
    made = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert hashlib.sha256(made.stdout).hexdigest() == SHA256_OF_SEED_1


def test_bundle_has_ten_types_and_synthetic_people_only() -> None:
    """
    Given a made-up bundle of two organisations.
    When it is read.
    Then it holds the ten types, every resource is labelled as test data, and names say that they are made up.
    """
    source = generate_bundle(7)
    resources = read_fhir_bytes(source)
    assert {each.resource_type for each in resources} == {
        "AllergyIntolerance",
        "Condition",
        "DiagnosticReport",
        "Encounter",
        "Immunization",
        "MedicationRequest",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
    }
    assert source.count(b'"HTEST"') == len(resources)
    families = re.findall(rb'"family": "([A-Za-z]+)-[0-9]+"', source)
    assert set(families) == {b"Testperson", b"Testdoctor"} and len(families) == source.count(b'"family"')


def test_decimals_keep_two_digits() -> None:
    """
    Given a made-up bundle.
    When the values of its quantities are looked at as text.
    Then each has two digits after the point, 1.50 among them.
    """
    values = re.findall(rb'"value": ([^"\s,}]+)', generate_bundle(7))
    assert [value for value in values if not re.fullmatch(rb"\d+\.\d\d", value)] == []
    assert b"1.50" in values


def test_patient_has_encounters_at_each_organisation() -> None:
    """
    Given one patient at five organisations, and another.
    When the bundles are read.
    Then the patient's records lie with all five, and the other patient has another id.
    """
    first, second = (read_fhir_bytes(generate_bundle(seed, organisations=range(5))) for seed in (1, 2))
    assert len({each.custodian for each in first if each.resource_type == "Encounter"}) == 5
    assert {each.custodian for each in first} == {each.custodian for each in second}
    assert first[0].id != second[0].id


def test_more_organisations_than_the_maximum_are_refused() -> None:
    """
    Given one organisation more than a patient may visit.
    When a bundle is asked for.
    Then it is refused.
    """
    with pytest.raises(ValueError, match="at most 100"):
        generate_bundle(1, organisations=range(ORGANISATIONS_MAX + 1))
