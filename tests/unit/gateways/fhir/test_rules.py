# SPDX-License-Identifier: Apache-2.0
"""The published rules: the document lists exactly those of the code, with the same words; errors say them."""

import re

from tests.unit.gateways.fhir.sample_files import ROOT
from vervain.gateways.errors import GatewayError
from vervain.gateways.fhir.rules import RULES, BadFile, BrokenRule, Position
from vervain.ledger.primitives.errors import Diagnostics

DOCUMENT = ROOT / "docs" / "concepts" / "fhir-import.md"


def test_document_lists_the_rules_of_the_code() -> None:
    """
    Given the table of rules in the document.
    When its ids, words and advice are compared with the code.
    Then they are equal, in the same order.
    """
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \|$", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert rows == [(rule.id, rule.broken, rule.do) for rule in RULES.values()]


def test_refused_file_says_what_why_and_what_to_do() -> None:
    """
    Given a broken rule and the file it was found in.
    When it is told to a person.
    Then file, place, reason and advice are there, and both errors are gateway errors.
    """
    broken = BrokenRule("r4-date", path="Patient.birthDate")
    refused = BadFile("a.json", Position(offset=7, entry=2), broken.reason, do=broken.rule.do)
    reason = "Patient.birthDate: a date does not exist in the calendar (rule r4-date)"
    assert refused.diagnostics() == Diagnostics(
        what="Nothing was imported from a.json",
        why=f"entry 2, byte 7: {reason}",
        do="Have the system that wrote the file correct it.",
    )
    assert isinstance(broken, GatewayError) and isinstance(refused, GatewayError)


def test_position_before_the_first_entry_names_the_byte_only() -> None:
    """
    Given a position outside every entry.
    When it is written.
    Then it is the byte alone.
    """
    assert str(Position(offset=7)) == "byte 7"
