# SPDX-License-Identifier: Apache-2.0
"""The notice of a read: sealed to the patient, its digest in the read request.

A reader tells the patient who read what and why, before it reads: the request that enters the ledger names the digest
of the sealed notice, so a notice that was never delivered is evidence too. Notices are padded to one size, so that
their length tells nothing.

Source: architecture.md "Patients" (the notice of who read is sealed to the patient).
"""

from typing import Annotated, Final

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Code, NotCanonical, UtcSeconds, decode, encode
from vervain.ledger.primitives.hashing import sha256
from vervain.sealing.errors import SealBroken, SealingError
from vervain.sealing.keys import KemKey
from vervain.sealing.read_requests import RECORDS_MAX
from vervain.sealing.readers import ReaderOpening
from vervain.sealing.wraps import SEAL_BYTES, open_sealed, seal_to

NOTICE: Final = b"vervain/notice/v1\n"
NOTICE_BYTES: Final = 4096  # every notice once padded; a full record set of large numbers takes the next multiple
NOTICE_BYTES_MAX: Final = 8 * NOTICE_BYTES
SEALED_NOTICE_BYTES_MAX: Final = NOTICE_BYTES_MAX + SEAL_BYTES

SealedNotice = Annotated[bytes, msgspec.Meta(min_length=1, max_length=SEALED_NOTICE_BYTES_MAX)]


class Notice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the patient is told.

    Attributes:
        organisation: 32-byte id of the reader's organisation.
        reader: 32-byte reader key.
        custodian: 32-byte id of who is asked for the records.
        records: Record numbers asked for.
        purpose: Purpose of use.
        requested_at: UTC seconds by the reader's clock.
        words: What the reader wants to add, in any script, at most 500 characters.
        opening: Who the reader is, provably, when the patient may not hold it already.
    """

    organisation: Bytes32
    reader: Bytes32
    custodian: Bytes32
    records: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=RECORDS_MAX)]
    purpose: Code
    requested_at: UtcSeconds
    words: Annotated[str, msgspec.Meta(max_length=500)] = ""
    opening: ReaderOpening | msgspec.UnsetType = msgspec.UNSET


def seal_notice(notice: Notice, *, recipient: bytes, chain: str, grant: bytes) -> bytes:
    """Seal a notice to the patient's 32-byte X25519 key of the relationship.

    Raises: SealingError when it is longer than a notice may be.
    """
    encoded = encode(notice)
    padded = -(-(len(encoded) + 1) // NOTICE_BYTES) * NOTICE_BYTES
    if padded > NOTICE_BYTES_MAX:
        raise SealingError("The notice is too long", why=f"{NOTICE_BYTES_MAX} bytes are the most", do="Shorten it.")
    return seal_to(recipient, encoded.ljust(padded, b"\n"), info=_info(recipient, chain, grant))


def open_notice(sealed: bytes, *, kem: KemKey, chain: str, grant: bytes) -> Notice:
    """Open a notice with the key of the relationship.

    Raises: SealBroken.
    """
    opened = open_sealed(kem, sealed, info=_info(kem.public_key, chain, grant))
    try:
        return decode(opened.rstrip(b"\n"), Notice)
    except NotCanonical:
        raise SealBroken(
            "The seal holds no notice", why="It opens, but its form is not a notice's", do="Keep it as evidence."
        ) from None


def notice_digest(sealed: bytes) -> bytes:
    """Return the 32-byte digest of a sealed notice that its read request names."""
    return sha256(NOTICE + sealed)


def _info(recipient: bytes, chain: str, grant: bytes) -> bytes:
    return NOTICE + encode({"chain": chain, "grant": grant, "recipient": recipient})
