# SPDX-License-Identifier: Apache-2.0
"""Block time: follows the clock, but no leap of it."""

import time

import pytest

from vervain.engines.solo.block_clock import LEAP_SECONDS_MAX, BlockClock, ClockLeapt, seconds_since_boot

NOW = 1_750_000_000.0


class Clocks:
    """The clock of the wall and the steady one, moved by the test."""

    def __init__(self) -> None:
        self.wall, self.steady = NOW, 0.0
        self.block_clock = BlockClock(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds: float, *, leap: float = 0.0) -> None:
        """Let time pass, and the wall's clock leap besides."""
        self.wall += seconds + leap
        self.steady += seconds


@pytest.mark.parametrize("leap", [0.0, LEAP_SECONDS_MAX, -86_400.0])
def test_time_passes_and_small_corrections_and_steps_back_are_followed(leap: float) -> None:
    """Given a night of sleep and a correction, when the time is read, then it is the clock's."""
    clocks = Clocks()
    clocks.pass_by(30_000, leap=leap)
    assert clocks.block_clock.read() == int(NOW + 30_000 + leap)


def test_a_leap_is_refused_until_the_clock_is_back() -> None:
    """Given a clock that leapt a second too far, when it is read twice and then mended, then only the last is told."""
    clocks = Clocks()
    clocks.pass_by(10, leap=LEAP_SECONDS_MAX + 1)
    for _ in range(2):
        with pytest.raises(ClockLeapt, match=r"leapt 601 seconds forward"):
            clocks.block_clock.read()
        clocks.pass_by(10)
    clocks.wall -= LEAP_SECONDS_MAX + 1
    assert clocks.block_clock.read() == int(NOW + 30)


def test_small_steps_do_not_add_up() -> None:
    """Given steps that are each an ordinary correction, when they add up to a leap, then they are refused."""
    clocks = Clocks()
    clocks.pass_by(1, leap=LEAP_SECONDS_MAX - 1)
    assert clocks.block_clock.read() == int(NOW + LEAP_SECONDS_MAX)
    clocks.pass_by(1, leap=LEAP_SECONDS_MAX - 1)
    with pytest.raises(ClockLeapt, match="leapt 1198 seconds"):
        clocks.block_clock.read()


def test_a_clock_that_was_set_back_by_mistake_may_be_mended() -> None:
    """Given a clock set back by a day and read, when it is mended, then it is followed."""
    clocks = Clocks()
    clocks.pass_by(10, leap=-86_400)
    clocks.block_clock.read()
    clocks.pass_by(10, leap=86_400)
    assert clocks.block_clock.read() == int(NOW + 20)


def test_the_steady_clock_goes_on() -> None:
    """Given this machine, when the steady clock is read twice, then it went on by about the time between."""
    before = seconds_since_boot()
    time.sleep(0.02)
    assert 0.01 < seconds_since_boot() - before < 10
