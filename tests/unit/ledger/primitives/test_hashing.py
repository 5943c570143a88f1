# SPDX-License-Identifier: Apache-2.0
"""Domain separation: every tag is its own, and the digests are what the formats page says."""

import hashlib

import pytest

from vervain.ledger.primitives import hashing


def tags() -> dict[str, bytes]:
    """Return every domain tag by name."""
    found = {name: value for name, value in vars(hashing).items() if name.isupper() and isinstance(value, bytes)}
    found.pop("EMPTY_ROOT")
    return found


def test_tags_separate_domains() -> None:
    """
    Given all domain tags.
    When they are compared.
    Then each is `vervain/<words>/v1` and a line feed, and none is another's beginning: no digest is ever of two kinds.
    """
    known = tags()
    assert all(value.startswith(b"vervain/") and value.endswith(b"/v1\n") for value in known.values())
    starts = [
        (one, other)
        for one, value in known.items()
        for other, longer in known.items()
        if one != other and longer.startswith(value)
    ]
    assert starts == []
    assert len(known) >= 24


def test_tree_hashes_are_rfc_9162() -> None:
    """
    Given leaves and nodes.
    When they are hashed by hand.
    Then leaf, node and empty root are as in RFC 9162 section 2.1.1.
    """
    expected_leaf = hashlib.sha256(b"\x00x").digest()
    assert hashing.leaf_hash(b"x") == expected_leaf
    expected_node = hashlib.sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()
    assert hashing.node_hash(b"l" * 32, b"r" * 32) == expected_node
    assert hashlib.sha256(b"").digest() == hashing.EMPTY_ROOT
    assert hashing.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_actor_id_is_the_digest_of_the_first_key() -> None:
    """
    Given a public key.
    When its actor id is computed by hand.
    Then it is SHA-256("vervain/actor/v1\\n" || key).
    """
    assert hashing.actor_id(b"k" * 32) == hashlib.sha256(b"vervain/actor/v1\n" + b"k" * 32).digest()


def test_record_commitment_is_the_agreed_digest() -> None:
    """
    Given a document version and its salt.
    When its commitment is computed by hand.
    Then it is SHA-256("vervain/record/v1\\n" || type, id, version each with a line feed || salt || bytes).
    """
    expected = hashlib.sha256(b"vervain/record/v1\nPatient\n1\n7\n" + b"s" * 32 + b"{}").digest()
    commitment = hashing.record_commitment(
        resource_type="Patient", resource_id="1", version="7", salt=b"s" * 32, stored=b"{}"
    )
    assert commitment == expected


@pytest.mark.parametrize(
    ("resource_id", "salt"), [("1\n7", b"s" * 32), ("1", b"s" * 31)], ids=["line_feed_in_the_id", "short_salt"]
)
def test_record_commitment_never_has_two_meanings(resource_id: str, salt: bytes) -> None:
    """
    Given an id with a line feed, or a short salt.
    When it is to be committed to.
    Then an assertion stops it: parts could be shifted into one another.
    """
    with pytest.raises(AssertionError):
        hashing.record_commitment(resource_type="Patient", resource_id=resource_id, version="7", salt=salt, stored=b"")
