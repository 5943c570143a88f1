# SPDX-License-Identifier: Apache-2.0
"""What a patient fetches of its own: notices of reads, keys of its documents, the documents as they are kept.

Rules kept:
1. The asker signs with a key that is active on the ledger, and gets what stands under its own pseudonym, at the
   organisation of that pseudonym. There is no parameter to name anybody else.
2. Whoever is nobody's patient here gets empty pages, and for each record the same refusal.
"""

from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.endpoint import OWN, STRING, Answer, Endpoint, json_answer, natural_parameter
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.private import ASKER_PROBLEMS, PRIVATE, asker_of, private
from vervain.gateways.native.problems import GONE, NOT_FOUND, TOO_LARGE, RequestProblem
from vervain.gateways.native.requests import path_natural, query_natural, require_known_query
from vervain.node.asking import REQUESTS_PER_MINUTE_MAX
from vervain.node.desk import MemberDesk
from vervain.node.handing_out import own_document, own_notices, own_wraps
from vervain.sdk.contract import OCTETS, OwnNoticesAnswer, OwnWrapsAnswer


def read_own_notices(gateway: NativeGateway, request: Request) -> Response:
    """Return the notices that are sealed to the asker."""
    require_known_query(request, "after")
    desk, subject = _at_custodian(gateway, request)
    return private(own_notices(desk, subject, after=query_natural(request, "after", 0)))


def read_own_wraps(gateway: NativeGateway, request: Request) -> Response:
    """Return the keys of the asker's own documents, sealed to the asker; written down as releases."""
    require_known_query(request, "after")
    desk, subject = _at_custodian(gateway, request)
    return private(own_wraps(desk, subject, after=query_natural(request, "after", 0)))


def read_own_document(gateway: NativeGateway, request: Request) -> Response:
    """Return the ciphertext of one of the asker's own documents."""
    require_known_query(request)
    desk, subject = _at_custodian(gateway, request)
    ciphertext = own_document(desk, subject, path_natural(request, "record"))
    return Response(ciphertext, media_type=OCTETS, headers=PRIVATE)


def _at_custodian(gateway: NativeGateway, request: Request) -> tuple[MemberDesk, bytes]:
    """Return the desk of the asker's organisation, and the asker.

    Raises: RequestProblem.
    """
    asker = asker_of(gateway, request)
    desk = gateway.desk(asker.organisation)
    if desk is None:
        raise RequestProblem(
            NOT_FOUND,
            "The organisation that keeps your documents is not served by this node",
            do="Ask that organisation's own node.",
        )
    return desk, asker.actor


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    return (
        Endpoint(
            method="GET",
            path="/v1/me/notices",
            handle=read_own_notices,
            group=OWN,
            summary="The notices of reads that are sealed to me.",
            text="Kept before any key was handed out to the reader. Each opens with the relationship's key alone.",
            parameters=(natural_parameter("after", "query", "Leave out so many, the oldest ones.", "100"),),
            answer=json_answer(OwnNoticesAnswer, "A page, oldest first."),
            problems=ASKER_PROBLEMS,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/wraps",
            handle=read_own_wraps,
            group=OWN,
            summary="The keys of my own documents, sealed to me.",
            text="Sealed to the X25519 key that the ledger has for the asker now. Each is written down as released. "
            f"A patient is answered {REQUESTS_PER_MINUTE_MAX} times a minute.",
            parameters=(natural_parameter("after", "query", "The `next` of the page before.", "100"),),
            answer=json_answer(OwnWrapsAnswer, "A page."),
            problems=(*ASKER_PROBLEMS, NOT_FOUND, GONE),
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/documents/{record}",
            handle=read_own_document,
            group=OWN,
            summary="The ciphertext of one of my own documents.",
            text="As the custodian keeps it. What is another's, was erased or is not there is answered alike.",
            parameters=(natural_parameter("record", "path", "Record number.", "1"),),
            answer=Answer(media_type=OCTETS, schema=STRING, text="A sealed document."),
            problems=(*ASKER_PROBLEMS, NOT_FOUND, TOO_LARGE),
            is_signed=True,
        ),
    )
