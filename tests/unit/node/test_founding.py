# SPDX-License-Identifier: Apache-2.0
"""Founding: a genesis file or one organisation alone becomes a chain; names of organisations stay outside it."""

import json
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest

from tests.unit.node.founded import NODE_NAME, found
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.modules.consortium.messages import Role
from vervain.ledger.primitives.hashing import actor_id
from vervain.node.config import ConfigError, read_settings
from vervain.node.directory import DataDirectory
from vervain.node.founding import (
    COSIGNING_KEY_FILE,
    ENGINE_KEY_FILE,
    KEM_KEY_FILE,
    SIGNING_KEY_FILE,
    GenesisFile,
    GenesisMember,
    genesis_content,
    lay_first_block,
    read_genesis_file,
)
from vervain.node.node import Node
from vervain.sealing.keys import KemKey, SigningKey
from vervain.storage.block_log import BlockLog

SIGNING, KEM, HOSTED = SigningKey(bytes([1]) * 32), KemKey(bytes([2]) * 32), SigningKey(bytes([3]) * 32)
NAME = "Sankt-Unmistakable Hospital"


def toml_of(*, extra: str = "") -> str:
    """Return a genesis file of a validator and a member that it hosts."""
    encoded = [b64encode(key).decode() for key in (SIGNING.public_key, KEM.public_key, HOSTED.public_key)]
    return f"""
name = "riverside"
time = 1700000000
{extra}
[[members]]
name = "{NAME}"
key = "{encoded[0]}"
kem_key = "{encoded[1]}"
roles = ["laboratory", "hospital"]
register_entry = "GLN 0614141000012"
power = 1
engine_key = "{encoded[0]}"
cosigning_key = "{encoded[1]}"
[[members]]
name = "Village Practice"
key = "{encoded[2]}"
kem_key = "{encoded[1]}"
roles = ["practice"]
register_entry = "GLN 0614141000029"
host = "{encoded[0]}"
[parameters]
"""


def test_genesis_file_is_read(tmp_path: Path) -> None:
    """Given a genesis file, then every member, key and role is as written."""
    path = tmp_path / "genesis.toml"
    path.write_text(toml_of())
    read = read_genesis_file(path)
    assert read.members[0] == GenesisMember(
        name=NAME,
        key=SIGNING.public_key,
        kem_key=KEM.public_key,
        roles=(Role.LABORATORY, Role.HOSPITAL),
        register_entry="GLN 0614141000012",
        power=1,
        engine_key=SIGNING.public_key,
        cosigning_key=KEM.public_key,
    )
    assert (read.name, read.time, len(read.members)) == ("riverside", 1_700_000_000, 2)


@pytest.mark.parametrize(
    "broken",
    [
        "name = ",
        toml_of(extra="surprise = 1"),
        toml_of().replace('roles = ["practice"]', 'roles = ["wizard"]'),
        toml_of().replace("power = 1", "power = -1"),
        toml_of().replace(b64encode(KEM.public_key).decode(), "AAAA"),
    ],
)
def test_refused_when_not_a_genesis_file(tmp_path: Path, broken: str) -> None:
    """Given a file with a wrong form, key, role or power, then the error names the file."""
    path = tmp_path / "genesis.toml"
    path.write_text(broken)
    with pytest.raises(ConfigError, match=r"genesis\.toml is not a genesis file"):
        read_genesis_file(path)


def test_content_holds_no_names_and_sorts_roles(tmp_path: Path) -> None:
    """Given a genesis file, then the agreed content is canonical, names hosts by id, and holds no names."""
    path = tmp_path / "genesis.toml"
    path.write_text(toml_of())
    content = genesis_content(read_genesis_file(path))
    assert NAME.encode() not in content and b"Village" not in content
    members = json.loads(content)["sections"]["consortium"]["members"]
    assert members[0]["roles"] == ["hospital", "laboratory"]
    assert members[1]["host"] == b64encode(actor_id(SIGNING.public_key)).decode()
    assert content == genesis_content(msgspec.structs.replace(read_genesis_file(path)))


def test_chain_from_a_genesis_file_opens(tmp_path: Path) -> None:
    """Given the content of a file with one member, when laid as first block, then a log of that chain holds it."""
    file = GenesisFile(name="riverside", time=1_700_000_000, members=(read_one(tmp_path),))
    content, directory = genesis_content(file), DataDirectory(tmp_path / "node")
    directory.root.mkdir()
    lay_first_block(directory, content, file.time)
    log = BlockLog(directory.blocks, chain=chain_name(decode_genesis(content), content))
    block = log.read(0)
    log.close()
    assert (block.transactions, block.time) == ((content,), file.time)
    assert directory.genesis.read_bytes() == content and directory.exists


def read_one(tmp_path: Path) -> GenesisMember:
    """Return the validator of the file above."""
    path = tmp_path / "one.toml"
    path.write_text(toml_of())
    return read_genesis_file(path).members[0]


def test_founded_alone_has_keys_settings_and_one_validator(tmp_path: Path) -> None:
    """Given a chain founded by one organisation, then its keys are private, and it validates alone."""
    organisation = found(tmp_path / "node")
    directory = DataDirectory(tmp_path / "node")
    settings = read_settings(directory.settings)
    assert (settings.name, settings.organisation) == (NODE_NAME, organisation)
    assert directory.served_members() == [organisation]
    keys = [directory.member(organisation) / "keys" / name for name in (SIGNING_KEY_FILE, KEM_KEY_FILE)]
    keys += [directory.keys / name for name in (COSIGNING_KEY_FILE, ENGINE_KEY_FILE)]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    with Node(tmp_path / "node") as node:
        (validator,) = json.loads(node.query("consortium.validators"))["validators"]
        assert node.chain.startswith("test-") and len(node.chain) == len("test-") + 32
    assert validator["organisation"] == b64encode(organisation).decode()


def test_refused_when_there_is_a_chain_already(tmp_path: Path) -> None:
    """Given a directory with a chain, when founded again, then it is refused and the chain is as it was."""
    found(tmp_path / "node")
    before = (tmp_path / "node" / "genesis.json").read_bytes()
    with pytest.raises(ConfigError, match="a chain in"):
        found(tmp_path / "node")
    assert (tmp_path / "node" / "genesis.json").read_bytes() == before
