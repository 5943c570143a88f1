# SPDX-License-Identifier: Apache-2.0
"""The locks are what the project's bounds resolve to, each file pinned by its hash, without any address."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.tidy.tree import ROOT

LOCKS = {"requirements.lock": ("--extra", "node"), "requirements-dev.lock": ("--extra", "node", "--group", "dev")}
PINNED = re.compile(r"^([a-z0-9-]+)==([0-9][^ ;]*)( ; [^\\]+)? \\$")
HASHED = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def _pins(lock: str) -> dict[str, str]:
    """Return the versions that a lock pins by package name, in its order."""
    return {found[1]: found[2] for line in (ROOT / lock).read_text().splitlines() if (found := PINNED.match(line))}


def _direct(*extras: str) -> dict[str, SpecifierSet]:
    """Return the bounds of the project's direct dependencies, with those of the extras and groups named."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = configuration["project"]["optional-dependencies"] | configuration["dependency-groups"]
    named = [*configuration["project"]["dependencies"], *(entry for extra in extras for entry in groups[extra])]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, named)}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_pins_and_hashes_only(lock: str) -> None:
    """
    Given a lock.
    When each of its lines is read.
    Then it is one exact version or one SHA-256: no address, no path, no option.
    """
    lines = (ROOT / lock).read_text().splitlines()
    assert [line for line in lines if not (PINNED.match(line) or HASHED.match(line))] == []
    assert list(_pins(lock)) == sorted(_pins(lock))


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.lock", ["node"]), ("requirements-dev.lock", ["node", "dev"])]
)
def test_lock_pins_every_direct_dependency_within_its_bound(lock: str, extras: list[str]) -> None:
    """
    Given the dependencies that pyproject.toml names.
    When they are looked up in the lock.
    Then each is pinned, to a version that its bound allows.
    """
    pins = _pins(lock)
    direct = _direct(*extras)
    assert [name for name, bound in direct.items() if name not in pins or pins[name] not in bound] == []


def test_every_dependency_has_an_upper_bound() -> None:
    """
    Given the dependencies that pyproject.toml names.
    When their bounds are read.
    Then each has an upper bound or an exact version.
    """
    operators = {name: {part.operator for part in bound} for name, bound in _direct("node", "dev").items()}
    assert [name for name, used in operators.items() if not used & {"<", "=="}] == []


@pytest.mark.parametrize(("lock", "options"), LOCKS.items())
def test_exporting_again_changes_nothing(lock: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """
    Given a lock, and what uv remembers of the packages.
    When uv exports the lock again, without asking any index.
    Then the pins are the same, line for line, and every hash of the lock is among those found again.
    (An index may have taken another file of a pinned version since; that changes nothing of what we trust.)
    """
    again = tmp_path / lock
    # uv keeps the versions that it finds here as long as the bounds allow; the hashes it has to find by itself.
    again.write_text("".join(f"{name}=={version}\n" for name, version in _pins(lock).items()))
    exported = subprocess.run(
        [
            Path(sys.executable).with_name("uv"), "pip", "compile", "pyproject.toml", *options, "--universal",
            "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--offline",
            "--output-file", again,
        ],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if exported.returncode != 0:
        pytest.skip(f"uv remembers too little of the packages to export {lock} again without an index")
    locked, found = (_hashes_by_pin(path.read_text()) for path in (ROOT / lock, again))
    assert list(locked) == list(found)
    assert {pin: sorted(hashes - found[pin]) for pin, hashes in locked.items() if hashes - found[pin]} == {}


def _hashes_by_pin(lock: str) -> dict[str, set[str]]:
    """Return the hashes under each pinned line of a lock."""
    pinned: dict[str, set[str]] = {}
    for line in lock.splitlines():
        if PINNED.match(line):
            pinned[line] = set()
        else:
            pinned[next(reversed(pinned))].add(line.strip(" \\"))
    return pinned
