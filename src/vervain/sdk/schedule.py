# SPDX-License-Identifier: Apache-2.0
"""When a wallet signs what belongs together: now, or spread over whole days.

Grants given at one moment at several organisations can be joined by their time, and so can their pseudonyms. *Now*
is for care at hand, and says so. *Spread* draws each moment independently and evenly from the days that begin at the
next midnight UTC: whoever decides on the same day draws from the same days, so that nothing shows but that; and the
more people decide within those days, the less that says.

Source: rulings.md "Consent"; architecture.md "Patients" ("share all" is spread over hours by the wallet);
docs/decisions/0010-linkage.md (how long).
"""

import secrets
from typing import Final, Literal

SPREAD_HOURS_MAX: Final = 14 * 24
SPREAD_HOURS_USUAL: Final = 3 * 24
ROUND_SECONDS: Final = 86_400  # every wallet begins to spread at a whole multiple of this
STEPS_MAX: Final = 1_000

Pace = Literal["now", "spread"]

WORDS: Final[dict[Pace, str]] = {
    "now": "Sign everything now, because care is at hand. "
    "Somebody who watches the ledger could guess that these belong together.",
    "spread": "Sign one after the other, at random moments of the coming days, "
    "so that they are lost among those of others.",
}
"""What the person is asked, once for each share."""


def moments(count: int, *, pace: Pace, now: int, hours: int = SPREAD_HOURS_USUAL) -> tuple[int, ...]:
    """Return the UTC second at which each of `count` acts is to be signed and sent, in the acts' own order.

    Args:
        count: At most `STEPS_MAX`.
        pace: As the person chose.
        now: UTC seconds.
        hours: Over how long to spread, 1 to 336, from the next midnight UTC on.
    """
    assert 0 <= count <= STEPS_MAX and 0 < hours <= SPREAD_HOURS_MAX
    if pace == "now":
        return (now,) * count
    begin = now + -now % ROUND_SECONDS
    return tuple(begin + secrets.randbelow(hours * 3600) for _ in range(count))
