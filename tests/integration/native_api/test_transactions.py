# SPDX-License-Identifier: Apache-2.0
"""Handing in transactions: outcomes are durable and final, bulk lines get their own answers, bytes count once."""

import json

import httpx
import msgspec
import pytest

from tests.integration.native_api.running import Running
from vervain.ledger.machine.refusals import MachineReason
from vervain.ledger.modules.records.messages import CommitRecord, MarkWrongPatient, RecordsReason
from vervain.sdk.contract import BULK_BYTES_MAX, BULK_TRANSACTIONS_MAX, JSON, LINES, SUBMISSION_BYTES_MAX, BulkAnswer
from vervain.sealing.keys import SigningKey


def _post(served: Running, path: str, content: bytes, media_type: str) -> httpx.Response:
    with served.http() as http:
        return http.post(path, content=content, headers={"Content-Type": media_type})


def _submit(served: Running, encoded: bytes) -> httpx.Response:
    return _post(served, "/v1/transactions", encoded, JSON)


def _bulk(served: Running, lines: list[bytes]) -> list[BulkAnswer]:
    answer = _post(served, "/v1/transactions/bulk", b"\n".join(lines) + b"\n", LINES)
    assert (answer.status_code, answer.headers["content-type"]) == (200, LINES)
    return msgspec.json.Decoder(BulkAnswer).decode_lines(answer.content)


def test_applied_transaction_is_answered_with_its_place(served: Running) -> None:
    """
    Given a signed transaction.
    When it is handed in.
    Then the answer is 200 with its events, height and log index, and the stored block and outcomes hold it there.
    """
    encoded = served.signed()
    answer = _submit(served, encoded)
    told = answer.json()
    with served.http() as http:
        block = http.get(f"/v1/blocks/{told['height']}").json()
        outcomes = http.get(f"/v1/outcomes/{told['height']}").json()
    assert (answer.status_code, told["code"], told["reason"]) == (200, 0, "APPLIED")
    assert json.loads(encoded) in block["transactions"]
    position = block["transactions"].index(json.loads(encoded))
    assert outcomes[position] == {"code": 0, "events": told["events"]}
    assert [event["type"] for event in told["events"]] == ["records.committed"]


def test_repeat_is_answered_with_the_first_outcome(served: Running) -> None:
    """
    Given a transaction that was applied.
    When the same bytes are handed in again, alone and in bulk.
    Then the first outcome is answered, marked as a repeat, and the log has not grown.
    """
    encoded = served.signed()
    first = _submit(served, encoded).json()
    with served.http() as http:
        size = http.get("/v1/head").json()["log_size"]
        again = _submit(served, encoded).json()
        [line] = _bulk(served, [encoded])
        assert http.get("/v1/head").json()["log_size"] == size
    assert again == first | {"is_repeat": True}
    assert (line.code, line.height, line.leaf_index) == (0, first["height"], first["leaf_index"])


def test_refusal_by_a_rule_is_a_problem_with_its_leaf(served: Running) -> None:
    """
    Given a transaction whose second entry names a record that is not there.
    When it is handed in.
    Then it is a problem of the reason's kind, it names the entry, and the refusal stands in the log.
    """
    with served.client() as client:
        messages = (CommitRecord(subject=served.organisation, commitment=bytes(32)), MarkWrongPatient(record=10**9))
        answer = _submit(served, client.sign(*messages).encoded)
    told = answer.json()
    reason = RecordsReason.NO_SUCH_RECORD
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert {name: told[name] for name in ("code", "reason", "failed_entry", "type", "status")} == {
        "code": int(reason),
        "reason": reason.name,
        "failed_entry": 1,
        "type": "/v1/problems#not-found",
        "status": 404,
    }
    with served.http() as http:
        assert http.get(f"/v1/receipts/{told['leaf_index']}").status_code == 200


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda served: b"{}", MachineReason.NOT_CANONICAL),
        (lambda served: b" " + served.signed(), MachineReason.NOT_CANONICAL),
        (lambda served: served.signed(key=SigningKey.generate()), MachineReason.KEY_NOT_ACTIVE),
        (lambda served: _with_other_signature(served.signed()), MachineReason.BAD_SIGNATURE),
        (lambda served: served.signed(expires_in_seconds=-60), MachineReason.EXPIRED),
        (lambda served: served.signed(expires_in_seconds=2_000), MachineReason.EXPIRES_TOO_LATE),
        (lambda served: served.signed(chain="other-" + "0" * 32), MachineReason.WRONG_CHAIN),
    ],
    ids=["no_form", "white_space", "unknown_key", "other_signature", "expired", "expires_too_late", "other_chain"],
)
def test_what_may_not_write_gets_its_reason_and_no_leaf(served: Running, broken, reason: MachineReason) -> None:  # type: ignore[no-untyped-def]
    """
    Given bytes that may not write.
    When they are handed in.
    Then the problem has the status of the reason's kind and the reason, and the log has not grown.
    """
    with served.http() as http:
        size = http.get("/v1/head").json()["log_size"]
        answer = _submit(served, broken(served))
        assert http.get("/v1/head").json()["log_size"] == size
    statuses = {"Malformed": 400, "Unauthenticated": 401, "Conflict": 409}
    told = answer.json()
    assert (answer.status_code, told["code"], told["reason"]) == (
        statuses[reason.kind.__name__],
        int(reason),
        reason.name,
    )


def _with_other_signature(encoded: bytes) -> bytes:
    """Return the transaction with its signature's first byte changed."""
    decoded = json.loads(encoded)
    first = "A" if decoded["signature"][0] != "A" else "B"
    changed = decoded | {"signature": first + decoded["signature"][1:]}
    return json.dumps(changed, separators=(",", ":"), sort_keys=True).encode()


def test_bulk_answers_good_and_bad_lines_in_order(served: Running) -> None:
    """
    Given a bulk request of good, malformed, empty, unsigned and repeated lines.
    When it is handed in.
    Then each line has its own answer in its place; the good ones are applied, a repeat has the place of the first.
    """
    good = [served.signed() for _ in range(5)]
    lines = [good[0], b"not json", good[1], b"", served.signed(key=SigningKey.generate()), good[2], good[0], *good[3:]]
    answers = _bulk(served, lines)
    assert [answer.code for answer in answers] == [
        0,
        MachineReason.NOT_CANONICAL,
        0,
        MachineReason.NOT_CANONICAL,
        MachineReason.KEY_NOT_ACTIVE,
        0,
        0,
        0,
        0,
    ]
    assert answers[6] == answers[0]
    places = {answer.leaf_index for answer in answers if answer.code == 0}
    assert len(places) == 5
    with served.client() as client:
        receipts = [client.receipt(int(place)) for place in places if isinstance(place, int)]
    assert len(receipts) == 5


def test_bulk_over_a_maximum_hands_in_nothing(served: Running) -> None:
    """
    Given a bulk request with one line too many, and one with too many bytes.
    When they are handed in.
    Then both are refused as too large and no line was ordered.
    """
    good = served.signed()
    with served.http() as http:
        size = http.get("/v1/head").json()["log_size"]
        too_many = b"\n".join([good] + [b"x"] * BULK_TRANSACTIONS_MAX)
        too_long = good + b"\n" + b"x" * BULK_BYTES_MAX
        statuses = [
            http.post("/v1/transactions/bulk", content=body, headers={"Content-Type": LINES}).status_code
            for body in (too_many, too_long, b"", b"\n\n")
        ]
        assert http.get("/v1/head").json()["log_size"] == size
    assert statuses == [413, 413, 400, 200]


def test_body_over_its_maximum_is_refused_before_it_is_read_whole(served: Running) -> None:
    """
    Given a body larger than a transaction may be, with its length announced and without.
    When it is handed in.
    Then it is refused as too large.
    """
    big = b"x" * (SUBMISSION_BYTES_MAX + 1)
    with served.http() as http:
        announced = http.post("/v1/transactions", content=big, headers={"Content-Type": JSON})
        chunks = (big[start : start + 65_536] for start in range(0, len(big), 65_536))
        streamed = http.post("/v1/transactions", content=chunks, headers={"Content-Type": JSON})
    assert (announced.status_code, streamed.status_code) == (413, 413)


def test_other_media_type_is_refused(served: Running) -> None:
    """
    Given a transaction sent as a browser's form would send it, without asking for permission first.
    When it is handed in.
    Then it is refused: no page of another site can make a browser write.
    """
    statuses = [
        _post(served, path, served.signed(), "text/plain").status_code
        for path in ("/v1/transactions", "/v1/transactions/bulk")
    ]
    assert statuses == [415, 415]
