# SPDX-License-Identifier: Apache-2.0
"""Where the project's files are: the folders, and what git would commit."""

import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "src"
PACKAGE: Final = SOURCE / "vervain"
FENCE: Final = PACKAGE / "ledger"
MODULES: Final = FENCE / "modules"
OURS: Final = ("src", "tests", "benchmarks", "examples", "fuzz")  # folders of our Python


def python_files(*folders: Path) -> tuple[Path, ...]:
    """Return the Python files below the folders, sorted; a folder that is not there has none."""
    return tuple(sorted(path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts))


def our_python_files() -> tuple[Path, ...]:
    """Return every Python file of ours, sorted."""
    return python_files(*(ROOT / folder for folder in OURS))


def committable_files() -> tuple[Path, ...]:
    """Return the files that git tracks or would add, sorted.

    Raises: CalledProcessError when this is no git checkout.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(sorted(path for name in listed.split("\0") if name and (path := ROOT / name).is_file()))


def module_folders() -> tuple[Path, ...]:
    """Return the folders of the domain modules, sorted."""
    return tuple(sorted(path.parent for path in MODULES.glob("*/__init__.py")))


def shown(path: Path) -> str:
    """Return the path as people write it: from the project's root."""
    return path.relative_to(ROOT).as_posix()
