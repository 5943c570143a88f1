# SPDX-License-Identifier: Apache-2.0
"""`vervain audit | backup | restore | rebuild`: looking after a data directory."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vervain.cli.output import DAMAGED, Output, told

Json = Annotated[bool, Parameter(name="--json")]
Data = Annotated[Path, Parameter(name="--data")]


def audit(*, data: Data, as_json: Json = False) -> None:
    """Prove a data directory at rest, end to end; name what is altered and where. Changes nothing.

    Parameters
    ----------
    data: The data directory; stop its node first.
    as_json: One JSON object a line; the last is the summary.
    """
    from vervain.node.audit import audit_node

    output = Output(as_json=as_json)
    findings = []
    with told(output):
        for finding in audit_node(data):
            findings.append({"file": finding.file, "offset": finding.offset, "what": finding.what})
            output.say(f"{finding.file} at byte {finding.offset}: {finding.what}")
    output.both(
        "Clean: blocks, state, proofs and tables agree." if not findings else f"{len(findings)} findings.",
        clean=not findings,
        findings=findings,
    )
    if findings:
        raise SystemExit(DAMAGED)


def rebuild(*, data: Data, as_json: Json = False) -> None:
    """Make the SQL read model again from blocks and outcomes. Stop the node first.

    Parameters
    ----------
    data: The data directory.
    as_json: One JSON object instead of words.
    """
    from vervain.node.directory import DataDirectory
    from vervain.node.node import Node
    from vervain.node.reading import remove_read_model

    output = Output(as_json=as_json)
    with told(output):
        remove_read_model(DataDirectory(data).read_model)
        node = Node(data)
        with output.progress("Blocks", node.head.height + 1) as advance:
            done = 0

            def told_height(height: int) -> None:
                nonlocal done
                advance(height + 1 - done)
                done = height + 1

            height = node.read_model.projector.catch_up(told_height)
        node.stop()
        output.both(f"Rebuilt up to height {height}.", height=height)
