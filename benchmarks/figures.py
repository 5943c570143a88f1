# SPDX-License-Identifier: Apache-2.0
"""What a benchmark reports: figures, kept in one file, one row a name (contracts.md "Figures")."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

RESULTS = Path(__file__).parent / "results.json"
RUNS = 5


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured figure.

    Attributes:
        name, value, unit: What was measured.
        floor: What the issue asks for at least (or at most, for units of time, bytes and ratios).
        peer: What something comparable did in the same run.
        ratio: Value over floor or peer, so that more than 1 is better.
        machine, command, when: So that it can be had again.
    """

    name: str
    value: float
    unit: str
    ratio: float
    machine: str
    command: str
    when: str
    floor: float | msgspec.UnsetType = msgspec.UNSET
    peer: float | msgspec.UnsetType = msgspec.UNSET


SMALLER_IS_BETTER = frozenset({"ms", "s", "B", "MB", "x", "us"})


def machine() -> str:
    """Name the machine: processor, cores, Python."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, CPython {platform.python_version()}"


def figure(name: str, values: Sequence[float], unit: str, *, command: str, floor: float = 0, peer: float = 0) -> Figure:
    """Make a figure of the median of several runs."""
    value = statistics.median(values)
    against = floor or peer
    ratio = (against / value if unit in SMALLER_IS_BETTER else value / against) if against and value else 0.0
    return Figure(
        name=name,
        value=round(value, 3),
        unit=unit,
        ratio=round(ratio, 3),
        machine=machine(),
        command=command,
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        floor=floor or msgspec.UNSET,
        peer=peer or msgspec.UNSET,
    )


def record(figures: Sequence[Figure], path: Path = RESULTS) -> None:
    """Replace the rows of these names in the results file and leave the others."""
    kept = json.loads(path.read_text()) if path.exists() else []
    names = {each.name for each in figures}
    rows = [row for row in kept if row["name"] not in names] + [msgspec.to_builtins(each) for each in figures]
    path.write_text(json.dumps(sorted(rows, key=lambda row: row["name"]), indent=1) + "\n")
