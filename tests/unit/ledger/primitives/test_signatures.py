# SPDX-License-Identifier: Apache-2.0
"""Ed25519 verdicts: good ones, altered ones, and the cases on which libraries disagree.

The larger set of crafted signatures is checked in tests/vectors.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from nacl import bindings

from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.errors import InvariantBroken
from vervain.ledger.primitives.signatures import SELF_TEST_CASES, is_valid_public_key, self_test, verify

PUBLIC, SECRET = bindings.crypto_sign_seed_keypair(bytes(32))
MESSAGE = b"vervain"
SIGNATURE = bindings.crypto_sign(MESSAGE, SECRET)[:64]
ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD_PRIME = 2**255 - 19


@pytest.mark.ed25519_edge
@pytest.mark.parametrize("case", SELF_TEST_CASES, ids=[case[0].replace(" ", "_") for case in SELF_TEST_CASES])
def test_installed_library_gives_the_agreed_verdict(case: tuple[str, str, str, str, bool]) -> None:
    """
    Given a case of the self-test.
    When the installed library judges it.
    Then the verdict is the agreed one.
    """
    _, public_key, message, signature, expected = case
    assert verify(bytes.fromhex(public_key), bytes.fromhex(message), bytes.fromhex(signature)) is expected


def test_self_test_passes_and_names_the_case_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given the installed library, and one that says yes to everything.
    When the self-test runs.
    Then it passes the first and halts on the second, naming the case.
    """
    self_test()
    monkeypatch.setattr(signatures, "verify", lambda *_: True)
    with pytest.raises(InvariantBroken, match="another message"):
        self_test()


@given(some.integers(0, 63), some.integers(1, 255))
def test_changed_signature_is_refused(position: int, mask: int) -> None:
    """
    Given a good signature with one byte changed.
    When it is judged.
    Then it is refused.
    """
    changed = bytearray(SIGNATURE)
    changed[position] ^= mask
    assert not verify(PUBLIC, MESSAGE, bytes(changed))


def test_signature_belongs_to_its_message_and_key() -> None:
    """
    Given a good signature.
    When it is judged with its message, another message and another key.
    Then only the first holds.
    """
    other, _ = bindings.crypto_sign_seed_keypair(b"\x01" * 32)
    verdicts = [
        verify(PUBLIC, MESSAGE, SIGNATURE),
        verify(PUBLIC, MESSAGE + b".", SIGNATURE),
        verify(other, MESSAGE, SIGNATURE),
    ]
    assert verdicts == [True, False, False]


def test_second_form_of_a_signature_is_refused() -> None:
    """
    Given a good signature whose S has the group order added.
    When it is judged.
    Then it is refused: nobody makes a second signature without the key.
    """
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not verify(PUBLIC, MESSAGE, SIGNATURE[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("key", "signature"), [(PUBLIC[:31], SIGNATURE), (PUBLIC, SIGNATURE[:63]), (PUBLIC, b""), (b"", SIGNATURE)]
)
def test_wrong_lengths_are_refused(key: bytes, signature: bytes) -> None:
    """
    Given a key or signature of another length.
    When it is judged.
    Then it is refused, and nothing is raised.
    """
    assert not verify(key, MESSAGE, signature)


# The eight points of small order, and second encodings of two of them (RFC 8032 section 5.1.3; libsodium's block list).
SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_key_of_small_order_is_not_registered(point: str) -> None:
    """
    Given a point of small order, or a second encoding of one.
    When it is vetted.
    Then it may not be a key.
    """
    assert not is_valid_public_key(bytes.fromhex(point))


def test_key_with_torsion_is_not_registered() -> None:
    """
    Given a sound key to which a point of order eight is added.
    When it is vetted.
    Then it may not be a key: verifiers that clear the cofactor would disagree about its signatures.
    """
    torsion = bytes.fromhex(SMALL_ORDER[3])
    mixed = _add(PUBLIC, torsion)
    assert is_valid_public_key(PUBLIC) and not is_valid_public_key(mixed)


def test_bytes_that_are_no_point_are_not_registered() -> None:
    """
    Given bytes off the curve, not canonical, too short and too long.
    When they are vetted.
    Then they may not be a key.
    """
    for key in (b"\x02" + bytes(31), b"\xff" * 32, PUBLIC[:31], PUBLIC + b"\x00", b""):
        assert not is_valid_public_key(key)


def _add(first: bytes, second: bytes) -> bytes:
    """Add two encoded points with the curve's own formula (RFC 8032 section 5.1.4, affine)."""
    curve = -121665 * pow(121666, -1, FIELD_PRIME) % FIELD_PRIME

    def point(encoded: bytes) -> tuple[int, int]:
        y = int.from_bytes(encoded, "little") & (2**255 - 1)
        square = (y * y - 1) * pow(curve * y * y + 1, -1, FIELD_PRIME) % FIELD_PRIME
        x = pow(square, (FIELD_PRIME + 3) // 8, FIELD_PRIME)
        if (x * x - square) % FIELD_PRIME:
            x = x * pow(2, (FIELD_PRIME - 1) // 4, FIELD_PRIME) % FIELD_PRIME
        return (FIELD_PRIME - x if x & 1 != encoded[31] >> 7 else x), y

    (x1, y1), (x2, y2) = point(first), point(second)
    product = curve * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, FIELD_PRIME) % FIELD_PRIME
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, FIELD_PRIME) % FIELD_PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")
