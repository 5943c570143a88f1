# SPDX-License-Identifier: Apache-2.0
"""Typed tables: key layout, rows, limits."""

import pytest

from tests.memory_state import MemoryState
from vervain.ledger.machine.limits import ROW_BYTES_MAX
from vervain.ledger.machine.refusals import Conflict, LimitExceeded, MachineReason, NotFound, Reason
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Key, Row, Table


class Shelf(Row, frozen=True, kw_only=True):
    """A row."""

    text: str
    count: int = 0


class ShelfReason(Reason):
    """A reason that a caller names."""

    NO_SHELF = 1301, NotFound, "There is no shelf.", "Build one."
    TAKEN = 1302, Conflict, "It is taken.", "Take another."


SHELVES = Table(name="note.shelves", number=1301, row=Shelf, key=(2, 4, 0))
PLAIN = Table(name="note.plain", number=1302, row=Shelf, key=(1,), proved=True, configuration=True)


@pytest.fixture
def store() -> Store:
    """An empty state."""
    return Store(MemoryState())


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((b"ab", 7, "name"), b"\x05\x15ab\x00\x00\x00\x07name"),
        ((b"ab", 7), b"\x05\x15ab\x00\x00\x00\x07"),
        (b"ab", b"\x05\x15ab"),
        ((), b"\x05\x15"),
    ],
)
def test_stored_key_is_number_and_parts(key: Key, expected: bytes) -> None:
    """
    Given a table whose key is two bytes, a four-byte integer and a rest.
    When a whole key or its leading parts are laid out.
    Then they are table number, then the parts, big-endian.
    """
    assert SHELVES.stored_key(key) == expected


def test_key_part_of_another_width_is_stopped() -> None:
    """
    Given a part of three bytes where two belong.
    When the key is laid out.
    Then an assertion stops it, since keys could collide; so does an integer too large for its width.
    """
    with pytest.raises(AssertionError):
        SHELVES.stored_key((b"abc", 7, "name"))
    with pytest.raises(OverflowError):
        SHELVES.stored_key((b"ab", 2**32, "name"))


def test_row_is_put_got_and_deleted(store: Store) -> None:
    """
    Given a table.
    When a row is put, replaced and deleted.
    Then it is there, canonical in the store, and gone.
    """
    key: Key = (b"ab", 7, "name")
    assert SHELVES.get(store, key) is None and not SHELVES.has(store, key)
    SHELVES.put(store, key, Shelf(text="old"))
    SHELVES.put(store, key, Shelf(text="new", count=2))
    assert store.get(SHELVES.stored_key(key)) == b'{"count":2,"text":"new"}'
    assert SHELVES.get(store, key) == SHELVES.require(store, key) == Shelf(text="new", count=2)
    assert SHELVES.from_stored(b'{"text":"x"}') == Shelf(text="x")
    SHELVES.delete(store, key)
    assert not SHELVES.has(store, key)
    with pytest.raises(AssertionError):
        SHELVES.delete(store, key)


def test_require_refuses_with_the_named_reason(store: Store) -> None:
    """
    Given no row.
    When it is required, with the machine's reason and with the caller's.
    Then NotFound with that reason, naming the table.
    """
    with pytest.raises(NotFound) as caught:
        SHELVES.require(store, (b"ab", 7, "name"))
    assert (caught.value.reason, caught.value.why) == (MachineReason.ROW_NOT_FOUND, "table note.shelves")
    with pytest.raises(NotFound) as caught:
        SHELVES.require(store, (b"ab", 7, "name"), ShelfReason.NO_SHELF)
    assert caught.value.reason is ShelfReason.NO_SHELF


def test_row_too_large_is_refused(store: Store) -> None:
    """
    Given a row of exactly the largest size, and one byte more.
    When they are put.
    Then the first is taken and the second refused.
    """
    frame = len(b'{"text":""}')
    PLAIN.put(store, 1, Shelf(text="x" * (ROW_BYTES_MAX - frame)))
    with pytest.raises(LimitExceeded) as caught:
        PLAIN.put(store, 1, Shelf(text="x" * (ROW_BYTES_MAX - frame + 1)))
    assert caught.value.reason is MachineReason.ROW_TOO_LARGE


def test_rows_are_yielded_in_key_order_by_leading_parts(store: Store) -> None:
    """
    Given rows of two tables.
    When all of one, and those of one leading part, are read.
    Then they come in key order without the table number, and nothing of the other table.
    """
    for key in ((b"ab", 7, "z"), (b"ab", 7, "a"), (b"ab", 300, "a"), (b"aa", 9, "a")):
        SHELVES.put(store, key, Shelf(text=str(key[2])))
    PLAIN.put(store, 1, Shelf(text="other"))
    order = [key for key, _ in SHELVES.rows(store)]
    assert order == [b"aa\0\0\0\x09a", b"ab\0\0\0\x07a", b"ab\0\0\0\x07z", b"ab\0\0\x01\x2ca"]
    assert [row.text for _, row in SHELVES.rows(store, (b"ab", 7))] == ["a", "z"]
    assert [row.text for _, row in PLAIN.rows(store)] == ["other"]
