# SPDX-License-Identifier: Apache-2.0
"""Every acceptance count at full size: `python -m tests.prove [--list] [--only WORDS] [--again]`, or `make prove`.

Writes build/prove.json, an array of {name, count, seconds, verdict, command}. Resumable: what passed with the very same
sources is not run again, and the long items keep their own progress. The output of each item stands under build/prove/.

Verdicts: `passed`; `failed`; `missing`, when its test does not exist yet; `not run`, when something it needs is not
here (the sample bundles, an attack that is not written). Only `passed` counts as proved; anything else exits with 1.
"""

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "build" / "prove.json"
LOGS: Final = ROOT / "build" / "prove"
SOURCES: Final = ("src", "tests", "benchmarks")
SHOWN_LINES: Final = 12  # of a failed item's output
NO_TESTS: Final = 5  # pytest's exit code when it found none
SECONDS_MAX: Final = 6 * 3_600  # of one item


class Verdict(StrEnum):
    """What came of an item."""

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    NOT_RUN = "not run"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of build/prove.json."""

    name: str
    count: int
    seconds: float
    verdict: Verdict
    command: str


class Item(msgspec.Struct, frozen=True):
    """One acceptance count.

    Attributes:
        name: What is proved.
        count: How much of it a whole run does; for tests, how much each test does.
        arguments: Of Python: a module, or pytest with a selection.
        needs: Files without which there is nothing to run.
        without: The verdict when they are not there.
    """

    name: str
    count: int
    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    without: Verdict = Verdict.MISSING

    @property
    def command(self) -> str:
        """The command that a person types."""
        return " ".join(("python", "-m", *self.arguments))

    @property
    def is_tests(self) -> bool:
        """Tell whether pytest runs it."""
        return self.arguments[0] == "pytest"


def proved(name: str, count: int, *paths: str, only: str = "") -> Item:
    """Return an item of the tests marked `prove` in some files, each of which does `count`."""
    return Item(name, count, ("pytest", "-m", "prove", *(("-k", only) if only else ()), *paths), paths)


def tested(name: str, count: int, path: str, only: str) -> Item:
    """Return an item of the tests of a file whose name holds `only`; each does `count`."""
    return Item(name, count, ("pytest", "-k", only, path), (path,))


def ran(name: str, count: int, *arguments: str, needs: str, without: Verdict = Verdict.MISSING) -> Item:
    """Return an item of a module that exits with 0 when it is proved."""
    return Item(name, count, arguments, (needs,), without)


def attacked(name: str, count: int, only: str) -> Item:
    """Return an item of the attacks on privacy, whose package is written apart from this table."""
    item = proved(name, count, "tests/integration/test_attacks.py", only=only)
    return msgspec.structs.replace(item, needs=(*item.needs, "benchmarks/attacks"), without=Verdict.NOT_RUN)


ITEMS: Final = (
    ran(
        "simulated consortiums, 200 steps each",
        10_000,
        "tests.simulation.many",
        "--seeds",
        "10000",
        needs="tests/simulation/many.py",
    ),
    tested("planted faults that the simulator finds", 1, "tests/simulation/test_mutants.py", "mutant_is_found"),
    proved("block logs that lose power at every act", 100, "tests/anomalies/test_block_log_crashes.py"),
    proved("killed writers of the state", 100, "tests/anomalies/test_state_store_crashes.py"),
    proved("killed nodes under load", 30, "tests/anomalies/test_killed_node.py"),
    proved("disks that fill up at every step", 100, "tests/anomalies/test_disk_full.py"),
    proved("receipts by both verifiers, and mutations of them", 6_000, "tests/unit/sealing/test_receipts.py"),
    proved("mutated Ed25519 signatures judged alike", 100_000, "tests/vectors/test_signatures.py"),
    proved("altered bytes of the block log named", 10_000, "tests/unit/storage/test_audit.py"),
    proved("altered bytes of LMDB named or harmless", 10_000, "tests/unit/storage/test_lmdb_walk.py"),
    proved("tests of altered bytes in a whole directory", 1, "tests/integration/test_altered_bytes.py"),
    proved("resources of the 64 sample bundles imported", 19_676, "tests/integration/test_import.py"),
    tested("tests of transactions sent again", 1, "tests/integration/test_replays.py", "not high_rate"),
    proved("transactions of a stranger's flood at 10,000/s", 300_000, "tests/integration/test_replays.py"),
    proved("transactions of a flood over HTTP", 250_000, "tests/integration/native_api/test_flood.py"),
    tested("tests of forked logs", 1, "tests/integration/test_forks.py", "test_"),
    attacked("patients whose pseudonyms are not joined, each way of importing", 1_000, "at_full_size"),
    attacked("names tried on 1,000 patients; the careless build caught by both", 1_000_000, "million_names"),
    attacked("planted leaks that the attacks find", 1, "planted_leaks"),
)
"""Every acceptance count. A line more proves more; what has no test yet stands here all the same, as missing."""


def run_item(item: Item, log: Path) -> Row:
    """Run one item, its output into `log`."""
    if not all((ROOT / path).exists() for path in item.needs):
        return Row(name=item.name, count=0, seconds=0.0, verdict=item.without, command=item.command)
    report = log.with_suffix(".xml")
    extra = (f"--junitxml={report}",) if item.is_tests else ()
    started = monotonic()
    with log.open("wb") as output:
        code = subprocess.run(
            [sys.executable, "-m", *item.arguments, *extra],
            cwd=ROOT,
            check=False,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=SECONDS_MAX,
        ).returncode
    seconds = round(monotonic() - started, 1)
    verdict, count = _judged_tests(item, code, report) if item.is_tests else _judged(item, code)
    return Row(name=item.name, count=count, seconds=seconds, verdict=verdict, command=item.command)


def _judged(item: Item, code: int) -> tuple[Verdict, int]:
    return (Verdict.FAILED, 0) if code else (Verdict.PASSED, item.count)


def _judged_tests(item: Item, code: int, report: Path) -> tuple[Verdict, int]:
    """Return what pytest's report says: a skipped test proves nothing."""
    if code == NO_TESTS:
        return item.without, 0
    if code or not report.exists():
        return Verdict.FAILED, 0
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    numbers = [(int(suite.get("tests", "0")), int(suite.get("skipped", "0"))) for suite in suites]
    tests, skipped = (sum(column) for column in zip(*numbers, strict=True))
    if tests == 0:
        return item.without, 0
    return (Verdict.NOT_RUN, 0) if skipped else (Verdict.PASSED, item.count * tests)


class Results:
    """The rows of build/prove.json, and which of them hold for the sources as they are."""

    def __init__(self, path: Path, sources: str) -> None:
        self._path, self._sources = path, sources
        self._memory = path.parent / "prove" / "passed.json"
        self.rows: dict[str, Row] = {}
        self._passed: dict[str, str] = {}
        if path.exists():
            self.rows = {row.name: row for row in msgspec.json.decode(path.read_bytes(), type=list[Row])}
        if self._memory.exists():
            self._passed = msgspec.json.decode(self._memory.read_bytes(), type=dict[str, str])

    def holds(self, item: Item) -> bool:
        """Tell whether an item passed with the same sources and the same command."""
        row = self.rows.get(item.name)
        is_same = row is not None and row.verdict is Verdict.PASSED and row.command == item.command
        return is_same and self._passed.get(item.name) == self._sources

    def keep(self, row: Row) -> None:
        """Write a row down at once, in the order of the table."""
        self.rows[row.name] = row
        self._passed.pop(row.name, None)
        if row.verdict is Verdict.PASSED:
            self._passed[row.name] = self._sources
        ordered = [self.rows[item.name] for item in ITEMS if item.name in self.rows]
        _write(self._path, msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")
        _write(self._memory, msgspec.json.encode(self._passed))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_bytes(content)
    half.replace(path)


def sources_digest(root: Path = ROOT, folders: Iterable[str] = SOURCES) -> str:
    """Return the digest of every Python file that an item could run."""
    digest = sha256()
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\n" + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def prove(
    items: Sequence[Item],
    results: Results,
    *,
    again: bool = False,
    run: Callable[[Item, Path], Row] = run_item,
    tell: Callable[[str], None] = print,
) -> bool:
    """Run what does not hold yet; tell how it goes; return whether everything asked for is proved."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(items, start=1):
        place = f"[{number}/{len(items)}] {item.name}"
        if results.holds(item) and not again:
            tell(f"{place}: passed before")
            continue
        tell(f"{place}: {item.command}")
        log = LOGS / f"{re.sub('[^0-9a-z]+', '-', item.name.lower())}.log"
        row = run(item, log)
        results.keep(row)
        tell(f"    {row.verdict}, {row.count:,} in {row.seconds} s")
        if row.verdict is Verdict.FAILED and log.exists():
            tell("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]))
    return all(results.rows[item.name].verdict is Verdict.PASSED for item in items)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove what was asked for; 0 when all of it is proved."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description="Prove every acceptance count.")
    parser.add_argument("--list", action="store_true", help="tell the items and run nothing")
    parser.add_argument("--only", action="append", metavar="WORDS", help="items whose name holds these words")
    parser.add_argument("--again", action="store_true", help="also what passed before")
    asked = parser.parse_args(arguments)
    items = [item for item in ITEMS if not asked.only or any(words in item.name for words in asked.only)]
    if not items:
        parser.error("no item has these words in its name; see --list")
    results = Results(RESULTS, sources_digest())
    if asked.list:
        for item in items:
            row = results.rows.get(item.name)
            told = "never run" if row is None else f"{row.verdict}, {row.count:,}"
            print(f"{item.name}: {told}{'' if results.holds(item) or row is None else ' (of other sources)'}")
            print(f"    {item.command}")
        return 0
    is_proved = prove(items, results, again=asked.again, tell=lambda line: print(line, flush=True))
    verdicts = [results.rows[item.name].verdict for item in items]
    print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict if verdict in verdicts))
    return 0 if is_proved else 1


if __name__ == "__main__":
    sys.exit(main())
