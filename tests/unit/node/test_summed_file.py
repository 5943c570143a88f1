# SPDX-License-Identifier: Apache-2.0
"""A file with its sum: whole it gives its content, changed or cut anywhere it is refused."""

from pathlib import Path

import pytest

from vervain.node.summed_file import read_summed_file, write_summed_file
from vervain.sealing.errors import KeyFileRefused
from vervain.storage.errors import Corrupt

CONTENT = b'{"a":1}'


def test_content_comes_back(tmp_path: Path) -> None:
    """Given a written file, when it is replaced, then the newer content is read, and nobody else may read the file."""
    path = tmp_path / "one"
    write_summed_file(path, b"former")
    write_summed_file(path, CONTENT, replace=True)
    assert read_summed_file(path, 100) == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_changed_byte_and_every_cut_is_refused(tmp_path: Path) -> None:
    """Given a written file, when any one byte is changed or any number is cut off, then it is Corrupt."""
    path = tmp_path / "one"
    write_summed_file(path, CONTENT)
    whole = path.read_bytes()
    changed = [whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*changed, *(whole[:length] for length in range(len(whole)))]:
        path.write_bytes(content)
        with pytest.raises(Corrupt, match="one is damaged"):
            read_summed_file(path, 100)


def test_too_long_a_file_is_refused(tmp_path: Path) -> None:
    """Given a maximum, then longer content is refused before it is read."""
    path = tmp_path / "one"
    write_summed_file(path, bytes(101))
    with pytest.raises(KeyFileRefused, match="too long"):
        read_summed_file(path, 100)
