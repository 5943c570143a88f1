# SPDX-License-Identifier: Apache-2.0
"""Compares the rows of one LMDB tree with those that replay gives, both in key order; names the byte that differs."""

from collections.abc import Iterator
from typing import Final

from vervain.storage.findings import first_difference
from vervain.storage.lmdb_walk import LiveRow, Report

_KEY_SIZE_AT: Final = 6  # of an entry
_OTHER_ROW: Final = "This row is not the one that the blocks give: its {}"


def compare_rows(
    stored: Iterator[LiveRow | None],
    expected: Iterator[tuple[bytes, bytes]],
    report: Report,
    *,
    tree_at: int,
) -> Iterator[LiveRow | None]:
    """Yield the stored rows on, reporting each that differs from the expected ones, is missing or should not be there.

    Args:
        stored: Rows as they stand in the file; None where a damaged page leaves a gap.
        expected: Rows as replay gives them.
        report: Takes a byte of the file and what is wrong there.
        tree_at: Where to place a missing last row: the tree's own record.
    """
    wanted, following = next(expected, None), next(expected, None)
    gap = False
    for row in stored:
        yield row
        if row is None:
            gap = True
            continue
        while wanted is not None and wanted[0] < row.key and (gap or not _is_damaged(row, wanted, following)):
            if not gap:
                report(row.entry_at, "A row that the blocks give is missing before this one")
            wanted, following = following, next(expected, None)
        gap = False
        if wanted is None or (wanted[0] != row.key and not _is_damaged(row, wanted, following)):
            report(row.entry_at, "The blocks do not give this row")
            continue
        _compare(row, wanted, report)
        wanted, following = following, next(expected, None)
    while wanted is not None and not gap:
        report(tree_at, "A row that the blocks give is missing at the end of this tree")
        wanted, following = following, next(expected, None)


def _is_damaged(row: LiveRow, wanted: tuple[bytes, bytes], following: tuple[bytes, bytes] | None) -> bool:
    """Is it plain that this is the wanted row with one byte of its key, or its key's size, changed?"""
    key, value = wanted
    if following is not None and following[0] == row.key:
        return False
    if len(row.key) == len(key):
        return sum(left != right for left, right in zip(row.key, key, strict=True)) == 1
    together, whole = row.key + row.value, key + value
    length = min(len(together), len(whole))
    return abs(len(together) - len(whole)) <= 1 and together[:length] == whole[:length]


def _compare(row: LiveRow, wanted: tuple[bytes, bytes], report: Report) -> None:
    """Report the first byte where a row is not the wanted one."""
    key, value = wanted
    if len(row.key) != len(key):
        report(
            row.entry_at + _KEY_SIZE_AT + first_difference(_uint(len(row.key), 2), _uint(len(key), 2)),
            _OTHER_ROW.format("key's size"),
        )
    elif row.key != key:
        report(row.key_at + first_difference(row.key, key), _OTHER_ROW.format("key"))
    if len(row.value) != len(value) and len(row.key) == len(key):
        report(
            row.entry_at + first_difference(_uint(len(row.value), 4), _uint(len(value), 4)),
            _OTHER_ROW.format("value's size"),
        )
    elif row.value != value and len(row.key) == len(key):
        report(row.value_at + first_difference(row.value, value), _OTHER_ROW.format("value"))


def _uint(number: int, length: int) -> bytes:
    return number.to_bytes(length, "little")
