# SPDX-License-Identifier: Apache-2.0
"""The shipped attacker against the honest build and against planted leaks.

With few patients an honest build can only be shown not to be *certainly* above the bar; the full size shows that every
attack's upper bound is below it.
"""

from pathlib import Path

import msgspec
import pytest

from benchmarks.attacks.agreed import read_agreed
from benchmarks.attacks.chain import Runs, Workload, make_chain, write_files
from benchmarks.attacks.dictionary import dictionary_attack
from benchmarks.attacks.leaks import Leak
from benchmarks.attacks.running import attack
from benchmarks.attacks.verdict import Verdict, wilson
from tests.integration.imports import resources_of

NAMES = 1_000


@pytest.mark.parametrize(
    ("runs", "pool"), [(Runs.ORGANISATION, 0), (Runs.TOGETHER, 0), (Runs.PATIENT, 40)], ids=lambda each: str(each)
)
def test_honest_build_is_not_joined(tmp_path: Path, runs: Runs, pool: int) -> None:
    """
    Given 40 patients at 3 organisations, imported in the same order by runs of each organisation's own, by one run of
    all, or patient by patient into a pool; and sharing as they should.
    When every attack runs, and a dictionary that holds all of them.
    Then none certainly beats the bar, and the dictionary finds nobody.
    """
    workload = Workload(patients=40, organisations=3, runs=runs, pool=pool)
    report = attack(tmp_path / "chain", workload, names=NAMES)
    assert not report.is_leaking, report.told()
    (dictionary,) = (each for each in report.verdicts if each.attack.startswith("dictionary"))
    assert (dictionary.correct, dictionary.trials) == (0, 40)
    assert len(report.verdicts) > 40


def test_each_organisation_imports_its_own_encounters(tmp_path: Path) -> None:
    """
    Given the files for runs of each organisation's own, and those of the same patients for one run.
    When both are read.
    Then each organisation has every patient in the same order, no encounter but its own, and together nothing is lost.
    """
    apart = Workload(patients=4, organisations=3, runs=Runs.ORGANISATION)
    _, runs = write_files(tmp_path / "apart", apart)
    _, (whole,) = write_files(tmp_path / "whole", msgspec.structs.replace(apart, runs=Runs.TOGETHER))
    assert [[file.name for file in run] for run in runs] == [[file.name for file in whole]] * 3
    for number, file in enumerate(whole):
        parts = [resources_of(run[number]) for run in runs]
        providers = [{str(each["serviceProvider"]) for each in part if "serviceProvider" in each} for part in parts]
        assert [len(each) for each in providers] == [1, 1, 1] and len(set().union(*providers)) == 3
        keys = [{(each["resourceType"], each["id"]) for each in part} for part in parts]
        assert set.intersection(*keys) == {key for key in keys[0] if key[0] == "Patient"}
        assert set.union(*keys) == {(each["resourceType"], each["id"]) for each in resources_of(file)}


def test_patients_imported_one_by_one_are_joined(tmp_path: Path) -> None:
    """Given each patient imported by a run of its own without a pool, then time joins nearly everybody: the limit."""
    workload = Workload(patients=20, organisations=2, runs=Runs.PATIENT)
    report = attack(tmp_path / "chain", workload, names=0)
    assert report.verdicts[0].accuracy > 0.9 and report.is_leaking


def test_careless_build_is_caught_by_both(tmp_path: Path) -> None:
    """
    Given the planted build that derives secrets from names and commits in the order of the files.
    When both kinds of attack run.
    Then the dictionary finds everybody, and order joins everybody.
    """
    workload = Workload(patients=20, organisations=2, runs=Runs.ORGANISATION, leak=Leak.CARELESS)
    report = attack(tmp_path / "chain", workload, names=1_000)
    reached = {each.attack: each.accuracy for each in report.verdicts if each.is_found}
    assert reached["dictionary of 1000 names"] == reached["by identity.register: order first"] == 1.0


def test_dictionary_is_the_same_in_processes(tmp_path: Path) -> None:
    """Given a build that derives secrets from names, then processes of its own find the same people."""
    truth = make_chain(tmp_path / "chain", Workload(patients=5, organisations=2, leak=Leak.NAME))
    view = read_agreed(tmp_path / "chain")
    alone, shared = (dictionary_attack(view, truth, 1_100, processes=count) for count in (1, 2))
    assert alone == shared and alone.correct == 5


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


FULL_SIZE = {
    "each organisation in a run of its own": Workload(patients=1_000, organisations=5, runs=Runs.ORGANISATION),
    "one run of all": Workload(patients=1_000, organisations=5),
    "consents over a week": Workload(patients=1_000, organisations=5, runs=Runs.ORGANISATION, share_days=7),
    "the sick have more records everywhere": Workload(
        patients=1_000, organisations=5, runs=Runs.ORGANISATION, sickest=4
    ),
    "patient by patient into a pool": Workload(patients=1_000, organisations=5, runs=Runs.PATIENT, pool=500),
}


@pytest.mark.prove
@pytest.mark.parametrize("scenario", FULL_SIZE)
def test_honest_build_at_full_size(tmp_path: Path, scenario: str) -> None:
    """Given 1,000 patients at 5 organisations, then every attack's 95 % upper bound is below the bar."""
    report = attack(tmp_path / "chain", FULL_SIZE[scenario], names=0)
    assert report.is_below_bar, report.told()


@pytest.mark.prove
@pytest.mark.parametrize("leak", [Leak.NONE, Leak.CARELESS])
def test_million_names(tmp_path: Path, leak: Leak) -> None:
    """Given 10^6 names, then the honest build's patients are not found; the careless build is caught by both."""
    workload = Workload(patients=1_000, organisations=5, runs=Runs.ORGANISATION, leak=leak)
    report = attack(tmp_path / "chain", workload, names=1_000_000, processes=2)
    verdicts = {each.attack: each for each in report.verdicts}
    dictionary, order = verdicts["dictionary of 1000000 names"], verdicts["by identity.register: order first"]
    if leak is Leak.NONE:
        assert report.is_below_bar and dictionary.correct == 0, report.told()
    else:
        assert dictionary.accuracy == 1.0 and order.is_found and order.accuracy > 0.1, report.told()


@pytest.mark.prove
@pytest.mark.parametrize("leak", [leak for leak in Leak if leak is not Leak.NONE])
def test_planted_leaks_at_size(tmp_path: Path, leak: Leak) -> None:
    """Given each planted leak with 200 patients at 3 organisations, then it is found."""
    workload = Workload(patients=200, organisations=3, leak=leak)
    report = attack(tmp_path / "chain", workload, names=100_000 if leak in (Leak.NAME, Leak.CARELESS) else 0)
    assert report.is_leaking, report.told()
