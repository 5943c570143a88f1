# SPDX-License-Identifier: Apache-2.0
"""The shipped attacker against the honest build and against planted leaks.

With few patients an honest build can only be shown not to be *certainly* above the bar; the full size shows that every
attack's upper bound is below it.
"""

from pathlib import Path

import pytest

from benchmarks.attacks.chain import Workload
from benchmarks.attacks.leaks import Leak
from benchmarks.attacks.running import attack
from benchmarks.attacks.verdict import Verdict, wilson

NAMES = 10_000


def test_honest_build_is_not_joined(tmp_path: Path) -> None:
    """
    Given 60 patients at 3 organisations, imported and sharing as they should.
    When every attack runs, and a dictionary that holds all of them.
    Then none certainly beats the bar, and the dictionary finds nobody.
    """
    report = attack(tmp_path / "chain", Workload(patients=60, organisations=3), names=NAMES)
    assert not report.is_leaking, report.told()
    (dictionary,) = (each for each in report.verdicts if each.attack.startswith("dictionary"))
    assert (dictionary.correct, dictionary.trials) == (0, 60)
    assert len(report.verdicts) > 40


@pytest.mark.parametrize(
    ("leak", "names", "found_by"),
    [
        (Leak.NAME, 1_000, "dictionary of 1000 names"),
        (Leak.ORDER, 0, "by identity.register: order first"),
        (Leak.CATEGORY_SECRET, 0, "same value"),
        (Leak.READER_KEY, 0, "same value"),
    ],
)
def test_planted_leak_is_found(tmp_path: Path, leak: Leak, names: int, found_by: str) -> None:
    """Given a build that is wrong on purpose, then the attack meant for it finds nearly everybody."""
    report = attack(tmp_path / "chain", Workload(patients=20, organisations=2, leak=leak), names=names)
    (verdict,) = (each for each in report.verdicts if each.attack == found_by)
    assert verdict.is_found and verdict.accuracy > 0.9, report.told()


def test_bounds_are_wilsons() -> None:
    """Given published examples of the Wilson score interval (Newcombe 1998, table I), then the bounds are theirs."""
    for correct, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert [round(bound, 4) for bound in wilson(correct, trials)] == [low, high]
    assert wilson(0, 0) == (0.0, 1.0)


def test_verdict_tells_found_below_and_too_few() -> None:
    """Given chance of one in a thousand, then the bar is 1.1 %, and a verdict is certain only with enough trials."""
    chance = Verdict(attack="a", correct=10, trials=10_000, base=0.001)
    assert chance.is_below_bar and not chance.is_found and chance.bar == pytest.approx(0.011)
    few = Verdict(attack="a", correct=1, trials=20, base=0.001)
    assert not few.is_below_bar and not few.is_found
    assert Verdict(attack="a", correct=400, trials=10_000, base=0.001).is_found


@pytest.mark.prove
def test_honest_build_at_full_size(tmp_path: Path) -> None:
    """Given 1,000 patients at 5 organisations and 10^6 names, then every attack's 95 % upper bound is below the bar."""
    report = attack(tmp_path / "chain", Workload(patients=1_000, organisations=5), names=1_000_000)
    assert report.is_below_bar, report.told()


@pytest.mark.prove
@pytest.mark.parametrize("leak", [leak for leak in Leak if leak is not Leak.NONE])
def test_planted_leaks_at_size(tmp_path: Path, leak: Leak) -> None:
    """Given each planted leak with 200 patients at 3 organisations, then it is found."""
    workload = Workload(patients=200, organisations=3, leak=leak)
    report = attack(tmp_path / "chain", workload, names=100_000 if leak is Leak.NAME else 0)
    assert report.is_leaking, report.told()
