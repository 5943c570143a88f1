# SPDX-License-Identifier: Apache-2.0
"""Backups of the slots: they open with their own key until their time is over."""

from pathlib import Path

import pytest

from tests.unit.vault.kept import NOW, RETENTION_SECONDS, Kept
from vervain.storage.errors import Corrupt
from vervain.vault.errors import KeyErased
from vervain.vault.slots import Slots


def slots_of(kept: Kept) -> Slots:
    """Begin slots of two subjects."""
    slots = Slots(kept.root / "slots.bin", kept.holder, is_new=True)
    slots.add([b"1" * 32, b"2" * 32])
    return slots


def test_backup_restores_every_slot(tmp_path: Path) -> None:
    """Given a backup. When restored under a fresh key. Then the slots are the same and the numbers go on."""
    kept = Kept(tmp_path)
    slots = slots_of(kept)
    backup = kept.backups.make(slots, now=NOW)
    slots.erase({1}, erasures_applied=1)
    (kept.root / "slots.bin").unlink()
    kept.backups.restore(backup, kept.root / "slots.bin", kept.holder, now=NOW + 1)
    restored = Slots(kept.root / "slots.bin", kept.holder, is_new=False)
    assert restored.find(1) is not None and (restored.next_number, restored.erasures_applied) == (3, 0)
    assert backup.stat().st_mode & 0o777 == 0o600


def test_backup_lapses_after_its_retention(tmp_path: Path) -> None:
    """Given a backup and its copy. When its time is over. Then file and key are gone, and the copy opens no more."""
    kept = Kept(tmp_path)
    backup = kept.backups.make(slots_of(kept), now=NOW)
    copy = tmp_path / "copy.backup"
    copy.write_bytes(backup.read_bytes())
    copy.chmod(0o600)
    assert kept.backups.lapse(now=NOW + RETENTION_SECONDS - 1) == 0
    assert kept.backups.lapse(now=NOW + RETENTION_SECONDS) == 1
    assert not backup.exists() and list((tmp_path / "backup-keys").iterdir()) == []
    for now in (NOW, NOW + RETENTION_SECONDS):
        with pytest.raises(KeyErased):
            kept.backups.restore(copy, tmp_path / "other.bin", kept.holder, now=now)


def test_altered_backup_is_refused(tmp_path: Path) -> None:
    """Given a backup. When a byte of header or slots is altered. Then it is not restored."""
    kept = Kept(tmp_path)
    backup = kept.backups.make(slots_of(kept), now=NOW)
    content = backup.read_bytes()
    for position in (0, 30, 60, len(content) - 1):
        backup.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(Corrupt):
            kept.backups.restore(backup, tmp_path / "other.bin", kept.holder, now=NOW)


def test_erasure_is_complete_when_the_last_backup_lapses(tmp_path: Path) -> None:
    """Given no backup, then one. When asked when an erasure is complete. Then at once, then after the retention."""
    kept = Kept(tmp_path)
    assert kept.backups.erasure_complete_at(erased_at=NOW) == NOW
    kept.backups.make(slots_of(kept), now=NOW - 5)
    assert kept.backups.erasure_complete_at(erased_at=NOW) == NOW + RETENTION_SECONDS
