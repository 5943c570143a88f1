# SPDX-License-Identifier: Apache-2.0
"""The vault's audit: clean when clean, and every planted alteration is named."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from tests.unit.vault.kept import CUSTODIAN, HE, NOW, Kept, document
from vervain.storage.files import RealFiles
from vervain.storage.findings import Finding
from vervain.storage.lmdb_walk import LmdbWalk
from vervain.vault.audit import audit_vault
from vervain.vault.index import DATABASES
from vervain.vault.notices import NoticeEntry
from vervain.vault.releases import ReleaseEntry

ROWS = 60


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A vault at rest: documents of two subjects, an erased one, a release, a notice."""
    kept = Kept(tmp_path_factory.mktemp("audit"))
    with kept.open() as vault:
        made = vault.put([document(number, record=number) for number in range(1, ROWS)])
        vault.put([document(number, HE) for number in range(ROWS, 2 * ROWS)])
        vault.erase_documents([made[5].document], key=CUSTODIAN, now=NOW)
        entry = ReleaseEntry(
            at=NOW, purpose="own", commitment=made[0].commitment, recipient=b"r" * 32, scope=b"s" * 32, access=0
        )
        vault.releases.record([entry])
        vault.notices.record(NoticeEntry(at=NOW, subject=HE, grant=b"g" * 32, access=1, sealed=b"sealed"))
    return kept


def audit(kept: Kept) -> list[Finding]:
    """Audit the vault at rest."""
    return list(audit_vault(kept.root / "vault", custodian=CUSTODIAN.actor, holder=kept.holder))


def altered(path: Path, position: int) -> Iterator[None]:
    """Alter one byte while the caller looks, then put it back."""
    content = path.read_bytes()
    path.write_bytes(content[:position] + bytes([content[position] ^ 0x11]) + content[position + 1 :])
    try:
        yield
    finally:
        path.write_bytes(content)


def test_clean_vault_has_no_findings(kept: Kept) -> None:
    """Given a vault with an erased document. When audited, open or at rest. Then there is nothing to tell."""
    assert audit(kept) == []
    with kept.open() as vault:
        assert list(vault.audit()) == []


@pytest.mark.parametrize(
    "name",
    ["packs/00000001.pack", "slots.bin", "erasures/00000001.log", "releases/00000001.log", "notices/00000001.log"],
)
def test_altered_byte_is_found_with_its_place(kept: Kept, name: str) -> None:
    """Given one altered byte, at 60 places drawn by a seed. When audited.

    Then a finding at or before it names the file.
    """
    path, chance = kept.root / "vault" / name, random.Random(1)
    size = path.stat().st_size
    for position in (0, size - 1, *(chance.randrange(size) for _ in range(60))):
        for _ in altered(path, position):
            findings = [finding for finding in audit(kept) if finding.file == name]
            assert findings and min(finding.offset for finding in findings) <= position, position
    assert audit(kept) == []


def test_altered_byte_of_any_live_row_is_found(kept: Kept) -> None:
    """Given one altered byte in key or value of a live row of any tree. When audited. Then the index is named."""
    path, chance = kept.root / "vault" / "index" / "data.mdb", random.Random(2)
    places: list[tuple[str, int]] = []
    with closing(RealFiles().open(path)) as file:
        walk = LmdbWalk(path, file, lambda offset, what: pytest.fail(what))
        for name, tree in walk.trees(DATABASES).items():
            for row in walk.rows(tree):
                if row is not None and (chance.random() < 0.15 or name in ("meta", "subjects")):
                    spots = [row.key_at + chance.randrange(len(row.key))]
                    spots += [row.value_at + chance.randrange(len(row.value))] if row.value else []
                    spots += range(row.value_at, row.value_at + len(row.value)) if name == "meta" else []
                    places += [(name, spot) for spot in spots]
    assert {name for name, _ in places} == set(DATABASES) and len(places) > 60
    for name, position in places:
        for _ in altered(path, position):
            assert any(finding.file == "index/data.mdb" for finding in audit(kept)), (name, position)


@pytest.mark.parametrize("name", ["names", "records", "slot_documents"])
def test_removed_entry_is_found(tmp_path: Path, name: str) -> None:
    """Given one entry taken out of a look-up tree, by LMDB itself. When audited. Then the tree is named."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        vault.put([document(number, record=number) for number in range(1, 9)])
    environment = lmdb.open(str(tmp_path / "vault" / "index"), max_dbs=8, map_size=64 * 2**20)
    database = environment.open_db(name.encode())
    with environment.begin(write=True) as transaction, transaction.cursor(database) as cursor:
        cursor.first()
        cursor.delete()
    environment.close()
    assert [finding.what for finding in audit(kept)] == [f"Entries of {name} are missing: 1"]


def test_missing_files_are_found(kept: Kept) -> None:
    """Given a missing slots file, index or pack. When audited. Then each is named."""
    for name in ("slots.bin", "index/data.mdb", "packs/00000001.pack"):
        path = kept.root / "vault" / name
        away = path.with_suffix(".away")
        path.rename(away)
        assert any(finding.file == name and finding.offset == 0 for finding in audit(kept)), name
        away.rename(path)
    assert audit(kept) == []


def test_findings_hold_no_value(kept: Kept) -> None:
    """Given an altered row. When audited. Then the words name no document, subject or text."""
    path = kept.root / "vault" / "packs" / "00000001.pack"
    for _ in altered(path, 200):
        assert not any("id-" in finding.what or "Observation" in finding.what for finding in audit(kept))
