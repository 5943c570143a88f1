# SPDX-License-Identifier: Apache-2.0
"""The cosigner: signs a log's head only after making sure, durably, that the log did nothing but grow.

Rules kept:
1. (origin, size, root) is fsynced before the signature over it exists.
2. Never a smaller head, never another root at the same size, never a head that does not extend the last one by proof.
3. Checking the last head and replacing it is one step: a lock holds off every other thread. One process holds the file
   (the node's or the witness's directory lock sees to that).

Source: C2SP tlog-checkpoint "Signatures", tlog-cosignature; architecture.md "Checkpoint and receipt".
"""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Decoder, Natural, NotCanonical, encode
from vervain.ledger.primitives.errors import ProofError, VervainError
from vervain.ledger.primitives.hashing import EMPTY_ROOT
from vervain.ledger.primitives.merkle_log import verify_consistency
from vervain.sealing.checkpoints import Checkpoint, SignatureLine, cosign
from vervain.sealing.keys import SigningKey, read_private_file, write_private_file

STATE_BYTES_MAX: Final = 2_048


class CosignReason(Enum):
    """Why a head was not signed."""

    OTHER_LOG = "It is the head of another log than the one signed before"
    OTHER_OLD_SIZE = "The last head signed has another size than the asker thinks"
    SMALLER = "A larger head was signed before"
    OTHER_ROOT = "Another root was signed at this size before"
    INCONSISTENT = "The proof does not show that the log only grew"


class CosignRefused(VervainError):
    """A head was not signed. When `reason` is OTHER_ROOT or INCONSISTENT, the two heads may be evidence of a split log.

    Attributes:
        reason: Why.
        last: The last head signed.
    """

    def __init__(self, reason: CosignReason, last: "SignedHead") -> None:
        super().__init__(
            "The checkpoint was not cosigned",
            why=f"{reason.value}; the last one signed has {last.size} leaves",
            do="Send a checkpoint that extends it, with the proof; keep both if that cannot be.",
        )
        self.reason, self.last = reason, last


class CosignerStateDamaged(VervainError):
    """The file with the last head signed does not hold one. Signing on without it could split the log."""


class SignedHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last head that a cosigner signed; size 0 before the first."""

    origin: str
    size: Natural
    root: Bytes32


_SIGNED_HEAD: Final = Decoder(SignedHead)
_NOTHING_YET: Final = SignedHead(origin="", size=0, root=EMPTY_ROOT)


class Cosigner:
    """Signs the heads of one log with one key."""

    def __init__(self, key: SigningKey, name: str, state_path: Path) -> None:
        """Take up where `state_path` says; without that file nothing was signed yet.

        Raises: CosignerStateDamaged, KeyFileRefused.
        """
        self.name = name
        self._key, self._state_path, self._lock = key, state_path, Lock()
        self._head = _read_head(state_path)

    @property
    def public_key(self) -> bytes:
        """The 32-byte cosigning key that others check with."""
        return self._key.public_key

    @property
    def head(self) -> SignedHead:
        """The last head signed."""
        return self._head

    def cosign(
        self, checkpoint: Checkpoint, *, proof: Sequence[bytes] = (), time: int, old_size: int | None = None
    ) -> SignatureLine:
        """Sign a head that extends the last one signed.

        Args:
            checkpoint: The head.
            proof: Consistency proof from the last head's size to this one's; empty from size 0 or for the same head.
            time: UTC seconds that the cosignature will say.
            old_size: When given, refuse unless the last head signed has this size.

        Raises: CosignRefused; KeyFileRefused when the head cannot be stored (then nothing is signed).
        """
        with self._lock:
            self._require_extends(checkpoint, proof, old_size)
            self._store(SignedHead(origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root))
            return cosign(checkpoint, key=self._key, name=self.name, time=time)

    def _require_extends(self, checkpoint: Checkpoint, proof: Sequence[bytes], old_size: int | None) -> None:
        last = self._head
        if last.origin not in ("", checkpoint.origin):
            raise CosignRefused(CosignReason.OTHER_LOG, last)
        if old_size is not None and old_size != last.size:
            raise CosignRefused(CosignReason.OTHER_OLD_SIZE, last)
        if checkpoint.size < last.size:
            raise CosignRefused(CosignReason.SMALLER, last)
        if checkpoint.size == last.size and checkpoint.root != last.root:
            raise CosignRefused(CosignReason.OTHER_ROOT, last)
        try:
            verify_consistency(
                old_size=last.size, old_root=last.root, size=checkpoint.size, root=checkpoint.root, path=proof
            )
        except ProofError:
            raise CosignRefused(CosignReason.INCONSISTENT, last) from None

    def _store(self, head: SignedHead) -> None:
        if head != self._head:
            write_private_file(self._state_path, encode(head) + b"\n", replace=True)
            self._head = head


def _read_head(path: Path) -> SignedHead:
    if not path.exists():
        return _NOTHING_YET
    try:
        head: SignedHead = _SIGNED_HEAD.decode(read_private_file(path, STATE_BYTES_MAX).removesuffix(b"\n"))
    except NotCanonical:
        raise CosignerStateDamaged(
            f"{path.name} does not hold the last head signed",
            why="It was altered or cut off",
            do="Restore it from a backup. Without one, take a new cosigning key: never delete the file to go on.",
        ) from None
    return head
