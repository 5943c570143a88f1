# SPDX-License-Identifier: Apache-2.0
"""Backup and restore of a whole node: the ledger, every served member's vault and access audit, the settings.

```
ledger/          genesis, blocks, state, manifest (storage/backup.py)
members/<id>/    vault/ (packs, index, all lists), slots.backup (encrypted), access/, outbox/, category.secrets
imports/  node.toml
```
Rules kept:
1. A backup holds no private key. The slots' backups open only with keys kept elsewhere (`slot_backup_keys`), and lapse.
2. A restore checks every byte of the ledger, replays erasures before a vault serves, and, when the cosigner's state is
   given, refuses to order blocks behind what was cosigned.
"""

import shutil
from pathlib import Path
from typing import Final, Protocol

from vervain.ledger.primitives.codec import decode
from vervain.node.config import read_settings
from vervain.node.desk import ACCESS, SLOT_BACKUPS, SLOT_KEYS, VAULT, MemberDesk
from vervain.node.directory import DataDirectory
from vervain.sealing.cosigner import SignedHead
from vervain.storage.backup import BackupManifest, KnownHead, restore_backup
from vervain.storage.errors import StorageError
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.layout import ERASURES, SLOTS
from vervain.vault.slot_backups import SlotBackups

LEDGER: Final = "ledger"
MEMBERS: Final = "members"
SLOTS_BACKUP: Final = "slots.backup"
SECRETS: Final = "category.secrets"
KEYS: Final = "keys"
_PLAIN_FOLDERS: Final = (ACCESS, "outbox")
SECONDS_PER_DAY: Final = 86_400


class Served(Protocol):
    """A running node, as far as a backup needs it."""

    @property
    def directory(self) -> DataDirectory: ...
    def desk(self, organisation: bytes) -> MemberDesk: ...


def back_up_members(node: Served, target: Path) -> None:
    """Copy every served member's vault and lists, and the settings, into a backup's folder.

    Raises: StorageError, VaultError.
    """
    for organisation in node.directory.served_members():
        desk, folder = node.desk(organisation), node.directory.member(organisation)
        kept = target / MEMBERS / organisation.hex()
        desk.vault.back_up(kept / VAULT)
        shutil.copy2(desk.back_up_slots(), kept / SLOTS_BACKUP)
        for name in _PLAIN_FOLDERS:
            shutil.copytree(folder / name, kept / name)
        if (folder / SECRETS).exists():
            shutil.copy2(folder / SECRETS, kept / SECRETS)
    if node.directory.imports.is_dir():
        shutil.copytree(node.directory.imports, target / node.directory.imports.name)
    shutil.copy2(node.directory.settings, target / node.directory.settings.name)


def restore_node(
    backup: Path,
    root: Path,
    *,
    keys: Path,
    slot_keys: Path,
    cosigner_state: Path | None,
    erasures: Path | None,
    now: int,
) -> BackupManifest:
    """Make a data directory from a backup and from keys that were kept elsewhere.

    Args:
        backup: The backup's folder.
        root: The new data directory; must not exist.
        keys: Folder with the node's `keys/` and each member's `members/<id>/keys/`, as in a data directory.
        slot_keys: Folder of the slots backups' keys.
        cosigner_state: The newest `cosigner.state` there is; None says that nothing newer was ever cosigned.
        erasures: The newest data directory or backup there is, whose erasures lists are used; None: the backup's own.
        now: UTC seconds: a lapsed slots backup is refused.

    Raises: Corrupt, StorageError, VaultError, KeyErased when a slots backup has lapsed.
    """
    known = None
    if cosigner_state is not None:
        signed = decode(cosigner_state.read_bytes().removesuffix(b"\n"), SignedHead)
        known = KnownHead(size=signed.size, root=signed.root)
    manifest = restore_backup(backup / LEDGER, root, newest_known=known)
    try:
        _restore_members(backup, root, keys, slot_keys, cosigner_state, erasures, now)
    except BaseException:
        shutil.rmtree(root)  # half a data directory must not look like a whole one
        raise
    return manifest


def _restore_members(
    backup: Path, root: Path, keys: Path, slot_keys: Path, cosigner_state: Path | None, erasures: Path | None, now: int
) -> None:
    directory = DataDirectory(root)
    shutil.copy2(backup / directory.settings.name, directory.settings)
    shutil.copytree(keys / KEYS, directory.keys)
    if cosigner_state is not None:
        shutil.copy2(cosigner_state, directory.cosigner_state)
    if (backup / directory.imports.name).is_dir():
        shutil.copytree(backup / directory.imports.name, directory.imports)
    days = read_settings(directory.settings).slot_backup_days
    for kept in sorted((backup / MEMBERS).iterdir()):
        _restore_member(kept, directory, keys, slot_keys, erasures, days=days, now=now)


def _restore_member(
    kept: Path, directory: DataDirectory, keys: Path, slot_keys: Path, erasures: Path | None, *, days: int, now: int
) -> None:
    folder = directory.member(bytes.fromhex(kept.name))
    shutil.copytree(kept, folder, ignore=shutil.ignore_patterns(SLOTS_BACKUP))
    shutil.copytree(keys / MEMBERS / kept.name / KEYS, folder / KEYS)
    for name in (SLOT_KEYS, SLOT_BACKUPS):
        (folder / name).mkdir(mode=0o700)
    if erasures is not None:
        newest = erasures / MEMBERS / kept.name / VAULT / ERASURES
        if not newest.is_dir():
            raise StorageError(
                "There is no newer erasures list", why=f"{newest} does not exist", do="Check the folder."
            )
        shutil.rmtree(folder / VAULT / ERASURES)
        shutil.copytree(newest, folder / VAULT / ERASURES)
    holder = SoftwareKeyHolder(slot_keys, name=f"backup-{kept.name[:16]}")
    backups = SlotBackups(folder / SLOT_BACKUPS, holder, retention_seconds=days * SECONDS_PER_DAY)
    backups.restore(kept / SLOTS_BACKUP, folder / VAULT / SLOTS, SoftwareKeyHolder(folder / SLOT_KEYS), now=now)


def copy_keys(root: Path, target: Path) -> None:
    """Copy the private keys of a node and its served members to a folder of their own, to be kept apart from backups.

    Raises: StorageError when the folder exists.
    """
    if target.exists():
        raise StorageError("The folder for keys exists", why=str(target), do="Choose a new one.")
    directory = DataDirectory(root)
    target.mkdir(parents=True, mode=0o700)
    shutil.copytree(directory.keys, target / KEYS)
    for organisation in directory.served_members():
        shutil.copytree(directory.member(organisation) / KEYS, target / MEMBERS / organisation.hex() / KEYS)
