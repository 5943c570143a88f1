# SPDX-License-Identifier: Apache-2.0
"""The SDK client: resends the same bytes, verifies what arrives, says plainly what went wrong."""

import socket
import time

import httpx
import pytest

from tests.integration.native_api.running import Running
from vervain.ledger.modules.records.messages import MarkWrongPatient, RecordsReason
from vervain.ledger.primitives.errors import ProofError
from vervain.sdk import transport as client_transport
from vervain.sdk.client import Client, ClientError, Refused, Unavailable, UnexpectedAnswer
from vervain.sdk.contract import BULK_TRANSACTIONS_MAX
from vervain.sealing.trust import read_trust


class FaultyNetwork(httpx.BaseTransport):
    """The real network, with faults on the way.

    Args:
        losses: So many answers are lost after the node has given them.
        altered_path, altered_answer: What is replaced by what in each request's path, in each answer.
    """

    def __init__(
        self,
        *,
        losses: int = 0,
        altered_path: tuple[bytes, bytes] = (b"", b""),
        altered_answer: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self._losses, self._altered_path, self._altered_answer = losses, altered_path, altered_answer
        self._network = httpx.HTTPTransport()
        self.sent: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; lose or alter its answer if that is due."""
        self.sent.append(request.read())
        old, new = self._altered_path
        if old:
            request.url = request.url.copy_with(raw_path=request.url.raw_path.replace(old, new))
        answer = self._network.handle_request(request)
        content = answer.read()
        answer.close()
        if len(self.sent) <= self._losses:
            raise httpx.ReadError("the answer was lost", request=request)
        old, new = self._altered_answer
        return httpx.Response(answer.status_code, content=content.replace(old, new) if old else content)

    def close(self) -> None:
        """Close the connections."""
        self._network.close()


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not wait between attempts."""
    monkeypatch.setattr(client_transport, "PAUSE_SECONDS", 0.0)


def test_lost_answer_is_asked_for_again_with_the_same_bytes(served: Running) -> None:
    """
    Given a network that loses the first two answers.
    When a transaction is submitted.
    Then the same bytes went out three times, it stands in the log once, and its first outcome is returned.
    """
    encoded, network = served.signed(), FaultyNetwork(losses=2)
    with served.http() as http:
        size = http.get("/v1/head").json()["log_size"]
        with Client(served.url, key=served.key, transport=network) as client:
            answer = client.submit_signed(encoded)
        assert http.get("/v1/head").json()["log_size"] == size + 2  # its leaf and the block's
    assert network.sent == [encoded] * 3
    assert (answer.is_repeat, answer.leaf_index) == (True, size)


def test_refusal_is_raised_with_its_code_and_words(served: Running) -> None:
    """
    Given a message about a record that is not there.
    When it is submitted.
    Then Refused is raised with the numbered reason and what to do, after one attempt.
    """
    with served.client() as client, pytest.raises(Refused) as caught:
        client.submit(MarkWrongPatient(record=10**9))
    reason = RecordsReason.NO_SUCH_RECORD
    assert (caught.value.problem.code, caught.value.problem.reason) == (int(reason), reason.name)
    assert (caught.value.what, caught.value.do) == (reason.what, reason.do)


def test_many_transactions_are_cut_into_requests(served: Running) -> None:
    """
    Given more transactions than one bulk request holds.
    When they are submitted.
    Then each has an answer, in order.
    """
    good, bad = served.signed(), b"x"
    encoded = [bad] * (BULK_TRANSACTIONS_MAX + 1) + [good]
    with served.client() as client:
        answers = client.submit_many(encoded)
    assert [answer.code for answer in answers] == [2] * (BULK_TRANSACTIONS_MAX + 1) + [0]


def test_altered_receipt_is_not_accepted(served: Running) -> None:
    """
    Given a network that alters the height in a receipt, or sends the receipt of another entry.
    When a client with a trust file fetches it.
    Then it is refused.
    """
    trust = read_trust(served.node.trust_file())
    with served.client() as client:
        placed = client.submit_signed(served.signed(entries=2))
    assert isinstance(placed.leaf_index, int)
    altered = FaultyNetwork(altered_answer=(f'"height":{placed.height}'.encode(), b'"height":999'))
    with Client(served.url, trust=trust, transport=altered) as client, pytest.raises(ProofError):
        client.receipt(placed.leaf_index)
    redirected = FaultyNetwork(altered_path=(b"entry=1", b"entry=0"))
    with Client(served.url, trust=trust, transport=redirected) as client, pytest.raises(UnexpectedAnswer):
        client.receipt(placed.leaf_index, 1)


def test_node_of_another_chain_is_refused(served: Running, called: Running) -> None:
    """
    Given a client with the trust file of one chain.
    When it speaks to a node of another.
    Then that is said.
    """
    with Client(served.url, trust=read_trust(called.node.trust_file())) as client, pytest.raises(UnexpectedAnswer):
        client.head()


def test_unreachable_node_is_said_to_be_unreachable() -> None:
    """
    Given an address where nothing listens, and one where something else answers.
    When a client asks.
    Then the one is unavailable, without words about code; the other is no node.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with Client(f"http://127.0.0.1:{port}", attempts=2) as client, pytest.raises(Unavailable):
        client.head()
    assert time.monotonic() - started < 10
    elsewhere = httpx.MockTransport(lambda request: httpx.Response(200, content=b"<html>"))
    with Client("http://elsewhere.test", transport=elsewhere) as client, pytest.raises(UnexpectedAnswer):
        client.head()


def test_client_without_a_key_only_reads(served: Running) -> None:
    """
    Given a client without a key.
    When it reads, then signs.
    Then the first works and the second says what is missing.
    """
    with Client(served.url) as client:
        assert client.query("records.newest")["record"] >= 0
        with pytest.raises(ClientError, match="no key"):
            client.own_records()
