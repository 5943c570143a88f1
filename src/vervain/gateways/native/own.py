# SPDX-License-Identifier: Apache-2.0
"""What only the one it concerns may see: own accesses, consents and records.

The asker signs with a key that is active on the ledger, and sees what stands under its own id: a patient's
pseudonym as grantor or subject, a member as custodian. There is no parameter to name anybody else.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.endpoint import OWN, Endpoint, json_answer, natural_parameter
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.private import ASKER_PROBLEMS, asker_of, private
from vervain.gateways.native.requests import query_natural, require_known_query
from vervain.readmodel import queries
from vervain.readmodel.queries import AccessFilter, AccessRow, ConsentRow, RecordRow
from vervain.sdk.contract import PAGE_ROWS_MAX


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


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    return (
        Endpoint(
            method="GET",
            path="/v1/me/accesses",
            handle=read_own_accesses,
            group=OWN,
            summary="Who read by my consents.",
            text="For a patient's pseudonym: reads under its own consents. For a member: reads in its custody.",
            parameters=(natural_parameter("before", "query", "Go on below this access number.", "100"),),
            answer=json_answer(AccessesAnswer, "A page, newest first."),
            problems=ASKER_PROBLEMS,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/consents",
            handle=read_own_consents,
            group=OWN,
            summary="The consents I gave.",
            answer=json_answer(ConsentsAnswer, "The newest, newest first."),
            problems=ASKER_PROBLEMS,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/records",
            handle=read_own_records,
            group=OWN,
            summary="The records about me, or in my custody.",
            text="Numbers and commitments; the documents stay with their custodian.",
            parameters=(natural_parameter("after", "query", "Go on above this record number.", "100"),),
            answer=json_answer(RecordsAnswer, "A page, oldest first."),
            problems=ASKER_PROBLEMS,
            is_signed=True,
        ),
    )
