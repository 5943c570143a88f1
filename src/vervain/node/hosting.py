# SPDX-License-Identifier: Apache-2.0
"""Quotas of the small members served by this node: a token bucket each, refilled by the clock.

Only what a hosted member's active key really signed, and what was not ordered before, counts: nobody can use up
another's quota with forged or repeated bytes. The own organisation and members with their own nodes are not limited.
"""

import math
import threading
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Sequence
from typing import Final

from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.refusals import Refusal
from vervain.ledger.machine.replay_window import ReplayWindow
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives.errors import VervainError
from vervain.ledger.primitives.hashing import DIGEST_BYTES
from vervain.node.config import HostedSettings
from vervain.node.token_bucket import TokenBucket

_HEADER: Final = b'"header":{"actor":"'
_KEY: Final = b'"key":"'
_BASE64_OF_32: Final = 44


class OverQuota(VervainError):
    """A hosted member has handed in as many transactions as its quota allows for now.

    Attributes:
        retry_seconds: After how many whole seconds the next one fits.
    """

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(
            "The hosted member's quota is used up",
            why="It handed in more transactions a minute than its host agreed to",
            do=f"Send the same bytes again in {retry_seconds} s, or ask the host for a larger quota.",
        )
        self.retry_seconds = retry_seconds


class HostingQuotas:
    """The quotas of all hosted members.

    Args:
        hosted: From the node's settings.
        catalogue: Tells the organisation of an active key.
        clock: Seconds that never fall; only differences count.
    """

    def __init__(self, hosted: Sequence[HostedSettings], catalogue: Catalogue, *, clock: Callable[[], float]) -> None:
        self._catalogue, self._clock = catalogue, clock
        now = clock()
        self._buckets = {each.organisation: TokenBucket(each.submissions_per_minute, now) for each in hosted}
        self._lock = threading.Lock()

    @property
    def is_limiting(self) -> bool:
        """Tell whether there is any hosted member; without one nothing needs a look."""
        return bool(self._buckets)

    def over_quota(self, encoded: Sequence[bytes], state: CommittedState) -> dict[int, OverQuota]:
        """Count transactions against their members' quotas; return, by position, those that do not fit."""
        organisations: dict[tuple[bytes, bytes], bytes | None] = {}
        store, refused = Store(state), {}
        counted: set[bytes] = set()
        for position, each in enumerate(encoded):
            signer = _signer(each)
            if signer is None:
                continue
            if signer not in organisations:
                organisations[signer] = self._hosted_organisation(store, signer)
            organisation = organisations[signer]
            if organisation is not None and self._counts(each, state, counted):
                seconds = self._take(organisation)
                if seconds:
                    refused[position] = OverQuota(max(1, math.ceil(seconds)))
        return refused

    def _hosted_organisation(self, store: Store, signer: tuple[bytes, bytes]) -> bytes | None:
        """Return the hosted organisation whose active key the header names, or None."""
        try:
            actor, key = map(a2b_base64, signer)
        except Base64Error:
            return None
        if len(actor) != DIGEST_BYTES or len(key) != DIGEST_BYTES:
            return None
        organisation = self._catalogue.organisation_of_active_key(store, actor, key)
        return organisation if organisation in self._buckets else None

    def _counts(self, encoded: bytes, state: CommittedState, counted: set[bytes]) -> bool:
        """Tell whether the named key signed it and it was neither ordered before nor expired: else the engine refuses
        or repeats it, and anybody may send it. Each counts once in a request.
        """
        try:
            transaction = Transaction(encoded, self._catalogue.message_decoder)
        except Refusal:
            return False
        head = state.head()
        if head is None or transaction.header.expires_at < head.time or transaction.txid in counted:
            return False
        counted.add(transaction.txid)
        return transaction.has_good_signature() and ReplayWindow(state).first_place(transaction) is None

    def _take(self, organisation: bytes) -> float:
        with self._lock:
            return self._buckets[organisation].take(self._clock())


def _signer(encoded: bytes) -> tuple[bytes, bytes] | None:
    """Return actor and key of a canonical header, in base64 as they stand; None when it is not canonical.

    The header is the envelope's second-last field, so the last such name is the header's; what is not canonical is
    refused by the engine whoever signed it.
    """
    start = encoded.rfind(_HEADER)
    key = encoded.find(_KEY, start)
    if start < 0 or key < 0:
        return None
    actor = start + len(_HEADER)
    return encoded[actor : actor + _BASE64_OF_32], encoded[key + len(_KEY) : key + len(_KEY) + _BASE64_OF_32]
