# SPDX-License-Identifier: Apache-2.0
"""Header, entries, signature: one message or a batch, applied whole or not at all.

The header is what is signed; `root` binds the entries through salted leaves, so that a receipt for one entry gives no
handle for guessing its neighbours. A single message is a batch of one.

Source: architecture.md "The agreed formats"; RFC 9162 section 2.1.1; decision 0005.
"""

from hashlib import sha256
from typing import Literal, NewType, Self

import msgspec

from vervain.ledger.machine.limits import MESSAGE_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import LimitExceeded, MachineReason, Malformed, Unauthenticated
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import (
    Bytes16,
    Bytes32,
    Bytes64,
    Code,
    Decoder,
    NotCanonical,
    Positive,
    UtcSeconds,
    encode,
    require_shallow,
)
from vervain.ledger.primitives.hashing import SALT, TX, TXID
from vervain.ledger.primitives.merkle_log import path_of, root_of

TransactionId = NewType("TransactionId", bytes)


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed.

    Attributes:
        version: 1.
        chain: The chain's name and founding digest, so that nothing replays elsewhere.
        actor: 32-byte id of who acts.
        key: 32-byte public key that signs: the signature is checked before any state is read.
        nonce: 16 random bytes.
        expires_at: UTC seconds; from then on the transaction can never be ordered.
        root: 32-byte RFC 9162 root of the salted entries.
        count: Number of entries.
    """

    version: Literal[1]
    chain: Code
    actor: Bytes32
    key: Bytes32
    nonce: Bytes16
    expires_at: UtcSeconds
    root: Bytes32
    count: Positive


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transaction as it travels. `blind` is 32 random bytes from which the entries' salts come."""

    header: Header
    signature: Bytes64
    blind: Bytes32
    entries: tuple[msgspec.Raw, ...]


_ENVELOPE = Decoder(Envelope)
_decode_checked = msgspec.json.Decoder(Envelope).decode


class Transaction:
    """A decoded transaction whose form, root and count hold. Whether its signature holds is asked separately.

    Attributes:
        encoded: The bytes as received.
        header, header_bytes, signature, blind: Of the envelope.
        txid: 32-byte id: SHA-256("vervain/txid/v1\\n" || header bytes).
        entries: Canonical bytes of each entry.
        messages: The decoded entries.
        work: Work units of all entries.
    """

    __slots__ = ("blind", "encoded", "entries", "header", "header_bytes", "messages", "signature", "txid", "work")

    def __init__(self, encoded: bytes, decoder: Decoder) -> None:
        """Decode `encoded` with the catalogue's message decoder and check its form, root and count.

        Refuses: LimitExceeded(TOO_LARGE), Malformed(NOT_CANONICAL, WRONG_ROOT).
        """
        if len(encoded) > TRANSACTION_BYTES_MAX:
            raise LimitExceeded(MachineReason.TOO_LARGE)
        try:
            require_shallow(encoded)
            envelope: Envelope = _ENVELOPE.decode_shallow(encoded)
            entries = tuple(map(bytes, envelope.entries))
            if not 0 < len(entries) <= TRANSACTION_ENTRIES_MAX or max(map(len, entries)) > MESSAGE_BYTES_MAX:
                raise LimitExceeded(MachineReason.TOO_LARGE)
            messages = tuple(map(decoder.decode_shallow, entries))
        except NotCanonical as error:
            refusal = Malformed(MachineReason.NOT_CANONICAL)
            refusal.why = error.why or error.what
            raise refusal from None
        self._fill(encoded, envelope, entries, messages)
        if self.header.count != len(entries) or self.header.root != entries_root(entries, envelope.blind):
            raise Malformed(MachineReason.WRONG_ROOT)

    @classmethod
    def from_checked(cls, encoded: bytes, decoder: Decoder) -> Self:
        """Decode bytes that were checked in full before: the same value at a third of the cost."""
        transaction = cls.__new__(cls)
        envelope = _decode_checked(encoded)
        entries = tuple(map(bytes, envelope.entries))
        transaction._fill(encoded, envelope, entries, tuple(map(decoder.decode_checked, entries)))
        return transaction

    def _fill(
        self, encoded: bytes, envelope: Envelope, entries: tuple[bytes, ...], messages: tuple[Message, ...]
    ) -> None:
        self.encoded, self.entries, self.blind, self.signature = encoded, entries, envelope.blind, envelope.signature
        self.header, self.messages = envelope.header, messages
        self.header_bytes = encode(envelope.header)
        self.txid = TransactionId(sha256(TXID + self.header_bytes).digest())
        self.work = sum([message.work_units() for message in messages])

    def has_good_signature(self) -> bool:
        """Tell whether the header's key made the signature. Releases the GIL."""
        return signatures.verify(self.header.key, TX + self.header_bytes, self.signature)

    def require_signature(self) -> None:
        """Refuse a signature that does not hold.

        Refuses: Unauthenticated(BAD_SIGNATURE).
        """
        if not self.has_good_signature():
            raise Unauthenticated(MachineReason.BAD_SIGNATURE)


def entry_salt(blind: bytes, index: int) -> bytes:
    """Return the 32-byte salt of entry `index`: SHA-256("vervain/salt/v1\\n" || blind || uint32 index)."""
    return sha256(SALT + blind + index.to_bytes(4, "big")).digest()


def entry_leaf(salt: bytes, entry: bytes) -> bytes:
    """Return an entry's leaf: SHA-256(0x00 || salt || entry bytes)."""
    return sha256(b"\x00" + salt + entry).digest()


def entry_leaves(entries: tuple[bytes, ...], blind: bytes) -> list[bytes]:
    """Return the salted leaf of each entry, in order."""
    prefix = SALT + blind
    return [
        sha256(b"\x00" + sha256(prefix + index.to_bytes(4, "big")).digest() + entry).digest()
        for index, entry in enumerate(entries)
    ]


def entries_root(entries: tuple[bytes, ...], blind: bytes) -> bytes:
    """Return the 32-byte RFC 9162 root over the salted entries."""
    return root_of(entry_leaves(entries, blind))


def entry_path(entries: tuple[bytes, ...], blind: bytes, index: int) -> tuple[bytes, ...]:
    """Return the path from entry `index` to the header's root, leaf side first."""
    return path_of(entry_leaves(entries, blind), index)
