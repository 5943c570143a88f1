# SPDX-License-Identifier: Apache-2.0
"""The node's newest signed checkpoint: its own cosignature first, then the outside witnesses'.

A checkpoint is signed when somebody asks for proof, once a log size. A node whose cosigner has signed a larger log than
its state holds was restored behind its own word: it orders nothing until it has the missing blocks, or it would fork.
"""

import threading
from collections.abc import Callable
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


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint, who signed it, and which witnesses did not answer this time."""

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
        with self._lock, self._view() as state:
            head = state.head()
            assert head is not None
            kept = self._newest
            paused = monotonic() - self._asked_at < WITNESS_PAUSE_SECONDS
            if kept is not None and kept.checkpoint.size == head.log_size and (paused or not kept.failures):
                return kept
            tree = TiledTree(head.log_size, state.tile)
            checkpoint = Checkpoint(origin=self._chain, size=head.log_size, root=head.log_root)
            proof = tree.consistency_path(self._cosigner.head.size)
            own = self._cosigner.cosign(checkpoint, proof=proof, time=int(self._clock()))
            self._asked_at = monotonic()
            collected = self._witnesses.collect(checkpoint, [own], tree.consistency_path)
            self._newest = SignedCheckpoint(
                checkpoint=checkpoint, lines=(own, *collected.lines), failures=collected.failures
            )
            return self._newest

    def close(self) -> None:
        """Close the connections to the witnesses."""
        self._witnesses.close()
