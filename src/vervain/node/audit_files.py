# SPDX-License-Identifier: Apache-2.0
"""The audit of a data directory's small files: keys, settings, what was cosigned, secrets, what is on its way, wallets.

1. Keys are compared with the public halves that the ledger has for their owners.
2. `cosigner.state` is compared with the log: what was signed must be a head of it.
3. Category secrets and outgoing transactions carry a sum of their own.
4. A slots backup's header has a checksum, and each of its segments opens under the backup's key when that is here.
5. Settings and what the import keeps must be readable; a value changed into another valid one is not noticed here.

A finding names the file, never anything in it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.queries import validators
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.primitives.codec import decode
from vervain.ledger.primitives.errors import VervainError
from vervain.node.category_secrets import CategorySecrets
from vervain.node.config import NodeSettings, read_settings
from vervain.node.directory import KEYS, OUTBOX, SECRETS_FILE, SLOT_BACKUPS, DataDirectory
from vervain.node.founding import COSIGNING_KEY_FILE, ENGINE_KEY_FILE, KEM_KEY_FILE, SIGNING_KEY_FILE
from vervain.node.outbox import read_erasure, read_outgoing
from vervain.sdk.wallet_file import read_wallet
from vervain.sealing.cosigner import STATE_BYTES_MAX, SignedHead
from vervain.sealing.keys import KemKey, SigningKey, read_kem_key, read_private_file, read_signing_key
from vervain.storage.backup import KnownHead, require_not_behind
from vervain.storage.errors import Corrupt
from vervain.storage.findings import Finding
from vervain.storage.state_view import StateView
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.slot_format import FILE_BYTES_MAX, parse_file_header, read_segments

Token = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
FirstSeen = Annotated[str, msgspec.Meta(pattern=r"^.+ [0-9a-f]{64}\Z")]  # first custodian, keyed digest
_NOT_THE_LEDGERS: Final = "It is not the key that the ledger has for its owner"


def audit_small_files(directory: DataDirectory, chain: str, state: StateView | None) -> Iterator[Finding]:
    """Yield what is wrong with the small files of a data directory.

    Args:
        directory: At rest.
        chain: The chain's full name.
        state: Committed state; None when it is damaged: then nothing is compared with the ledger.
    """
    settings = None
    try:
        settings = read_settings(directory.settings)
    except VervainError as error:
        yield Finding(file=directory.settings.name, offset=0, what=f"The settings are not right ({error.what})")
    for path, check in _checks(directory, chain, settings, state):
        try:
            check()
        except Corrupt as corrupt:
            yield Finding(file=_name(directory, path), offset=corrupt.offset, what=corrupt.damage)
        except VervainError as error:
            yield Finding(file=_name(directory, path), offset=0, what=error.what)
        except (msgspec.MsgspecError, ValueError) as error:
            yield Finding(file=_name(directory, path), offset=0, what=f"It cannot be read ({type(error).__name__})")


def _name(directory: DataDirectory, path: Path) -> str:
    return path.relative_to(directory.root).as_posix()


Check = tuple[Path, Callable[[], object]]


def _checks(
    directory: DataDirectory, chain: str, settings: NodeSettings | None, state: StateView | None
) -> Iterator[Check]:
    """Yield each file with what raises when it is not as it should be."""
    if settings is not None:
        yield from _node_keys(directory, settings, state)
    if directory.cosigner_state.exists():
        yield directory.cosigner_state, partial(_check_cosigned, directory.cosigner_state, chain, state)
    for organisation in directory.served_members():
        folder = directory.member(organisation)
        yield from _member_keys(folder, organisation, state)
        if (folder / SECRETS_FILE).exists():
            yield folder / SECRETS_FILE, partial(CategorySecrets, folder / SECRETS_FILE)
        for path in sorted((folder / OUTBOX).glob("*")):
            yield path, partial(read_erasure if path.suffix == ".erase" else read_outgoing, path)
        for path in sorted((folder / SLOT_BACKUPS).glob("*")):
            keys = None if settings is None else directory.root / settings.slot_backup_keys
            yield path, partial(_check_backup, path, keys, organisation)
    yield from _imported(directory)


def _node_keys(directory: DataDirectory, settings: NodeSettings, state: StateView | None) -> Iterator[Check]:
    """The node's cosigning and engine keys are those that the ledger has for its validator."""
    own = [each for each in validators(Store(state)) if each.organisation == settings.organisation] if state else []
    known = {
        COSIGNING_KEY_FILE: own[0].cosigning_key if own else None,
        ENGINE_KEY_FILE: own[0].engine_key if own else None,
    }
    for name, expected in known.items():
        path = directory.keys / name
        yield path, partial(_check_key, path, read_signing_key, expected)


def _member_keys(folder: Path, organisation: bytes, state: StateView | None) -> Iterator[Check]:
    """A member's keys are those that the ledger has for it."""
    actor = None if state is None else identity.actor(Store(state), organisation)
    signing, kem = folder / KEYS / SIGNING_KEY_FILE, folder / KEYS / KEM_KEY_FILE
    yield signing, partial(_check_key, signing, read_signing_key, actor.key if actor else None)
    yield kem, partial(_check_key, kem, read_kem_key, actor.kem_key if actor else None)


def _check_key(path: Path, read: Callable[[Path], SigningKey | KemKey], expected: bytes | None) -> None:
    found = read(path).public_key
    if expected is not None and found != expected:
        raise Corrupt(path, 0, _NOT_THE_LEDGERS)


def _check_cosigned(path: Path, chain: str, state: StateView | None) -> None:
    signed = decode(read_private_file(path, STATE_BYTES_MAX).removesuffix(b"\n"), SignedHead)
    if signed.origin != chain:
        raise Corrupt(path, 0, "It is of another log")
    if state is not None:
        require_not_behind(state, KnownHead(size=signed.size, root=signed.root))


def _check_backup(path: Path, keys: Path | None, organisation: bytes) -> None:
    """A slots backup has its header, and opens whole when its key is here."""
    content = read_private_file(path, FILE_BYTES_MAX)
    header = parse_file_header(content)
    if header is None:
        raise Corrupt(path, 0, "The backup's header is altered")
    holder = SoftwareKeyHolder(keys, name=f"backup-{organisation.hex()[:16]}") if keys is not None else None
    if holder is None or header.key_id not in holder.held():
        return
    for segment in read_segments(content, cipher=AESGCM(holder.open(header.key_id))):
        if segment.slots is None:
            raise Corrupt(path, segment.offset, "The backup's slots, or the key they lie under, are altered")


def _imported(directory: DataDirectory) -> Iterator[Check]:
    """What the import keeps can be read."""
    organisations = directory.imports / "organisations.json"
    if organisations.exists():
        served = frozenset(directory.served_members())
        yield organisations, partial(_check_organisations, organisations, served)
    people = directory.imports / "people.json"
    if people.exists():
        yield people, partial(_check_people, people)
    for path in sorted((directory.imports / "wallets").glob("*")):
        yield path, partial(read_wallet, path, passphrase=None)


def _check_organisations(path: Path, served: frozenset[bytes]) -> None:
    for organisation in msgspec.json.decode(path.read_bytes(), type=dict[str, bytes]).values():
        if organisation not in served:
            raise Corrupt(path, 0, "It names a member that this node does not serve")


def _check_people(path: Path) -> None:
    msgspec.json.decode(path.read_bytes(), type=dict[Token, FirstSeen])
