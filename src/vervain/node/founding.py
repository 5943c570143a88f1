# SPDX-License-Identifier: Apache-2.0
"""Founding a chain: from a genesis file, or from one organisation alone, to a data directory that a node can open.

The genesis file is TOML for people; what is agreed is the canonical content made from it. Names of organisations stay
in
the file: the content holds register entries and keys only.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from vervain.ledger.machine.genesis import chain_name
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
from vervain.ledger.primitives.codec import Bytes32, encode
from vervain.ledger.primitives.hashing import actor_id
from vervain.node.config import ConfigError, NodeSettings, write_settings
from vervain.node.directory import DataDirectory
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

    Raises: ConfigError when there is a chain already; VervainError for what cannot be written.
    """
    directory = DataDirectory(root)
    if directory.exists:
        raise ConfigError(f"There is a chain in {root} already", do="Choose an empty directory.")
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
        roles=tuple(roles),
        register_entry=register_entry,
        power=1,
        engine_key=engine.public_key,
        cosigning_key=cosigning.public_key,
    )
    content = genesis_content(GenesisFile(name=chain, time=time, members=(member,)))
    keep_member_keys(directory, signing, kem)
    directory.keys.mkdir(parents=True, exist_ok=True)
    write_key_file(directory.keys / COSIGNING_KEY_FILE, cosigning)
    write_key_file(directory.keys / ENGINE_KEY_FILE, engine)
    write_settings(directory.settings, NodeSettings(name=node_name, organisation=signing.actor, port=port))
    lay_first_block(directory, content, time)
    return signing.actor


def keep_member_keys(directory: DataDirectory, signing: SigningKey, kem: KemKey) -> None:
    """Write the keys of a member this node serves into its folder."""
    folder = directory.member(signing.actor) / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    write_key_file(folder / SIGNING_KEY_FILE, signing)
    write_key_file(folder / KEM_KEY_FILE, kem)


def lay_first_block(directory: DataDirectory, content: bytes, time: int) -> None:
    """Write the genesis content as block 0 and as the public genesis file, in this order: the file says that it is
    done.
    """
    genesis: Genesis = msgspec.json.decode(content, type=Genesis)
    log = BlockLog(directory.blocks, chain=chain_name(genesis, content))
    log.append(0, time, [content])
    log.sync()
    log.close()
    write_private_file(directory.genesis, content)
