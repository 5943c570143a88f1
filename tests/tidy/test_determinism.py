# SPDX-License-Identifier: Apache-2.0
"""The fence is deterministic on its syntax tree, and every rule catches a planted breach."""

import shutil
from pathlib import Path

import pytest

from tests.tidy.determinism import findings
from tests.tidy.tree import FENCE, python_files

PLANTED_IN = "machine/store.py"

BREACHES = {
    "float_literal": ("SHARE = 0.5", "float"),
    "complex_literal": ("TURN = 1j", "float"),
    "true_division": ("def half(of: int) -> int: return of / 2", "float"),
    "true_division_in_place": ("def halve(of: int) -> None: of /= 2", "float"),
    "float_call": ("def as_share(of: int) -> object: return float(of)", "float"),
    "import_time": ("import time", "import"),
    "import_datetime": ("from datetime import datetime", "import"),
    "import_random": ("import random", "import"),
    "import_os": ("import os", "import"),
    "import_os_path": ("from os.path import join", "import"),
    "import_secrets": ("import secrets", "import"),
    "import_socket": ("import socket", "import"),
    "import_threading": ("import threading", "import"),
    "import_logging": ("import logging", "import"),
    "import_locale": ("import locale", "import"),
    "import_asyncio": ("import asyncio", "import"),
    "import_pathlib": ("from pathlib import Path", "import"),
    "import_json": ("import json", "import"),
    "import_unicodedata": ("import unicodedata", "import"),
    "import_decimal": ("import decimal", "import"),
    "import_of_a_foreign_package": ("import cryptography", "import"),
    "import_inside_a_function": ("def late() -> None: import time as clock", "import"),
    "call_of_hash": ("def place(key: bytes) -> int: return hash(key)", "call"),
    "call_of_id": ("def place(key: bytes) -> int: return id(key)", "call"),
    "call_of_open": ("def read() -> None: open('x')", "call"),
    "call_of_print": ("def tell() -> None: print('x')", "call"),
    "loop_over_a_set_literal": ("for key in {1, 2}: pass", "set"),
    "loop_over_set": ("for key in set(b'ab'): pass", "set"),
    "loop_over_frozenset": ("for key in frozenset(b'ab'): pass", "set"),
    "loop_over_a_name": ("def walk() -> None:\n    seen = set(b'ab')\n    for key in seen: pass", "set"),
    "loop_over_a_module_constant": ("SEEN = frozenset(b'ab')\ndef walk() -> None:\n    for key in SEEN: pass", "set"),
    "loop_over_a_parameter": ("def walk(seen: frozenset[int]) -> None:\n    for key in seen: pass", "set"),
    "loop_over_set_algebra": ("def walk(seen: set[int]) -> None:\n    for key in seen - {1}: pass", "set"),
    "list_comprehension_over_a_set": ("KEYS = [key for key in {1, 2}]", "set"),
    "dict_comprehension_over_a_set": ("KEYS = {key: 1 for key in {1, 2}}", "set"),
    "generator_over_a_set": ("KEYS = tuple(key for key in {1, 2})", "set"),
    "tuple_of_a_set": ("KEYS = tuple({1, 2})", "set"),
    "join_of_a_set": ("KEYS = b''.join({b'a', b'b'})", "set"),
    "unpacking_of_a_set": ("KEYS = [*{1, 2}]", "set"),
    "assignment_from_a_set": ("FIRST, SECOND = {1, 2}", "set"),
    "pop_of_a_set": ("def take(seen: set[int]) -> int: return seen.pop()", "set"),
    "global_statement": ("def remember() -> None:\n    global SEEN\n    SEEN = 1", "global"),
}

ALLOWED = {
    "sorted_set": "for key in sorted({1, 2}): pass",
    "membership": "def has(seen: frozenset[int], key: int) -> bool: return key in seen",
    "set_of_a_set": "ODD = {key for key in {1, 2} if key % 2}",
    "floor_division": "def half(of: int) -> int: return of // 2",
    "a_field_named_id": "def show(entry: object) -> object: return entry.id",
    "a_name_that_stops_being_a_set": (
        "def walk(keys: set[int]) -> None:\n    keys = sorted(keys)\n    for key in keys: pass"
    ),
    "hashlib": "import hashlib",
    "nacl": "import nacl.bindings",
}


def test_fence_is_deterministic() -> None:
    """
    Given every file inside the fence.
    When its syntax tree is searched.
    Then no rule is broken.
    """
    assert "\n".join(str(finding) for path in python_files(FENCE) for finding in findings(path)) == ""


def _plant(line: str, tmp_path: Path) -> tuple[Path, int]:
    """Append the line to a copy of a file of the fence; return the copy and the first planted line's number."""
    copied = tmp_path / PLANTED_IN
    copied.parent.mkdir()
    shutil.copy(FENCE / PLANTED_IN, copied)
    first = len(copied.read_text().splitlines()) + 1
    with copied.open("a") as file:
        file.write(f"{line}\n")
    return copied, first


@pytest.mark.parametrize(("line", "rule"), BREACHES.values(), ids=BREACHES.keys())
def test_planted_breach_is_named(line: str, rule: str, tmp_path: Path) -> None:
    """
    Given a copy of a file of the fence with a breach at its end.
    When the copy is searched.
    Then exactly the planted rule is named, in the planted lines.
    """
    copied, first = _plant(line, tmp_path)
    found = findings(copied)
    assert {finding.rule for finding in found} == {rule}
    assert all(finding.line >= first for finding in found)


@pytest.mark.parametrize("line", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_safe_is_not_named(line: str, tmp_path: Path) -> None:
    """
    Given a copy of a file of the fence with something that only looks like a breach.
    When the copy is searched.
    Then nothing is named.
    """
    assert findings(_plant(line, tmp_path)[0]) == ()
