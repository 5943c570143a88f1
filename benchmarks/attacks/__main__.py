# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.attacks`: make a chain, attack it, say how far every attack got. Exit 1 when a build leaks."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.attacks.chain import Runs, Workload
from benchmarks.attacks.leaks import Leak
from benchmarks.attacks.running import Report, attack

SHOWN_MAX = 8  # attacks shown to a person, the best first


def main(arguments: list[str] | None = None) -> int:
    """Run the attacks; return 0 when every attack stays below the bar (with few patients: when none certainly wins)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--patients", type=int, default=1_000)
    parser.add_argument("--organisations", type=int, default=5)
    parser.add_argument("--names", type=int, default=1_000_000, help="size of the dictionary; 0 leaves it out")
    parser.add_argument("--processes", type=int, default=2, help="how many share the dictionary")
    parser.add_argument("--leak", type=Leak, choices=list(Leak), default=Leak.NONE, help="plant a leak")
    parser.add_argument("--share-days", type=int, default=0, help="days over which patients decide to share")
    parser.add_argument(
        "--sickest", type=int, default=1, help="how many times as many encounters the sickest has, everywhere"
    )
    parser.add_argument("--pool", type=int, default=0, help="for how many patients each custodian waits")
    parser.add_argument(
        "--runs", type=Runs, choices=list(Runs), default=Runs.ORGANISATION, help="what is imported in a run of its own"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="keep the chain here")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, the last is the summary")
    asked = parser.parse_args(arguments)
    workload = Workload(
        patients=asked.patients,
        organisations=asked.organisations,
        leak=asked.leak,
        share_days=asked.share_days,
        sickest=asked.sickest,
        pool=asked.pool,
        runs=asked.runs,
        seed=asked.seed,
    )
    with tempfile.TemporaryDirectory(prefix="vervain-attacks-") as place:
        report = attack(
            asked.data or Path(place) / "chain",
            workload,
            names=asked.names,
            processes=asked.processes,
            progress=lambda what: print(what, file=sys.stderr, flush=True),
        )
    _tell(report, as_json=asked.json)
    return 1 if report.is_leaking else 0


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        for verdict in report.verdicts:
            print(json.dumps(verdict.told()))
        print(json.dumps(report.told()))
        return
    for verdict in report.verdicts[:SHOWN_MAX]:
        low, high = verdict.bounds
        print(
            f"{verdict.attack:45} {verdict.correct:6} of {verdict.trials:6}  {verdict.accuracy:8.3%} "
            f"(95 %: {low:.3%} to {high:.3%})  bar {verdict.bar:.3%}  "
            f"{'LEAKS' if verdict.is_found else 'below' if verdict.is_below_bar else 'too few to tell'}"
        )
    print(f"{len(report.verdicts)} attacks. " + ("The build leaks." if report.is_leaking else "No attack wins."))


if __name__ == "__main__":
    raise SystemExit(main())
