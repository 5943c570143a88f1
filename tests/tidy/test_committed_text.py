# SPDX-License-Identifier: Apache-2.0
"""What git holds, or would take, names no place of one machine and no registry's host, and hides no binary surprise."""

import re
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT, committable_files, shown

# Written in pieces, so that this file does not find itself.
PLACES = re.compile(
    "|".join(
        (
            r"(?<![\w.~-])/(?:work|root|opt/wh" + r"eels)(?:/|\b)",
            r"(?<![\w.~-])/home/(?!vervain\b)\w+",
            r"(?<![\w.~-])/Users/\w+",
            r"file:" + r"///",
        )
    )
)
HOSTS = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|crates|golang|maven|debian|rubygems|docker|ghcr|quay)"
    r"\.(?:org|com|io)\b|\bregistry\.[\w-]+\.|--(?:extra-)?index-" + "url|--find-" + "links"
)
TEXT_BYTES_MAX = 4 * 1024 * 1024  # larger files are data; none of ours is text of that size


def _findings(path: Path) -> list[str]:
    """Return the places and hosts that a text names, a line each; a binary file has none."""
    content = path.read_bytes()
    if b"\0" in content[:8192] or len(content) > TEXT_BYTES_MAX:
        return []
    lines = content.decode("utf-8", errors="replace").splitlines()
    return [
        f"{number}: {found.group()}"
        for number, line in enumerate(lines, 1)
        for pattern in (PLACES, HOSTS)
        if (found := pattern.search(line))
    ]


def test_nothing_committed_names_a_machine_or_a_registry() -> None:
    """
    Given every file that git tracks or would add.
    When its text is searched.
    Then it names no absolute path of one machine and no registry's host.
    """
    found = [f"{shown(path)}:{finding}" for path in committable_files() for finding in _findings(path)]
    assert "\n".join(found) == ""


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "work/somewhere/file.py",
        "open('/" + "root/notes')",
        "/" + "home/someone/vervain",
        "https://files.python" + "hosted.org/packages/x",
        "--index-" + "url https://example.org/simple",
        '"resolved": "https://regis' + "try.npm" + 'js.org/x"',
    ],
)
def test_planted_place_is_found(line: str, tmp_path: Path) -> None:
    """
    Given a file that names a place of one machine, or a registry.
    When it is searched.
    Then the line is found.
    """
    planted = tmp_path / "notes.md"
    planted.write_text(f"# Notes\n{line}\n")
    assert [finding.split(":")[0] for finding in _findings(planted)] == ["2"]


@pytest.mark.parametrize(
    "line", ["docs/work/plan.md", "~/work/x", "/var/lib/vervain", "/home/vervain/data", "a/root/b"]
)
def test_ordinary_path_is_not_found(line: str, tmp_path: Path) -> None:
    """
    Given a file that names a path from the project's root, or one that any machine may have.
    When it is searched.
    Then nothing is found.
    """
    ordinary = tmp_path / "notes.md"
    ordinary.write_text(f"{line}\n")
    assert _findings(ordinary) == []


def test_what_a_fresh_clone_needs_is_not_ignored() -> None:
    """
    Given the files that `make setup` and `make test` read.
    When git is asked for what it tracks or would add.
    Then each is among them.
    """
    needed = {
        ".ci/run", ".importlinter", "CHANGELOG.md", "LICENSE", "Makefile", "NOTICE", "README.md", "pyproject.toml",
        "requirements-dev.lock", "requirements.lock", "src/vervain/py.typed",
    }  # fmt: skip
    assert needed - {path.relative_to(ROOT).as_posix() for path in committable_files()} == set()
