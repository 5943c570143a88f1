# SPDX-License-Identifier: Apache-2.0
"""Reads many FHIR files, a few ahead of who asks, in a process of its own: checking is half of an import's work."""

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from vervain.gateways.fhir.bundle import ImportedResource, read_fhir_file
from vervain.gateways.fhir.rules import BadFile

FILES_AHEAD: Final = 4  # checked and waiting; a file may have 100 MB
FILES_WORTH_A_PROCESS: Final = 8  # starting one takes as long as checking a few bundles


class FailedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was refused as a whole: its name, where, and why."""

    file: str
    position: str
    reason: str


ReadFile: TypeAlias = tuple[ImportedResource, ...] | FailedFile


def read_file(path: Path, custodian: str) -> ReadFile:
    """Return the resources of one file, or why it is refused."""
    try:
        return read_fhir_file(path, custodian=custodian)
    except BadFile as error:
        return FailedFile(file=str(path), position=str(error.position), reason=error.reason)


def read_files(files: Sequence[Path], *, custodian: str = "") -> Iterator[ReadFile]:
    """Yield each file's resources, or why it is refused, in order.

    Args:
        files: .json, .json.gz, .ndjson or .ndjson.gz.
        custodian: Who keeps all of them; empty: each resource's own custodian is found.
    """
    if len(files) < FILES_WORTH_A_PROCESS:
        for path in files:
            yield read_file(path, custodian)
        return
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as reader:
        ahead: deque[Future[ReadFile]] = deque()
        for path in files:
            ahead.append(reader.submit(read_file, path, custodian))
            if len(ahead) >= FILES_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
