# SPDX-License-Identifier: Apache-2.0
"""What a stranger checks the ledger with, trusting no node: receipts, proofs, checkpoints, tiles, trust file."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native import examples
from vervain.gateways.native.endpoint import (
    HEIGHT,
    HEX,
    OBJECT,
    PROVING,
    STRING,
    Answer,
    Endpoint,
    Parameter,
    json_answer,
    natural_parameter,
)
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import MALFORMED, NOT_FOUND, UNPROVABLE, RequestProblem
from vervain.gateways.native.reading import IMMUTABLE
from vervain.gateways.native.requests import path_bytes, path_natural, query_natural, require_known_query
from vervain.ledger.machine.limits import TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.refusals import MachineReason, NotFound
from vervain.ledger.machine.table import Table
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import DIGEST_BYTES
from vervain.ledger.primitives.merkle_log import TILE_WIDTH, TiledTree
from vervain.sdk.contract import JSON, OCTETS, TEXT, ConsistencyAnswer
from vervain.sealing.receipts import format_receipt

TILE_LEVEL_MAX: Final = 6  # 256^7 leaves are beyond 2^53
_NEWEST_ONLY: Final = {"Cache-Control": "no-cache"}


def read_receipt(gateway: NativeGateway, request: Request) -> Response:
    """Return the receipt of one entry, under the newest cosigned checkpoint."""
    require_known_query(request, "entry")
    leaf_index, entry = path_natural(request, "leaf_index"), query_natural(request, "entry", 0)
    if entry >= TRANSACTION_ENTRIES_MAX:
        raise NotFound(MachineReason.ROW_NOT_FOUND, entry=entry)
    return _text(format_receipt(gateway.node.receipt(leaf_index, entry)))


def read_block_receipt(gateway: NativeGateway, request: Request) -> Response:
    """Return the receipt of a block's own leaf: the roots of its state, and who validates next."""
    require_known_query(request)
    return _text(format_receipt(gateway.node.receipts.of_block(path_natural(request, "height"))))


def read_state_proof(gateway: NativeGateway, request: Request) -> Response:
    """Return the proof that a row of a proved table is there, or is not."""
    require_known_query(request)
    table = gateway.catalogue.table(request.path_params["table"])
    if table is None or not table.proved:
        raise NotFound(MachineReason.ROW_NOT_FOUND)
    key = key_parts(table, path_bytes(request, "key"))
    return _text(format_receipt(gateway.node.receipts.of_row(table.name, key)))


def read_checkpoint(gateway: NativeGateway, request: Request) -> Response:
    """Return the newest checkpoint, cosigned by this node and its outside witnesses."""
    require_known_query(request)
    return _text(gateway.node.checkpoints.newest().text)


def read_consistency(gateway: NativeGateway, request: Request) -> Response:
    """Return the proof that the log of one size is a prefix of the log of another."""
    require_known_query(request, "from", "to")
    with gateway.node.view() as state:
        head = state.head()
        assert head is not None
        old_size, size = query_natural(request, "from"), query_natural(request, "to", head.log_size)
        if not old_size <= size <= head.log_size:
            raise RequestProblem(
                MALFORMED, "The sizes do not fit the log", do=f"Use from <= to <= {head.log_size}, the size of the log."
            )
        path = TiledTree(head.log_size, state.tile).consistency_path(old_size, size)
    return Response(encode(ConsistencyAnswer(old_size=old_size, size=size, path=path)), media_type=JSON)


def read_tile(gateway: NativeGateway, request: Request) -> Response:
    """Return one tile of the log: up to 256 hashes, concatenated."""
    require_known_query(request)
    level, index = path_natural(request, "level"), path_natural(request, "index")
    tile = b""
    if level <= TILE_LEVEL_MAX:
        with gateway.node.view() as state:
            tile = state.tile(level, index)
    if not tile:
        raise NotFound(MachineReason.ROW_NOT_FOUND, level=level, index=index)
    is_full = len(tile) == TILE_WIDTH * DIGEST_BYTES
    return Response(tile, media_type=OCTETS, headers=IMMUTABLE if is_full else _NEWEST_ONLY)


def read_trust(gateway: NativeGateway, request: Request) -> Response:
    """Return the trust file of this chain as this node knows it."""
    require_known_query(request)
    return Response(gateway.node.trust_file(), media_type=JSON, headers=_NEWEST_ONLY)


def key_parts(table: Table[Any], key: bytes) -> tuple[bytes, ...]:  # Any: whatever the rows are
    """Cut a row's key into the parts of its table.

    Raises: RequestProblem when it has another length.
    """
    parts, rest = [], key
    for width in table.key:
        parts.append(rest[: width or len(rest)])
        rest = rest[len(parts[-1]) :]
    if rest or any(len(part) != width for part, width in zip(parts, table.key, strict=True) if width):
        raise RequestProblem(
            MALFORMED, f"A key of {table.name} has another length", do=f"Its parts: {table.key} bytes."
        )
    return tuple(parts)


def _text(content: bytes) -> Response:
    return Response(content, media_type=TEXT, headers=_NEWEST_ONLY)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this file."""
    receipt = Answer(media_type=TEXT, schema=STRING, text="A `.receipt` file.", example=examples.RECEIPT)
    return (
        Endpoint(
            method="GET",
            path="/v1/receipts/{leaf_index}",
            handle=read_receipt,
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
            handle=read_block_receipt,
            group=PROVING,
            summary="The receipt of a block's own leaf.",
            text="What the state was after it, and who validates next. A heartbeat has none.",
            parameters=(HEIGHT,),
            answer=receipt,
            problems=(NOT_FOUND, UNPROVABLE),
        ),
        Endpoint(
            method="GET",
            path="/v1/proofs/{table}/{key}",
            handle=read_state_proof,
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
            handle=read_checkpoint,
            group=PROVING,
            summary="The newest checkpoint, cosigned.",
            text="A C2SP signed note: chain, log size, log root, then the cosignatures of this node and its witnesses.",
            answer=Answer(media_type=TEXT, schema=STRING, text="A signed note.", example=examples.CHECKPOINT),
            problems=(UNPROVABLE,),
        ),
        Endpoint(
            method="GET",
            path="/v1/consistency",
            handle=read_consistency,
            group=PROVING,
            summary="The proof that the log only grew between two sizes.",
            parameters=(
                natural_parameter("from", "query", "The older size.", "1", required=True),
                natural_parameter("to", "query", "The newer size; the newest if left out.", "2"),
            ),
            answer=json_answer(ConsistencyAnswer, "RFC 9162 consistency path."),
            problems=(UNPROVABLE,),
        ),
        Endpoint(
            method="GET",
            path="/v1/tiles/{level}/{index}",
            handle=read_tile,
            group=PROVING,
            summary="One tile of the log.",
            text="C2SP tlog-tiles: level 0 holds leaf hashes, level L the roots of full tiles below; 1 to 256 hashes "
            "of 32 bytes. A full tile never changes.",
            parameters=(
                natural_parameter("level", "path", f"0 to {TILE_LEVEL_MAX}.", "0"),
                natural_parameter("index", "path", "Number of the tile in its level.", "0"),
            ),
            answer=Answer(media_type=OCTETS, schema=STRING, text="Hashes, concatenated."),
            problems=(NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/trust",
            handle=read_trust,
            group=PROVING,
            summary="The trust file of this chain as this node knows it.",
            text="Compare it with what others tell you before you rely on it.",
            answer=json_answer(OBJECT, "A `.trust` file."),
        ),
    )
