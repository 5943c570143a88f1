# SPDX-License-Identifier: Apache-2.0
"""One changed byte anywhere in a node's directory: the audit names file and place, or nothing reads that byte.

A whole audit replays the chain, which takes a second. Where a thousand bytes are changed one by one, the parts of the
audit that read this very file are run instead; that the whole audit runs those parts is tested once for each class.
For a byte that the audit does not name, the test reads the file as its owner does (LMDB, SQLite) and requires every row
to be as before: then the byte is one that nothing reads. Which class is which: docs/concepts/storage.md.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path
from typing import Final

import lmdb
import msgspec
import pytest
from sqlalchemy import Engine

from tests.integration.lived_in import live_through
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.primitives.errors import VervainError
from vervain.node.audit import _audit_member, _chain_of, audit_node, compare_read_models, replay
from vervain.node.audit_files import audit_small_files
from vervain.node.config import read_settings
from vervain.node.directory import DataDirectory
from vervain.node.outbox import Outbox, OutgoingCommit
from vervain.node.reading import StoredFeed
from vervain.readmodel.database import open_database
from vervain.readmodel.projector import Projector
from vervain.storage.block_audit import BlockAudit
from vervain.storage.block_log import BlockLog
from vervain.storage.files import RealFiles
from vervain.storage.findings import Finding
from vervain.storage.lmdb_pages import PageDamage
from vervain.storage.lmdb_walk import LiveRow, LmdbWalk
from vervain.storage.state_compare import compare_rows
from vervain.storage.state_store import ENGINE, StateStore
from vervain.storage.state_view import DATABASES as STATE_DATABASES
from vervain.vault.index import DATABASES as INDEX_DATABASES

FLIPS: Final = 20
FLIPS_PROVED: Final = 1_000
PAGE_BYTES: Final = 4_096

Findings = Callable[[], list[Finding]]


class Directory:
    """A stopped data directory that every test leaves as it found it, and the parts of its audit."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.directory = root, DataDirectory(root)
        content = self.directory.genesis.read_bytes()
        self.chain = chain_name(decode_genesis(content), content)
        with closing(BlockLog(self.directory.blocks, chain=self.chain)) as log:
            self.blocks = list(log.blocks(0))
            with closing(StateStore(self.directory.state, chain=self.chain)) as state:
                self.fresh: Engine = open_database(scratch / "fresh.sqlite", writable=True)
                Projector(self.fresh, CATALOGUE, StoredFeed(log, state.view)).catch_up()
        self.expected = StateStore(scratch / "expected", chain=self.chain, durable=False)
        for changes in replay(iter(self.blocks), self.expected):
            self.expected.commit(changes)
        self.fullest = max(
            self.directory.served_members(),
            key=lambda each: (self.directory.member(each) / "vault" / "index" / "data.mdb").stat().st_size,
        )
        self.member = self.directory.member(self.fullest)

    def name(self, path: Path) -> str:
        """Return a file's name as findings tell it."""
        return path.relative_to(self.root).as_posix()

    def blocks_audit(self) -> list[Finding]:
        """Audit the block log."""
        found: list[Finding] = []
        reading = BlockAudit(
            self.directory.blocks,
            RealFiles(),
            lambda name, offset, what: found.append(Finding(file=f"blocks/{name}", offset=offset, what=what)),
            chain=self.chain,
            durable_height=self.blocks[-1].height,
        )
        assert [block.height for block in reading.blocks() if block is not None]
        return found

    def state_audit(self) -> list[Finding]:
        """Walk the state's file and compare every row with what the blocks gave, as `storage.audit` does."""
        path, found = self.directory.state / "data.mdb", list[Finding]()

        def report(offset: int, what: str) -> None:
            found.append(Finding(file="state/data.mdb", offset=offset, what=what))

        with closing(RealFiles().open(path)) as file, self.expected.view(seconds_max=inf) as view:
            try:
                walk = LmdbWalk(path, file, report)
                for name, tree in walk.trees(STATE_DATABASES).items():
                    for _ in compare_rows(walk.rows(tree), view.database(name), report, tree_at=tree.at):
                        pass
                walk.finish()
            except PageDamage as damage:
                report(damage.offset, damage.what)
        return found

    def member_audit(self) -> list[Finding]:
        """Audit the fullest member's vault and access list."""
        return list(_audit_member(self.member, self.fullest))

    def small_audit(self) -> list[Finding]:
        """Audit keys, settings and the other small files against the ledger."""
        with self.expected.view() as state:
            return list(audit_small_files(self.directory, self.chain, state))

    def read_model_audit(self) -> list[Finding]:
        """Compare the read model with one that was built again."""
        return list(compare_read_models(self.directory.read_model, self.fresh))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """A data directory with every kind of file in it, an outgoing transaction too, and at rest."""
    place = tmp_path_factory.mktemp("altered")
    live_through(place / "node")
    root = place / "node"
    with closing(sqlite3.connect(root / "readmodel.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (place / "scratch").mkdir()
    directory = Directory(root, place / "scratch")
    transaction = next(block.transactions[0] for block in directory.blocks if block.height and block.transactions)
    outgoing = OutgoingCommit(encoded=transaction, txid=b"t" * 32, expires_at=1, documents=(1, 2, 3))
    Outbox(directory.member / "outbox").put(outgoing)
    yield directory
    directory.expected.close()
    directory.fresh.dispose()


@contextmanager
def flipped(path: Path, offset: int, mask: int) -> Iterator[None]:
    """Change one byte in place, and change it back."""
    with path.open("r+b") as file:
        file.seek(offset)
        (was,) = file.read(1)
        file.seek(offset)
        file.write(bytes((was ^ mask,)))
    try:
        yield
    finally:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(bytes((was,)))


def flips(path: Path, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Yield places and masks; the same seed gives the same ones. Every place once when the file has not more."""
    chance = random.Random(seed)
    size = path.stat().st_size
    for offset in chance.sample(range(size), min(count, size)):
        yield offset, chance.randrange(1, 256)


def lmdb_rows(path: Path, databases: tuple[str, ...]) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return every row of every database as LMDB itself reads them."""
    with (
        lmdb.open(
            str(path.parent), max_dbs=len(databases), readonly=True, lock=False, lib_version=ENGINE
        ) as environment,
        environment.begin() as transaction,
    ):
        return {
            name: list(transaction.cursor(environment.open_db(name.encode(), txn=transaction, create=False)))
            for name in databases
        }


def live_rows(path: Path, databases: tuple[str, ...]) -> list[tuple[str, LiveRow]]:
    """Return every live row of an LMDB file with where it stands."""
    with closing(RealFiles().open(path)) as file:
        walk = LmdbWalk(path, file, lambda offset, what: pytest.fail(what))
        trees = walk.trees(databases)
        return [(name, row) for name in databases for row in walk.rows(trees[name]) if row is not None]


COUNTS: Final = [FLIPS, pytest.param(FLIPS_PROVED, marks=pytest.mark.prove)]


def test_untouched_directory_is_clean(whole: Directory) -> None:
    """Given the directory, then no part of its audit finds anything."""
    assert whole.blocks_audit() == whole.state_audit() == whole.small_audit() == whole.read_model_audit() == []
    assert whole.member_audit() == []


@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.prove)])
def test_clean_audits_raise_nothing(whole: Directory, count: int) -> None:
    """Given an untouched directory, when it is audited again and again, then nothing is ever found."""
    assert [list(audit_node(whole.root)) for _ in range(count)] == [[]] * count


@pytest.mark.parametrize("count", COUNTS)
def test_changed_byte_of_the_block_log_is_named_exactly(whole: Directory, count: int) -> None:
    """Given one changed byte of the block log, then exactly this byte is named."""
    for path in sorted(whole.directory.blocks.iterdir()):
        for offset, mask in flips(path, count, 1):
            with flipped(path, offset, mask):
                assert [(each.file, each.offset) for each in whole.blocks_audit()] == [(whole.name(path), offset)]


@pytest.mark.parametrize("count", COUNTS)
def test_changed_byte_of_the_state_is_named_or_unread(whole: Directory, count: int) -> None:
    """Given one changed byte of the state's file, then its file is named, or every row reads as before."""
    path = whole.directory.state / "data.mdb"
    before, named = lmdb_rows(path, STATE_DATABASES), 0
    for offset, mask in flips(path, count, 2):
        with flipped(path, offset, mask):
            found = whole.state_audit()
            if found:
                named += 1
                assert {each.file for each in found} == {"state/data.mdb"}, (offset, mask)
            else:
                assert lmdb_rows(path, STATE_DATABASES) == before, (offset, mask)
    assert named


@pytest.mark.parametrize("count", [200, pytest.param(2**60, marks=pytest.mark.prove)])
def test_changed_row_of_the_state_is_named_to_the_byte(whole: Directory, count: int) -> None:
    """Given one changed byte in any live row of any database of the state, then exactly this byte is named."""
    path = whole.directory.state / "data.mdb"
    chance = random.Random(3)
    rows = live_rows(path, STATE_DATABASES)
    assert {name for name, _ in rows} == set(STATE_DATABASES)
    for name, row in chance.sample(rows, min(count, len(rows))):
        offset = row.value_at + chance.randrange(len(row.value)) if row.value else row.key_at
        with flipped(path, offset, chance.randrange(1, 256)):
            assert [(each.file, each.offset) for each in whole.state_audit()] == [("state/data.mdb", offset)], name


LISTS: Final = ("access", "vault/erasures", "vault/releases", "vault/notices")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("folder", [*LISTS, "vault/packs"])
def test_changed_byte_of_packs_and_lists_is_named(whole: Directory, folder: str, count: int) -> None:
    """Given one changed byte, then its file is named with the line or part that holds it."""
    for path in sorted((whole.member / folder).iterdir()):
        content = path.read_bytes()
        for offset, mask in flips(path, count, 4):
            with flipped(path, offset, mask):
                found = whole.member_audit()
            line = content.rfind(b"\n", 0, offset) + 1 if folder in LISTS else 0
            places = [each.offset for each in found if each.file == whole.name(path)]
            assert any(line <= place <= offset for place in places), (offset, mask, found)


@pytest.mark.parametrize("count", COUNTS)
def test_changed_byte_of_the_slots_is_named(whole: Directory, count: int) -> None:
    """Given one changed byte of the slots, then the slots file is named at the segment that holds it."""
    path = whole.member / "vault" / "slots.bin"
    for offset, mask in flips(path, count, 5):
        with flipped(path, offset, mask):
            found = [each for each in whole.member_audit() if each.file == whole.name(path)]
        assert found and found[0].offset <= offset, (offset, mask)


@pytest.mark.parametrize("count", COUNTS)
def test_changed_byte_of_the_vault_index_is_named_or_unread(whole: Directory, count: int) -> None:
    """Given one changed byte of the vault's index, then its file is named, or every row reads as before."""
    path = whole.member / "vault" / "index" / "data.mdb"
    before, named = lmdb_rows(path, INDEX_DATABASES), 0
    for offset, mask in flips(path, count, 6):
        with flipped(path, offset, mask):
            found = whole.member_audit()
            if found:
                named += 1
                assert whole.name(path) in {each.file for each in found}, (offset, mask)
            else:
                assert lmdb_rows(path, INDEX_DATABASES) == before, (offset, mask)
    assert named


@pytest.mark.parametrize("count", [60, pytest.param(2**60, marks=pytest.mark.prove)])
def test_changed_row_of_the_vault_index_is_named(whole: Directory, count: int) -> None:
    """Given one changed byte in any live row of any database of the index, then a finding names the file."""
    path = whole.member / "vault" / "index" / "data.mdb"
    chance = random.Random(7)
    rows = live_rows(path, INDEX_DATABASES)
    for name, row in chance.sample(rows, min(count, len(rows))):
        whole_row = row.key + row.value
        place = chance.randrange(len(whole_row))
        offset = row.key_at + place if place < len(row.key) else row.value_at + place - len(row.key)
        with flipped(path, offset, chance.randrange(1, 256)):
            assert whole.name(path) in {each.file for each in whole.member_audit()}, (name, place)


def sqlite_contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table as SQLite reads them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: list(database.execute(f'SELECT * FROM "{name}"')) for name in names}


@pytest.mark.parametrize("count", COUNTS)
def test_changed_byte_of_the_read_model_is_named_or_unread(whole: Directory, count: int) -> None:
    """Given one changed byte of the read model, then it is named, or opening tells, or every row reads as before."""
    path = whole.directory.read_model
    before, named = sqlite_contents(path), 0
    for offset, mask in flips(path, count, 8):
        with flipped(path, offset, mask):
            found = whole.read_model_audit()
            if found:
                named += 1
                assert {each.file for each in found} == {path.name}
            else:
                assert sqlite_contents(path) == before, (offset, mask)
    assert named


@pytest.mark.parametrize("per_table", [2, pytest.param(2**60, marks=pytest.mark.prove)])
def test_changed_row_of_the_read_model_is_named(whole: Directory, per_table: int) -> None:
    """Given one changed column of any row of any table of the read model, then the row is named with its table."""
    path = whole.directory.read_model
    changed = 0
    for table, rows in sqlite_contents(path).items():
        for number in range(min(per_table, len(rows))):
            with changed_row(path, table, number):
                found = whole.read_model_audit()
            assert any(table in each.what for each in found), (table, number)
            changed += 1
    assert changed


@contextmanager
def changed_row(path: Path, table: str, number: int) -> Iterator[None]:
    """Change the last column of a table's row, and change it back."""
    kept = path.read_bytes()
    with closing(sqlite3.connect(path)) as database:
        column = [name for _, name, *_ in database.execute(f'PRAGMA table_info("{table}")')][-1]
        rowid, value = database.execute(f'SELECT rowid, "{column}" FROM "{table}" LIMIT 1 OFFSET {number}').fetchone()
        database.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (_other(value), rowid))
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    try:
        yield
    finally:
        path.write_bytes(kept)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _other(value: object) -> object:
    """Return another value of the same type."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return bytes((value[0] ^ 1,)) + value[1:] if value else b"x"
    return f"{value}x"


def small_files(whole: Directory) -> dict[str, list[Path]]:
    """Return the small files by class."""
    member, root = whole.member, whole.root
    return {
        "keys": [*(root / "keys").iterdir(), *(member / "keys").iterdir()],
        "cosigner.state": [whole.directory.cosigner_state],
        "category.secrets": [member / "category.secrets"],
        "outbox": sorted((member / "outbox").iterdir()),
        "slot-backups": list(root.rglob("slot-backups/*")),
    }


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["keys", "cosigner.state", "category.secrets", "outbox", "slot-backups"])
def test_changed_byte_of_a_small_file_is_named(whole: Directory, kind: str, count: int) -> None:
    """Given one changed byte of a key, a cosigned head, secrets, the outbox or a slots backup, then it is named."""
    paths = small_files(whole)[kind]
    assert paths
    for path in paths:
        for offset, mask in flips(path, count, 9):
            with flipped(path, offset, mask):
                assert [each.file for each in whole.small_audit()] == [whole.name(path)] or _means_the_same(
                    path, offset, mask
                ), (path.name, offset, mask)


def _means_the_same(path: Path, offset: int, mask: int) -> bool:
    """Tell whether only white space or the case of nothing changed: what is read is what was written."""
    was = path.read_bytes()
    now = bytearray(was)
    now[offset] ^= mask
    return was.split() == bytes(now).split()


def test_changed_slot_key_is_told_by_the_slots(whole: Directory) -> None:
    """Given a changed byte of the key that the slots lie under, then the slots file is named: it does not open."""
    (path,) = (whole.member / "slot-keys").iterdir()
    for offset, mask in flips(path, FLIPS, 10):
        with flipped(path, offset, mask):
            named = {each.file for each in whole.member_audit()}
        assert f"members/{whole.member.name}/vault/slots.bin" in named or _means_the_same(path, offset, mask)


@pytest.mark.parametrize("count", COUNTS)
def test_changed_byte_of_the_genesis_file_is_named_exactly(whole: Directory, count: int) -> None:
    """Given one changed byte of the public genesis file, then exactly it is named: block 0 tells what it should be."""
    path = whole.directory.genesis
    for offset, mask in flips(path, count, 11):
        with flipped(path, offset, mask):
            chain, found = _chain_of(whole.directory)
        assert (chain, [(each.file, each.offset) for each in found]) == (whole.chain, [("genesis.json", offset)])


def test_changed_settings_and_imports_are_told_when_they_cannot_be_read(whole: Directory) -> None:
    """Given one changed byte of settings or of what the import keeps, then it is named, or is another valid value."""
    imports = whole.directory.imports
    kept = [imports / "organisations.json", imports / "people.json", *sorted((imports / "wallets").iterdir())]
    for path in (whole.directory.settings, *kept):
        named = 0
        for offset, mask in flips(path, FLIPS * 2, 12):
            with flipped(path, offset, mask):
                found = [each.file for each in whole.small_audit()]
                named += path.name in {Path(each).name for each in found}
                assert set(found) <= {whole.name(path), "keys/cosigning.key", "keys/engine.key"} or _reads(whole)
        assert named


def _reads(whole: Directory) -> bool:
    try:
        read_settings(whole.directory.settings)
    except VervainError:
        return False
    return True


SAMPLES: Final = (
    "blocks/00000001.blocks",
    "state/data.mdb",
    "readmodel.sqlite",
    "genesis.json",
    "cosigner.state",
    "keys/cosigning.key",
    "members/*/keys/signing.key",
    "members/*/category.secrets",
    "members/*/outbox/*.commit",
    "members/*/slot-backups/*.backup",
    "members/*/vault/slots.bin",
    "members/*/vault/packs/00000001.pack",
    "members/*/vault/index/data.mdb",
    "members/*/vault/erasures/00000001.log",
    "members/*/vault/releases/00000001.log",
    "members/*/vault/notices/00000001.log",
    "members/*/access/00000001.log",
)


@pytest.mark.parametrize("pattern", [*SAMPLES[::4], *(pytest.param(p, marks=pytest.mark.prove) for p in SAMPLES)])
def test_whole_audit_runs_each_part(whole: Directory, pattern: str) -> None:
    """Given one changed byte in a class of files, when the whole directory is audited, then that file is named."""
    path = max(whole.root.glob(pattern), key=lambda each: each.stat().st_size)
    offset = 50
    if path.name == "data.mdb":
        databases = STATE_DATABASES if path.parent.name == "state" else INDEX_DATABASES
        offset = next(row for _, row in live_rows(path, databases)).value_at
    elif path.name == "readmodel.sqlite":
        offset = path.read_bytes().index(sqlite_contents(path)["transactions"][0][2])  # type: ignore[arg-type]
    with flipped(path, offset, 0x11):
        assert whole.name(path) in {each.file for each in audit_node(whole.root)}


def test_missing_genesis_file_is_named(whole: Directory, tmp_path: Path) -> None:
    """Given a directory without its genesis file, then that is named, and the rest is audited all the same."""
    shutil.copytree(whole.root, tmp_path / "node")
    (tmp_path / "node" / "genesis.json").unlink()
    assert [each.file for each in audit_node(tmp_path / "node")] == ["genesis.json"]


def test_a_finding_holds_no_content(whole: Directory) -> None:
    """Given a changed secret, then the finding does not quote it."""
    path = whole.member / "category.secrets"
    secret = next(iter(msgspec.json.decode(path.read_bytes().split(b"\n")[0]).values()))
    with flipped(path, 60, 1):
        assert all(secret not in each.what for each in whole.small_audit())
