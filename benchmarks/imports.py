# SPDX-License-Identifier: Apache-2.0
"""Importing FHIR bundles: schema check, own rules, encryption, vault, commitments, index, wallets; each run from
nothing.

`python -m benchmarks.imports`; bundles from VERVAIN_SAMPLES, else generated ones, and it says which.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.figures import RUNS, Figure, figure, record
from vervain.gateways.fhir.importing import Importer, files_of
from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.ledger.modules.consortium.messages import Role
from vervain.node.founding import found_alone
from vervain.node.node import Node

COMMAND = "python -m benchmarks.imports"
SAMPLES = Path(os.environ.get("VERVAIN_SAMPLES", "../shared/data/synthea-r4"))
GENERATED = 300


def resources_per_second(files: list[Path], place: Path) -> float:
    """Import into a fresh node, everything kept by its own organisation; return resources a second."""
    organisation = found_alone(
        place,
        chain="bench",
        time=int(time.time()) - 1,
        node_name="bench",
        roles=[Role.HOSPITAL],
        register_entry="GLN 0614141000005",
    )
    with Node(place) as node:
        node.desk(organisation)
        summary = Importer(node, custodian=organisation).run(files)
    assert not summary.failed
    return summary.resources / summary.seconds


def measure() -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="vervain-bench-") as place:
        files = files_of([SAMPLES]) if SAMPLES.is_dir() else []
        if not files:
            print("No sample folder: importing generated bundles.")
            for seed in range(GENERATED):
                (Path(place) / f"{seed}.json").write_bytes(generate_bundle(seed))
            files = files_of([Path(place)])
        rates = [resources_per_second(files, Path(place) / f"run-{run}") for run in range(RUNS)]
    return [figure("import_resources_per_s", rates, "resources/s", command=COMMAND, floor=3_000)]


def main() -> None:
    """Measure and record."""
    figures = measure()
    record(figures)
    print(figures[0].name, figures[0].value)


if __name__ == "__main__":
    main()
