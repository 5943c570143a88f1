# SPDX-License-Identifier: Apache-2.0
"""The real file layer: appends, cuts, names, plain errors, one process a directory."""

import resource
from pathlib import Path

import pytest

from vervain.storage.errors import Full, StorageError
from vervain.storage.files import FILE_MODE, RealFiles, hold_directory

FILES = RealFiles()


def test_append_read_truncate(tmp_path: Path) -> None:
    """Given a new file, When it is appended to and cut, Then it reads as written, private to its owner."""
    path = tmp_path / "a"
    file = FILES.open(path, create=True)
    file.append(b"abc")
    file.append(b"defg")
    file.truncate(5)
    file.append(b"!")
    file.sync()

    assert (file.read(0, 100), file.read(2, 2), file.read(9, 1), file.size()) == (b"abcde!", b"cd", b"", 6)
    assert path.stat().st_mode & 0o777 == FILE_MODE
    file.close()


def test_names(tmp_path: Path) -> None:
    """Given files, When they are renamed and removed, Then the list says so; a missing folder has no names."""
    FILES.make_directory(tmp_path / "x" / "y")
    FILES.open(tmp_path / "x" / "b", create=True).close()
    FILES.rename(tmp_path / "x" / "b", tmp_path / "x" / "a")
    FILES.sync_directory(tmp_path / "x")

    assert FILES.list(tmp_path / "x") == ("a", "y")
    FILES.remove(tmp_path / "x" / "a")
    FILES.remove(tmp_path / "x" / "a")
    assert FILES.list(tmp_path / "x") == ("y",)
    assert FILES.list(tmp_path / "none") == ()


def test_create_refuses_an_existing_file_and_open_a_missing_one(tmp_path: Path) -> None:
    """Given a file, When it is created again or a missing one is opened, Then a plain error names the file only."""
    FILES.open(tmp_path / "a", create=True).close()

    with pytest.raises(StorageError, match="Cannot create a"):
        FILES.open(tmp_path / "a", create=True)
    with pytest.raises(StorageError, match="Cannot open b"):
        FILES.open(tmp_path / "b")


def test_full_disk_is_told_as_full(tmp_path: Path) -> None:
    """Given a limit on file size, When more is written, Then it is Full and not an operating system's error."""
    file = FILES.open(tmp_path / "a", create=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(Full):
            file.append(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        file.close()


def test_one_process_holds_a_directory(tmp_path: Path) -> None:
    """Given a held directory, When another holds it, Then it is refused; afterwards it is free again."""
    with hold_directory(tmp_path), pytest.raises(StorageError, match="Another process"), hold_directory(tmp_path):
        pass
    with hold_directory(tmp_path):
        pass
