# SPDX-License-Identifier: Apache-2.0
"""Reading what is agreed: head, genesis, blocks, outcomes, questions by name, counts, and what each problem means."""

import typing
from functools import lru_cache
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.described import described, portable
from vervain.gateways.native.endpoint import HEIGHT, OBJECT, READING, Body, Endpoint, Parameter, json_answer
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import (
    CONFLICT,
    FORBIDDEN,
    KIND_OF_ERROR,
    KINDS,
    LIMIT_EXCEEDED,
    MALFORMED,
    MEDIA_TYPE,
    NOT_FOUND,
    TOO_LARGE,
    Kind,
    RequestProblem,
)
from vervain.gateways.native.requests import path_natural, read_body, require_known_query
from vervain.ledger.machine.module import Catalogue, Query
from vervain.ledger.machine.refusals import MachineReason, Malformed, NotFound
from vervain.ledger.primitives.codec import Natural, encode
from vervain.readmodel import queries
from vervain.sdk.contract import JSON, QUERY_BYTES_MAX, BlockAnswer, Head

IMMUTABLE: Final = {"Cache-Control": "public, max-age=31536000, immutable"}  # final: it never changes


class QuestionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A question that `POST /v1/queries/{name}` answers, with the JSON Schemas of its arguments and its answer."""

    name: str
    summary: str
    arguments: dict[str, Any]  # Any: a JSON Schema
    answer: dict[str, Any]  # Any: a JSON Schema


class ReasonEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered reason: a refusal's code, its name, its kind, and its words."""

    code: Natural
    reason: str
    kind: str
    what: str
    do: str


class ProblemsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every kind of problem, and every reason of a refusal."""

    kinds: tuple[Kind, ...]
    reasons: tuple[ReasonEntry, ...]


async def read_head(gateway: NativeGateway, request: Request) -> Response:
    """Return the newest durable block's height, time and roots."""
    require_known_query(request)
    head = gateway.node.head
    answer = Head(
        chain=gateway.node.chain,
        height=head.height,
        time=head.time,
        log_size=head.log_size,
        log_root=head.log_root,
        app_hash=head.app_hash,
    )
    return Response(encode(answer), media_type=JSON)


async def read_genesis(gateway: NativeGateway, request: Request) -> Response:
    """Return the canonical content that the chain was founded on; its digest is in the chain's name."""
    require_known_query(request)
    return Response(gateway.node.genesis, media_type=JSON, headers=IMMUTABLE)


def read_block(gateway: NativeGateway, request: Request) -> Response:
    """Return a stored block."""
    require_known_query(request)
    block = gateway.node.block(_height(gateway, request))
    transactions = tuple(map(msgspec.Raw, block.transactions))
    answer = BlockAnswer(height=block.height, time=block.time, transactions=transactions)
    return Response(encode(answer), media_type=JSON, headers=IMMUTABLE)


def read_outcomes(gateway: NativeGateway, request: Request) -> Response:
    """Return what came of each transaction of a block, in their order."""
    require_known_query(request)
    height = _height(gateway, request)
    with gateway.node.view() as state:
        outcomes = state.outcomes(height)
    if outcomes is None:
        raise NotFound(MachineReason.ROW_NOT_FOUND, height=height)
    return Response(outcomes, media_type=JSON, headers=IMMUTABLE)


async def list_queries(gateway: NativeGateway, request: Request) -> Response:
    """Return the questions that can be asked, with the schemas of their arguments and answers."""
    require_known_query(request)
    return Response(_questions(gateway.catalogue), media_type=JSON)


async def ask_query(gateway: NativeGateway, request: Request) -> Response:
    """Answer a question by name from the newest committed state."""
    require_known_query(request)
    arguments = await read_body(request, media_type=JSON, bytes_max=QUERY_BYTES_MAX)
    name = request.path_params["name"]
    if name not in gateway.catalogue.queries:
        raise RequestProblem(NOT_FOUND, "There is no such question", do="The node lists its questions at /v1/queries.")
    try:
        answer = await run_in_threadpool(gateway.node.query, name, arguments)
    except Malformed as refused:
        if refused.reason is not MachineReason.NOT_CANONICAL:
            raise
        raise RequestProblem(
            MALFORMED,
            "These are not the question's arguments",
            why=refused.why,
            do="The node tells each question's arguments at /v1/queries.",
        ) from None
    return Response(answer, media_type=JSON)


def read_statistics(gateway: NativeGateway, request: Request) -> Response:
    """Return counts of the whole chain; a count below ten is told as 0."""
    require_known_query(request)
    return Response(encode(queries.statistics(gateway.read_model())), media_type=JSON)


async def list_problems(gateway: NativeGateway, request: Request) -> Response:
    """Return every kind of problem and every reason of a refusal, with what to do."""
    require_known_query(request)
    return Response(_problems(gateway.catalogue), media_type=JSON)


def answer_type(query: Query) -> Any:  # Any: a Struct type
    """Return the type that a question is answered with."""
    return typing.get_type_hints(query.answer)["return"]


@lru_cache(maxsize=4)
def _questions(catalogue: Catalogue) -> bytes:
    return encode(
        tuple(
            QuestionEntry(
                name=name,
                summary=query.summary,
                arguments=portable(msgspec.json.schema(query.arguments)),
                answer=portable(msgspec.json.schema(answer_type(query))),
            )
            for name, query in sorted(catalogue.queries.items())
        )
    )


@lru_cache(maxsize=4)
def _problems(catalogue: Catalogue) -> bytes:
    reasons = tuple(
        ReasonEntry(code=code, reason=reason.name, kind=KIND_OF_ERROR[reason.kind].name, what=reason.what, do=reason.do)
        for code, reason in sorted(catalogue.reasons.items())
    )
    return encode(ProblemsAnswer(kinds=KINDS, reasons=reasons))


def _height(gateway: NativeGateway, request: Request) -> int:
    """Return the height in the path, which is not above the head.

    Refuses: NotFound.
    """
    height = path_natural(request, "height")
    if height > gateway.node.head.height:
        raise NotFound(MachineReason.ROW_NOT_FOUND, height=height)
    return height


def endpoints(catalogue: Catalogue) -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    types = described(catalogue)
    return (
        Endpoint(
            method="GET",
            path="/v1/head",
            handle=read_head,
            group=READING,
            summary="The newest durable block.",
            answer=json_answer(Head, "Height, time, log size and roots."),
        ),
        Endpoint(
            method="GET",
            path="/v1/genesis",
            handle=read_genesis,
            group=READING,
            summary="What the chain was founded on.",
            text="The canonical content; its digest is in the chain's name.",
            answer=json_answer(OBJECT, "The canonical genesis content."),
        ),
        Endpoint(
            method="GET",
            path="/v1/blocks/{height}",
            handle=read_block,
            group=READING,
            summary="One stored block.",
            text="Its transactions in order, each in its canonical encoding; block 0 holds the genesis content.",
            parameters=(HEIGHT,),
            answer=json_answer(types.block, "The block."),
            problems=(NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/outcomes/{height}",
            handle=read_outcomes,
            group=READING,
            summary="What came of each transaction of a block.",
            parameters=(HEIGHT,),
            answer=json_answer(types.outcomes, "Outcomes in the order of the transactions."),
            problems=(NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/queries",
            handle=list_queries,
            group=READING,
            summary="The questions that can be asked, with their schemas.",
            answer=json_answer(tuple[QuestionEntry, ...], "Questions, sorted by name."),
        ),
        Endpoint(
            method="POST",
            path="/v1/queries/{name}",
            handle=ask_query,
            group=READING,
            summary="Ask a question about agreed rows.",
            text="Arguments are one canonical JSON object; `GET /v1/queries` has the schema of each question.",
            parameters=(
                Parameter(
                    name="name",
                    where="path",
                    schema={"type": "string", "enum": sorted(catalogue.queries)},
                    text="Name of the question.",
                    example=min(catalogue.queries),
                ),
            ),
            body=Body(
                media_type=JSON, bytes_max=QUERY_BYTES_MAX, schema=OBJECT, text="The question's arguments.", example={}
            ),
            answer=json_answer(OBJECT, "The answer, from the newest committed state."),
            problems=(FORBIDDEN, NOT_FOUND, CONFLICT, LIMIT_EXCEEDED, TOO_LARGE, MEDIA_TYPE),
        ),
        Endpoint(
            method="GET",
            path="/v1/statistics",
            handle=read_statistics,
            group=READING,
            summary="Counts of the whole chain.",
            text="A count below ten is told as 0, so that no number is about a few people.",
            answer=json_answer(dict[str, int], "Counts by kind."),
        ),
        Endpoint(
            method="GET",
            path="/v1/problems",
            handle=list_problems,
            group=READING,
            summary="Every kind of problem and every refusal's code, in words.",
            answer=json_answer(ProblemsAnswer, "Kinds and reasons."),
        ),
    )
