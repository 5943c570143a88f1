# SPDX-License-Identifier: Apache-2.0
"""Without assertions nothing loads that relies on them; what others take away and check with does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vervain.verify

RELYING = (
    "vervain.server",
    "vervain.node.node",
    "vervain.node.config, vervain.storage.block_log",
    "vervain.engines.solo.engine, vervain.ledger.catalogue",
    "vervain.vault.vault",
    "vervain.witness",
    "vervain.gateways.fhir.importing",
    "vervain.engines.solo.verifiers, vervain.ledger.catalogue",
)
FREE = (
    "vervain",
    "vervain.sdk.client, vervain.sdk.wallet, vervain.sdk.wallet_file, vervain.sdk.reader",
    "vervain.sealing.receipts, vervain.sealing.documents, vervain.sealing.state_proofs",
    "vervain.verify",
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("names", RELYING)
def test_what_relies_on_assertions_does_not_load_without_them(names: str) -> None:
    """Given `python -O`. When a module of a node, vault, engine or witness is imported. Then it says why it refuses."""
    ran = run("-O", "-c", f"import {names}")
    assert ran.returncode == 1 and "ImportError: Vervain does not run under `python -O`" in ran.stderr


def test_witness_refuses_however_assertions_are_switched_off(tmp_path: Path) -> None:
    """Given PYTHONOPTIMIZE. When a witness is made by its own command. Then it refuses, and no directory is made."""
    ran = run("-m", "vervain.witness", "create", str(tmp_path / "w"), "university", PYTHONOPTIMIZE="1")
    assert ran.returncode == 1 and "PYTHONOPTIMIZE" in ran.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", FREE)
def test_what_does_not_rely_on_them_loads(names: str) -> None:
    """Given `python -O`. When the SDK, the sealing floor or the court verifier is imported. Then it loads."""
    assert run("-O", "-c", f"import {names}").stderr == ""


def test_court_verifier_runs_alone_either_way() -> None:
    """Given `python -O`. When verify.py runs by itself, without the package. Then it answers as ever."""
    path = str(vervain.verify.__file__)
    plain, optimised = run("-I", path, "--help"), run("-I", "-O", path, "--help")
    assert (plain.returncode, plain.stdout) == (0, optimised.stdout) and optimised.returncode == 0
