# SPDX-License-Identifier: Apache-2.0
"""Founded nodes and generated bundles for tests of the import."""

import json
import time
from pathlib import Path

from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.ledger.modules.consortium.messages import Role
from vervain.node.founding import found_alone


def found(root: Path) -> bytes:
    """Found a chain of one hospital in `root`; return its id."""
    return found_alone(
        root,
        chain="imported",
        time=int(time.time()) - 1,
        node_name="hospital",
        roles=[Role.HOSPITAL],
        register_entry="GLN 0614141000012",
    )


def write_bundles(folder: Path, patients: int, organisations: tuple[int, ...] = (0, 1)) -> list[Path]:
    """Write one generated bundle for each patient; return the files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"bundle-{seed:03}.json" for seed in range(patients)]
    for seed, file in enumerate(files):
        file.write_bytes(generate_bundle(seed, organisations=organisations))
    return files


def resources_of(file: Path) -> list[dict[str, object]]:
    """Return the resources of a plain JSON bundle."""
    return [entry["resource"] for entry in json.loads(file.read_bytes())["entry"]]


def distinct(files: list[Path]) -> set[tuple[str, str]]:
    """Return type and id of every resource in the files, each once."""
    return {(str(each["resourceType"]), str(each["id"])) for file in files for each in resources_of(file)}
