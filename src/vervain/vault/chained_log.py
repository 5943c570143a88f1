# SPDX-License-Identifier: Apache-2.0
"""An append-only list of entries that one organisation keeps for itself: durable, chained, never rewritten.

```
line     64 hex digits of the digest | space | entry, canonical bytes without a line feed | line feed
digest   SHA-256("vervain/log/v1\\n" || digest before 32 || entry)
segment  its first line is an entry too: {first, previous, segment, tag, version}, with the digest before it all zero
```
Rules kept:
1. `append` returns when the entries are on the disk. Entries are numbered from 1.
2. Whoever keeps one (count, digest) can tell whether anything before it was changed, taken out or put in.
3. What a crash tore off an append that nobody was told of is cut away on opening. A complete line that does not fit the
   chain is damage, never cut.

Used for: erasures, releases, notices, accesses. Read by a person with any text tool.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final, Literal

import msgspec

from vervain.ledger.primitives.codec import Bytes32, Code, NotCanonical, Positive, decode, encode
from vervain.storage.errors import Corrupt, StorageError
from vervain.storage.files import FileLayer, OpenFile, RealFiles
from vervain.storage.findings import FINDINGS_MAX, Finding

ENTRY_BYTES_MAX: Final = 2**20
BATCH_BYTES_MAX: Final = 16 * 2**20  # one append, so the longest tail that a crash can tear
SEGMENT_BYTES_MAX: Final = 64 * 2**20  # one file; opening reads the last one
SEGMENTS_MAX: Final = 99_999_999
_CHAIN: Final = b"vervain/log/v1\n"
_DIGEST_HEX: Final = 64
_NONE: Final = bytes(32)
_UNWRITTEN: Final = bytes(16)  # a crash leaves whole blocks of zeros; one altered byte does not


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A segment's first line."""

    version: Literal[1]
    tag: Code
    segment: Positive
    first: Positive
    previous: Bytes32


class ChainedLog:
    """One chained list in a folder of its own.

    Attributes:
        count: Number of entries, and of the newest one.
        digest: 32-byte digest of the newest entry; of the tag when there is none.
    """

    def __init__(self, directory: Path, *, tag: str, files: FileLayer | None = None) -> None:
        """Open, or begin, the list.

        Args:
            directory: Its folder; made when missing.
            tag: What it lists: `erasures`, `releases`, `notices`, `accesses`.
            files: The file layer.

        Raises: Corrupt, StorageError.
        """
        self._files = RealFiles() if files is None else files
        self._directory, self._tag = directory, tag
        self._lock = Lock()
        self._firsts: list[int] = []
        self._usable = True
        self.count, self.digest = 0, sha256(_CHAIN + tag.encode("ascii")).digest()
        self._files.make_directory(directory)
        self._file, self._size = self._open()

    def append(self, entries: Sequence[bytes]) -> int:
        """Add entries durably; return the number of the first.

        Raises: StorageError, Full; then nothing was added.
        """
        with self._lock:
            self._require_usable()
            lines, digest = [], self.digest
            for entry in entries:
                assert len(entry) <= ENTRY_BYTES_MAX and b"\n" not in entry
                digest = _next_digest(digest, entry)
                lines.append(digest.hex().encode() + b" " + entry + b"\n")
            written = b"".join(lines)
            assert len(written) <= BATCH_BYTES_MAX
            if self._size + len(written) > SEGMENT_BYTES_MAX and self.count >= self._firsts[-1]:
                self._begin_segment()
            self._write(written)
            first = self.count + 1
            self.count, self.digest = self.count + len(entries), digest
            return first

    def read(self, first: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (number, entry) from `first` on, `stop` excluded, as they are now.

        Raises: Corrupt.
        """
        stop = self.count + 1 if stop is None else min(stop, self.count + 1)
        for segment, begin in enumerate(self._firsts, 1):
            following = self._firsts[segment] if segment < len(self._firsts) else self.count + 1
            if following <= first or begin >= stop:
                continue
            number = begin
            for _, entry in self._lines(segment):
                if first <= number < stop:
                    yield number, entry
                number += 1

    def pick(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield (number, entry) of the named entries, ascending; reads only the files that hold one.

        Raises: Corrupt.
        """
        wanted = frozenset(numbers)
        for segment, begin in enumerate(self._firsts, 1):
            following = self._firsts[segment] if segment < len(self._firsts) else self.count + 1
            if any(begin <= number < following for number in wanted):
                for number, (_, entry) in enumerate(self._lines(segment), begin):
                    if number in wanted:
                        yield number, entry

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # Opening

    def _open(self) -> tuple[OpenFile, int]:
        names = self._files.list(self._directory)
        segments = [name for name in names if name.endswith(".log")]
        if segments != [_name(number) for number in range(1, len(segments) + 1)]:
            raise Corrupt(self._directory, 0, f"The list of {self._tag} lacks a file in between")
        for number in range(1, len(segments) + 1):
            file = self._files.open(self._directory / _name(number))
            head = self._read_head(file, number, is_last=number == len(segments))
            if head is None:  # a crash tore the beginning of a new segment: nothing is in it
                file.close()
                self._files.remove(self._directory / _name(number))
                self._files.sync_directory(self._directory)
                break
            self._firsts.append(head.first)
            if number < len(segments):
                file.close()
        if not self._firsts:
            return self._new_segment(1, 1)
        return self._open_last(len(self._firsts))

    def _open_last(self, number: int) -> tuple[OpenFile, int]:
        file = self._files.open(self._directory / _name(number))
        head = self._read_head(file, number, is_last=False)
        assert head is not None
        self.count, self.digest = head.first - 1, head.previous
        content = file.read(0, file.size())
        offset = content.index(b"\n") + 1
        while offset < len(content):
            line = _line_at(content, offset)
            digest = None if line is None else _next_digest(self.digest, line[1])
            if line is None or digest is None or line[0] != digest:
                self._cut_torn(file, content, offset)
                break
            self.count, self.digest, offset = self.count + 1, digest, line[2]
        return file, offset

    def _cut_torn(self, file: OpenFile, content: bytes, offset: int) -> None:
        """Cut what a crash tore; complain of anything else."""
        tail = content[offset:]
        lost_end = _line_at(tail[:-1] + b"\n", 0)  # a whole line whose line feed alone was altered is not torn
        is_whole = lost_end is not None and lost_end[0] == _next_digest(self.digest, lost_end[1])
        is_torn = (tail[-1:] != b"\n" and not is_whole) or _UNWRITTEN in tail
        if not is_torn or len(tail) > BATCH_BYTES_MAX:
            path = self._directory / _name(len(self._firsts))
            raise Corrupt(path, offset, f"An entry of the list of {self._tag} does not follow the one before it")
        file.truncate(offset)
        file.sync()

    def _read_head(self, file: OpenFile, number: int, *, is_last: bool) -> _Head | None:
        """Return a segment's first line; None when it is the last segment and its beginning was torn."""
        begin = file.read(0, min(file.size(), 1024))
        line = _line_at(begin, 0)
        try:
            head = None if line is None else decode(line[1], _Head)
        except NotCanonical:
            head = None
        is_whole = line is not None and line[0] == _next_digest(_NONE, line[1])
        if head is None or not is_whole or (head.segment, head.tag) != (number, self._tag):
            if is_last and (b"\n" not in begin or _UNWRITTEN in begin):
                return None
            raise Corrupt(self._directory / _name(number), 0, f"The first line is not one of a list of {self._tag}")
        return head

    # Writing

    def _begin_segment(self) -> None:
        self._file.close()
        self._file, self._size = self._new_segment(len(self._firsts) + 1, self.count + 1)

    def _new_segment(self, number: int, first: int) -> tuple[OpenFile, int]:
        assert number <= SEGMENTS_MAX
        head = encode(_Head(version=1, tag=self._tag, segment=number, first=first, previous=self.digest))
        line = _next_digest(_NONE, head).hex().encode() + b" " + head + b"\n"
        file = self._files.open(self._directory / _name(number), create=True)
        file.append(line)
        file.sync()
        self._files.sync_directory(self._directory)
        self._firsts.append(first)
        return file, len(line)

    def _write(self, written: bytes) -> None:
        try:
            self._file.append(written)
            self._file.sync()
        except StorageError:
            self._usable = False  # after a failed sync nobody knows what is on the disk; opening again finds out
            raise
        self._size += len(written)

    def _require_usable(self) -> None:
        if not self._usable:
            raise StorageError(
                f"The list of {self._tag} cannot be written to since a write failed",
                why="What is on the disk is only known after opening it again",
                do="Mend the disk, then start the node again.",
            )

    def _lines(self, segment: int) -> Iterator[tuple[bytes, bytes]]:
        path = self._directory / _name(segment)
        file = self._files.open(path)
        try:
            content = file.read(0, self._size if segment == len(self._firsts) else file.size())
        finally:
            file.close()
        offset = content.index(b"\n") + 1
        while offset < len(content):
            line = _line_at(content, offset)
            if line is None:
                raise Corrupt(path, offset, f"A line is not one of a list of {self._tag}")
            yield line[0], line[1]
            offset = line[2]


def audit_chained_log(directory: Path, *, tag: str, name: str, files: FileLayer | None = None) -> Iterator[Finding]:
    """Yield what does not fit in a chained list: each line is judged by the digest written before it.

    Args:
        directory: The list's folder.
        tag: What it lists.
        name: How the folder is called in findings.
        files: The file layer.
    """
    layer = RealFiles() if files is None else files
    names = [each for each in layer.list(directory) if each.endswith(".log")]
    previous, told = sha256(_CHAIN + tag.encode("ascii")).digest(), 0
    for number, each in enumerate(names, 1):
        if each != _name(number):
            yield Finding(file=f"{name}/{_name(number)}", offset=0, what="The file is missing")
            return
        file = layer.open(directory / each)
        try:
            content = file.read(0, file.size())
        finally:
            file.close()
        for offset, what, digest in _judge(content, previous, tag, number):
            previous = digest
            if what and told < FINDINGS_MAX:
                told += 1
                yield Finding(file=f"{name}/{each}", offset=offset, what=what)


def _judge(content: bytes, previous: bytes, tag: str, number: int) -> Iterator[tuple[int, str, bytes]]:
    """Yield (offset, what is wrong or nothing, digest to go on from) for each line."""
    offset, is_first = 0, True
    while offset < len(content) or is_first:
        line = _line_at(content, offset)
        if line is None:
            yield offset, "A line is torn or altered", previous
            end = content.find(b"\n", offset)
            offset, is_first = (len(content) if end < 0 else end + 1), False
            continue
        digest, entry, end = line
        if is_first:
            fits = digest == _next_digest(_NONE, entry) and _is_head(entry, tag, number, previous)
            yield offset, "" if fits else "The first line is altered, or does not follow the file before", previous
        else:
            fits = digest == _next_digest(previous, entry)
            previous = digest
            yield offset, "" if fits else "An entry is altered, or does not follow the one before it", digest
        offset, is_first = end, False


def _is_head(entry: bytes, tag: str, number: int, previous: bytes) -> bool:
    try:
        head = decode(entry, _Head)
    except NotCanonical:
        return False
    return (head.tag, head.segment, head.previous) == (tag, number, previous)


def _line_at(content: bytes, offset: int) -> tuple[bytes, bytes, int] | None:
    """Return (digest, entry, offset of the next line), or None when no well-formed line begins here."""
    end = content.find(b"\n", offset)
    if end < offset + _DIGEST_HEX + 1 or content[offset + _DIGEST_HEX : offset + _DIGEST_HEX + 1] != b" ":
        return None
    digits = content[offset : offset + _DIGEST_HEX]
    try:
        digest = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    if digest.hex().encode() != digits:
        return None
    return digest, content[offset + _DIGEST_HEX + 1 : end], end + 1


def _next_digest(previous: bytes, entry: bytes) -> bytes:
    return sha256(_CHAIN + previous + entry).digest()


def _name(segment: int) -> str:
    return f"{segment:08d}.log"
