# SPDX-License-Identifier: Apache-2.0
"""When a wallet signs what belongs together."""

from vervain.sdk.schedule import WORDS, moments

NOW = 1_800_000_000
MIDNIGHT = 1_800_057_600  # the next


def test_now_is_now() -> None:
    """Given care at hand. When five grants are scheduled. Then all are signed now."""
    assert moments(5, pace="now", now=NOW) == (NOW,) * 5


def test_spread_is_over_the_hours_and_in_no_order() -> None:
    """Given 400 acts over 12 hours. When scheduled.

    Then each is within 12 hours of the next midnight UTC, every hour has some, and the order is not kept.
    """
    spread = moments(400, pace="spread", now=NOW, hours=12)
    assert MIDNIGHT % 86_400 == 0 and 0 < MIDNIGHT - NOW < 86_400
    assert {(moment - MIDNIGHT) // 3600 for moment in spread} == set(range(12))
    assert list(spread) != sorted(spread) and spread != moments(400, pace="spread", now=NOW, hours=12)


def test_who_decides_on_one_day_draws_from_the_same_days() -> None:
    """Given one who decides in the first second of a day, one at noon and one in the last.

    When many acts of each are spread as usual. Then all three have the same three days, each quarter of them used.
    """
    for decided in (MIDNIGHT - 86_399, MIDNIGHT - 43_200, MIDNIGHT - 1, MIDNIGHT):
        spread = moments(1_000, pace="spread", now=decided)
        assert {(moment - MIDNIGHT) // 21_600 for moment in spread} == set(range(12))


def test_the_person_is_told_what_now_gives_away() -> None:
    """Given the choice. When its words are read. Then *now* says that somebody could guess what belongs together."""
    assert "guess" in WORDS["now"] and set(WORDS) == {"now", "spread"}
