# SPDX-License-Identifier: Apache-2.0
"""Every domain module has the one shape, and its README, tests and vectors agree with its code."""

import importlib
import re
from pathlib import Path

import pytest

from tests.tidy.module_readme import Wire, findings, readme_of, wire_of
from tests.tidy.tree import ROOT, module_folders
from vervain.ledger.machine.module import Message

FILES = ("README.md", "__init__.py", "invariants.py", "messages.py", "queries.py", "state.py")  # beside rules
TAG = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*\Z")

each_module = pytest.mark.parametrize("folder", module_folders(), ids=lambda folder: str(folder.name))

SAMPLE_WIRE = Wire(
    messages=frozenset({"consent.grant", "consent.withdraw"}),
    events=frozenset({"consent.granted"}),
    reasons={
        301: ("NO_SUCH_CONSENT", "NotFound", "No consent has this id.", "Check the id."),
        302: ("NOT_THE_GRANTOR", "Forbidden", "The signer is not the grantor.", "Let the patient sign."),
    },
)
SAMPLE_README = """# Consent

## Messages

| tag | what | refused when | counterpart |
| --- | --- | --- | --- |
| `consent.grant` | Give | not the grantor (NOT_THE_GRANTOR) | FHIR Consent, status active |
| `consent.withdraw` | End | NO_SUCH_CONSENT, NOT_THE_GRANTOR | none: FHIR has no such act |

## Reasons

| code | name | kind | what happened | what to do |
| --- | --- | --- | --- | --- |
| 301 | NO_SUCH_CONSENT | NotFound | No consent has this id. | Check the id. |
| 302 | NOT_THE_GRANTOR | Forbidden | The signer is not the grantor. | Let the patient sign. |

## Events

| tag | says |
| --- | --- |
| `consent.granted` | A consent is in force. |
"""
GRANT_ROW = "| `consent.grant` | Give | not the grantor (NOT_THE_GRANTOR) | FHIR Consent, status active |\n"
REASON_ROW = "| 301 | NO_SUCH_CONSENT | NotFound | No consent has this id. | Check the id. |\n"
BREACHES = {
    "a_message_without_row": (GRANT_ROW, "", ["Messages: consent.grant has no row"]),
    "a_row_without_message": ("`consent.grant`", "`consent.give`",
        ["Messages: consent.grant has no row", "Messages: consent.give is not in the code"]),
    "two_rows": (GRANT_ROW, GRANT_ROW * 2, ["Messages: consent.grant has two rows"]),
    "a_message_without_reason": ("not the grantor (NOT_THE_GRANTOR)", "never",
        ["Messages: consent.grant names no reason"]),
    "a_reason_that_is_none": ("(NOT_THE_GRANTOR)", "(NOT_THE_OWNER)",
        ["Messages: consent.grant names NOT_THE_OWNER, which is no reason"]),
    "a_reason_that_comes_nowhere": ("NO_SUCH_CONSENT, ", "", ["Reasons: nothing says when NO_SUCH_CONSENT comes"]),
    "a_message_without_counterpart": ("| FHIR Consent, status active |", "| |",
        ["Messages: consent.grant names no FHIR, EPCIS or CDS counterpart, nor why there is none"]),
    "no_messages_at_all": ("## Messages", "## Other", ["Messages: there is no table under this heading"]),
    "a_reason_without_row": (REASON_ROW, "", ["Reasons: 301 NO_SUCH_CONSENT has no row"]),
    "another_number": ("| 301 |", "| 303 |",
        ["Reasons: 301 NO_SUCH_CONSENT has no row", "Reasons: 303 is not in the code"]),
    "another_kind": ("| NotFound |", "| Conflict |", [
        "Reasons: 301 is NO_SUCH_CONSENT | NotFound | No consent has this id. | Check the id. in the code, "
        "NO_SUCH_CONSENT | Conflict | No consent has this id. | Check the id. in the README",
    ]),
    "other_words": ("| Let the patient sign. |", "| Ask. |", [
        "Reasons: 302 is NOT_THE_GRANTOR | Forbidden | The signer is not the grantor. | Let the patient sign. "
        "in the code, NOT_THE_GRANTOR | Forbidden | The signer is not the grantor. | Ask. in the README",
    ]),
    "no_reasons_at_all": ("## Reasons", "## Other", ["Reasons: there is no table under this heading"]),
    "an_event_without_row": ("`consent.granted`", "`consent.given`",
        ["Events: consent.granted has no row", "Events: consent.given is not in the code"]),
}  # fmt: skip


@each_module
def test_module_has_the_one_shape(folder: Path) -> None:
    """
    Given a domain module's folder.
    When its files are listed.
    Then they are the five, the README and nothing else; the rules are one file or one folder.
    """
    present = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    assert present - {"rules", "rules.py"} == set(FILES)
    assert len(present & {"rules", "rules.py"}) == 1


@each_module
def test_readme_says_what_the_code_says(folder: Path) -> None:
    """
    Given a domain module's README.
    When its tables of messages, reasons and events are compared with `messages.py`.
    Then nothing is missing, invented or told otherwise.
    """
    assert "\n".join(findings(readme_of(folder), wire_of(folder.name))) == ""


@each_module
def test_every_message_has_a_rule_and_its_tag_is_a_verb(folder: Path) -> None:
    """
    Given the messages and events of a domain.
    When its `HANDLERS` and the tags are read.
    Then each message has one rule, and each tag is `<module>.<whole words>`.
    """
    rules = importlib.import_module(f"vervain.ledger.modules.{folder.name}.rules")
    handled = {message.__struct_config__.tag for message in rules.HANDLERS if issubclass(message, Message)}
    wire = wire_of(folder.name)
    assert handled == wire.messages
    tags = sorted(wire.messages | wire.events)
    assert [tag for tag in tags if not (TAG.match(tag) and tag.startswith(f"{folder.name}."))] == []


@each_module
def test_every_reason_has_a_unit_test(folder: Path) -> None:
    """
    Given the numbered reasons of a domain.
    When its unit tests are searched for their names.
    Then each is named by one: no refusal is untested.
    """
    unit = ROOT / "tests/unit/ledger/modules" / folder.name
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(unit.rglob("test_*.py")))
    names = (told[0] for told in wire_of(folder.name).reasons.values())
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


@each_module
def test_every_message_has_a_vector(folder: Path) -> None:
    """
    Given the messages of a domain.
    When its language-neutral vectors are searched for their tags.
    Then each stands in one.
    """
    vectors = ROOT / "tests/vectors" / folder.name
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(vectors.glob("*.json")))
    assert [tag for tag in sorted(wire_of(folder.name).messages) if not re.search(rf"\b{tag}(?![a-z_])", text)] == []


def test_sample_readme_agrees() -> None:
    """
    Given a README that says what the code says.
    When it is compared.
    Then nothing is found.
    """
    assert findings(SAMPLE_README, SAMPLE_WIRE) == ()


@pytest.mark.parametrize(("told", "otherwise", "found"), BREACHES.values(), ids=BREACHES.keys())
def test_planted_difference_is_found(told: str, otherwise: str, found: list[str]) -> None:
    """
    Given the same README with one thing told otherwise.
    When it is compared.
    Then exactly that is found.
    """
    assert told in SAMPLE_README
    assert list(findings(SAMPLE_README.replace(told, otherwise), SAMPLE_WIRE)) == found
