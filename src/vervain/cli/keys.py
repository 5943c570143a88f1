# SPDX-License-Identifier: Apache-2.0
"""`vervain keys`: make keys, show their public halves."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vervain.cli.output import Output, told
from vervain.node.config import ConfigError

app = App(name="keys", help="Make key pairs, and show the public half of a key file. Private keys are never printed.")
Json = Annotated[bool, Parameter(name="--json")]


@app.command
def new(directory: Path, *, as_json: Json = False) -> None:
    """Make a signing key and a key agreement key in a new directory, readable by their owner alone.

    Args:
        directory: Where signing.key and kem.key are written.
        as_json: One JSON object instead of words.
    """
    from vervain.node.founding import KEM_KEY_FILE, SIGNING_KEY_FILE
    from vervain.sealing.keys import KemKey, SigningKey, write_key_file

    output = Output(as_json=as_json)
    with told(output):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        signing, kem = SigningKey.generate(), KemKey.generate()
        write_key_file(directory / SIGNING_KEY_FILE, signing)
        write_key_file(directory / KEM_KEY_FILE, kem)
        _tell(output, signing.actor, signing.public_key, kem.public_key)


@app.command
def show(directory: Path, *, as_json: Json = False) -> None:
    """Show the actor id and public keys of a directory made by `keys new`.

    Args:
        directory: Where signing.key and kem.key are.
        as_json: One JSON object instead of words.
    """
    from vervain.node.founding import KEM_KEY_FILE, SIGNING_KEY_FILE
    from vervain.sealing.keys import read_kem_key, read_signing_key

    output = Output(as_json=as_json)
    with told(output):
        if not directory.is_dir():
            raise ConfigError(f"The directory {directory} does not exist", do="Make keys with `vervain keys new`.")
        for name in (SIGNING_KEY_FILE, KEM_KEY_FILE):
            if not (directory / name).exists():
                raise ConfigError(
                    f"{directory} does not hold the keys of an actor",
                    why=f"It has no {name}",
                    do="Make keys with `vervain keys new`.",
                )
        signing, kem = read_signing_key(directory / SIGNING_KEY_FILE), read_kem_key(directory / KEM_KEY_FILE)
        _tell(output, signing.actor, signing.public_key, kem.public_key)


def _tell(output: Output, actor: bytes, key: bytes, kem_key: bytes) -> None:
    import msgspec

    encoded = [msgspec.to_builtins(each) for each in (key, kem_key)]
    output.both(
        f"actor id       {actor.hex()}\nsigning key    {encoded[0]}\nkey agreement  {encoded[1]}",
        actor=actor.hex(),
        key=encoded[0],
        kem_key=encoded[1],
    )
