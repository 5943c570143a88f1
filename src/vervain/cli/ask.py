# SPDX-License-Identifier: Apache-2.0
"""`vervain submit` and `vervain query`: hand in transactions, ask the agreed state."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from vervain.cli.output import REFUSED, Output, told
from vervain.ledger.machine.refusals import APPLIED
from vervain.node.config import ConfigError

Json = Annotated[bool, Parameter(name="--json")]
NODE = "http://127.0.0.1:8000"


def submit(files: list[Path], *, url: str = NODE, as_json: Json = False) -> None:
    """Hand in signed transactions and wait until each is durable.

    Args:
        files: Files of one canonical transaction each; `-` reads one from standard input.
        url: The node's address.
        as_json: One JSON object a line; the last is the summary.
    """
    from vervain.sdk.client import Client

    output = Output(as_json=as_json)
    with told(output), Client(url) as client:
        encoded = [_transaction(file) for file in files]
        answers = client.submit_many([each.strip() for each in encoded])
        for file, answer in zip(files, answers, strict=True):
            output.both(
                f"{file}: {'applied' if answer.code == APPLIED else f'refused with code {answer.code}'}",
                file=str(file),
                **msgspec.to_builtins(answer),
            )
    applied = sum(answer.code == APPLIED for answer in answers)
    output.record(submitted=len(files), applied=applied)
    if applied < len(files):
        raise SystemExit(REFUSED)


def query(name: str, arguments: str = "{}", *, url: str = NODE, as_json: Json = False) -> None:
    """Ask the agreed state a question.

    Args:
        name: The question's name, such as `records.newest`; a running node lists all at /v1/queries.
        arguments: What the question asks for, one JSON object in quotes, such as '{"record": 1}' for `records.record`.
        url: The node's address.
        as_json: The answer as one line instead of indented.
    """
    from vervain.sdk.client import Client

    output = Output(as_json=as_json)
    with told(output), Client(url) as client:
        answer = client.query(name, _arguments(arguments))
        print(json.dumps(answer) if as_json else json.dumps(answer, indent=2))


def _transaction(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read", why=error.strerror or "", do="Name a file.") from None


def _arguments(text: str) -> dict[str, Any]:  # Any: whatever JSON can hold
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise ConfigError("The arguments are not a JSON object", do="Write them as '{\"name\": value}'.") from None
