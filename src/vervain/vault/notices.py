# SPDX-License-Identifier: Apache-2.0
"""The sealed notices of reads, kept for the patients they are sealed to: written before a key is handed out.

Rules kept:
1. One notice an access: a reader that asks again adds nothing.
2. A notice opens for its patient alone. An erasure therefore leaves the notices of its subject here: they hold nothing
   that the custodian can read, and tell the patient who read before it.
3. Patients count their own notices from 1; nobody learns how many others have.

Opening reads the whole list once, and remembers for each subject where its notices stand: 8 bytes each.

Source: architecture.md "Patients" (the notice of who read is sealed to the patient).
"""

from array import array
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Positive, UtcSeconds, decode, encode
from vervain.sealing.notices import SealedNotice
from vervain.storage.files import FileLayer
from vervain.vault.chained_log import ChainedLog
from vervain.vault.layout import NOTICES

PAGE_NOTICES_MAX: Final = 100


class NoticeEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sealed notice.

    Attributes:
        at: The custodian's clock, UTC seconds.
        subject: 32-byte pseudonym of the patient it is sealed to.
        grant: 32-byte id of the grant that was read under; needed to open it.
        access: Number of the access on the ledger.
        sealed: The notice as the reader sent it.
    """

    at: UtcSeconds
    subject: Bytes32
    grant: Bytes32
    access: Positive
    sealed: SealedNotice


class NoticeLog:
    """Every notice, durable and chained."""

    def __init__(self, directory: Path, *, files: FileLayer | None = None) -> None:
        self._log = ChainedLog(directory, tag=NOTICES, files=files)
        self._lock = Lock()
        self._places: dict[bytes, array[int]] = {}
        self._accesses: set[int] = set()
        for number, encoded in self._log.read():
            self._note(number, decode(encoded, NoticeEntry))

    def record(self, entry: NoticeEntry) -> None:
        """Keep a notice durably, before anything is handed out; does nothing when the access has its notice.

        Raises: StorageError.
        """
        with self._lock:
            if entry.access not in self._accesses:
                self._note(self._log.append([encode(entry)]), entry)

    def of_subject(self, subject: bytes, *, after: int = 0) -> tuple[NoticeEntry, ...]:
        """Return up to `PAGE_NOTICES_MAX` notices of a subject behind its first `after`, in the order they came.

        Raises: Corrupt.
        """
        with self._lock:
            places = self._places.get(subject, array("Q"))[after : after + PAGE_NOTICES_MAX]
        return tuple(decode(encoded, NoticeEntry) for _, encoded in self._log.pick(places))

    @property
    def count(self) -> int:
        """How many notices there are."""
        return self._log.count

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _note(self, number: int, entry: NoticeEntry) -> None:
        self._places.setdefault(entry.subject, array("Q")).append(number)
        self._accesses.add(entry.access)
