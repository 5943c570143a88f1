# SPDX-License-Identifier: Apache-2.0
"""When a wallet signs what belongs together."""

from vervain.sdk.schedule import WORDS, moments

NOW = 1_800_000_000


def test_now_is_now() -> None:
    """Given care at hand. When five grants are scheduled. Then all are signed now."""
    assert moments(5, pace="now", now=NOW) == (NOW,) * 5


def test_spread_is_over_the_hours_and_in_no_order() -> None:
    """Given 400 acts over 12 hours. When scheduled.

    Then each is within, every hour has some, and the order is not kept.
    """
    spread = moments(400, pace="spread", now=NOW, hours=12)
    assert all(NOW <= moment < NOW + 12 * 3600 for moment in spread)
    assert {(moment - NOW) // 3600 for moment in spread} == set(range(12))
    assert list(spread) != sorted(spread) and spread != moments(400, pace="spread", now=NOW, hours=12)


def test_the_person_is_told_what_now_gives_away() -> None:
    """Given the choice. When its words are read. Then *now* says that somebody could guess what belongs together."""
    assert "guess" in WORDS["now"] and set(WORDS) == {"now", "spread"}
