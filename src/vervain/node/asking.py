# SPDX-License-Identifier: Apache-2.0
"""How often one key may ask a desk for wrapped keys: a token bucket for each reader's key and each patient.

Rules kept:
1. Only who has proved to hold the key is counted, so nobody can use up another's requests.
2. A bounded number of keys is remembered. The one that asked longest ago is forgotten first, and so begins anew: a key
   is never refused because of others.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

from vervain.node.token_bucket import TokenBucket
from vervain.vault.errors import AskedTooOften

REQUESTS_PER_MINUTE_MAX: Final = 60  # of one key; each is answered with up to 100 documents
KEYS_MAX: Final = 16_384  # remembered at once: about 5 MiB


class AskingBounds:
    """The bounds of all who ask one desk. Calls may come from any thread.

    Args:
        per_minute: Requests of one key a minute; as many at once after a minute's rest.
        clock: Seconds that never fall; only differences count.
    """

    def __init__(self, per_minute: int = REQUESTS_PER_MINUTE_MAX, *, clock: Callable[[], float] = monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()
        self._lock = Lock()

    def take(self, key: bytes) -> None:
        """Count one request of a key that was proved: a reader's key, or a patient's pseudonym, 32 bytes.

        Raises: AskedTooOften.
        """
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(key, TokenBucket(self._per_minute, now))
            self._buckets.move_to_end(key)
            if len(self._buckets) > KEYS_MAX:
                self._buckets.popitem(last=False)
            seconds = bucket.take(now)
        if seconds:
            raise AskedTooOften(self._per_minute, retry_seconds=math.ceil(seconds))

    @property
    def remembered(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)
