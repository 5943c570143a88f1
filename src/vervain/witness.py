# SPDX-License-Identifier: Apache-2.0
"""An outside witness: one process, one directory, one key; cosigns the checkpoints of the logs it watches.

A patient body, a regulator or a university runs it: `python -m vervain.witness create DIR NAME`, then `watch` for each
log, then `serve`. It stores nothing but the last head of each log, and learns nothing of what a log says.

```
witness.key      its private key, mode 0600
witness.json     its name, and for each log the keys that may submit
heads/*.head     the last head cosigned of each log, fsynced before signing
```

Rules kept:
1. Checks in this order: form 400, log known 404, a submitter's signature 403, sizes 400, last size 409, same root 409,
   consistency 422; only then is the head stored, and only then signed.
2. One lock a log: checking the last size and storing the new head is one step.
3. Lines by unknown keys are ignored; a known submitter's line that does not hold is no signature.

Source: C2SP tlog-witness.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vervain.ledger.primitives.codec import Bytes32
from vervain.ledger.primitives.errors import ProofError, VervainError
from vervain.sealing.checkpoints import (
    CHECKPOINT_BYTES_MAX,
    Checkpoint,
    DamagedProof,
    SignatureLine,
    damaged,
    from_base64,
    key_id,
    parse_decimal,
    parse_signed,
    verify_cosignature,
)
from vervain.sealing.cosigner import Cosigner, CosignReason, CosignRefused
from vervain.sealing.errors import SealingError
from vervain.sealing.keys import SigningKey, read_signing_key, write_key_file, write_private_file
from vervain.storage.files import hold_directory

LOGS_MAX: Final = 1_000
SUBMITTERS_MAX: Final = 100
PROOF_LINES_MAX: Final = 63
REQUEST_BYTES_MAX: Final = CHECKPOINT_BYTES_MAX + 4_000  # a checkpoint, and 63 hashes in base64
SETTINGS_BYTES_MAX: Final = 16 * 2**20
_REQUEST: Final = re.compile(rb"old (0|[1-9][0-9]{0,15})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n(.*)", re.DOTALL)

KeyName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-*,-~]+\Z")]
Origin = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[ -~]+\Z")]


class Submitter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key whose cosignature on a checkpoint shows that it comes from the log: its name and 32 bytes."""

    name: KeyName
    key: Bytes32


class WatchedLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log by its origin, and who may submit its checkpoints."""

    origin: Origin
    submitters: Annotated[tuple[Submitter, ...], msgspec.Meta(min_length=1, max_length=SUBMITTERS_MAX)]


class WitnessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A witness's name and the logs it watches."""

    name: KeyName
    logs: Annotated[tuple[WatchedLog, ...], msgspec.Meta(max_length=LOGS_MAX)] = ()


class WitnessError(VervainError):
    """The witness cannot run or be changed as asked. Names the file and what is allowed."""


class Answer(NamedTuple):
    """What a request gets: HTTP status, text and its media type."""

    status: int
    text: str
    media_type: str = "text/plain"


class Witness:
    """A witness over its directory. The caller holds the directory (`serve` does)."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Read key, settings and heads.

        Raises: WitnessError, KeyFileRefused, CosignerStateDamaged.
        """
        self.settings = read_settings(directory)
        self.clock = clock
        self._key = read_signing_key(directory / "witness.key")
        self._logs: Mapping[str, WatchedLog] = {log.origin: log for log in self.settings.logs}
        self._cosigners: Mapping[str, Cosigner] = {
            origin: Cosigner(self._key, self.settings.name, _head_path(directory, origin)) for origin in self._logs
        }

    @property
    def public_key(self) -> bytes:
        """The 32-byte key that readers put into their trust files."""
        return self._key.public_key

    def log(self, origin: str) -> WatchedLog | None:
        """Return a watched log, or None."""
        return self._logs.get(origin)

    def cosigner(self, origin: str) -> Cosigner:
        """Return the cosigner of a watched log."""
        return self._cosigners[origin]


def add_checkpoint(witness: Witness, request: bytes) -> Answer:
    """Answer one add-checkpoint request. Safe on any thread."""
    try:
        old_size, proof, checkpoint, lines = _parse_request(request)
    except DamagedProof as error:
        return Answer(400, f"{error}\n")
    log = witness.log(checkpoint.origin)
    if log is None:
        return Answer(404, "This witness does not watch that log.\n")
    if not _is_submitted(log, checkpoint, lines):
        return Answer(403, "No signature by a key that may submit for this log holds.\n")
    if old_size > checkpoint.size:
        return Answer(400, "The old size is larger than the checkpoint's.\n")
    try:
        line = witness.cosigner(checkpoint.origin).cosign(
            checkpoint, proof=proof, time=int(witness.clock()), old_size=old_size
        )
    except CosignRefused as refused:
        if refused.reason is CosignReason.INCONSISTENT:
            return Answer(422, f"{refused}\n")
        return Answer(409, f"{refused.last.size}\n", "text/x.tlog.size")
    except SealingError as error:
        return Answer(503, f"The head cannot be stored, so nothing was signed. {error.why}.\n")
    return Answer(200, f"{line.text}\n")


def _parse_request(request: bytes) -> tuple[int, tuple[bytes, ...], Checkpoint, tuple[SignatureLine, ...]]:
    """Read old size, consistency proof and signed checkpoint.

    Raises: DamagedProof.
    """
    match = _REQUEST.fullmatch(request)
    if match is None:
        damaged(f"a request is `old N`, up to {PROOF_LINES_MAX} hashes, an empty line and a checkpoint")
    proof = tuple(from_base64(line.decode()) for line in match[2].split())
    checkpoint, lines = parse_signed(match[3])
    return parse_decimal(match[1].decode()), proof, checkpoint, lines


def _is_submitted(log: WatchedLog, checkpoint: Checkpoint, lines: Sequence[SignatureLine]) -> bool:
    """Tell whether at least one submitter's cosignature on the checkpoint holds."""
    keys = {(one.name, key_id(one.name, one.key)): one.key for one in log.submitters}
    for line in lines:
        public_key = keys.get((line.name, line.key_id))
        if public_key is None:
            continue
        try:
            verify_cosignature(line, public_key=public_key, body=checkpoint.body)
        except ProofError:
            continue
        return True
    return False


def application(witness: Witness) -> Starlette:
    """Return the ASGI application of a witness: one route."""

    async def endpoint(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > REQUEST_BYTES_MAX:
                return Response(f"{REQUEST_BYTES_MAX} bytes are the most.\n", 413, media_type="text/plain")
        answer = await run_in_threadpool(add_checkpoint, witness, body)
        return Response(answer.text, answer.status, headers={"content-type": answer.media_type})

    return Starlette(routes=[Route("/add-checkpoint", endpoint, methods=["POST"])])


def create_witness(directory: Path, name: str) -> bytes:
    """Make a witness's directory with a fresh key; return its public key, 32 bytes.

    Raises: WitnessError for a name of the wrong form, KeyFileRefused when there is a witness already.
    """
    settings = _checked(WitnessSettings(name=name), "The name of a witness")
    (directory / "heads").mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate()
    write_key_file(directory / "witness.key", key)
    _write_settings(directory, settings)
    return key.public_key


def watch_log(directory: Path, origin: str, submitters: Sequence[Submitter]) -> None:
    """Add a log, or replace who may submit for it. A running witness must be started anew to see it.

    Raises: WitnessError.
    """
    settings = read_settings(directory)
    others = tuple(log for log in settings.logs if log.origin != origin)
    log = WatchedLog(origin=origin, submitters=tuple(submitters))
    _write_settings(directory, _checked(WitnessSettings(name=settings.name, logs=(*others, log)), "The log"))


def read_settings(directory: Path) -> WitnessSettings:
    """Read `witness.json`.

    Raises: WitnessError.
    """
    path = directory / "witness.json"
    try:
        with path.open("rb") as file:
            content = file.read(SETTINGS_BYTES_MAX)
        return msgspec.json.decode(content, type=WitnessSettings)
    except OSError:
        raise WitnessError(f"Cannot read {path}", do="Make a witness with `create`, or check the path.") from None
    except msgspec.MsgspecError as error:
        raise WitnessError("witness.json has the wrong form", why=str(error), do="Correct it.") from None


def _checked(settings: WitnessSettings, what: str) -> WitnessSettings:
    try:
        return msgspec.convert(msgspec.to_builtins(settings), WitnessSettings)
    except msgspec.ValidationError as error:
        raise WitnessError(f"{what} has the wrong form", why=str(error), do="Correct it.") from None


def _write_settings(directory: Path, settings: WitnessSettings) -> None:
    content = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    write_private_file(directory / "witness.json", content, replace=True)


def _head_path(directory: Path, origin: str) -> Path:
    return directory / "heads" / f"{sha256(origin.encode()).hexdigest()[:32]}.head"


def serve(directory: Path, host: str, port: int) -> None:
    """Run a witness until it is told to stop.

    Raises: WitnessError, KeyFileRefused, CosignerStateDamaged; StorageError when another process holds the directory.
    """
    with hold_directory(directory):
        uvicorn.run(application(Witness(directory)), host=host, port=port, log_level="warning", access_log=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0 done, 1 refused, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m vervain.witness", description="An outside witness.")
    commands = parser.add_subparsers(dest="command", required=True)
    creating = commands.add_parser("create", help="make a directory with a fresh key; prints the public key")
    watching = commands.add_parser("watch", help="watch a log, or replace who may submit for it")
    serving = commands.add_parser("serve", help="answer add-checkpoint requests")
    for command in (creating, watching, serving):
        command.add_argument("directory", type=Path)
    creating.add_argument("name")
    watching.add_argument("origin", help="the chain's full name")
    watching.add_argument("submitters", nargs="+", metavar="NAME=KEY", help="a validator's name and base64 key")
    serving.add_argument("--host", default="127.0.0.1")
    serving.add_argument("--port", type=int, default=8200)
    options = parser.parse_args(arguments)
    try:
        if options.command == "create":
            sys.stdout.write(f"{msgspec.to_builtins(create_witness(options.directory, options.name))}\n")
        elif options.command == "watch":
            watch_log(options.directory, options.origin, [parse_submitter(text) for text in options.submitters])
        else:
            serve(options.directory, options.host, options.port)
    except VervainError as error:
        sys.stderr.write(f"{error}.\n")
        return 1
    return 0


def parse_submitter(text: str) -> Submitter:
    """Return the submitter that `NAME=KEY` says, the key in base64.

    Raises: WitnessError.
    """
    name, _, encoded = text.partition("=")
    try:
        return msgspec.convert({"name": name, "key": from_base64(encoded)}, Submitter)
    except (msgspec.ValidationError, DamagedProof):
        raise WitnessError(
            f"{text} does not say who may submit",
            why="It must be NAME=KEY: a name without spaces and without +, and a public key of 32 bytes in base64",
            do="Take it from the line that `vervain init` printed, or ask the validator.",
        ) from None


if __name__ == "__main__":
    sys.exit(main())
