# SPDX-License-Identifier: Apache-2.0
"""Many files at once: what processes of their own read is what one would, in order, refusals included."""

import os
import signal
from pathlib import Path

import pytest

from vervain.gateways.fhir import reading
from vervain.gateways.fhir.bundle import read_fhir_file
from vervain.gateways.fhir.reading import FILES_WORTH_A_PROCESS, FailedFile, read_files, seconds_for
from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.gateways.fhir.workers import Worker, WorkerEnded

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
    under_way.close()
    assert len(list(read_files(files))) == len(files)


def test_a_process_that_is_stuck_ends_the_reading_and_names_the_file(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given processes that are stopped after the first file. When their time is over. Then it is told; none is left."""
    started: list[Worker] = []
    begin = Worker.__init__

    def begin_and_note(worker: Worker, module: str) -> None:
        begin(worker, module)
        started.append(worker)

    monkeypatch.setattr(Worker, "__init__", begin_and_note)
    monkeypatch.setattr(reading, "seconds_for", lambda path: 5)
    under_way = read_files(files[:BAD] + files[BAD + 1 :])
    next(under_way)
    for worker in started:
        os.kill(worker._process.pid, signal.SIGSTOP)
    with pytest.raises(WorkerEnded, match=r"while it read .*\.json"):
        list(under_way)
    assert len(started) == reading.READERS
    assert all(worker._process.returncode is not None for worker in started)


def test_time_for_a_file_is_by_its_size(tmp_path: Path) -> None:
    """Given files plain, compressed, missing and sparse. When asked how long each may take. Then by what it holds."""
    plain, packed, large = tmp_path / "a.json", tmp_path / "b.json.gz", tmp_path / "c.ndjson"
    plain.write_bytes(bytes(2**20))
    packed.touch()
    large.touch()
    os.truncate(large, 2**40)
    assert [seconds_for(path) for path in (plain, packed, tmp_path / "no.json", large)] == [64, 572, 60, 572]
