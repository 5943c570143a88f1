# SPDX-License-Identifier: Apache-2.0
"""One row of the route table: what is served and documented, so that neither can be without the other."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vervain.gateways.native.gateway import NativeGateway
from vervain.gateways.native.problems import Kind
from vervain.gateways.native.requests import HEX_PATTERN, NATURAL_PATTERN
from vervain.sdk.contract import JSON

WRITING: Final = "Writing"
READING: Final = "Reading"
PROVING: Final = "Proving"
OWN: Final = "One's own"
SHARING: Final = "Sharing"
RUNNING: Final = "Running"

Handler = Callable[[NativeGateway, Request], Response | Awaitable[Response]]
"""A coroutine function runs on the event loop, a plain function on a thread."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A value in the path, query or header of a request.

    Attributes:
        name: As written in the path's braces, the query or the header.
        where: `path`, `query` or `header`.
        schema: JSON Schema of the value's text form.
        text: What it means.
        required: Path parameters always are.
        example: One good value.
    """

    name: str
    where: str
    schema: dict[str, object]
    text: str
    required: bool = False
    example: str | int


STRING: Final[dict[str, object]] = {"type": "string"}
HEX: Final[dict[str, object]] = {"type": "string", "pattern": HEX_PATTERN}
OBJECT: Final[dict[str, object]] = {"type": "object"}
_NATURAL: Final[dict[str, object]] = {"type": "string", "pattern": NATURAL_PATTERN}


def natural_parameter(name: str, where: str, text: str, example: str, *, required: bool = False) -> Parameter:
    """Return a parameter that is a whole number."""
    return Parameter(name=name, where=where, schema=_NATURAL, text=text, example=example, required=required)


HEIGHT: Final = natural_parameter("height", "path", "Height of a block; 0 is the founding.", "0")


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a request carries.

    Attributes:
        media_type: The only one that is taken.
        bytes_max: Longer bodies are refused before they are parsed.
        schema: A type that msgspec describes, or a JSON Schema.
        text: What it means.
        example: One body of the right form.
    """

    media_type: str
    bytes_max: int
    schema: Any  # Any: a type, a typing union or a JSON Schema
    text: str
    example: object


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a request that succeeds is answered with; `schema` and `example` as in `Body`."""

    media_type: str
    schema: Any  # Any: as in Body
    text: str
    example: object = msgspec.UNSET


def json_answer(schema: Any, text: str, example: object = msgspec.UNSET) -> Answer:  # Any: as in Body
    """Return an answer that is JSON."""
    return Answer(media_type=JSON, schema=schema, text=text, example=example)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes:
        method: `GET` or `POST`.
        path: With parameters in braces.
        handle: What answers it.
        group: Under which heading it is documented.
        summary, text: One line; then what a caller must know.
        answer: On success, always status 200.
        parameters, body: What it takes.
        problems: Kinds it may answer with, besides those of every endpoint.
        is_signed: It needs an `Authorization` header by a key of the ledger.
    """

    method: str
    path: str
    handle: Handler
    group: str
    summary: str
    text: str = ""
    answer: Answer
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[Kind, ...] = ()
    is_signed: bool = False

    @property
    def operation(self) -> str:
        """The operation's name: the handler's."""
        return getattr(self.handle, "__name__", self.path)
