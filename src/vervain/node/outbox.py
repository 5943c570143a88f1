# SPDX-License-Identifier: Apache-2.0
"""Transactions on their way: written down before they are submitted, removed when what they did is known.

A crash between submitting and hearing the answer loses nothing: the same bytes are submitted again, which the ledger
takes once only. A transaction that can never be ordered any more, because it expired or its key was replaced, is signed
anew by its owner; one whose key only does not count for now (a suspended member's) waits.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives.codec import decode, encode
from vervain.ledger.primitives.hashing import sha256
from vervain.node.summed_file import read_summed_file, write_summed_file

OUTBOX_BYTES_MAX: Final = 4_000_000  # one file: a transaction and the numbers of its documents
NO_CERTIFICATE: Final = bytes(32)


class OutgoingCommit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed transaction that commits to documents, and which ones, in the order of its entries."""

    encoded: bytes
    txid: bytes
    expires_at: int
    documents: tuple[int, ...]


class OutgoingErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Records whose documents are being erased and whose tombstones are still to be put on the ledger.

    `subject` is who they are about, all zero when the documents were erased before they had a number; the certificate's
    digest is all zero until the keys are destroyed, and for ever when a crash took the certificate with it.
    `documents` are the numbers in the vault of single documents; absent when it is the whole relationship.
    """

    subject: bytes
    records: tuple[int, ...]
    certificate_digest: bytes = NO_CERTIFICATE
    documents: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class Outbox:
    """A folder of outgoing transactions and erasures, one file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, outgoing: OutgoingCommit) -> None:
        """Write a transaction down, durably."""
        write_summed_file(self._path(outgoing.txid), encode(outgoing))

    def remove(self, txid: bytes) -> None:
        """Forget a transaction whose outcome was dealt with."""
        self._path(txid).unlink(missing_ok=True)

    def put_erasure(self, outgoing: OutgoingErasure) -> None:
        """Write an erasure's tombstones down, durably, in place of what was written for the same records."""
        write_summed_file(self._erasure_path(outgoing), encode(outgoing), replace=True)

    def remove_erasure(self, outgoing: OutgoingErasure) -> None:
        """Forget an erasure whose tombstones are on the ledger."""
        self._erasure_path(outgoing).unlink(missing_ok=True)

    def erasures(self) -> Iterator[OutgoingErasure]:
        """Yield the erasures whose tombstones are still to be put on the ledger.

        Raises: Corrupt, NotCanonical, KeyFileRefused.
        """
        for path in sorted(self._directory.glob("*.erase")):
            yield read_erasure(path)

    def _erasure_path(self, outgoing: OutgoingErasure) -> Path:
        return self._directory / f"{sha256(encode((outgoing.subject, outgoing.records))).hex()}.erase"

    def __iter__(self) -> Iterator[OutgoingCommit]:
        """Yield what is still on its way.

        Raises: Corrupt, NotCanonical, KeyFileRefused.
        """
        for path in sorted(self._directory.glob("*.commit")):
            yield read_outgoing(path)

    def _path(self, txid: bytes) -> Path:
        return self._directory / f"{txid.hex()}.commit"


def signer_of(outgoing: OutgoingCommit) -> bytes:
    """Return the 32-byte public key that signed a transaction."""
    return Transaction.from_checked(outgoing.encoded, CATALOGUE.message_decoder).header.key


def read_erasure(path: Path) -> OutgoingErasure:
    """Return one outgoing erasure.

    Raises: Corrupt, NotCanonical, KeyFileRefused.
    """
    return decode(read_summed_file(path, OUTBOX_BYTES_MAX), OutgoingErasure)


def read_outgoing(path: Path) -> OutgoingCommit:
    """Return one outgoing transaction.

    Raises: Corrupt, NotCanonical, KeyFileRefused.
    """
    return decode(read_summed_file(path, OUTBOX_BYTES_MAX), OutgoingCommit)
