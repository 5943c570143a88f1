# SPDX-License-Identifier: Apache-2.0
"""A second slicer, slow and written apart from the first: it walks over the bytes, character by character.

It knows no JSON library and checks nothing: it says where each resource of a well-formed Bundle stands.
"""

from collections.abc import Callable
from typing import Final

SPACE: Final = b" \t\r\n"
QUOTE: Final = ord('"')
BACKSLASH: Final = ord("\\")
COMMA: Final = ord(",")
OPENING: Final = b"{["
CLOSING: Final = b"}]"


def slow_slices(source: bytes) -> list[tuple[int, bytes]]:
    """Return offset and bytes of each entry's resource."""
    found: list[tuple[int, bytes]] = []

    def around(key: bytes, start: int) -> int:
        return _list_end(source, start, entry) if key == b'"entry"' else _value_end(source, start)

    def entry(start: int) -> int:
        return _object_end(source, start, member)

    def member(key: bytes, start: int) -> int:
        end = _value_end(source, start)
        if key == b'"resource"':
            found.append((start, source[start:end]))
        return end

    _object_end(source, _after_space(source, 0), around)
    return found


def _object_end(source: bytes, index: int, visit: Callable[[bytes, int], int]) -> int:
    """Walk over an object; `visit` gets each key and its value's start, and returns the value's end."""
    index = _after_space(source, index + 1)
    while source[index] not in CLOSING:
        end = _string_end(source, index)
        start = _after_space(source, _after_space(source, end) + 1)  # over the colon
        index = _after_comma(source, visit(source[index:end], start))
    return index + 1


def _list_end(source: bytes, index: int, visit: Callable[[int], int]) -> int:
    """Walk over a list; `visit` gets each element's start and returns its end."""
    index = _after_space(source, index + 1)
    while source[index] not in CLOSING:
        index = _after_comma(source, visit(index))
    return index + 1


def _after_comma(source: bytes, index: int) -> int:
    index = _after_space(source, index)
    return _after_space(source, index + 1) if source[index] == COMMA else index


def _after_space(source: bytes, index: int) -> int:
    while source[index] in SPACE:
        index += 1
    return index


def _value_end(source: bytes, index: int) -> int:
    if source[index] == QUOTE:
        return _string_end(source, index)
    depth = 0
    while True:
        character = source[index]
        if character == QUOTE:
            index = _string_end(source, index)
            continue
        if depth == 0 and (character in CLOSING or character == COMMA or character in SPACE):
            return index  # a number, true, false or null has ended
        depth += (character in OPENING) - (character in CLOSING)
        index += 1
        if depth == 0 and character in CLOSING:
            return index


def _string_end(source: bytes, index: int) -> int:
    index += 1
    while source[index] != QUOTE:
        index += 2 if source[index] == BACKSLASH else 1
    return index + 1
