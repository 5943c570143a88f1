# SPDX-License-Identifier: Apache-2.0
"""The list of every key that was handed out: written before the answer, read when a document is erased."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Natural, UtcSeconds, decode, encode
from vervain.sealing.wraps import Purpose
from vervain.storage.files import FileLayer
from vervain.vault.chained_log import ChainedLog
from vervain.vault.erasure import Copy

RELEASES: Final = "releases"


class ReleaseEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wrap that was made. Holds no key and no salt.

    Attributes:
        at: The custodian's clock, UTC seconds.
        purpose: Under a grant, for the patient's own wallet, or a share for a release agent.
        commitment: 32-byte commitment of the document version.
        recipient: 32-byte X25519 key that it was sealed to.
        scope: 32-byte grant id, or the patient's pseudonym.
        access: Number of the access on the ledger; 0 for a patient's own.
    """

    at: UtcSeconds
    purpose: Purpose
    commitment: Bytes32
    recipient: Bytes32
    scope: Bytes32
    access: Natural


class ReleaseLog:
    """Every release, durable and chained."""

    def __init__(self, directory: Path, *, files: FileLayer | None = None) -> None:
        self._log = ChainedLog(directory, tag=RELEASES, files=files)

    def record(self, entries: Sequence[ReleaseEntry]) -> int:
        """Keep releases durably, before anything is handed out; return the number of the first.

        Raises: StorageError.
        """
        return self._log.append([encode(entry) for entry in entries])

    def copies_of(self, commitments: Collection[bytes]) -> list[Copy]:
        """Return every release of the named document versions, sorted. Reads the whole list once."""
        wanted = frozenset(commitments)
        copies = []
        for _, encoded in self._log.read():
            entry = decode(encoded, ReleaseEntry)
            if entry.commitment in wanted:
                copies.append(
                    Copy(
                        commitment=entry.commitment,
                        recipient=entry.recipient,
                        scope=entry.scope,
                        released_at=entry.at,
                    )
                )
        return sorted(copies)

    @property
    def count(self) -> int:
        """How many releases there were."""
        return self._log.count

    def close(self) -> None:
        """Close the file."""
        self._log.close()
