# SPDX-License-Identifier: Apache-2.0
"""The block log: every block in order, in append-only segment files.

Rules kept:
1. A block is durable when `sync` has returned; one sync serves all blocks appended before it.
2. Opening keeps every synced block. It cuts off only a torn tail, bytes that no sync ever covered; damage anywhere
   else raises Corrupt and changes nothing.
3. Opening verifies the last segment (64 MiB at most) and the headers of the others; proving every byte is the audit's
   work.
4. After a failed sync nothing more is written until the log is opened again.
5. Finding a block costs two small reads: each finished segment has a sidecar of its offsets, derived, checked by the
   record it leads to, and made again when it is missing or wrong. Memory does not grow with the chain.

Source: architecture.md "Durability"; docs/concepts/storage.md.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from vervain.ledger.machine.block import Block
from vervain.ledger.primitives.errors import InvariantBroken
from vervain.storage.block_format import (
    RECORD_BYTES_MAX,
    RECORD_HEADER_BYTES,
    SEGMENT_BYTES_MAX,
    SEGMENT_HEADER_BYTES,
    SEGMENT_NAME,
    SEGMENT_RECORDS_MAX,
    SEGMENTS_MAX,
    TRANSACTIONS_MAX,
    SegmentHeader,
    SegmentReader,
    chain_digest,
    decode_body,
    encode_body,
    encode_record_header,
    encode_segment_header,
    record_digest,
    segment_name,
    was_durable,
)
from vervain.storage.errors import Corrupt, StorageError
from vervain.storage.files import FileLayer, OpenFile, RealFiles

_OFFSET: Final = struct.Struct(">I")


class BlockLog:
    """One chain's blocks under a directory. One writer; any number of reading threads."""

    def __init__(
        self,
        directory: Path,
        *,
        chain: str,
        files: FileLayer | None = None,
        durable_height: int | None = None,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        """Open the log, or begin it when there is none.

        Args:
            directory: The folder of the segments.
            chain: The chain's id; another chain's log is refused.
            files: The file layer; the operating system's when not given.
            durable_height: Height known from elsewhere (the state's head) to have been synced: damage up to there is
                never taken for a torn tail. None when nothing is known.
            segment_bytes_max: Size at which a segment is finished, at most 64 MiB.

        Raises: Corrupt, StorageError.
        """
        assert 0 < segment_bytes_max <= SEGMENT_BYTES_MAX
        files = RealFiles() if files is None else files
        self._directory, self._files, self._chain_digest = directory, files, chain_digest(chain)
        self._segment_bytes_max = segment_bytes_max
        self._first_heights: list[int] = []
        self._file: OpenFile | None = None
        self._offsets: array[int] = array("I")
        self._digest = self._chain_digest
        self._end = self._durable = 0
        self.last_height: int | None = None
        self._unusable = False
        files.make_directory(directory)
        self._open(durable_height)

    @property
    def first_height(self) -> int | None:
        """The first height kept, None when there is none."""
        return None if self.last_height is None else self._first_heights[0]

    # Writing

    def append(self, height: int, time: int, transactions: Sequence[bytes]) -> None:
        """Write a block at the end; `sync` makes it durable.

        Raises: Full, StorageError. The log is then as before, or says that it must be opened again.
        """
        self._require_usable()
        if self.last_height is not None and height != self.last_height + 1:
            raise InvariantBroken(f"block {height} cannot follow block {self.last_height}")
        body = encode_body(height, time, transactions)
        if len(body) > RECORD_BYTES_MAX or len(transactions) > TRANSACTIONS_MAX:
            raise InvariantBroken(f"block {height} passes the agreed size")
        if self._is_finished(RECORD_HEADER_BYTES + len(body)):
            self._begin_segment(height)
        digest = record_digest(self._digest, body)
        record = encode_record_header(body, durable=self._durable, digest=digest) + body
        assert self._file is not None
        try:
            self._file.append(record)
        except StorageError:
            self._undo()
            raise
        self._offsets.append(self._end)
        self._end += len(record)
        self._digest, self.last_height = digest, height

    def sync(self) -> None:
        """Return once every appended block is on the disk.

        Raises: StorageError, Full. Then nothing more is written until the log is opened again.
        """
        self._require_usable()
        if self._file is None or self._durable == self._end:
            return
        try:
            self._file.sync()
        except StorageError:
            self._unusable = True
            raise
        self._durable = self._end

    def close(self) -> None:
        """Close the files; syncs nothing."""
        self._unusable = True
        if self._file is not None:
            self._file.close()
            self._file = None

    # Reading

    def read(self, height: int) -> Block:
        """Return the block of a height that the log holds.

        Raises: StorageError, Corrupt.
        """
        if self.last_height is None or not self._first_heights[0] <= height <= self.last_height:
            raise StorageError(
                f"Block {height} is not in the log",
                why=f"It holds {self.first_height} to {self.last_height}",
                do="Ask a member that keeps the whole chain.",
            )
        position = bisect_right(self._first_heights, height) - 1
        path = self._path(position + 1)
        with closing(self._files.open(path)) as file:
            reader = SegmentReader(path, file)
            offset = self._locate(reader, position, height)
            _, body = reader.record(offset)
            return decode_body(body, file=path, offset=offset + RECORD_HEADER_BYTES)

    def blocks(self, from_height: int = 0) -> Iterator[Block]:
        """Yield the blocks from a height on, to the last one appended when this began.

        Raises: Corrupt.
        """
        last = self.last_height
        if last is None:
            return
        height = max(from_height, self._first_heights[0])
        while height <= last:
            position = bisect_right(self._first_heights, height) - 1
            stop = last + 1
            if position + 1 < len(self._first_heights):
                stop = min(stop, self._first_heights[position + 1])
            yield from self._blocks_in(position, height, stop)
            height = stop

    def _blocks_in(self, position: int, start: int, stop: int) -> Iterator[Block]:
        """Yield the blocks of one segment, heights [start, stop)."""
        path = self._path(position + 1)
        with closing(self._files.open(path)) as file:
            reader = SegmentReader(path, file)
            offset = self._locate(reader, position, start)
            for height in range(start, stop):
                header, body = reader.record(offset)
                block = decode_body(body, file=path, offset=offset + RECORD_HEADER_BYTES)
                if block.height != height:
                    raise Corrupt(path, offset + RECORD_HEADER_BYTES, f"Block {height} was expected here")
                yield block
                offset += RECORD_HEADER_BYTES + header.length

    # Private: opening

    def _open(self, durable_height: int | None) -> None:
        """Find the segments, verify the last, cut a torn tail, and make what was found durable."""
        numbers = self._segment_numbers()
        unborn = numbers.pop() if numbers and self._is_unborn(numbers[-1]) else None
        for number in numbers:
            self._first_heights.append(self._read_header(number).first_height)
        if numbers:
            self._file = self._files.open(self._path(numbers[-1]))
            self._verify_last(numbers[-1], self._file)
        if durable_height is not None and (self.last_height is None or self.last_height < durable_height):
            lost_in = self._path(numbers[-1] if numbers else 1)
            self.close()
            first = 0 if self.last_height is None else self.last_height + 1
            raise Corrupt(lost_in, self._end, f"Blocks {first} to {durable_height} were here and are not")
        if unborn is not None:
            self._files.remove(self._path(unborn))
        if self._file is not None and self._file.size() > self._end:
            self._file.truncate(self._end)
        if self._file is not None:
            self._file.sync()
            self._durable = self._end
        self._files.sync_directory(self._directory)

    def _segment_numbers(self) -> list[int]:
        """Return the segments' numbers, which must run from 1 without a gap."""
        names = [name for name in self._files.list(self._directory) if SEGMENT_NAME.match(name)]
        for number, name in enumerate(names, start=1):
            if name != segment_name(number):
                raise Corrupt(self._path(number), 0, "This segment is missing")
        return list(range(1, len(names) + 1))

    def _is_unborn(self, number: int) -> bool:
        """Was this segment still being made? Its header is synced before its first record is written."""
        path = self._path(number)
        with closing(self._files.open(path)) as file:
            if file.size() > SEGMENT_HEADER_BYTES:
                return False
            try:
                SegmentReader(path, file).segment_header()
            except Corrupt:
                return True
        return False

    def _read_header(self, number: int) -> SegmentHeader:
        """Return a segment's header, which must be of this chain, this number and a later height."""
        path = self._path(number)
        with closing(self._files.open(path)) as file:
            header = SegmentReader(path, file, end=min(file.size(), SEGMENT_HEADER_BYTES)).segment_header()
        if header.chain_digest != self._chain_digest:
            raise StorageError(
                "The block log belongs to another chain",
                why="Its chain digest is not this chain's",
                do="Check which data directory the node was given.",
            )
        if header.segment != number or (self._first_heights and header.first_height <= self._first_heights[-1]):
            raise Corrupt(path, 12, "The segment's number or first height is not the next one")
        return header

    def _verify_last(self, number: int, file: OpenFile) -> None:
        """Read the last segment from its header on; stop at a torn tail. Raises: Corrupt for any other damage."""
        path = self._path(number)
        reader = SegmentReader(path, file)
        header = reader.segment_header()
        offset, height, digest = SEGMENT_HEADER_BYTES, header.first_height, header.previous_digest
        while offset < reader.end:
            try:
                record, body = reader.record(offset)
                digest_here = record_digest(digest, body)
                if record.digest != digest_here:
                    raise Corrupt(path, offset + 16, "The digest does not continue the chain")
                if decode_body(body, file=path, offset=offset + RECORD_HEADER_BYTES).height != height:
                    raise Corrupt(path, offset + RECORD_HEADER_BYTES, f"Block {height} was expected here")
            except Corrupt:
                if was_durable(reader, offset):
                    raise
                break
            self._offsets.append(offset)
            offset, height, digest = offset + RECORD_HEADER_BYTES + record.length, height + 1, digest_here
        self._end, self._digest = offset, digest
        self.last_height = height - 1 if self._offsets or number > 1 else None

    # Private: writing

    def _is_finished(self, record_bytes: int) -> bool:
        """Does the next record need a new segment?"""
        if self._file is None or len(self._offsets) >= SEGMENT_RECORDS_MAX:
            return True
        return self._end + record_bytes > self._segment_bytes_max and len(self._offsets) > 0

    def _begin_segment(self, height: int) -> None:
        """Finish the segment, then make the next one durable, header and name, before any record goes in."""
        self.sync()
        number = len(self._first_heights) + 1
        if number > SEGMENTS_MAX:
            raise InvariantBroken("the block log has no segment numbers left")
        path = self._path(number)
        header = SegmentHeader(
            segment=number, first_height=height, chain_digest=self._chain_digest, previous_digest=self._digest
        )
        file = self._files.open(path, create=True)
        try:
            file.append(encode_segment_header(header))
            file.sync()
            self._files.sync_directory(self._directory)
        except StorageError:
            self._unusable = True  # the next opening removes the unborn segment
            file.close()
            raise
        if self._file is not None:
            self._write_sidecar(number - 1, self._offsets)
            self._file.close()
        self._offsets = array("I")
        self._first_heights.append(height)
        self._file, self._end, self._durable = file, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES

    def _undo(self) -> None:
        """Cut off a record that was written in part."""
        assert self._file is not None
        try:
            self._file.truncate(self._end)
        except StorageError:
            self._unusable = True

    def _require_usable(self) -> None:
        if self._unusable:
            raise StorageError(
                "The block log is closed",
                why="It was closed, or a write to it failed",
                do="Check the disk, then start the node again: opening the log finds what is durable.",
            )

    # Private: finding

    def _path(self, number: int) -> Path:
        return self._directory / segment_name(number)

    def _locate(self, reader: SegmentReader, position: int, height: int) -> int:
        """Return where a height's record begins.

        Raises: Corrupt.
        """
        first = self._first_heights[position]
        if position + 1 == len(self._first_heights):
            return self._offsets[height - first]
        offset = self._sidecar_offset(position + 1, height - first)
        if not _holds(reader, offset, height):
            offset = self._rebuild_sidecar(reader, position)[height - first]
        if not _holds(reader, offset, height):
            raise Corrupt(reader.path, offset, f"Block {height} was expected here")
        return offset

    def _sidecar_offset(self, number: int, index: int) -> int:
        """Return an offset as the sidecar has it, 0 when it cannot tell."""
        try:
            with closing(self._files.open(self._path(number).with_suffix(".index"))) as file:
                encoded = file.read(_OFFSET.size * index, _OFFSET.size)
        except StorageError:
            return 0
        return int(_OFFSET.unpack(encoded)[0]) if len(encoded) == _OFFSET.size else 0

    def _rebuild_sidecar(self, reader: SegmentReader, position: int) -> "array[int]":
        """Derive a finished segment's offsets from its records."""
        count = self._first_heights[position + 1] - self._first_heights[position]
        offsets, offset = array("I"), SEGMENT_HEADER_BYTES
        for _ in range(count):
            offsets.append(offset)
            offset += RECORD_HEADER_BYTES + reader.record_header(offset).length
        self._write_sidecar(position + 1, offsets)
        return offsets

    def _write_sidecar(self, number: int, offsets: "array[int]") -> None:
        """Write a finished segment's offsets beside it, if that can be done; reading checks them each time."""
        path = self._path(number).with_suffix(".index")
        with suppress(StorageError):
            self._files.remove(path)
            with closing(self._files.open(path, create=True)) as file:
                file.append(struct.pack(f">{len(offsets)}I", *offsets))


def _holds(reader: SegmentReader, offset: int, height: int) -> bool:
    """Does the record of `height` begin at `offset`?"""
    if offset < SEGMENT_HEADER_BYTES:
        return False
    try:
        reader.record_header(offset)
    except Corrupt:
        return False
    return reader.read(offset + RECORD_HEADER_BYTES, 8) == height.to_bytes(8, "big")
