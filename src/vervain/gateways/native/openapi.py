# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document, built from the route table and the types that msgspec decodes: it cannot lie.

Source: OpenAPI 3.1.1; JSON Schema 2020-12.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.described import portable
from vervain.gateways.native.endpoint import Answer, Body, Endpoint
from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import INTERNAL, KINDS, MALFORMED, METHOD_NOT_ALLOWED, UNAVAILABLE, Kind
from vervain.gateways.native.reading import answer_type
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.primitives.codec import encode
from vervain.sdk.contract import JSON, PROBLEM, Problem

VERSION: Final = "1.0.0"
OF_EVERY_ENDPOINT: Final = (MALFORMED, METHOD_NOT_ALLOWED, INTERNAL, UNAVAILABLE)
_REFERENCE: Final = "#/components/schemas/{name}"
_TITLE: Final = "Vervain node"
_TEXT: Final = (
    "The native HTTP API of a Vervain node. Bodies are canonical JSON (RFC 8785); bytes are padded base64, ids in "
    "paths lower-case hex. Errors are problem documents (RFC 9457). Nothing here names a person: only ids and "
    "commitments."
)

Schema = dict[str, Any]  # Any: JSON


def document(endpoints: Sequence[Endpoint], catalogue: Catalogue) -> bytes:
    """Return the OpenAPI document of these endpoints over this catalogue."""
    described = list(dict.fromkeys(_types(endpoints, catalogue)))
    schemas, components = msgspec.json.schema_components(described, ref_template=_REFERENCE)
    schema_of = dict(zip(described, portable(schemas), strict=True))
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": _TITLE,
                "version": VERSION,
                "description": _TEXT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": portable(components),
                "securitySchemes": {
                    "vervain": {
                        "type": "http",
                        "scheme": "Vervain",
                        "description": "`Vervain <base64 claim>.<base64 signature>`: a claim {chain, key, actor, path, "
                        "expires_at, nonce} signed by a key that is active on the ledger; it counts once.",
                    }
                },
            },
            "x-messages": [schema_of[each] for each in catalogue.message_types],
            "x-events": [schema_of[each] for each in catalogue.event_types],
        }
    )


async def read_openapi(gateway: NativeGateway, _request: Request) -> Response:
    """Return the OpenAPI document."""
    return Response(gateway.document, media_type=JSON)


def _types(endpoints: Sequence[Endpoint], catalogue: Catalogue) -> Iterator[Any]:
    """Yield every type to describe: of bodies and answers, messages, events, questions."""
    yield Problem
    for endpoint in endpoints:
        for described in (endpoint.body, endpoint.answer):
            if described is not None and not isinstance(described.schema, dict):
                yield described.schema
    yield from catalogue.message_types
    yield from catalogue.event_types
    for query in catalogue.queries.values():
        yield query.arguments
        yield answer_type(query)


def _operation(endpoint: Endpoint, schema_of: dict[Any, Schema]) -> Schema:
    operation: Schema = {
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "description": endpoint.text or endpoint.summary,
        "tags": [endpoint.group],
        "parameters": [
            {
                "name": each.name,
                "in": each.where,
                "required": each.required or each.where == "path",
                "description": each.text,
                "schema": each.schema,
                "example": each.example,
            }
            for each in endpoint.parameters
        ],
        "responses": {"200": _content(endpoint.answer, schema_of)} | _problems(endpoint, schema_of),
    }
    if endpoint.body is not None:
        operation["requestBody"] = _content(endpoint.body, schema_of) | {"required": True}
        operation["requestBody"]["description"] += f" At most {endpoint.body.bytes_max} bytes."
    if endpoint.is_signed:
        operation["security"] = [{"vervain": []}]
    return operation


def _content(described: Body | Answer, schema_of: dict[Any, Schema]) -> Schema:
    schema = described.schema if isinstance(described.schema, dict) else schema_of[described.schema]
    media: Schema = {"schema": schema}
    if described.example is not msgspec.UNSET:
        media["example"] = described.example
    return {"description": described.text, "content": {described.media_type: media}}


def _problems(endpoint: Endpoint, schema_of: dict[Any, Schema]) -> Schema:
    """Return the answers that are problems, one a status."""
    kinds = [kind for kind in KINDS if kind in (*endpoint.problems, *OF_EVERY_ENDPOINT)]
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        str(status): {
            "description": "; ".join(kind.title for kind in same) + ".",
            "content": {PROBLEM: {"schema": schema_of[Problem]}},
        }
        for status, same in by_status.items()
    }
