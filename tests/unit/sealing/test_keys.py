# SPDX-License-Identifier: Apache-2.0
"""Private keys and the files that hold them."""

import os
from pathlib import Path

import pytest

from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.hashing import actor_id
from vervain.sealing.errors import KeyFileRefused
from vervain.sealing.keys import (
    KemKey,
    SigningKey,
    read_kem_key,
    read_private_file,
    read_signing_key,
    write_key_file,
    write_private_file,
)

SEED = bytes(range(32))


def test_signature_of_rfc_8032_test_2() -> None:
    """Given the seed of RFC 8032 section 7.1 TEST 2. When 0x72 is signed. Then key and signature are the published."""
    key = SigningKey(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert key.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == expected
    assert signatures.verify(key.public_key, b"\x72", key.sign(b"\x72"))


def test_kem_public_key_of_rfc_9180() -> None:
    """Given skEm of RFC 9180 A.1.1. When it is loaded. Then its public half is the published pkEm."""
    key = KemKey(bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"))
    assert key.public_key.hex() == "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"


def test_no_key_is_printed() -> None:
    """Given keys. When they are shown. Then the private half is not in the words."""
    signing, kem = SigningKey(SEED), KemKey(SEED)
    assert repr(signing) == f"SigningKey(public_key={signing.public_key.hex()})"
    assert repr(kem) == f"KemKey(public_key={kem.public_key.hex()})"
    assert signing.actor == actor_id(signing.public_key)


def test_key_files_hold_what_was_written(tmp_path: Path) -> None:
    """Given a signing and a KEM key. When written and read. Then they are the same, and the files have mode 0600."""
    signing, kem = SigningKey.generate(), KemKey.generate()
    write_key_file(tmp_path / "a.key", signing)
    write_key_file(tmp_path / "b.key", kem)
    assert read_signing_key(tmp_path / "a.key").seed == signing.seed
    assert read_kem_key(tmp_path / "b.key").public_key == kem.public_key
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o600, 0o600]


def test_key_file_never_replaces_another(tmp_path: Path) -> None:
    """Given a key file. When another key is written to its name. Then it is refused and the first key stays."""
    first = SigningKey.generate()
    write_key_file(tmp_path / "a.key", first)
    with pytest.raises(KeyFileRefused, match="already there"):
        write_key_file(tmp_path / "a.key", SigningKey.generate())
    assert read_signing_key(tmp_path / "a.key").seed == first.seed
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_key_file_refused_when_others_can_read_it(tmp_path: Path, mode: int) -> None:
    """Given a key file whose mode lets others in. When it is read. Then it is refused."""
    write_key_file(tmp_path / "a.key", SigningKey.generate())
    os.chmod(tmp_path / "a.key", mode)
    with pytest.raises(KeyFileRefused, match="read by others"):
        read_signing_key(tmp_path / "a.key")


def test_key_file_refused_through_a_link(tmp_path: Path) -> None:
    """Given a link to a key file. When it is read through the link. Then it is refused."""
    write_key_file(tmp_path / "a.key", SigningKey.generate())
    (tmp_path / "b.key").symlink_to(tmp_path / "a.key")
    with pytest.raises(KeyFileRefused):
        read_signing_key(tmp_path / "b.key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"vervain-key/v1 ed25519\n",
        b"vervain-key/v1 ed25519 AAAA\n",
        b"vervain-key/v1 x25519 " + b"A" * 43 + b"=\n",
    ],
)
def test_key_file_refused_when_it_holds_no_such_key(tmp_path: Path, content: bytes) -> None:
    """Given a file that is no Ed25519 key file. When it is read as one. Then it is refused without its content."""
    write_private_file(tmp_path / "a.key", content)
    with pytest.raises(KeyFileRefused, match="does not hold a key of kind ed25519") as refused:
        read_signing_key(tmp_path / "a.key")
    assert "AAAA" not in str(refused.value)


def test_private_file_refused_when_too_long(tmp_path: Path) -> None:
    """Given a private file of 11 bytes. When at most 10 are taken. Then it is refused."""
    write_private_file(tmp_path / "a", b"x" * 11)
    with pytest.raises(KeyFileRefused, match="too long"):
        read_private_file(tmp_path / "a", 10)
    assert read_private_file(tmp_path / "a", 11) == b"x" * 11
