# SPDX-License-Identifier: Apache-2.0
"""Reads many FHIR files, a few ahead of who asks, in processes of their own: checking is a third of an import's work.

`python -m vervain.gateways.fhir.reading` is such a process.
"""

import gc
import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from vervain.gateways.fhir.bundle import ImportedResource, read_fhir_file
from vervain.gateways.fhir.definitions.schema_file import resource_types
from vervain.gateways.fhir.rules import BadFile
from vervain.gateways.fhir.source import FILE_BYTES_MAX
from vervain.gateways.fhir.workers import WorkerEnded, Workers, serve

READERS: Final = 2
FILES_AHEAD: Final = 4  # checked and waiting; a file may have 100 MB
FILES_WORTH_A_PROCESS: Final = 8  # starting one takes as long as checking a few bundles
FILE_SECONDS_MIN: Final = 60  # what any file is given, on a busy machine or a slow disk
BYTES_PER_SECOND_MIN: Final = 256 * 1024  # below a hundredth of what was measured


class FailedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was refused as a whole: its name, where, and why."""

    file: str
    position: str
    reason: str


ReadFile: TypeAlias = tuple[ImportedResource, ...] | FailedFile


class _ReadTask(msgspec.Struct, frozen=True, array_like=True):
    path: bytes
    custodian: str


_encode = msgspec.msgpack.Encoder().encode
_decode_task = msgspec.msgpack.Decoder(_ReadTask).decode
_decode_answer: msgspec.msgpack.Decoder[ReadFile] = msgspec.msgpack.Decoder(ReadFile)


def read_file(path: Path, custodian: str) -> ReadFile:
    """Return the resources of one file, or why it is refused."""
    try:
        return read_fhir_file(path, custodian=custodian)
    except BadFile as error:
        return FailedFile(file=str(path), position=str(error.position), reason=error.reason)


def read_files(files: Sequence[Path], *, custodian: str = "") -> Generator[ReadFile, None, None]:
    """Yield each file's resources, or why it is refused, in order. Close it when breaking off: its processes end then.

    Args:
        files: .json, .json.gz, .ndjson or .ndjson.gz.
        custodian: Who keeps all of them; empty: each resource's own custodian is found.

    Raises: WorkerEnded.
    """
    if len(files) < FILES_WORTH_A_PROCESS:
        for path in files:
            yield read_file(path, custodian)
        return
    with Workers("vervain.gateways.fhir.reading", READERS) as readers:
        ahead: deque[tuple[Path, Future[bytes]]] = deque()
        for path in files:
            task = _encode(_ReadTask(os.fsencode(path), custodian))
            ahead.append((path, readers.submit(task, seconds=seconds_for(path))))
            if len(ahead) >= FILES_AHEAD:
                yield _answered(*ahead.popleft())
        while ahead:
            yield _answered(*ahead.popleft())


def seconds_for(path: Path) -> int:
    """Return the longest time that checking a file may take. A compressed one counts as the largest there may be."""
    try:
        size = FILE_BYTES_MAX if path.name.lower().endswith(".gz") else min(path.stat().st_size, FILE_BYTES_MAX)
    except OSError:
        size = 0  # whoever reads it will tell
    return FILE_SECONDS_MIN + size // BYTES_PER_SECOND_MIN


def _answered(path: Path, answer: "Future[bytes]") -> ReadFile:
    try:
        read = _decode_answer.decode(answer.result())
    except WorkerEnded as error:
        raise WorkerEnded(f"{error.what}, while it read {path}", why=error.why, do=error.do) from error
    return replace(read, file=str(path)) if isinstance(read, FailedFile) else read


def _read(task: bytes) -> bytes:
    """Carry out a task, as a process of its own."""
    asked = _decode_task(task)
    read = read_file(Path(os.fsdecode(asked.path)), asked.custodian)
    # A path need not be text; whoever asked knows it.
    return _encode(replace(read, file="") if isinstance(read, FailedFile) else read)


def main() -> None:
    """Read files for another process."""
    resource_types()
    gc.freeze()  # the definitions stay; going through them again and again is a tenth of the work
    serve(_read)


if __name__ == "__main__":
    main()
