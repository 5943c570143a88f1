# SPDX-License-Identifier: Apache-2.0
"""`vervain audit`: every part of a data directory at rest, proved from its blocks; names what is altered and where.

Blocks and state: storage/audit.py. The read model: built again beside and compared row by row, and its pages checked by
SQLite itself. Vaults: each member's packs, index and slots.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.node.access import ACCESSES
from vervain.node.desk import ACCESS, SLOT_KEYS, VAULT
from vervain.node.directory import DataDirectory
from vervain.node.reading import StoredFeed
from vervain.readmodel.database import open_database
from vervain.readmodel.projector import Projector
from vervain.readmodel.tables import METADATA
from vervain.storage.audit import audit as audit_storage
from vervain.storage.block_log import BlockLog
from vervain.storage.findings import Finding, first_difference
from vervain.storage.state_store import StateStore
from vervain.vault.audit import audit_vault
from vervain.vault.chained_log import audit_chained_log
from vervain.vault.key_holder import SoftwareKeyHolder

ROWS_COMPARED_AT_ONCE = 1_000


def audit_node(root: Path, *, scratch: Path | None = None) -> Iterator[Finding]:
    """Yield what is wrong with a data directory; nothing when it is proved clean.

    Args:
        root: The data directory; no node may be running on it.
        scratch: Where the comparison state may stand; the system's place for temporary files when not given.

    Raises: StorageError when a node uses the directory.
    """
    directory = DataDirectory(root)
    content = directory.genesis.read_bytes()
    chain = chain_name(decode_genesis(content), content)
    damaged = False
    for finding in audit_storage(root, chain=chain, replay=replay, proved_tables=CATALOGUE.proved, scratch=scratch):
        damaged = True
        yield finding
    yield from _audit_genesis(directory, content, damaged)
    if directory.read_model.is_file() and not damaged:
        yield from _audit_read_model(directory, chain, scratch)
    for organisation in directory.served_members():
        yield from _audit_member(directory.member(organisation), organisation)


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
            file = "/".join(part for part in ("members", folder.name, inside, finding.file) if part)
            yield Finding(file=file, offset=finding.offset, what=finding.what)


def _audit_genesis(directory: DataDirectory, content: bytes, damaged: bool) -> Iterator[Finding]:
    """The public genesis file is block 0's content."""
    if damaged:
        return
    with closing(BlockLog(directory.blocks, chain=chain_name(decode_genesis(content), content))) as log:
        stored = log.read(0).transactions[0]
    if stored != content:
        what = "The genesis file is not what the chain is founded on"
        yield Finding(file=directory.genesis.name, offset=first_difference(content, stored), what=what)


def _audit_read_model(directory: DataDirectory, chain: str, scratch: Path | None) -> Iterator[Finding]:
    """Build the tables again beside and compare every row."""
    name = directory.read_model.name
    with (
        TemporaryDirectory(prefix="vervain-readmodel-", dir=scratch) as place,
        closing(BlockLog(directory.blocks, chain=chain)) as log,
        closing(StateStore(directory.state, chain=chain)) as state,
    ):
        fresh = open_database(Path(place) / "fresh.sqlite", writable=True)
        Projector(fresh, CATALOGUE, StoredFeed(log, state.view)).catch_up()
        try:
            stored = open_database(directory.read_model, writable=False)
            with stored.connect() as kept, fresh.connect() as expected:
                for fault in kept.exec_driver_sql("PRAGMA integrity_check").scalars():
                    if fault != "ok":
                        yield Finding(file=name, offset=0, what=f"SQLite: {fault}")
                yield from _compare(kept, expected, name)
            stored.dispose()
        except DatabaseError as error:
            what = f"SQLite cannot read it ({type(error.orig).__name__}); run `vervain rebuild`"
            yield Finding(file=name, offset=0, what=what)
        fresh.dispose()


def _compare(kept: Connection, expected: Connection, name: str) -> Iterator[Finding]:
    """Yield a finding for each table whose rows differ, naming the first differing row's place in key order."""
    for table in METADATA.sorted_tables:
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
