# SPDX-License-Identifier: Apache-2.0
"""A vault in a temporary folder, with its keys, backups and access audit beside it, for the tests of this floor."""

from pathlib import Path

from vervain.node.access import AccessLog
from vervain.sealing.keys import SigningKey
from vervain.vault.documents import NewDocument, StoredDocument
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.slot_backups import SlotBackups
from vervain.vault.vault import Vault

CHAIN = "test-" + "0" * 32
CUSTODIAN = SigningKey(b"c" * 32)
SHE, HE = b"s" * 32, b"h" * 32
NOW = 1_800_000_000
RETENTION_SECONDS = 30 * 86_400
READER = b"a" * 32


class Kept:
    """One custodian's folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("keys", "backups", "backup-keys"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.holder = SoftwareKeyHolder(root / "keys")
        self.backups = SlotBackups(
            root / "backups",
            SoftwareKeyHolder(root / "backup-keys", name="backup"),
            retention_seconds=RETENTION_SECONDS,
        )
        self.accesses = AccessLog(root / "accesses")

    def open(self, folder: str = "vault") -> Vault:
        """Open the vault, or another copy of it."""
        return Vault(
            self.root / folder,
            custodian=CUSTODIAN.actor,
            chain=CHAIN,
            holder=self.holder,
            accesses=self.accesses,
            backups=self.backups,
            index_bytes_max=64 * 2**20,
        )


def document(number: int, subject: bytes = SHE, *, version: str = "1", record: int = 0) -> NewDocument:
    """Return a document whose bytes, id and text belong to its number."""
    stored = f'{{"resourceType":"Observation","id":"id-{number}","note":"plaintext-{number}-{version}"}}'.encode()
    return NewDocument(
        subject=subject,
        resource_type="Observation",
        resource_id=f"id-{number}",
        version=version,
        stored=stored,
        record=record,
    )


def read(vault: Vault, kept: StoredDocument) -> bytes:
    """Read one document as a member of the house."""
    return vault.get([kept.document], accessor=READER, purpose="TREAT", now=NOW)[0]
