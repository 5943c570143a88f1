# SPDX-License-Identifier: Apache-2.0
"""The signed envelope: what is taken, what is refused, and every digest by hand."""

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
import rfc8785

from tests.toy_ledger import TOY, WriteNote, signed
from vervain.ledger.machine.limits import MESSAGE_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason, Malformed, Refusal, Unauthenticated
from vervain.ledger.machine.transaction import (
    Transaction,
    entries_root,
    entry_leaf,
    entry_path,
    entry_salt,
)
from vervain.ledger.primitives.merkle_log import verify_inclusion

CHAIN = "toy-" + "0" * 32
BLIND = bytes(range(32))
Value = Any  # Any: what JSON may hold


def taken(encoded: bytes) -> Transaction:
    """Decode as the machine does."""
    return Transaction(encoded, TOY.message_decoder)


def changed(encoded: bytes, change: Callable[[Value], None]) -> bytes:
    """Return the transaction with something changed, canonical again."""
    value = json.loads(encoded)
    change(value)
    return rfc8785.dumps(value)


def test_ids_root_and_signature_are_the_agreed_ones() -> None:
    """
    Given a transaction of two notes.
    When its digests are computed by hand from the formats page.
    Then txid, salted leaves, root and the signed bytes are these.
    """
    encoded = signed("one", "two", chain=CHAIN, blind=BLIND, nonce=bytes(16))
    transaction = taken(encoded)
    value = json.loads(encoded)
    header = rfc8785.dumps(value["header"])
    assert transaction.header_bytes == header
    assert transaction.txid == sha256(b"vervain/txid/v1\n" + header).digest()
    entries = (b'{"text":"one","type":"note.write"}', b'{"text":"two","type":"note.write"}')
    assert transaction.entries == entries
    assert transaction.messages == (WriteNote(text="one"), WriteNote(text="two"))
    salts = [sha256(b"vervain/salt/v1\n" + BLIND + bytes([0, 0, 0, index])).digest() for index in range(2)]
    leaves = [sha256(b"\x00" + salt + entry).digest() for salt, entry in zip(salts, entries, strict=True)]
    root = sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    assert [entry_salt(BLIND, index) for index in range(2)] == salts
    assert [entry_leaf(salt, entry) for salt, entry in zip(salts, entries, strict=True)] == leaves
    assert entries_root(entries, BLIND) == transaction.header.root == root
    assert entry_path(entries, BLIND, 1) == (leaves[0],)
    assert transaction.work == 8
    assert transaction.has_good_signature()
    transaction.require_signature()


def test_entry_path_proves_an_entry_and_nothing_else() -> None:
    """
    Given a batch of seven.
    When each entry's path is taken.
    Then it leads from that entry's leaf to the header's root.
    """
    transaction = taken(signed(*map(str, range(7)), chain=CHAIN))
    for index, entry in enumerate(transaction.entries):
        verify_inclusion(
            leaf=entry_leaf(entry_salt(transaction.blind, index), entry),
            index=index,
            size=7,
            path=entry_path(transaction.entries, transaction.blind, index),
            root=transaction.header.root,
        )


def refused(encoded: bytes) -> tuple[MachineReason, type[Refusal]]:
    """Return why the bytes are refused."""
    with pytest.raises(Refusal) as caught:
        taken(encoded)
    reason = caught.value.reason
    assert isinstance(reason, MachineReason)
    return reason, type(caught.value)


GOOD = signed("one", "two", chain=CHAIN, blind=BLIND)


def set_header(name: str, what: Value) -> Callable[[Value], None]:
    """Return a change of one header field."""
    return lambda value: value["header"].__setitem__(name, what)


NOT_CANONICAL = {
    "not_json": b"x",
    "nothing": b"",
    "space": GOOD.replace(b":", b": ", 1),
    "space_in_an_entry": GOOD.replace(b'{"text":"one"', b'{"text": "one"'),
    "entry_with_unknown_field": GOOD.replace(b'"text":"one"', b'"a":1,"text":"one"'),
    "entry_of_unknown_type": GOOD.replace(b"note.write", b"note.wrote"),
    "entry_that_is_no_object": changed(GOOD, lambda value: value.update(entries=[1])),
    "equal_keys_in_an_entry": GOOD.replace(b'"text":"one"', b'"text":"one","text":"one"'),
    "unknown_envelope_field": changed(GOOD, lambda value: value.update(memo="x")),
    "version_2": changed(GOOD, set_header("version", 2)),
    "short_nonce": changed(GOOD, set_header("nonce", "AAAA")),
    "no_count": changed(GOOD, lambda value: value["header"].pop("count")),
    "count_of_zero": changed(GOOD, set_header("count", 0)),
    "negative_expiry": changed(GOOD, set_header("expires_at", -1)),
    "short_signature": changed(GOOD, lambda value: value.update(signature="AAAA")),
    "nested_too_deeply": GOOD.replace(b'"one"', b"[" * 20 + b"]" * 20),
}


@pytest.mark.parametrize("encoded", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_refused_when_not_canonical(encoded: bytes) -> None:
    """
    Given bytes that are not the one encoding of a transaction of known messages.
    When they are decoded.
    Then NOT_CANONICAL.
    """
    assert refused(encoded) == (MachineReason.NOT_CANONICAL, Malformed)


WRONG_ROOT = {
    "entry_altered": GOOD.replace(b'"one"', b'"won"'),
    "entries_swapped": changed(GOOD, lambda value: value["entries"].reverse()),
    "entry_left_out": changed(GOOD, lambda value: value["entries"].pop()),
    "entry_added": changed(GOOD, lambda value: value["entries"].append(value["entries"][0])),
    "count_altered": changed(GOOD, set_header("count", 3)),
    "root_altered": changed(GOOD, set_header("root", b64encode(bytes(32)).decode("ascii"))),
    "blind_altered": changed(GOOD, lambda value: value.update(blind=b64encode(bytes(32)).decode("ascii"))),
}


@pytest.mark.parametrize("encoded", WRONG_ROOT.values(), ids=WRONG_ROOT.keys())
def test_refused_when_root_or_count_is_wrong(encoded: bytes) -> None:
    """
    Given a transaction whose entries, count, root or blind were altered.
    When it is decoded.
    Then WRONG_ROOT: the header does not speak of these entries.
    """
    assert refused(encoded) == (MachineReason.WRONG_ROOT, Malformed)


def test_refused_when_too_large() -> None:
    """
    Given more bytes, more entries, a larger entry or no entry at all.
    When they are decoded.
    Then TOO_LARGE.
    """
    too_large = (
        b"x" * (TRANSACTION_BYTES_MAX + 1),
        signed(*["n"] * (TRANSACTION_ENTRIES_MAX + 1), chain=CHAIN),
        signed("x" * MESSAGE_BYTES_MAX, chain=CHAIN),
        changed(GOOD, lambda value: value.update(entries=[])),
    )
    assert [refused(encoded) for encoded in too_large] == [(MachineReason.TOO_LARGE, LimitExceeded)] * 4


def test_as_many_entries_as_may_be_are_taken() -> None:
    """
    Given a batch of 1,000.
    When it is decoded.
    Then it is taken, with the work of all.
    """
    transaction = taken(signed(*["n"] * TRANSACTION_ENTRIES_MAX, chain=CHAIN))
    assert (len(transaction.messages), transaction.work) == (1_000, 4_000)


@pytest.mark.parametrize("name", ["chain", "nonce", "expires_at", "actor", "key"])
def test_signature_refused_when_header_was_altered(name: str) -> None:
    """
    Given a signed transaction.
    When any field of its header is another.
    Then BAD_SIGNATURE.
    """
    other: dict[str, Value] = {"chain": "toy-1", "nonce": b64encode(b"n" * 16).decode("ascii"), "expires_at": 1}
    other |= dict.fromkeys(("actor", "key"), b64encode(b"\x07" * 32).decode("ascii"))
    transaction = taken(changed(GOOD, set_header(name, other[name])))
    assert not transaction.has_good_signature()
    with pytest.raises(Unauthenticated) as caught:
        transaction.require_signature()
    assert caught.value.reason is MachineReason.BAD_SIGNATURE


def test_refusal_of_form_holds_no_value() -> None:
    """
    Given an entry with a person's name where a number belongs.
    When it is refused.
    Then the words do not hold the name.
    """
    encoded = GOOD.replace(b'"text":"one"', b'"text":["Quillfeather"]')
    with pytest.raises(Malformed) as caught:
        taken(encoded)
    assert caught.value.why and "Quillfeather" not in str(caught.value) + caught.value.why
