# SPDX-License-Identifier: Apache-2.0
"""Every kind of expected error has one status, and its problem document says what, why and what to do."""

import asyncio
import inspect
from collections.abc import Iterator

import msgspec
import pytest
from starlette.requests import Request

from vervain.engines.errors import OutOfSync, Unreachable
from vervain.gateways.errors import GatewayError
from vervain.gateways.native.problems import (
    KIND_OF_ERROR,
    KINDS,
    MALFORMED,
    RequestProblem,
    kind_of,
    problem_of,
    tell_error,
)
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine import refusals
from vervain.ledger.machine.refusals import MachineReason, Refusal
from vervain.ledger.primitives.codec import NotCanonical
from vervain.ledger.primitives.errors import ProofError, VervainError
from vervain.node.config import ConfigError
from vervain.node.hosting import OverQuota
from vervain.sdk.contract import PROBLEM, Problem
from vervain.storage.errors import Full, StorageError
from vervain.vault.errors import KeyErased, NotReleased, NotStored, Tampered

STATUSES: dict[type[VervainError], int] = {
    refusals.Malformed: 400,
    refusals.Unauthenticated: 401,
    refusals.Forbidden: 403,
    refusals.NotFound: 404,
    refusals.Conflict: 409,
    refusals.LimitExceeded: 429,
    NotCanonical: 400,
    GatewayError: 400,
    ProofError: 422,
    Unreachable: 503,
    OutOfSync: 503,
    StorageError: 500,
    Full: 507,
    KeyErased: 410,
    NotStored: 404,
    NotReleased: 404,
    Tampered: 500,
    ConfigError: 500,
}


def _errors() -> Iterator[tuple[VervainError, int]]:
    for error, status in STATUSES.items():
        if issubclass(error, Refusal):
            reason = next(each for each in CATALOGUE.reasons.values() if each.kind is error)
            yield error(reason), status
        else:
            yield error("What happened", why="Why", do="What to do."), status


@pytest.mark.parametrize(("error", "status"), list(_errors()), ids=lambda value: type(value).__name__)
def test_kind_decides_the_status(error: VervainError, status: int) -> None:
    """
    Given an expected error.
    When it is told over HTTP.
    Then its status is that of its nearest kind, and the document says what, and what to do.
    """
    answer = asyncio.run(tell_error(Request({"type": "http"}), error))
    told = msgspec.json.decode(answer.body, type=Problem)
    assert (answer.status_code, answer.media_type, told) == (status, PROBLEM, problem_of(error))
    assert (told.status, told.what, told.do) == (status, error.what, error.do)


def test_every_reason_of_the_catalogue_has_a_status() -> None:
    """
    Given every numbered reason.
    When its kind is looked up.
    Then it is one of the six, with 400, 401, 403, 404, 409 or 429.
    """
    statuses = {KIND_OF_ERROR[reason.kind].status for reason in CATALOGUE.reasons.values()}
    assert statuses <= {400, 401, 403, 404, 409, 429}


def test_every_error_of_the_gateway_and_every_kind_of_refusal_is_in_the_table() -> None:
    """
    Given the six kinds of refusal, and any error of ours.
    When its kind is asked.
    Then there is one: nothing that is expected ends as an unknown fault.
    """
    kinds = [each for _, each in inspect.getmembers(refusals, inspect.isclass) if Refusal in each.__bases__]
    assert set(kinds) <= set(KIND_OF_ERROR)
    assert {kind_of(error) for error, _ in _errors()} <= set(KINDS)
    assert kind_of(RequestProblem(MALFORMED, "What happened")) is MALFORMED


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (refusals.LimitExceeded(MachineReason.POOL_FULL), "1"),
        (refusals.LimitExceeded(MachineReason.TOO_LARGE), None),
        (Unreachable("What happened"), "1"),
        (OverQuota(12), "12"),
    ],
    ids=["pool_full", "too_large", "unreachable", "over_quota"],
)
def test_only_what_passes_says_when_to_come_back(error: VervainError, seconds: str | None) -> None:
    """
    Given an error that passes by itself, or one that does not.
    When it is told.
    Then only the first says after how many seconds to try again.
    """
    answer = asyncio.run(tell_error(Request({"type": "http"}), error))
    assert answer.headers.get("retry-after") == seconds
