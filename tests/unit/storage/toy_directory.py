# SPDX-License-Identifier: Apache-2.0
"""A data directory of the toy ledger: block log and state as a node leaves them, and the replay that an audit needs."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.toy_ledger import FOUNDED_AT, GENESIS, GENESIS_BLOCK, TOY, signed
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.storage.audit import audit
from vervain.storage.block_log import BlockLog
from vervain.storage.findings import Finding
from vervain.storage.state_store import StateStore

CHAIN: Final = chain_name(decode_genesis(GENESIS), GENESIS)
PROVED_TABLES: Final = {table.number: table.name for module in TOY.modules for table in module.tables if table.proved}


def replay(blocks: Iterable[Block], state: StateStore) -> Iterator[Changes]:
    """Run blocks from the founding one on, over the state that the caller commits to."""
    application: Application | None = None
    for block in blocks:
        with state.view() as view:
            if application is None:
                application = Application(TOY, view)
                changes = application.init_chain(block.transactions[0], view)
            else:
                changes = application.finalize_block(block, view).changes
        yield changes
        application.committed(changes)


def write_blocks(directory: Path, heights: int, *, notes: int = 3, segment_bytes_max: int = 4_096) -> list[Block]:
    """Write a block log of `heights` blocks after the founding one; return all blocks. The same each time."""
    chance = random.Random(heights)
    log = BlockLog(directory / "blocks", chain=CHAIN, segment_bytes_max=segment_bytes_max)
    blocks = [GENESIS_BLOCK]
    for height in range(1, heights + 1):
        transactions = tuple(
            signed(
                *(f"note {height} {number} " + "x" * chance.randrange(80) for number in range(notes)),
                chain=CHAIN,
                nonce=chance.randbytes(16),
                blind=chance.randbytes(32),
                expires_at=FOUNDED_AT + 500 + height,
            )
            for _ in range(chance.randrange(3))
        )
        blocks.append(Block(height=height, time=FOUNDED_AT + height, transactions=transactions))
    for block in blocks:
        log.append(block.height, block.time, block.transactions)
    log.sync()
    log.close()
    return blocks


def write_state(directory: Path, blocks: Iterable[Block]) -> None:
    """Run blocks into the state."""
    state = StateStore(directory / "state", chain=CHAIN, map_size=2**24)
    for changes in replay(blocks, state):
        state.commit(changes)
    state.close()


def write_directory(directory: Path, heights: int, **options: int) -> list[Block]:
    """Write block log and state."""
    blocks = write_blocks(directory, heights, **options)
    write_state(directory, blocks)
    return blocks


def audited(directory: Path) -> list[Finding]:
    """Return what the audit finds."""
    return list(audit(directory, chain=CHAIN, replay=replay, proved_tables=PROVED_TABLES))


def flip(path: Path, offset: int, mask: int) -> None:
    """Change one byte of a file by XOR."""
    with path.open("r+b") as file:
        file.seek(offset)
        (value,) = file.read(1)
        file.seek(offset)
        file.write(bytes((value ^ mask,)))
