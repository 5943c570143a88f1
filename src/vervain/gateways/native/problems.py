# SPDX-License-Identifier: Apache-2.0
"""Errors told over HTTP: one table from kind to status, and problem documents (RFC 9457).

The fence's six kinds keep their statuses everywhere; gateways own no other table. A problem document holds ids and
reasons only, never a value of the request.

Source: RFC 9457; style.md section 4; RFC 9110 sections 15.5 and 15.6.
"""

from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vervain.engines.engine import FinalOutcome
from vervain.engines.errors import EngineError
from vervain.gateways.errors import GatewayError
from vervain.ledger.machine.refusals import (
    Conflict,
    Forbidden,
    LimitExceeded,
    MachineReason,
    Malformed,
    NotFound,
    Reason,
    Refusal,
    Unauthenticated,
)
from vervain.ledger.primitives.codec import NotCanonical, encode
from vervain.ledger.primitives.errors import ProofError, VervainError
from vervain.node.hosting import OverQuota
from vervain.sdk.contract import PROBLEM, Problem
from vervain.sealing.errors import SealBroken
from vervain.storage.errors import Full, StorageError
from vervain.vault.errors import AlreadyStored, AskedTooOften, KeyErased, NotReleased, NotStored, TooLargeToRelease

RETRY_SECONDS: Final = 1  # a full pool empties within a block
NO_TXID: Final = bytes(32)
_RETRY_LATER: Final = (MachineReason.POOL_FULL, MachineReason.TOO_MANY_UNEXPIRED)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problem: its name in `type`, its HTTP status and its title."""

    name: str
    status: int
    title: str


MALFORMED: Final = Kind(name="malformed", status=400, title="The request does not have the agreed form")
UNAUTHENTICATED: Final = Kind(name="unauthenticated", status=401, title="The signature or key does not count")
FORBIDDEN: Final = Kind(name="forbidden", status=403, title="The signer may not do this")
NOT_FOUND: Final = Kind(name="not-found", status=404, title="It is not here")
METHOD_NOT_ALLOWED: Final = Kind(name="method-not-allowed", status=405, title="The resource has no such method")
CONFLICT: Final = Kind(name="conflict", status=409, title="It does not fit what is so now")
TOO_LARGE: Final = Kind(name="too-large", status=413, title="The request is larger than the node takes")
MEDIA_TYPE: Final = Kind(name="media-type", status=415, title="The body has another media type than asked")
GONE: Final = Kind(name="erased", status=410, title="It was erased on purpose")
UNPROVABLE: Final = Kind(name="unprovable", status=422, title="It cannot be proved")
LIMIT_EXCEEDED: Final = Kind(name="limit-exceeded", status=429, title="A named maximum is reached")
OVER_QUOTA: Final = Kind(name="over-quota", status=429, title="The hosted member's quota is used up")
INTERNAL: Final = Kind(name="internal", status=500, title="The node failed")
UNAVAILABLE: Final = Kind(name="unavailable", status=503, title="The node takes no requests now")
FULL: Final = Kind(name="full", status=507, title="The node's disk is full")

KINDS: Final = (
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    CONFLICT,
    GONE,
    TOO_LARGE,
    MEDIA_TYPE,
    UNPROVABLE,
    LIMIT_EXCEEDED,
    OVER_QUOTA,
    INTERNAL,
    UNAVAILABLE,
    FULL,
)

KIND_OF_ERROR: Final[dict[type[Exception], Kind]] = {
    Malformed: MALFORMED,
    Unauthenticated: UNAUTHENTICATED,
    Forbidden: FORBIDDEN,
    NotFound: NOT_FOUND,
    Conflict: CONFLICT,
    LimitExceeded: LIMIT_EXCEEDED,
    NotCanonical: MALFORMED,
    GatewayError: MALFORMED,
    ProofError: UNPROVABLE,
    OverQuota: OVER_QUOTA,
    EngineError: UNAVAILABLE,
    KeyErased: GONE,
    NotStored: NOT_FOUND,
    AlreadyStored: CONFLICT,
    NotReleased: NOT_FOUND,
    AskedTooOften: LIMIT_EXCEEDED,
    TooLargeToRelease: TOO_LARGE,
    SealBroken: FORBIDDEN,
    Full: FULL,
    StorageError: INTERNAL,
    VervainError: INTERNAL,
}
"""The nearest class of an error decides."""

_KIND_OF_STATUS: Final = {kind.status: kind for kind in reversed(KINDS)}


class RequestProblem(GatewayError):
    """A request that the gateway itself refuses: its form, size, media type or authorization."""

    def __init__(self, kind: Kind, what: str, *, why: str = "", do: str = "", retry_seconds: int = 0) -> None:
        super().__init__(what, why=why, do=do)
        self.kind, self.retry_seconds = kind, retry_seconds


def kind_of(error: Exception) -> Kind:
    """Return the kind of an error that is expected to happen."""
    if isinstance(error, RequestProblem):
        return error.kind
    return next(KIND_OF_ERROR[each] for each in type(error).__mro__ if each in KIND_OF_ERROR)


def problem_of(error: VervainError) -> Problem:
    """Return the problem document of an error."""
    kind, told = kind_of(error), error.diagnostics()
    reason = error.reason if isinstance(error, Refusal) else None
    return Problem(
        type=problem_type(kind),
        title=kind.title,
        status=kind.status,
        detail=str(error),
        what=told.what,
        why=told.why,
        do=told.do,
        code=msgspec.UNSET if reason is None else int(reason),
        reason=msgspec.UNSET if reason is None else reason.name,
    )


def problem_of_outcome(outcome: FinalOutcome, reason: Reason) -> Problem:
    """Return the problem document of a refused transaction."""
    kind = KIND_OF_ERROR[reason.kind]
    detail = ". ".join(part.rstrip(".") for part in (reason.what, outcome.why, reason.do) if part)
    return Problem(
        type=problem_type(kind),
        title=kind.title,
        status=kind.status,
        detail=detail,
        what=reason.what,
        why=outcome.why,
        do=reason.do,
        code=outcome.code,
        reason=reason.name,
        txid=msgspec.UNSET if outcome.txid == NO_TXID else outcome.txid,
        failed_entry=outcome.failed_entry,
        height=outcome.height,
        leaf_index=outcome.leaf_index,
        is_repeat=outcome.is_repeat,
    )


def problem_type(kind: Kind) -> str:
    """Return the `type` of a problem: where its kind is described."""
    return f"/v1/problems#{kind.name}"


def response_of(problem: Problem, *, headers: dict[str, str] | None = None) -> Response:
    """Return the HTTP answer that carries a problem."""
    named = dict(headers or {})
    if problem.status == UNAUTHENTICATED.status:
        named["WWW-Authenticate"] = "Vervain"
    if problem.status == UNAVAILABLE.status or problem.code in _RETRY_LATER:
        named.setdefault("Retry-After", str(RETRY_SECONDS))
    return Response(encode(problem), problem.status, named, media_type=PROBLEM)


# Handlers that Starlette calls


async def tell_error(_request: Request, error: Exception) -> Response:
    """Answer an expected error."""
    assert isinstance(error, VervainError)
    seconds = error.retry_seconds if isinstance(error, OverQuota | AskedTooOften | RequestProblem) else 0
    return response_of(problem_of(error), headers={"Retry-After": str(seconds)} if seconds else None)


async def tell_http_error(_request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    kind = _KIND_OF_STATUS.get(error.status_code, MALFORMED)
    problem = Problem(
        type=problem_type(kind),
        title=kind.title,
        status=error.status_code,
        detail=f"{kind.title}. See /openapi.json for what this node answers.",
        what=kind.title,
        do="See /openapi.json for what this node answers.",
    )
    return response_of(problem, headers=dict(error.headers or {}))


async def tell_unexpected(_request: Request, _error: Exception) -> Response:
    """Answer a fault of the node, without saying anything about its inside. The server logs it."""
    problem = Problem(
        type=problem_type(INTERNAL),
        title=INTERNAL.title,
        status=INTERNAL.status,
        detail="The node failed. Nothing was changed, or it is on the ledger: sending the same bytes again is safe.",
        what="The node failed",
        why="See the node's log.",
        do="Send the same bytes again later; they count once only.",
    )
    return response_of(problem)
