# SPDX-License-Identifier: Apache-2.0
"""What a custodian writes down before it reads its own records, and the seam to where it is kept.

Source: architecture.md "Patients" (a custodian's reads of its own records wait for a durable local audit append).
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Code, UtcSeconds

ACCESSES_PER_APPEND_MAX: Final = 10_000


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One read by the custodian itself. Ids only.

    Attributes:
        at: The custodian's clock, UTC seconds.
        accessor: 32-byte actor id of the staff member or machine that reads.
        commitment: 32-byte commitment of the document version.
        subject: 32-byte pseudonym whose document it is.
        purpose: Purpose of use (HL7 PurposeOfUse), or a code of the custodian's own.
    """

    at: UtcSeconds
    accessor: Bytes32
    commitment: Bytes32
    subject: Bytes32
    purpose: Code


class AccessAudit(Protocol):
    """Keeps accesses. `record` returns when they are on the disk; nothing is read before."""

    def record(self, entries: Sequence[AccessEntry]) -> int:
        """Keep entries durably; return the number of the first. Raises: StorageError; then nothing may be read."""
        ...
