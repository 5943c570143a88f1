# SPDX-License-Identifier: Apache-2.0
"""Many messages under one encapsulation: each is a plain HPKE message, and none helps to open another."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, KEMKeyPair

from vervain.sealing import encapsulation
from vervain.sealing.encapsulation import Decapsulation, Encapsulation
from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import KemKey

RECIPIENT, OTHER = KemKey(b"r" * 32), KemKey(b"o" * 32)
LIBRARY = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SECOND = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
MESSAGES = [(b"text" * number, b"info %d" % number * number) for number in (0, 1, 3, 40, 300)]


def test_each_message_opens_by_itself_with_the_library() -> None:
    """Given messages under one encapsulation. When the library opens each alone, in any order. Then all are whole."""
    sender = Encapsulation(RECIPIENT.public_key)
    sealed = [(sender.seal(plaintext, info=info), plaintext, info) for plaintext, info in MESSAGES]
    assert len({each[:32] for each, _, _ in sealed}) == 1
    for each, plaintext, info in reversed(sealed):
        assert LIBRARY.decrypt(each, RECIPIENT.private, info=info) == plaintext


def test_messages_of_the_library_open_here() -> None:
    """Given messages of the library, each under its own encapsulation. When opened in a row. Then all are whole."""
    public = X25519PublicKey.from_public_bytes(RECIPIENT.public_key)
    receiver = Decapsulation(RECIPIENT)
    for plaintext, info in MESSAGES:
        assert receiver.open(LIBRARY.encrypt(plaintext, public, info=info), info=info) == plaintext


def test_messages_are_those_of_a_second_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an ephemeral key. When pyhpke, held to the vectors of RFC 9180, seals with it. Then the bytes are ours."""
    private = X25519PrivateKey.from_private_bytes(b"e" * 32)
    monkeypatch.setattr(encapsulation, "X25519PrivateKey", _Given(private))
    ours = Encapsulation(RECIPIENT.public_key)
    pair = KEMKeyPair(
        KEMKey.from_pyca_cryptography_key(private), KEMKey.from_pyca_cryptography_key(private.public_key())
    )
    public = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(RECIPIENT.public_key))
    for plaintext, info in MESSAGES:
        enc, sender = SECOND.create_sender_context(public, info=info, eks=pair)
        assert ours.seal(plaintext, info=info) == enc + sender.seal(plaintext)


class _Given:
    """Stands where the library draws an ephemeral key."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private

    def generate(self) -> X25519PrivateKey:
        """Return the given key."""
        return self._private


def test_no_two_messages_share_a_key_or_nonce() -> None:
    """Given one encapsulation. When a thousand messages are keyed. Then no key and no nonce comes twice."""
    keyed = [encapsulation._message_key(b"s" * 32, b"info %d" % number) for number in range(1_000)]
    assert len({key for key, _ in keyed}) == len({nonce for _, nonce in keyed}) == 1_000


def test_same_info_is_refused_a_second_time() -> None:
    """Given a message. When another is sealed with its info. Then refused: key and nonce would be used twice."""
    sender = Encapsulation(RECIPIENT.public_key)
    sender.seal(b"one", info=b"info")
    with pytest.raises(AssertionError):
        sender.seal(b"two", info=b"info")


def test_encapsulations_are_fresh() -> None:
    """Given a recipient. When encapsulated to twice. Then nothing is alike."""
    one, two = (Encapsulation(RECIPIENT.public_key).seal(b"text", info=b"info") for _ in range(2))
    assert one[:32] != two[:32] and one[32:] != two[32:]


def test_the_key_of_one_message_opens_no_other() -> None:
    """Given key and nonce of one message. When tried on the next of the same encapsulation. Then it does not open."""
    sender = Encapsulation(RECIPIENT.public_key)
    key, nonce = encapsulation._message_key(sender._secret, b"one")
    assert AESGCM(key).decrypt(nonce, sender.seal(b"text", info=b"one")[32:], None) == b"text"
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(nonce, sender.seal(b"text", info=b"two")[32:], None)


def _altered(sealed: bytes) -> list[bytes]:
    return [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in (0, 31, 32, len(sealed) - 1)]


def test_what_was_altered_cut_or_meant_otherwise_is_refused() -> None:
    """Given a message. When altered, cut, opened with another info or by another key. Then refused."""
    sealed = Encapsulation(RECIPIENT.public_key).seal(b"text", info=b"info")
    receiver = Decapsulation(RECIPIENT)
    assert receiver.open(sealed, info=b"info") == b"text"
    for each in (*_altered(sealed), sealed[:-1], sealed[:40], sealed[:31], b""):
        with pytest.raises(SealBroken):
            receiver.open(each, info=b"info")
    for other, info in ((receiver, b"inf"), (Decapsulation(OTHER), b"info")):
        with pytest.raises(SealBroken):
            other.open(sealed, info=info)
    assert receiver.open(sealed, info=b"info") == b"text"


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"r" * 31], ids=["zero", "order one", "short"])
def test_unusable_key_is_refused(key: bytes) -> None:
    """Given a key of small order or another length. When encapsulated to. Then refused before anything is sealed."""
    with pytest.raises(SealingError):
        Encapsulation(key)


def test_small_order_encapsulation_is_refused() -> None:
    """Given a message whose encapsulation is of small order. When opened, even twice. Then refused."""
    receiver = Decapsulation(RECIPIENT)
    for _ in range(2):
        with pytest.raises(SealBroken):
            receiver.open(bytes(32) + bytes(64 + 16), info=b"info")
