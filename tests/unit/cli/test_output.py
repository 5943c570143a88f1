# SPDX-License-Identifier: Apache-2.0
"""Every command's exit code, and what the system refuses told in words."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from vervain.cli.output import DAMAGED, REFUSED, UNAVAILABLE, USAGE, Output, exit_code, told
from vervain.ledger.primitives.errors import VervainError
from vervain.node.config import ConfigError
from vervain.storage.errors import Corrupt, Full, InUse, StorageError
from vervain.storage.files import RealFiles, told_plainly
from vervain.vault.errors import KeyErased, Tampered
from vervain.witness import WitnessError

PLACE = "some/place"


def refused(number: int) -> OSError:
    """Return the system's refusal of a path."""
    return OSError(number, os.strerror(number), PLACE)


@pytest.mark.parametrize(
    ("error", "code", "first"),
    [
        (refused(errno.ENOENT), USAGE, f"{PLACE} cannot be used.\nNo such file or directory.\n"),
        (refused(errno.EACCES), USAGE, f"{PLACE} cannot be used.\nPermission denied.\n"),
        (refused(errno.ENOSPC), UNAVAILABLE, f"{PLACE} cannot be used.\nNo space left on device.\n"),
        (refused(errno.EIO), DAMAGED, f"{PLACE} cannot be used.\nInput/output error.\n"),
        (shutil.Error([(PLACE, "elsewhere", "denied")]), USAGE, f"{PLACE} cannot be used.\ndenied.\n"),
        (TimeoutError(), UNAVAILABLE, "It took too long.\n"),
    ],
)
def test_system_errors_are_told(error: OSError, code: int, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Given what the system refuses, then the path and the reason are told, and the exit code says what it means."""
    with pytest.raises(SystemExit) as ended, told(Output(as_json=False)):
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(first)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), USAGE),
        (WitnessError("x"), USAGE),
        (KeyErased("x"), REFUSED),
        (InUse("x"), UNAVAILABLE),
        (Full("x"), UNAVAILABLE),
        (StorageError("x"), DAMAGED),
        (Corrupt("x", 0, "y"), DAMAGED),
        (Tampered("x"), DAMAGED),
        (VervainError("x"), REFUSED),
    ],
)
def test_each_kind_of_error_has_its_code(error: VervainError, code: int) -> None:
    """Given an expected error, then its exit code is that of its kind; damage alone is damage."""
    assert exit_code(error) == code


def test_what_is_somebody_elses_is_a_usage_error(tmp_path: Path) -> None:
    """Given a file that the floor below may not open, then it is no damage; a file that is gone is."""
    with pytest.raises(StorageError) as denied, told_plainly("open", tmp_path):
        raise refused(errno.EACCES)
    assert exit_code(denied.value) == USAGE
    with pytest.raises(StorageError) as gone:
        RealFiles().open(tmp_path / "gone")
    assert exit_code(gone.value) == DAMAGED
