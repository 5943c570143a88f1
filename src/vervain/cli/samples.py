# SPDX-License-Identifier: Apache-2.0
"""`vervain samples`: made-up FHIR R4 bundles to try things with, so that nobody needs a real patient's data for it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from vervain.cli.output import Output, told

COUNT_MAX = 100_000


def samples(
    directory: Path,
    *,
    count: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=COUNT_MAX))] = 2,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Write made-up FHIR R4 bundles, one patient each, seen at two hospitals. The same count gives the same bytes.

    Args:
        directory: The folder to write to, made when it is not there; files of the same names are replaced.
        count: How many bundles, at most 100,000.
        as_json: One JSON object instead of words.
    """
    from vervain.gateways.fhir.synthetic import generate_bundle

    output = Output(as_json=as_json)
    with told(output):
        directory.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (directory / f"patient-{number:05}.json").write_bytes(generate_bundle(number))
        output.both(f"{count} bundles of made-up patients are in {directory}.", directory=str(directory), count=count)
