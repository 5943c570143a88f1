# SPDX-License-Identifier: Apache-2.0
"""Many seeds on all processors, with progress; an interrupted run goes on where it stopped.

`python -m tests.simulation.many --seeds 10000` runs every seed of 200 steps, requires every message applied and every
reason refused at least 100 times, and keeps its progress under build/prove/. Progress counts only for the very sources
that it was made with.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from tests.simulation.reasons import ELSEWHERE
from tests.simulator import STEPS, Report, run
from vervain.ledger.catalogue import CATALOGUE

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRESS: Final = ROOT / "build" / "prove" / "simulator.json"
CHUNK_SEEDS: Final = 50
TIMES_MIN: Final = 100  # how often each message is applied and each reason refused
SOURCES: Final = (
    "src/vervain/ledger",
    "src/vervain/engines",
    "src/vervain/storage",
    "tests/simulation",
    "tests/anomalies/faulty_files.py",
    "tests/memory_state.py",
    "tests/simulator.py",
)


class Totals(msgspec.Struct, kw_only=True):
    """What many seeds did together.

    Attributes:
        sources: Digest of what ran.
        steps: Acts a seed.
        chunks: First seeds of the chunks done.
        seconds: Processor time spent, roughly: wall time of each chunk added up.
        heights: Blocks decided.
        codes, applied, crashes: As in `Report`, added up.
    """

    sources: str
    steps: int
    chunks: list[int] = []
    seconds: float = 0.0
    heights: int = 0
    codes: dict[int, int] = {}
    applied: dict[str, int] = {}
    crashes: dict[str, int] = {}

    def add(self, first: int, reports: Sequence[Report], seconds: float) -> None:
        """Add a chunk."""
        self.chunks.append(first)
        self.seconds += seconds
        self.heights += sum(report.heights for report in reports)
        for report in reports:
            self.codes = dict(Counter(self.codes) + Counter(report.codes))
            self.applied = dict(Counter(self.applied) + Counter(report.applied))
            self.crashes = dict(Counter(self.crashes) + Counter(report.crashes))

    def lacking(self, times: int) -> dict[str, int]:
        """Return each message applied, and each reason refused, less often than `times`."""
        reasons = {
            reason.name: self.codes.get(code, 0)
            for code, reason in CATALOGUE.reasons.items()
            if reason not in ELSEWHERE and self.codes.get(code, 0) < times
        }
        messages = {
            tag: self.applied.get(tag, 0)
            for tag in (str(message.__struct_config__.tag) for message in CATALOGUE.message_types)
            if self.applied.get(tag, 0) < times
        }
        return reasons | messages


def sources_digest() -> str:
    """Return the digest of everything that a simulation runs."""
    digest = sha256()
    for source in SOURCES:
        place = ROOT / source
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\n" + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run_chunk(first: int, count: int, steps: int) -> tuple[list[Report], float]:
    """Run seeds one after the other; in a process of its own."""
    started = monotonic()
    return [run(seed, steps) for seed in range(first, first + count)], monotonic() - started


def run_many(seeds: int, *, steps: int = STEPS, progress: Path | None = None, processes: int | None = None) -> Totals:
    """Run seeds 0 to `seeds`, whole chunks at a time.

    Args:
        seeds: How many; rounded up to whole chunks.
        steps: Acts a seed.
        progress: Where to keep what is done; None keeps nothing.
        processes: How many at once; as many as there are processors when left out.

    Raises: Broken, which names the seed.
    """
    totals = _taken_up(progress, steps)
    missing = [first for first in range(0, seeds, CHUNK_SEEDS) if first not in set(totals.chunks)]
    pool = ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn"))
    try:
        running = {pool.submit(run_chunk, first, CHUNK_SEEDS, steps): first for first in missing}
        for done in as_completed(running):
            reports, seconds = done.result()
            totals.add(running[done], reports, seconds)
            if progress is not None:
                _keep(progress, totals)
                print(f"{len(totals.chunks) * CHUNK_SEEDS} of {seeds} seeds", file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return totals


def _taken_up(progress: Path | None, steps: int) -> Totals:
    """Return what an interrupted run of the same sources did."""
    fresh = Totals(sources=sources_digest(), steps=steps)
    if progress is None or not progress.exists():
        return fresh
    kept = msgspec.json.decode(progress.read_bytes(), type=Totals)
    return kept if (kept.sources, kept.steps) == (fresh.sources, steps) else fresh


def _keep(progress: Path, totals: Totals) -> None:
    progress.parent.mkdir(parents=True, exist_ok=True)
    half = progress.with_suffix(".half")
    half.write_bytes(msgspec.json.encode(totals))
    half.replace(progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds asked for and say what came of them; 1 when one failed or something came too seldom."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.many", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=STEPS)
    asked = parser.parse_args(arguments)
    try:
        totals = run_many(asked.seeds, steps=asked.steps, progress=PROGRESS)
    except AssertionError as broken:
        print(broken, file=sys.stderr)
        return 1
    lacking = totals.lacking(TIMES_MIN)
    print(
        f"{len(totals.chunks) * CHUNK_SEEDS} seeds of {totals.steps} steps, {totals.heights} blocks, "
        f"{sum(totals.crashes.values())} crashes, {totals.seconds:.0f} s of work"
    )
    print(f"least applied: {_least(totals.applied)}")
    print(f"least refused: {_least({CATALOGUE.reasons[code].name: n for code, n in totals.codes.items() if code})}")
    print(f"too seldom: {lacking or 'nothing'}")
    return 1 if lacking else 0


def _least(counts: dict[str, int], shown: int = 4) -> str:
    rarest = sorted(counts.items(), key=lambda item: item[1])[:shown]
    return ", ".join(f"{name} {count}" for name, count in rarest)


if __name__ == "__main__":
    sys.exit(main())
