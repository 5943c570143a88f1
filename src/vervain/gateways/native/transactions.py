# SPDX-License-Identifier: Apache-2.0
"""Handing in transactions: one with its full outcome, or many at once with one short line each.

Rules kept:
1. An answer means durable and final.
2. The bytes go to the engine as they came; repeating them is safe, the first outcome is answered.
3. A bulk request is one group: either every line gets its own answer, or none was handed in.
"""

from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from vervain.engines.engine import FinalOutcome
from vervain.gateways.native import examples
from vervain.gateways.native.described import described
from vervain.gateways.native.endpoint import STRING, WRITING, Answer, Body, Endpoint, json_answer
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import (
    CONFLICT,
    FORBIDDEN,
    LIMIT_EXCEEDED,
    MALFORMED,
    MEDIA_TYPE,
    NO_TXID,
    NOT_FOUND,
    OVER_QUOTA,
    TOO_LARGE,
    UNAUTHENTICATED,
    RequestProblem,
    problem_of_outcome,
    response_of,
)
from vervain.gateways.native.requests import read_body
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.refusals import APPLIED, MachineReason
from vervain.ledger.primitives.codec import encode
from vervain.node.hosting import OverQuota
from vervain.sdk.contract import (
    BULK_BYTES_MAX,
    BULK_TRANSACTIONS_MAX,
    JSON,
    LINES,
    SUBMISSION_BYTES_MAX,
    BulkAnswer,
    TransactionAnswer,
)

APPLIED_TEXT: Final = "Applied: durable and final."
_REFUSALS: Final = (UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT, LIMIT_EXCEEDED, OVER_QUOTA, TOO_LARGE, MEDIA_TYPE)
_encode_lines: Final = msgspec.json.Encoder(order="sorted").encode_lines


async def submit_transaction(gateway: NativeGateway, request: Request) -> Response:
    """Hand in one transaction; answer its outcome, or its refusal as a problem."""
    encoded = await read_body(request, media_type=JSON, bytes_max=SUBMISSION_BYTES_MAX)
    over = await _over_quota(gateway, [encoded])
    if over:
        raise over[0]
    outcome = await gateway.intake.submit(encoded)
    if outcome.code != APPLIED:
        return response_of(problem_of_outcome(outcome, gateway.catalogue.reasons[outcome.code]))
    return Response(encode(_answer(outcome)), media_type=JSON)


async def submit_bulk(gateway: NativeGateway, request: Request) -> Response:
    """Hand in many transactions, one a line; answer one line each, in order."""
    lines = _lines(await read_body(request, media_type=LINES, bytes_max=BULK_BYTES_MAX))
    over = await _over_quota(gateway, lines)
    if over:
        fitting = [line for position, line in enumerate(lines) if position not in over]
        outcomes = iter(await gateway.intake.submit_group(fitting))
        answers = [
            BulkAnswer(code=MachineReason.POOL_FULL) if position in over else _bulk_answer(next(outcomes))
            for position in range(len(lines))
        ]
    else:
        answers = [_bulk_answer(outcome) for outcome in await gateway.intake.submit_group(lines)]
    return Response(_encode_lines(answers), media_type=LINES)


def _lines(body: bytes) -> list[bytes]:
    """Cut a bulk body into its lines; the last may end in a line feed or not.

    Raises: RequestProblem when there are none or too many.
    """
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise RequestProblem(MALFORMED, "The body holds no transaction", do="Send one canonical transaction a line.")
    if len(lines) > BULK_TRANSACTIONS_MAX:
        raise RequestProblem(
            TOO_LARGE,
            f"A bulk request holds at most {BULK_TRANSACTIONS_MAX} transactions",
            do="Send several; none of these was handed in.",
        )
    return lines


async def _over_quota(gateway: NativeGateway, encoded: list[bytes]) -> dict[int, OverQuota]:
    if not gateway.quotas.is_limiting:
        return {}
    return await run_in_threadpool(gateway.over_quota, encoded)


def _answer(outcome: FinalOutcome) -> TransactionAnswer:
    return TransactionAnswer(
        txid=outcome.txid,
        code=outcome.code,
        reason="APPLIED",
        text=APPLIED_TEXT,
        events=tuple(
            event if isinstance(event, msgspec.Raw) else msgspec.Raw(encode(event)) for event in outcome.events
        ),
        height=outcome.height,
        leaf_index=outcome.leaf_index,
        is_repeat=outcome.is_repeat,
    )


def _bulk_answer(outcome: FinalOutcome) -> BulkAnswer:
    txid = outcome.txid
    return BulkAnswer(
        code=outcome.code,
        txid=msgspec.UNSET if txid == NO_TXID else txid,
        height=outcome.height,
        leaf_index=outcome.leaf_index,
    )


def endpoints(catalogue: Catalogue) -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    types = described(catalogue)
    return (
        Endpoint(
            method="POST",
            path="/v1/transactions",
            handle=submit_transaction,
            group=WRITING,
            summary="Hand in one signed transaction.",
            text="Answers when the transaction is durable and final. Sending the same bytes again is safe: the first "
            "outcome is answered. A refusal is a problem whose status is that of its kind.",
            body=Body(
                media_type=JSON,
                bytes_max=SUBMISSION_BYTES_MAX,
                schema=types.transaction,
                text="One transaction in its canonical encoding.",
                example=examples.TRANSACTION,
            ),
            answer=json_answer(
                types.transaction_answer,
                "The transaction was applied.",
                example=examples.TRANSACTION_ANSWER,
            ),
            problems=_REFUSALS,
        ),
        Endpoint(
            method="POST",
            path="/v1/transactions/bulk",
            handle=submit_bulk,
            group=WRITING,
            summary="Hand in many signed transactions at once.",
            text=f"At most {BULK_TRANSACTIONS_MAX}, one a line. They are one group but not one transaction: each is "
            "applied or refused alone. The answer has one line for each, in order: "
            "`{code, txid, height, leaf_index}`; code 0 is applied, others stand in `GET /v1/problems`. "
            "Lines over a hosted member's quota, or over the node's pool, get code 12: send them again.",
            body=Body(
                media_type=LINES,
                bytes_max=BULK_BYTES_MAX,
                schema=STRING,
                text="Transactions in their canonical encoding, each ending in a line feed.",
                example=examples.TRANSACTION_LINES,
            ),
            answer=Answer(
                media_type=LINES,
                schema=STRING,
                text="One line for each transaction.",
                example=examples.BULK_ANSWER_LINES,
            ),
            problems=(TOO_LARGE, MEDIA_TYPE),
        ),
    )
