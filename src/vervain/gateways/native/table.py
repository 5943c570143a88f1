# SPDX-License-Identifier: Apache-2.0
"""The route table of the native API: one row a method and path. Served and documented from here, and nowhere else.

Each file has the rows of what it handles; here they are joined.
"""

from vervain.gateways.native import (
    health,
    own,
    own_documents,
    own_erasing,
    proving,
    reading,
    releasing,
    streaming,
    transactions,
)
from vervain.gateways.native.endpoint import OBJECT, RUNNING, Endpoint, json_answer
from vervain.gateways.native.openapi import read_openapi
from vervain.ledger.machine.module import Catalogue


def endpoints(catalogue: Catalogue) -> tuple[Endpoint, ...]:
    """Return the route table over a catalogue."""
    return (
        *transactions.endpoints(catalogue),
        *reading.endpoints(catalogue),
        *streaming.endpoints(),
        *proving.endpoints(),
        *own.endpoints(),
        *own_documents.endpoints(),
        *own_erasing.endpoints(),
        *releasing.endpoints(),
        *health.endpoints(),
        Endpoint(
            method="GET",
            path="/openapi.json",
            handle=read_openapi,
            group=RUNNING,
            summary="This document.",
            answer=json_answer(OBJECT, "OpenAPI 3.1."),
        ),
    )
