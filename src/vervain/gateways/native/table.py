# SPDX-License-Identifier: Apache-2.0
"""The route table of the native API: one row a method and path. Served and documented from here, and nowhere else."""

from typing import Final

from vervain.gateways.native import examples, health, own, proving, reading, streaming, transactions
from vervain.gateways.native.described import described
from vervain.gateways.native.endpoint import HEX, STRING, Answer, Body, Endpoint, Parameter, natural_parameter
from vervain.gateways.native.openapi import read_openapi
from vervain.gateways.native.own_table import own_endpoints
from vervain.gateways.native.problems import (
    CONFLICT,
    FORBIDDEN,
    LIMIT_EXCEEDED,
    MEDIA_TYPE,
    NOT_FOUND,
    OVER_QUOTA,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNPROVABLE,
)
from vervain.ledger.machine.limits import TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.module import Catalogue
from vervain.sdk.contract import (
    BULK_BYTES_MAX,
    BULK_TRANSACTIONS_MAX,
    EVENT_STREAM,
    JSON,
    LINES,
    OCTETS,
    QUERY_BYTES_MAX,
    SUBMISSION_BYTES_MAX,
    TEXT,
    ConsistencyAnswer,
    Head,
)

WRITING: Final = "Writing"
READING: Final = "Reading"
PROVING: Final = "Proving"
RUNNING: Final = "Running"

_OBJECT: Final[dict[str, object]] = {"type": "object"}


_HEIGHT: Final = natural_parameter("height", "path", "Height of a block; 0 is the founding.", "0")
_REFUSALS: Final = (UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT, LIMIT_EXCEEDED, OVER_QUOTA, TOO_LARGE, MEDIA_TYPE)


def endpoints(catalogue: Catalogue) -> tuple[Endpoint, ...]:
    """Return the route table over a catalogue."""
    return (*_writing(catalogue), *_reading(catalogue), *_proving(), *own_endpoints(), *_running())


def _writing(catalogue: Catalogue) -> tuple[Endpoint, ...]:
    types = described(catalogue)
    return (
        Endpoint(
            method="POST",
            path="/v1/transactions",
            handle=transactions.submit_transaction,
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
            answer=Answer(
                media_type=JSON,
                schema=types.transaction_answer,
                text="The transaction was applied.",
                example=examples.TRANSACTION_ANSWER,
            ),
            problems=_REFUSALS,
        ),
        Endpoint(
            method="POST",
            path="/v1/transactions/bulk",
            handle=transactions.submit_bulk,
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


def _reading(catalogue: Catalogue) -> tuple[Endpoint, ...]:
    types = described(catalogue)
    return (
        Endpoint(
            method="GET",
            path="/v1/head",
            handle=reading.read_head,
            group=READING,
            summary="The newest durable block.",
            answer=Answer(media_type=JSON, schema=Head, text="Height, time, log size and roots."),
        ),
        Endpoint(
            method="GET",
            path="/v1/genesis",
            handle=reading.read_genesis,
            group=READING,
            summary="What the chain was founded on.",
            text="The canonical content; its digest is in the chain's name.",
            answer=Answer(media_type=JSON, schema=_OBJECT, text="The canonical genesis content."),
        ),
        Endpoint(
            method="GET",
            path="/v1/blocks/{height}",
            handle=reading.read_block,
            group=READING,
            summary="One stored block.",
            text="Its transactions in order, each in its canonical encoding; block 0 holds the genesis content.",
            parameters=(_HEIGHT,),
            answer=Answer(media_type=JSON, schema=types.block, text="The block."),
            problems=(NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/outcomes/{height}",
            handle=reading.read_outcomes,
            group=READING,
            summary="What came of each transaction of a block.",
            parameters=(_HEIGHT,),
            answer=Answer(media_type=JSON, schema=types.outcomes, text="Outcomes in the order of the transactions."),
            problems=(NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/queries",
            handle=reading.list_queries,
            group=READING,
            summary="The questions that can be asked, with their schemas.",
            answer=Answer(media_type=JSON, schema=tuple[reading.QuestionEntry, ...], text="Questions, sorted by name."),
        ),
        Endpoint(
            method="POST",
            path="/v1/queries/{name}",
            handle=reading.ask_query,
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
                media_type=JSON, bytes_max=QUERY_BYTES_MAX, schema=_OBJECT, text="The question's arguments.", example={}
            ),
            answer=Answer(media_type=JSON, schema=_OBJECT, text="The answer, from the newest committed state."),
            problems=(FORBIDDEN, NOT_FOUND, CONFLICT, LIMIT_EXCEEDED, TOO_LARGE, MEDIA_TYPE),
        ),
        Endpoint(
            method="GET",
            path="/v1/events",
            handle=streaming.stream_events,
            group=READING,
            summary="Final blocks as they come: server-sent events.",
            text="The id of an event is the height; its data is a BlockEvent. `Last-Event-ID` resumes behind that "
            "height, `from` starts at one, else the stream starts with the next block. Comments keep the line open. "
            "Who reads too slowly is told so in a comment and dropped; coming back with Last-Event-ID misses nothing.",
            parameters=(
                natural_parameter("from", "query", "Height of the first event.", "0"),
                natural_parameter("Last-Event-ID", "header", "Height of the last event that was read.", "6"),
            ),
            answer=Answer(media_type=EVENT_STREAM, schema=STRING, text="An endless stream.", example=examples.EVENT),
        ),
        Endpoint(
            method="GET",
            path="/v1/statistics",
            handle=own.read_statistics,
            group=READING,
            summary="Counts of the whole chain.",
            text="A count below ten is told as 0, so that no number is about a few people.",
            answer=Answer(media_type=JSON, schema=dict[str, int], text="Counts by kind."),
        ),
        Endpoint(
            method="GET",
            path="/v1/problems",
            handle=reading.list_problems,
            group=READING,
            summary="Every kind of problem and every refusal's code, in words.",
            answer=Answer(media_type=JSON, schema=reading.ProblemsAnswer, text="Kinds and reasons."),
        ),
    )


def _proving() -> tuple[Endpoint, ...]:
    receipt = Answer(media_type=TEXT, schema=STRING, text="A `.receipt` file.", example=examples.RECEIPT)
    return (
        Endpoint(
            method="GET",
            path="/v1/receipts/{leaf_index}",
            handle=proving.read_receipt,
            group=PROVING,
            summary="The receipt of one entry.",
            text="Offline proof that the entry was logged, and whether it was applied or refused.",
            parameters=(
                natural_parameter("leaf_index", "path", "Log index of the transaction, from its answer.", "12"),
                natural_parameter(
                    "entry", "query", f"Number of the entry, below {TRANSACTION_ENTRIES_MAX}; 0 if left out.", "0"
                ),
            ),
            answer=receipt,
            problems=(NOT_FOUND, UNPROVABLE),
        ),
        Endpoint(
            method="GET",
            path="/v1/blocks/{height}/receipt",
            handle=proving.read_block_receipt,
            group=PROVING,
            summary="The receipt of a block's own leaf.",
            text="What the state was after it, and who validates next. A heartbeat has none.",
            parameters=(_HEIGHT,),
            answer=receipt,
            problems=(NOT_FOUND, UNPROVABLE),
        ),
        Endpoint(
            method="GET",
            path="/v1/proofs/{table}/{key}",
            handle=proving.read_state_proof,
            group=PROVING,
            summary="The proof that a row is there, or is not.",
            text="Of a proved table, as of the newest block that changed anything.",
            parameters=(
                Parameter(
                    name="table",
                    where="path",
                    schema=STRING,
                    text="Name of a proved table.",
                    example="consortium.members",
                ),
                Parameter(
                    name="key", where="path", schema=HEX, text="The row's key, in lower-case hex.", example="00" * 32
                ),
            ),
            answer=receipt,
            problems=(NOT_FOUND, UNPROVABLE),
        ),
        Endpoint(
            method="GET",
            path="/v1/checkpoint",
            handle=proving.read_checkpoint,
            group=PROVING,
            summary="The newest checkpoint, cosigned.",
            text="A C2SP signed note: chain, log size, log root, then the cosignatures of this node and its witnesses.",
            answer=Answer(media_type=TEXT, schema=STRING, text="A signed note.", example=examples.CHECKPOINT),
            problems=(UNPROVABLE,),
        ),
        Endpoint(
            method="GET",
            path="/v1/consistency",
            handle=proving.read_consistency,
            group=PROVING,
            summary="The proof that the log only grew between two sizes.",
            parameters=(
                natural_parameter("from", "query", "The older size.", "1", required=True),
                natural_parameter("to", "query", "The newer size; the newest if left out.", "2"),
            ),
            answer=Answer(media_type=JSON, schema=ConsistencyAnswer, text="RFC 9162 consistency path."),
            problems=(UNPROVABLE,),
        ),
        Endpoint(
            method="GET",
            path="/v1/tiles/{level}/{index}",
            handle=proving.read_tile,
            group=PROVING,
            summary="One tile of the log.",
            text="C2SP tlog-tiles: level 0 holds leaf hashes, level L the roots of full tiles below; 1 to 256 hashes "
            "of 32 bytes. A full tile never changes.",
            parameters=(
                natural_parameter("level", "path", f"0 to {proving.TILE_LEVEL_MAX}.", "0"),
                natural_parameter("index", "path", "Number of the tile in its level.", "0"),
            ),
            answer=Answer(media_type=OCTETS, schema=STRING, text="Hashes, concatenated."),
            problems=(NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/trust",
            handle=proving.read_trust,
            group=PROVING,
            summary="The trust file of this chain as this node knows it.",
            text="Compare it with what others tell you before you rely on it.",
            answer=Answer(media_type=JSON, schema=_OBJECT, text="A `.trust` file."),
        ),
    )


def _running() -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            method="GET",
            path="/livez",
            handle=health.tell_alive,
            group=RUNNING,
            summary="Whether the process answers.",
            answer=Answer(media_type=TEXT, schema=STRING, text="It does.", example="alive\n"),
        ),
        Endpoint(
            method="GET",
            path="/readyz",
            handle=health.tell_ready,
            group=RUNNING,
            summary="Whether the node takes transactions and keeps up.",
            answer=Answer(media_type=TEXT, schema=STRING, text="It does.", example="ready\n"),
        ),
        Endpoint(
            method="GET",
            path="/openapi.json",
            handle=read_openapi,
            group=RUNNING,
            summary="This document.",
            answer=Answer(media_type=JSON, schema=_OBJECT, text="OpenAPI 3.1."),
        ),
    )
