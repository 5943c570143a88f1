# SPDX-License-Identifier: Apache-2.0
"""The wallet's file: sealed under a passphrase, in clear only when asked, and never readable by others."""

import json
import os
from pathlib import Path

import pytest

from vervain.sdk.wallet import Wallet
from vervain.sdk.wallet_errors import WalletError
from vervain.sealing.errors import KeyFileRefused

CHAIN = "test-" + "0" * 32
WORDS = "correct horse, größere Batterie"


def wallet() -> Wallet:
    """Return a wallet with a relationship."""
    made = Wallet.create(CHAIN)
    made.join(b"h" * 32)
    return made


def test_sealed_wallet_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    """Given a wallet kept under a passphrase. When opened with it, another, or none. Then only the first opens."""
    made, path = wallet(), tmp_path / "wallet"
    made.save(path, passphrase=WORDS)
    again = Wallet.load(path, chain=CHAIN, passphrase=WORDS)
    assert again.keys(b"h" * 32).signing.public_key == made.keys(b"h" * 32).signing.public_key
    for passphrase in (WORDS + " ", None):
        with pytest.raises(WalletError):
            Wallet.load(path, chain=CHAIN, passphrase=passphrase)
    assert made._content.masters[0] not in path.read_bytes() and path.stat().st_mode & 0o777 == 0o600


def test_clear_wallet_opens_without_a_passphrase(tmp_path: Path) -> None:
    """Given a wallet kept in clear for a demonstration. When opened without, or with, a passphrase.

    Then only without.
    """
    made, path = wallet(), tmp_path / "wallet"
    made.save(path)
    assert Wallet.load(path, chain=CHAIN).relationships == made.relationships
    with pytest.raises(WalletError):
        Wallet.load(path, chain=CHAIN, passphrase=WORDS)


def test_altered_wallet_is_refused(tmp_path: Path) -> None:
    """Given a sealed wallet. When content, nonce, salt or cost is altered. Then refused."""
    path = tmp_path / "wallet"
    wallet().save(path, passphrase=WORDS)
    whole = json.loads(path.read_bytes())
    for change in (
        {"sealed": "A" + whole["sealed"][1:] if whole["sealed"][0] != "A" else "B" + whole["sealed"][1:]},
        {"nonce": "AAAAAAAAAAAAAAAA"},
        {"kdf": whole["kdf"] | {"salt": "AAAAAAAAAAAAAAAAAAAAAA=="}},
        {"kdf": whole["kdf"] | {"passes": 2}},
        {"kdf": whole["kdf"] | {"memory_kib": 2**30}},
    ):
        path.write_bytes(json.dumps(whole | change, separators=(",", ":"), sort_keys=True).encode())
        with pytest.raises(WalletError):
            Wallet.load(path, chain=CHAIN, passphrase=WORDS)


def test_wallet_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Given a wallet file of mode 0644. When opened. Then refused."""
    path = tmp_path / "wallet"
    wallet().save(path)
    os.chmod(path, 0o644)
    with pytest.raises(KeyFileRefused):
        Wallet.load(path, chain=CHAIN)


def test_short_passphrase_is_refused(tmp_path: Path) -> None:
    """Given a passphrase of seven characters. When a wallet is kept under it. Then refused and nothing is written."""
    with pytest.raises(WalletError, match="too short"):
        wallet().save(tmp_path / "wallet", passphrase="1234567")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_the_former_in_one_step(tmp_path: Path) -> None:
    """Given a kept wallet. When changed and kept again. Then the file is the new one and nothing else remains."""
    made, path = wallet(), tmp_path / "wallet"
    made.save(path)
    made.join(b"p" * 32)
    made.save(path)
    assert len(Wallet.load(path, chain=CHAIN).relationships) == 2 and [each.name for each in tmp_path.iterdir()] == [
        "wallet"
    ]
