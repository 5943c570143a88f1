# SPDX-License-Identifier: Apache-2.0
"""Handing out documents under a grant. The desk decides; who may not have a document is told that nothing is here."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native import examples
from vervain.gateways.native.endpoint import HEX, SHARING, Body, Endpoint, Parameter, json_answer
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.private import private
from vervain.gateways.native.problems import (
    FORBIDDEN,
    FULL,
    GONE,
    LIMIT_EXCEEDED,
    MEDIA_TYPE,
    NOT_FOUND,
    TOO_LARGE,
    RequestProblem,
)
from vervain.gateways.native.requests import path_bytes, read_body, require_known_query
from vervain.ledger.primitives.codec import decode
from vervain.node.asking import REQUESTS_PER_MINUTE_MAX
from vervain.node.handing_out import release_answer
from vervain.sdk.contract import (
    JSON,
    RELEASE_REQUEST_BYTES_MAX,
    RELEASED_BYTES_MAX,
    RELEASED_RECORDS_MAX,
    ReleaseAnswer,
)
from vervain.sealing.release_requests import ReleaseRequest


async def release_documents(gateway: NativeGateway, request: Request) -> Response:
    """Hand out keys and ciphertexts for a read request that is final on the ledger."""
    require_known_query(request)
    organisation = path_bytes(request, "organisation")
    asked = decode(await read_body(request, media_type=JSON, bytes_max=RELEASE_REQUEST_BYTES_MAX), ReleaseRequest)
    return private(await run_in_threadpool(_release, gateway, organisation, asked))


def _release(gateway: NativeGateway, organisation: bytes, asked: ReleaseRequest) -> ReleaseAnswer:
    desk = gateway.desk(organisation)
    if desk is None:
        raise RequestProblem(
            NOT_FOUND,
            "This node serves no such member",
            why="Keys are handed out by the custodian's own node",
            do="Ask the node of the custodian that the grant names.",
        )
    return release_answer(desk, asked)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    return (
        Endpoint(
            method="POST",
            path="/v1/members/{organisation}/releases",
            handle=release_documents,
            group=SHARING,
            summary="The documents and keys that a read request may have.",
            text="The request is final on the ledger and signed by the grant's reader key; nothing else is asked of "
            "who sends it, for all that is handed out is sealed to the grant's key. The notice to the patient is kept "
            f"first. At most {RELEASED_RECORDS_MAX} documents and {RELEASED_BYTES_MAX} bytes of ciphertext; "
            "`left_out` names what did not fit: send the same request again with `among` naming those. A record that "
            "may not be read and one that does not exist are answered alike. One reader's key is answered "
            f"{REQUESTS_PER_MINUTE_MAX} times a minute.",
            parameters=(
                Parameter(
                    name="organisation",
                    where="path",
                    schema=HEX,
                    text="The custodian: a member that this node serves, in lower-case hex.",
                    example="00" * 32,
                ),
            ),
            body=Body(
                media_type=JSON,
                bytes_max=RELEASE_REQUEST_BYTES_MAX,
                schema=ReleaseRequest,
                text="The request, its access number, what opens its record set, and the sealed notice.",
                example=examples.RELEASE_REQUEST,
            ),
            answer=json_answer(ReleaseAnswer, "What is released.", example=examples.RELEASE_ANSWER),
            problems=(FORBIDDEN, NOT_FOUND, GONE, TOO_LARGE, MEDIA_TYPE, LIMIT_EXCEEDED, FULL),
        ),
    )
