# SPDX-License-Identifier: Apache-2.0
"""Founding a chain: from a genesis file, or from one organisation alone, to a data directory that a node can open.

The genesis file is TOML for people; what is agreed is the canonical content made from it. Names of organisations stay
in the file: the content holds register entries and keys only.

Rule kept: what a node could not start with is refused before anything is written, and a founding that fails leaves
nothing behind, so that it can be repeated.
"""

import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.machine.module import Genesis
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    ConsortiumFounding,
    PutRuleTable,
    Role,
    SetParameter,
    SetValidator,
)
from vervain.ledger.modules.identity.messages import FoundingOrganisation, IdentityFounding
from vervain.ledger.primitives.codec import Bytes32, Code, Decoder, NotCanonical, Text, encode
from vervain.ledger.primitives.hashing import actor_id
from vervain.node.config import (
    NODE_NAME_CHARACTERS_MAX,
    PORT_MAX,
    ConfigError,
    NodeName,
    NodeSettings,
    write_settings,
)
from vervain.node.directory import KEYS, DataDirectory
from vervain.sealing.keys import KemKey, SigningKey, write_key_file, write_private_file
from vervain.storage.block_log import BlockLog

SIGNING_KEY_FILE = "signing.key"
KEM_KEY_FILE = "kem.key"
COSIGNING_KEY_FILE = "cosigning.key"
ENGINE_KEY_FILE = "engine.key"


class GenesisMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A founding member in the genesis file.

    Attributes:
        name: For people; not part of the agreed content.
        key, kem_key: 32-byte Ed25519 and X25519 public keys, base64.
        roles: At least one of the consortium's roles.
        register_entry: Where a public register names it.
        host: Key of the member whose node it uses; absent when it runs its own.
        power, engine_key, cosigning_key: Of a validator; absent for others.
    """

    name: str
    key: Bytes32
    kem_key: Bytes32
    roles: tuple[Role, ...]
    register_entry: str
    host: Bytes32 | msgspec.UnsetType = msgspec.UNSET
    power: Annotated[int, msgspec.Meta(ge=0)] = 0
    engine_key: Bytes32 | msgspec.UnsetType = msgspec.UNSET
    cosigning_key: Bytes32 | msgspec.UnsetType = msgspec.UNSET


class GenesisFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The genesis file: chain name, founding time, members, parameters, rule tables."""

    name: str
    time: int
    members: tuple[GenesisMember, ...]
    parameters: dict[str, int] = {}
    rule_tables: dict[str, tuple[tuple[str, ...], ...]] = {}


def read_genesis_file(path: Path) -> GenesisFile:
    """Read a genesis file.

    Raises: ConfigError naming the file and what is wrong.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=GenesisFile)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} is not a genesis file", why=str(error), do="See docs/concepts/genesis.md.") from None


def genesis_content(file: GenesisFile) -> bytes:
    """Return the canonical content that the chain is founded on."""
    consortium = ConsortiumFounding(
        members=tuple(
            AdmitMember(
                organisation=actor_id(member.key),
                roles=tuple(sorted(member.roles)),
                register_entry=member.register_entry,
                host=msgspec.UNSET if member.host is msgspec.UNSET else actor_id(member.host),
            )
            for member in file.members
        ),
        validators=tuple(
            SetValidator(
                organisation=actor_id(member.key),
                power=member.power,
                engine_key=member.engine_key,
                cosigning_key=member.cosigning_key,
            )
            for member in file.members
            if member.power
        ),
        parameters=tuple(SetParameter(name=name, value=value) for name, value in sorted(file.parameters.items())),
        rule_tables=tuple(
            PutRuleTable(name=name, version=1, rows=rows) for name, rows in sorted(file.rule_tables.items())
        ),
    )
    identity = IdentityFounding(
        organisations=tuple(FoundingOrganisation(key=member.key, kem_key=member.kem_key) for member in file.members)
    )
    sections = {"consortium": msgspec.Raw(encode(consortium)), "identity": msgspec.Raw(encode(identity))}
    return encode(Genesis(name=file.name, time=file.time, sections=sections))


def found_alone(
    root: Path,
    *,
    chain: str,
    time: int,
    node_name: str,
    roles: Sequence[Role],
    register_entry: str,
    port: int = 8000,
) -> bytes:
    """Found a chain run by one organisation, with fresh keys; others are admitted later. Return its 32-byte id.

    Raises: ConfigError when something is wrongly named or the directory is not empty; VervainError, OSError for what
    cannot be written.
    """
    _require_allowed(chain=chain, node_name=node_name, register_entry=register_entry, port=port)
    _require_empty(root)
    directory = DataDirectory(root)
    signing, kem, cosigning, engine = (
        SigningKey.generate(),
        KemKey.generate(),
        SigningKey.generate(),
        SigningKey.generate(),
    )
    member = GenesisMember(
        name=node_name,
        key=signing.public_key,
        kem_key=kem.public_key,
        roles=tuple(sorted(set(roles))),
        register_entry=register_entry,
        power=1,
        engine_key=engine.public_key,
        cosigning_key=cosigning.public_key,
    )
    content = genesis_content(GenesisFile(name=chain, time=time, members=(member,)))
    _require_foundable(content)
    with _empty_again(root):
        keep_member_keys(directory, signing, kem)
        directory.keys.mkdir(parents=True, exist_ok=True)
        write_key_file(directory.keys / COSIGNING_KEY_FILE, cosigning)
        write_key_file(directory.keys / ENGINE_KEY_FILE, engine)
        write_settings(directory.settings, NodeSettings(name=node_name, organisation=signing.actor, port=port))
        lay_first_block(directory, content, time)
    return signing.actor


def _require_allowed(*, chain: str, node_name: str, register_entry: str, port: int) -> None:
    """Refuse what could be founded but not started, in words rather than patterns."""
    allowed: tuple[tuple[str, str, object, str], ...] = (
        ("chain", chain, Code, "1 to 64 printable ASCII characters without spaces"),
        (
            "name of the node",
            node_name,
            NodeName,
            f"1 to {NODE_NAME_CHARACTERS_MAX} printable ASCII characters without spaces and without +",
        ),
        ("register entry", register_entry, Text, "1 to 256 printable ASCII characters"),
    )
    for what, given, kind, form in allowed:
        try:
            msgspec.convert(given, kind)
        except msgspec.ValidationError:
            raise ConfigError(
                f"The {what} cannot be {given!r}" if given else f"The {what} cannot be empty",
                why=f"It must have {form}",
                do="Choose another one.",
            ) from None
    if not 0 <= port <= PORT_MAX:
        raise ConfigError(f"The port cannot be {port}", why=f"A port is 0 to {PORT_MAX}", do="Choose another one.")


def _require_empty(root: Path) -> None:
    if DataDirectory(root).exists:
        raise ConfigError(f"There is a chain in {root} already", do="Choose an empty directory.")
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is not a directory", do="Choose an empty or a new directory.")
    if root.is_dir() and any(root.iterdir()):
        raise ConfigError(
            f"{root} is not empty", why="A chain is founded where nothing else is", do="Choose an empty directory."
        )


def _require_foundable(content: bytes) -> None:
    """Refuse content that no node of this version would found."""
    try:
        sections = decode_genesis(content).sections
        for module in CATALOGUE.modules:
            if module.section is not None:
                Decoder(module.section).decode(bytes(sections[module.name]))
    except NotCanonical as error:
        raise ConfigError("This cannot be founded", why=error.what, do=error.do) from None


@contextmanager
def _empty_again(root: Path) -> Iterator[None]:
    """Empty a directory that was empty, when what fills it fails; remove it when it was not there."""
    was_there = root.is_dir()
    try:
        yield
    except BaseException:
        for path in root.iterdir() if root.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if root.is_dir() and not was_there:
            root.rmdir()
        raise


def keep_member_keys(directory: DataDirectory, signing: SigningKey, kem: KemKey) -> None:
    """Write the keys of a member this node serves into its folder."""
    folder = directory.member(signing.actor) / KEYS
    folder.mkdir(parents=True, exist_ok=True)
    write_key_file(folder / SIGNING_KEY_FILE, signing)
    write_key_file(folder / KEM_KEY_FILE, kem)


def lay_first_block(directory: DataDirectory, content: bytes, time: int) -> None:
    """Write block 0, then the public genesis file, whose presence says that founding is done."""
    genesis: Genesis = msgspec.json.decode(content, type=Genesis)
    log = BlockLog(directory.blocks, chain=chain_name(genesis, content))
    log.append(0, time, [content])
    log.sync()
    log.close()
    write_private_file(directory.genesis, content)
