# SPDX-License-Identifier: Apache-2.0
"""Every planted fault is found."""

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.simulation.many import ROOT
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.witness import Broken
from tests.simulator import run, run_mutant

SEEDS_MAX: Final = 100
SEEDS_BY_HASH: Final = 4


def found_at(mutant: Mutant) -> int:
    """Return the first seed that finds a fault, `SEEDS_MAX` when none does."""
    for seed in range(SEEDS_MAX):
        try:
            run_mutant(mutant, seed)
        except Broken:
            return seed
    return SEEDS_MAX


def digests_by_hash(mutant: Mutant) -> set[bytes]:
    """Return what processes that hash differently say of the same seeds."""
    command = [sys.executable, "-m", "tests.simulator", "--mutant", mutant.name, "--seeds", str(SEEDS_BY_HASH)]
    return {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2", "3")
    }


def test_there_are_enough_mutants() -> None:
    """Given the planted faults, then they are twelve or more, of different names."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if not mutant.by_hash], ids=lambda each: each.name)
def test_mutant_is_found(mutant: Mutant) -> None:
    """Given a planted fault, when up to a hundred seeds are run, then one of them finds it, and none without it."""
    seed = found_at(mutant)

    assert seed < SEEDS_MAX
    run(seed)


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.by_hash], ids=lambda each: each.name)
def test_mutant_is_found_between_processes(mutant: Mutant) -> None:
    """Given a fault that depends on hashing, when processes that hash differently run it, then they differ."""
    assert len(digests_by_hash(mutant)) > 1
