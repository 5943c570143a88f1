# SPDX-License-Identifier: Apache-2.0
"""Who a reader is: claimed by the reader's organisation, checked by the wallet, committed to in the grant.

The organisation signs that a fresh reader key is its own, for one grantor on one chain. The grant carries only
`SHA-256("vervain/reader/v1\\n" || salt32 || organisation 32 || reader key 32 || grantor 32 || signature 64)`, so the
ledger enforces the grant without knowing the reader, and two grants to one reader cannot be joined. The wallet keeps
the opening: with it the patient can prove whom the grant was for, and that the organisation had claimed the key.

Source: architecture.md "Patients"; decision 0003.
"""

import secrets
from typing import Final

import msgspec

from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import Bytes32, Bytes64, encode
from vervain.ledger.primitives.hashing import READER, sha256
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import SigningKey

SALT_BYTES: Final = 32
_CLAIM: Final = b"vervain/reader-claim/v1\n"


class ReaderClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation's word that a reader key is its own, for one grantor.

    Attributes:
        organisation: 32-byte id of the reader's organisation.
        reader: 32-byte fresh Ed25519 key.
        reader_kem: 32-byte fresh X25519 key to which wraps are sealed; nobody on the way can put another in its place.
        grantor: 32-byte pseudonym of the patient at the custodian.
        signature: The organisation's, 64 bytes.
    """

    organisation: Bytes32
    reader: Bytes32
    reader_kem: Bytes32
    grantor: Bytes32
    signature: Bytes64


class ReaderOpening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What opens a reader commitment: the claim and a 32-byte salt. Kept in the patient's wallet."""

    claim: ReaderClaim
    salt: Bytes32


def claim_reader(
    key: SigningKey, *, organisation: bytes, reader: bytes, reader_kem: bytes, grantor: bytes, chain: str
) -> ReaderClaim:
    """Sign, as an organisation, that the two reader keys are its own for `grantor`."""
    signature = key.sign(_message(organisation, reader, reader_kem, grantor, chain))
    return ReaderClaim(
        organisation=organisation, reader=reader, reader_kem=reader_kem, grantor=grantor, signature=signature
    )


def verify_claim(claim: ReaderClaim, *, organisation_key: bytes, grantor: bytes, chain: str) -> None:
    """Check, as a wallet, that the organisation claimed the reader key for this grantor.

    Args:
        claim: As received.
        organisation_key: 32-byte key that the ledger has as active for the claimed organisation.
        grantor: 32-byte pseudonym that will grant.
        chain: The chain's name and founding digest.

    Raises: SealBroken.
    """
    message = _message(claim.organisation, claim.reader, claim.reader_kem, grantor, chain)
    if claim.grantor != grantor or not signatures.verify(organisation_key, message, claim.signature):
        raise SealBroken(
            "The reader is not who it says",
            why="The organisation has not signed this reader key for this grantor",
            do="Do not grant; ask the organisation for a new claim.",
        )


def commit_reader(claim: ReaderClaim) -> tuple[bytes, ReaderOpening]:
    """Return the 32-byte reader commitment for a grant under a fresh salt, and its opening."""
    opening = ReaderOpening(claim=claim, salt=secrets.token_bytes(SALT_BYTES))
    return reader_commitment(opening), opening


def reader_commitment(opening: ReaderOpening) -> bytes:
    """Return the 32-byte commitment that an opening leads to."""
    claim = opening.claim
    return sha256(READER + opening.salt + claim.organisation + claim.reader + claim.grantor + claim.signature)


def require_reader(commitment: bytes, opening: ReaderOpening, *, organisation_key: bytes, chain: str) -> ReaderClaim:
    """Return who the reader of a grant is: the opening belongs to the commitment and the organisation had signed.

    Raises: SealBroken.
    """
    if reader_commitment(opening) != commitment:
        raise SealBroken(
            "The opening belongs to another grant",
            why="It leads to another reader commitment",
            do="Use the opening that the wallet kept with this grant.",
        )
    verify_claim(opening.claim, organisation_key=organisation_key, grantor=opening.claim.grantor, chain=chain)
    return opening.claim


def _message(organisation: bytes, reader: bytes, reader_kem: bytes, grantor: bytes, chain: str) -> bytes:
    return _CLAIM + encode(
        {
            "chain": chain,
            "grantor": grantor,
            "organisation": organisation,
            "reader": reader,
            "reader_kem": reader_kem,
        }
    )
