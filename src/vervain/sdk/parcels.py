# SPDX-License-Identifier: Apache-2.0
"""A record sent from wallet to wallet: document, opening and receipt, sealed to one key. No custodian takes part.

The receiver learns what the ledger says of the record: that this custodian committed to these bytes at that time. It
checks the opening against the entry in the receipt, and the receipt against the receiver's own trust.

Source: architecture.md "Patients" (a patient's wallet sends its records to anyone by itself).
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from vervain.ledger.primitives.codec import NotCanonical, decode, encode
from vervain.ledger.primitives.errors import ProofError
from vervain.sdk.wallet_errors import WalletError
from vervain.sealing import receipts
from vervain.sealing.commitments import Opening
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import KemKey
from vervain.sealing.trust import Trust
from vervain.sealing.wraps import open_sealed, seal_to

PARCEL_BYTES_MAX: Final = 64 * 2**20
_PARCEL: Final = b"vervain/parcel/v1\n"


class Parcel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in a parcel: the stored bytes, the opening of their commitment, the receipt file's bytes."""

    document: bytes
    opening: Opening
    receipt: bytes

    def __repr__(self) -> str:
        return "Parcel(...)"


def seal_parcel(parcel: Parcel, recipient: bytes) -> bytes:
    """Seal a parcel to a 32-byte X25519 key.

    Raises: WalletError when it is too large, SealingError when the key is not one.
    """
    encoded = encode(parcel)
    if len(encoded) > PARCEL_BYTES_MAX:
        raise WalletError(
            "The record is too large to send like this",
            why=f"{PARCEL_BYTES_MAX} bytes are the most",
            do="Grant a read.",
        )
    return seal_to(recipient, encoded, info=_PARCEL + recipient)


def open_parcel(sealed: bytes, kem: KemKey, trust: Trust) -> tuple[Parcel, receipts.VerifiedReceipt]:
    """Open a parcel and verify all of it; return it with what its receipt proves.

    Args:
        sealed: As received.
        kem: The key that it was sealed to.
        trust: The receiver's own.

    Raises: SealBroken, DamagedProof, ProofError.
    """
    opened = open_sealed(kem, sealed, info=_PARCEL + kem.public_key)
    try:
        parcel = decode(opened, Parcel)
    except NotCanonical:
        raise SealBroken("The seal holds no parcel", why="Its form is another", do="Ask for it again.") from None
    verified = receipts.verify_receipt(_with_opening(parcel), trust, parcel.document)
    if not verified.applied:
        raise ProofError("The record's entry was refused by the ledger", do="Do not rely on it; ask the sender.")
    return parcel, verified


def _with_opening(parcel: Parcel) -> bytes:
    receipt = receipts.parse_receipt(parcel.receipt)
    proof = receipt.proof
    if not isinstance(proof, receipts.EntryProof):
        raise ProofError("The receipt is not about a record", do="Ask the sender for the record's own receipt.")
    return receipts.format_receipt(replace(receipt, proof=replace(proof, opening=parcel.opening)))
