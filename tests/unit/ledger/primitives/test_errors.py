# SPDX-License-Identifier: Apache-2.0
"""Errors in plain words."""

from vervain.ledger.primitives.errors import Diagnostics, InvariantBroken, ProofError, VervainError


def test_error_says_what_why_and_what_to_do() -> None:
    """
    Given an error with all three parts.
    When it is told.
    Then one line holds them as sentences, and the diagnostics hold each.
    """
    error = ProofError("It is altered", why="The root differs.", do="Ask again.")
    assert str(error) == "It is altered. The root differs. Ask again"
    assert error.diagnostics() == Diagnostics(what="It is altered", why="The root differs.", do="Ask again.")


def test_error_leaves_out_what_is_not_said() -> None:
    """
    Given an error without a why and a do.
    When it is told.
    Then only the what stands there.
    """
    assert str(VervainError("It is altered")) == "It is altered"


def test_broken_invariant_is_not_caught_with_the_expected() -> None:
    """
    Given the two roots of errors.
    When they are compared.
    Then a broken invariant is none of the expected ones.
    """
    assert not issubclass(InvariantBroken, VervainError)
