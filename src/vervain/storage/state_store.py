# SPDX-License-Identifier: Apache-2.0
"""The state of a chain in one LMDB file: snapshots for readers, one atomic durable step for the writer.

Rules kept:
1. Rows, buckets, tiles, outcomes, remembered ids and the head of one block, or of a group of blocks, are written in one
   LMDB transaction: all or nothing, durable when `commit` returns.
2. Readers never wait for the writer, nor the writer for readers. A view's age is bounded, because an old view pins
   pages and the file grows.
3. The room set aside (`map_size`) is address space, not disk. It is at least twice what is used when the state is
   opened, and grows when more than half is used, at a moment without views and commits; opening again always helps.
4. A directory of another chain or format is refused.
5. Heights follow each other without a gap: the state is never ahead of what it was given.

LMDB blocks: never call this from an event loop. Source: architecture.md "Durability"; docs/concepts/storage.md.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

import lmdb

from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.errors import InvariantBroken
from vervain.storage.errors import Corrupt, Full, StorageError
from vervain.storage.files import NO_ROOM, FileLayer, RealFiles
from vervain.storage.state_view import (
    CHAIN,
    DATABASES,
    FORMAT,
    HEAD,
    VIEW_SECONDS_MAX,
    StateView,
    bucket_key,
    height_key,
    tile_key,
)

STATE_FORMAT: Final = b"1"
ENGINE: Final = 0  # LMDB 0.9: the page layout that the audit walks
MAP_BYTES: Final = 2**36  # 64 GiB of address space to begin with
MAP_BYTES_MAX: Final = 2**44  # 16 TiB
READERS_MAX: Final = 512
GROUP_BLOCKS_MAX: Final = 10_000  # blocks committed in one step
NEARLY_FULL_BYTES: Final = 2**26  # less is left on the disk: a failed write is told as a full disk
DATA_FILE: Final = "data.mdb"


class StateStore:
    """One chain's state under a directory. One writing thread; any number of reading threads."""

    def __init__(
        self,
        directory: Path,
        *,
        chain: str,
        map_size: int = MAP_BYTES,
        durable: bool = True,
        files: FileLayer | None = None,
    ) -> None:
        """Open the state, or begin it when there is none.

        Args:
            directory: The folder of the state.
            chain: The chain's id; another chain's state is refused.
            map_size: Bytes of address space to begin with; a power of two.
            durable: False only for a scratch copy that a crash may destroy.
            files: The file layer, for the directory's name.

        Raises: StorageError, Corrupt, Full.
        """
        assert map_size & (map_size - 1) == 0 and map_size <= MAP_BYTES_MAX
        files = RealFiles() if files is None else files
        files.make_directory(directory)
        self.directory, self._durable = directory, durable
        self._gate = Lock()
        self._writing = self._wants_room = False
        self._views = 0  # open now
        self._map_size = _roomy(directory / DATA_FILE, map_size)
        with _told_plainly(directory):
            self._environment = lmdb.open(
                str(directory),
                map_size=self._map_size,
                max_dbs=len(DATABASES),
                max_readers=READERS_MAX,
                max_spare_txns=8,
                sync=durable,
                metasync=durable,
                mode=0o600,
                lib_version=ENGINE,
                readahead=False,
            )
            try:
                self._page_bytes = self._environment.stat()["psize"]
                self._databases = self._begin(chain)
                if durable:
                    files.sync_directory(directory)
            except BaseException:
                self._environment.close()
                raise

    def close(self) -> None:
        """Close the state; every view must be closed."""
        self._environment.close()

    # Reading

    @contextmanager
    def view(self, *, seconds_max: float = VIEW_SECONDS_MAX) -> Iterator[StateView]:
        """Open a snapshot of the newest commit.

        Args:
            seconds_max: Iterating over it is refused when it is older. Ask for more only for a backup or a snapshot.
        """
        with self._gate:
            if self._wants_room:
                self._grow()
            self._views += 1
        try:
            with _told_plainly(self.directory), self._environment.begin() as transaction:
                yield StateView(transaction, self._databases, seconds_max)
        finally:
            with self._gate:
                self._views -= 1

    def head(self) -> BlockSummary | None:
        """Return the newest height's summary, None before genesis."""
        with self.view() as view:
            return view.head()

    def copy(self, view: StateView, directory: Path) -> None:
        """Write the state as a view shows it, without free pages, into an empty directory. Not synced.

        Raises: Full, StorageError.
        """
        with _told_plainly(directory):
            self._environment.copy(str(directory), compact=True, txn=view.transaction)

    # Writing

    def commit(self, changes: Changes) -> None:
        """Write all that one block changed, in one atomic durable step.

        Raises: Full, StorageError. Then the state is as it was before.
        """
        self.commit_group((changes,))

    def commit_group(self, group: Sequence[Changes]) -> None:
        """Write what several blocks in a row changed, in one atomic durable step.

        Raises: Full, StorageError. Then the state is as it was before.
        """
        assert 0 < len(group) <= GROUP_BLOCKS_MAX
        with _told_plainly(self.directory):
            try:
                self._write(group)
            except lmdb.MapFullError:
                with self._gate:
                    self._wants_room = True
                    if not self._grow():
                        raise
                self._write(group)

    # Private

    def _begin(self, chain: str) -> "dict[str, lmdb._Database]":
        """Open the named databases; write or check chain and format."""
        with self._environment.begin(write=True) as transaction:
            databases = {name: self._environment.open_db(name.encode("ascii"), txn=transaction) for name in DATABASES}
            meta = databases["meta"]
            found = transaction.get(FORMAT, db=meta), transaction.get(CHAIN, db=meta)
            if found == (None, None):
                transaction.put(FORMAT, STATE_FORMAT, db=meta)
                transaction.put(CHAIN, chain.encode("ascii"), db=meta)
            elif found[0] != STATE_FORMAT:
                raise StorageError(
                    "The state is of another format",
                    why="This release reads and writes format 1",
                    do="Use the release that wrote it, or restore from a backup or another member.",
                )
            elif found[1] != chain.encode("ascii"):
                raise StorageError(
                    "The state belongs to another chain", do="Check which data directory the node was given."
                )
        return databases

    def _write(self, group: Sequence[Changes]) -> None:
        """Write a group in one LMDB transaction."""
        with self._gate:
            self._writing = True
        try:
            with self._environment.begin(write=True) as transaction:
                head = StateView(transaction, self._databases, VIEW_SECONDS_MAX).head()
                for changes in group:
                    if head is not None and changes.summary.height != head.height + 1:
                        raise InvariantBroken(f"height {changes.summary.height} cannot follow height {head.height}")
                    _write_block(transaction, self._databases, changes)
                    head = changes.summary
                assert head is not None
                transaction.put(HEAD, encode(head), db=self._databases["meta"])
        finally:
            with self._gate:
                self._writing = False
                used = (self._environment.info()["last_pgno"] + 1) * self._page_bytes
                self._wants_room = 2 * used > self._map_size

    def _grow(self) -> bool:
        """Double the room if nobody is reading or writing now and it may still grow; the gate is held."""
        if self._views or self._writing or self._map_size >= MAP_BYTES_MAX:
            return False
        self._environment.set_mapsize(2 * self._map_size)
        self._map_size *= 2
        self._wants_room = False
        return True


def _write_block(
    transaction: "lmdb.Transaction[bytes]", databases: "dict[str, lmdb._Database]", changes: Changes
) -> None:
    """Write one block's changes; one call of LMDB a database."""
    height = height_key(changes.summary.height)
    _put_or_delete(transaction, databases["rows"], changes.rows)
    _put_or_delete(
        transaction, databases["buckets"], [(bucket_key(i), pairs or None) for i, pairs, _ in changes.buckets]
    )
    _put_or_delete(
        transaction,
        databases["bucket_roots"],
        [(bucket_key(i), root if pairs else None) for i, pairs, root in changes.buckets],
    )
    _put_or_delete(
        transaction, databases["tiles"], [(tile_key(level, i), hashes) for level, i, hashes in changes.tiles]
    )
    _put_or_delete(transaction, databases["unexpired"], changes.unexpired_added)
    for key in changes.unexpired_removed:
        transaction.delete(key, db=databases["unexpired"])
    transaction.put(height, changes.outcomes, db=databases["outcomes"])
    transaction.put(height, encode(changes.summary), db=databases["summaries"])


def _put_or_delete(
    transaction: "lmdb.Transaction[bytes]",
    database: "lmdb._Database",
    writes: Iterable[tuple[bytes, bytes | None]],
) -> None:
    """Write pairs in one call; None deletes."""
    kept, deleted = [], []
    for key, value in writes:
        if value is None:
            deleted.append(key)
        else:
            kept.append((key, value))
    if kept:
        with transaction.cursor(database) as cursor:
            cursor.putmulti(kept)
    for key in deleted:
        transaction.delete(key, db=database)


def _roomy(data_file: Path, map_size: int) -> int:
    """Return the room to open with: what was asked, doubled until at most half of it is used."""
    used = data_file.stat().st_size if data_file.exists() else 0
    while map_size < 2 * used and map_size < MAP_BYTES_MAX:
        map_size *= 2
    return map_size


def _is_nearly_full(directory: Path) -> bool:
    """Is the disk the likely reason? LMDB tells a write that was cut short by a full disk as an input/output error."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize < NEARLY_FULL_BYTES


def _full(why: str, do: str) -> Full:
    return Full("There is no room left in the state", why=why, do=do)


@contextmanager
def _told_plainly(directory: Path) -> Iterator[None]:
    """Translate LMDB's errors."""
    try:
        yield
    except lmdb.MapFullError as error:
        raise _full(
            "Its room is used up and readings hold it", "Start the node again: opening makes more room."
        ) from error
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.VersionMismatchError) as error:
        raise Corrupt(directory / DATA_FILE, 0, "It is not a state file that this release wrote") from error
    except lmdb.Error as error:
        code = getattr(error, "code", None)
        if code in NO_ROOM or (code == errno.EIO and _is_nearly_full(directory)):
            raise _full("The disk or the quota is full", "Free some room and start the node again.") from error
        raise StorageError(
            "The state cannot be used",
            why="The database layer refused",
            do="Check that the disk is healthy and the directory belongs to this user; then start the node again.",
        ) from error
