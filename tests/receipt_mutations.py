# SPDX-License-Identifier: Apache-2.0
"""Alterations of a receipt: single bits and whole lines, all from one seed."""

from collections.abc import Iterator
from random import Random

LINE_EDITS = (
    "delete",
    "double",
    "swap",
    "blank line",
    "character",
    "cut",
    "trailing space",
    "carriage return",
    "join",
    "foreign line",
)


def bit_flips(receipt: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` copies of the receipt with one random bit changed each."""
    random = Random(seed)
    for _ in range(count):
        altered = bytearray(receipt)
        bit = random.randrange(8 * len(receipt))
        altered[bit // 8] ^= 1 << bit % 8
        yield bytes(altered)


def line_edits(receipt: bytes, foreign: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` copies with one line edited each; `foreign` is another receipt, from which lines are taken."""
    random = Random(seed)
    made = 0
    while made < count:
        altered = _edited(receipt, foreign, random.choice(LINE_EDITS), random)
        if altered != receipt:
            made += 1
            yield altered


def _edited(receipt: bytes, foreign: bytes, edit: str, random: Random) -> bytes:
    lines = receipt.split(b"\n")
    at = random.randrange(len(lines))
    line = lines[at]
    if edit == "delete":
        del lines[at]
    elif edit == "double":
        lines.insert(at, line)
    elif edit == "swap":
        other = random.randrange(len(lines))
        lines[at], lines[other] = lines[other], line
    elif edit == "blank line":
        lines.insert(at, b"")
    elif edit == "character" and line:
        place = random.randrange(len(line))
        lines[at] = line[:place] + bytes([random.randrange(32, 127)]) + line[place + 1 :]
    elif edit == "cut":
        lines[at] = line[: random.randrange(len(line) + 1)]
    elif edit == "trailing space":
        lines[at] = line + random.choice((b" ", b"\t", b"=", b"A"))
    elif edit == "carriage return":
        lines[at] = line + b"\r"
    elif edit == "join" and at + 1 < len(lines):
        lines[at : at + 2] = [line + lines[at + 1]]
    elif edit == "foreign line":
        lines[at] = random.choice(foreign.split(b"\n"))
    return b"\n".join(lines)
