# SPDX-License-Identifier: Apache-2.0
"""Messages into a signed transaction: one message or a batch, applied whole or not at all.

What the ledger would refuse for its form is refused here before anything is signed: msgspec checks limits on decoding
only, so each entry is decoded again as the ledger will decode it.

Source: architecture.md "The agreed formats"; ledger/machine/transaction.py.
"""

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from vervain.ledger.machine.limits import MESSAGE_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason
from vervain.ledger.machine.transaction import Envelope, Header, TransactionId, entries_root
from vervain.ledger.primitives.codec import Decoder, encode
from vervain.ledger.primitives.hashing import TX, TXID, sha256
from vervain.sealing.keys import SigningKey

BLIND_BYTES: Final = 32
NONCE_BYTES: Final = 16
_MESSAGE_TYPES_MAX: Final = 512  # decoders kept; the whole catalogue has fewer


class SignedTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction ready to submit.

    Attributes:
        encoded: The wire bytes.
        txid: 32-byte id; a repeat of the same bytes has the same id and the same outcome.
    """

    encoded: bytes
    txid: TransactionId


def build_transaction(
    messages: Sequence[Message],
    *,
    chain: str,
    actor: bytes,
    key: SigningKey,
    expires_at: int,
    nonce: bytes | None = None,
    blind: bytes | None = None,
) -> SignedTransaction:
    """Sign one transaction that carries `messages` in order.

    Args:
        messages: 1 to 1,000.
        chain: The chain's name and founding digest.
        actor: 32-byte id of who acts.
        key: A key that is active for the actor.
        expires_at: UTC seconds, at most 900 s after the block that will carry it.
        nonce: 16 bytes; fresh when left out.
        blind: 32 bytes from which the entries' salts come; fresh when left out. Never use one twice.

    Refuses: LimitExceeded(TOO_LARGE). Raises: NotCanonical when a message has a value outside its limits.
    """
    entries = tuple(map(_checked_entry, messages))
    if not 0 < len(entries) <= TRANSACTION_ENTRIES_MAX or max(map(len, entries)) > MESSAGE_BYTES_MAX:
        raise LimitExceeded(MachineReason.TOO_LARGE)
    blind = secrets.token_bytes(BLIND_BYTES) if blind is None else blind
    header = Header(
        version=1,
        chain=chain,
        actor=actor,
        key=key.public_key,
        nonce=secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce,
        expires_at=expires_at,
        root=entries_root(entries, blind),
        count=len(entries),
    )
    header_bytes = encode(header)
    _decoder(Header).decode(header_bytes)
    assert len(blind) == BLIND_BYTES
    envelope = Envelope(
        header=header,
        signature=key.sign(TX + header_bytes),
        blind=blind,
        entries=tuple(map(msgspec.Raw, entries)),
    )
    encoded = encode(envelope)
    if len(encoded) > TRANSACTION_BYTES_MAX:
        raise LimitExceeded(MachineReason.TOO_LARGE)
    return SignedTransaction(encoded=encoded, txid=TransactionId(sha256(TXID + header_bytes)))


def _checked_entry(message: Message) -> bytes:
    entry = encode(message)
    _decoder(type(message)).decode(entry)
    return entry


@lru_cache(maxsize=_MESSAGE_TYPES_MAX)
def _decoder(message_type: type[msgspec.Struct]) -> Decoder:
    return Decoder(message_type)
