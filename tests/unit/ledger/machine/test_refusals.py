# SPDX-License-Identifier: Apache-2.0
"""Refusals: six kinds, numbered reasons, ids only."""

import pytest

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.refusals import APPLIED, KINDS, Conflict, Forbidden, MachineReason, Refusal
from vervain.ledger.primitives.errors import Diagnostics


def test_reason_carries_code_kind_and_words() -> None:
    """
    Given a reason.
    When its parts are read.
    Then they are as written.
    """
    reason = MachineReason.ALREADY_SEEN
    assert (int(reason), reason.kind) == (9, Conflict)
    assert reason.what == "The transaction was already ordered."
    assert reason.do.startswith("Ask for its first outcome")


def test_refusal_tells_what_why_and_what_to_do() -> None:
    """
    Given a refusal with an id and a number.
    When it is told.
    Then the why names them, bytes as hex.
    """
    refusal = Conflict(MachineReason.ALREADY_SEEN, txid=b"\x0a\xff", height=3)
    expected = Diagnostics(
        what="The transaction was already ordered.",
        why="txid 0aff, height 3",
        do="Ask for its first outcome by its id; sign a new one to do it again.",
    )
    assert refusal.diagnostics() == expected


def test_reason_fixes_the_kind() -> None:
    """
    Given a reason that is a Conflict.
    When it is raised as Forbidden.
    Then an assertion stops it: one code, one kind, everywhere.
    """
    with pytest.raises(AssertionError):
        Forbidden(MachineReason.ALREADY_SEEN)


def test_codes_of_the_chain_are_unique_and_told() -> None:
    """
    Given every reason of every module.
    When they are compared.
    Then codes are unique and above 0, each has a kind of the six, and both sentences end as sentences.
    """
    reasons = list(CATALOGUE.reasons.values())
    codes = [int(reason) for reason in reasons]
    assert len(set(codes)) == len(codes) and min(codes) > APPLIED
    assert all(reason.kind in KINDS and issubclass(reason.kind, Refusal) for reason in reasons)
    assert [reason.name for reason in reasons if not (reason.what.endswith(".") and reason.do.endswith("."))] == []
