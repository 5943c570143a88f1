# SPDX-License-Identifier: Apache-2.0
"""The custodian's own access audit: who of the house read which document, on the disk before the document opens.

Entries are chained and numbered from 1. `batch_after` makes what `consent.anchor_accesses` puts on the ledger; from
then on no entry can be taken out unseen. No node of this version sends it by itself.

Source: architecture.md "Patients"; FHIR R4 AuditEvent (the gateway translates).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from vervain.ledger.primitives.codec import decode, encode
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import path_of, root_of
from vervain.storage.files import FileLayer
from vervain.storage.findings import Finding
from vervain.vault.accesses import ACCESSES_PER_APPEND_MAX, AccessEntry
from vervain.vault.chained_log import ChainedLog, audit_chained_log

ACCESSES: Final = "accesses"
ANCHOR_ENTRIES_MAX: Final = 100_000  # one batch


class AccessBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What an anchor commits to: the 32-byte root over entries `first` to `last`."""

    root: bytes
    count: int
    first: int
    last: int


class AccessLog:
    """One custodian's access audit in a folder of its own. Calls may come from any thread."""

    def __init__(self, directory: Path, *, files: FileLayer | None = None) -> None:
        """Open, or begin, the audit.

        Raises: Corrupt, StorageError.
        """
        self._directory, self._files = directory, files
        self._log = ChainedLog(directory, tag=ACCESSES, files=files)

    def record(self, entries: Sequence[AccessEntry]) -> int:
        """Keep accesses durably; return the number of the first.

        Raises: StorageError; then nothing may be read.
        """
        assert 0 < len(entries) <= ACCESSES_PER_APPEND_MAX
        return self._log.append([encode(entry) for entry in entries])

    def entries(self, first: int = 1, stop: int | None = None) -> Iterator[tuple[int, AccessEntry]]:
        """Yield (number, access) from `first` on, `stop` excluded.

        Raises: Corrupt.
        """
        for number, encoded in self._log.read(first, stop):
            yield number, decode(encoded, AccessEntry)

    def batch_after(self, anchored: int) -> AccessBatch | None:
        """Return the batch to anchor next, or None when there is nothing new.

        Args:
            anchored: Number of the last entry that the ledger's newest anchor covers; 0 when there is none.
        """
        last = min(self._log.count, anchored + ANCHOR_ENTRIES_MAX)
        if last <= anchored:
            return None
        leaves = self._leaves(anchored + 1, last)
        return AccessBatch(root=root_of(leaves), count=len(leaves), first=anchored + 1, last=last)

    def prove(self, number: int, *, first: int, last: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Return an entry's bytes and its path to the root of the batch; its index there is `number - first`."""
        assert first <= number <= last <= self._log.count and last - first < ANCHOR_ENTRIES_MAX
        path = path_of(self._leaves(first, last), number - first)
        return next(entry for _, entry in self._log.read(number, number + 1)), path

    @property
    def count(self) -> int:
        """Number of the newest entry."""
        return self._log.count

    @property
    def digest(self) -> bytes:
        """32-byte chain digest of the newest entry."""
        return self._log.digest

    def audit(self) -> Iterator[Finding]:
        """Yield every line that was altered, taken out or put in."""
        yield from audit_chained_log(self._directory, tag=ACCESSES, name=self._directory.name, files=self._files)

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _leaves(self, first: int, last: int) -> list[bytes]:
        return [leaf_hash(entry) for _, entry in self._log.read(first, last + 1)]
