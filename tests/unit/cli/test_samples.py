# SPDX-License-Identifier: Apache-2.0
"""`vervain samples` writes bundles that the import takes, the same ones every time."""

import json
from pathlib import Path

import pytest

from vervain.cli.main import app
from vervain.cli.output import USAGE
from vervain.gateways.fhir.bundle import read_fhir_file
from vervain.gateways.fhir.synthetic import generate_bundle


def _run(*words: str) -> int:
    """Run the command line; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        app(list(words))
    return int(ended.value.code or 0)


def test_bundles_are_the_synthetic_ones_and_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Given a folder that is not there.
    When two bundles are asked for.
    Then it holds the two synthetic bundles, and the reader of the import takes both.
    """
    folder = tmp_path / "bundles"
    assert _run("samples", str(folder), "--count", "2", "--json") == 0
    files = sorted(folder.iterdir())
    assert [file.read_bytes() for file in files] == [generate_bundle(0), generate_bundle(1)]
    assert all(read_fhir_file(file, custodian="") for file in files)
    assert json.loads(capsys.readouterr().out) == {"directory": str(folder), "count": 2}


def test_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Given a file where the folder should be.
    When bundles are asked for.
    Then the command ends with 2 and says what to do.
    """
    (tmp_path / "file").write_text("")
    assert _run("samples", str(tmp_path / "file")) == USAGE
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'file'} cannot be used.\nFile exists.\n")
