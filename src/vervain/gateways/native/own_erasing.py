# SPDX-License-Identifier: Apache-2.0
"""Erasing one's own: a custodian destroys the key of one document by its record's number.

Rules kept:
1. The custodian's own key signs the claim; neither its staff nor a patient erases here. The path of the claim is this
   route's alone, so a claim for reading erases nothing.
2. What the ledger would refuse is refused before anything is destroyed.
3. A record of anybody else, and none at all, are one and the same refusal.
4. Of one member so many erasures are taken at once as the desk allows; others are told to come again, so that they do
   not wait in the threads that serve everybody.

Source: architecture.md "Patients" (erasure); GDPR Art. 17.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.endpoint import OWN, Endpoint, json_answer, natural_parameter
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.private import ASKER_PROBLEMS, asker_of, private
from vervain.gateways.native.problems import (
    CONFLICT,
    FORBIDDEN,
    FULL,
    GONE,
    LIMIT_EXCEEDED,
    NOT_FOUND,
    RequestProblem,
    problem_of_outcome,
    response_of,
)
from vervain.gateways.native.requests import path_natural, require_known_query
from vervain.ledger.primitives.codec import Positive
from vervain.node.desk import MemberDesk
from vervain.node.sending import NotApplied
from vervain.vault.erasure_certificates import SignedErasureCertificate

RETRY_SECONDS: Final = 1  # one erasure takes about as long


class ErasureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased; the certificate's digest stands in the record's tombstone on the ledger."""

    record: Positive
    certificates: tuple[SignedErasureCertificate, ...]


def erase_own_record(gateway: NativeGateway, request: Request) -> Response:
    """Erase one document of the asker's vault; answer the signed certificate."""
    require_known_query(request)
    asker = asker_of(gateway, request)
    if not asker.is_organisation:
        raise RequestProblem(
            FORBIDDEN,
            "Only the custodian itself erases",
            why="The claim is signed by another actor than a member",
            do="Ask the organisation that keeps the document.",
        )
    desk, record = gateway.desk(asker.organisation), path_natural(request, "record")
    if desk is None:
        raise RequestProblem(NOT_FOUND, "This node does not serve your organisation", do="Ask your own node.")
    try:
        with _one_of_few(desk):
            return private(ErasureAnswer(record=record, certificates=desk.erase_record(record)))
    except NotApplied as refused:
        return response_of(problem_of_outcome(refused.outcome, refused.reason))


@contextmanager
def _one_of_few(desk: MemberDesk) -> Iterator[None]:
    """Take one of the erasures that a desk does at once.

    Raises: RequestProblem.
    """
    if not desk.erasures_asked.acquire(blocking=False):
        raise RequestProblem(
            LIMIT_EXCEEDED,
            "Your organisation is erasing another record",
            why="Erasures of one member are done one after the other",
            do=f"Ask again in {RETRY_SECONDS} s, with a new claim.",
            retry_seconds=RETRY_SECONDS,
        )
    try:
        yield
    finally:
        desk.erasures_asked.release()


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    return (
        Endpoint(
            method="POST",
            path="/v1/me/records/{record}/erasure",
            handle=erase_own_record,
            group=OWN,
            summary="Erase one document in my custody.",
            text="For a member with its own key. Destroys the document's key for good, puts the tombstone on the "
            "ledger and answers the signed certificate; the subject's other documents stay. No body. A record that is "
            "erased already is answered with status 410, one with an open dispute with 409; nothing is destroyed then. "
            "A member's erasures are done one after the other: while one is under way others are answered with 429.",
            parameters=(natural_parameter("record", "path", "Record number.", "1"),),
            answer=json_answer(ErasureAnswer, "The record and its certificates."),
            problems=(*ASKER_PROBLEMS, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, FULL),
            is_signed=True,
        ),
    )
