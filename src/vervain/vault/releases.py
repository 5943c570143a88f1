# SPDX-License-Identifier: Apache-2.0
"""The list of every key that was handed out: written before the answer, read when a document is erased.

A release is listed once: which document version's key, to which key, under which grant and access. Handing it out again
discloses nothing to anybody new and adds nothing to the list, as it adds no notice and no access on the ledger.
What is remembered for this is bounded and of one process; a repeat that is no longer remembered is listed again.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Natural, UtcSeconds, decode, encode
from vervain.ledger.primitives.hashing import sha256
from vervain.sealing.wraps import Purpose
from vervain.storage.files import FileLayer
from vervain.vault.chained_log import ChainedLog
from vervain.vault.erasure_certificates import Copy
from vervain.vault.layout import RELEASES

REPEATS_MAX: Final = 65_536  # releases remembered so that a repeat adds nothing: about 8 MiB


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
        self._listed: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def record(self, entries: Sequence[ReleaseEntry]) -> None:
        """Keep releases durably, before anything is handed out; what is known to stand in the list adds nothing.

        Raises: StorageError.
        """
        named = {_name_of(entry): entry for entry in entries}
        with self._lock:
            fresh = [encode(entry) for name, entry in named.items() if name not in self._listed]
            if fresh:
                self._log.append(fresh)
            for name in named:
                self._listed[name] = None
                self._listed.move_to_end(name)
            while len(self._listed) > REPEATS_MAX:
                self._listed.popitem(last=False)

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


def _name_of(entry: ReleaseEntry) -> bytes:
    """Return what tells a release from every other, whenever it was made."""
    return sha256(encode(msgspec.structs.replace(entry, at=0)))[:16]
