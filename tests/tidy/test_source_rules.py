# SPDX-License-Identifier: Apache-2.0
"""Every Python file of ours keeps the rules of the house, and each rule catches a planted breach."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.tidy import source_rules
from tests.tidy.tree import PACKAGE, ROOT, our_python_files, python_files, shown

Rule = Callable[[Path], tuple[str, ...]]
HEAD = f'{source_rules.SPDX_LINE}\n"""A file."""\n'

BREACHES: dict[str, tuple[Rule, str]] = {
    "no_spdx_line": (source_rules.head_findings, '"""A file."""\n'),
    "no_module_docstring": (source_rules.head_findings, f"{source_rules.SPDX_LINE}\nROOM = 1\n"),
    "class_without_docstring": (source_rules.docstring_findings, f"{HEAD}class Room:\n    size: int = 1\n"),
    "method_without_docstring": (
        source_rules.docstring_findings,
        f'{HEAD}class Room:\n    """A room."""\n    def enter(self) -> None: ...\n',
    ),
    "function_without_docstring": (source_rules.docstring_findings, f"{HEAD}def enter() -> None: ...\n"),
    "docstring_that_is_no_sentence": (
        source_rules.docstring_findings,
        f'{HEAD}def enter() -> None:\n    """enter"""\n',
    ),
    "test_without_docstring": (source_rules.undocumented_test_findings, f"{HEAD}def test_enter() -> None: ...\n"),
    "unfinished": (source_rules.unfinished_findings, f"{HEAD}# {'TO' + 'DO'} later\n"),
    "to_be_mended": (source_rules.unfinished_findings, f"{HEAD}# {'FIX' + 'ME'} later\n"),
    "for_type_checkers": (
        source_rules.way_round_findings,
        f"{HEAD}from typing import {source_rules.TYPE_CHECKING}\n",
    ),
    "for_type_checkers_by_attribute": (
        source_rules.way_round_findings,
        f"{HEAD}import typing\nif typing.{source_rules.TYPE_CHECKING}:\n    import vervain\n",
    ),
    "relative_import": (source_rules.way_round_findings, f"{HEAD}from . import rooms\n"),
    "import_by_name": (
        source_rules.way_round_findings,
        f'{HEAD}import importlib\nimportlib.import_module("vervain.node")\n',
    ),
    "foreign_import": (source_rules.foreign_import_findings, f"{HEAD}import msgspec\n"),
    "import_of_ours": (source_rules.foreign_import_findings, f"{HEAD}from vervain.ledger import catalogue\n"),
}


def _findings(rules: Iterable[Rule], paths: Iterable[Path]) -> str:
    """Return what the rules find in the files, a line each with its place; nothing when all is well."""
    return "\n".join(f"{shown(path)}:{finding}" for path in paths for rule in rules for finding in rule(path))


def test_every_file_has_its_head_a_clear_name_and_nothing_unfinished() -> None:
    """
    Given every Python file of ours.
    When its first lines, its name and its remarks are read.
    Then the licence and a docstring stand first, the name says something, and nothing is left for later.
    """
    paths = our_python_files()
    rules = (source_rules.head_findings, source_rules.unfinished_findings)
    assert _findings(rules, paths) == ""
    relative = [path.relative_to(ROOT) for path in paths]
    assert [(path, found) for path in relative if (found := source_rules.vague_name_findings(path))] == []


def test_every_public_name_is_documented_and_no_import_hides() -> None:
    """
    Given every file of the package.
    When its public names and its imports are read.
    Then each name has a docstring, and no import escapes the contracts.
    """
    lazy = PACKAGE / "__init__.py"  # loads the SDK's nouns on first use, from names written out in its own table
    paths = python_files(PACKAGE)
    assert _findings((source_rules.docstring_findings,), paths) == ""
    assert _findings((source_rules.way_round_findings,), (path for path in paths if path != lazy)) == ""


def test_every_test_says_what_is_given_and_what_holds() -> None:
    """
    Given every test.
    When its docstring is looked for.
    Then it has one.
    """
    assert _findings((source_rules.undocumented_test_findings,), python_files(ROOT / "tests")) == ""


def test_court_verifier_uses_the_standard_library_only() -> None:
    """
    Given verify.py, one file for a court.
    When its imports are read.
    Then each is of the standard library.
    """
    assert _findings((source_rules.foreign_import_findings,), (PACKAGE / "verify.py",)) == ""


@pytest.mark.parametrize(("rule", "text"), BREACHES.values(), ids=BREACHES.keys())
def test_planted_breach_is_found(rule: Rule, text: str, tmp_path: Path) -> None:
    """
    Given a file with one breach, and the same rule on a file with a head only.
    When both are checked.
    Then the breach is found, and nothing in the other.
    """
    planted, clean = tmp_path / "planted.py", tmp_path / "clean.py"
    planted.write_text(text)
    clean.write_text(HEAD)
    assert (len(rule(planted)), rule(clean)) == (1, ())


def test_planted_vague_name_is_found() -> None:
    """
    Given a file that is a drawer, and one in a folder that is.
    When their names are checked.
    Then both are found, and a name that says something is not.
    """
    vague = [Path("src/utils.py"), Path("src/common/rooms.py"), Path("src/rooms.py")]
    assert [len(source_rules.vague_name_findings(path)) for path in vague] == [1, 1, 0]
