# SPDX-License-Identifier: Apache-2.0
"""What is remembered of an erasure, and what is shown of it.

The erasures list is append-only and belongs beside the vault, not inside its backups: whoever restores an older copy of
packs, index and slots hands it the list of today, and every erasure since is carried out again before anything is
served.
The certificate is the custodian's signed word for others; its digest stands in `records.erase` on the ledger.

Source: architecture.md "Patients" (erasure); GDPR Art. 17 and 19 (who had been given copies).
"""

from typing import Annotated, Final, Literal

import msgspec

from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import Bytes32, Bytes64, Code, Natural, Positive, UtcSeconds, encode
from vervain.ledger.primitives.hashing import sha256
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import SigningKey
from vervain.vault.key_holder import ErasureKind

DOCUMENTS_PER_ERASURE_MAX: Final = 10_000  # named one by one; a whole relationship may hold more
COMMITMENTS_PER_CERTIFICATE_MAX: Final = 10_000
COPIES_PER_CERTIFICATE_MAX: Final = 10_000
ERASURE: Final = b"vervain/erasure/v1\n"


class Erasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the erasures list, written before anything is destroyed.

    Attributes:
        slot: Whose documents.
        documents: Which of them, in order; none means the whole slot.
        erased_at: The custodian's clock, UTC seconds.
    """

    slot: Positive
    documents: Annotated[tuple[Positive, ...], msgspec.Meta(max_length=DOCUMENTS_PER_ERASURE_MAX)] = ()
    erased_at: UtcSeconds


class Copy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """One release of a document's key before the erasure: what was given to whom, and when.

    Attributes:
        commitment: 32-byte commitment of the document version.
        recipient: 32-byte key that the wrap was sealed to.
        scope: 32-byte grant, or the patient's own pseudonym.
        released_at: UTC seconds.
    """

    commitment: Bytes32
    recipient: Bytes32
    scope: Bytes32
    released_at: UtcSeconds


class ErasureCertificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a custodian says it destroyed.

    Attributes:
        version: 1.
        chain: The chain's name and founding digest.
        custodian: 32-byte id.
        commitments: Of the document versions, sorted; they stay on the ledger and hide.
        copies: Who had been given keys to them, sorted, the first `COPIES_PER_CERTIFICATE_MAX`; `copies_count` tells
            all.
        copies_count: How many there are.
        kind: What the destruction is worth: logical (files overwritten) or hardware (destroyed in a device or service).
        erased_at: UTC seconds.
        complete_at: When the last backup of the slots made before it has lapsed, UTC seconds.
        part, parts: Which certificate of how many, for a large relationship.
    """

    version: Literal[1]
    chain: Code
    custodian: Bytes32
    commitments: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=COMMITMENTS_PER_CERTIFICATE_MAX)]
    copies: Annotated[tuple[Copy, ...], msgspec.Meta(max_length=COPIES_PER_CERTIFICATE_MAX)] = ()
    copies_count: Natural = 0
    kind: ErasureKind
    erased_at: UtcSeconds
    complete_at: UtcSeconds
    part: Positive = 1
    parts: Positive = 1

    def signed_bytes(self) -> bytes:
        """Return "vervain/erasure/v1\\n" || JCS of this certificate."""
        return ERASURE + encode(self)


class SignedErasureCertificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate with the custodian's key and signature."""

    certificate: ErasureCertificate
    key: Bytes32
    signature: Bytes64

    def digest(self) -> bytes:
        """Return the 32-byte digest that `records.erase` names: of what was signed."""
        return sha256(self.certificate.signed_bytes())


def sign_certificate(certificate: ErasureCertificate, key: SigningKey) -> SignedErasureCertificate:
    """Sign a certificate as the custodian."""
    return SignedErasureCertificate(
        certificate=certificate, key=key.public_key, signature=key.sign(certificate.signed_bytes())
    )


def verify_certificate(signed: SignedErasureCertificate, *, custodian_key: bytes) -> ErasureCertificate:
    """Return the certificate when the custodian signed it.

    Args:
        signed: As received.
        custodian_key: 32-byte key that the ledger has for the custodian; never taken from the certificate.

    Raises: SealBroken.
    """
    message = signed.certificate.signed_bytes()
    if signed.key != custodian_key or not signatures.verify(custodian_key, message, signed.signature):
        raise SealBroken(
            "The erasure certificate does not hold",
            why="The custodian's key did not sign it as it stands",
            do="Ask the custodian for the certificate again; compare its digest with the ledger's.",
        )
    return signed.certificate
