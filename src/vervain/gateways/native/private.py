# SPDX-License-Identifier: Apache-2.0
"""Who asks for its own, and an answer that only the asker may keep."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.authentication import Asker
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import LIMIT_EXCEEDED, UNAUTHENTICATED
from vervain.ledger.primitives.codec import encode
from vervain.sdk.contract import JSON

PRIVATE: Final = {"Cache-Control": "no-store"}
ASKER_PROBLEMS: Final = (UNAUTHENTICATED, LIMIT_EXCEEDED)  # of every route that `asker_of` guards


def asker_of(gateway: NativeGateway, request: Request) -> Asker:
    """Return who signed the request.

    Raises: RequestProblem.
    """
    with gateway.node.view() as state:
        return gateway.authenticator.asker(request, state)


def private(answer: msgspec.Struct) -> Response:
    """Answer what nobody on the way may keep."""
    return Response(encode(answer), media_type=JSON, headers=PRIVATE)
