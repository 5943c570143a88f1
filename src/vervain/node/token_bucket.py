# SPDX-License-Identifier: Apache-2.0
"""How often something may happen: so many times a minute, as many at once after a minute's rest."""

from typing import Final

SECONDS_PER_MINUTE: Final = 60.0


class TokenBucket:
    """So many tokens a minute, and at most a minute's worth saved up."""

    __slots__ = ("_per_minute", "_refilled_at", "_tokens")

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute, self._tokens, self._refilled_at = per_minute, float(per_minute), now

    def take(self, now: float) -> float:
        """Take one token and return 0.0, or return the seconds until there is one."""
        elapsed = max(0.0, now - self._refilled_at)
        self._tokens = min(self._per_minute, self._tokens + elapsed * self._per_minute / SECONDS_PER_MINUTE)
        self._refilled_at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) * SECONDS_PER_MINUTE / self._per_minute
