# SPDX-License-Identifier: Apache-2.0
"""What an audit says of a data directory: which file, which byte, what is wrong there."""

from typing import Final

import msgspec

FINDINGS_MAX: Final = 10_000  # told of one directory; more would tell a person nothing new


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One damaged part.

    Attributes:
        file: Path inside the data directory.
        offset: Its first bad byte, or, where that cannot be told, the first byte of the smallest part that holds it.
        what: What is wrong, in plain words and without any stored value.
    """

    file: str
    offset: int
    what: str


def first_difference(found: bytes, expected: bytes) -> int:
    """Return the first position where `found` is not `expected`; the shorter length when one begins with the other."""
    length = min(len(found), len(expected))
    if found[:length] == expected[:length]:
        return length
    low, high = 0, length  # the first difference is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if found[low:middle] == expected[low:middle]:
            low = middle
        else:
            high = middle
    return low
