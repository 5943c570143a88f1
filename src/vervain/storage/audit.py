# SPDX-License-Identifier: Apache-2.0
"""Proves a data directory end to end: blocks, state, and that the blocks give exactly this state.

1. Every byte of the block log is checked (`block_audit`).
2. Every live page of the state's file is walked without LMDB (`lmdb_walk`).
3. The blocks are run again by the application into a scratch state, and every row of every tree is compared with it.
4. The state is checked against itself (`state_check`): this speaks only where the blocks could not be compared, since a
   row that differs is already named to the byte.

The directory must be at rest. Memory is flat; the scratch state needs as much disk as the state itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.primitives.codec import NotCanonical
from vervain.ledger.primitives.errors import VervainError
from vervain.storage.block_audit import BlockAudit
from vervain.storage.files import FileLayer, RealFiles, hold_directory
from vervain.storage.findings import FINDINGS_MAX, Finding
from vervain.storage.lmdb_pages import PageDamage, Tree
from vervain.storage.lmdb_walk import LmdbWalk
from vervain.storage.state_check import StateCheck
from vervain.storage.state_compare import compare_rows
from vervain.storage.state_store import DATA_FILE, StateStore
from vervain.storage.state_view import DATABASES, HEAD, decode_summary

Replay = Callable[[Iterable[Block], StateStore], Iterator[Changes]]
"""The application: takes the blocks in order, the founding one first, and a state; yields what each block changes.

Each yielded `Changes` is committed to the state before the next one is asked for.
"""

BLOCKS_DIRECTORY: Final = "blocks"
STATE_DIRECTORY: Final = "state"
_ORDER: Final = (
    "rows",
    "buckets",
    "bucket_roots",
    "tiles",
    "summaries",
    "outcomes",
    "unexpired",
    "meta",
)
assert set(_ORDER) == set(DATABASES)


def audit(
    directory: Path,
    *,
    chain: str,
    replay: Replay,
    proved_tables: Mapping[int, str],
    scratch: Path | None = None,
    files: FileLayer | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong with a data directory; nothing when it is proved clean.

    Args:
        directory: The data directory, at rest.
        chain: The chain's id.
        replay: The application.
        proved_tables: Name of each proved table by number.
        scratch: Where the scratch state may stand; the system's place for temporary files when not given.
        files: The file layer.

    Raises: StorageError when another process uses the directory, or the scratch state finds no room.
    """
    with hold_directory(directory), TemporaryDirectory(prefix="vervain-audit-", dir=scratch) as place:
        reading = _Audit(directory, RealFiles() if files is None else files, chain)
        yield from reading.run(Path(place), replay, proved_tables)


class _Audit:
    """One audit: collects findings, the sure ones and the doubts."""

    def __init__(self, directory: Path, files: FileLayer, chain: str) -> None:
        self._files, self._chain = files, chain
        self._blocks_at = directory / BLOCKS_DIRECTORY
        self._data_file = directory / STATE_DIRECTORY / DATA_FILE
        self._found: dict[tuple[str, int], Finding] = {}
        self._doubts: list[tuple[int, str]] = []

    def run(self, scratch: Path, replay: Replay, proved_tables: Mapping[int, str]) -> Iterator[Finding]:
        """Replay, compare, check, then tell."""
        height = self._state_height()
        with closing(StateStore(scratch, chain=self._chain, durable=False)) as expected:
            replayed = self._replay(expected, replay, height)
            comparable = height is None or replayed == height
            self._walk_state(expected if comparable else None, proved_tables)
        if not comparable or not any(file == self._state_name for file, _ in self._found):
            for offset, what in self._doubts:
                self._tell(self._state_name, offset, what)
        if not comparable:
            self._tell(
                self._state_name, 0, "The state could not be compared with the blocks, since some of them are lost"
            )
        yield from sorted(self._found.values(), key=lambda finding: (finding.file, finding.offset))

    @property
    def _state_name(self) -> str:
        return f"{STATE_DIRECTORY}/{DATA_FILE}"

    def _tell(self, file: str, offset: int, what: str) -> None:
        """Keep a finding; the first one at a byte stands."""
        if len(self._found) < FINDINGS_MAX:
            self._found.setdefault((file, offset), Finding(file=file, offset=offset, what=what))

    # Blocks

    def _replay(self, expected: StateStore, replay: Replay, height: int | None) -> int | None:
        """Run the blocks up to the state's height into the scratch state; return the height reached."""
        reading = BlockAudit(
            self._blocks_at,
            self._files,
            lambda name, offset, what: self._tell(f"{BLOCKS_DIRECTORY}/{name}", offset, what),
            chain=self._chain,
            durable_height=height,
        )
        blocks = reading.blocks()
        reached: int | None = None
        try:
            for changes in replay(_until_lost(blocks, height), expected):
                expected.commit(changes)
                reached = changes.summary.height
        except VervainError:
            self._tell(f"{BLOCKS_DIRECTORY}/", 0, f"The application cannot run the block after height {reached}")
        for _ in blocks:
            pass  # the blocks after the state's height are checked all the same
        return reached

    # State

    def _open_walk(self, report: Callable[[int, str], None]) -> Iterator[tuple[LmdbWalk, dict[str, Tree]]]:
        """Yield the walk and its trees, or report why there are none."""
        if self._data_file.name not in self._files.list(self._data_file.parent):
            report(0, "The file is missing")
            return
        with closing(self._files.open(self._data_file)) as file:
            try:
                walk = LmdbWalk(self._data_file, file, report)
                trees = walk.trees(_ORDER)
            except PageDamage as damage:
                report(damage.offset, damage.what)
                return
            yield walk, trees

    def _state_height(self) -> int | None:
        """Return the height that head and newest summary and outcomes name, by majority; None when there is none."""
        heights = []
        for walk, trees in self._open_walk(lambda offset, what: None):
            for name in ("summaries", "outcomes"):
                newest = b""
                for row in walk.rows(trees[name]) if name in trees else ():
                    newest = row.key if row is not None else newest
                if newest:
                    heights.append(int.from_bytes(newest, "big"))
            for row in walk.rows(trees["meta"]) if "meta" in trees else ():
                if row is not None and row.key == HEAD:
                    heights += _height_of(row.value)
        return max(heights, key=lambda height: (heights.count(height), -height), default=None)

    def _walk_state(self, expected: StateStore | None, proved_tables: Mapping[int, str]) -> None:
        """Walk the state's file, comparing each tree with the expected state when there is one."""

        def report(offset: int, what: str) -> None:
            self._tell(self._state_name, offset, what)

        check = StateCheck(
            lambda offset, what: self._doubts.append((offset, what)), chain=self._chain, proved_tables=proved_tables
        )
        for walk, trees in self._open_walk(report):
            for name in (name for name in _ORDER if name in trees):
                rows = check.tree(name, walk.rows(trees[name]))
                if expected is None:
                    for _ in rows:
                        pass
                    continue
                with expected.view(seconds_max=inf) as view:
                    for _ in compare_rows(rows, view.database(name), report, tree_at=trees[name].at):
                        pass
            walk.finish()


def _until_lost(blocks: Iterator[Block | None], height: int | None) -> Iterator[Block]:
    """Yield blocks up to a height or the first lost one."""
    for block in blocks:
        if block is None:
            return
        yield block
        if height is not None and block.height >= height:
            return


def _height_of(encoded: bytes) -> list[int]:
    """Return the height of an encoded summary, nothing when it cannot be read."""
    try:
        summary = decode_summary(encoded)
    except (NotCanonical, msgspec.MsgspecError):
        return []
    assert isinstance(summary, BlockSummary)
    return [summary.height]
