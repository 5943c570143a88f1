# SPDX-License-Identifier: Apache-2.0
"""A request signed by a key of the ledger: `Authorization: Vervain <base64 JCS claim>.<base64 signature>`.

The claim names the chain, so it counts on no other; the path with its query, so it opens nothing else; a nonce and a
time of at most a minute, so it counts once. There are no sessions and no passwords to steal.
"""

import secrets
from base64 import b64encode
from typing import Annotated, Final

import msgspec

from vervain.ledger.primitives.codec import Bytes16, Bytes32, Code, UtcSeconds, encode
from vervain.sealing.keys import SigningKey

SCHEME: Final = "Vervain"
HTTP_REQUEST: Final = b"vervain/http/v1\n"
"""Domain tag of a signed request: the signature is over this tag and the claim's canonical bytes."""
CLAIM_SECONDS_MAX: Final = 60  # how far ahead a claim may expire
CLAIM_SECONDS: Final = 30  # what the client uses: half, so that clocks may differ a little
TARGET_CHARACTERS_MAX: Final = 512

Target = Annotated[str, msgspec.Meta(min_length=1, max_length=TARGET_CHARACTERS_MAX, pattern=r"^/[!-~]*\Z")]
"""A path with its query, as it stands in the request line."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed.

    Attributes:
        chain: The chain's name and founding digest.
        actor, key: 32-byte actor id, and its active public key that signs.
        path: Path and query of the request.
        expires_at: UTC seconds, at most a minute ahead.
        nonce: 16 random bytes.
    """

    chain: Code
    actor: Bytes32
    key: Bytes32
    path: Target
    expires_at: UtcSeconds
    nonce: Bytes16


def authorization(*, chain: str, actor: bytes, key: SigningKey, path: str, now: int) -> str:
    """Return the header's value for one request of `path` (with its query) at about `now` (UTC seconds)."""
    claim = Claim(
        chain=chain,
        actor=actor,
        key=key.public_key,
        path=path,
        expires_at=now + CLAIM_SECONDS,
        nonce=secrets.token_bytes(16),
    )
    signed = encode(claim)
    return f"{SCHEME} {b64encode(signed).decode()}.{b64encode(key.sign(HTTP_REQUEST + signed)).decode()}"
