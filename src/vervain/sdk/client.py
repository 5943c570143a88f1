# SPDX-License-Identifier: Apache-2.0
"""The Python client of one node: sign, submit, ask, prove, follow.

Rules kept:
1. What is sent again is the same bytes: a transaction counts once only, whatever the network does.
2. The chain is fixed at the first answer, or by the trust file; another chain is refused.
3. With a trust file every receipt is verified when it arrives; nothing rests on the node's word.

Sources: architecture.md "One transaction, door to door"; rulings.md "Sources".
"""

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from vervain.ledger.machine.module import Message
from vervain.ledger.primitives.codec import encode
from vervain.sdk.authorization import authorization
from vervain.sdk.client_errors import ClientError, Refused, Unavailable, UnexpectedAnswer
from vervain.sdk.contract import (
    BULK_BYTES_MAX,
    BULK_TRANSACTIONS_MAX,
    JSON,
    LINES,
    RELEASE_REQUEST_BYTES_MAX,
    BlockEvent,
    BulkAnswer,
    Head,
    OwnNoticesAnswer,
    OwnWrapsAnswer,
    Problem,
    ReleaseAnswer,
    TransactionAnswer,
)
from vervain.sdk.event_lines import read_events
from vervain.sdk.transport import ATTEMPTS, PAUSE_SECONDS, PAUSE_SECONDS_MAX, Requester
from vervain.sealing.keys import SigningKey
from vervain.sealing.receipts import VerifiedReceipt, verify_receipt
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.signing import SignedTransaction, build_transaction
from vervain.sealing.trust import Trust

__all__ = ["Client", "ClientError", "Problem", "Refused", "Unavailable", "UnexpectedAnswer", "VerifiedReceipt"]

EXPIRES_IN_SECONDS: Final = 300  # of a transaction signed here; the ledger takes at most 900
TIMEOUT_SECONDS: Final = 45.0  # longer than the node waits for a block, and than an event stream is silent

S = TypeVar("S")


class Client:
    """Speaks to one node. Use as a context manager, or call `close`.

    Args:
        base_url: The node's address, e.g. `http://127.0.0.1:8000`.
        key: Signs; without one the client can only read.
        actor: 32-byte id that the key acts for; the key's own first id when left out.
        trust: Receipts are verified against it, and the node must serve its chain.
        transport: Where requests go instead of the network, e.g. into an app in memory.
        attempts: How often a request is sent at most.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: SigningKey | None = None,
        actor: bytes | None = None,
        trust: Trust | None = None,
        transport: httpx.BaseTransport | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._http = httpx.Client(base_url=base_url, transport=transport, timeout=TIMEOUT_SECONDS)
        self._requester = Requester(self._http, attempts=attempts)
        self._key, self._trust = key, trust
        self._actor = actor if actor is not None or key is None else key.actor
        self._chain = "" if trust is None else trust.chain

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    @property
    def chain(self) -> str:
        """The chain's full name.

        Raises: UnexpectedAnswer when the node serves another one.
        """
        return self._chain or self.head().chain

    def head(self) -> Head:
        """Return the newest durable block.

        Raises: UnexpectedAnswer when the node serves another chain than before.
        """
        head = _decoded(self._requester.get("/v1/head"), Head)
        if self._chain not in ("", head.chain):
            raise UnexpectedAnswer(
                "The node serves another chain", why=f"It is not {self._chain}", do="Check address and trust file."
            )
        self._chain = head.chain
        return head

    def query(self, name: str, arguments: msgspec.Struct | dict[str, Any] | None = None) -> Any:
        """Ask a question by name; return its answer as plain values (bytes as base64 text).

        Raises: Refused, Unavailable.
        """
        return msgspec.json.decode(self.query_bytes(name, {} if arguments is None else arguments))

    def query_bytes(self, name: str, arguments: msgspec.Struct | dict[str, Any]) -> bytes:
        """Ask a question by name; return its answer's canonical bytes, to be decoded into the type that it has.

        Raises: Refused, Unavailable.
        """
        return self._requester.post(f"/v1/queries/{name}", encode(arguments), JSON, reads=True)

    # Writing

    def sign(self, *messages: Message, expires_in_seconds: int = EXPIRES_IN_SECONDS) -> SignedTransaction:
        """Sign messages as one transaction, applied whole or not at all. Keep it to send it again.

        Refuses: LimitExceeded. Raises: ClientError without a key.
        """
        key, actor = self._signer()
        expires_at = int(time.time()) + expires_in_seconds
        return build_transaction(messages, chain=self.chain, actor=actor, key=key, expires_at=expires_at)

    def submit(self, *messages: Message) -> TransactionAnswer:
        """Sign messages as one transaction and hand it in; return its durable outcome.

        Raises: Refused when it was not applied; Unavailable.
        """
        return self.submit_signed(self.sign(*messages).encoded)

    def submit_signed(self, encoded: bytes) -> TransactionAnswer:
        """Hand in a signed transaction; return its durable outcome. Safe to repeat.

        Raises: Refused when it was not applied; Unavailable: then send the same bytes again.
        """
        return _decoded(self._requester.post("/v1/transactions", encoded, JSON), TransactionAnswer)

    def submit_many(self, encoded: Sequence[bytes]) -> list[BulkAnswer]:
        """Hand in many signed transactions; return what came of each, in order. A refusal is an answer with its code.

        Raises: Unavailable: then send the same bytes again.
        """
        answers: list[BulkAnswer] = []
        for group in _groups(encoded):
            lines = self._requester.post("/v1/transactions/bulk", b"\n".join(group), LINES)
            try:
                found = msgspec.json.Decoder(BulkAnswer).decode_lines(lines)
            except msgspec.DecodeError:
                raise _not_in_contract() from None
            if len(found) != len(group):
                raise _not_in_contract()
            answers += found
        return answers

    # Proof

    def receipt(self, leaf_index: int, entry: int = 0) -> bytes:
        """Return the `.receipt` file of one entry; verified first when the client has a trust file.

        Raises: Refused, Unavailable; ProofError, DamagedProof when it does not prove what it says.
        """
        encoded = self._requester.get(f"/v1/receipts/{leaf_index}?entry={entry}")
        if self._trust is not None:
            verified = verify_receipt(encoded, self._trust)
            if (verified.index, verified.entry_index) != (leaf_index, entry):
                raise UnexpectedAnswer("The node sent the receipt of another entry", do="Ask again, or another node.")
        return encoded

    def trust_file(self) -> bytes:
        """Return the trust file as the node knows it. Compare it with others before relying on it."""
        return self._requester.get("/v1/trust")

    # One's own

    def own_accesses(self, *, before: int | None = None) -> Any:
        """Return a page of who read by this actor's consents, newest first."""
        return self._own("/v1/me/accesses" + ("" if before is None else f"?before={before}"))

    def own_consents(self) -> Any:
        """Return the consents that this actor gave, newest first."""
        return self._own("/v1/me/consents")

    def own_records(self, *, after: int | None = None) -> Any:
        """Return a page of the records about this actor, or in its custody, oldest first."""
        return self._own("/v1/me/records" + _after(after))

    def own_notices(self, *, after: int | None = None) -> OwnNoticesAnswer:
        """Return a page of the notices that are sealed to this actor, oldest first; a wallet opens them."""
        return _decoded(self._own_bytes("/v1/me/notices" + _after(after)), OwnNoticesAnswer)

    def own_wraps(self, *, after: int | None = None) -> OwnWrapsAnswer:
        """Return a page of the keys of this actor's documents, sealed to its wallet."""
        return _decoded(self._own_bytes("/v1/me/wraps" + _after(after)), OwnWrapsAnswer)

    def own_document(self, record: int) -> bytes:
        """Return the ciphertext of one of this actor's documents; a wallet opens it.

        Raises: Refused when it is not this actor's, or not there.
        """
        return self._own_bytes(f"/v1/me/documents/{record}")

    def erase_record(self, record: int) -> Any:
        """Erase one document in this member's custody, for good; return the record and the signed certificates.

        Raises: Refused; with status 410 when it is erased already, also by an earlier attempt whose answer was lost.
        """
        path = f"/v1/me/records/{record}/erasure"
        return msgspec.json.decode(self._requester.post(path, b"", JSON, headers=self._signed_for(path)))

    # Under a grant

    def release(self, organisation: bytes, asked: ReleaseRequest) -> ReleaseAnswer:
        """Ask a custodian for what a final read request may have; `sdk.reader.Reader.open_all` opens it.

        Args:
            organisation: 32-byte id of the custodian, a member that this client's node serves.
            asked: The request, with its notice.

        Raises: Refused, Unavailable.
        """
        encoded = encode(asked)
        assert len(encoded) <= RELEASE_REQUEST_BYTES_MAX
        return _decoded(
            self._requester.post(f"/v1/members/{organisation.hex()}/releases", encoded, JSON), ReleaseAnswer
        )

    # Following

    def events(self, *, after_height: int | None = None) -> Iterator[BlockEvent]:
        """Yield final blocks as they come, without end; after a fault go on where it broke off.

        Args:
            after_height: Begin behind this height; with the next block when left out.

        Raises: Refused; Unavailable when the node stays away.
        """
        last = self.head().height if after_height is None else after_height
        faults = 0
        while True:
            try:
                with self._requester.stream("/v1/events", {"Last-Event-ID": str(last)}) as lines:
                    for event in read_events(lines):
                        faults, last = 0, event.height
                        yield event
            except Unavailable:
                faults += 1
                if faults == ATTEMPTS:
                    raise
            time.sleep(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2**faults))

    # Parts

    def _own(self, path: str) -> Any:  # Any: JSON
        return msgspec.json.decode(self._own_bytes(path))

    def _own_bytes(self, path: str) -> bytes:
        return self._requester.get(path, self._signed_for(path))

    def _signed_for(self, path: str) -> Callable[[], dict[str, str]]:
        """Return what makes the header of a request for `path`, anew for each attempt."""
        key, actor = self._signer()
        chain = self.chain

        def signed() -> dict[str, str]:
            now = int(time.time())
            return {"Authorization": authorization(chain=chain, actor=actor, key=key, path=path, now=now)}

        return signed

    def _signer(self) -> tuple[SigningKey, bytes]:
        if self._key is None or self._actor is None:
            raise ClientError("This client has no key", why="It was made for reading", do="Give it `key=`.")
        return self._key, self._actor


def _groups(encoded: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut transactions into requests that keep the bulk maxima."""
    group: list[bytes] = []
    size = 0
    for each in encoded:
        if group and (len(group) == BULK_TRANSACTIONS_MAX or size + len(each) >= BULK_BYTES_MAX):
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each) + 1
    if group:
        yield group


def _after(after: int | None) -> str:
    return "" if after is None else f"?after={after}"


def _decoded(encoded: bytes, as_type: type[S]) -> S:
    try:
        return msgspec.json.decode(encoded, type=as_type)
    except msgspec.DecodeError:
        raise _not_in_contract() from None


def _not_in_contract() -> UnexpectedAnswer:
    return UnexpectedAnswer(
        "The node's answer is not in the API's contract",
        why="Another service or version answers",
        do="Check the address.",
    )
