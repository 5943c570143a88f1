# SPDX-License-Identifier: Apache-2.0
"""Many files at once: what processes of their own read is what one would, in order, refusals included."""

import os
from pathlib import Path

import pytest

from vervain.gateways.fhir import reading
from vervain.gateways.fhir.bundle import read_fhir_file
from vervain.gateways.fhir.reading import FILES_WORTH_A_PROCESS, FailedFile, read_files
from vervain.gateways.fhir.synthetic import generate_bundle

BAD = 3


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Enough files for processes; the fourth is refused, and its name is no text."""
    found = [tmp_path / f"{number}.json" for number in range(FILES_WORTH_A_PROCESS + 3)]
    found[BAD] = Path(os.fsdecode(os.fsencode(tmp_path / "no text ") + b"\xff.json"))
    for number, path in enumerate(found):
        path.write_bytes(generate_bundle(number))
    found[BAD].write_bytes(b'{"resourceType":"Bundle"')
    return found


def test_files_are_read_in_order_and_whole(files: list[Path]) -> None:
    """Given files, one damaged. When read by processes. Then each is as one process reads it, in the order given."""
    read = list(read_files(files, custodian="clinic"))
    good = [read_fhir_file(path, custodian="clinic") for path in files[:BAD] + files[BAD + 1 :]]
    failed = FailedFile(file=str(files[BAD]), position="byte 24", reason="the text is not JSON (rule json-syntax)")
    assert read == [*good[:BAD], failed, *good[BAD:]]


def test_few_files_are_read_here_alike(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Given fewer files than are worth a process. When read. Then no process is started, and the result is alike."""
    by_processes = list(read_files(files))
    monkeypatch.setattr(reading, "Workers", None)
    some = files[: FILES_WORTH_A_PROCESS - 1]
    assert list(read_files(some)) == by_processes[: len(some)]


def test_what_is_not_wanted_any_more_ends_its_processes(files: list[Path]) -> None:
    """Given reading under way. When nobody asks on. Then it ends at once, and the next reading is not hindered."""
    under_way = read_files(files)
    next(under_way)
    under_way.close()  # type: ignore[attr-defined]  # a generator
    assert len(list(read_files(files))) == len(files)
