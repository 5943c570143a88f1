# SPDX-License-Identifier: Apache-2.0
"""The prove runner: what is not there is never told as passed, and what passed is not run again."""

import json
from pathlib import Path

import pytest

from tests.prove import ITEMS, Item, Results, Row, Verdict, main, prove, run_item


def item(name: str, *arguments: str, needs: str = "tests/prove.py", count: int = 7) -> Item:
    """Return an item."""
    return Item(name, count, arguments, (needs,))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """No results yet."""
    return Results(tmp_path / "build" / "prove.json", "sources")


def test_names_are_different_and_commands_are_told() -> None:
    """Given the table, then no name stands twice, and each item says what it needs."""
    assert len({each.name for each in ITEMS}) == len(ITEMS)
    assert all(each.needs and each.count > 0 and each.command.startswith("python -m ") for each in ITEMS)


@pytest.mark.parametrize(
    ("asked", "verdict", "count"),
    [
        (item("a module", "compileall", "-q", "tests/prove.py"), Verdict.PASSED, 7),
        (item("a failing module", "tests.prove", "--only", "no such item"), Verdict.FAILED, 0),
        (item("a file to come", "pytest", "tests/to_come.py", needs="tests/to_come.py"), Verdict.MISSING, 0),
        (item("a test to come", "pytest", "-m", "prove", "tests/simulation/test_reasons.py"), Verdict.MISSING, 0),
        (item("two tests", "pytest", "-k", "named_test", "tests/simulation/test_reasons.py"), Verdict.PASSED, 14),
    ],
    ids=lambda each: each.name if isinstance(each, Item) else "",
)
def test_verdict(asked: Item, verdict: Verdict, count: int, tmp_path: Path) -> None:
    """Given an item that passes, fails or is not written, when it is run, then the row says exactly that."""
    row = run_item(asked, tmp_path / "item.log")

    assert (row.name, row.verdict, row.count, row.command) == (asked.name, verdict, count, asked.command)


def test_skipped_test_proves_nothing(tmp_path: Path) -> None:
    """Given tests of which one is skipped, when they are run, then the item was not run."""
    path = tmp_path / "test_skipped.py"
    path.write_text("import pytest\n\n@pytest.mark.skip\ndef test_one(): ...\n\ndef test_two(): ...\n")
    asked = Item("skipped", 1, ("pytest", "-c", "/dev/null", str(path)), (str(path),))

    assert run_item(asked, tmp_path / "item.log").verdict is Verdict.NOT_RUN


def test_what_passed_is_kept_and_not_run_again(results: Results, tmp_path: Path) -> None:
    """
    Given one item that passes and one that fails.
    When they are proved, and proved again with the same and with other sources.
    Then the file has both rows in the contract's form, and only what passed with the same sources is left out.
    """
    ran: list[str] = []

    def run(asked: Item, _log: Path) -> Row:
        ran.append(asked.name)
        verdict = Verdict.FAILED if asked.name == ITEMS[1].name else Verdict.PASSED
        return Row(name=asked.name, count=asked.count, seconds=0.5, verdict=verdict, command=asked.command)

    two = ITEMS[:2]
    told: list[str] = []
    assert not prove(two, results, run=run, tell=told.append)
    path = tmp_path / "build" / "prove.json"
    assert not prove(two, Results(path, "sources"), run=run, tell=told.append)
    assert not prove(two, Results(path, "other sources"), run=run, tell=told.append)

    first, second = (each.name for each in two)
    assert ran == [first, second, second, first, second]
    rows = json.loads(path.read_text())
    assert [list(row) for row in rows] == [["name", "count", "seconds", "verdict", "command"]] * 2
    assert [(row["name"], row["verdict"]) for row in rows] == [(first, "passed"), (second, "failed")]


def test_list_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Given the table, when it is listed, then every item is told with its command."""
    assert main(["--list"]) == 0

    told = capsys.readouterr().out
    assert all(each.name in told and each.command in told for each in ITEMS)
