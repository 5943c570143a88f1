# SPDX-License-Identifier: Apache-2.0
"""Simulated consortiums agree, keep every invariant, and meet every message and every refusal."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.memory_state import MemoryState
from tests.simulation.many import CHUNK_SEEDS, PROGRESS, ROOT, TIMES_MIN, Totals, run_many, sources_digest
from tests.simulation.replica import Place
from tests.simulator import STEPS, replay_line, run
from tests.toy_ledger import FOUNDED_AT, GENESIS_BLOCK, TOY, signed
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine import replay_window
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.refusals import APPLIED, MachineReason

SEEDS: Final = 60
LACKING_MAX: Final = 2  # reasons; a change of any rule changes what sixty seeds happen to meet
SEEDS_PROVED: Final = 10_000
HASHES: Final = ("0", "1", "4294967295")


@pytest.fixture(scope="module")
def totals() -> Totals:
    """What the default seeds did; a broken one fails here, with the line that replays it."""
    totals = Totals(sources=sources_digest(), steps=STEPS)
    totals.add(0, [run(seed) for seed in range(SEEDS)], 0.0)
    return totals


def test_replicas_agree_through_crashes_at_every_place(totals: Totals) -> None:
    """
    Given sixty seeds.
    When replicas lag, crash, lose power, restart and replay.
    Then none differs from another or from a replay from genesis, and every place of a crash was met.
    """
    places = {str(place) for place in Place if place is not Place.IN_LOG} | {"at rest", "in recovery"}
    acts = {"append .blocks in append", "sync .blocks in sync", "append .blocks in _begin_segment"}

    assert (places | acts) - totals.crashes.keys() == set()


def test_every_message_is_applied_and_every_reason_refused(totals: Totals) -> None:
    """
    Given sixty seeds.
    When their outcomes are counted.
    Then each message was applied and each reason was met but for two at most, which 10,000 seeds meet a hundred times.
    """
    lacking = totals.lacking(1)
    messages = {str(message.__struct_config__.tag) for message in CATALOGUE.message_types}

    assert messages & lacking.keys() == set()
    assert len(lacking) <= LACKING_MAX, lacking


def test_a_seed_is_the_same_however_strings_are_hashed() -> None:
    """Given processes that hash differently, when they run one seed, then they come to the same heads."""
    command = [sys.executable, "-m", "tests.simulator", "--seed", "7"]
    told = {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in HASHES
    }

    assert len(told) == 1


def test_a_seed_runs_twice_alike() -> None:
    """Given a seed of either world, when it is run again, then its report is the same."""
    assert [run(seed, 60) for seed in (8, 9)] == [run(seed, 60) for seed in (8, 9)]


def test_failing_seed_prints_the_line_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an invariant that breaks, when a seed is run, then the error ends with the command that runs it again."""
    monkeypatch.setattr("tests.simulation.invariants.Invariants.breaches", lambda *_: ["the sky is green"])

    with pytest.raises(AssertionError, match="the sky is green") as caught:
        run(3, 40)

    assert str(caught.value).endswith(replay_line(3, 40))


def test_undecided_proposal_gives_nobody_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given room for one unexpired transaction of a member, and a replica that judged a proposal which was not decided.
    When a block with another transaction before the judged one is decided.
    Then both replicas refuse the second one: what was judged for another proposal does not count.
    """
    monkeypatch.setattr(replay_window, "UNEXPIRED_PER_ORGANISATION_MAX", 1)
    told = []
    for judges_first in (False, True):
        state = MemoryState()
        application = Application(TOY, state)
        changes = application.init_chain(GENESIS_BLOCK.transactions[0], state)
        state.apply(changes)
        application.committed(changes)
        application.resume(GENESIS_BLOCK.transactions[0])
        one, other = (signed(text, chain=application.chain, blind=bytes(32), nonce=bytes(16)) for text in ("a", "b"))
        if judges_first:
            proposal = Block(height=1, time=FOUNDED_AT, transactions=(one,))
            assert application.process(proposal, state)
        finalized = application.finalize_block(Block(height=1, time=FOUNDED_AT, transactions=(other, one)), state)
        told.append([outcome.code for outcome in finalized.outcomes])

    assert told == [[APPLIED, MachineReason.TOO_MANY_UNEXPIRED]] * 2


def test_many_seeds_go_on_where_they_stopped(tmp_path: Path) -> None:
    """
    Given fifty seeds that were run and kept.
    When they are asked for again, by the same sources and by others.
    Then the kept ones count as they are, and other sources start anew.
    """
    progress = tmp_path / "progress.json"
    ran = run_many(CHUNK_SEEDS, steps=1, progress=progress, processes=1)
    assert (ran.chunks, ran.heights < CHUNK_SEEDS) == ([0], True)

    kept = msgspec.structs.replace(ran, heights=10**6)
    progress.write_bytes(msgspec.json.encode(kept))
    assert run_many(CHUNK_SEEDS, steps=1, progress=progress, processes=1) == kept

    progress.write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, sources="others")))
    assert run_many(0, steps=1, progress=progress).chunks == []


@pytest.mark.prove
def test_ten_thousand_seeds() -> None:
    """Given 10,000 seeds, then none breaks, and each message and each reason was met a hundred times."""
    totals = run_many(SEEDS_PROVED, progress=PROGRESS)

    assert totals.lacking(TIMES_MIN) == {}
    assert Counter(totals.chunks).most_common(1)[0][1] == 1
