# SPDX-License-Identifier: Apache-2.0
"""Backup and restore of a whole node: the ledger, every served member's vault and access audit, the settings.

```
ledger/          genesis, blocks, state, manifest (storage/backup.py)
members/<id>/    vault/ (packs, index, all lists), slots.backup (encrypted), access/, outbox/
imports/         who is which member and person  node.toml
```
`copy_keys` makes the folder that is kept apart from it:

```
keys/            the node's own
members/<id>/    keys/, category.secrets
imports/         wallets/ and token.key of the FHIR import
```
Rules kept:
1. A backup holds no private key, no patient's wallet and no category secret: these go where the keys go, and nowhere
   else. The slots' backups open only with keys kept in a third place (`slot_backup_keys`), and lapse.
2. A restore checks every byte of the ledger, replays erasures before a vault serves, and, when the cosigner's state is
   given, refuses to order blocks behind what was cosigned.
3. What is named wrongly is refused before anything is written, and what fails half way leaves nothing.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Final, Protocol

from vervain.ledger.primitives.codec import decode
from vervain.node.config import SECONDS_PER_DAY, ConfigError, read_settings
from vervain.node.desk import MemberDesk
from vervain.node.directory import (
    ACCESS,
    KEYS,
    MEMBERS,
    OUTBOX,
    SECRETS_FILE,
    SLOT_BACKUPS,
    SLOT_KEYS,
    VAULT,
    DataDirectory,
)
from vervain.sealing.cosigner import SignedHead
from vervain.sealing.keys import read_private_file
from vervain.storage.backup import MANIFEST, BackupManifest, KnownHead, restore_backup
from vervain.storage.errors import StorageError
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.layout import ERASURES, SLOTS
from vervain.vault.slot_backups import SlotBackups
from vervain.vault.slot_format import FILE_BYTES_MAX, parse_file_header

LEDGER: Final = "ledger"
SLOTS_BACKUP: Final = "slots.backup"
_PLAIN_FOLDERS: Final = (ACCESS, OUTBOX)
_WALLETS: Final = "wallets"  # of the patients that the import enrolled, in clear
_TOKEN_KEY: Final = "token.key"
_UNFINISHED: Final = ".*"  # private files that a crash left half written


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
    if node.directory.imports.is_dir():
        left_out = shutil.ignore_patterns(_WALLETS, _TOKEN_KEY, _UNFINISHED)
        shutil.copytree(node.directory.imports, target / node.directory.imports.name, ignore=left_out)
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
        keys: The folder that `copy_keys` made.
        slot_keys: Folder of the slots backups' keys.
        cosigner_state: The newest `cosigner.state` there is; None says that nothing newer was ever cosigned.
        erasures: The newest data directory or backup there is, whose erasures lists are used; None: the backup's own.
        now: UTC seconds: a lapsed slots backup is refused.

    Raises: ConfigError when a folder is not what it should be; Corrupt, StorageError, VaultError; KeyErased when a
    slots backup has lapsed.
    """
    _require_restorable(backup, root, keys)
    _require_slot_keys(backup, slot_keys, now)
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
    for source in (backup, keys):
        if (source / directory.imports.name).is_dir():
            shutil.copytree(source / directory.imports.name, directory.imports, dirs_exist_ok=True)
    days = read_settings(directory.settings).slot_backup_days
    for kept in sorted((backup / MEMBERS).iterdir()):
        _restore_member(kept, directory, keys, slot_keys, erasures, days=days, now=now)


def _restore_member(
    kept: Path, directory: DataDirectory, keys: Path, slot_keys: Path, erasures: Path | None, *, days: int, now: int
) -> None:
    folder = directory.member(bytes.fromhex(kept.name))
    shutil.copytree(kept, folder, ignore=shutil.ignore_patterns(SLOTS_BACKUP))
    shutil.copytree(keys / MEMBERS / kept.name, folder, dirs_exist_ok=True)
    for name in (SLOT_KEYS, SLOT_BACKUPS):
        (folder / name).mkdir(mode=0o700)
    if erasures is not None:
        newest = erasures / MEMBERS / kept.name / VAULT / ERASURES
        if not newest.is_dir():
            raise ConfigError("There is no newer erasures list", why=f"{newest} does not exist", do="Check the folder.")
        shutil.rmtree(folder / VAULT / ERASURES)
        shutil.copytree(newest, folder / VAULT / ERASURES)
    backups = SlotBackups(
        folder / SLOT_BACKUPS, _backup_keys(slot_keys, kept), retention_seconds=days * SECONDS_PER_DAY
    )
    backups.restore(kept / SLOTS_BACKUP, folder / VAULT / SLOTS, SoftwareKeyHolder(folder / SLOT_KEYS), now=now)


def _backup_keys(slot_keys: Path, kept: Path) -> SoftwareKeyHolder:
    """Return the holder of the keys of one member's slots backups."""
    return SoftwareKeyHolder(slot_keys, name=f"backup-{kept.name[:16]}")


def copy_keys(root: Path, target: Path) -> None:
    """Copy what is secret of a node and its served members to a folder of its own, to be kept apart from backups.

    Raises: StorageError when the folder exists.
    """
    if target.exists():
        raise StorageError("The folder for keys exists", why=str(target), do="Choose a new one.")
    directory = DataDirectory(root)
    target.mkdir(parents=True, mode=0o700)
    shutil.copytree(directory.keys, target / KEYS)
    for organisation in directory.served_members():
        folder, kept = directory.member(organisation), target / MEMBERS / organisation.hex()
        shutil.copytree(folder / KEYS, kept / KEYS)
        if (folder / SECRETS_FILE).exists():
            shutil.copy2(folder / SECRETS_FILE, kept / SECRETS_FILE)
    imports, kept = directory.imports, target / directory.imports.name
    if (imports / _WALLETS).is_dir():
        shutil.copytree(imports / _WALLETS, kept / _WALLETS, ignore=shutil.ignore_patterns(_UNFINISHED))
    if (imports / _TOKEN_KEY).exists():
        shutil.copy2(imports / _TOKEN_KEY, kept / _TOKEN_KEY)


# Before anything is written


def require_apart(places: Mapping[str, Path]) -> None:
    """Refuse places of which two are one folder, or one lies inside another.

    Args:
        places: What is kept there, in words, to the folder.

    Raises: ConfigError.
    """
    for (inner, inside), (outer, around) in permutations(places.items(), 2):
        if inside.resolve().is_relative_to(around.resolve()):
            is_same = inside.resolve() == around.resolve()
            raise ConfigError(
                f"{inside} cannot be for both {inner} and {outer}"
                if is_same
                else f"{inside} is for {inner}, and lies in {around}, which is for {outer}",
                why="Whoever finds one of them would find the other",
                do="Name folders that are apart from each other, best on different machines.",
            )


def require_new(folder: Path, why: str) -> None:
    """Refuse a folder that is there already.

    Raises: ConfigError.
    """
    if folder.exists():
        raise ConfigError(f"{folder} is already there", why=why, do="Name a folder that does not exist.")


@contextmanager
def whole_or_nothing(*folders: Path) -> Iterator[None]:
    """Remove folders that did not exist before when what makes them fails."""
    try:
        yield
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_restorable(backup: Path, root: Path, keys: Path) -> None:
    """Refuse a backup that is none, a data directory that is there, and keys that are not of this backup."""
    require_new(root, "A restore replaces nothing")
    if not ((backup / LEDGER / MANIFEST).is_file() and (backup / MEMBERS).is_dir()):
        raise ConfigError(
            f"{backup} is not a finished backup",
            why=f"It has no {LEDGER}/{MANIFEST} or no {MEMBERS}",
            do="Name the folder that `vervain backup` made.",
        )
    imports = DataDirectory(keys).imports
    needed = [keys / KEYS, *(keys / MEMBERS / each.name / KEYS for each in (backup / MEMBERS).iterdir())]
    if (backup / imports.name).is_dir():
        needed.append(imports / _TOKEN_KEY)
    for path in needed:
        if not path.exists():
            raise ConfigError(
                f"{keys} does not hold the keys of this backup",
                why=f"{path} does not exist",
                do="Name the folder that `vervain backup --keys-to` made together with it.",
            )


def _require_slot_keys(backup: Path, slot_keys: Path, now: int) -> None:
    """Refuse a folder without the keys of slots backups in force; a lapsed one is told where it is opened."""
    for kept in sorted((backup / MEMBERS).iterdir()):
        header = parse_file_header(read_private_file(kept / SLOTS_BACKUP, FILE_BYTES_MAX))
        if header is None or header.lapses_at <= now or header.key_id in _backup_keys(slot_keys, kept).held():
            continue
        raise ConfigError(
            f"{slot_keys} does not hold the keys of this backup's slots",
            why="They are neither in the backup nor among the private keys",
            do="Name the folder that `slot_backup_keys` in node.toml names, or the copy of it that you kept.",
        )
