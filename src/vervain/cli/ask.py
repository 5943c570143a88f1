# SPDX-License-Identifier: Apache-2.0
"""`vervain submit` and `vervain query`: hand in transactions, ask the agreed state."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from vervain.cli.address import NODE, client_of
from vervain.cli.output import REFUSED, USAGE, Output, told
from vervain.ledger.machine.limits import TRANSACTION_BYTES_MAX
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.machine.transaction import Envelope
from vervain.ledger.primitives.codec import NotCanonical, decode
from vervain.node.config import ConfigError
from vervain.sdk.client_errors import Refused

Json = Annotated[bool, Parameter(name="--json")]
HTTP_MALFORMED: Final = 400


def submit(files: list[Path], *, url: str = NODE, as_json: Json = False) -> None:
    """Hand in signed transactions and wait until each is durable.

    Args:
        files: Files of one canonical transaction each; `-` reads one from standard input.
        url: The node's address.
        as_json: One JSON object a line; the last is the summary.
    """
    output = Output(as_json=as_json)
    with told(output), client_of(url) as client:
        answers = client.submit_many([_transaction(file) for file in files])
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
    output = Output(as_json=as_json)
    with told(output), client_of(url) as client:
        try:
            answer = client.query(name, _arguments(arguments))
        except Refused as refused:
            output.fail(refused, USAGE if refused.problem.status == HTTP_MALFORMED else REFUSED)
        print(json.dumps(answer) if as_json else json.dumps(answer, indent=2))


def _transaction(file: Path) -> bytes:
    """Return the transaction in a file.

    Raises: ConfigError when it holds none.
    """
    if str(file) == "-":
        content = sys.stdin.buffer.read(TRANSACTION_BYTES_MAX + 2)  # and a line's end
    else:
        with file.open("rb") as opened:
            content = opened.read(TRANSACTION_BYTES_MAX + 2)
    try:
        decode(content.strip(), Envelope)
    except NotCanonical:
        raise ConfigError(
            f"{file} does not hold a signed transaction",
            why="It must be the canonical bytes of exactly one, of at most "
            f"{TRANSACTION_BYTES_MAX:,} bytes, as a wallet or a client signs it",
            do="Name the file of a transaction.",
        ) from None
    return content.strip()


def _arguments(text: str) -> dict[str, Any]:  # Any: whatever JSON can hold
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise ConfigError("The arguments are not a JSON object", do="Write them as '{\"name\": value}'.") from None
