# SPDX-License-Identifier: Apache-2.0
"""The page layout of LMDB 0.9, read without LMDB: metas, headers, entries. 64-bit, little-endian files only.

```
page     number uint64 | unread uint16 | flags uint16 | lower, upper uint16 (overflow: pages uint32) | entry offsets
meta     magic | version | address uint64 | map size uint64 | free tree 48 | main tree 48 | last page uint64
         | transaction uint64
tree     pad uint32 | flags uint16 | depth uint16 | branch, leaf, overflow pages, entries uint64 | root page uint64
entry    low uint16 | high uint16 | flags uint16 | key size uint16 | key | value, or an overflow page's number
```
Entries fill a page from `upper` to its end without a gap, each padded to an even length; their offsets stand in key
order. So one wrong size, offset or count shows, and which of them it is.

Source: liblmdb 0.9 `mdb.c` (MDB_page, MDB_meta, MDB_db, MDB_node).
"""

import struct
from collections.abc import Callable
from typing import Final

import msgspec

META_BYTES: Final = 152  # page header and meta together
HEADER_BYTES: Final = 16
ENTRY_BYTES: Final = 8
TREE_BYTES: Final = 48
PAGE_BYTES_MIN: Final = 512
PAGE_BYTES_MAX: Final = 32_768
NO_PAGE: Final = 2**64 - 1
METAS: Final = 2

BRANCH: Final = 0x01
LEAF: Final = 0x02
OVERFLOW: Final = 0x04
META: Final = 0x08
BIG: Final = 0x01  # the value stands in overflow pages
TREE: Final = 0x02  # the value is a named tree
INTEGER_KEYS: Final = 0x08

MAGIC: Final = 0xBEEFC0DE
VERSION: Final = 1

_HEADER: Final = struct.Struct("<QHHHH")
_META: Final = struct.Struct("<IIQQ48s48sQQ")
_TREE: Final = struct.Struct("<IHHQQQQQ")
_ENTRY: Final = struct.Struct("<HHHH")
ENTRY_AT: Final = _ENTRY.unpack_from


Order = Callable[[bytes], bytes]
"""Turns a key into bytes that sort as the tree does."""


class PageDamage(Exception):
    """A page cannot be read. Caught by the walker and told as a finding.

    Attributes:
        offset: First bad byte, in the page while it is parsed, in the file once it is told.
        what: What is wrong.
    """

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset, self.what = offset, what


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A page's header; `lower | upper << 16` is an overflow run's number of pages."""

    number: int
    flags: int
    lower: int
    upper: int


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A tree's record; `at` is where it stands in the file."""

    at: int
    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int

    # Where its fields stand in the record.
    FLAGS_AT = 4
    DEPTH_AT = 6
    COUNTS_AT = 8
    ROOT_AT = 40


class MetaPage(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two meta pages."""

    header: Header
    magic: int
    version: int
    address: int
    map_size: int
    free: Tree
    main: Tree
    last_page: int
    transaction: int

    # Where its fields stand in the page.
    MAGIC_AT = 16
    VERSION_AT = 20
    ADDRESS_AT = 24
    MAP_SIZE_AT = 32
    FREE_AT = 40
    MAIN_AT = 88
    LAST_PAGE_AT = 136
    TRANSACTION_AT = 144


def parse_header(page: bytes) -> Header:
    """Return a page's header."""
    number, _, flags, lower, upper = _HEADER.unpack_from(page)
    return Header(number=number, flags=flags, lower=lower, upper=upper)


def parse_tree(record: bytes, at: int) -> Tree:
    """Return the 48-byte record of a tree that stands at byte `at` of the file."""
    pad, flags, depth, branch, leaf, overflow, entries, root = _TREE.unpack(record)
    return Tree(
        at=at,
        pad=pad,
        flags=flags,
        depth=depth,
        branch_pages=branch,
        leaf_pages=leaf,
        overflow_pages=overflow,
        entries=entries,
        root=root,
    )


def parse_meta(page: bytes, at: int) -> MetaPage:
    """Return the meta page whose first `META_BYTES` stand at byte `at` of the file."""
    magic, version, address, map_size, free, main, last_page, transaction = _META.unpack_from(page, HEADER_BYTES)
    return MetaPage(
        header=parse_header(page),
        magic=magic,
        version=version,
        address=address,
        map_size=map_size,
        free=parse_tree(free, at + MetaPage.FREE_AT),
        main=parse_tree(main, at + MetaPage.MAIN_AT),
        last_page=last_page,
        transaction=transaction,
    )


def entry_bytes(page: bytes, start: int, leaf: bool) -> int:
    """Return how many bytes the entry at `start` takes, padding included; 0 when its header passes the page's end."""
    if start + ENTRY_BYTES > len(page):
        return 0
    low, high, flags, key_size = ENTRY_AT(page, start)
    value_size = 0 if not leaf else 8 if flags & BIG else low | high << 16
    return int(ENTRY_BYTES + key_size + value_size + 1 & ~1)


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page's readable entries begin, in key order, and what is wrong with the page: (byte of the page, words).

    `whole` says whether all entries are readable all the same.
    """

    starts: tuple[int, ...]
    whole: bool = True
    damage: tuple[tuple[int, str], ...] = ()


def find_entries(page: bytes, leaf: bool, order: Order) -> Entries:
    """Return a page's entries; where offsets and sizes contradict each other, what one of the two still tells."""
    header = parse_header(page)
    chain = _chain(page, header.upper, leaf)
    possible = HEADER_BYTES <= header.lower <= len(page) and not header.lower % 2
    count = (header.lower - HEADER_BYTES) // 2 if possible else 0
    starts = struct.unpack_from(f"<{count}H", page, HEADER_BYTES)
    if chain is None:
        return _without_chain(page, starts, header.upper, leaf)
    if sorted(starts) == chain:
        return Entries(starts=starts)
    in_order = tuple(sorted(chain, key=lambda start: order(entry_key(page, start))))
    return Entries(starts=in_order, damage=(_bad_offset(starts, in_order),))


def entry_key(page: bytes, start: int) -> bytes:
    """Return the key of the entry at `start`."""
    return page[start + ENTRY_BYTES : start + ENTRY_BYTES + ENTRY_AT(page, start)[3]]


def _chain(page: bytes, start: int, leaf: bool) -> list[int] | None:
    """Return the entries' beginnings as their own sizes tell them, or None when they do not end with the page."""
    chain = []
    while HEADER_BYTES <= start < len(page):
        chain.append(start)
        size = entry_bytes(page, start, leaf)
        if not size:
            return None
        start += size
    return chain if start == len(page) else None


def _bad_offset(starts: tuple[int, ...], real: tuple[int, ...]) -> tuple[int, str]:
    """Tell which offset is not the real one, or that their number is wrong."""
    if len(starts) != len(real):
        lower = HEADER_BYTES + 2 * len(starts), HEADER_BYTES + 2 * len(real)
        return 12 + _first_byte(*lower), "The page's number of entries does not fit its contents"
    position = next(i for i, (found, expected) in enumerate(zip(starts, real, strict=True)) if found != expected)
    return (
        HEADER_BYTES + 2 * position + _first_byte(starts[position], real[position]),
        "An entry's offset leads to no entry",
    )


def _first_byte(found: int, expected: int) -> int:
    """Return which byte of a little-endian uint16 differs first."""
    return int(found & 0xFF == expected & 0xFF)


def _without_chain(page: bytes, starts: tuple[int, ...], upper: int, leaf: bool) -> Entries:
    """Tell whether `upper` or an entry's size breaks the chain, and which entries can be read by their offsets."""
    for position, start in enumerate(starts):
        if not HEADER_BYTES <= start <= len(page) - ENTRY_BYTES:
            where = HEADER_BYTES + 2 * position
            return Entries(starts=(), whole=False, damage=((where, "An entry's offset lies outside the page"),))
    ordered = sorted(starts)
    damage, bad = [], set()
    for start, end in zip(ordered, [*ordered[1:], len(page)], strict=False):
        if entry_bytes(page, start, leaf) != end - start:
            bad.add(start)
            damage.append((start + _bad_size_field(page, start, leaf, end - start), "An entry's size is wrong"))
    if not damage and ordered and ordered[0] != upper:
        where = 14 + _first_byte(upper, ordered[0])
        return Entries(starts=starts, damage=((where, "The page's free space is given wrongly"),))
    if not damage:
        return Entries(starts=(), whole=False, damage=((12, "The page's number of entries is impossible"),))
    return Entries(starts=tuple(start for start in starts if start not in bad), whole=False, damage=tuple(damage))


def _bad_size_field(page: bytes, start: int, leaf: bool, room: int) -> int:
    """Return the byte of an entry's header that, changed alone, would give the entry `room` bytes; 0 when none does."""
    low, high, flags, key_size = ENTRY_AT(page, start)
    fitting = range(room - ENTRY_BYTES - 1, room - ENTRY_BYTES + 1)  # of key and value together
    if leaf and not flags & BIG:
        value_size = low | high << 16
        for byte in range(4):
            if any(size >= key_size and not (value_size ^ (size - key_size)) & ~(0xFF << 8 * byte) for size in fitting):
                return byte
        if any(size == key_size + 8 for size in fitting):
            return 4
    value_size = 0 if not leaf else 8 if flags & BIG else low | high << 16
    for byte in range(2):
        if any(size >= value_size and not (key_size ^ (size - value_size)) & ~(0xFF << 8 * byte) for size in fitting):
            return 6 + byte
    return 4 if leaf and flags & BIG else 0
