# SPDX-License-Identifier: Apache-2.0
"""The node's newest signed checkpoint: its own cosignature first, then the outside witnesses'.

A checkpoint is signed when somebody asks for proof, once a log size. A node whose cosigner has signed a larger log than
its state holds was restored behind its own word: it orders nothing until it has the missing blocks, or it would fork.

Rules kept:
1. Witnesses are asked with no lock held and no snapshot of the state open: a mute one holds up who asked it alone.
2. About one head the witnesses are asked once, and those that failed again after a pause.
3. Whoever comes while they are being asked waits for a moment, then gets what is there.
4. An answer counts for the head it is about; a head that is newer is never replaced by an older one.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final

import msgspec

from vervain.ledger.machine.application import CommittedState
from vervain.ledger.primitives.merkle_log import TiledTree
from vervain.node.config import NodeSettings
from vervain.node.directory import DataDirectory
from vervain.node.founding import COSIGNING_KEY_FILE
from vervain.node.witnesses import Witnesses, WitnessFailure
from vervain.sealing.checkpoints import Checkpoint, SignatureLine, format_signed
from vervain.sealing.cosigner import Cosigner
from vervain.sealing.keys import read_signing_key
from vervain.storage.backup import KnownHead, require_not_behind

WITNESS_PAUSE_SECONDS: Final = 30.0  # before a witness that failed is asked again about the same head
WITNESS_WAIT_SECONDS: Final = 0.5  # that others wait for the witnesses of a head, from when they were asked


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint, who signed it (this node first), and which witnesses did not answer this time."""

    checkpoint: Checkpoint
    lines: tuple[SignatureLine, ...]
    failures: tuple[WitnessFailure, ...]

    @property
    def text(self) -> bytes:
        """The signed note."""
        return format_signed(self.checkpoint, self.lines)


class CheckpointDesk:
    """Signs the head of one chain, on demand.

    Args:
        directory, settings: Of the node.
        chain: The log's origin.
        view: Opens a snapshot of committed state.
        clock: UTC seconds.
    """

    def __init__(
        self,
        directory: DataDirectory,
        settings: NodeSettings,
        chain: str,
        view: Callable[[], AbstractContextManager[CommittedState]],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._chain, self._view, self._clock = chain, view, clock
        key = read_signing_key(directory.keys / COSIGNING_KEY_FILE)
        self._cosigner = Cosigner(key, settings.name, directory.cosigner_state)
        self._witnesses = Witnesses(settings.witnesses)
        self._lock = threading.Lock()
        self._newest: SignedCheckpoint | None = None
        self._asked_at = 0.0
        self._answered = threading.Event()  # all witnesses asked about the newest head have answered, or failed

    def require_not_behind(self) -> None:
        """Refuse to order blocks on a state that is behind what this node has cosigned.

        Raises: StorageError.
        """
        signed = self._cosigner.head
        with self._view() as state:
            require_not_behind(state, KnownHead(size=signed.size, root=signed.root))

    def newest(self) -> SignedCheckpoint:
        """Return the newest head, signed; asks the witnesses when the log has grown or some had not answered.

        Raises: CosignRefused when the head does not extend what was signed before.
        """
        with self._lock:
            signed = self._signed_head()
            is_asking = bool(signed.failures) and monotonic() - self._asked_at >= WITNESS_PAUSE_SECONDS
            if is_asking:
                self._asked_at = monotonic()
            answered, wait_seconds = self._answered, self._asked_at + WITNESS_WAIT_SECONDS - monotonic()
        if is_asking:
            return self._ask(signed, answered)
        if signed.failures:
            answered.wait(max(0.0, wait_seconds))
        with self._lock:
            assert self._newest is not None
            return self._newest

    def _signed_head(self) -> SignedCheckpoint:
        """Return the newest head with what is there of signatures; signs it when the log has grown. With the lock."""
        with self._view() as state:
            head = state.head()
            assert head is not None
            if self._newest is not None and self._newest.checkpoint.size == head.log_size:
                return self._newest
            proof = TiledTree(head.log_size, state.tile).consistency_path(self._cosigner.head.size)
        checkpoint = Checkpoint(origin=self._chain, size=head.log_size, root=head.log_root)
        own = self._cosigner.cosign(checkpoint, proof=proof, time=int(self._clock()))
        self._newest = SignedCheckpoint(checkpoint=checkpoint, lines=(own,), failures=self._witnesses.unanswered)
        self._asked_at, self._answered = -WITNESS_PAUSE_SECONDS, threading.Event()
        return self._newest

    def _ask(self, signed: SignedCheckpoint, answered: threading.Event) -> SignedCheckpoint:
        """Ask the witnesses about a head, without the lock; return it, or a newer one that has as many signatures."""
        try:
            collected = self._witnesses.collect(
                signed.checkpoint,
                signed.lines[:1],
                self._consistency_path,
                lambda line: self._hear(signed, line),
                among=frozenset(each.name for each in signed.failures),
            )
        finally:
            answered.set()
        with self._lock:
            newest = self._newest
            assert newest is not None
            mine = _merged(newest if _is_same(newest, signed) else signed, collected.lines, collected.failures)
            if _is_same(newest, signed):
                self._newest = mine
            return newest if not _is_same(newest, signed) and len(newest.lines) >= len(mine.lines) else mine

    def _hear(self, signed: SignedCheckpoint, line: SignatureLine) -> None:
        """Keep one witness's line at once, unless the log has grown since."""
        with self._lock:
            if self._newest is not None and _is_same(self._newest, signed):
                self._newest = _merged(self._newest, (line,), self._newest.failures)

    def _consistency_path(self, old_size: int, size: int) -> tuple[bytes, ...]:
        with self._view() as state:
            return TiledTree(size, state.tile).consistency_path(old_size)

    def close(self) -> None:
        """Close the connections to the witnesses."""
        self._witnesses.close()


def _is_same(one: SignedCheckpoint, other: SignedCheckpoint) -> bool:
    """Tell whether two are of one head; the cosigner never signs another root at a size."""
    return one.checkpoint.size == other.checkpoint.size


def _merged(
    signed: SignedCheckpoint, lines: Sequence[SignatureLine], failures: Sequence[WitnessFailure]
) -> SignedCheckpoint:
    """Return a checkpoint with further lines; a newer line replaces the signer's older one, and settles its failure."""
    own, *others = {(line.name, line.key_id): line for line in (*signed.lines, *lines)}.values()
    names = {line.name for line in others}
    return SignedCheckpoint(
        checkpoint=signed.checkpoint,
        lines=(own, *others),
        failures=tuple(each for each in failures if each.name not in names),
    )
