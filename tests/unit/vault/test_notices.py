# SPDX-License-Identifier: Apache-2.0
"""Kept notices: found again by their patient after a restart, in bounded pages, one an access, however many files."""

from pathlib import Path

import pytest

from vervain.storage.errors import Corrupt
from vervain.vault import chained_log
from vervain.vault.notices import PAGE_NOTICES_MAX, NoticeEntry, NoticeLog

FIRST, SECOND = b"1" * 32, b"2" * 32


def entry(access: int, subject: bytes = FIRST) -> NoticeEntry:
    """Return a notice."""
    return NoticeEntry(at=access, subject=subject, grant=b"g" * 32, access=access, sealed=b"sealed %d" % access)


def test_notices_are_found_again_after_a_restart(tmp_path: Path) -> None:
    """Given notices of two patients. When opened again. Then each has its own, and a repeat adds nothing."""
    log = NoticeLog(tmp_path)
    for access in (1, 2, 3):
        log.record(entry(access, SECOND if access == 2 else FIRST))
    log.close()
    again = NoticeLog(tmp_path)
    again.record(entry(3))
    assert again.count == 3
    assert again.of_subject(FIRST) == (entry(1), entry(3))
    assert again.of_subject(SECOND) == (entry(2, SECOND),)
    assert again.of_subject(b"3" * 32) == ()
    again.close()


def test_page_is_bounded_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more notices than a page, in several files. When paged through. Then each comes once, in order."""
    monkeypatch.setattr(chained_log, "SEGMENT_BYTES_MAX", 4_096)
    log = NoticeLog(tmp_path)
    total = PAGE_NOTICES_MAX + 5
    for access in range(1, 2 * total + 1):
        log.record(entry(access, FIRST if access % 2 else SECOND))
    assert len(list(tmp_path.glob("*.log"))) > 3
    first, second = log.of_subject(FIRST), log.of_subject(FIRST, after=PAGE_NOTICES_MAX)
    assert (len(first), len(second)) == (PAGE_NOTICES_MAX, 5)
    assert [each.access for each in first + second] == list(range(1, 2 * total, 2))
    assert log.of_subject(FIRST, after=10**15) == ()
    log.close()


def test_altered_notice_is_not_opened_over(tmp_path: Path) -> None:
    """Given a notice whose bytes were altered at rest. When the list is opened. Then it is damage."""
    log = NoticeLog(tmp_path)
    log.record(entry(1))
    log.record(entry(2))
    log.close()
    path = tmp_path / "00000001.log"
    path.write_bytes(path.read_bytes().replace(b'"access":1,', b'"access":7,'))
    with pytest.raises(Corrupt):
        NoticeLog(tmp_path)
