# SPDX-License-Identifier: Apache-2.0
"""A member's transactions: signed with its key, submitted, and answered when they are applied and durable."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

from vervain.engines.engine import FinalOutcome
from vervain.engines.errors import Unreachable
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED, MachineReason
from vervain.ledger.modules.records.messages import EraseRecord
from vervain.ledger.primitives.errors import VervainError
from vervain.sealing.keys import SigningKey
from vervain.sealing.signing import SignedTransaction, build_transaction

ENTRIES_PER_TRANSACTION: Final = 100
TRANSACTIONS_IN_FLIGHT: Final = 32
EXPIRY_SECONDS: Final = 600
ANSWER_SECONDS: Final = 60.0
LONG_AGO: Final = 1  # UTC seconds, before the founding of any chain: what expired then is never ordered

T = TypeVar("T")


class NotApplied(VervainError):
    """The ledger refused what a desk asked for.

    Attributes:
        outcome: The final outcome.
    """

    def __init__(self, outcome: FinalOutcome) -> None:
        reason = CATALOGUE.reasons[outcome.code]
        super().__init__(reason.what, why=outcome.why, do=reason.do)
        self.outcome, self.reason = outcome, reason


class Ledger(Protocol):
    """What a member needs of its node."""

    @property
    def chain(self) -> str: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    def submit_many(self, encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]": ...
    def view(self) -> AbstractContextManager[CommittedState]: ...
    def outcome_of(self, txid: bytes) -> FinalOutcome | None: ...


class Sender:
    """Signs and submits for one member.

    Args:
        node: The ledger to ask.
        organisation: 32-byte id of the member.
        signing: Its signing key.
    """

    def __init__(self, node: Ledger, organisation: bytes, signing: SigningKey) -> None:
        self.node, self.organisation, self.signing = node, organisation, signing

    @property
    def now(self) -> int:
        """The node's time in UTC seconds."""
        return int(self.node.clock())

    def sign(self, messages: Sequence[Message], *, expires_at: int | None = None) -> SignedTransaction:
        """Sign messages as this organisation; they expire at a UTC second, `EXPIRY_SECONDS` from now when left out."""
        return build_transaction(
            messages,
            chain=self.node.chain,
            actor=self.organisation,
            key=self.signing,
            expires_at=self.now + EXPIRY_SECONDS if expires_at is None else expires_at,
        )

    def time_while_taking(self) -> int:
        """Return the UTC second, once the ledger has shown that it takes transactions and holds the clock to be right.

        It is asked with a transaction that expired long ago: the engine looks at its clock, refuses it and keeps
        nothing. The earlier of the clock before and after is told, so a leap on either side of the answer does not
        count.

        Raises: NotApplied when the pool is full, Unreachable.
        """
        before = self.now
        asked = self.sign([EraseRecord(record=1, certificate_digest=bytes(32))], expires_at=LONG_AGO)
        (outcome,) = answer_of(self.node.submit_many([asked.encoded]))
        if outcome.code != MachineReason.EXPIRED:
            raise NotApplied(outcome)
        return min(before, self.now)

    def send(self, *messages: Message) -> FinalOutcome:
        """Sign and submit messages as one transaction; return its outcome when it is applied and durable.

        Raises: NotApplied, Unreachable.
        """
        return self.submit(self.sign(messages).encoded)

    def submit(self, encoded: bytes) -> FinalOutcome:
        """Submit a transaction that somebody else signed; return its outcome when it is applied and durable.

        Raises: NotApplied, Unreachable.
        """
        (outcome,) = answer_of(self.node.submit_many([encoded]))
        if outcome.code != APPLIED:
            raise NotApplied(outcome)
        return outcome

    def send_all(self, messages: Sequence[Message], progress: Callable[[int], None] = lambda done: None) -> None:
        """Send many independent messages in batches; the order of messages is the caller's.

        Raises: NotApplied, Unreachable.
        """
        for some in in_groups(messages, ENTRIES_PER_TRANSACTION * TRANSACTIONS_IN_FLIGHT):
            signed = [self.sign(batch).encoded for batch in in_groups(some, ENTRIES_PER_TRANSACTION)]
            for outcome in answer_of(self.node.submit_many(signed)):
                if outcome.code != APPLIED:
                    raise NotApplied(outcome)
            progress(len(some))


def answer_of(outcomes: "Future[list[FinalOutcome]]") -> list[FinalOutcome]:
    """Wait for the outcomes of what was submitted.

    Raises: Unreachable, also when no answer came in time: then it may still be ordered.
    """
    try:
        return outcomes.result(ANSWER_SECONDS)
    except TimeoutError:
        raise Unreachable(
            "The ledger has not answered in time",
            why=f"No outcome came within {ANSWER_SECONDS:.0f} seconds; what was sent may still be ordered",
            do="Ask for the same again later; what was ordered meanwhile counts once only.",
        ) from None


def in_groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield what there is, in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
