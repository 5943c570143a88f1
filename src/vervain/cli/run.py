# SPDX-License-Identifier: Apache-2.0
"""`vervain node` and `vervain witness`: the two long-running commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from vervain.cli.output import Output, told
from vervain.node.config import PORT_MAX

Port = Annotated[int, Parameter(validator=Number(gte=0, lte=PORT_MAX))]
witness = App(name="witness", help="An outside witness: cosigns a log's head only after checking that it only grew.")


def node(
    *,
    data: Annotated[Path, Parameter(name="--data")],
    host: str | None = None,
    port: Port | None = None,
) -> None:
    """Run one member's node: orders transactions, answers the HTTP API, until interrupted.

    Says on standard error when it is ready, with the chain and the address; then one line for each request.

    Args:
        data: The data directory made by `vervain init`.
        host: Address to listen on; from node.toml when left out.
        port: Port to listen on; from node.toml when left out.
    """
    from vervain.node.node import Node
    from vervain.server import serve

    with told(Output(as_json=False)):
        running = Node(data)
        serve(running, host or running.settings.host, running.settings.port if port is None else port)


@witness.command
def create(directory: Path, *, name: str, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Make a witness's directory with a fresh key, and print the public key that readers trust.

    Args:
        directory: An empty or new directory.
        name: The witness's name in cosignatures.
        as_json: One JSON object instead of words.
    """
    import msgspec

    from vervain.witness import create_witness

    output = Output(as_json=as_json)
    with told(output):
        key = msgspec.to_builtins(create_witness(directory, name))
        output.both(f"Witness {name} is ready in {directory}.\nIts public key is {key}", name=name, key=key)


@witness.command
def watch(
    directory: Path,
    origin: str,
    submitters: list[str],
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Watch a log: who may submit its checkpoints.

    Args:
        directory: The witness's directory.
        origin: The chain's full name.
        submitters: NAME=KEY of each validator's cosigning key, base64.
        as_json: One JSON object instead of words.
    """
    import msgspec

    from vervain.witness import parse_submitter, watch_log

    output = Output(as_json=as_json)
    with told(output):
        named = [parse_submitter(text) for text in submitters]
        watch_log(directory, origin, named)
        names = ", ".join(each.name for each in named)
        output.both(
            f"Watching {origin}: {names} may submit. A witness that runs must be started anew to see it.",
            origin=origin,
            submitters=msgspec.to_builtins(named),
        )


@witness.command(name="serve")
def serve_witness(directory: Path, *, host: str = "127.0.0.1", port: Port = 8200) -> None:
    """Answer add-checkpoint requests until interrupted.

    Args:
        directory: The witness's directory.
        host: Address to listen on.
        port: Port to listen on.
    """
    from vervain.witness import read_settings, serve

    with told(Output(as_json=False)):
        read_settings(directory)  # before it is held: a directory that is no witness is told as such
        serve(directory, host, port)
