# SPDX-License-Identifier: Apache-2.0
"""What came of a transaction, and what is announced.

An outcome holds the code (0: applied), the entry that failed, and the events. Its salted digest stands in the
transaction's leaf, so a refused transaction can never be shown as a fact and a receipt gives no handle for guessing
events.
"""

import msgspec

from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.primitives.codec import Natural, encode
from vervain.ledger.primitives.hashing import OUTCOME, OUTCOME_SALT, sha256


class Event(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
    """Base of everything a rule announces. Ids only. A concrete event has a tag `<module>.<past tense>`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one transaction.

    Attributes:
        code: 0 applied, else the refusal's code.
        failed_entry: Number of the entry that was refused; absent when applied or refused before its entries ran.
        events: What the rules announced, in order; empty when refused.
        event_ends: For each entry, how many events were announced up to its end; left out when each announced one.
    """

    code: Natural
    failed_entry: Natural | msgspec.UnsetType = msgspec.UNSET
    events: tuple[Event, ...] = ()
    event_ends: tuple[Natural, ...] = ()

    @property
    def is_applied(self) -> bool:
        """Tell whether the transaction took effect."""
        return self.code == APPLIED


class EncodedOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An outcome as stored: the events stay in their canonical bytes."""

    code: Natural
    failed_entry: Natural | msgspec.UnsetType = msgspec.UNSET
    events: tuple[msgspec.Raw, ...] = ()
    event_ends: tuple[Natural, ...] = ()

    def entry_of_events(self) -> tuple[int, ...]:
        """Return, for each event, the number of the entry that announced it."""
        if not self.event_ends:
            return tuple(range(len(self.events)))
        starts = (0, *self.event_ends[:-1])
        return tuple(entry for entry, start in enumerate(starts) for _ in range(start, self.event_ends[entry]))


def outcome_digest(outcome: bytes, blind: bytes) -> bytes:
    """Return the 32-byte digest of an outcome's canonical bytes, salted from the transaction's 32-byte blind."""
    return sha256(OUTCOME + sha256(OUTCOME_SALT + blind) + outcome)


def encode_outcome(outcome: Outcome) -> bytes:
    """Return the outcome's canonical bytes."""
    return encode(outcome)
