# SPDX-License-Identifier: Apache-2.0
"""Once only: what is remembered, until when, how much of it, and how it is forgotten."""

import pytest

from tests.memory_state import SortedRows
from tests.toy_ledger import TOY, signed
from vervain.ledger.machine import replay_window
from vervain.ledger.machine.replay_window import ReplayWindow
from vervain.ledger.machine.transaction import Transaction

CHAIN = "toy-1"
HOSPITAL, INSURER = b"h" * 32, b"i" * 32
COUNT = b"\xff" * 8


class Remembered:
    """What storage remembers."""

    def __init__(self) -> None:
        self.rows = SortedRows()
        self.unexpired_get, self.unexpired_range = self.rows.get, self.rows.range

    def commit(self, window: ReplayWindow, block_time: int = 0) -> tuple[bytes, ...]:
        """End a block: forget what expired, keep what was added; return what was forgotten."""
        removed = window.forget(block_time)
        for key in removed:
            self.rows.put(key, None)
        for key, value in window.added():
            self.rows.put(key, value)
        return removed


def transaction(expires_at: int, text: str = "note") -> Transaction:
    """Return a fresh transaction."""
    return Transaction(signed(text, chain=CHAIN, expires_at=expires_at), TOY.message_decoder)


def test_ordered_id_is_found_in_its_block_and_later() -> None:
    """
    Given a transaction that was not seen.
    When it is ordered at height 3, place 7, and the block is committed.
    Then it is found there within the block and in the next window; another is not.
    """
    remembered, seen = Remembered(), transaction(100)
    window = ReplayWindow(remembered)
    assert window.first_place(seen) is None
    window.add(seen, HOSPITAL, height=3, index=7)
    assert window.first_place(seen) == (3, 7)
    remembered.commit(window)
    later = ReplayWindow(remembered)
    assert later.first_place(seen) == (3, 7)
    assert later.first_place(transaction(100)) is None


def test_added_rows_have_the_agreed_form() -> None:
    """
    Given two transactions of one member.
    When they are added.
    Then each stands under its expiry and id with member, height and place, and the member's count behind everything.
    """
    window, first, second = ReplayWindow(Remembered()), transaction(100), transaction(90)
    window.add(first, HOSPITAL, height=3, index=0)
    window.add(second, HOSPITAL, height=3, index=1)
    assert window.added() == (
        (b"\0" * 7 + b"\x5a" + second.txid, HOSPITAL + b"\0" * 7 + b"\x03" + b"\0\0\0\x01"),
        (b"\0" * 7 + b"\x64" + first.txid, HOSPITAL + b"\0" * 7 + b"\x03" + b"\0\0\0\x00"),
        (COUNT + HOSPITAL, b"\0" * 7 + b"\x02"),
    )


def test_id_is_forgotten_once_its_expiry_has_passed() -> None:
    """
    Given transactions that expire at 100, 101 and 102.
    When a block at 101 ends.
    Then only the first is forgotten: at its expiry second an id could still be ordered, so it is still remembered.
    """
    remembered, window = Remembered(), None
    seen = [transaction(expires_at) for expires_at in (100, 101, 102)]
    window = ReplayWindow(remembered)
    for index, each in enumerate(seen):
        window.add(each, HOSPITAL, height=1, index=index)
    remembered.commit(window)
    window = ReplayWindow(remembered)
    removed = remembered.commit(window, block_time=101)
    assert removed == (b"\0" * 7 + b"\x64" + seen[0].txid,)
    places = [ReplayWindow(remembered).first_place(each) for each in seen]
    assert places == [None, (1, 1), (1, 2)]
    assert remembered.rows.get(COUNT + HOSPITAL) == (2).to_bytes(8, "big")


def test_forgetting_is_bounded_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given five expired ids and a bound of two a block.
    When blocks end.
    Then two, two and one are forgotten, oldest first, and the count follows.
    """
    monkeypatch.setattr(replay_window, "UNEXPIRED_FORGOTTEN_PER_BLOCK_MAX", 2)
    remembered = Remembered()
    window = ReplayWindow(remembered)
    for expires_at in range(5):
        window.add(transaction(expires_at), HOSPITAL, height=1, index=expires_at)
    remembered.commit(window)
    forgotten = [remembered.commit(ReplayWindow(remembered), block_time=1_000) for _ in range(4)]
    assert [[key[7] for key in removed] for removed in forgotten] == [[0, 1], [2, 3], [4], []]
    assert remembered.rows.get(COUNT + HOSPITAL) == bytes(8)


def test_members_have_a_limit_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given a limit of two unexpired transactions a member.
    When a hospital has one committed and one in this block.
    Then it is full and the insurer is not; when they expire it is not full any more.
    """
    monkeypatch.setattr(replay_window, "UNEXPIRED_PER_ORGANISATION_MAX", 2)
    remembered = Remembered()
    window = ReplayWindow(remembered)
    window.add(transaction(100), HOSPITAL, height=1, index=0)
    assert not window.is_full(HOSPITAL)
    remembered.commit(window)
    window = ReplayWindow(remembered)
    window.add(transaction(100), HOSPITAL, height=2, index=0)
    assert window.is_full(HOSPITAL) and not window.is_full(INSURER)
    remembered.commit(window)
    remembered.commit(ReplayWindow(remembered), block_time=101)
    assert not ReplayWindow(remembered).is_full(HOSPITAL)
