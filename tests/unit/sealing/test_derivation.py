# SPDX-License-Identifier: Apache-2.0
"""Keys of a patient relationship, checked against HKDF written out by hand."""

import hashlib
import hmac

import pytest

from vervain.sealing.derivation import category_commitment, category_secret, new_master, relationship_keys
from vervain.sealing.keys import KemKey, SigningKey

MASTER, HOSPITAL, PHARMACY = b"m" * 32, b"h" * 32, b"p" * 32


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256 and no salt, by the standard library."""
    pseudorandom = hmac.digest(bytes(32), secret, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudorandom, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


@pytest.mark.parametrize("epoch", [0, 1, 2**32 - 1])
def test_relationship_keys_are_the_agreed_formula(epoch: int) -> None:
    """Given a master secret. When keys of an epoch are derived. Then they are HKDF of tag, counterparty and epoch."""
    expected = hkdf(MASTER, b"vervain/rel/v1" + HOSPITAL + epoch.to_bytes(4, "big"), 64)
    keys = relationship_keys(MASTER, HOSPITAL, epoch)
    assert (keys.signing.seed, keys.kem.public_key) == (expected[:32], KemKey(expected[32:]).public_key)


def test_keys_differ_for_each_counterparty_epoch_and_master() -> None:
    """Given one patient. When relationship, epoch or master changes. Then every key is another."""
    all_keys = [
        relationship_keys(master, counterparty, epoch)
        for master in (MASTER, new_master())
        for counterparty in (HOSPITAL, PHARMACY)
        for epoch in (0, 1)
    ]
    assert len({keys.signing.public_key for keys in all_keys}) == 8
    assert len({keys.kem.public_key for keys in all_keys}) == 8


def test_category_commitment_is_the_agreed_formula() -> None:
    """Given a relationship's category secret. When a code is committed to. Then it is the tagged hash."""
    secret = category_secret(MASTER, HOSPITAL)
    assert secret == hkdf(MASTER, b"vervain/category-secret/v1" + HOSPITAL, 32)
    expected = hashlib.sha256(b"vervain/category/v1\n" + secret + b"PSY").digest()
    assert category_commitment(secret, "PSY") == expected


def test_category_commitments_match_within_a_relationship_and_nowhere_else() -> None:
    """Given two relationships of one patient. When the same code is committed to. Then the commitments differ."""
    here, there = category_secret(MASTER, HOSPITAL), category_secret(MASTER, PHARMACY)
    assert category_commitment(here, "HIV") == category_commitment(here, "HIV")
    assert category_commitment(here, "HIV") != category_commitment(there, "HIV")
    assert category_commitment(here, "HIV") != category_commitment(here, "PSY")


def test_relationship_keys_show_no_secret() -> None:
    """Given relationship keys. When shown. Then no private byte is in the words."""
    keys = relationship_keys(MASTER, HOSPITAL)
    assert keys.signing.seed.hex() not in repr(keys) and isinstance(keys.signing, SigningKey)
