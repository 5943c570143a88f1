# SPDX-License-Identifier: Apache-2.0
"""The chained list: what was acknowledged is there, and nothing in it changes unseen."""

import random
from pathlib import Path

import pytest

from tests.anomalies.faulty_files import Crash, FaultyFiles
from vervain.storage.errors import Corrupt, StorageError
from vervain.vault import chained_log
from vervain.vault.chained_log import ChainedLog, audit_chained_log

DIRECTORY = Path("/data/accesses")


def entries_of(log: ChainedLog) -> list[bytes]:
    """Return all entries."""
    return [entry for _, entry in log.read()]


def entry(number: int) -> bytes:
    """Return the entry of a number: other bytes and another length for each."""
    return f'{{"n":{number},"x":"{random.Random(number).randbytes(number * 37 % 300).hex()}"}}'.encode()


def test_entries_are_read_as_appended_and_numbered(tmp_path: Path) -> None:
    """Given appends of 1, 3 and 2 entries. When read, also after opening again. Then all are there, numbered from 1."""
    log = ChainedLog(tmp_path, tag="accesses")
    assert [log.append([b"a"]), log.append([b"b", b"c", b"d"]), log.append([b"e", b"f"])] == [1, 2, 5]
    digest = log.digest
    log.close()
    again = ChainedLog(tmp_path, tag="accesses")
    assert (again.count, again.digest) == (6, digest)
    assert list(again.read(3, 6)) == [(3, b"c"), (4, b"d"), (5, b"e")]


def test_list_crosses_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given segments of 1 kB. When 40 entries are appended and read after opening again.

    Then all are there, in order.
    """
    monkeypatch.setattr(chained_log, "SEGMENT_BYTES_MAX", 1_024)
    log = ChainedLog(tmp_path, tag="releases")
    for number in range(40):
        log.append([entry(number)])
    log.close()
    assert len(list(tmp_path.iterdir())) > 5
    again = ChainedLog(tmp_path, tag="releases")
    assert entries_of(again) == [entry(number) for number in range(40)]
    assert [number for number, _ in again.read(17, 19)] == [17, 18]
    assert list(audit_chained_log(tmp_path, tag="releases", name="releases")) == []


@pytest.mark.parametrize("segment_bytes", [500, 2**20])
def test_every_altered_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment_bytes: int) -> None:
    """Given a list at rest, in one segment or several. When any one byte is altered. Then the audit names its line."""
    monkeypatch.setattr(chained_log, "SEGMENT_BYTES_MAX", segment_bytes)
    log = ChainedLog(tmp_path, tag="accesses")
    for number in range(5):
        log.append([f'{{"n":{number}}}'.encode()])
    log.close()
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        starts = [0, *(i + 1 for i, byte in enumerate(content) if byte == 10)]
        for position in range(len(content)):
            path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            begins = max(start for start in starts if start <= position)
            found = {(f.file, f.offset) for f in audit_chained_log(tmp_path, tag="accesses", name="x")}
            assert (f"x/{path.name}", begins) in found, position
        path.write_bytes(content)


def test_altered_line_is_damage_and_never_cut(tmp_path: Path) -> None:
    """Given a list at rest. When any byte of a line is altered, the last line feed too. Then opening complains."""
    log = ChainedLog(tmp_path, tag="accesses")
    log.append([b'{"a":1}', b'{"b":2}'])
    log.close()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for position in range(len(content)):
        altered = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        path.write_bytes(altered)
        with pytest.raises(Corrupt):
            ChainedLog(tmp_path, tag="accesses")
        assert path.read_bytes() == altered


def test_list_of_another_tag_is_refused(tmp_path: Path) -> None:
    """Given a list of accesses. When opened as the list of erasures. Then refused."""
    ChainedLog(tmp_path, tag="accesses").close()
    with pytest.raises(Corrupt):
        ChainedLog(tmp_path, tag="erasures")


def test_missing_segment_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given three segments. When the middle one is gone. Then opening complains and the audit names it."""
    monkeypatch.setattr(chained_log, "SEGMENT_BYTES_MAX", 300)
    log = ChainedLog(tmp_path, tag="accesses")
    for _ in range(3):
        log.append([b"x" * 150])
    log.close()
    (tmp_path / "00000002.log").unlink()
    with pytest.raises(Corrupt):
        ChainedLog(tmp_path, tag="accesses")
    (finding,) = audit_chained_log(tmp_path, tag="accesses", name="accesses")
    assert (finding.file, finding.what) == ("accesses/00000002.log", "The file is missing")


def run(disk: FaultyFiles) -> list[bytes]:
    """Append until the disk crashes; return what was acknowledged."""
    acknowledged: list[bytes] = []
    try:
        log = ChainedLog(DIRECTORY, tag="accesses", files=disk)
        for number in range(12):
            batch = [entry(3 * number + each) for each in range(3)]
            log.append(batch)
            acknowledged += batch
    except Crash:
        pass
    return acknowledged


def test_acknowledged_entries_survive_every_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a crash at any act. When power returns. Then the list opens and begins with all that was acknowledged."""
    monkeypatch.setattr(chained_log, "SEGMENT_BYTES_MAX", 2_000)
    whole = FaultyFiles()
    run(whole)
    for point in range(len(whole.points)):
        for seed in range(6):
            disk = FaultyFiles(crash_at=point, seed=seed)
            acknowledged = run(disk)
            for survivor in (disk.after_power_loss(seed), disk.after_kill()):
                log = ChainedLog(DIRECTORY, tag="accesses", files=survivor)
                found = entries_of(log)
                assert found[: len(acknowledged)] == acknowledged, (point, seed)
                assert found == [entry(number) for number in range(len(found))]
                log.append([b"next"])
                assert entries_of(log) == [*found, b"next"]


def test_acknowledged_entries_are_lost_when_the_sync_is_left_out() -> None:
    """Given the planted fault that appends are not synced. When power is lost. Then the test above would see it."""
    lost = False
    for seed in range(20):
        disk = FaultyFiles(skip=lambda label: label == "sync .log in _write", seed=seed)
        acknowledged = run(disk)
        log = ChainedLog(DIRECTORY, tag="accesses", files=disk.after_power_loss(seed))
        lost = lost or entries_of(log)[: len(acknowledged)] != acknowledged
    assert lost


def test_nothing_is_appended_after_a_failed_write() -> None:
    """Given a disk that fails one sync. When appending goes on. Then it is refused until opened again."""
    failing = [True]

    def fail(label: str) -> StorageError | None:
        return StorageError("planted") if failing[0] and label == "sync .log in _write" else None

    disk = FaultyFiles(fail=fail)
    log = ChainedLog(DIRECTORY, tag="accesses", files=disk)
    with pytest.raises(StorageError, match="planted"):
        log.append([b"a"])
    failing[0] = False
    with pytest.raises(StorageError, match="since a write failed"):
        log.append([b"b"])
    assert ChainedLog(DIRECTORY, tag="accesses", files=disk.after_kill()).append([b"c"]) in (1, 2)
