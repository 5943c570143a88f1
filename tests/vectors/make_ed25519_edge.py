# SPDX-License-Identifier: Apache-2.0
"""Make tests/vectors/signatures/ed25519_edge.json: crafted signatures on which Ed25519 verifiers disagree.

Run `python tests/vectors/make_ed25519_edge.py`. It uses its own slow affine arithmetic and none of our code: a second
opinion on `verify.py`. The verdicts are those of the agreed rule, worked out here from its definition: S < L,
canonical A, no small-order A or R, [S]B - [h]A encodes to R byte for byte, where h is reduced modulo L.

Source: RFC 8032 sections 5.1 and 5.1.7; identity-keys-receipts reference, section 6 (the rows).
"""

import json
from collections.abc import Iterator
from hashlib import sha256, sha512
from pathlib import Path

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
CASES_A_ROW = 24
TARGET = Path(__file__).parent / "signatures" / "ed25519_edge.json"

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(first: Point, second: Point) -> Point:
    """Add two affine points of the twisted Edwards curve."""
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2 % P
    both = pow(1 - product * product, -1, P)  # inverse of (1 + product) * (1 - product)
    return (x1 * y2 + x2 * y1) * (1 - product) * both % P, (y1 * y2 + x1 * x2) * (1 + product) * both % P


def multiply(scalar: int, point: Point) -> Point:
    """Return scalar * point by double and add."""
    total = IDENTITY
    for bit in bin(scalar)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def negative(point: Point) -> Point:
    """Return -point."""
    return -point[0] % P, point[1]


def encode(point: Point) -> bytes:
    """Return the canonical encoding."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(y: int, sign: int) -> Point | None:
    """Return the point with this y and sign of x, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        return None
    return (x if x & 1 == sign else -x % P), y


def base_point() -> Point:
    """Return the base point: y = 4/5, x even."""
    point = decode(4 * pow(5, -1, P) % P, 0)
    assert point is not None
    return point


def torsion_point() -> Point:
    """Return a point of order eight: L times the first curve point whose torsion part has that order."""
    for y in range(2, 1_000):
        point = decode(y, 0)
        if point is not None:
            torsion = multiply(L, point)
            if multiply(4, torsion) != IDENTITY:
                return torsion
    raise AssertionError("there is one")


BASE, TORSION = base_point(), torsion_point()
SMALL = [encode(multiply(n, TORSION)) for n in range(8)]


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    """Return h modulo L."""
    return int.from_bytes(sha512(r + key + message).digest(), "little") % L


def secret(row: str, number: int) -> int:
    """Return a private scalar that depends on row and number alone."""
    return int.from_bytes(sha512(f"{row}/{number}".encode()).digest(), "little") % L


def holds(key_point: Point, r: bytes, scalar: int, h: int) -> bool:
    """Tell whether [S]B - [h]A encodes to R."""
    return encode(add(multiply(scalar, BASE), negative(multiply(h, key_point)))) == r


def vector(
    row: str, key: bytes, message: bytes, signature: bytes, accepted: bool, registrable: bool
) -> dict[str, object]:
    """Return one case. `registrable`: whether the key may be registered."""
    return {
        "row": row,
        "key": key.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "accepted": accepted,
        "registrable": registrable,
    }


def honest(row: str, number: int) -> tuple[int, bytes, bytes, bytes, int]:
    """Return private scalar, key, message, and an honest signature's R and S."""
    private, nonce = secret(row, number), secret(row + " nonce", number)
    key, r = encode(multiply(private, BASE)), encode(multiply(nonce, BASE))
    message = sha256(f"{row} message {number}".encode()).digest()[: number % 33]
    return private, key, message, r, (nonce + challenge(r, key, message) * private) % L


def little(scalar: int) -> bytes:
    """Return a scalar's 32 bytes."""
    return scalar.to_bytes(32, "little")


def cases() -> Iterator[dict[str, object]]:
    """Yield every row of the measured table, 24 cases each."""
    noncanonical_identity = (P + 1).to_bytes(32, "little")
    for number in range(CASES_A_ROW):
        row = "honest"
        private, key, message, r, s = honest(row, number)
        yield vector(row, key, message, r + little(s), True, True)

        row = "S + L"
        private, key, message, r, s = honest(row, number)
        yield vector(row, key, message, r + little(s + L), False, True)

        row = "key and R are the identity, S = 0"
        yield vector(row, SMALL[0], message, SMALL[0] + bytes(32), False, False)

        row = "non-canonical encoding of the identity key"
        yield vector(row, noncanonical_identity, message, SMALL[0] + bytes(32), False, False)

        row = "other small-order key"
        small, nonce = SMALL[1 + number % 7], secret(row, number)
        r = encode(multiply(nonce, BASE))
        yield vector(row, small, message, r + little(nonce), False, False)

        row = "valid key, R is the identity, S = h a"
        private, key, message, _, _ = honest(row, number)
        yield vector(row, key, message, SMALL[0] + little(challenge(SMALL[0], key, message) * private % L), False, True)

        row = "valid key, R of small order"
        private, key, message, _, _ = honest(row, number)
        r = SMALL[1 + number % 7]
        yield vector(row, key, message, r + little(challenge(r, key, message) * private % L), False, True)

        row = "R with a torsion component"
        private, key, message, _, _ = honest(row, number)
        nonce = secret(row + " nonce", number)
        r = encode(add(multiply(nonce, BASE), multiply(1 + number % 7, TORSION)))
        s = (nonce + challenge(r, key, message) * private) % L
        yield vector(row, key, message, r + little(s), False, True)

        row = "key with a torsion component"
        private, nonce = secret(row, number), secret(row + " nonce", number)
        key_point = add(multiply(private, BASE), multiply(1 + 2 * (number % 4), TORSION))
        key, r = encode(key_point), encode(multiply(nonce, BASE))
        message = f"torsion key {number}".encode()
        h = challenge(r, key, message)
        s = (nonce + h * private) % L
        yield vector(row, key, message, r + little(s), holds(key_point, r, s, h), False)

        row = "R with its sign or one bit altered"
        private, key, message, r, s = honest(row, number)
        altered = (int.from_bytes(r, "little") ^ 1 << 255 - number).to_bytes(32, "little")
        yield vector(row, key, message, altered + little(s), False, True)


def document() -> str:
    """Return the vector file's text."""
    ordered = sorted(cases(), key=lambda case: str(case["row"]))
    return json.dumps({"rule": __doc__, "cases": ordered}, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())
