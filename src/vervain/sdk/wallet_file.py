# SPDX-License-Identifier: Apache-2.0
"""What a wallet holds, and the file that keeps it: sealed under a passphrase, or in clear for a demonstration.

```
sealed   JCS {"kdf": {lanes, memory_kib, passes, salt}, "nonce", "sealed": AES-256-GCM(content), "version": 1}
clear    JCS {"content", "version": 1}
```
The key is Argon2id(passphrase, salt): another cost or salt gives another key, so neither can be altered unseen. Either
file has mode 0600 and replaces the former in one step.

Source: RFC 9106 section 4 (second recommended option, 64 MiB and three passes).
"""

import secrets
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vervain.ledger.primitives.codec import Bytes16, Bytes32, Code, Natural, NotCanonical, UtcSeconds, decode, encode
from vervain.sdk.wallet_errors import WalletError
from vervain.sealing.commitments import Opening
from vervain.sealing.keys import read_private_file, write_private_file
from vervain.sealing.readers import ReaderOpening

WALLET_BYTES_MAX: Final = 256 * 2**20
RELATIONSHIPS_MAX: Final = 1_000
MASTERS_MAX: Final = 100  # one more after each theft
RECORDS_MAX: Final = 1_000_000
GRANTS_MAX: Final = 100_000
RECEIVED_MAX: Final = 10_000
CATEGORIES_MAX: Final = 32
PASSPHRASE_LENGTH_MIN: Final = 8
MEMORY_KIB_MAX: Final = 2**20  # one gigabyte: an altered file must not stall the machine
PASSES_MAX: Final = 16

Bytes12 = Annotated[bytes, msgspec.Meta(min_length=12, max_length=12)]
Wrapped = Annotated[bytes, msgspec.Meta(min_length=112, max_length=112)]


class Relationship(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The patient at one organisation.

    Attributes:
        counterparty: 32-byte id of the organisation.
        actor: 32-byte pseudonym there; stable over rotations, and another's key first when it was adopted.
        master: Which master secret its keys come from.
        epoch: Which epoch; one more after each rotation.
        category_master: Which master secret its category secret comes from: the first one, for good, so that denials
            and grants of before and after a rotation name categories alike and the custodian has nothing to learn anew.
    """

    counterparty: Bytes32
    actor: Bytes32
    master: Natural
    epoch: Natural
    category_master: Natural


class OwnRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record of the patient's own, with its key wrapped for this wallet.

    Attributes:
        record: Its number on the ledger.
        counterparty: The custodian.
        commitment: 32 bytes.
        wrap: 112 bytes, made for master and epoch.
        type, id, version: FHIR's.
    """

    record: Natural
    counterparty: Bytes32
    commitment: Bytes32
    wrap: Wrapped
    master: Natural
    epoch: Natural
    type: Code
    id: Code
    version: Code

    def __repr__(self) -> str:
        return f"OwnRecord(record={self.record})"


class GivenGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A grant as the patient knows it: on the ledger stand only commitments, here is what they open to.

    Attributes:
        consent: 32-byte id on the ledger.
        counterparty: The custodian it is about.
        opening: Who the reader is.
        categories: Codes; none means all.
        valid_from, valid_until: UTC seconds.
        ended: Withdrawn or replaced.
    """

    consent: Bytes32
    counterparty: Bytes32
    opening: ReaderOpening
    categories: Annotated[tuple[Code, ...], msgspec.Meta(max_length=CATEGORIES_MAX)] = ()
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    ended: bool = False


class ReceivedRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that somebody sent: stored bytes, opening, and the receipt that was verified.

    Attributes:
        document: The stored bytes.
        opening: Of the commitment in the receipt's entry.
        receipt: The receipt file's bytes.
        received_at: UTC seconds.
    """

    document: bytes
    opening: Opening
    receipt: bytes
    received_at: UtcSeconds

    def __repr__(self) -> str:
        return "ReceivedRecord(...)"


class WalletContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a wallet holds. The newest master secret is the last."""

    masters: Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MASTERS_MAX)]
    relationships: Annotated[tuple[Relationship, ...], msgspec.Meta(max_length=RELATIONSHIPS_MAX)]
    records: Annotated[tuple[OwnRecord, ...], msgspec.Meta(max_length=RECORDS_MAX)]
    grants: Annotated[tuple[GivenGrant, ...], msgspec.Meta(max_length=GRANTS_MAX)]
    received: Annotated[tuple[ReceivedRecord, ...], msgspec.Meta(max_length=RECEIVED_MAX)]

    def __repr__(self) -> str:
        return "WalletContent(...)"


class KeyDerivation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Argon2id's cost and salt."""

    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    memory_kib: Annotated[int, msgspec.Meta(ge=19 * 1024, le=MEMORY_KIB_MAX)] = 64 * 1024
    passes: Annotated[int, msgspec.Meta(ge=2, le=PASSES_MAX)] = 3
    salt: Bytes16


class _SealedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kdf: KeyDerivation
    nonce: Bytes12
    sealed: bytes
    version: Literal[1]


class _ClearFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: WalletContent
    version: Literal[1]


def write_wallet(path: Path, content: WalletContent, *, passphrase: str | None) -> None:
    """Keep a wallet, replacing the former in one step; in clear when there is no passphrase.

    Raises: WalletError when the passphrase is too short or the wallet too large, KeyFileRefused.
    """
    if passphrase is None:
        encoded = encode(_ClearFile(content=content, version=1))
    else:
        if len(passphrase) < PASSPHRASE_LENGTH_MIN:
            raise WalletError(
                "The passphrase is too short",
                why=f"It needs at least {PASSPHRASE_LENGTH_MIN} characters",
                do="Choose several words that nobody would guess together.",
            )
        kdf, nonce = KeyDerivation(salt=secrets.token_bytes(16)), secrets.token_bytes(12)
        sealed = AESGCM(_key(passphrase, kdf)).encrypt(nonce, encode(content), None)
        encoded = encode(_SealedFile(kdf=kdf, nonce=nonce, sealed=sealed, version=1))
    if len(encoded) > WALLET_BYTES_MAX:
        raise WalletError(
            "The wallet is too large to keep",
            why=f"{WALLET_BYTES_MAX} bytes are the most",
            do="Remove received records.",
        )
    write_private_file(path, encoded, replace=True)


def read_wallet(path: Path, *, passphrase: str | None) -> WalletContent:
    """Return what a wallet file holds.

    Raises: WalletError for another passphrase or form, KeyFileRefused when others can read the file.
    """
    encoded = read_private_file(path, WALLET_BYTES_MAX)
    try:
        if passphrase is None:
            return decode(encoded, _ClearFile).content
        file = decode(encoded, _SealedFile)
        opened = AESGCM(_key(passphrase, file.kdf)).decrypt(file.nonce, file.sealed, None)
        return decode(opened, WalletContent)
    except InvalidTag:
        raise WalletError(
            "The wallet does not open", why="The passphrase is another one, or the file was altered", do="Try again."
        ) from None
    except NotCanonical:
        raise WalletError(
            "The wallet file does not have the expected form",
            why="It is sealed though no passphrase was given, the other way round, or altered",
            do="Check the passphrase and the path.",
        ) from None


def _key(passphrase: str, kdf: KeyDerivation) -> bytes:
    derivation = Argon2id(salt=kdf.salt, length=32, iterations=kdf.passes, lanes=kdf.lanes, memory_cost=kdf.memory_kib)
    return derivation.derive(passphrase.encode())
