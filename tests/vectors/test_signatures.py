# SPDX-License-Identifier: Apache-2.0
"""Ed25519, one verdict everywhere: PyNaCl and verify.py agree on crafted, published and mutated signatures."""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography_vectors import open_vector_file

from vervain.ledger.primitives import signatures
from vervain.sealing.keys import SigningKey
from vervain.verify import verify_ed25519

HERE = Path(__file__).parent
MAKER = HERE / "make_ed25519_edge.py"
EDGE_FILE = HERE / "signatures" / "ed25519_edge.json"
EDGE_ROWS = {
    "honest": 24,
    "S + L": 0,
    "key and R are the identity, S = 0": 0,
    "non-canonical encoding of the identity key": 0,
    "other small-order key": 0,
    "valid key, R is the identity, S = h a": 0,
    "valid key, R of small order": 0,
    "R with a torsion component": 0,
    "key with a torsion component": 3,
    "R with its sign or one bit altered": 0,
}
"""Row to the number accepted of 24, as measured for PyNaCl 1.6.2."""


@cache
def edge_cases() -> list[dict[str, Any]]:
    """Return the crafted cases."""
    cases: list[dict[str, Any]] = json.loads(EDGE_FILE.read_text())["cases"]
    return cases


def verdicts(key: bytes, message: bytes, signature: bytes) -> tuple[bool, bool]:
    """Return both verdicts: PyNaCl's and the pure one."""
    return signatures.verify(key, message, signature), verify_ed25519(key, message, signature)


@pytest.mark.ed25519_edge
@pytest.mark.parametrize("row", EDGE_ROWS)
def test_crafted_signatures_have_one_verdict(row: str) -> None:
    """Given the 24 crafted cases of a row, then both verifiers give the verdict worked out by a third computation."""
    accepted = 0
    cases = [case for case in edge_cases() if case["row"] == row]
    assert len(cases) == 24
    for case in cases:
        key, message, signature = (bytes.fromhex(case[name]) for name in ("key", "message", "signature"))
        assert verdicts(key, message, signature) == (case["accepted"], case["accepted"])
        accepted += case["accepted"]
    assert accepted == EDGE_ROWS[row]


@pytest.mark.ed25519_edge
def test_weak_keys_cannot_be_registered() -> None:
    """Given all crafted cases, then exactly the keys with a torsion or small-order part are refused at registration."""
    for case in edge_cases():
        assert signatures.is_valid_public_key(bytes.fromhex(case["key"])) == case["registrable"], case["row"]
    refused = {case["row"] for case in edge_cases() if not case["registrable"]}
    assert refused == {row for row in EDGE_ROWS if "identity key" in row or "key and R" in row} | {
        "other small-order key",
        "key with a torsion component",
    }


@pytest.mark.vectors
def test_vectors_are_made_again_byte_for_byte() -> None:
    """Given the maker under two hash seeds, then it makes the committed file both times."""
    command = [sys.executable, "-c", "import runpy, sys; print(runpy.run_path(sys.argv[1])['document'](), end='')"]
    makers = [
        subprocess.Popen([*command, str(MAKER)], stdout=subprocess.PIPE, text=True, env={"PYTHONHASHSEED": seed})
        for seed in ("0", "1")
    ]
    made = [maker.communicate(timeout=120)[0] for maker in makers]
    assert made == [EDGE_FILE.read_text()] * 2


@pytest.mark.vectors
def test_published_signatures_hold() -> None:
    """Given the first 128 of the Ed25519 authors' sign.input, then both accept, and refuse another message."""
    with open_vector_file(os.path.join("asymmetric", "Ed25519", "sign.input"), "r") as file:
        lines = [file.readline().split(":") for _ in range(128)]
    for _, key_text, message_text, signed_text, *_ in lines:
        key, message = bytes.fromhex(key_text), bytes.fromhex(message_text)
        signature = bytes.fromhex(signed_text)[:64]
        assert verdicts(key, message, signature) == (True, True)
        assert verdicts(key, message + b"x", signature) == (False, False)


@pytest.mark.vectors
def test_wycheproof() -> None:
    """Given Wycheproof's ed25519_test.json (not shipped: name its folder in VERVAIN_VECTORS), then 151 of 151 agree."""
    folder = os.environ.get("VERVAIN_VECTORS")
    path = Path(folder or "") / "ed25519_test.json"
    if folder is None or not path.is_file():
        pytest.skip("Wycheproof's ed25519_test.json is not shipped; name its folder in VERVAIN_VECTORS to run it")
    checked = 0
    for group in json.loads(path.read_text())["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            expected = case["result"] == "valid"
            verdict = verdicts(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert verdict == (expected, expected), case["tcId"]
            checked += 1
    assert checked == 151


def assert_equal_on_mutations(count: int, seed: int) -> None:
    """Mutate key, message or signature of honest and crafted cases; both verdicts must be equal."""
    random = Random(seed)
    keys = [SigningKey(sha256(f"{seed}/{number}".encode()).digest()) for number in range(20)]
    crafted = [tuple(bytes.fromhex(case[name]) for name in ("key", "message", "signature")) for case in edge_cases()]
    seen: Counter[bool] = Counter()
    for number in range(count):
        key_bytes, message, signature = random.choice(crafted)
        if number % 2:
            key = random.choice(keys)
            message = random.randbytes(random.randrange(64))
            key_bytes, signature = key.public_key, key.sign(message)
        parts = [bytearray(key_bytes), bytearray(message), bytearray(signature)]
        if number % 10:
            part = random.choice([part for part in parts if part])
            part[random.randrange(len(part))] ^= 1 << random.randrange(8)
        first, second = verdicts(*map(bytes, parts))
        assert first == second, f"seed {seed}, number {number}: {[part.hex() for part in parts]}"
        seen[first] += 1
    assert seen[True] and seen[False]


def test_equal_on_2000_mutated_signatures() -> None:
    """Given 2,000 mutated signatures, then PyNaCl and the pure verifier never disagree."""
    assert_equal_on_mutations(2_000, seed=1)


@pytest.mark.prove
def test_equal_on_100000_mutated_signatures() -> None:
    """Given 100,000 mutated signatures, then PyNaCl and the pure verifier never disagree."""
    assert_equal_on_mutations(100_000, seed=2)


@pytest.mark.parametrize(("key", "signature"), [(b"", bytes(64)), (bytes(31), bytes(64)), (bytes(32), bytes(63))])
def test_wrong_lengths_are_no_signature(key: bytes, signature: bytes) -> None:
    """Given a key or signature of another length, then neither verifier accepts or fails otherwise."""
    assert verdicts(key, b"", signature) == (False, False)


@pytest.mark.ed25519_edge
def test_zero_and_y_out_of_range_keys_are_refused() -> None:
    """Given keys that are no point, or whose y is not reduced, then both refuse whatever the signature."""
    prime = 2**255 - 19
    keys = [(prime + extra).to_bytes(32, "little") for extra in range(19)] + [b"\xff" * 32, bytes(32)]
    keys += [number.to_bytes(32, "little") for number in range(2, 30)]
    for key in keys:
        for signature in (bytes(64), b"\x01" + bytes(63), key + bytes(32)):
            assert verdicts(key, b"message", signature) == (False, False)
