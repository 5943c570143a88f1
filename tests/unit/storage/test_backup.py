# SPDX-License-Identifier: Apache-2.0
"""Backup and restore: one moment of a running node, checked whole, never a way to fork behind a cosigned log."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from tests.toy_ledger import GENESIS
from tests.unit.storage.toy_directory import CHAIN, audited, flip, replay, write_blocks, write_directory
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.merkle_log import TiledTree
from vervain.storage.backup import (
    MANIFEST,
    RESTORED_BEHIND,
    BackupManifest,
    KnownHead,
    require_caught_up,
    require_not_behind,
    restore_backup,
    write_backup,
)
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import Corrupt, StorageError
from vervain.storage.state_store import StateStore


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's data directory at height 20."""
    directory = tmp_path / "node"
    write_directory(directory, 20)
    (directory / "genesis.json").write_bytes(GENESIS)
    return directory


@pytest.fixture
def state(node: Path) -> Iterator[StateStore]:
    """Its open state."""
    with closing(StateStore(node / "state", chain=CHAIN, map_size=2**24)) as store:
        yield store


def back_up(node: Path, state: StateStore) -> tuple[Path, BackupManifest]:
    """Write a backup beside the node."""
    target = node.parent / "backup"
    return target, write_backup(node, target, state=state, chain=CHAIN)


def test_a_restored_backup_is_the_node(node: Path, state: StateStore) -> None:
    """Given a backup, When it is restored, Then blocks and state are the node's, and the audit is clean."""
    backup, manifest = back_up(node, state)
    target = node.parent / "restored"

    assert restore_backup(backup, target, newest_known=None) == manifest
    assert (manifest.height, manifest.chain) == (20, CHAIN)
    assert audited(target) == []
    assert list(BlockLog(target / "blocks", chain=CHAIN).blocks()) == list(
        BlockLog(node / "blocks", chain=CHAIN).blocks()
    )
    assert (target / "genesis.json").read_bytes() == GENESIS
    assert sorted(path.name for path in node.parent.iterdir()) == ["backup", "node", "restored"]


def test_a_backup_is_one_moment_of_a_node_that_goes_on(tmp_path: Path) -> None:
    """Given a log that is ahead of the state, When it is backed up, Then the backup ends at the state's height."""
    node = tmp_path / "node"
    blocks = write_blocks(node, 20)
    with closing(StateStore(node / "state", chain=CHAIN, map_size=2**24)) as state:
        for changes in replay(blocks[:12], state):
            state.commit(changes)
        backup, manifest = back_up(node, state)
    restore_backup(backup, tmp_path / "restored", newest_known=None)

    assert manifest.height == 11
    assert list(BlockLog(tmp_path / "restored" / "blocks", chain=CHAIN).blocks()) == blocks[:12]
    assert audited(tmp_path / "restored") == []


def test_nothing_is_replaced(node: Path, state: StateStore) -> None:
    """Given a folder of the target's name, When a backup or restore is made there, Then it is refused."""
    backup, _ = back_up(node, state)

    with pytest.raises(StorageError, match="already there"):
        back_up(node, state)
    with pytest.raises(StorageError, match="already there"):
        restore_backup(backup, node, newest_known=None)


def test_an_unfinished_attempt_is_made_again(node: Path, state: StateStore) -> None:
    """Given what an interrupted backup left, When it is made again, Then it is whole."""
    (node.parent / "backup.partial" / "blocks").mkdir(parents=True)
    (node.parent / "backup.partial" / "blocks" / "00000001.blocks").write_bytes(b"half")
    backup, _ = back_up(node, state)

    restore_backup(backup, node.parent / "restored", newest_known=None)


def test_an_unfinished_backup_is_refused(node: Path, state: StateStore) -> None:
    """Given a folder without a manifest, When it is restored, Then it is refused and no target is made."""
    backup, _ = back_up(node, state)
    (backup / MANIFEST).unlink()

    with pytest.raises(StorageError, match="not a finished backup"):
        restore_backup(backup, node.parent / "restored", newest_known=None)
    assert not (node.parent / "restored").exists()


@pytest.mark.parametrize("name", ["blocks/00000002.blocks", "state/data.mdb", "genesis.json", MANIFEST])
def test_an_altered_backup_is_refused(node: Path, state: StateStore, name: str) -> None:
    """Given a backup with one changed byte, When it is restored, Then it is refused and no target is made."""
    backup, _ = back_up(node, state)
    flip(backup / name, (backup / name).stat().st_size // 2, 0x08)

    with pytest.raises(StorageError):
        restore_backup(backup, node.parent / "restored", newest_known=None)
    assert not (node.parent / "restored").exists()


def test_a_manifest_that_names_a_file_elsewhere_is_refused(node: Path, state: StateStore) -> None:
    """Given a manifest whose file leads out of the folder, When it is restored, Then it is refused."""
    backup, _ = back_up(node, state)
    encoded = (backup / MANIFEST).read_bytes().replace(b'"genesis.json"', b'"../genesis.json"')
    (backup / MANIFEST).write_bytes(encoded)

    with pytest.raises(Corrupt, match="manifest"):
        restore_backup(backup, node.parent / "restored", newest_known=None)


def test_a_manifest_of_another_height_is_refused(node: Path, state: StateStore) -> None:
    """Given a manifest that tells another app hash, When it is restored, Then it is refused."""
    backup, manifest = back_up(node, state)
    (backup / MANIFEST).write_bytes(encode(structs.replace(manifest, height=19)))

    with pytest.raises(Corrupt, match="another height"):
        restore_backup(backup, node.parent / "restored", newest_known=None)


def test_a_restore_behind_a_cosigned_log_orders_nothing_until_it_has_caught_up(node: Path, state: StateStore) -> None:
    """Given a log cosigned after the backup, When the backup is restored, Then it waits for exactly those blocks."""
    with closing(StateStore(node.parent / "early", chain=CHAIN, map_size=2**24)) as early:
        blocks = list(BlockLog(node / "blocks", chain=CHAIN).blocks())
        for changes in replay(blocks[:8], early):
            early.commit(changes)
        backup = node.parent / "backup"
        write_backup(node, backup, state=early, chain=CHAIN)
    head = state.head()
    assert head is not None
    target = node.parent / "restored"
    restore_backup(backup, target, newest_known=KnownHead(size=head.log_size, root=head.log_root))

    with closing(StateStore(target / "state", chain=CHAIN, map_size=2**24)) as restored:
        with restored.view() as view, pytest.raises(StorageError, match="were already cosigned"):
            require_caught_up(target, view)
        with closing(StateStore(node.parent / "again", chain=CHAIN, map_size=2**24)) as again:
            for changes in replay(blocks, again):
                again.commit(changes)
                if changes.summary.height > 7:
                    restored.commit(changes)
        assert (target / RESTORED_BEHIND).exists()
        with restored.view() as view:
            require_caught_up(target, view)
            require_caught_up(target, view)
    assert not (target / RESTORED_BEHIND).exists()


def test_a_restore_of_another_history_is_refused(node: Path, state: StateStore) -> None:
    """Given a cosigned log that the backup does not continue, When it is restored, Then it is refused."""
    backup, manifest = back_up(node, state)

    with pytest.raises(StorageError, match="not those that were cosigned"):
        restore_backup(
            backup, node.parent / "restored", newest_known=KnownHead(size=manifest.log_size - 1, root=bytes(32))
        )


def test_a_cosigned_log_that_is_held_is_accepted(node: Path, state: StateStore) -> None:
    """Given a cosigned log that is part of the state's, When it is asked for, Then nothing is refused."""
    with state.view() as view:
        head = view.head()
        assert head is not None
        tree = TiledTree(head.log_size, view.tile)
        for size in range(head.log_size + 1):
            require_not_behind(view, KnownHead(size=size, root=tree.root_at(size)))
        with pytest.raises(StorageError, match="already cosigned"):
            require_not_behind(view, KnownHead(size=head.log_size + 1, root=head.log_root))
