# SPDX-License-Identifier: Apache-2.0
"""Refusal and its six kinds; the numbered reasons.

A rule refuses by raising one of six kinds with a numbered reason of its module. The number is wire format: the
outcome's code is `module number * 100 + reason`, unique over all modules, because the engine's result hash ignores code
spaces. A refusal carries ids only, never a value that says something about a person.
"""

from enum import IntEnum
from typing import Self

from vervain.ledger.primitives.errors import Diagnostics, VervainError

APPLIED = 0
"""The outcome code of a transaction that was applied."""


class Reason(IntEnum):
    """Base of a module's reasons: code, kind, what happened, what to do. Codes are wire format and never reused.

    A member is written `NAME = code, Kind, "What happened.", "What to do."`.
    """

    kind: "type[Refusal]"
    what: str
    do: str

    def __new__(cls, code: int, kind: "type[Refusal]", what: str, do: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.kind, member.what, member.do = kind, what, do
        return member


class Refusal(VervainError):
    """A transaction is not applied. Becomes an outcome; holds ids only.

    Attributes:
        reason: The numbered reason; its value is the outcome code.
    """

    def __init__(self, reason: Reason, **ids: bytes | int | str) -> None:
        assert type(self) is reason.kind, f"{reason!r} is {reason.kind.__name__}, not {type(self).__name__}"
        named = ", ".join(f"{name} {value.hex() if isinstance(value, bytes) else value}" for name, value in ids.items())
        super().__init__(reason.what, why=named, do=reason.do)
        self.reason = reason

    def diagnostics(self) -> Diagnostics:
        """Return what happened, the ids it is about, and what to do."""
        return Diagnostics(what=self.what, why=self.why, do=self.do)


class Malformed(Refusal):
    """The message itself is wrong. HTTP 400."""


class Unauthenticated(Refusal):
    """The signature or key does not count. HTTP 401."""


class Forbidden(Refusal):
    """The signer may not do this. HTTP 403."""


class NotFound(Refusal):
    """What the message names is not there. HTTP 404."""


class Conflict(Refusal):
    """It does not fit what is so now. HTTP 409."""


class LimitExceeded(Refusal):
    """A named maximum is reached. HTTP 429."""


KINDS: tuple[type[Refusal], ...] = (Malformed, Unauthenticated, Forbidden, NotFound, Conflict, LimitExceeded)


class MachineReason(Reason):
    """Why the machine itself refuses, before or around the modules' rules. Module number 0."""

    TOO_LARGE = (
        1,
        LimitExceeded,
        "The transaction is larger than the ledger takes.",
        "Split it: 1 MiB, 1,000 entries and 64 kB an entry are the most.",
    )
    NOT_CANONICAL = (
        2,
        Malformed,
        "The transaction is not in its canonical encoding, or not of a known form.",
        "Build it with the SDK, or compare with the schema of its message.",
    )
    WRONG_ROOT = (
        3,
        Malformed,
        "The header's root or count does not belong to the entries.",
        "Compute the root over the salted entries and sign again.",
    )
    WRONG_CHAIN = (
        4,
        Malformed,
        "The transaction is meant for another chain.",
        "Ask the node for its chain name and sign again.",
    )
    EXPIRED = (
        5,
        Conflict,
        "The transaction had expired before it could be ordered.",
        "Sign it again with a later expires_at; check this computer's clock.",
    )
    EXPIRES_TOO_LATE = (
        6,
        Conflict,
        "The transaction expires too far in the future.",
        "Use an expires_at at most 900 seconds ahead; check this computer's clock.",
    )
    BAD_SIGNATURE = (
        7,
        Unauthenticated,
        "The signature does not belong to the header and key.",
        "Sign the header's canonical bytes with the named key.",
    )
    KEY_NOT_ACTIVE = (
        8,
        Unauthenticated,
        "The key was not active for this actor before the block.",
        "Register the key or use the actor's current one.",
    )
    ALREADY_SEEN = (
        9,
        Conflict,
        "The transaction was already ordered.",
        "Ask for its first outcome by its id; sign a new one to do it again.",
    )
    TOO_MANY_UNEXPIRED = (
        10,
        LimitExceeded,
        "The organisation has too many unexpired transactions.",
        "Wait until some expire, batch entries, or choose an earlier expires_at.",
    )
    TOO_MUCH_WORK = (
        11,
        LimitExceeded,
        "The transaction needs more work than a block may do.",
        "Split it into smaller batches.",
    )
    POOL_FULL = 12, LimitExceeded, "The node's pool is full.", "Send the same bytes again in a moment."
    ROW_NOT_FOUND = (
        13,
        NotFound,
        "What the message names is not on the ledger.",
        "Check the id; it may be on another chain, or not yet final.",
    )
    ROW_TOO_LARGE = (
        14,
        LimitExceeded,
        "A row would grow beyond what the ledger keeps in one.",
        "Use fewer or smaller items.",
    )
    TOO_MANY_EVENTS = (
        15,
        LimitExceeded,
        "The transaction would announce more than one transaction may.",
        "Split it into smaller batches.",
    )
