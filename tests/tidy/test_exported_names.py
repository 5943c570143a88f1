# SPDX-License-Identifier: Apache-2.0
"""`__all__`, where there is one, is sorted, without repeats, and every name in it is real."""

import importlib
import importlib.metadata
import tomllib
import types
from pathlib import Path

import vervain
from tests.tidy.tree import PACKAGE, ROOT, SOURCE, python_files


def _module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _findings(module: types.ModuleType) -> list[str]:
    """Return what is wrong with a module's `__all__`."""
    exported = list(getattr(module, "__all__", ()))
    found = []
    if exported != sorted(set(exported)):
        found.append(f"{module.__name__}: __all__ is not sorted, or repeats a name")
    found += [f"{module.__name__}: {name} is not there" for name in exported if not hasattr(module, name)]
    return found


def test_exported_names_are_sorted_and_real() -> None:
    """
    Given every module of the package.
    When it is imported and its `__all__` read.
    Then the names are sorted and each is there.
    """
    run_by_others = ("__main__.py", "migrations")  # the interpreter and Alembic run these; importing them does not
    files = (path for path in python_files(PACKAGE) if not set(run_by_others) & set(path.parts))
    names = (_module_name(path) for path in files)
    assert [finding for name in names for finding in _findings(importlib.import_module(name))] == []


def test_planted_export_is_found() -> None:
    """
    Given a module whose `__all__` is out of order and names something that is not there.
    When it is checked.
    Then both are found.
    """
    planted = types.ModuleType("planted")
    planted.__dict__.update({"__all__": ["later", "absent"], "later": 1})
    assert _findings(planted) == [
        "planted: __all__ is not sorted, or repeats a name",
        "planted: absent is not there",
    ]


def test_version_is_the_same_wherever_it_is_told() -> None:
    """
    Given pyproject.toml, the package's `__version__` and what is installed.
    When their versions are compared.
    Then they agree, and the package is the one of this checkout.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (vervain.__version__, importlib.metadata.version("vervain")) == (project["version"], project["version"])
    assert Path(str(vervain.__file__)).parent == PACKAGE
