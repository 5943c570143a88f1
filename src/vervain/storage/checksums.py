# SPDX-License-Identifier: Apache-2.0
"""Finds the one byte that was changed under a CRC-32.

A CRC is linear: the difference between the sum found and the sum kept depends only on the change and on how many bytes
follow it. Running the register backwards from the end of the data gives, for each place, the one change of that byte
that would explain the difference, if any. The caller confirms a place by a stronger digest.
"""

from collections.abc import Iterator
from typing import Final
from zlib import crc32

_POLYNOMIAL: Final = 0xEDB88320


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        register = value
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return tuple(table)


_TABLE: Final = _table()
_BY_TOP_BYTE: Final = tuple(value for _, value in sorted((entry >> 24, value) for value, entry in enumerate(_TABLE)))


def single_changes(found: bytes, checksum: int) -> Iterator[tuple[int, int]]:
    """Yield (position, mask) of each byte whose change by XOR with `mask` explains why `found` lacks `checksum`."""
    register = crc32(found) ^ checksum
    if not register:
        return
    for position in range(len(found) - 1, -1, -1):
        mask = _BY_TOP_BYTE[register >> 24]
        before = register ^ _TABLE[mask]
        if not before:
            yield position, mask
        register = (before << 8 & 0xFFFFFFFF) | mask


def corrected(found: bytes, position: int, mask: int) -> bytes:
    """Return `found` with one byte changed back."""
    return found[:position] + bytes((found[position] ^ mask,)) + found[position + 1 :]
