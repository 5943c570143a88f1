# SPDX-License-Identifier: Apache-2.0
"""When a wallet signs what belongs together: now, or spread over hours.

Grants given at one moment at several organisations can be joined by their time, and so can their pseudonyms. *Now*
is for care at hand, and says so; *spread* draws each moment independently and evenly, which leaves nothing to join
but the hours.

Source: rulings.md "Consent"; architecture.md "Patients" ("share all" is spread over hours by the wallet).
"""

import secrets
from typing import Final, Literal

SPREAD_HOURS_MAX: Final = 72
SPREAD_HOURS_USUAL: Final = 12
STEPS_MAX: Final = 1_000

Pace = Literal["now", "spread"]

WORDS: Final[dict[Pace, str]] = {
    "now": "Sign everything now, because care is at hand. "
    "Somebody who watches the ledger could guess that these belong together.",
    "spread": "Sign one after the other, at random moments over some hours, "
    "so that nobody can see that they belong together.",
}
"""What the person is asked, once for each share."""


def moments(count: int, *, pace: Pace, now: int, hours: int = SPREAD_HOURS_USUAL) -> tuple[int, ...]:
    """Return the UTC second at which each of `count` acts is to be signed and sent, in the acts' own order.

    Args:
        count: At most `STEPS_MAX`.
        pace: As the person chose.
        now: UTC seconds.
        hours: Over how long to spread, 1 to 72.
    """
    assert 0 <= count <= STEPS_MAX and 0 < hours <= SPREAD_HOURS_MAX
    if pace == "now":
        return (now,) * count
    return tuple(now + secrets.randbelow(hours * 3600) for _ in range(count))
