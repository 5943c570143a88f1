# SPDX-License-Identifier: Apache-2.0
"""What only the one it concerns may see: own accesses, consents and records; and counts that concern nobody.

Rules kept:
1. The asker signs with a key that is active on the ledger, and sees what stands under its own id: a patient's
   pseudonym as grantor or subject, a member as custodian. There is no parameter to name anybody else.
2. Statistics are of the whole chain; a count below ten is told as 0.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.authentication import Asker
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.requests import query_natural, require_known_query
from vervain.ledger.primitives.codec import encode
from vervain.readmodel import queries
from vervain.readmodel.queries import AccessFilter, AccessRow, ConsentRow, RecordRow
from vervain.sdk.contract import JSON, PAGE_ROWS_MAX

PRIVATE: Final = {"Cache-Control": "no-store"}


class AccessesAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of accesses, newest first; `next` is the `before` of the following page, absent on the last."""

    accesses: tuple[AccessRow, ...]
    next: int | msgspec.UnsetType = msgspec.UNSET


class ConsentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The newest consents of the asker, newest first."""

    consents: tuple[ConsentRow, ...]


class RecordsAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of records, oldest first; `next` is the `after` of the following page, absent on the last."""

    records: tuple[RecordRow, ...]
    next: int | msgspec.UnsetType = msgspec.UNSET


def read_own_accesses(gateway: NativeGateway, request: Request) -> Response:
    """Return who read by the asker's consents; for a member, what was read in its custody."""
    require_known_query(request, "before")
    asker = asker_of(gateway, request)
    before = query_natural(request, "before", 0)
    asked = AccessFilter(
        grantors=() if asker.is_organisation else (asker.actor,),
        custodian=asker.actor if asker.is_organisation else msgspec.UNSET,
        before=before or msgspec.UNSET,
        rows=PAGE_ROWS_MAX,
    )
    rows = tuple(queries.accesses(gateway.read_model(), asked))
    return private(AccessesAnswer(accesses=rows, next=rows[-1].access if len(rows) == PAGE_ROWS_MAX else msgspec.UNSET))


def read_own_consents(gateway: NativeGateway, request: Request) -> Response:
    """Return the consents that the asker gave."""
    require_known_query(request)
    asker = asker_of(gateway, request)
    return private(ConsentsAnswer(consents=tuple(queries.consents(gateway.read_model(), (asker.actor,)))))


def read_own_records(gateway: NativeGateway, request: Request) -> Response:
    """Return the records about the asker; for a member, the records in its custody."""
    require_known_query(request, "after")
    asker = asker_of(gateway, request)
    after = query_natural(request, "after", 0)
    rows = tuple(
        queries.records_of(
            gateway.read_model(),
            subject=None if asker.is_organisation else asker.actor,
            custodian=asker.actor if asker.is_organisation else None,
            after=after,
            rows=PAGE_ROWS_MAX,
        )
    )
    return private(RecordsAnswer(records=rows, next=rows[-1].record if len(rows) == PAGE_ROWS_MAX else msgspec.UNSET))


def read_statistics(gateway: NativeGateway, request: Request) -> Response:
    """Return counts of the whole chain; a count below ten is told as 0."""
    require_known_query(request)
    return Response(encode(queries.statistics(gateway.read_model())), media_type=JSON)


def asker_of(gateway: NativeGateway, request: Request) -> Asker:
    """Return who signed the request.

    Raises: RequestProblem.
    """
    with gateway.node.view() as state:
        return gateway.authenticator.asker(request, state)


def private(answer: msgspec.Struct) -> Response:
    """Answer what nobody on the way may keep."""
    return Response(encode(answer), media_type=JSON, headers=PRIVATE)
