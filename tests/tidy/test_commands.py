# SPDX-License-Identifier: Apache-2.0
"""The commands that several parties rely on are there and say what they do."""

import os
import re
import subprocess

from tests.tidy.tree import ROOT

TARGETS = {
    "setup", "setup-network", "demo", "test", "prove", "bench", "check", "network-demo", "docs",
}  # fmt: skip
# Outside of a surrounding make, so that its flags do not reach these.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))} | {
    "LC_ALL": "C"
}


def _make(*words: str) -> subprocess.CompletedProcess[str]:
    """Run make in the project's root."""
    return subprocess.run(
        ["make", *words], cwd=ROOT, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=60
    )


def test_every_target_is_there_and_told() -> None:
    """
    Given the Makefile.
    When it is asked for its targets.
    Then it tells all that the contracts name, each with what it does.
    """
    told = dict(re.findall(r"^([a-z-]+) +(\S.*)$", _make("help").stdout, re.MULTILINE))
    assert set(told) == TARGETS | {"help"}


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    """
    Given `.ci/run` and the README.
    When both are read.
    Then the script may be executed, and runs the command that the README tells.
    """
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make .*$", script.read_text(), re.MULTILINE) == ["make test"]
    assert re.search(r"^\s*make test\b", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_network_targets_say_plainly_that_they_have_nothing_yet() -> None:
    """
    Given a project without the network engine.
    When its two targets are made.
    Then both say so; setting up nothing succeeds, and the demo is unavailable (4).
    """
    setup, demo = _make("setup-network"), _make("network-demo")
    message = "The network of several nodes is not part of this version.\n"
    assert (setup.returncode, setup.stdout) == (0, message)
    assert demo.stdout == message
    assert "Error 4" in demo.stderr
