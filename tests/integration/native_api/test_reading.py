# SPDX-License-Identifier: Apache-2.0
"""What is read over HTTP verifies without the node: by the SDK, by the log's own rules, by the court verifier."""

import base64
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.integration.native_api.running import Running
from vervain.ledger.machine.genesis import genesis_digest
from vervain.ledger.primitives.merkle_log import verify_consistency
from vervain.sdk.contract import PROBLEM, ConsistencyAnswer, Head
from vervain.sealing.checkpoints import parse_signed
from vervain.sealing.receipts import verify_receipt
from vervain.sealing.trust import read_trust
from vervain.verify import __file__ as court_verifier


def _get(running: Running, path: str) -> httpx.Response:
    with running.http() as http:
        return http.get(path)


def test_receipt_over_http_is_proved_by_the_court_verifier(served: Running, tmp_path: Path) -> None:
    """
    Given a transaction of three entries, handed in over HTTP.
    When the receipt of its second entry and the trust file are fetched and given to the court verifier alone.
    Then it says that the entry is proved.
    """
    with served.client() as client:
        placed = client.submit_signed(served.signed(entries=3))
        assert isinstance(placed.leaf_index, int)
        (tmp_path / "one.receipt").write_bytes(client.receipt(placed.leaf_index, 1))
        (tmp_path / "chain.trust").write_bytes(client.trust_file())
    command = [sys.executable, "-I", court_verifier, "one.receipt", "--trust", "chain.trust"]
    verdict = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (verdict.returncode, verdict.stderr) == (0, "")
    assert "APPLIED" in verdict.stdout and "entry 2 of 3" in verdict.stdout


def test_state_proof_shows_presence_and_absence(served: Running) -> None:
    """
    Given a member's row, and an id that is no member.
    When their proofs are fetched.
    Then one proves the row, the other that there is none.
    """
    trust = read_trust(_get(served, "/v1/trust").content)
    present = verify_receipt(_get(served, f"/v1/proofs/consortium.members/{served.organisation.hex()}").content, trust)
    absent = verify_receipt(_get(served, f"/v1/proofs/consortium.members/{'00' * 32}").content, trust)
    assert (present.kind, present.table, present.row_key) == ("state", "consortium.members", served.organisation)
    assert present.row is not None and b"GLN 0614141000012" in present.row
    assert (absent.kind, absent.row) == ("state", None)


def test_block_receipt_holds_and_a_heartbeat_has_none(served: Running) -> None:
    """
    Given the founding block, and a height that is not there.
    When their receipts are asked for.
    Then the first verifies, the second is not found.
    """
    trust = read_trust(_get(served, "/v1/trust").content)
    assert verify_receipt(_get(served, "/v1/blocks/0/receipt").content, trust).kind == "block"
    assert _get(served, "/v1/blocks/999999/receipt").status_code == 404


def test_checkpoints_and_consistency_show_that_the_log_only_grew(served: Running) -> None:
    """
    Given two checkpoints with transactions between them.
    When the consistency proof between their sizes is fetched.
    Then it holds between their roots.
    """
    older, _ = parse_signed(_get(served, "/v1/checkpoint").content)
    with served.client() as client:
        client.submit_many([served.signed() for _ in range(3)])
    newer, _ = parse_signed(_get(served, "/v1/checkpoint").content)
    answer = _get(served, f"/v1/consistency?from={older.size}&to={newer.size}")
    proof = msgspec.json.decode(answer.content, type=ConsistencyAnswer)
    verify_consistency(old_size=older.size, old_root=older.root, size=newer.size, root=newer.root, path=proof.path)
    assert newer.size > older.size


def test_tile_holds_the_leaf_hashes(served: Running) -> None:
    """
    Given the log.
    When tile 0 of level 0 is fetched.
    Then it starts with the hash of the genesis leaf that the trust file names, and says how long it may be kept.
    """
    tile = _get(served, "/v1/tiles/0/0")
    digest = base64.b64decode(_get(served, "/v1/trust").json()["genesis_leaf_digest"])
    head = msgspec.json.decode(_get(served, "/v1/head").content, type=Head)
    assert tile.content[:32] == digest
    assert len(tile.content) == 32 * min(256, head.log_size)
    assert tile.headers["cache-control"] == (
        "no-cache" if head.log_size < 256 else "public, max-age=31536000, immutable"
    )


def test_genesis_is_block_zero(served: Running) -> None:
    """
    Given the chain's name.
    When the genesis content is fetched.
    Then its digest ends the name, and block 0 holds the same bytes.
    """
    genesis = _get(served, "/v1/genesis").content
    assert _get(served, "/v1/head").json()["chain"].endswith(genesis_digest(genesis)[:16].hex())
    assert _get(served, "/v1/blocks/0").content.count(genesis) == 1


def test_queries_are_listed_and_answered(served: Running) -> None:
    """
    Given the list of questions.
    When one of them is asked.
    Then the answer is from agreed rows; an unknown name is not found, wrong arguments are malformed.
    """
    names = [question["name"] for question in _get(served, "/v1/queries").json()]
    assert names == sorted(served.app.state.native.catalogue.queries)
    with served.client() as client:
        answer = client.query("consortium.member", {"organisation": served.organisation})
        assert answer["register_entry"] == "GLN 0614141000012"
    with served.http() as http:
        headers = {"Content-Type": "application/json"}
        statuses = [
            http.post(f"/v1/queries/{name}", content=arguments, headers=headers).status_code
            for name, arguments in (("nothing.here", b"{}"), ("consortium.member", b"{}"), ("consortium.member", b"["))
        ]
    assert statuses == [404, 400, 400]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/nothing", 404),
        ("/v1/head/", 404),
        ("/v1/head?verbose=1", 400),
        ("/v1/blocks/01", 400),
        ("/v1/blocks/" + "9" * 4_400, 400),
        ("/v1/blocks/999999", 404),
        ("/v1/outcomes/999999", 404),
        ("/v1/receipts/999999", 404),
        ("/v1/receipts/0", 404),
        ("/v1/receipts/2?entry=1000", 404),
        ("/v1/receipts/2?entry=1&entry=2", 400),
        ("/v1/consistency", 400),
        ("/v1/consistency?from=9&to=8", 400),
        ("/v1/consistency?from=0&to=999999", 400),
        ("/v1/tiles/9/0", 404),
        ("/v1/tiles/0/999999", 404),
        ("/v1/proofs/consortium.members/00", 400),
        ("/v1/proofs/consortium.members/" + "AB" * 32, 400),
        ("/v1/proofs/records.records/00", 404),
        ("/v1/events?from=999999", 400),
        ("/v1/me/records", 401),
    ],
)
def test_what_cannot_be_answered_is_a_problem(served: Running, path: str, status: int) -> None:
    """
    Given a request that names something wrong or absent.
    When it is sent.
    Then it is a problem document whose status and type agree, with words about what to do.
    """
    answer = _get(served, path)
    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"], told["status"]) == (status, PROBLEM, status)
    assert told["type"].startswith("/v1/problems#") and told["what"] and told["do"]


def test_other_methods_are_refused(served: Running) -> None:
    """
    Given a path that is only read.
    When it is written to.
    Then the method is refused as a problem that names the allowed ones.
    """
    with served.http() as http:
        answer = http.delete("/v1/head")
    assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
    assert {method.strip() for method in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_health_tells_alive_and_ready(served: Running) -> None:
    """
    Given a running node.
    When its health is asked.
    Then it is alive and ready.
    """
    assert [_get(served, path).text for path in ("/livez", "/readyz")] == ["alive\n", "ready\n"]


def test_node_that_does_not_keep_up_is_not_ready(called: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a node whose newest block is older than three heartbeats, and one whose read model broke off.
    When they are asked whether they are ready.
    Then each says that it is unavailable and why, and stays alive.
    """
    node = called.node
    late = node.head.time + 4 * node.settings.heartbeat_seconds
    monkeypatch.setattr(node, "clock", lambda: late)
    stale = _get(called, "/readyz")
    monkeypatch.undo()
    monkeypatch.setattr(node.read_model.projector, "failure", ValueError("broken"))
    behind = _get(called, "/readyz")
    told = [(answer.status_code, answer.json()["what"]) for answer in (stale, behind)]
    assert told == [(503, "The newest block is too old"), (503, "The node's read model does not keep up")]
    assert _get(called, "/livez").status_code == 200


def test_answers_carry_no_server_name_and_stay_strict(served: Running) -> None:
    """
    Given any answer.
    When its headers are read.
    Then no server names itself, no other origin is allowed, and content types are not guessed.
    """
    with served.http() as http:
        headers = http.get("/v1/head", headers={"Origin": "https://elsewhere.example"}).headers
    assert "server" not in headers and "access-control-allow-origin" not in headers
    assert headers["x-content-type-options"] == "nosniff"
