# SPDX-License-Identifier: Apache-2.0
"""The overlay store: against copies of a plain dict, with nested savepoints and ranges."""

from bisect import bisect_left
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from vervain.ledger.machine.store import Store, after


class Base:
    """Committed rows in a dict."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self.rows.get(key)

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows in key order."""
        keys = sorted(self.rows)
        for key in keys[bisect_left(keys, start) : bisect_left(keys, stop)]:
            yield key, self.rows[key]


keys = some.binary(min_size=1, max_size=2)
rows = some.dictionaries(keys, some.binary(max_size=2), max_size=12)
puts = some.tuples(some.just("put"), keys, some.none() | some.binary(max_size=2))
steps = some.lists(
    puts | some.tuples(some.sampled_from(["mark", "back", "keep"]), some.none(), some.none()), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(rows, steps, keys, keys)
def test_store_is_a_dict_with_savepoints(
    committed: dict[bytes, bytes], history: list[tuple[str, bytes, bytes | None]], start: bytes, stop: bytes
) -> None:
    """
    Given committed rows, and any writes, deletions, nested savepoints and roll-backs.
    When they are done to the store and to a dict that is copied at each savepoint.
    Then gets, ranges and the final writes agree throughout, and the committed rows are untouched.
    """
    before = dict(committed)
    store, reference = Store(Base(committed)), dict(committed)
    written: set[bytes] = set()
    marks: list[tuple[int, dict[bytes, bytes], set[bytes]]] = []
    for what, key, value in history:
        if what == "mark":
            marks.append((store.savepoint(), dict(reference), set(written)))
        elif what == "back" and marks:
            mark, reference, written = marks.pop()
            store.roll_back(mark)
        elif what == "keep" and marks:
            marks.pop()
        elif what == "put":
            store.put(key, value)
            written.add(key)
            if value is None:
                reference.pop(key, None)
            else:
                reference[key] = value
            assert store.get(key) == value
        assert list(store.range(start, stop)) == sorted(
            (key, value) for key, value in reference.items() if start <= key < stop
        )
    assert list(store.range(b"", b"\xff" * 3)) == sorted(reference.items())
    assert store.writes() == tuple((key, reference.get(key)) for key in sorted(written))
    assert committed == before


def test_roll_back_forgets_writes_that_were_not_there() -> None:
    """
    Given a key that was never written.
    When it is written twice and rolled back.
    Then it is not among the writes: a refused transaction leaves nothing in the change digest.
    """
    store = Store(Base({b"a": b"1"}))
    mark = store.savepoint()
    store.put(b"a", b"2")
    store.put(b"a", None)
    store.put(b"b", b"3")
    store.roll_back(mark)
    assert store.writes() == () and store.get(b"a") == b"1" and store.get(b"b") is None


def test_range_shows_writes_made_before_it_began() -> None:
    """
    Given committed and written rows that interleave, one deleted, one replaced.
    When a range is read.
    Then it holds what is so now, in order, start included and stop excluded.
    """
    store = Store(Base({b"a": b"1", b"c": b"2", b"e": b"3", b"g": b"4"}))
    for key, value in ((b"b", b"new"), (b"c", None), (b"e", b"changed"), (b"f", b"new"), (b"h", b"beyond")):
        store.put(key, value)
    expected = [(b"a", b"1"), (b"b", b"new"), (b"e", b"changed"), (b"f", b"new"), (b"g", b"4")]
    assert list(store.range(b"a", b"h")) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(b"a", b"b"), (b"\x00", b"\x01"), (b"a\xff", b"b"), (b"a\xff\xff", b"b"), (b"\xff", b"\xff\xff"), (b"", b"\xff")],
)
def test_after_is_behind_everything_with_the_prefix(prefix: bytes, expected: bytes) -> None:
    """
    Given a prefix, also one that ends in 0xff.
    When the end of its range is asked for.
    Then it is the smallest key that no key with the prefix reaches (all-0xff prefixes are no table's).
    """
    assert after(prefix) == expected
