# SPDX-License-Identifier: Apache-2.0
"""Who asks: a signed claim in the `Authorization` header, checked against the keys that are active on the ledger.

Rules kept:
1. The signature is by the named key over the canonical claim, strict Ed25519 as for transactions.
2. The claim is for this chain, this path and query, and expires within a minute.
3. A claim counts once; nonces are remembered until they expire, a bounded number of them.
4. The key is active for the actor in the newest committed state, else it says nothing.
"""

import threading
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request

from vervain.gateways.native.problems import LIMIT_EXCEEDED, UNAUTHENTICATED, RequestProblem
from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.store import Store
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import Decoder, NotCanonical
from vervain.sdk.authorization import CLAIM_SECONDS_MAX, HTTP_REQUEST, SCHEME, Claim

HEADER_CHARACTERS_MAX: Final = 2_048
NONCES_MAX: Final = 100_000  # remembered at once: 1,666 signed requests/s
_CLAIM: Final = Decoder(Claim)


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: 32-byte ids of the actor and of the organisation it belongs to."""

    actor: bytes
    organisation: bytes

    @property
    def is_organisation(self) -> bool:
        """Tell whether a member's own key asks, rather than its staff or a patient."""
        return self.actor == self.organisation


class Authenticator:
    """Checks signed claims for one chain.

    Args:
        chain: The chain's full name.
        catalogue: Tells the organisation of an active key.
        clock: UTC seconds.

    Attributes:
        expiry_of_nonce: The nonces that count no more, and until when they are remembered.
    """

    def __init__(self, chain: str, catalogue: Catalogue, *, clock: Callable[[], float]) -> None:
        self._chain, self._catalogue, self._clock = chain, catalogue, clock
        self.expiry_of_nonce: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def asker(self, request: Request, state: CommittedState) -> Asker:
        """Return who signed the request.

        Raises: RequestProblem, which does not tell a wrong signature from an unknown key.
        """
        claim = self._signed_claim(request.headers.get("authorization", ""))
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        now = int(self._clock())
        if claim.chain != self._chain or claim.path != target:
            raise _refused("It is for another chain or path")
        if not now < claim.expires_at <= now + CLAIM_SECONDS_MAX:
            raise _refused(f"It has expired, or expires more than {CLAIM_SECONDS_MAX} s ahead")
        organisation = self._catalogue.organisation_of_active_key(Store(state), claim.actor, claim.key)
        if organisation is None:
            raise _refused("The key is not active for this actor, or did not sign it")
        self._remember(claim.key + claim.nonce, claim.expires_at, now)
        return Asker(actor=claim.actor, organisation=organisation)

    def _signed_claim(self, header: str) -> Claim:
        """Return the claim of a header whose signature holds."""
        scheme, _, value = header.partition(" ")
        encoded, _, signature = value.partition(".")
        if scheme.lower() != SCHEME.lower() or len(header) > HEADER_CHARACTERS_MAX:
            raise _refused("There is no signed claim")
        try:
            signed, made = b64decode(encoded, validate=True), b64decode(signature, validate=True)
            claim = _CLAIM.decode(signed)
        except (Base64Error, ValueError, NotCanonical):
            raise _refused("It does not have the agreed form") from None
        assert isinstance(claim, Claim)
        if not signatures.verify(claim.key, HTTP_REQUEST + signed, made):
            raise _refused("The key is not active for this actor, or did not sign it")
        return claim

    def _remember(self, nonce: bytes, expires_at: int, now: int) -> None:
        """Note a nonce, or refuse one that was seen."""
        with self._lock:
            if nonce in self.expiry_of_nonce:
                raise _refused("It was used before")
            if len(self.expiry_of_nonce) >= NONCES_MAX:
                self._forget(now)
            if len(self.expiry_of_nonce) >= NONCES_MAX:
                raise RequestProblem(
                    LIMIT_EXCEEDED,
                    "Too many signed requests a minute",
                    do="Wait a minute.",
                    retry_seconds=CLAIM_SECONDS_MAX,
                )
            self.expiry_of_nonce[nonce] = expires_at

    def _forget(self, now: int) -> None:
        """Drop the nonces whose claims have expired and are refused for that."""
        self.expiry_of_nonce = {nonce: expiry for nonce, expiry in self.expiry_of_nonce.items() if expiry > now}


def _refused(why: str) -> RequestProblem:
    return RequestProblem(
        UNAUTHENTICATED,
        "The request is not signed as it must be",
        why=why,
        do="Sign it with an active key of the ledger, for this path, now; check this computer's clock.",
    )
