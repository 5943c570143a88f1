# SPDX-License-Identifier: Apache-2.0
"""The time of the next block, kept from a clock that leaps.

Block time never goes back, so one block made while the clock is wrong by years would hold the chain in that year: every
grant would have lapsed. A leap forward is told by a second clock that nobody sets; the engine then takes nothing until
the clock is mended, or until the operator accepts the new time by starting the node again.
"""

import time
from collections.abc import Callable
from typing import Final

from vervain.engines.errors import Unreachable

LEAP_SECONDS_MAX: Final = 600  # forward, since the node started; less are ordinary corrections
DRIFT_PER_SECOND_MAX: Final = 0.001  # twice as fast as time services turn a clock


class ClockLeapt(Unreachable):
    """The clock went forward much further than time did."""


def seconds_since_boot() -> float:
    """Return seconds on a clock that nobody sets and that counts sleep too, where the machine has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class BlockClock:
    """UTC seconds for blocks.

    Args:
        clock: UTC seconds.
        steady: Seconds on a clock that nobody sets. Without one, leaps of `clock` are believed: for tests and
            simulations, whose clock is moved on purpose.
    """

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float] | None) -> None:
        self._clock, self._steady = clock, steady or clock
        self._started = (self._clock(), self._steady())

    def read(self) -> int:
        """Return the present UTC second.

        Raises: ClockLeapt until the clock is back.
        """
        now = self._clock()
        passed = self._steady() - self._started[1]
        leap = now - self._started[0] - passed
        if leap > LEAP_SECONDS_MAX + passed * DRIFT_PER_SECOND_MAX:
            raise ClockLeapt(
                "This node takes no transactions now",
                why=f"Its clock leapt {leap:.0f} seconds forward, and the time of a block can never be taken back",
                do="Set the clock right, then send them again; if the new time is right, start the node again.",
            )
        return int(now)
