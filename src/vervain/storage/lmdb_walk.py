# SPDX-License-Identifier: Apache-2.0
"""Walks every live page of an LMDB file without LMDB: names damaged bytes, and tells where each live row stands.

LMDB trusts its file and may crash on a damaged one, so the audit never opens the file with it. Checked here:
1. Both metas: magic, version, page size, page numbers, that their transactions follow each other.
2. Every page reached: number, kind, sizes, offsets; keys in order and on the side of each separator that it says.
3. Every tree's record: root, depth, pages and entries as counted.
4. The list of free pages: each in order, none live, and live and free pages together are all pages.
Values are not checked: they carry no checksum. The audit compares them with the replayed ones.

Unread by LMDB and by this: what lies between a page's offsets and its entries, the padding byte after an odd entry,
bytes 8 and 9 of a page, free pages, the older meta's trees, and whatever follows the last page.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from vervain.storage.files import OpenFile
from vervain.storage.findings import first_difference
from vervain.storage.lmdb_pages import (
    BIG,
    BRANCH,
    ENTRY_AT,
    ENTRY_BYTES,
    HEADER_BYTES,
    INTEGER_KEYS,
    LEAF,
    MAGIC,
    META,
    META_BYTES,
    METAS,
    NO_PAGE,
    OVERFLOW,
    PAGE_BYTES_MAX,
    PAGE_BYTES_MIN,
    TREE,
    TREE_BYTES,
    VERSION,
    MetaPage,
    Order,
    PageDamage,
    Tree,
    entry_key,
    find_entries,
    parse_header,
    parse_meta,
    parse_tree,
)

DEPTH_MAX: Final = 32  # levels of a tree; LMDB's own bound
UNWRITTEN_PAGES_MAX: Final = 2**20  # pages taken and freed within one commit may never have been written

Report = Callable[[int, str], None]
"""Takes a byte of the file and what is wrong there."""


def _by_bytes(key: bytes) -> bytes:
    """Order of every tree of ours."""
    return key


def _by_number(key: bytes) -> bytes:
    """Order of the free list: little-endian integers."""
    return key[::-1]


class LiveRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that LMDB would show, and where it stands in the file."""

    key: bytes
    value: bytes
    entry_at: int
    value_at: int

    @property
    def key_at(self) -> int:
        """Where the key's bytes begin."""
        return self.entry_at + ENTRY_BYTES


class Bound(msgspec.Struct, frozen=True):
    """A separator and where it stands; the open end has no key."""

    key: bytes | None
    at: int


class _Count:
    """What a walk through one tree has met."""

    def __init__(self) -> None:
        self.branch = self.leaf = self.overflow = self.entries = 0
        self.damaged = False
        self.previous: bytes | None = None
        self.before_previous: bytes | None = None
        self.previous_at = 0


class LmdbWalk:
    """One LMDB data file. Exhaust the rows of every tree, then `finish`."""

    def __init__(self, path: Path, file: OpenFile, report: Report) -> None:
        """Read the metas.

        Raises: PageDamage when no tree can be found.
        """
        self.path, self._file, self._report = path, file, report
        self._end = file.size()
        metas = self._metas()
        self._meta = max(metas, key=lambda meta: meta.transaction)
        pages_max = self._end // self.page_bytes + UNWRITTEN_PAGES_MAX
        if not METAS - 1 <= self._meta.last_page <= pages_max:
            at = self._meta.free.at - MetaPage.FREE_AT + MetaPage.LAST_PAGE_AT
            raise PageDamage(at + _beyond(self._meta.last_page, pages_max), "The last page lies outside the file")
        self._seen = bytearray(self._meta.last_page + 1)
        self._seen[:METAS] = b"\1" * METAS
        self._complete = True

    # Public

    def trees(self, names: tuple[str, ...]) -> dict[str, Tree]:
        """Return the trees of the given names; report the missing ones and any other.

        One damaged name is taken for the missing one.
        """
        found: dict[bytes, Tree] = {}
        gap = False
        for row, flags in self._entries(self._meta.main, _by_bytes):
            if row is None:
                gap = True
            elif flags != TREE or len(row.value) != TREE_BYTES:
                self._report(row.entry_at + 4, "A named tree was expected here")
            else:
                found[row.key] = parse_tree(row.value, row.value_at)
        named = {name: found.pop(name.encode("ascii")) for name in names if name.encode("ascii") in found}
        missing = [name for name in names if name not in named]
        for key, tree in found.items():
            self._report(tree.at - len(key) + _unlike(key, missing), "This is not the name of a tree that belongs here")
            if len(missing) == 1:
                named[missing.pop()] = tree
            else:
                self._complete = False
        for name in missing if not gap else ():
            self._report(self._meta.main.at, f"The tree of {name} is missing")
        return named

    def rows(self, tree: Tree) -> Iterator[LiveRow | None]:
        """Yield a tree's rows in key order; None where a damaged page leaves a gap."""
        for row, flags in self._entries(tree, _by_bytes):
            if row is not None and flags & TREE:
                self._report(row.entry_at + 4, "A row was expected here, not a tree")
            yield row

    def finish(self) -> None:
        """Check the free pages, and that live and free pages are all pages."""
        for row, _ in self._entries(self._meta.free, _by_number):
            if row is None:
                continue
            if len(row.key) != 8 or not 0 < int.from_bytes(row.key, "little") <= self._meta.transaction:
                self._report(row.key_at, "The list of free pages names a transaction that was not yet")
            self._free_pages(row)
        if self._complete and 0 in self._seen:
            page = self._seen.index(0)
            if page * self.page_bytes >= self._end:
                at = self._meta.free.at - MetaPage.FREE_AT + MetaPage.LAST_PAGE_AT
                self._expect(
                    at, self._meta.last_page.to_bytes(8, "little"), page - 1, "The last page lies outside the file"
                )
            else:
                self._report(page * self.page_bytes, f"Page {page} is neither used nor free")

    # Metas

    def _metas(self) -> list[MetaPage]:
        """Read both meta pages and check what LMDB reads of them."""
        first = self._file.read(0, META_BYTES)
        if len(first) < META_BYTES:
            raise PageDamage(len(first), "The file ends inside its first page")
        self.page_bytes = self._page_size(parse_meta(first, 0).free.pad)
        metas = []
        for number in range(METAS):
            at = number * self.page_bytes
            page = self._file.read(at, META_BYTES)
            if len(page) < META_BYTES:
                raise PageDamage(at + len(page), "The file ends inside its second page")
            meta = parse_meta(page, at)
            self._check_meta(number, meta, page)
            metas.append(meta)
        self._check_transactions(metas)
        return metas

    def _page_size(self, told: int) -> int:
        """Return the page size that the first meta tells, or else the one at which a second meta stands."""
        for size in (told, *(PAGE_BYTES_MIN << shift for shift in range(16))):
            if not PAGE_BYTES_MIN <= size <= PAGE_BYTES_MAX or size & (size - 1):
                continue
            page = self._file.read(size, META_BYTES)
            if len(page) == META_BYTES and (
                parse_meta(page, size).magic == MAGIC or parse_meta(page, size).free.pad == size
            ):
                return size
        raise PageDamage(0, "This is not a state file: its page size cannot be found")

    def _check_meta(self, number: int, meta: MetaPage, page: bytes) -> None:
        """Compare the fields that never change with what they must be."""
        fixed = (
            (0, number, 8, "The meta page's number is wrong"),
            (10, META, 2, "The page is not marked as a meta page"),
            (MetaPage.MAGIC_AT, MAGIC, 4, "The meta page's magic number is wrong"),
            (MetaPage.VERSION_AT, VERSION, 4, "The meta page's version is wrong"),
            (MetaPage.ADDRESS_AT, 0, 8, "The meta page names a fixed address"),
            (MetaPage.FREE_AT, self.page_bytes, 4, "The meta page's page size is wrong"),
            (MetaPage.FREE_AT + Tree.FLAGS_AT, INTEGER_KEYS, 2, "The flags of the list of free pages are wrong"),
            (MetaPage.MAIN_AT, 0, 4, "The main tree's padding is not zero"),
            (MetaPage.MAIN_AT + Tree.FLAGS_AT, 0, 2, "The main tree's flags are wrong"),
        )
        for at, expected, length, what in fixed:
            self._expect(number * self.page_bytes + at, page[at : at + length], expected, what)
        if meta.map_size & (meta.map_size - 1) or not META_BYTES < meta.map_size < 2**63:
            one_bit = 1 << max(range(64), key=lambda bit: _alike(meta.map_size, 1 << bit))
            at = number * self.page_bytes + MetaPage.MAP_SIZE_AT
            self._expect(at, page[MetaPage.MAP_SIZE_AT :][:8], one_bit, "The room set aside is not a power of two")

    def _check_transactions(self, metas: list[MetaPage]) -> None:
        """The two metas hold the last two transactions, the even one first."""
        first, second = (meta.transaction for meta in metas)
        if (abs(first - second) == 1 and first % 2 == 0) or (first, second) == (0, 0):
            return
        for number, (found, other) in enumerate(((first, second), (second, first))):
            nearest = min((other - 1, other + 1), key=lambda value: (value ^ found).bit_count() if value >= 0 else 64)
            where = first_difference(found.to_bytes(8, "little"), max(nearest, 0).to_bytes(8, "little")) % 8
            self._report(
                number * self.page_bytes + MetaPage.TRANSACTION_AT + where,
                "The two meta pages do not follow each other: one of their transaction numbers is wrong",
            )

    def _expect(self, at: int, found: bytes, expected: int, what: str) -> bool:
        """Report the first byte of a little-endian field that is not as expected."""
        encoded = expected.to_bytes(len(found), "little")
        if found == encoded:
            return True
        self._report(at + first_difference(found, encoded), what)
        return False

    # Trees

    def _entries(self, tree: Tree, order: Order) -> Iterator[tuple[LiveRow | None, int]]:
        """Yield (row, flags) of a tree in key order, None for a gap, then compare its record with what was met."""
        count = _Count()
        if tree.root == NO_PAGE:
            if any((tree.depth, tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries)):
                self._complete = False
                self._report(tree.at + Tree.ROOT_AT, "The tree has entries but no root")
        else:
            try:
                depth = self._depth(tree)
            except PageDamage as damage:
                yield self._gap(damage, count)
            else:
                if depth != tree.depth:
                    self._report(
                        tree.at + Tree.DEPTH_AT + (depth & 0xFF == tree.depth & 0xFF), "The tree's depth is wrong"
                    )
                open_end = Bound(None, tree.at + Tree.ROOT_AT)
                yield from self._page(tree.root, tree.at + Tree.ROOT_AT, depth, open_end, open_end, count, order)
        self._check_record(tree, count)

    def _check_record(self, tree: Tree, count: _Count) -> None:
        record = self._file.read(tree.at, TREE_BYTES)
        if tree.at >= METAS * self.page_bytes:
            self._expect(tree.at, record[:4], 0, "The tree's padding is not zero")
            self._expect(
                tree.at + Tree.FLAGS_AT, record[Tree.FLAGS_AT : Tree.DEPTH_AT], 0, "The tree's flags are wrong"
            )
        if count.damaged:
            return
        counted = (
            ("branch pages", count.branch),
            ("leaf pages", count.leaf),
            ("overflow pages", count.overflow),
            ("entries", count.entries),
        )
        for position, (name, number) in enumerate(counted):
            at = Tree.COUNTS_AT + 8 * position
            self._expect(tree.at + at, record[at : at + 8], number, f"The tree's number of {name} is wrong")

    def _depth(self, tree: Tree) -> int:
        """Return a tree's depth by going down its left side.

        Raises: PageDamage.
        """
        number, at = tree.root, tree.at + Tree.ROOT_AT
        for depth in range(1, DEPTH_MAX + 1):
            page = self._read(number, at)
            if not parse_header(page).flags & BRANCH:
                return depth
            entries = find_entries(page, False, _by_bytes)
            if not entries.whole or not entries.starts:
                return max(tree.depth, depth + 1)
            start = entries.starts[0]
            at = number * self.page_bytes + start
            number = _child(page, start)
        raise PageDamage(tree.at + Tree.ROOT_AT, "The tree is deeper than any tree can be")

    def _read(self, number: int, referrer_at: int) -> bytes:
        """Return a page.

        Raises: PageDamage when there is no such page or it was met before.
        """
        self._require_new(number, referrer_at)
        page = self._file.read(number * self.page_bytes, self.page_bytes)
        if len(page) < self.page_bytes:
            raise PageDamage(self._end, f"The file ends before page {number}, which is used")
        return page

    def _require_new(self, number: int, referrer_at: int) -> None:
        """Refuse a page number outside the file or met before. Raises: PageDamage."""
        if not METAS <= number <= self._meta.last_page:
            at = referrer_at + _beyond(number, self._meta.last_page)
            raise PageDamage(at, "This leads to a page outside the file")
        if self._seen[number]:
            raise PageDamage(referrer_at, f"This leads to page {number}, which is used or free elsewhere")

    def _page(
        self,
        number: int,
        referrer_at: int,
        depth: int,
        low: Bound,
        high: Bound,
        count: _Count,
        order: Order,
    ) -> Iterator[tuple[LiveRow | None, int]]:
        """Yield the entries under one page that stands `depth` levels above nothing."""
        leaf = depth == 1
        base = number * self.page_bytes
        try:
            page = self._read(number, referrer_at)
            entries = find_entries(page, leaf, order)
            if entries.damage and _is_of_another_kind(page, number, leaf):
                raise PageDamage(referrer_at, "This leads to a page of another kind")
            if leaf:
                here = first_difference(page[:8], number.to_bytes(8, "little"))
                blamed = referrer_at if here == 8 else base + here  # a page of another number was copied here
                _require_place(page, entries.starts, blamed, low, high, order, count.previous)
        except PageDamage as damage:
            yield self._gap(damage, count)
            return
        self._seen[number] = 1
        self._expect(base, page[:8], number, "The page's number is wrong")
        self._expect(base + 10, page[10:12], LEAF if leaf else BRANCH, "The page's kind is wrong")
        for offset, what in entries.damage:
            self._report(base + offset, what)
        if not entries.whole:
            self._complete = False
            count.damaged = True
        if leaf:
            count.leaf += 1
            for entry in self._leaf(page, base, entries.starts, low, high, count, order):
                if not entries.whole:
                    yield None, 0
                yield entry
        if not entries.whole:
            yield None, 0
        if leaf:
            return
        count.branch += 1
        bounds = self._separators(page, base, entries.starts, low, high, order)
        for position, start in enumerate(entries.starts):
            yield from self._page(
                _child(page, start), base + start, depth - 1, bounds[position], bounds[position + 1], count, order
            )

    def _separators(
        self,
        page: bytes,
        base: int,
        starts: tuple[int, ...],
        low: Bound,
        high: Bound,
        order: Order,
    ) -> list[Bound]:
        """Return the bounds around a branch page's children; report separators out of order."""
        bounds = [low]
        for start in starts[1:]:
            key = order(entry_key(page, start))
            before = bounds[-1].key
            if (before is not None and key <= before) or (high.key is not None and key >= high.key):
                self._report(base + start + ENTRY_BYTES, "A separator is out of order")
            bounds.append(Bound(key, base + start + ENTRY_BYTES))
        return [*bounds, high]

    def _leaf(
        self,
        page: bytes,
        base: int,
        starts: tuple[int, ...],
        low: Bound,
        high: Bound,
        count: _Count,
        order: Order,
    ) -> Iterator[tuple[LiveRow | None, int]]:
        """Yield a leaf's entries; report keys out of order, and separators that the keys do not keep."""
        in_order = True
        first = last = None
        for start in starts:
            low_half, high_half, flags, key_size = ENTRY_AT(page, start)
            key_end = start + ENTRY_BYTES + key_size
            key = page[start + ENTRY_BYTES : key_end]
            place = order(key)
            in_order &= self._check_order(place, base + start + ENTRY_BYTES, count)
            first, last = place if first is None else first, place
            count.entries += 1
            value_at, value_size = base + key_end, low_half | high_half << 16
            if flags & ~(BIG | TREE):
                self._report(base + start + 4 + (not flags & 0xFF & ~(BIG | TREE)), "An entry's flags are wrong")
            if flags & BIG:
                try:
                    value_at, value = self._overflow(page, base, start, count)
                except PageDamage as damage:
                    yield self._gap(damage, count)
                    continue
            else:
                value = page[key_end : key_end + value_size]
            yield LiveRow(key=key, value=value, entry_at=base + start, value_at=value_at), flags & ~BIG
        if in_order and first is not None and last is not None:
            if low.key is not None and first < low.key:
                self._report(low.at, "A separator does not part its pages")
            if high.key is not None and last >= high.key:
                self._report(high.at, "A separator does not part its pages")

    def _check_order(self, place: bytes, at: int, count: _Count) -> bool:
        """Compare a key with the one before; of two out of order, name the one that the key before speaks against."""
        in_order = count.previous is None or count.previous < place
        if not in_order:
            before = count.before_previous
            self._report(count.previous_at if before is None or before < place else at, "A key is out of order")
        count.before_previous, count.previous, count.previous_at = count.previous, place, at
        return in_order

    def _overflow(self, page: bytes, base: int, start: int, count: _Count) -> tuple[int, bytes]:
        """Return where the large value of the entry at `start` stands, and the value.

        Raises: PageDamage.
        """
        low_half, high_half, _, key_size = ENTRY_AT(page, start)
        pointer, size = start + ENTRY_BYTES + key_size, low_half | high_half << 16
        number = int.from_bytes(page[pointer : pointer + 8], "little")
        at = number * self.page_bytes
        first = self._read(number, base + pointer)
        header = parse_header(first)
        if header.flags != OVERFLOW and (header.number != number or _is_sound(first)):
            raise PageDamage(base + pointer, "This leads to no overflow page")
        self._expect(at, first[:8], number, "The page's number is wrong")
        self._expect(at + 10, first[10:12], OVERFLOW, "The page's kind is wrong")
        told = header.lower | header.upper << 16
        needed = (HEADER_BYTES - 1 + size) // self.page_bytes + 1
        if told != needed and self._begins_page(number + told) and told < needed:
            self._mark(number, told)
            raise PageDamage(base + start + (2 if high_half else 1), "The value's size is more than its pages hold")
        if told < needed or any(self._seen[number : number + told]) or number + told > len(self._seen):
            self._mark(number, needed)
            raise PageDamage(at + 12, "The value's number of pages is wrong")
        self._mark(number, told)
        count.overflow += told
        return at + HEADER_BYTES, self._file.read(at + HEADER_BYTES, size)

    def _begins_page(self, number: int) -> bool:
        """Does a page of this number begin at its place, or the file end there?"""
        found = self._file.read(number * self.page_bytes, 8)
        return number > self._meta.last_page or found == number.to_bytes(8, "little")

    def _mark(self, number: int, pages: int) -> None:
        """Note that a run of pages was met, as far as the file has them."""
        pages = min(pages, len(self._seen) - number)
        self._seen[number : number + pages] = b"\1" * pages

    def _gap(self, damage: PageDamage, count: _Count) -> tuple[None, int]:
        """Report what keeps a part of the tree from being read."""
        self._complete = False
        count.damaged = True
        self._report(damage.offset, damage.what)
        return None, 0

    # Free pages

    def _free_pages(self, row: LiveRow) -> None:
        """Mark the pages of one record of the free list: a count, then page numbers from the highest down."""
        numbers = [int.from_bytes(row.value[at : at + 8], "little") for at in range(0, len(row.value), 8)]
        if len(row.value) % 8 or not numbers:
            self._complete = False
            self._report(row.value_at, "A list of free pages has the wrong length")
            return
        self._expect(row.value_at, row.value[:8], len(numbers) - 1, "A list of free pages has the wrong length")
        before = self._meta.last_page + 1
        for position, number in enumerate(numbers[1:], start=1):
            try:
                self._require_new(number, row.value_at + 8 * position)
            except PageDamage as damage:
                self._complete = False
                self._report(damage.offset, "The list of free pages: " + damage.what)
                continue
            if number >= before:
                self._report(row.value_at + 8 * position, "The list of free pages is out of order")
            self._seen[number], before = 1, number


def _child(page: bytes, start: int) -> int:
    """Return the page number in a branch page's entry."""
    low, high, flags, _ = ENTRY_AT(page, start)
    return int(low | high << 16 | flags << 32)


def _beyond(number: int, largest: int) -> int:
    """Return the first byte of a little-endian number that none up to `largest` would use, 0 when there is none."""
    used = (largest.bit_length() + 7) // 8
    return min((byte for byte in range(used, 8) if number >> 8 * byte & 0xFF), default=0)


def _alike(left: int, right: int) -> int:
    """Return how many of two uint64's bytes are the same."""
    return sum(a == b for a, b in zip(left.to_bytes(8, "little"), right.to_bytes(8, "little"), strict=True))


def _unlike(key: bytes, names: list[str]) -> int:
    """Return the first byte where a damaged name is unlike the missing one that it is most like."""
    likes = [
        (sum(left != right for left, right in zip(key, name.encode("ascii"), strict=True)), name.encode("ascii"))
        for name in names
        if len(name) == len(key)
    ]
    return first_difference(key, min(likes)[1]) if likes else 0


def _is_of_another_kind(page: bytes, number: int, leaf: bool) -> bool:
    """Is this a sound page that is not of the kind expected? Then what led here is wrong, not the page."""
    header = parse_header(page)
    if header.number != number or header.flags == (LEAF if leaf else BRANCH):
        return False
    return header.flags == OVERFLOW or _is_sound(page)


def _is_sound(page: bytes) -> bool:
    """Is this a leaf or branch page whose entries fit each other?"""
    flags = parse_header(page).flags
    return flags in (LEAF, BRANCH) and not find_entries(page, flags == LEAF, _by_bytes).damage


def _require_place(
    page: bytes,
    starts: tuple[int, ...],
    blamed: int,
    low: Bound,
    high: Bound,
    order: Order,
    previous: bytes | None,
) -> None:
    """Refuse a leaf none of whose keys belongs between its separators: another page was meant. Raises: PageDamage.

    When its keys follow the leaf before, it is the right one and the separator before it is wrong: told with the keys.
    """
    keys = [order(entry_key(page, start)) for start in starts]
    if not keys or any((low.key is None or low.key <= key) and (high.key is None or key < high.key) for key in keys):
        return
    if low.key is not None and keys[-1] < low.key and (previous is None or previous < keys[0]):
        return
    raise PageDamage(blamed, "This leads to, or is, a page of another place")
