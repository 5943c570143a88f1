# SPDX-License-Identifier: Apache-2.0
"""Where a node keeps what, in one data directory.

```
genesis.json          the canonical genesis content (public; also block 0)
node.toml             this node's settings
blocks/               the block log, append-only segments
state/                LMDB: rows, proved buckets, log tiles, outcomes, heads
readmodel.sqlite      SQL tables built from events; disposable
cosigner.state        the last checkpoint cosigned, fsynced before signing
keys/                 the node's cosigning and engine keys, mode 0600
imports/              what the FHIR import keeps: organisations, people, wallets/, its token key
members/<id>/         one served member: keys/ vault/ access/ outbox/ slot-keys/ slot-backups/ category.secrets
```
"""

from pathlib import Path
from typing import Final

KEYS: Final = "keys"  # the node's own, and each member's
MEMBERS: Final = "members"

# In a member's folder, beside its keys.
ACCESS: Final = "access"
OUTBOX: Final = "outbox"
SECRETS_FILE: Final = "category.secrets"
SLOT_BACKUPS: Final = "slot-backups"
SLOT_KEYS: Final = "slot-keys"
VAULT: Final = "vault"


class DataDirectory:
    """The paths of one node's data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def genesis(self) -> Path:
        """The canonical genesis content."""
        return self.root / "genesis.json"

    @property
    def settings(self) -> Path:
        """The node's TOML settings."""
        return self.root / "node.toml"

    @property
    def blocks(self) -> Path:
        """Folder of the block log's segments."""
        return self.root / "blocks"

    @property
    def state(self) -> Path:
        """Folder of the LMDB state."""
        return self.root / "state"

    @property
    def read_model(self) -> Path:
        """The SQLite read model."""
        return self.root / "readmodel.sqlite"

    @property
    def cosigner_state(self) -> Path:
        """What the cosigner signed last."""
        return self.root / "cosigner.state"

    @property
    def keys(self) -> Path:
        """Folder of the node's own keys."""
        return self.root / KEYS

    @property
    def imports(self) -> Path:
        """What the FHIR import keeps: who is which member, and the wallets it made."""
        return self.root / "imports"

    def member(self, organisation: bytes) -> Path:
        """Folder of one served member, named by its 32-byte id in hex."""
        return self.root / MEMBERS / organisation.hex()

    def served_members(self) -> list[bytes]:
        """Return the ids of the members with a folder here, sorted."""
        folder = self.root / MEMBERS
        return sorted(bytes.fromhex(path.name) for path in folder.iterdir()) if folder.is_dir() else []

    @property
    def exists(self) -> bool:
        """Tell whether a chain was founded here."""
        return self.genesis.is_file()
