# SPDX-License-Identifier: Apache-2.0
"""Proves a vault at rest: every byte of packs, index, slots and lists that is not as it was written is named.

1. The slots file: each segment opens under the file key.
2. The index, walked without LMDB: pages, then each row opens under its slot, and the look-up trees hold exactly the
   tokens that the rows lead to. Sums of digests tell that without memory; only when they differ are the tokens
   collected.
3. The packs: every byte is in the chain of digests whose end the index keeps.
4. The lists of erasures, releases and notices: every line follows the one before.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.ledger.primitives.errors import VervainError
from vervain.sealing.keys import read_private_file
from vervain.storage.files import FileLayer, RealFiles
from vervain.storage.findings import Finding
from vervain.storage.lmdb_pages import PageDamage, Tree
from vervain.storage.lmdb_walk import LiveRow, LmdbWalk
from vervain.vault.chained_log import audit_chained_log
from vervain.vault.errors import Tampered
from vervain.vault.index import DATABASES, ErasedRow, IndexHead, Tokens, open_row, parse_head, parse_row
from vervain.vault.key_holder import KeyHolder
from vervain.vault.layout import ERASURES, INDEX, INDEX_FILE, NOTICES, PACKS, RELEASES, SLOTS
from vervain.vault.pack_audit import audit_packs
from vervain.vault.slot_format import FILE_BYTES_MAX, Slot, parse_file_header, read_segments
from vervain.vault.slots import INDEX_SLOT

_TREES: Final = ("names", "records", "slot_documents")

Report = Callable[[int, str], None]


def audit_vault(
    directory: Path, *, custodian: bytes, holder: KeyHolder, files: FileLayer | None = None
) -> Iterator[Finding]:
    """Yield what is wrong with a vault; nothing when it is clean. The vault must not be written to meanwhile.

    Args:
        directory: The vault's folder.
        custodian: 32-byte id of whose vault it is.
        holder: Keeps the slots file's key.
        files: The file layer.
    """
    layer = RealFiles() if files is None else files
    slots, findings = _audit_slots(directory / SLOTS, holder)
    yield from findings
    index = _IndexAudit(directory / INDEX / INDEX_FILE, layer, slots, custodian)
    yield from index.run()
    yield from audit_packs(directory / PACKS, index.head.end if index.head else None, files=layer)
    for name in (ERASURES, RELEASES, NOTICES):
        yield from audit_chained_log(directory / name, tag=name, name=name, files=layer)


def _audit_slots(path: Path, holder: KeyHolder) -> tuple[dict[tuple[int, int], Slot], list[Finding]]:
    """Return the slots that open, and what does not."""
    try:
        content = read_private_file(path, FILE_BYTES_MAX)
    except VervainError as error:
        return {}, [Finding(file=path.name, offset=0, what=error.what)]
    header = parse_file_header(content)
    if header is None:
        return {}, [Finding(file=path.name, offset=0, what="The header is altered")]
    try:
        cipher = AESGCM(holder.open(header.key_id))
    except VervainError as error:
        return {}, [Finding(file=path.name, offset=0, what=error.what)]
    slots: dict[tuple[int, int], Slot] = {}
    findings = []
    for segment in read_segments(content, cipher=cipher):
        if segment.slots is None:
            findings.append(Finding(file=path.name, offset=segment.offset, what="Key slots are altered"))
        for slot in segment.slots or ():
            slots[slot.number, slot.generation] = slot
    return slots, findings


class _IndexAudit:
    """One audit of the index. `head` is what it keeps of everything, once read."""

    def __init__(self, path: Path, files: FileLayer, slots: dict[tuple[int, int], Slot], custodian: bytes) -> None:
        self._path, self._files, self._slots, self._custodian = path, files, slots, custodian
        self._findings: list[Finding] = []
        self.head: IndexHead | None = None
        index_slot = slots.get((INDEX_SLOT, 0))
        self._tokens = None if index_slot is None else Tokens(index_slot.key)

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong with the index."""
        if self._path.name not in self._files.list(self._path.parent):
            yield Finding(file=self._name, offset=0, what="The file is missing")
            return
        with closing(self._files.open(self._path)) as file:
            try:
                walk = LmdbWalk(self._path, file, self._report)
                self._walk(walk, walk.trees(DATABASES))
                walk.finish()
            except PageDamage as damage:
                self._report(damage.offset, damage.what)
        yield from sorted(self._findings, key=lambda finding: finding.offset)

    @property
    def _name(self) -> str:
        return f"{self._path.parent.name}/{self._path.name}"

    def _report(self, offset: int, what: str) -> None:
        self._findings.append(Finding(file=self._name, offset=offset, what=what))

    def _walk(self, walk: LmdbWalk, trees: dict[str, Tree]) -> None:
        if len(trees) < len(DATABASES):
            return  # the walk has told which tree is missing
        self._walk_meta(walk, trees["meta"])
        expected = dict.fromkeys(_TREES, 0)
        for tree, key, value in self._documents(walk, trees["documents"], self._report):
            expected[tree] += _digest(key, value)
        for name in _TREES:
            found = 0
            for row in walk.rows(trees[name]):
                found += 0 if row is None else _digest(row.key, row.value)
            if found != expected[name] and self._tokens is not None:
                self._tell_differences(name)
        self._walk_subjects(walk, trees["subjects"])

    def _walk_meta(self, walk: LmdbWalk, tree: Tree) -> None:
        for row in walk.rows(tree):
            if row is None:
                continue
            if row.key != b"head":
                self._report(row.key_at, "This does not belong here")
                continue
            try:
                self.head = parse_head(row.value, self._tokens)
            except Tampered as tampered:
                self._report(row.value_at, tampered.what)

    def _walk_subjects(self, walk: LmdbWalk, tree: Tree) -> None:
        newest = {number: slot for (number, _), slot in self._slots.items()}
        for row in walk.rows(tree):
            if row is None or self._tokens is None:
                continue
            slot = newest.get(int.from_bytes(row.value, "big")) if len(row.value) == 4 else None
            if slot is None or self._tokens.subject(slot.subject) != row.key:
                self._report(row.key_at, "A subject's entry does not belong to its slot")

    def _documents(self, walk: LmdbWalk, tree: Tree, report: Report) -> Iterator[tuple[str, bytes, bytes]]:
        """Open every row, report those that do not open, and yield (tree, key, value) of each entry it leads to."""
        for live in walk.rows(tree):
            if live is not None and self._tokens is not None:
                yield from self._entries(live, self._tokens, report)

    def _entries(self, live: LiveRow, tokens: Tokens, report: Report) -> Iterator[tuple[str, bytes, bytes]]:
        number = live.key
        parsed = parse_row(int.from_bytes(number, "big"), live.value)
        if isinstance(parsed, ErasedRow):
            if parsed.record:
                yield "records", tokens.record(parsed.record), number
            return
        slot = None if parsed is None else self._slots.get((parsed.slot, parsed.generation))
        if parsed is None or slot is None:
            report(live.key_at, "A row is altered, or its slot is missing though it was not erased")
            return
        try:
            row = open_row(parsed, AESGCM(slot.key))
        except Tampered:
            report(live.key_at, "A row is altered")
            return
        yield "names", tokens.name(self._custodian, row.resource_type, row.resource_id) + number, b""
        yield "slot_documents", parsed.slot.to_bytes(4, "big") + number, b""
        if row.record:
            yield "records", tokens.record(row.record), number

    def _tell_differences(self, name: str) -> None:
        """Collect what a look-up tree should hold, and report what it holds beside or instead."""
        with closing(self._files.open(self._path)) as file:
            walk = LmdbWalk(self._path, file, lambda offset, what: None)
            trees = walk.trees(DATABASES)
            wanted = {
                (key, value)
                for tree, key, value in self._documents(walk, trees["documents"], lambda offset, what: None)
                if tree == name
            }
            for row in walk.rows(trees[name]):
                if row is not None and (row.key, row.value) not in wanted:
                    self._report(row.key_at, f"An entry of {name} belongs to no document")
                elif row is not None:
                    wanted.discard((row.key, row.value))
        if wanted:
            self._report(trees[name].at, f"Entries of {name} are missing: {len(wanted)}")


def _digest(key: bytes, value: bytes) -> int:
    return int.from_bytes(sha256(len(key).to_bytes(2, "big") + key + value).digest(), "big")
