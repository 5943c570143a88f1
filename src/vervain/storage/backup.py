# SPDX-License-Identifier: Apache-2.0
"""Backup of a running member's blocks and state, and restore into a new directory.

Rules kept:
1. A backup is one consistent moment: the state as of one commit, and the blocks up to that height. The node goes on.
2. A backup or restore appears under its name only when it is whole and on the disk: it is made beside it and renamed.
3. A restore checks every file's digest, every block, every page of the state, and that its head is the manifest's.
4. A restore never replaces anything.
5. A restore cannot fork the chain behind a checkpoint that was cosigned: see `require_not_behind`. The newest cosigned
   checkpoint is therefore kept apart from the backup, and whoever restores must name it.

Keys, vaults and the read model are not in it: keys and slots have their own backups, the read model is built again.
"""

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from math import inf
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Final

import msgspec

from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.primitives.codec import Bytes32, Natural, NotCanonical, decode, encode
from vervain.ledger.primitives.merkle_log import TiledTree
from vervain.storage.block_audit import BlockAudit
from vervain.storage.block_format import RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentReader, segment_name
from vervain.storage.errors import Corrupt, StorageError
from vervain.storage.files import DIRECTORY_ENTRIES_MAX, FILE_MODE, FileLayer, RealFiles
from vervain.storage.lmdb_pages import PageDamage
from vervain.storage.lmdb_walk import LmdbWalk
from vervain.storage.state_store import DATA_FILE, StateStore
from vervain.storage.state_view import DATABASES

BLOCKS: Final = "blocks"
STATE: Final = "state"
GENESIS: Final = "genesis.json"
MANIFEST: Final = "manifest.json"
RESTORED_BEHIND: Final = "restored_behind"
MANIFEST_BYTES_MAX: Final = 2**28
COPY_BYTES: Final = 2**20  # copied at a time

FileName = Annotated[str, msgspec.Meta(pattern=rf"^({GENESIS}|{BLOCKS}/[0-9]{{8}}\.blocks|{STATE}/data\.mdb)\Z")]


class KnownHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log that somebody has cosigned: number of leaves and root."""

    size: Natural
    root: Bytes32


class BackupFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a backup."""

    name: FileName
    length: Natural
    digest: Bytes32


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds: chain, height, log size and roots, and each file with its length and SHA-256."""

    format: Annotated[int, msgspec.Meta(ge=1, le=1)]
    chain: Annotated[str, msgspec.Meta(max_length=256)]
    height: Natural
    log_size: Natural
    log_root: Bytes32
    app_hash: Bytes32
    files: Annotated[tuple[BackupFile, ...], msgspec.Meta(max_length=DIRECTORY_ENTRIES_MAX)]


def write_backup(
    directory: Path, target: Path, *, state: StateStore, chain: str, files: FileLayer | None = None
) -> BackupManifest:
    """Copy genesis, blocks and state of a data directory, in use or at rest, to a new folder.

    Args:
        directory: The data directory.
        target: The backup's folder; must not exist.
        state: The directory's state, open in this process.
        chain: The chain's id.
        files: The file layer.

    Raises: StorageError, Full.
    """
    files = RealFiles() if files is None else files
    partial = _begin(target, files)
    with state.view(seconds_max=inf) as view:
        head = view.head()
        if head is None:
            raise StorageError("There is nothing to back up yet", why="The chain is not founded", do="Found it first.")
        files.make_directory(partial / STATE)
        state.copy(view, partial / STATE)
    copied = [_kept(partial, f"{STATE}/{DATA_FILE}", files)]
    files.make_directory(partial / BLOCKS)
    for name, end in _segments_upto(directory / BLOCKS, head.height, files):
        copied.append(_copy(directory, partial, f"{BLOCKS}/{name}", files, end=end))
    if GENESIS in files.list(directory):
        copied.append(_copy(directory, partial, GENESIS, files))
    manifest = BackupManifest(
        format=1,
        chain=chain,
        height=head.height,
        log_size=head.log_size,
        log_root=head.log_root,
        app_hash=head.app_hash,
        files=tuple(copied),
    )
    _write(partial / MANIFEST, encode(manifest), files)
    _finish(partial, target, (STATE, BLOCKS, "."), files)
    return manifest


def restore_backup(
    backup: Path, target: Path, *, newest_known: KnownHead | None, files: FileLayer | None = None
) -> BackupManifest:
    """Make a new data directory from a backup, and check all of it.

    Args:
        backup: The backup's folder.
        target: The new data directory; must not exist.
        newest_known: The newest log that this member is known to have cosigned (its cosigner's state, kept apart; or a
            checkpoint that others hold). When it is ahead of the backup, the directory is marked: its node orders
            nothing until it has those blocks again. None says that nothing newer was ever cosigned.
        files: The file layer.

    Raises: Corrupt, StorageError, Full.
    """
    files = RealFiles() if files is None else files
    manifest = _read_manifest(backup / MANIFEST, files)
    partial = _begin(target, files)
    for folder in (BLOCKS, STATE):
        files.make_directory(partial / folder)
    for expected in manifest.files:
        if _copy(backup, partial, expected.name, files) != expected:
            raise Corrupt(backup / expected.name, 0, "The file is not the one that the manifest names")
    _require_whole(backup, partial, manifest, files)
    state = StateStore(partial / STATE, chain=manifest.chain)
    with closing(state), state.view(seconds_max=inf) as view:
        _require_head(backup, view.head(), view, manifest)
        if newest_known is not None and newest_known.size > manifest.log_size:
            _write(partial / RESTORED_BEHIND, encode(newest_known), files)
        elif newest_known is not None:
            require_not_behind(view, newest_known)
    _finish(partial, target, (STATE, BLOCKS, "."), files)
    return manifest


def require_not_behind(state: CommittedState, cosigned: KnownHead) -> None:
    """Refuse to go on from a state that is behind a cosigned log, or not the same log.

    Raises: StorageError.
    """
    head = state.head()
    size = 0 if head is None else head.log_size
    if size < cosigned.size:
        raise StorageError(
            f"This directory holds {size} log entries, but {cosigned.size} were already cosigned",
            why="It was restored from an older backup; ordering new blocks on it would fork the chain",
            do="Get the missing blocks from another member or a newer backup before this node orders blocks.",
        )
    if cosigned.size and TiledTree(size, state.tile).root_at(cosigned.size) != cosigned.root:
        raise StorageError(
            f"The first {cosigned.size} log entries here are not those that were cosigned",
            why="This is another history of the same chain",
            do="Keep both copies: they are evidence. Run `vervain audit`; ask the others for their checkpoints.",
        )


def require_caught_up(directory: Path, state: CommittedState, *, files: FileLayer | None = None) -> None:
    """Refuse to order blocks in a directory that was restored behind a cosigned log; remove the mark once it caught up.

    Call it on every start before the engine.

    Raises: StorageError, Corrupt.
    """
    files = RealFiles() if files is None else files
    mark = directory / RESTORED_BEHIND
    if mark.name not in files.list(directory):
        return
    try:
        cosigned = decode(_read(mark, files), KnownHead)
    except NotCanonical as error:
        raise Corrupt(mark, 0, "It does not name a cosigned log") from error
    require_not_behind(state, cosigned)
    files.remove(mark)
    files.sync_directory(directory)


# Making and finishing a folder


def _begin(target: Path, files: FileLayer) -> Path:
    """Return a new empty folder beside the target, which must not exist."""
    if target.exists():
        raise StorageError(
            f"{target.name} is already there",
            why="Neither a backup nor a restore replaces anything",
            do="Name a folder that does not exist.",
        )
    partial = target.with_name(target.name + ".partial")
    if partial.exists():
        rmtree(partial)  # left by an attempt that did not finish
    files.make_directory(partial)
    return partial


def _finish(partial: Path, target: Path, folders: tuple[str, ...], files: FileLayer) -> None:
    """Make every name durable, then give the folder its own."""
    for folder in folders:
        files.sync_directory(partial / folder)
    files.rename(partial, target)
    files.sync_directory(target.parent)


# Copying


def _segments_upto(blocks: Path, height: int, files: FileLayer) -> Iterator[tuple[str, int]]:
    """Yield (segment, bytes of it) that hold the blocks up to a height. Reads only, so the log may grow meanwhile."""
    number = 1
    while (name := segment_name(number)) in files.list(blocks):
        with closing(files.open(blocks / name)) as file:
            reader = SegmentReader(blocks / name, file)
            next_height, offset = reader.segment_header().first_height, SEGMENT_HEADER_BYTES
            if next_height > height:
                return
            while next_height <= height and offset < reader.end:
                offset += RECORD_HEADER_BYTES + reader.record_header(offset).length
                next_height += 1
        yield name, offset
        number += 1


def _copy(source: Path, target: Path, name: str, files: FileLayer, *, end: int | None = None) -> BackupFile:
    """Copy a file, or its first `end` bytes, durably."""
    digest, length = sha256(), 0
    with closing(files.open(source / name)) as read, closing(files.open(target / name, create=True)) as written:
        end = read.size() if end is None else end
        while length < end and (piece := read.read(length, min(COPY_BYTES, end - length))):
            written.append(piece)
            digest.update(piece)
            length += len(piece)
        written.sync()
    return BackupFile(name=name, length=length, digest=digest.digest())


def _kept(folder: Path, name: str, files: FileLayer) -> BackupFile:
    """Make a file that is already there durable and describe it."""
    digest, length = sha256(), 0
    (folder / name).chmod(FILE_MODE)
    with closing(files.open(folder / name)) as file:
        file.sync()
        while piece := file.read(length, COPY_BYTES):
            digest.update(piece)
            length += len(piece)
    return BackupFile(name=name, length=length, digest=digest.digest())


def _write(path: Path, encoded: bytes, files: FileLayer) -> None:
    """Write a small file durably; its name is synced with its folder."""
    with closing(files.open(path, create=True)) as file:
        file.append(encoded)
        file.sync()


def _read(path: Path, files: FileLayer) -> bytes:
    """Return a small file."""
    with closing(files.open(path)) as file:
        return file.read(0, MANIFEST_BYTES_MAX)


# Checking


def _read_manifest(path: Path, files: FileLayer) -> BackupManifest:
    """Return a backup's manifest. Raises: Corrupt, StorageError."""
    if path.name not in files.list(path.parent):
        raise StorageError(
            "This is not a finished backup",
            why=f"It has no {MANIFEST}",
            do="Name the folder that the backup was made in.",
        )
    try:
        return decode(_read(path, files), BackupManifest)
    except NotCanonical as error:
        raise Corrupt(path, 0, "The manifest cannot be read") from error


def _require_whole(backup: Path, partial: Path, manifest: BackupManifest, files: FileLayer) -> None:
    """Check every block and every page of the state. Raises: Corrupt."""

    def report(name: str, offset: int, what: str) -> None:
        raise Corrupt(backup / name, offset, what)

    blocks = BlockAudit(
        partial / BLOCKS,
        files,
        lambda name, offset, what: report(f"{BLOCKS}/{name}", offset, what),
        chain=manifest.chain,
        durable_height=manifest.height,
    )
    for _ in blocks.blocks():
        pass
    name = f"{STATE}/{DATA_FILE}"
    with closing(files.open(partial / name)) as file:
        try:
            walk = LmdbWalk(partial / name, file, lambda offset, what: report(name, offset, what))
            for tree in walk.trees(DATABASES).values():
                for _ in walk.rows(tree):
                    pass
            walk.finish()
        except PageDamage as damage:
            raise Corrupt(backup / name, damage.offset, damage.what) from damage


def _require_head(backup: Path, head: BlockSummary | None, state: CommittedState, manifest: BackupManifest) -> None:
    """The state's head is the manifest's, and its tiles give its root. Raises: Corrupt."""
    told = (manifest.height, manifest.log_size, manifest.log_root, manifest.app_hash)
    if head is None or (head.height, head.log_size, head.log_root, head.app_hash) != told:
        raise Corrupt(backup / MANIFEST, 0, "The state is of another height than the manifest says")
    if TiledTree(head.log_size, state.tile).root() != head.log_root:
        raise Corrupt(backup / STATE / DATA_FILE, 0, "The log's tiles do not give its root")
