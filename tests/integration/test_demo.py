# SPDX-License-Identifier: Apache-2.0
"""`vervain demo` tells its story to the end: every attack fails, and a stranger verifies the receipt."""

import subprocess
import sys
import time
from pathlib import Path

from tests.integration.serving import ENVIRONMENT, vervain

SECONDS_MAX = 60.0
ATTACKS = 9


def test_demo_ends_verified(tmp_path: Path) -> None:
    """
    Given nothing but a directory.
    When the demo runs with --json.
    Then its last line is the summary: all steps, nine failed attacks, verified; and its files verify again.
    """
    started = time.monotonic()
    ran = vervain("demo", "--out", tmp_path / "out", "--json")
    seconds = time.monotonic() - started
    assert ran.code == 0, ran.err
    summary = ran.last
    assert set(summary) == {"steps", "attacks", "receipt", "trust", "verified", "seconds"}
    steps = ["consortium", "care", "agreement", "questions", "sharing", "attacks", "receipt"]
    assert (summary["steps"], summary["verified"]) == (steps, True)
    assert len(summary["attacks"]) == ATTACKS and all(each["failed"] for each in summary["attacks"])
    assert len({each["attack"] for each in summary["attacks"]}) == ATTACKS
    assert seconds < SECONDS_MAX
    _require_verifies(tmp_path / "out")


def _require_verifies(out: Path) -> None:
    import vervain.verify as court

    command = [sys.executable, "-I", court.__file__, str(out / "demo.receipt"), "--trust", str(out / "demo.trust")]
    document = out / "demo.document.json"
    told = subprocess.run([*command, "--document", str(document)], capture_output=True, env=ENVIRONMENT, check=False)
    assert told.returncode == 0, told.stdout
    document.write_bytes(document.read_bytes() + b" ")
    told = subprocess.run([*command, "--document", str(document)], capture_output=True, env=ENVIRONMENT, check=False)
    assert told.returncode == 1 and b"NOT PROVED" in told.stdout
