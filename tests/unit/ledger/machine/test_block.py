# SPDX-License-Identifier: Apache-2.0
"""Leaves and digests of a block, each by hand from the formats page."""

from hashlib import sha256

from tests.toy_ledger import NoteWritten
from vervain.ledger.machine.block import (
    BlockLeaf,
    GenesisLeaf,
    TransactionLeaf,
    app_hash,
    change_digest,
    rows_digest,
    validators_digest,
)
from vervain.ledger.machine.module import Validator
from vervain.ledger.machine.outcome import (
    EncodedOutcome,
    Outcome,
    encode_outcome,
    outcome_digest,
)
from vervain.ledger.primitives.codec import decode, encode

ZERO, ONES = "A" * 43 + "=", b"\x01" * 32


def test_leaves_leave_nothing_out() -> None:
    """
    Given the three leaves.
    When they are encoded.
    Then each names its kind and every field: a reader needs no defaults of ours.
    """
    genesis = GenesisLeaf(kind="genesis", chain="toy-1", genesis_digest=bytes(32), time=5)
    expected_genesis = '{"chain":"toy-1","genesis_digest":"%s","kind":"genesis","time":5}'
    transaction = TransactionLeaf(
        kind="transaction", txid=bytes(32), code=0, outcome_digest=bytes(32), height=1, time=5
    )
    expected_transaction = '{"code":0,"height":1,"kind":"transaction","outcome_digest":"%s","time":5,"txid":"%s"}'
    block = BlockLeaf(
        kind="block",
        height=1,
        time=5,
        change_digest=bytes(32),
        proved_root=bytes(32),
        config_root=bytes(32),
        next_validators=bytes(32),
    )
    expected_block = (
        '{"change_digest":"%s","config_root":"%s","height":1,"kind":"block","next_validators":"%s",'
        '"proved_root":"%s","time":5}'
    )
    pairs = ((genesis, expected_genesis), (transaction, expected_transaction), (block, expected_block))
    for leaf, expected in pairs:
        assert encode(leaf) == expected.replace("%s", ZERO).encode("ascii")


def test_app_hash_is_over_size_and_root() -> None:
    """
    Given a log size and root.
    When the app hash is computed by hand.
    Then it is SHA-256("vervain/app/v1\\n" || uint64 size || root).
    """
    assert app_hash(258, ONES) == sha256(b"vervain/app/v1\n" + b"\0\0\0\0\0\0\x01\x02" + ONES).digest()


def test_change_digest_spells_out_lengths_and_deletions() -> None:
    """
    Given a written and a deleted row.
    When their digest is computed by hand.
    Then table, lengths, key, value and deletion stand in it; nothing can be shifted, and no writes have a digest too.
    """
    rows = ((b"\x00\x65key", b"value"), (b"\x00\x66k", None))
    by_hand = b"\x00\x65" + b"\0\0\0\x03" + b"key" + b"\x01" + b"\0\0\0\x05" + b"value"
    by_hand += b"\x00\x66" + b"\0\0\0\x01" + b"k" + b"\x00"
    assert change_digest(rows) == sha256(b"vervain/change/v1\n" + by_hand).digest()
    assert change_digest(()) == sha256(b"vervain/change/v1\n").digest()
    assert rows_digest(b"vervain/config/v1\n", rows) == sha256(b"vervain/config/v1\n" + by_hand).digest()
    shifted = ((b"\x00\x65keyv", b"alue"), (b"\x00\x66k", None))
    assert change_digest(shifted) != change_digest(rows)


def test_validators_digest_is_over_the_list() -> None:
    """
    Given one validator, and none.
    When the digest is computed by hand.
    Then it is over the canonical list.
    """
    validator = Validator(organisation=bytes(32), engine_key=bytes(32), power=3, cosigning_key=bytes(32))
    listed = f'[{{"cosigning_key":"{ZERO}","engine_key":"{ZERO}","organisation":"{ZERO}","power":3}}]'.encode("ascii")
    assert validators_digest((validator,)) == sha256(b"vervain/validators/v1\n" + listed).digest()
    assert validators_digest(()) == sha256(b"vervain/validators/v1\n[]").digest()


def test_outcome_digest_is_salted_from_the_blind() -> None:
    """
    Given an outcome and a blind.
    When its digest is computed by hand.
    Then the salt is a digest of the blind, so that a receipt gives no handle for guessing events.
    """
    salt = sha256(b"vervain/outcome-salt/v1\n" + ONES).digest()
    assert outcome_digest(b"{}", ONES) == sha256(b"vervain/outcome/v1\n" + salt + b"{}").digest()


def test_outcome_leaves_defaults_out() -> None:
    """
    Given an applied outcome with an event, and a refused one.
    When they are encoded, and decoded as stored.
    Then defaults are left out, the code never, and events stay in their bytes.
    """
    applied = encode_outcome(Outcome(code=0, events=(NoteWritten(number=1),)))
    refused = encode_outcome(Outcome(code=301, failed_entry=2))
    assert applied == b'{"code":0,"events":[{"number":1,"type":"note.written"}]}'
    assert refused == b'{"code":301,"failed_entry":2}'
    assert [bytes(event) for event in decode(applied, EncodedOutcome).events] == [b'{"number":1,"type":"note.written"}']
    assert Outcome(code=0).is_applied and not Outcome(code=1).is_applied


def test_stored_outcome_says_whose_events_are_whose() -> None:
    """
    Given three entries that announced two, none and one event, and three that announced one each.
    When the stored outcomes are asked which entry announced what.
    Then 0, 0, 2 and 0, 1, 2.
    """
    event = b'{"number":1,"type":"note.written"}'
    uneven = decode(b'{"code":0,"event_ends":[2,2,3],"events":[%s,%s,%s]}' % (event, event, event), EncodedOutcome)
    even = decode(b'{"code":0,"events":[%s,%s,%s]}' % (event, event, event), EncodedOutcome)
    assert (uneven.entry_of_events(), even.entry_of_events()) == ((0, 0, 2), (0, 1, 2))
