# SPDX-License-Identifier: Apache-2.0
"""Hand-over to the engine: one group a turn of the loop, an answer each, nothing given up on the engine's side."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from vervain.engines.engine import FinalOutcome
from vervain.engines.errors import Unreachable
from vervain.gateways.native import intake
from vervain.gateways.native.intake import Intake


class Groups:
    """Notes the groups handed in; each is settled when the test says so."""

    def __init__(self) -> None:
        self.handed_in: list[tuple[list[bytes], Future[list[FinalOutcome]]]] = []

    def submit_many(self, encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]":
        """Note a group."""
        self.handed_in.append((list(encoded), Future()))
        return self.handed_in[-1][1]

    @property
    def contents(self) -> list[list[bytes]]:
        """What was handed in, group by group."""
        return [encoded for encoded, _ in self.handed_in]

    def settle(self) -> None:
        """Answer every group: the code of each transaction is its first byte."""
        for encoded, future in self.handed_in:
            future.set_result([FinalOutcome(txid=bytes(32), code=each[0]) for each in encoded])


def test_what_arrives_in_one_turn_goes_as_one_group_and_each_gets_its_own_answer() -> None:
    """Given three submissions in one turn and one later, when they are handed in, then as two groups, answered each."""
    groups = Groups()

    async def scene() -> list[int]:
        hand_over = Intake(groups.submit_many)
        together = [asyncio.ensure_future(hand_over.submit(bytes([code]))) for code in (7, 8, 9)]
        await asyncio.sleep(0.01)
        later = asyncio.ensure_future(hand_over.submit(b"\x0a"))
        await asyncio.sleep(0.01)
        groups.settle()
        return [outcome.code for outcome in await asyncio.gather(*together, later)]

    assert asyncio.run(scene()) == [7, 8, 9, 10]
    assert groups.contents == [[b"\x07", b"\x08", b"\x09"], [b"\x0a"]]


def test_a_group_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given groups of two and of at most four bytes, when five arrive together, one of them long, then four groups."""
    monkeypatch.setattr(intake, "GROUP_TRANSACTIONS_MAX", 2)
    monkeypatch.setattr(intake, "GROUP_BYTES_MAX", 4)
    groups = Groups()

    async def scene() -> None:
        hand_over = Intake(groups.submit_many)
        sent = [b"\x01", b"\x02", b"\x03long", b"\x04", b"\x05", b"\x06"]
        waiting = [asyncio.ensure_future(hand_over.submit(each)) for each in sent]
        await asyncio.sleep(0.01)
        groups.settle()
        assert [outcome.code for outcome in await asyncio.gather(*waiting)] == [1, 2, 3, 4, 5, 6]

    asyncio.run(scene())
    assert groups.contents == [[b"\x01", b"\x02"], [b"\x03long"], [b"\x04", b"\x05"], [b"\x06"]]


def test_a_request_that_is_given_up_leaves_its_group_alone() -> None:
    """Given two in a group, when one is cancelled before the answer, then the other is answered."""
    groups = Groups()

    async def scene() -> int:
        hand_over = Intake(groups.submit_many)
        gone, stays = (asyncio.ensure_future(hand_over.submit(bytes([code]))) for code in (1, 2))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        assert not groups.handed_in[0][1].cancelled()
        groups.settle()
        return (await stays).code

    assert asyncio.run(scene()) == 2


def test_a_late_answer_is_told_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an engine that does not answer, when the time is over, then the sender is told to send the same again."""
    monkeypatch.setattr(intake, "ANSWER_SECONDS_MAX", 0.02)
    groups = Groups()

    async def scene() -> None:
        hand_over = Intake(groups.submit_many)
        with pytest.raises(Unreachable, match="has not answered in time"):
            await hand_over.submit(b"\x01")
        with pytest.raises(Unreachable, match="has not answered in time"):
            await hand_over.submit_group([b"\x02"])
        groups.settle()  # too late, and harmless
        await asyncio.sleep(0.01)

    asyncio.run(scene())


def test_an_engine_that_takes_nothing_is_told_to_everybody_in_the_group() -> None:
    """Given a stopped engine, when two submit in one turn, then both are told so."""

    def refuse(encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]":
        raise Unreachable("This node takes no transactions now")

    async def scene() -> list[bool]:
        hand_over = Intake(refuse)
        answers = await asyncio.gather(hand_over.submit(b"1"), hand_over.submit(b"2"), return_exceptions=True)
        return [isinstance(answer, Unreachable) for answer in answers]

    assert asyncio.run(scene()) == [True, True]
