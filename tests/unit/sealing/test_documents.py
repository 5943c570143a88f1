# SPDX-License-Identifier: Apache-2.0
"""Sealed documents: they open as what was committed to, or not at all."""

import hashlib
import inspect

import pytest

from vervain.sealing import documents
from vervain.sealing.commitments import Opening, commit, commitment_of, require_opens
from vervain.sealing.documents import (
    CHUNK_BYTES,
    WHOLE_BYTES_MAX,
    DocumentKey,
    SealedDocument,
    ciphertext_bytes,
    open_document,
    seal_document,
)
from vervain.sealing.errors import SealBroken, SealingError

STORED = b'{"resourceType":"Observation","id":"o1","status":"final"}'
CHUNK_SEALED = CHUNK_BYTES + 16


def seal(stored: bytes = STORED) -> SealedDocument:
    """Seal version 3 of Observation/o1."""
    return seal_document(stored, resource_type="Observation", resource_id="o1", version="3")


def open_it(sealed: SealedDocument, ciphertext: bytes | None = None, **changed: str) -> bytes:
    """Open it as what it is, or with something changed."""
    names = {"resource_type": "Observation", "resource_id": "o1", "version": "3"} | changed
    return open_document(
        sealed.ciphertext if ciphertext is None else ciphertext, commitment=sealed.commitment, key=sealed.key, **names
    )


def test_commitment_is_the_agreed_formula() -> None:
    """Given a document. When committed to. Then it is the tagged hash of names, salt and stored bytes."""
    commitment, opening = commit(STORED, resource_type="Observation", resource_id="o1", version="3")
    expected = hashlib.sha256(b"vervain/record/v1\nObservation\no1\n3\n" + opening.salt + STORED).digest()
    assert commitment == expected == commitment_of(STORED, opening)
    require_opens(commitment, STORED, opening)


@pytest.mark.parametrize(
    "other",
    [{"type": "Patient"}, {"id": "o2"}, {"version": "4"}, {"salt": b"s" * 32}],
    ids=lambda other: next(iter(other)),
)
def test_opening_refused_when_anything_in_it_is_another(other: dict[str, str]) -> None:
    """Given a commitment. When opened with another type, id, version or salt. Then refused."""
    commitment, opening = commit(STORED, resource_type="Observation", resource_id="o1", version="3")
    fields = {name: getattr(opening, name) for name in ("type", "id", "version", "salt")} | other
    with pytest.raises(SealBroken):
        require_opens(commitment, STORED, Opening(**fields))
    with pytest.raises(SealBroken):
        require_opens(commitment, STORED + b" ", opening)


@pytest.mark.parametrize("length", [0, 1, 1_500, WHOLE_BYTES_MAX])
def test_whole_document_opens_as_it_was(length: int) -> None:
    """Given a document up to the size that is sealed whole. When sealed and opened. Then the bytes are the same."""
    stored = b"x" * length
    sealed = seal(stored)
    assert open_it(sealed) == stored
    assert sealed.ciphertext[:1] == b"\x01" and len(sealed.ciphertext) == 1 + 12 + length + 16


@pytest.mark.parametrize("length", [0, 1, 1_500, WHOLE_BYTES_MAX, WHOLE_BYTES_MAX + 1, WHOLE_BYTES_MAX + CHUNK_BYTES])
def test_length_of_the_ciphertext_is_told_before_sealing(length: int) -> None:
    """Given a length. When a document of it is sealed. Then its ciphertext is as long as was told."""
    sealed = seal(bytes(length))
    assert len(sealed.ciphertext) == ciphertext_bytes(length)


def test_every_altered_byte_breaks_the_seal() -> None:
    """Given a sealed document. When any one byte of the ciphertext is altered. Then it does not open."""
    sealed = seal()
    for position in range(len(sealed.ciphertext)):
        altered = bytearray(sealed.ciphertext)
        altered[position] ^= 1
        with pytest.raises(SealBroken):
            open_it(sealed, bytes(altered))


@pytest.mark.parametrize("kept", [0, 1, 12, 13, 28, 40])
def test_a_cut_off_document_breaks_the_seal(kept: int) -> None:
    """Given a sealed document. When its end is missing. Then it does not open."""
    sealed = seal()
    with pytest.raises(SealBroken):
        open_it(sealed, sealed.ciphertext[:kept])


def test_document_does_not_open_as_another_version() -> None:
    """Given version 3. When opened as version 4, or under another document's commitment. Then refused."""
    one, two = seal(), seal()
    with pytest.raises(SealBroken):
        open_it(one, version="4")
    with pytest.raises(SealBroken):
        open_it(SealedDocument(two.commitment, one.ciphertext, one.key))
    with pytest.raises(SealBroken):
        open_it(SealedDocument(one.commitment, one.ciphertext, DocumentKey(two.key.dek, one.key.salt)))
    with pytest.raises(SealBroken):
        open_it(SealedDocument(one.commitment, one.ciphertext, DocumentKey(one.key.dek, two.key.salt)))


def test_nonce_cannot_be_reused() -> None:
    """Given the sealing call. When its parameters are looked at, and one document is sealed 500 times.

    Then no caller can hand in a key, salt or nonce, and no key, salt, nonce or ciphertext comes twice.
    """
    assert set(inspect.signature(seal_document).parameters) == {"stored", "resource_type", "resource_id", "version"}
    sealed = [seal() for _ in range(500)]
    assert len({each.key.dek for each in sealed}) == len({each.key.salt for each in sealed}) == 500
    assert len({each.ciphertext[1:13] for each in sealed}) == len({each.commitment for each in sealed}) == 500


@pytest.fixture(scope="module")
def large() -> tuple[bytes, SealedDocument]:
    """A document of 17 chunks and a bit."""
    stored = bytes(range(256)) * (WHOLE_BYTES_MAX // 256 + 4_096) + b"end"
    return stored, seal(stored)


def test_large_document_is_sealed_in_chunks(large: tuple[bytes, SealedDocument]) -> None:
    """Given a document larger than is sealed whole. When sealed and opened. Then the bytes are the same."""
    stored, sealed = large
    assert sealed.ciphertext[:1] == b"\x02"
    assert open_it(sealed) == stored


def test_chunks_cannot_be_moved_dropped_added_or_cut(large: tuple[bytes, SealedDocument]) -> None:
    """Given a chunked document. When chunks are swapped, dropped, doubled, or the end is cut at a chunk.

    Then refused.
    """
    sealed = large[1]
    head, body = sealed.ciphertext[:8], sealed.ciphertext[8:]
    chunks = [body[begin : begin + CHUNK_SEALED] for begin in range(0, len(body), CHUNK_SEALED)]
    attacks = {
        "swapped": [chunks[1], chunks[0], *chunks[2:]],
        "first dropped": chunks[1:],
        "middle dropped": [*chunks[:5], *chunks[6:]],
        "last cut": chunks[:-1],
        "doubled": [chunks[0], *chunks],
        "none": [],
    }
    for attack, attacked in attacks.items():
        with pytest.raises(SealBroken, match="does not open"):  # by the seal itself, before the commitment is asked
            open_it(sealed, head + b"".join(attacked))
            pytest.fail(attack)


def test_exact_multiple_of_the_chunk_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a document that ends with a whole chunk. When sealed and opened. Then its last chunk is marked as last."""
    monkeypatch.setattr(documents, "WHOLE_BYTES_MAX", 0)
    stored = b"y" * (2 * CHUNK_BYTES)
    sealed = seal(stored)
    assert len(sealed.ciphertext) == 8 + 2 * CHUNK_SEALED and open_it(sealed) == stored


def test_too_large_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a document beyond the largest. When sealed. Then refused."""
    monkeypatch.setattr(documents, "DOCUMENT_BYTES_MAX", 10)
    with pytest.raises(SealingError, match="too large"):
        seal(b"x" * 11)


def test_nothing_secret_is_printed() -> None:
    """Given key and opening. When shown. Then neither salt nor key nor names are in the words."""
    assert repr(seal().key) == "DocumentKey(...)"
    assert repr(Opening(type="Patient", id="p1", version="1", salt=b"s" * 32)) == "Opening(...)"
