# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document and the handbook page say what is served, and nothing else."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.routing import Route

from tests.integration.native_api.running import Running
from vervain.gateways.native.problems import KINDS
from vervain.ledger.catalogue import CATALOGUE
from vervain.sdk.contract import LINES

PAGE = Path(__file__).parents[3] / "docs/concepts/native-api.md"
ROW = re.compile(r"^\| `(GET|POST) ([^`]+)` \| (.+) \|$", re.MULTILINE)
KIND_ROW = re.compile(r"^\| ([a-z-]+) \| (\d{3}) \| (.+) \|$", re.MULTILINE)
CASES = 200
SEED = 20_261_124
ENDLESS = ("/v1/events",)
ANY_TEXT = ("/v1/transactions/bulk",)  # each line gets an answer of its own, whatever it is


def _document(called: Running) -> dict[str, Any]:
    with called.http() as http:
        document: dict[str, Any] = http.get("/openapi.json").json()
    return document


def test_documented_routes_are_those_served(called: Running) -> None:
    """
    Given the routes that the app serves.
    When the OpenAPI document and the handbook's table are read.
    Then each route is in both, with the same words, and there is no other.
    """
    served = {
        (method, route.path)
        for route in called.app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    documented = {
        (method.upper(), path, operation["summary"])
        for path, operations in _document(called)["paths"].items()
        for method, operation in operations.items()
    }
    assert {(method, path) for method, path, _ in documented} == served
    assert set(ROW.findall(PAGE.read_text())) == documented


def test_documented_kinds_are_those_told() -> None:
    """
    Given the kinds of problems.
    When the handbook's table is read.
    Then it has each kind with its status and title, in order.
    """
    assert KIND_ROW.findall(PAGE.read_text()) == [(kind.name, str(kind.status), kind.title) for kind in KINDS]


def test_document_describes_every_message_event_and_question(called: Running) -> None:
    """
    Given the catalogue.
    When the OpenAPI document is read.
    Then every message and event has a schema that refuses unknown fields, and every question can be named.
    """
    document = _document(called)
    schemas = document["components"]["schemas"]
    for struct in (*CATALOGUE.message_types, *CATALOGUE.event_types):
        assert schemas[struct.__name__]["additionalProperties"] is False, struct
    [name] = document["paths"]["/v1/queries/{name}"]["post"]["parameters"]
    assert name["schema"]["enum"] == sorted(CATALOGUE.queries)


def test_examples_fit_their_schemas(called: Running) -> None:
    """
    Given every example of a JSON body or answer in the document.
    When it is validated against the schema beside it.
    Then it fits.
    """
    document = _document(called)
    checked = 0
    for operations in document["paths"].values():
        for operation in operations.values():
            for described in (operation.get("requestBody"), *operation["responses"].values()):
                for media_type, content in (described or {"content": {}})["content"].items():
                    if "example" in content and media_type == "application/json":
                        schema = {"components": document["components"], **content["schema"]}
                        jsonschema_rs.validator_for(json.dumps(schema)).validate(content["example"])
                        checked += 1
    assert checked >= 3


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
)


@schemathesis.serializer(LINES)
def send_lines(_context: schemathesis.SerializationContext, value: Any) -> bytes | None:  # Any: whatever was made
    """Send a bulk body as it was made."""
    return value if isinstance(value, bytes) else str(value).encode()


def _requests(operation: Any, mode: GenerationMode, url: str, count: int) -> Callable[[], None]:
    """Return a function that sends `count` requests to one operation and checks each answer."""
    checks = [each for each in CHECKS if operation.path not in ANY_TEXT or each is not negative_data_rejection]

    @seeded(SEED)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:  # Any: a case of a kind that only schemathesis knows
        case.call_and_validate(base_url=url, checks=checks, timeout=20)

    return send


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_makes_the_node_fail(served: Running, mode: GenerationMode) -> None:
    """
    Given requests made from the OpenAPI document, right ones or wrong ones, from a fixed seed.
    When they are sent.
    Then no answer is a fault of the node, and each has a documented status, media type and form.
    """
    schema = schemathesis.openapi.from_dict(_document(served))
    every: list[Any] = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    operations = [each for each in every if each.path not in ENDLESS]
    assert len(operations) > 20
    for operation in operations:
        try:
            _requests(operation, mode, served.url, CASES // len(operations))()
        except Unsatisfiable:  # a path without parameters cannot be asked wrongly
            assert mode is GenerationMode.NEGATIVE
