# SPDX-License-Identifier: Apache-2.0
"""The documentation cannot lie: links lead somewhere, decisions are indexed, dependencies are told as they are."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import ROOT, committable_files, shown

DECISIONS = ROOT / "docs/decisions"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
DEPENDENCY_ROW = re.compile(r"^\| ([a-z0-9-]+) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _dead_links(path: Path) -> Iterator[str]:
    """Yield the links of a document to files or headings that are not there; other places are not asked."""
    for target in LINK.findall(FENCED.sub("", path.read_text(encoding="utf-8"))):
        file, _, heading = target.partition("#")
        if ":" in file:
            continue
        linked = (path.parent / file) if file else path
        if not linked.exists():
            yield f"{target}: no such file"
        elif heading and linked.suffix == ".md" and heading not in _headings(linked):
            yield f"{target}: no such heading"


def _headings(path: Path) -> set[str]:
    """Return the anchors of a document's headings: lower case, spaces as hyphens, punctuation dropped."""
    lines = re.findall(r"^#+ (.+)$", FENCED.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def test_links_lead_somewhere() -> None:
    """
    Given every Markdown file.
    When its links to our own files are followed.
    Then each file and each heading is there.
    """
    documents = [path for path in committable_files() if path.suffix == ".md"]
    assert "\n".join(f"{shown(path)}: {dead}" for path in documents for dead in _dead_links(path)) == ""


def test_planted_dead_link_is_found(tmp_path: Path) -> None:
    """
    Given a document with a link to nothing, one to a heading that is not there, and two good ones.
    When its links are followed.
    Then the two bad ones are found.
    """
    document = tmp_path / "page.md"
    document.write_text("# One page\n[a](gone.md) [b](#gone) [c](page.md#one-page) [d](#one-page)\n")
    assert list(_dead_links(document)) == ["gone.md: no such file", "#gone: no such heading"]


def test_every_decision_is_indexed_and_numbered_once() -> None:
    """
    Given the decision records.
    When the index is read.
    Then it lists each record once, in order, under the title that the record has.
    """
    records = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \| ", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    titles = [path.read_text(encoding="utf-8").split("\n", 1)[0] for path in records]
    assert [(f"# {number}. {title}", name) for number, name, title in rows] == [
        (title, path.name) for path, title in zip(records, titles, strict=True)
    ]
    assert [number for number, _, _ in rows] == [f"{count:04d}" for count in range(1, len(rows) + 1)]


def test_every_dependency_is_told_with_its_bound() -> None:
    """
    Given the dependencies of pyproject.toml.
    When they are looked up in decision 0001.
    Then each has exactly one row with its bound, its licence, why it is there and what was rejected.
    """
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = configuration["project"]["optional-dependencies"] | configuration["dependency-groups"]
    every = [*configuration["project"]["dependencies"], *(entry for group in groups.values() for entry in group)]
    rows = DEPENDENCY_ROW.findall((DECISIONS / "0001-dependencies.md").read_text(encoding="utf-8"))
    assert sorted(name + bound for name, bound, *_ in rows) == sorted(every)
    assert [name for name, _, *told in rows if not all(cell.strip() for cell in told)] == []
