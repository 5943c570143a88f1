# SPDX-License-Identifier: Apache-2.0
"""X25519 keys that may be registered: no known point of low order, one encoding a key."""

import pytest
from nacl import bindings
from nacl.exceptions import RuntimeError as ZeroSecret

from vervain.ledger.primitives.key_agreement import FIELD_PRIME, LOW_ORDER, is_valid_kem_key

SCALAR = bytes(range(1, 33))


@pytest.mark.parametrize("point", LOW_ORDER)
def test_point_of_low_order_is_refused(point: int) -> None:
    """
    Given a point of low order, as it is and with the top bit set, which X25519 ignores.
    When it is judged, and libsodium multiplies it.
    Then it is refused, and libsodium finds the secret to be zero.
    """
    for encoded in (point.to_bytes(32, "little"), (point + 2**255).to_bytes(32, "little")):
        assert not is_valid_kem_key(encoded)
        with pytest.raises(ZeroSecret):
            bindings.crypto_scalarmult(SCALAR, encoded)


@pytest.mark.parametrize("multiple", range(19))
def test_second_encoding_is_refused(multiple: int) -> None:
    """
    Given the coordinates from the prime up to 2^255.
    When they are judged.
    Then they are refused: each has a smaller encoding.
    """
    assert not is_valid_kem_key((FIELD_PRIME + multiple).to_bytes(32, "little"))


def test_list_of_low_order_is_complete() -> None:
    """
    Given u-coordinates of small order: 0, the points of order 4 (1 and -1) and of order 8.
    When the order-8 ones are doubled with the curve's formula.
    Then they lead to 1 or -1, and from there to 0: nothing else of small order is left out by these five.
    """

    def double(u: int) -> int | None:
        numerator = (u * u - 1) ** 2
        denominator = 4 * u * (u * u + 486662 * u + 1)
        if denominator % FIELD_PRIME == 0:
            return None
        return numerator * pow(denominator, -1, FIELD_PRIME) % FIELD_PRIME

    assert double(0) is None
    assert [double(point) for point in LOW_ORDER[1:]] == [0, 1, 1, 0]


def test_sound_key_is_taken() -> None:
    """
    Given public keys as every library makes them, and the base point.
    When they are judged.
    Then they are taken.
    """
    keys = [bindings.crypto_scalarmult_base(bytes([number]) * 32) for number in range(50)]
    assert all(map(is_valid_kem_key, keys))
    assert is_valid_kem_key((9).to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_key_of_another_length_is_refused(length: int) -> None:
    """
    Given bytes that are not 32.
    When they are judged.
    Then they are refused.
    """
    assert not is_valid_kem_key(b"\x09" + bytes(length - 1) if length else b"")
