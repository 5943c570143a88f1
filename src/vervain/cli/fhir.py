# SPDX-License-Identifier: Apache-2.0
"""`vervain import`: bring real FHIR R4 files in."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from vervain.cli.output import REFUSED, Output, counted, told
from vervain.ledger.primitives.hashing import DIGEST_BYTES
from vervain.node.config import ConfigError

POOL_MAX: Final = 1_000_000  # patients


def import_bundles(
    paths: list[Path],
    *,
    data: Annotated[Path, Parameter(name="--data")],
    custodian: str | None = None,
    namespace: str = "",
    pool: Annotated[int, Parameter(validator=Number(gte=0, lte=POOL_MAX))] = 0,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Import FHIR R4 bundles: encrypt the documents, commit to them on the ledger, give each patient a wallet.

    Args:
        paths: Files (.json, .json.gz, .ndjson) or folders of them.
        data: The data directory made by `vervain init`; its node must not be running.
        custodian: Id (hex) of the member that keeps everything; left out, one member for each serviceProvider.
        namespace: Where the files' ids come from; one for each system that numbers its patients on its own.
        pool: Hold registrations and commitments until so many new patients wait at a custodian, or none; further
            documents of known ones likewise: who comes alone is joined by time. 0 commits at once, also what waited.
        as_json: One JSON object a line; the last is the summary.
    """
    from vervain.gateways.fhir.importing import Importer, files_of
    from vervain.node.node import Node

    output = Output(as_json=as_json)
    with told(output):
        _require_there(paths)
        keeper = _id(custodian) if custodian else None
    with told(output), Node(data) as node, ExitStack() as bars:
        shown: dict[str, tuple[Callable[[int], None], int]] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in shown:
                shown[what] = (bars.enter_context(output.progress(what, total)), 0)
            advance, before = shown[what]
            advance(done - before)
            shown[what] = (advance, done)

        importer = Importer(
            node,
            custodian=keeper,
            namespace=namespace,
            pool=pool,
            progress=progress,
        )
        summary = importer.run(files_of(paths))
        for failed in summary.failed:
            output.say(f"Refused: {failed.file} at {failed.position}: {failed.reason}")
        output.both(
            f"{counted(summary.resources, 'resource')} in {counted(summary.files, 'file')}: "
            f"{summary.committed} committed, {summary.already} already there, "
            f"{f'{summary.waiting} waiting for a full pool, ' if summary.waiting else ''}"
            f"{counted(len(summary.failed), 'file')} refused, in {summary.seconds} s.",
            **msgspec.to_builtins(summary),
        )
    if summary.failed:
        raise SystemExit(REFUSED)


def _require_there(paths: list[Path]) -> None:
    """Refuse a path that does not exist, before anything is opened or imported."""
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path} does not exist", do="Name a file, or a folder of files.")


def _id(text: str) -> bytes:
    """Return a member's id from its 64 hex digits."""
    try:
        member = bytes.fromhex(text)
    except ValueError:
        member = b""
    if len(member) != DIGEST_BYTES:
        raise ConfigError(
            f"{text} is not a member's id",
            why="It must be 64 hex digits",
            do="Take it from what `vervain init` printed.",
        )
    return member
