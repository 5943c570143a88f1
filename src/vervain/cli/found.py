# SPDX-License-Identifier: Apache-2.0
"""`vervain init`: found a chain run by one organisation."""

import shlex
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vervain.cli.output import Output, told
from vervain.ledger.modules.consortium.messages import Role


def init(
    data: Annotated[Path, Parameter(name="--data")],
    *,
    chain: str = "vervain",
    name: str = "node-1",
    role: list[Role] | None = None,
    register_entry: str = "GLN 0000000000000",
    port: int = 8000,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Found a chain in an empty directory, with fresh keys for one organisation.

    Args:
        data: The data directory to make; an empty one may be there.
        chain: The chain's name; its full name also holds the founding digest.
        name: Short name of this node in cosignatures, at most 15 printable ASCII characters without spaces.
        role: What the organisation is: hospital, practice, laboratory, pharmacy, insurer and so on. May be repeated.
        register_entry: Where a public register names it, for instance "GLN 0614141000005".
        port: Where the HTTP API will listen.
        as_json: One JSON object instead of words.
    """
    import msgspec

    from vervain.ledger.machine.genesis import chain_name, decode_genesis
    from vervain.node.directory import DataDirectory
    from vervain.node.founding import COSIGNING_KEY_FILE, found_alone
    from vervain.sealing.keys import read_signing_key

    output = Output(as_json=as_json)
    with told(output):
        organisation = found_alone(
            data,
            chain=chain,
            time=int(time.time()),
            node_name=name,
            roles=role or [Role.HOSPITAL],
            register_entry=register_entry,
            port=port,
        )
        directory = DataDirectory(data)
        genesis = directory.genesis.read_bytes()
        founded = chain_name(decode_genesis(genesis), genesis)
        cosigning_key = msgspec.to_builtins(read_signing_key(directory.keys / COSIGNING_KEY_FILE).public_key)
        output.both(
            f"The chain {founded} is founded in {data}.\nYour organisation's id is {organisation.hex()}.\n"
            f"Your cosigning key is {cosigning_key}; readers of receipts compare it with their trust file.\n"
            f"A witness is told: vervain witness watch DIRECTORY {founded} {shlex.quote(f'{name}={cosigning_key}')}\n"
            f"Start it with: vervain node --data {data}",
            data=str(data),
            chain=founded,
            organisation=organisation.hex(),
            cosigning_key=cosigning_key,
        )
