# SPDX-License-Identifier: Apache-2.0
"""Commitments to documents, and the openings that prove them.

A commitment is `SHA-256("vervain/record/v1\\n" || type "\\n" id "\\n" version "\\n" || salt32 || stored bytes)`.
With its opening and the bytes anyone can check it; without the 32-byte salt it says nothing, not even to who guesses
the document.

Source: architecture.md "Record commitment"; FHIR reference, section 7 rule 3.
"""

import secrets
from typing import Annotated, Final

import msgspec

from vervain.ledger.primitives.codec import Bytes32
from vervain.ledger.primitives.hashing import record_commitment
from vervain.sealing.errors import SealBroken

SALT_BYTES: Final = 32

OpeningText = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[ -~]+\Z")]


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What proves a record commitment, together with the stored bytes.

    Attributes:
        type: FHIR resource type.
        id: FHIR logical id.
        version: FHIR version id.
        salt: 32 random bytes; a secret until the opening is shown.
    """

    type: OpeningText
    id: OpeningText
    version: OpeningText
    salt: Bytes32

    def __repr__(self) -> str:
        return "Opening(...)"  # a type and an id say something about a person; the salt is a secret


def commit(stored: bytes, *, resource_type: str, resource_id: str, version: str) -> tuple[bytes, Opening]:
    """Return the 32-byte commitment to a document version under a fresh salt, and its opening."""
    opening = Opening(type=resource_type, id=resource_id, version=version, salt=secrets.token_bytes(SALT_BYTES))
    return commitment_of(stored, opening), opening


def commitment_of(stored: bytes, opening: Opening) -> bytes:
    """Return the 32-byte commitment that an opening and the stored bytes lead to."""
    return record_commitment(
        resource_type=opening.type,
        resource_id=opening.id,
        version=opening.version,
        salt=opening.salt,
        stored=stored,
    )


def require_opens(commitment: bytes, stored: bytes, opening: Opening) -> None:
    """Check that bytes and opening belong to a commitment.

    Raises: SealBroken.
    """
    if commitment_of(stored, opening) != commitment:
        raise SealBroken(
            "The document is not the one that was committed to",
            why="Its bytes, type, id, version or salt lead to another commitment",
            do="Ask its custodian for the stored bytes and the opening again; do not rely on this copy.",
        )
