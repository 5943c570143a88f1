# SPDX-License-Identifier: Apache-2.0
"""X25519 public keys that may be registered: canonical, and none of the points that make every shared secret known.

Source: RFC 7748 sections 5 and 6.1; D. J. Bernstein, "Curve25519", list of points of low order.
"""

from typing import Final

KEM_KEY_BYTES: Final = 32
FIELD_PRIME: Final = 2**255 - 19

# The u-coordinates below the prime whose product with any clamped scalar is zero: on curve and twist.
LOW_ORDER: Final = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    FIELD_PRIME - 1,
)


def is_valid_kem_key(public_key: bytes) -> bool:
    """Tell whether an X25519 public key (32 bytes) may be registered.

    A coordinate at or above the prime, or with the ignored top bit set, is refused too: one key has one encoding.
    """
    coordinate = int.from_bytes(public_key, "little")
    return len(public_key) == KEM_KEY_BYTES and coordinate < FIELD_PRIME and coordinate not in LOW_ORDER
