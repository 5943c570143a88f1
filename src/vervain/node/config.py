# SPDX-License-Identifier: Apache-2.0
"""A node's settings: `node.toml`, read once at start; every key is known, typed and named in errors."""

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from vervain.ledger.primitives.errors import VervainError

NODE_NAME_CHARACTERS_MAX = 15
PORT_MAX = 65_535
WITNESSES_MAX = 16
SECONDS_PER_DAY = 86_400
HOSTED_MEMBERS_MAX = 10_000


NodeName = Annotated[str, msgspec.Meta(min_length=1, max_length=NODE_NAME_CHARACTERS_MAX, pattern=r"^[!-*,-~]+\Z")]


class ConfigError(VervainError):
    """A setting, an argument or a folder is missing or wrong. Names it and what is allowed."""


class WitnessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An outside witness: its name, its HTTP address and its 32-byte public key."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class HostedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A small member served here: its id and what it may use.

    Attributes:
        organisation: 32-byte id.
        submissions_per_minute: Transactions it may hand in a minute.
        vault_bytes_max: Ciphertext it may keep here: of its documents that were not erased.
    """

    organisation: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    submissions_per_minute: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 600
    vault_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=2**50)] = 10 * 2**30


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node can be told.

    Attributes:
        name: Short name in cosignatures, at most 15 characters so that proofs stay small.
        organisation: 32-byte id of the member that runs this node.
        host, port: Where the HTTP API listens.
        heartbeat_seconds: Longest silence between blocks.
        slot_backup_keys: Folder of the keys of the vault slots' backups, best on another machine; relative to the data
            directory.
        slot_backup_days: After how many days such a backup lapses; an erasure is complete only then.
        witnesses: Outside witnesses asked to cosign.
        hosted: Small members served beside the own organisation.
    """

    name: NodeName
    organisation: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=PORT_MAX)] = 8000
    heartbeat_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    slot_backup_keys: str = "slot-backup-keys"
    slot_backup_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 30
    witnesses: Annotated[tuple[WitnessSettings, ...], msgspec.Meta(max_length=WITNESSES_MAX)] = ()
    hosted: Annotated[tuple[HostedSettings, ...], msgspec.Meta(max_length=HOSTED_MEMBERS_MAX)] = ()


def read_settings(path: Path) -> NodeSettings:
    """Read `node.toml`.

    Raises: ConfigError naming the file and the key.
    """
    return msgspec.convert(_read_toml(path), NodeSettings) if path.is_file() else _missing(path)


def _missing(path: Path) -> NodeSettings:
    raise ConfigError(f"There is no {path.name} here", why=f"{path} does not exist", do="Run `vervain init` first.")


def _read_toml(path: Path) -> dict[str, object]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        msgspec.convert(raw, NodeSettings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not right", why=str(error), do="See docs/concepts/settings.md for every key."
        ) from None
    return raw


def write_settings(path: Path, settings: NodeSettings) -> None:
    """Write `node.toml` as a person would."""
    lines = [
        f"name = {_quoted(settings.name)}",
        f'organisation = "{msgspec.to_builtins(settings.organisation)}"',
        f"host = {_quoted(settings.host)}",
        f"port = {settings.port}",
        f"heartbeat_seconds = {settings.heartbeat_seconds}",
        f"slot_backup_keys = {_quoted(settings.slot_backup_keys)}",
        f"slot_backup_days = {settings.slot_backup_days}",
    ]
    for witness in settings.witnesses:
        lines += ["", "[[witnesses]]", f"name = {_quoted(witness.name)}", f"url = {_quoted(witness.url)}"]
        lines += [f'key = "{msgspec.to_builtins(witness.key)}"']
    for hosted in settings.hosted:
        lines += ["", "[[hosted]]", f'organisation = "{msgspec.to_builtins(hosted.organisation)}"']
        lines += [
            f"submissions_per_minute = {hosted.submissions_per_minute}",
            f"vault_bytes_max = {hosted.vault_bytes_max}",
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    """Return a TOML string: its escapes are those of JSON."""
    return msgspec.json.encode(text).decode()
