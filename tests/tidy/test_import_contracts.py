# SPDX-License-Identifier: Apache-2.0
"""The import contracts hold, and each of them catches a planted breach.

A breach is planted in a copy of the package; the contract must be the one that names it.
"""

import configparser
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGE, ROOT, module_folders

CONTRACT = "importlinter:contract:"
MODULES = "ledger/modules"


@dataclass(frozen=True)
class Breach:
    """One import too many: the contract it breaks, where it is planted, and what the report must say."""

    contract: str
    planted_in: str
    line: str
    named: tuple[str, ...]


def _imports(contract: str, importer: str, imported: str) -> Breach:
    """Return the breach `importer` imports `imported`, both named below `vervain` (or an outside package)."""
    top = importer.replace(".", "/")
    planted_in = f"{top}/__init__.py" if (PACKAGE / top).is_dir() else f"{top}.py"
    whole = f"vervain.{imported}" if (PACKAGE / imported.split(".")[0]).exists() else imported
    return Breach(contract, planted_in, f"import {whole}", (f"vervain.{importer} -> {whole}",))


BREACHES = {
    "upward": _imports("floors", "sealing", "vault"),
    "out_of_the_fence": _imports("floors", "ledger.primitives.codec", "sealing"),
    "between_sibling_floors": _imports("floors", "readmodel", "vault"),
    "sdk_to_node": _imports("floors", "sdk", "node"),
    "under_type_checking": Breach(
        "floors",
        "storage/__init__.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import vervain.node",
        ("vervain.storage -> vervain.node",),
    ),
    "inside_a_function": Breach(
        "floors", "vault/__init__.py", "def late():\n    import vervain.cli", ("vervain.vault -> vervain.cli",)
    ),
    "a_room_without_a_floor": Breach("floors", "attic.py", "ROOM = 1", ("attic",)),
    "primitives_to_machine": _imports("fence", "ledger.primitives.hashing", "ledger.machine.store"),
    "machine_to_modules": _imports("fence", "ledger.machine.store", "ledger.modules.identity.queries"),
    "modules_to_catalogue": _imports("fence", "ledger.modules.consent.queries", "ledger.catalogue"),
    "a_room_without_a_place_in_the_fence": Breach("fence", "ledger/attic.py", "ROOM = 1", ("attic",)),
    "lower_domain_to_higher": _imports(
        "domains", "ledger.modules.consortium.messages", "ledger.modules.identity.messages"
    ),
    "consent_to_records": _imports("domains", "ledger.modules.consent.queries", "ledger.modules.records.queries"),
    "a_domain_without_a_place": Breach("domains", f"{MODULES}/astrology/__init__.py", "STARS = 1", ("astrology",)),
    "another_domain_s_state": _imports(
        "rooms-consortium", "ledger.modules.identity.queries", "ledger.modules.consortium.state"
    ),
    "another_domain_s_rules": _imports(
        "rooms-consent", "ledger.modules.records.queries", "ledger.modules.consent.rules"
    ),
    "another_domain_s_invariants": _imports(
        "rooms-identity", "ledger.modules.records.queries", "ledger.modules.identity.invariants"
    ),
    "a_floor_above_into_a_domain_s_state": _imports("rooms-records", "node", "ledger.modules.records.state"),
    "verifier_to_ours": _imports("court-verifier", "verify", "ledger.primitives.hashing"),
    "witness_to_engines": _imports("witness", "witness", "engines"),
    "sdk_to_a_package_of_the_node": _imports("plain-install", "sdk", "lmdb"),
    "a_circle_of_siblings": Breach(
        "no-circles",
        "ledger/primitives/errors.py",
        "import vervain.ledger.primitives.codec",
        ("vervain.ledger.primitives", ".errors -> .codec"),
    ),
}


def _contracts() -> dict[str, str]:
    """Return each contract's id and name as `.importlinter` gives them."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    return {name.removeprefix(CONTRACT): config[name]["name"] for name in config.sections() if CONTRACT in name}


def _lint(folder: Path, config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package `vervain` found in `folder`, and return its report on wide lines."""
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [linter, config, "--no-logo", "--no-cache", *options],
        cwd=folder,
        env=os.environ | {"COLUMNS": "400", "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_import_contracts_hold() -> None:
    """
    Given the package as it is.
    When every contract of `.importlinter` is checked.
    Then all are kept.
    """
    report = _lint(PACKAGE.parent, ROOT / ".importlinter")
    assert report.returncode == 0, report.stdout + report.stderr


def test_every_contract_has_a_planted_breach() -> None:
    """
    Given the contracts.
    When the planted breaches are counted.
    Then no contract is without one.
    """
    assert {breach.contract for breach in BREACHES.values()} == set(_contracts())


def test_every_domain_has_its_rooms_contract() -> None:
    """
    Given the domain modules that exist.
    When their `rooms-` contracts are looked up.
    Then each domain has one, and no contract is left of a domain that is gone.
    """
    rooms = {name.removeprefix("rooms-") for name in _contracts() if name.startswith("rooms-")}
    assert rooms == {folder.name for folder in module_folders()}


def test_court_verifier_is_kept_from_every_floor() -> None:
    """
    Given the rooms of the package.
    When the contracts of verify.py and witness.py are read.
    Then every room stands in them, so a new floor cannot be forgotten.
    """
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {path.stem for path in PACKAGE.glob("*.py")}
    rooms -= {"__init__", "__main__"}
    forbidden = {
        contract: {name.removeprefix("vervain.") for name in config[CONTRACT + contract]["forbidden_modules"].split()}
        for contract in ("court-verifier", "witness")
    }
    assert forbidden == {
        "court-verifier": rooms - {"verify"},
        "witness": rooms - {"witness", "sealing", "storage", "ledger"},
    }


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES.keys())
def test_planted_import_is_refused(breach: Breach, tmp_path: Path) -> None:
    """
    Given a copy of the package with one import too many.
    When the contract that forbids it is checked.
    Then it is broken, and the report names the import.
    """
    copied = tmp_path / "vervain"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    planted_in = copied / breach.planted_in
    planted_in.parent.mkdir(exist_ok=True)
    with planted_in.open("a") as file:
        file.write(f"\n{breach.line}\n")

    report = _lint(tmp_path, ROOT / ".importlinter", "--contract", breach.contract)

    assert report.returncode == 1, report.stdout + report.stderr
    assert f"{_contracts()[breach.contract]} BROKEN" in report.stdout
    assert all(name in report.stdout for name in breach.named), report.stdout
