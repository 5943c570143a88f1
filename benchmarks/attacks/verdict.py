# SPDX-License-Identifier: Apache-2.0
"""How good an attack is: accuracy with its 95 % bounds, against chance and the bar.

The bar is chance plus one percentage point. The upper bound (Wilson) must stay below it for a build to pass. A leak
counts as found when the accuracy is above the bar by more than chance gives the best of a hundred attacks.
"""

from math import sqrt
from typing import Final

import msgspec

Z: Final = 1.96  # two-sided 95 %
Z_FOUND: Final = 4.5  # about 1 in 300,000: many attacks are tried, and the best of them must not be luck
MARGIN: Final = 0.01  # one percentage point above chance


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one attack reached.

    Attributes:
        attack: Its name.
        correct, trials: Pseudonyms joined rightly, of how many.
        base: What chance alone reaches.
    """

    attack: str
    correct: int
    trials: int
    base: float

    @property
    def accuracy(self) -> float:
        """The share joined rightly."""
        return self.correct / self.trials if self.trials else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % bounds."""
        return wilson(self.correct, self.trials)

    @property
    def bar(self) -> float:
        """What must not be reached."""
        return self.base + MARGIN

    @property
    def is_found(self) -> bool:
        """Tell whether the attack certainly beats the bar."""
        return wilson(self.correct, self.trials, z=Z_FOUND)[0] > self.bar

    @property
    def is_below_bar(self) -> bool:
        """Tell whether the attack certainly stays below the bar; few trials cannot show it."""
        return self.bounds[1] <= self.bar

    def told(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        return msgspec.structs.asdict(self) | {
            "accuracy": round(self.accuracy, 6),
            "upper_95": round(self.bounds[1], 6),
            "bar": round(self.bar, 6),
            "below_bar": self.is_below_bar,
            "found": self.is_found,
        }


def wilson(correct: int, trials: int, *, z: float = Z) -> tuple[float, float]:
    """Return the Wilson score bounds of a share, 95 % when no other `z` is given."""
    if trials == 0:
        return 0.0, 1.0
    share, square = correct / trials, z * z / trials
    centre, half = share + square / 2, z * sqrt(share * (1 - share) / trials + square / trials / 4)
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))
