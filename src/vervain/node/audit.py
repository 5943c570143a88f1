# SPDX-License-Identifier: Apache-2.0
"""`vervain audit`: every part of a data directory at rest, proved from its blocks; names what is altered and where.

Blocks and state: storage/audit.py. The read model: built again beside and compared row by row, and its pages checked by
SQLite itself. Vaults: each member's packs, index, slots and lists. Keys and other small files: audit_files.py. Which
byte of which file is covered how: docs/concepts/storage.md.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, func, select
from sqlalchemy.exc import DatabaseError

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.primitives.codec import NotCanonical
from vervain.node.access import ACCESSES
from vervain.node.audit_files import audit_small_files
from vervain.node.directory import ACCESS, MEMBERS, SLOT_KEYS, VAULT, DataDirectory
from vervain.node.reading import StoredFeed
from vervain.readmodel.database import open_database
from vervain.readmodel.projector import Projector
from vervain.readmodel.tables import METADATA
from vervain.readmodel.tables.chain import BLOCKS
from vervain.storage.audit import audit as audit_storage
from vervain.storage.block_audit import BlockAudit
from vervain.storage.block_format import SEGMENT_HEADER_BYTES, chain_digest, segment_name
from vervain.storage.block_log import BlockLog
from vervain.storage.errors import Corrupt
from vervain.storage.files import RealFiles
from vervain.storage.findings import Finding, first_difference
from vervain.storage.state_store import StateStore
from vervain.storage.state_view import StateView
from vervain.vault.audit import audit_vault
from vervain.vault.chained_log import audit_chained_log
from vervain.vault.key_holder import SoftwareKeyHolder

ROWS_COMPARED_AT_ONCE = 1_000
_MIGRATION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def audit_node(root: Path, *, scratch: Path | None = None) -> Iterator[Finding]:
    """Yield what is wrong with a data directory; nothing when it is proved clean.

    Args:
        root: The data directory; no node may be running on it.
        scratch: Where the comparison state may stand; the system's place for temporary files when not given.

    Raises: StorageError when a node uses the directory.
    """
    directory = DataDirectory(root)
    chain, altered = _chain_of(directory)
    yield from altered
    damaged = False
    for finding in audit_storage(root, chain=chain, replay=replay, proved_tables=CATALOGUE.proved, scratch=scratch):
        damaged = True
        yield finding
    if directory.read_model.is_file() and not damaged:
        yield from _audit_read_model(directory, chain, scratch)
    for organisation in directory.served_members():
        yield from _audit_member(directory.member(organisation), organisation)
    yield from _audit_small_files(directory, chain, damaged)


def replay(blocks: Iterable[Block], state: StateStore) -> Iterator[Changes]:
    """Run blocks from the founding on over a scratch state; each change is committed before the next is asked for."""
    with state.view() as view:
        application = Application(CATALOGUE, view)
    for block in blocks:
        with state.view() as view:
            if block.height == 0:
                changes = application.init_chain(block.transactions[0], view)
            else:
                changes = application.finalize_block(block, view).changes
        yield changes
        application.committed(changes)


def _audit_member(folder: Path, organisation: bytes) -> Iterator[Finding]:
    """The member's vault and its access audit."""
    parts: list[tuple[str, Iterator[Finding]]] = []
    if (folder / VAULT).is_dir():
        holder = SoftwareKeyHolder(folder / SLOT_KEYS)
        parts.append((VAULT, audit_vault(folder / VAULT, custodian=organisation, holder=holder)))
    if (folder / ACCESS).is_dir():
        parts.append(("", audit_chained_log(folder / ACCESS, tag=ACCESSES, name=ACCESS)))
    for inside, findings in parts:
        for finding in findings:
            file = "/".join(part for part in (MEMBERS, folder.name, inside, finding.file) if part)
            yield Finding(file=file, offset=finding.offset, what=finding.what)


def _audit_small_files(directory: DataDirectory, chain: str, damaged: bool) -> Iterator[Finding]:
    """A damaged state is not opened: LMDB trusts its file."""
    if damaged:
        yield from audit_small_files(directory, chain, None)
        return
    with closing(StateStore(directory.state, chain=chain)) as state, state.view() as view:
        yield from audit_small_files(directory, chain, view)


def _chain_of(directory: DataDirectory) -> tuple[str, list[Finding]]:
    """Return the chain's name, and a finding when the public genesis file is not block 0's content.

    Of the two, that one is right which the block log's first segment is of.
    """
    kept = directory.genesis.read_bytes() if directory.genesis.is_file() else b""
    reading = BlockAudit(directory.blocks, RealFiles(), lambda name, offset, what: None, chain="")
    first = next(reading.blocks(), None)
    stored = kept if first is None else first.transactions[0]
    header = b""
    if first is not None:
        with closing(RealFiles().open(directory.blocks / segment_name(1))) as segment:
            header = segment.read(0, SEGMENT_HEADER_BYTES)
    for content in (kept, stored):
        try:
            chain = chain_name(decode_genesis(content), content)
        except NotCanonical:
            continue
        if chain_digest(chain) in header or kept == stored:  # equal: the header is altered, and will be named
            what = "The genesis file is not what the chain is founded on"
            at = first_difference(kept, content)
            return chain, [] if content == kept else [Finding(file=directory.genesis.name, offset=at, what=what)]
    raise Corrupt(directory.genesis, 0, "Neither the genesis file nor block 0 tells which chain this is")


def _audit_read_model(directory: DataDirectory, chain: str, scratch: Path | None) -> Iterator[Finding]:
    """Build the tables again beside and compare every row."""
    with (
        TemporaryDirectory(prefix="vervain-readmodel-", dir=scratch) as place,
        closing(BlockLog(directory.blocks, chain=chain)) as log,
        closing(StateStore(directory.state, chain=chain)) as state,
    ):
        fresh = open_database(Path(place) / "fresh.sqlite", writable=True)
        height = _projected_height(directory.read_model)
        Projector(fresh, CATALOGUE, _FeedUpTo(height, log, state.view)).catch_up()
        yield from compare_read_models(directory.read_model, fresh)
        fresh.dispose()


class _FeedUpTo(StoredFeed):
    """Blocks up to a height: a read model that is merely behind, as after a crash, is no damage."""

    def __init__(
        self, height: int | None, log: BlockLog, view: Callable[[], AbstractContextManager[StateView]]
    ) -> None:
        super().__init__(log, view)
        self._height = height

    def summary(self, height: int) -> BlockSummary | None:
        """Return a committed height's summary, or None beyond the end."""
        return None if self._height is not None and height > self._height else super().summary(height)


def _projected_height(path: Path) -> int | None:
    """Return how far a read model says it goes; None when it cannot be read."""
    stored = open_database(path, writable=False)
    try:
        with stored.connect() as connection:
            newest = connection.execute(select(func.max(BLOCKS.c.height))).scalar()
        return -1 if newest is None else int(newest)
    except (DatabaseError, ValueError):
        return None
    finally:
        stored.dispose()


def compare_read_models(kept: Path, fresh: Engine) -> Iterator[Finding]:
    """Yield where a read model is not the freshly built one, or SQLite finds its pages wrong."""
    stored = open_database(kept, writable=False)
    try:
        with stored.connect() as one, fresh.connect() as other:
            for fault in one.exec_driver_sql("PRAGMA integrity_check").scalars():
                if fault != "ok":
                    yield Finding(file=kept.name, offset=0, what=f"SQLite: {fault}")
            yield from _compare(one, other, kept.name)
    except (DatabaseError, ValueError) as error:  # ValueError: a name or value that is no text any more
        cause = error.orig if isinstance(error, DatabaseError) else error
        what = f"SQLite cannot read it ({type(cause).__name__}); run `vervain rebuild`"
        yield Finding(file=kept.name, offset=0, what=what)
    finally:
        stored.dispose()


def _compare(kept: Connection, expected: Connection, name: str) -> Iterator[Finding]:
    """Yield a finding for each table whose rows differ, naming the first differing row's place in key order."""
    for table in (*METADATA.sorted_tables, _MIGRATION):
        ordered = select(table).order_by(*table.primary_key.columns)
        left = kept.execution_options(yield_per=ROWS_COMPARED_AT_ONCE).execute(ordered)
        right = expected.execution_options(yield_per=ROWS_COMPARED_AT_ONCE).execute(ordered)
        for number, (one, other) in enumerate(_side_by_side(left, right)):
            if one != other:
                yield Finding(
                    file=name, offset=0, what=f"Row {number} of table {table.name} is not what the blocks give"
                )


def _side_by_side(left: Iterable[object], right: Iterable[object]) -> Iterator[tuple[object, object]]:
    ones, others = iter(left), iter(right)
    while True:
        one, other = next(ones, None), next(others, None)
        if one is None and other is None:
            return
        yield one, other
