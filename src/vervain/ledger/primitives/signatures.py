# SPDX-License-Identifier: Apache-2.0
"""Ed25519 verdicts, all by one library under one rule: consensus code.

The rule is libsodium's strict, cofactorless one: S < L, canonical A, no small-order A or R, recomputed R equals R byte
for byte. Other libraries accept other crafted signatures, so one transaction could fork nodes that use different ones;
PyNaCl is pinned exactly and `self_test` refuses to start on another verdict.

Source: RFC 8032 section 5.1.7; identity-keys-receipts reference, section 6 (measured table).
"""

from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from vervain.ledger.primitives.errors import InvariantBroken

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_open = bindings.crypto_sign_open


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) over `message` was made with `public_key` (32 bytes). Releases the GIL."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        _open(signature + message, public_key)
    except (BadSignatureError, ValueError):
        return False
    return True


def is_valid_public_key(public_key: bytes) -> bool:
    """Tell whether a key may be registered: on the curve, canonical, of prime order (no torsion, no small order)."""
    return len(public_key) == PUBLIC_KEY_BYTES and bool(bindings.crypto_core_ed25519_is_valid_point(public_key))


# (what, public key, message, signature, verdict), hex. RFC 8032 section 7.1 TEST 2, and the cases other libraries
# accept.
_KEY: Final = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
_GOOD: Final = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
_IDENTITY: Final = "01" + "00" * 31
SELF_TEST_CASES: Final = (
    ("RFC 8032 TEST 2", _KEY, "72", _GOOD, True),
    ("another message", _KEY, "73", _GOOD, False),
    ("key and R are the identity, S is zero", _IDENTITY, "72", _IDENTITY + "00" * 32, False),
    ("identity key, not canonical", "ee" + "ff" * 30 + "7f", "72", _IDENTITY + "00" * 32, False),
    ("S + L", _KEY, "72", _GOOD[:64] + "f52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10", False),
)


def self_test() -> None:
    """Check that the installed library gives the agreed verdicts; run at every start.

    Raises: InvariantBroken, naming the case.
    """
    for what, public_key, message, signature, expected in SELF_TEST_CASES:
        verdict = verify(bytes.fromhex(public_key), bytes.fromhex(message), bytes.fromhex(signature))
        if verdict is not expected:
            raise InvariantBroken(
                f"The Ed25519 library gives another verdict than agreed for: {what}. Install the pinned PyNaCl."
            )
