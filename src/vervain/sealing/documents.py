# SPDX-License-Identifier: Apache-2.0
"""One document version sealed under its own key, bound to its commitment.

```
whole    0x01 | nonce 12 | AES-256-GCM(document)
chunked  0x02 | prefix 7 | AES-256-GCM(chunk 0) | ... each chunk but the last of 1 MiB + 16
         nonce of chunk i = prefix | uint32 i | last flag 0x00 or 0x01          (STREAM)
```
Rules kept:
1. The 32-byte key is drawn here for each document version and seals nothing else; no caller can hand in a key or a
   nonce, so a nonce is never used twice.
2. The commitment is the additional data: a ciphertext opens only as the version it was sealed as.
3. Chunks can be neither swapped, left out nor added, and the end cannot be cut off: counter and last flag stand in the
   nonce.
4. Opening recomputes the commitment from what came out, so the bytes are the committed ones or nothing.

Source: architecture.md "Record commitment"; FHIR reference, section 7 rules 3 to 6; NIST SP 800-38D;
Hoang, Reyhanitabar, Rogaway and Vizar, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015.
"""

import secrets
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.sealing.commitments import SALT_BYTES, Opening, commitment_of, require_opens
from vervain.sealing.errors import SealBroken, SealingError

DEK_BYTES: Final = 32
NONCE_BYTES: Final = 12  # 96 bits
TAG_BYTES: Final = 16
WHOLE_BYTES_MAX: Final = 16 * 2**20  # larger documents are sealed in chunks
CHUNK_BYTES: Final = 2**20
DOCUMENT_BYTES_MAX: Final = 2**30  # one gigabyte; chunks below 2^32 by far

_WHOLE: Final = b"\x01"
_CHUNKED: Final = b"\x02"
_PREFIX_BYTES: Final = 7


class DocumentKey(msgspec.Struct, frozen=True):
    """What opens one document version: its 32-byte key and the 32-byte salt of its commitment. Always kept wrapped."""

    dek: bytes
    salt: bytes

    def __repr__(self) -> str:
        return "DocumentKey(...)"


class SealedDocument(msgspec.Struct, frozen=True):
    """A document version as it is kept.

    Attributes:
        commitment: 32 bytes, for the ledger.
        ciphertext: For the pack.
        key: For the index row under its slot, and for wraps.
    """

    commitment: bytes
    ciphertext: bytes
    key: DocumentKey


def seal_document(stored: bytes, *, resource_type: str, resource_id: str, version: str) -> SealedDocument:
    """Commit to a document version and seal it under a fresh key.

    Args:
        stored: The received bytes, never re-serialised; at most 1 GiB.
        resource_type: FHIR resource type.
        resource_id: FHIR logical id.
        version: FHIR version id.

    Raises: SealingError when the document is too large.
    """
    if len(stored) > DOCUMENT_BYTES_MAX:
        raise SealingError(
            "The document is too large to keep", why=f"{DOCUMENT_BYTES_MAX} bytes are the most", do="Split it."
        )
    chance = secrets.token_bytes(DEK_BYTES + SALT_BYTES + NONCE_BYTES)
    key = DocumentKey(chance[:DEK_BYTES], chance[DEK_BYTES : DEK_BYTES + SALT_BYTES])
    opening = Opening(type=resource_type, id=resource_id, version=version, salt=key.salt)
    commitment = commitment_of(stored, opening)
    cipher, nonce = AESGCM(key.dek), chance[DEK_BYTES + SALT_BYTES :]
    if len(stored) <= WHOLE_BYTES_MAX:
        ciphertext = _WHOLE + nonce + cipher.encrypt(nonce, stored, commitment)
    else:
        ciphertext = _seal_chunks(cipher, nonce[:_PREFIX_BYTES], stored, commitment)
    return SealedDocument(commitment, ciphertext, key)


def ciphertext_bytes(stored_bytes: int) -> int:
    """Return how long the ciphertext of a document of so many bytes is."""
    if stored_bytes <= WHOLE_BYTES_MAX:
        return len(_WHOLE) + NONCE_BYTES + stored_bytes + TAG_BYTES
    chunks = (stored_bytes + CHUNK_BYTES - 1) // CHUNK_BYTES
    return len(_CHUNKED) + _PREFIX_BYTES + stored_bytes + chunks * TAG_BYTES


def open_document(
    ciphertext: bytes, *, commitment: bytes, key: DocumentKey, resource_type: str, resource_id: str, version: str
) -> bytes:
    """Return the stored bytes of a sealed document version, checked against its commitment.

    Raises: SealBroken.
    """
    try:
        stored = _open(ciphertext, AESGCM(key.dek), commitment)
    except (InvalidTag, ValueError):
        raise SealBroken(
            "The document does not open",
            why="Its bytes were altered, or key and commitment belong to another version",
            do="Run `vervain audit`; restore the pack from a backup, or ask another holder for the document.",
        ) from None
    require_opens(commitment, stored, Opening(type=resource_type, id=resource_id, version=version, salt=key.salt))
    return stored


def _open(ciphertext: bytes, cipher: AESGCM, commitment: bytes) -> bytes:
    form, rest = ciphertext[:1], memoryview(ciphertext)[1:]
    if form == _WHOLE:
        return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], commitment)
    if form == _CHUNKED:
        return _open_chunks(cipher, bytes(rest[:_PREFIX_BYTES]), rest[_PREFIX_BYTES:], commitment)
    raise ValueError("unknown form")


def _seal_chunks(cipher: AESGCM, prefix: bytes, stored: bytes, commitment: bytes) -> bytes:
    view, last = memoryview(stored), (len(stored) - 1) // CHUNK_BYTES
    pieces = [_CHUNKED, prefix]
    for index in range(last + 1):
        chunk = view[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        pieces.append(cipher.encrypt(_chunk_nonce(prefix, index, is_last=index == last), chunk, commitment))
    return b"".join(pieces)


def _open_chunks(cipher: AESGCM, prefix: bytes, chunks: memoryview, commitment: bytes) -> bytes:
    sealed_bytes = CHUNK_BYTES + TAG_BYTES
    if not 0 < len(chunks) <= DOCUMENT_BYTES_MAX // CHUNK_BYTES * sealed_bytes:
        raise ValueError("no chunks, or too many")
    last = (len(chunks) - 1) // sealed_bytes
    return b"".join(
        cipher.decrypt(
            _chunk_nonce(prefix, index, is_last=index == last),
            chunks[index * sealed_bytes : (index + 1) * sealed_bytes],
            commitment,
        )
        for index in range(last + 1)
    )


def _chunk_nonce(prefix: bytes, index: int, *, is_last: bool) -> bytes:
    return prefix + index.to_bytes(4, "big") + (b"\x01" if is_last else b"\x00")
