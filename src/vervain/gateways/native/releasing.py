# SPDX-License-Identifier: Apache-2.0
"""Handing out documents under a grant. The desk decides; who may not have a document is told that nothing is here."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.own import private
from vervain.gateways.native.problems import NOT_FOUND, RequestProblem
from vervain.gateways.native.requests import path_bytes, read_body, require_known_query
from vervain.ledger.primitives.codec import decode
from vervain.node.handing_out import release_answer
from vervain.sdk.contract import JSON, RELEASE_REQUEST_BYTES_MAX, ReleaseAnswer
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
