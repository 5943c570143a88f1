# SPDX-License-Identifier: Apache-2.0
"""Wraps: bound to one recipient and one context; the same HPKE as a second implementation."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from msgspec.structs import replace
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, KEMKeyPair

from vervain.ledger.primitives.codec import encode
from vervain.sealing.documents import DocumentKey
from vervain.sealing.encapsulation import ENC_BYTES
from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import KemKey
from vervain.sealing.wraps import (
    WRAP,
    WRAP_BYTES,
    WrapContext,
    open_sealed,
    seal_to,
    unwrap,
    unwrap_all,
    wrap,
    wrap_all,
)

KEM = KemKey(b"r" * 32)
KEY = DocumentKey(b"d" * 32, b"s" * 32)
CONTEXT = WrapContext(
    purpose="grant",
    commitment=b"c" * 32,
    recipient=KEM.public_key,
    chain="test-" + "0" * 32,
    scope=b"g" * 32,
    epoch=2,
)
SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sealing" / "hpke_rfc9180.json").read_text())


def private(key: bytes) -> X25519PrivateKey:
    """Return the library's private key."""
    return X25519PrivateKey.from_private_bytes(key)


def test_wrap_opens_with_its_key_and_context() -> None:
    """Given a wrap. When opened with its key and context. Then key and salt are the same; it has 112 bytes."""
    sealed = wrap(KEY, CONTEXT)
    assert len(sealed) == WRAP_BYTES == 112
    assert unwrap(sealed, KEM, CONTEXT) == KEY


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": "own"},
        {"purpose": "share"},
        {"commitment": b"C" * 32},
        {"chain": "test-" + "1" * 32},
        {"scope": b"G" * 32},
        {"epoch": 3},
        {"recipient": KemKey(b"R" * 32).public_key},
    ],
    ids=str,
)
def test_wrap_refused_in_any_other_context(other: dict[str, bytes]) -> None:
    """Given a wrap for one grant. When opened for another purpose, record, chain, grant or epoch. Then refused."""
    with pytest.raises(SealBroken):
        unwrap(wrap(KEY, CONTEXT), KEM, replace(CONTEXT, **other))


def test_wraps_cannot_be_swapped_between_grants() -> None:
    """Given one document wrapped to one reader under two grants. When the wraps are swapped. Then neither opens."""
    first, second = CONTEXT, replace(CONTEXT, scope=b"H" * 32)
    wraps = wrap(KEY, first), wrap(KEY, second)
    for sealed, context in zip(wraps, (second, first), strict=True):
        with pytest.raises(SealBroken):
            unwrap(sealed, KEM, context)


def test_wrap_refused_by_another_key() -> None:
    """Given a wrap. When another key opens it, whatever the context says of the recipient. Then refused."""
    thief = KemKey(b"t" * 32)
    for context in (CONTEXT, replace(CONTEXT, recipient=thief.public_key)):
        with pytest.raises(SealBroken):
            unwrap(wrap(KEY, CONTEXT), thief, context)


def test_every_altered_byte_breaks_the_wrap() -> None:
    """Given a wrap. When any byte is altered, or one is added or missing. Then refused."""
    sealed = wrap(KEY, CONTEXT)
    attacks = [sealed[:-1], sealed + b"\0", b""]
    attacks += [sealed[:i] + bytes([sealed[i] ^ 4]) + sealed[i + 1 :] for i in range(len(sealed))]
    for attacked in attacks:
        with pytest.raises(SealBroken):
            unwrap(attacked, KEM, CONTEXT)


@pytest.mark.parametrize(
    "key", [b"", b"k" * 31, bytes(32), b"\1" + bytes(31)], ids=lambda key: f"{len(key)} {key[:1]!r}"
)
def test_seal_refused_to_a_key_that_is_none(key: bytes) -> None:
    """Given a key of wrong length or small order. When sealed to. Then refused."""
    with pytest.raises(SealingError):
        seal_to(key, b"secret", info=b"")


def test_ours_opens_in_the_second_implementation() -> None:
    """Given a wrap of ours. When pyhpke opens it with the same info. Then it finds key and salt."""
    sealed = wrap(KEY, CONTEXT)
    recipient = SUITE.create_recipient_context(
        sealed[:ENC_BYTES], KEMKey.from_pyca_cryptography_key(private(b"r" * 32)), info=WRAP + encode(CONTEXT)
    )
    assert recipient.open(sealed[ENC_BYTES:]) == KEY.dek + KEY.salt


def test_the_second_implementations_opens_here() -> None:
    """Given a wrap made by pyhpke. When opened here. Then key and salt are the same."""
    public = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(KEM.public_key))
    enc, sender = SUITE.create_sender_context(public, info=WRAP + encode(CONTEXT))
    assert unwrap(enc + sender.seal(KEY.dek + KEY.salt), KEM, CONTEXT) == KEY


@pytest.mark.vectors
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["section"])
def test_second_implementation_gives_the_published_vectors(vector: dict[str, str]) -> None:
    """Given a vector of RFC 9180, which has additional data and so cannot run through our library's call.

    When pyhpke seals it with the vector's ephemeral key. Then enc and ciphertext are the published ones; with the two
    tests before, our seals are what RFC 9180 says.
    """
    aead = {"AES-128-GCM": AEADId.AES128_GCM, "ChaCha20Poly1305": AEADId.CHACHA20_POLY1305}[vector["aead"]]
    suite = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, aead)
    read = {name: bytes.fromhex(value) for name, value in vector.items() if name not in ("section", "aead")}
    ephemeral = KEMKeyPair(
        KEMKey.from_pyca_cryptography_key(private(read["skEm"])),
        KEMKey.from_pyca_cryptography_key(private(read["skEm"]).public_key()),
    )
    recipient = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(read["pkRm"]))
    enc, sender = suite.create_sender_context(recipient, info=read["info"], eks=ephemeral)
    assert (enc, sender.seal(read["pt"], read["aad"])) == (read["enc"], read["ct"])


def test_a_seal_needs_the_same_info() -> None:
    """Given a seal. When opened with another info. Then refused; with the same it opens."""
    sealed = seal_to(KEM.public_key, b"letter", info=b"one")
    assert open_sealed(KEM, sealed, info=b"one") == b"letter"
    with pytest.raises(SealBroken):
        open_sealed(KEM, sealed, info=b"two")


OTHER_CONTEXTS = [replace(CONTEXT, commitment=bytes([number]) * 32) for number in range(4)]
OTHER_KEYS = [DocumentKey(bytes([number]) * 32, b"s" * 32) for number in range(4)]


def test_wraps_of_one_page_open_alone_and_together() -> None:
    """Given keys wrapped together. When unwrapped one by one, or together. Then each is its own; 112 bytes each."""
    sealed = wrap_all(OTHER_KEYS, OTHER_CONTEXTS)
    assert [len(each) for each in sealed] == [WRAP_BYTES] * 4
    assert [unwrap(each, KEM, context) for each, context in zip(sealed, OTHER_CONTEXTS, strict=True)] == OTHER_KEYS
    assert list(unwrap_all(sealed, KEM, OTHER_CONTEXTS)) == OTHER_KEYS
    assert wrap_all([], []) == () and unwrap_all([], KEM, []) == ()


def test_wraps_made_singly_open_together() -> None:
    """Given wraps made one by one. When unwrapped together. Then each is its own."""
    sealed = [wrap(key, context) for key, context in zip(OTHER_KEYS, OTHER_CONTEXTS, strict=True)]
    assert list(unwrap_all(sealed, KEM, OTHER_CONTEXTS)) == OTHER_KEYS


def test_wraps_unwrapped_together_are_checked_each() -> None:
    """Given a page with two wraps swapped, one cut, or of another recipient. When unwrapped. Then refused."""
    sealed = list(wrap_all(OTHER_KEYS, OTHER_CONTEXTS))
    elsewhere = [*OTHER_CONTEXTS[:3], replace(OTHER_CONTEXTS[3], recipient=KemKey(b"R" * 32).public_key)]
    for page, contexts in (
        ([sealed[0], sealed[2], sealed[1], sealed[3]], OTHER_CONTEXTS),
        ([*sealed[:3], sealed[3][:-1]], OTHER_CONTEXTS),
        (sealed, elsewhere),
    ):
        with pytest.raises(SealBroken):
            unwrap_all(page, KEM, contexts)


def test_wraps_of_one_page_have_one_recipient_and_a_record_each() -> None:
    """Given two recipients, or one record twice. When wrapped together. Then refused."""
    other = replace(OTHER_CONTEXTS[1], recipient=KemKey(b"R" * 32).public_key)
    for contexts in ([OTHER_CONTEXTS[0], other], [OTHER_CONTEXTS[0]] * 2):
        with pytest.raises(AssertionError):
            wrap_all(OTHER_KEYS[:2], contexts)
