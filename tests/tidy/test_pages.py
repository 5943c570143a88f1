# SPDX-License-Identifier: Apache-2.0
"""Pages say what the code says: refusals and commands are generated, settings compared, named tests are there."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tidy.generated_docs import PAGES
from tests.tidy.tree import ROOT, module_folders, shown
from vervain.node.config import HostedSettings, NodeSettings, WitnessSettings

DOCS = ROOT / "docs"
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
JSON_BLOCK = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE_ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
SETTINGS = {
    "## The node": NodeSettings,
    "## Each `[[witnesses]]`": WitnessSettings,
    "## Each `[[hosted]]`": HostedSettings,
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.stem))
def test_generated_page_is_what_the_code_gives(path: Path) -> None:
    """
    Given a page that is made from the code.
    When it is made again.
    Then it is the same; else run `make docs`.
    """
    assert path.read_text(encoding="utf-8") == PAGES[path]()


def _told_settings(page: str, heading: str) -> dict[str, str]:
    """Return the keys and defaults of the table under a heading."""
    section = page.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE))


@pytest.mark.parametrize(("heading", "settings"), SETTINGS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_every_setting_is_told_with_its_default(heading: str, settings: type[msgspec.Struct]) -> None:
    """
    Given the settings of a node, a witness or a hosted member.
    When the page is read.
    Then it tells each key once with its default, and no other.
    """
    expected = {
        field.name: "needed"
        if field.default is msgspec.NODEFAULT
        else "none"
        if field.default == ()
        else f"`{field.default}`"
        for field in msgspec.structs.fields(settings)
    }
    assert _told_settings((DOCS / "concepts/settings.md").read_text(encoding="utf-8"), heading) == expected


def _functions(path: Path) -> set[str]:
    """Return the test functions of a file; none when it is not there."""
    if not path.is_file():
        return set()
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def _missing_tests(page: str) -> list[str]:
    return [f"{path}::{name}" for path, name in NAMED_TEST.findall(page) if name not in _functions(ROOT / path)]


def _open_pains(page: str) -> list[str]:
    """Return the pains whose row names neither a test nor what will bring the answer."""
    rows = [row.split(" | ") for row in TABLE_ROW.findall(page)]
    return [row[0] for row in rows if row[0] not in {"pain", "---"} and row[2] == "-" and "Not yet: " not in row[-1]]


def test_every_pain_names_a_test_that_is_there_or_says_not_yet() -> None:
    """
    Given the page of pains.
    When the tests it names are looked up.
    Then each is there, and each of the sixteen rows has one or says what will bring it.
    """
    page = (DOCS / "pains.md").read_text(encoding="utf-8")
    rows = [row.split(" | ")[0] for row in TABLE_ROW.findall(page)]
    assert len([row for row in rows if row not in {"pain", "---"}]) == 10 + 6
    assert _missing_tests(page) == []
    assert _open_pains(page) == []


def test_planted_pain_is_found() -> None:
    """
    Given a row that names a test that is not there, and one that names nothing.
    When they are read.
    Then both are found.
    """
    page = "| pain | there | by | not yet |\n| A | x | `tests/tidy/test_pages.py::test_gone` | - |\n| B | - | - | - |\n"
    assert _missing_tests(page) == ["tests/tidy/test_pages.py::test_gone"]
    assert _open_pains(page) == ["B"]


def _entries(vectors: Path) -> Iterator[Any]:  # Any: JSON
    """Yield the ledger entries in a module's vectors; some files hold them as text."""
    for path in sorted(vectors.glob("*.json")):
        for step in json.loads(path.read_text(encoding="utf-8")).get("steps", ()):
            yield from (json.loads(entry) if isinstance(entry, str) else entry for entry in step["entries"])


@pytest.mark.parametrize("folder", module_folders(), ids=lambda folder: str(folder.name))
def test_module_page_shows_a_message_of_the_vectors(folder: Path) -> None:
    """
    Given a domain module.
    When its page for readers who do not program is read.
    Then it links to the module's README, and the message it shows is one of the module's vectors.
    """
    page = (DOCS / f"modules/{folder.name}.md").read_text(encoding="utf-8")
    assert f"({Path('../..') / folder.relative_to(ROOT) / 'README.md'})" in page
    (example,) = JSON_BLOCK.findall(page)
    assert json.loads(example) in list(_entries(ROOT / "tests/vectors" / folder.name))


def test_every_page_is_on_the_map() -> None:
    """
    Given the pages under docs.
    When the map is read.
    Then it links to each; decisions are on their own index.
    """
    linked = set(re.findall(r"\]\(([^)#]+)", (DOCS / "index.md").read_text(encoding="utf-8")))
    pages = [path for path in sorted(DOCS.rglob("*.md")) if path.parent.name != "decisions" and path.name != "index.md"]
    assert [shown(path) for path in pages if path.relative_to(DOCS).as_posix() not in linked] == []
