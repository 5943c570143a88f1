# SPDX-License-Identifier: Apache-2.0
"""Around requests: an access log without values, hosts that are known, faults that say nothing about the inside."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.integration.native_api.running import over_http
from vervain.gateways.native import middleware
from vervain.gateways.native.middleware import KnownHosts
from vervain.gateways.native.problems import tell_unexpected
from vervain.sdk.contract import PROBLEM

SECRET = "a1" * 32


def test_access_log_has_the_route_and_nothing_of_the_request(tmp_path: Path) -> None:
    """
    Given requests with an id in the path, something in the query, in a header, and a path that nobody serves.
    When they are answered.
    Then the log has method, route pattern, status and time, and nothing that was sent.
    """
    written: list[str] = []
    with over_http(tmp_path / "node", write_access=written.append) as served, served.http() as http:
        http.get(f"/v1/proofs/consortium.members/{SECRET}", headers={"Authorization": f"Vervain {SECRET}"})
        http.get(f"/v1/head?name={SECRET}")
        http.get(f"/{SECRET}")
    lines = "".join(written).splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z .* \d+\.\d ms", line) for line in lines)
    assert [line.split(" ", 1)[1].rsplit(" ", 2)[0] for line in lines] == [
        "GET /v1/proofs/{table}/{key} 200",
        "GET /v1/head 400",
        "GET - 404",
    ]
    assert SECRET not in "".join(written) and "127.0.0.1" not in "".join(written)


def test_access_lines_are_written_together_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a log that lets lines wait a moment, and at most three of them.
    When two come, a moment passes, and four come.
    Then two are written together, three as soon as they are three, and the last when it is flushed.
    """
    monkeypatch.setattr(middleware, "ACCESS_LINES_SECONDS", 0.02)
    monkeypatch.setattr(middleware, "ACCESS_LINES_MAX", 3)
    written: list[int] = []

    async def scene() -> None:
        lines = middleware.AccessLines(lambda text: written.append(text.count("\n")))
        for _ in range(2):
            lines.add("GET / 200 0.1 ms")
        await asyncio.sleep(0.1)
        for _ in range(4):
            lines.add("GET / 200 0.1 ms")
        lines.flush()

    asyncio.run(scene())
    assert written == [2, 3, 1]


async def _statuses(hosts: tuple[str, ...], asked: tuple[str, ...]) -> list[int]:
    async def answer(_request: Request) -> Response:
        return Response("here")

    app = KnownHosts(Starlette(routes=[Route("/", answer)]), hosts)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        return [(await http.get("http://127.0.0.1/", headers={"Host": host})).status_code for host in asked]


def test_only_known_hosts_are_served_when_they_are_given() -> None:
    """
    Given the names node.example and [::1].
    When requests name them, with and without a port, or another host.
    Then only the named ones are served.
    """
    asked = ("node.example", "NODE.example:8000", "[::1]:8000", "other.example", "node.example.other", "")
    assert asyncio.run(_statuses(("node.example", "[::1]"), asked)) == [200, 200, 200, 400, 400, 400]


async def _fault() -> httpx.Response:
    async def fail(_request: Request) -> Response:
        raise RuntimeError(SECRET)

    app = Starlette(routes=[Route("/", fail)], exception_handlers={Exception: tell_unexpected})
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://node.test") as http:
        return await http.get("/")


def test_fault_of_the_node_says_nothing_about_its_inside() -> None:
    """
    Given a handler that fails.
    When it is called.
    Then the answer is a problem that says what to do, without the fault's text.
    """
    answer = asyncio.run(_fault())
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert SECRET not in answer.text and answer.json()["do"]
