# SPDX-License-Identifier: Apache-2.0
"""Building transactions: what is signed here is what the ledger decodes."""

import pytest
from msgspec.structs import replace

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.modules.consent.messages import WithdrawConsent
from vervain.ledger.primitives.codec import NotCanonical
from vervain.sealing.keys import SigningKey
from vervain.sealing.signing import build_transaction

CHAIN = "test-" + "0" * 32
KEY = SigningKey(b"k" * 32)
MESSAGE = WithdrawConsent(consent=b"c" * 32)


def test_transaction_is_decoded_by_the_ledger() -> None:
    """Given three messages. When signed and decoded as the ledger does. Then form, root, id and signature hold."""
    messages = [replace(MESSAGE, consent=bytes([number]) * 32) for number in range(3)]
    signed = build_transaction(messages, chain=CHAIN, actor=KEY.actor, key=KEY, expires_at=1_800_000_000)
    transaction = Transaction(signed.encoded, CATALOGUE.message_decoder)
    transaction.require_signature()
    assert (transaction.txid, transaction.messages) == (signed.txid, tuple(messages))
    assert (transaction.header.chain, transaction.header.actor, transaction.header.count) == (CHAIN, KEY.actor, 3)


def test_nonce_and_blind_are_fresh_when_left_out() -> None:
    """Given the same message twice. When signed twice. Then ids, roots and blinds differ."""
    one, two = (
        Transaction(
            build_transaction([MESSAGE], chain=CHAIN, actor=KEY.actor, key=KEY, expires_at=1).encoded,
            CATALOGUE.message_decoder,
        )
        for _ in range(2)
    )
    assert one.blind != two.blind and one.header.root != two.header.root and one.header.nonce != two.header.nonce


def test_the_same_nonce_and_blind_give_the_same_bytes() -> None:
    """Given nonce and blind. When signed twice. Then the bytes are equal: a vector can be made of it."""
    one, two = (
        build_transaction(
            [MESSAGE], chain=CHAIN, actor=KEY.actor, key=KEY, expires_at=1, nonce=b"n" * 16, blind=b"b" * 32
        )
        for _ in range(2)
    )
    assert one == two


def test_batch_refused_when_empty_or_over_a_thousand() -> None:
    """Given no message, or 1,001. When signed. Then refused; 1,000 are taken."""
    for count in (0, 1_001):
        with pytest.raises(LimitExceeded) as refused:
            build_transaction([MESSAGE] * count, chain=CHAIN, actor=KEY.actor, key=KEY, expires_at=1)
        assert refused.value.reason is MachineReason.TOO_LARGE
    full = build_transaction([MESSAGE] * 1_000, chain=CHAIN, actor=KEY.actor, key=KEY, expires_at=1)
    assert len(Transaction(full.encoded, CATALOGUE.message_decoder).messages) == 1_000


def test_message_refused_when_a_value_is_outside_its_limits() -> None:
    """Given a consent id of 31 bytes, which construction lets pass. When signed. Then refused before signing."""
    with pytest.raises(NotCanonical):
        build_transaction([WithdrawConsent(consent=b"c" * 31)], chain=CHAIN, actor=KEY.actor, key=KEY, expires_at=1)


def test_header_refused_when_a_value_is_outside_its_limits() -> None:
    """Given an actor of 31 bytes. When signed. Then refused before signing."""
    with pytest.raises(NotCanonical):
        build_transaction([MESSAGE], chain=CHAIN, actor=b"a" * 31, key=KEY, expires_at=1)
