# SPDX-License-Identifier: Apache-2.0
"""One whole attack, for the command line and for tests."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec

from benchmarks.attacks.agreed import read_agreed
from benchmarks.attacks.chain import Workload, make_chain
from benchmarks.attacks.dictionary import dictionary_attack
from benchmarks.attacks.joining import join_all
from benchmarks.attacks.verdict import Verdict


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What all attacks on one chain reached, the best first."""

    workload: Workload
    verdicts: tuple[Verdict, ...]

    @property
    def is_leaking(self) -> bool:
        """Tell whether an attack certainly beats the bar."""
        return any(each.is_found for each in self.verdicts)

    @property
    def is_below_bar(self) -> bool:
        """Tell whether every attack's upper bound is below the bar."""
        return all(each.is_below_bar for each in self.verdicts)

    def told(self) -> dict[str, object]:
        """Return the summary as JSON can hold it."""
        best = self.verdicts[0]
        return {
            "workload": msgspec.to_builtins(self.workload),
            "attacks": len(self.verdicts),
            "best": best.told(),
            "below_bar": self.is_below_bar,
            "leaks": [each.attack for each in self.verdicts if each.is_found],
        }


def attack(
    root: Path,
    workload: Workload,
    *,
    names: int,
    processes: int = 1,
    progress: Callable[[str], None] = lambda what: None,
) -> Report:
    """Make a chain in `root` and run every attack on it.

    Args:
        root: A directory that does not exist yet.
        workload: How the chain is made.
        names: Size of the dictionary; 0 leaves it out.
        processes: How many share the dictionary.
        progress: Told what is done.
    """
    started = monotonic()
    truth = make_chain(root, workload, progress)
    progress(f"chain made in {monotonic() - started:.0f} s")
    view = read_agreed(root)
    progress(f"{sum(map(len, view.organisations.values()))} pseudonyms, {len(view.values)} values read")
    started = monotonic()
    verdicts = join_all(view, truth, seed=workload.seed)
    progress(f"{len(verdicts)} ways to join tried in {monotonic() - started:.0f} s")
    if names:
        started = monotonic()
        verdicts.append(dictionary_attack(view, truth, names, processes=processes))
        progress(f"{names} names tried in {monotonic() - started:.0f} s")
    verdicts.sort(key=lambda each: -each.accuracy)
    return Report(workload=workload, verdicts=tuple(verdicts))
