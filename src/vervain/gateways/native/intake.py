# SPDX-License-Identifier: Apache-2.0
"""From the event loop to the engine and back, with one hand-over for all that arrive in one turn of the loop.

Waking another thread costs more than verifying a signature does, so single submissions that came in together go to the
engine as one group. Each keeps its own outcome, and the engine admits and orders each by itself; all of them are told
once the last of the group has its outcome, which is a block later at most. What is awaited may be given up at any time:
the engine keeps what it holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from vervain.engines.engine import FinalOutcome
from vervain.engines.errors import Unreachable

ANSWER_SECONDS_MAX: Final = 30.0  # after that the sender is told to send the same bytes again
GROUP_TRANSACTIONS_MAX: Final = 256
GROUP_BYTES_MAX: Final = 4 * 2**20

SubmitMany = Callable[[Sequence[bytes]], "Future[list[FinalOutcome]]"]
_Answers = asyncio.Future[list[FinalOutcome]]


class Intake:
    """Hands transactions to an engine from one event loop.

    Args:
        submit_many: Takes one group; its future is settled on another thread once all of it is durable and final.
    """

    def __init__(self, submit_many: SubmitMany) -> None:
        self._submit_many = submit_many
        self._arrived: list[tuple[bytes, asyncio.Future[FinalOutcome]]] = []
        self._arrived_bytes = 0

    async def submit(self, encoded: bytes) -> FinalOutcome:
        """Hand in one transaction with the others of this turn of the loop; return its durable outcome.

        Raises: Unreachable, also when no answer came in time: then it may still be ordered.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[FinalOutcome] = loop.create_future()
        if not self._arrived:
            loop.call_soon(self._hand_in_arrived)
        self._arrived.append((encoded, answered))
        self._arrived_bytes += len(encoded)
        if len(self._arrived) == GROUP_TRANSACTIONS_MAX or self._arrived_bytes > GROUP_BYTES_MAX:
            self._hand_in_arrived()
        return await answered

    async def submit_group(self, encoded: Sequence[bytes]) -> list[FinalOutcome]:
        """Hand in transactions as one group; return their durable outcomes in order.

        Raises: Unreachable, as for one.
        """
        return await self._hand_in(encoded)

    def _hand_in_arrived(self) -> None:
        arrived, self._arrived, self._arrived_bytes = self._arrived, [], 0
        if not arrived:  # handed in when it was full
            return

        def settle_each(answers: _Answers) -> None:
            error = answers.exception()
            for index, (_, answered) in enumerate(arrived):
                if answered.done():  # given up
                    continue
                if error is None:
                    answered.set_result(answers.result()[index])
                else:
                    answered.set_exception(error)

        self._hand_in([encoded for encoded, _ in arrived]).add_done_callback(settle_each)

    def _hand_in(self, encoded: Sequence[bytes]) -> _Answers:
        loop = asyncio.get_running_loop()
        answers: _Answers = loop.create_future()
        late = loop.call_later(ANSWER_SECONDS_MAX, _give_up, answers)

        def settle(outcomes: "Future[list[FinalOutcome]]") -> None:
            late.cancel()
            if answers.done():
                return
            error = outcomes.exception()
            if error is None:
                answers.set_result(outcomes.result())
            else:
                answers.set_exception(error)

        try:
            # Not asyncio.wrap_future: a request that is given up must not cancel what the engine holds.
            self._submit_many(encoded).add_done_callback(lambda done: loop.call_soon_threadsafe(settle, done))
        except Unreachable as error:
            late.cancel()
            answers.set_exception(error)
        return answers


def _give_up(answers: _Answers) -> None:
    if not answers.done():
        answers.set_exception(
            Unreachable(
                "The node has not answered in time",
                why="The transactions may still be ordered",
                do="Send the same bytes again; they count once only.",
            )
        )
