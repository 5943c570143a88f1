# SPDX-License-Identifier: Apache-2.0
"""The facade of one running node: submit, query, prove, receipts; what gateways, portal and CLI stand on.

A node holds the embedded engine over its block log and state, the cosigner, the witnesses it asks, and the desks of the
members it serves. It decides nothing about the ledger: it may only ask.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Lock
from time import time as system_time
from types import TracebackType
from typing import Self

from vervain.engines.engine import FinalOutcome, Listener
from vervain.engines.errors import OutOfSync
from vervain.engines.solo.engine import SoloEngine
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.merkle_log import TiledTree
from vervain.node.backup import LEDGER, back_up_members
from vervain.node.config import SECONDS_PER_DAY, NodeSettings, read_settings
from vervain.node.cosigning import CheckpointDesk
from vervain.node.desk import MemberDesk
from vervain.node.directory import DataDirectory
from vervain.node.reading import ReadModel, StoredFeed
from vervain.node.receipts import ReceiptDesk
from vervain.node.trust import trust_file
from vervain.readmodel.queries import leaf_of
from vervain.sealing.receipts import Receipt
from vervain.storage.backup import BackupManifest, require_caught_up, write_backup
from vervain.storage.block_log import BlockLog
from vervain.storage.files import hold_directory
from vervain.storage.state_store import StateStore


class Node:
    """One member's node over its data directory.

    Use as a context manager, or call `start` and `stop`.

    Raises: ConfigError, StorageError, OutOfSync on opening; InvariantBroken when the signature library gives other
    verdicts.
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = system_time) -> None:
        signatures.self_test()
        self.directory = DataDirectory(root)
        self.settings: NodeSettings = read_settings(self.directory.settings)
        if not self.directory.exists:
            raise OutOfSync(
                "There is no chain in this directory", why=f"{root} has no genesis", do="Run `vervain init`."
            )
        self.genesis = self.directory.genesis.read_bytes()
        self.chain = chain_name(decode_genesis(self.genesis), self.genesis)
        self.clock = clock
        self._desks: dict[bytes, MemberDesk] = {}
        self._desks_lock = Lock()
        with ExitStack() as opened:
            opened.enter_context(hold_directory(root))
            self._open(opened)
            self._close = opened.pop_all()

    def _open(self, opened: ExitStack) -> None:
        """Open state, log, engine, tables and desks; `opened` closes them in the opposite order."""
        self._state = StateStore(self.directory.state, chain=self.chain)
        opened.callback(self._state.close)
        head = self._state.head()
        self._block_log = BlockLog(
            self.directory.blocks, chain=self.chain, durable_height=None if head is None else head.height
        )
        opened.callback(self._block_log.close)
        self.engine = SoloEngine(
            CATALOGUE,
            self._block_log,
            self._state,
            clock=self.clock,
            heartbeat_seconds=self.settings.heartbeat_seconds,
            catalogue_name="vervain.ledger.catalogue:CATALOGUE",
        )
        opened.callback(self.engine.stop)
        feed = StoredFeed(self._block_log, self.engine.view)
        self.read_model = ReadModel(self.directory.read_model, feed, is_busy=self.engine.is_busy)
        opened.callback(self.read_model.stop)
        opened.callback(self.engine.stop)  # before the tables, so that they have every block
        self.engine.listen(lambda block, finalized: self.read_model.projector.wake())
        self.checkpoints = CheckpointDesk(self.directory, self.settings, self.chain, self.engine.view, clock=self.clock)
        opened.callback(self.checkpoints.close)
        self.receipts = ReceiptDesk(self._block_log, self.engine, self.checkpoints)
        opened.callback(self._close_desks)

    # Life

    def start(self) -> Self:
        """Take transactions.

        Raises: StorageError when the directory is behind what this node, or the mark of a restore, says was cosigned.
        """
        try:
            with self.view() as state:
                require_caught_up(self.directory.root, state)
            self.checkpoints.require_not_behind()
        except BaseException:
            self.stop()
            raise
        self.engine.start()
        self.read_model.start()
        return self

    def stop(self) -> None:
        """Finish what is waiting, then close files."""
        self._close.close()

    def _close_desks(self) -> None:
        for desk in self._desks.values():
            desk.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # Writing

    def submit_many(self, encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]":
        """Hand in transactions; the future holds their durable outcomes in order.

        Raises: Unreachable.
        """
        return self.engine.submit(encoded)

    def submit(self, encoded: bytes, *, timeout_seconds: float = 30.0) -> FinalOutcome:
        """Hand in one transaction and wait for its durable outcome.

        Raises: Unreachable, TimeoutError (then it may still be ordered: send the same bytes again).
        """
        return self.engine.submit([encoded]).result(timeout_seconds)[0]

    # Reading

    def view(self) -> AbstractContextManager[CommittedState]:
        """Open a snapshot of the newest committed state."""
        return self.engine.view()

    def query(self, name: str, arguments: bytes = b"{}") -> bytes:
        """Answer a named question; canonical bytes in and out.

        Refuses: Malformed, NotFound and what the question's reader refuses.
        """
        with self.view() as state:
            return self.engine.application.query(name, arguments, state)

    @property
    def head(self) -> BlockSummary:
        """The newest durable height."""
        head = self.engine.application.head
        assert head is not None
        return head

    def block(self, height: int) -> Block:
        """Return a stored block.

        Raises: StorageError when there is none at this height.
        """
        return self._block_log.read(height)

    def blocks(self, from_height: int) -> Iterator[Block]:
        """Yield stored blocks from a height on."""
        return self._block_log.blocks(from_height)

    def outcome_of(self, txid: bytes) -> FinalOutcome | None:
        """Return what came of a transaction that was ordered at any time, or None when it never was."""
        self.read_model.catch_up()
        leaf_index = leaf_of(self.read_model.engine, txid)
        return None if leaf_index is None else self.receipts.outcome_at(leaf_index)

    def desk(self, organisation: bytes) -> MemberDesk:
        """Return the desk of a member that this node serves; opened once, closed with the node.

        Raises: KeyFileRefused when this node has no keys of that member.
        """
        with self._desks_lock:  # requests come on several threads, and a vault's folder is held once
            if organisation not in self._desks:
                self._desks[organisation] = MemberDesk(
                    self,
                    self.directory.member(organisation),
                    backup_keys=self.directory.root / self.settings.slot_backup_keys,
                    backup_seconds=self.settings.slot_backup_days * SECONDS_PER_DAY,
                    vault_bytes_max=next(
                        (each.vault_bytes_max for each in self.settings.hosted if each.organisation == organisation),
                        None,
                    ),
                )
            return self._desks[organisation]

    def listen(self, listener: Listener) -> None:
        """Have `listener` called after each durable block, on the engine's thread."""
        self.engine.listen(listener)

    def back_up(self, target: Path) -> BackupManifest:
        """Copy ledger, vaults, access audits and settings to a new folder, while the node runs. No key is in it.

        Raises: StorageError, VaultError.
        """
        manifest = write_backup(self.directory.root, target / LEDGER, state=self._state, chain=self.chain)
        back_up_members(self, target)
        return manifest

    # Proof

    def receipt(self, leaf_index: int, entry_index: int = 0) -> Receipt:
        """Return the receipt of one entry of the transaction at a log index, under the newest cosigned checkpoint.

        Refuses: NotFound when there is no such leaf, transaction or entry.
        """
        return self.receipts.of_entry(leaf_index, entry_index)

    def trust_file(self) -> bytes:
        """Return the trust file of this chain as this node knows it."""
        with self.view() as state:
            return trust_file(chain=self.chain, genesis=self.genesis, settings=self.settings, state=state)

    def consistency_path(self, old_size: int, size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of `old_size` leaves is a prefix of the log of `size`."""
        with self.view() as state:
            return TiledTree(self.head.log_size, state.tile).consistency_path(old_size, size)
