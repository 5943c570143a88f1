# SPDX-License-Identifier: Apache-2.0
"""A private file that tells when a byte of it was changed: content, line feed, 64 hex digits of its SHA-256, line feed.

For what nothing else of the data directory could be compared with. It guards against decay, not against an attacker.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from vervain.sealing.keys import read_private_file, write_private_file
from vervain.storage.errors import Corrupt

_SUM_BYTES: Final = 66  # line feed, 64 hex digits, line feed


def write_summed_file(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a private file with its sum; it appears whole or not at all, and durably.

    Raises: KeyFileRefused.
    """
    write_private_file(path, content + _sum_of(content), replace=replace)


def read_summed_file(path: Path, bytes_max: int) -> bytes:
    """Return the content of a private file whose sum holds.

    Raises: Corrupt, KeyFileRefused.
    """
    stored = read_private_file(path, bytes_max + _SUM_BYTES)
    content = stored[:-_SUM_BYTES]
    if stored[-_SUM_BYTES:] != _sum_of(content):
        raise Corrupt(path, 0, "A byte of it was changed or is missing: its sum does not hold")
    return content


def _sum_of(content: bytes) -> bytes:
    return b"\n" + sha256(content).hexdigest().encode("ascii") + b"\n"
