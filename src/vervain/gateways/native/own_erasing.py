# SPDX-License-Identifier: Apache-2.0
"""Erasing one's own: a custodian destroys the key of one document by its record's number.

Rules kept:
1. The custodian's own key signs the claim; neither its staff nor a patient erases here. The path of the claim is this
   route's alone, so a claim for reading erases nothing.
2. What the ledger would refuse is refused before anything is destroyed.
3. A record of anybody else, and none at all, are one and the same refusal.

Source: architecture.md "Patients" (erasure); GDPR Art. 17.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.own import asker_of, private
from vervain.gateways.native.problems import (
    FORBIDDEN,
    NOT_FOUND,
    RequestProblem,
    problem_of_outcome,
    response_of,
)
from vervain.gateways.native.requests import path_natural, require_known_query
from vervain.ledger.primitives.codec import Positive
from vervain.node.sending import NotApplied
from vervain.vault.erasure import SignedErasureCertificate


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
        return private(ErasureAnswer(record=record, certificates=desk.erase_record(record)))
    except NotApplied as refused:
        return response_of(problem_of_outcome(refused.outcome, refused.reason))
