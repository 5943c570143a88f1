# SPDX-License-Identifier: Apache-2.0
"""What patients told this custodian: the category secret of each relationship, in one file of mode 0600.

With the secret the custodian can tell which consent categories a grant names; nobody else can. The file carries its
sum: nothing else here could tell that a byte of it was changed.
"""

from pathlib import Path
from typing import Final

from vervain.ledger.primitives.codec import Bytes32, decode, encode
from vervain.node.summed_file import read_summed_file, write_summed_file

SECRETS_BYTES_MAX: Final = 128 * 2**20  # about a million relationships


class CategorySecrets:
    """Subject to secret, 32 bytes each."""

    def __init__(self, path: Path) -> None:
        """Open, or begin, the list.

        Raises: Corrupt, NotCanonical, KeyFileRefused.
        """
        self._path = path
        stored = read_summed_file(path, SECRETS_BYTES_MAX) if path.exists() else b"{}"
        self._secrets = {bytes.fromhex(name): value for name, value in decode(stored, dict[str, Bytes32]).items()}

    def get(self, subject: bytes) -> bytes | None:
        """Return the secret that a patient told, or None."""
        return self._secrets.get(subject)

    def add(self, told: dict[bytes, bytes]) -> None:
        """Keep what patients told, durably."""
        self._keep(self._secrets | told)

    def forget(self, subject: bytes) -> None:
        """Remove a relationship's secret, when it is erased."""
        if subject in self._secrets:
            self._keep({other: secret for other, secret in self._secrets.items() if other != subject})

    def _keep(self, secrets: dict[bytes, bytes]) -> None:
        """Write the list, then use it: what the disk refuses is not half forgotten."""
        content = encode({subject.hex(): secret for subject, secret in secrets.items()})
        write_summed_file(self._path, content, replace=True)
        self._secrets = secrets
