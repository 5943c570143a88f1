# SPDX-License-Identifier: Apache-2.0
"""How often a key may ask: each for itself, with bounded memory, and never refused because of others."""

import pytest

from vervain.node import asking
from vervain.node.asking import AskingBounds
from vervain.vault.errors import AskedTooOften


def key(number: int) -> bytes:
    """Return one of many keys."""
    return number.to_bytes(32, "big")


def test_key_that_asked_too_often_is_told_and_others_are_not_held_up() -> None:
    """Given two requests a minute. When one key asks thrice, another twice. Then only the third of one is refused."""
    bounds = AskingBounds(2, clock=lambda: 1_000.0)
    for number in (1, 2, 1, 2):
        bounds.take(key(number))
    with pytest.raises(AskedTooOften) as refused:
        bounds.take(key(1))
    assert refused.value.retry_seconds == 30 and "30 s" in refused.value.do


def test_memory_is_bounded_and_a_forgotten_key_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given room for three keys, of which one has used up its requests.
    When a thousand others ask.
    Then three are remembered, no other was refused, and the first is answered again.
    """
    monkeypatch.setattr(asking, "KEYS_MAX", 3)
    bounds = AskingBounds(1, clock=lambda: 1_000.0)
    bounds.take(key(0))
    with pytest.raises(AskedTooOften):
        bounds.take(key(0))
    for number in range(1, 1_001):
        bounds.take(key(number))
    assert bounds.remembered == 3
    bounds.take(key(0))
