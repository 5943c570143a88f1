# SPDX-License-Identifier: Apache-2.0
"""The outbox: a transaction is on the disk before it is on its way, and forgotten when its outcome was dealt with."""

from pathlib import Path

import pytest

from vervain.node.outbox import Outbox, OutgoingCommit
from vervain.storage.errors import Corrupt


def outgoing(number: int) -> OutgoingCommit:
    """Return a transaction of two documents."""
    return OutgoingCommit(
        encoded=b"{}", txid=bytes([number]) * 32, expires_at=1_700_000_000, documents=(2 * number, 2 * number + 1)
    )


def test_put_survives_a_restart(tmp_path: Path) -> None:
    """Given two transactions put, then an outbox opened anew yields both, whole, in files that only the owner reads."""
    outbox = Outbox(tmp_path / "outbox")
    outbox.put(outgoing(2))
    outbox.put(outgoing(1))
    assert list(Outbox(tmp_path / "outbox")) == [outgoing(1), outgoing(2)]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "outbox").iterdir()} == {0o600}


def test_removed_is_forgotten(tmp_path: Path) -> None:
    """Given a transaction removed, once or twice, then only the other is left."""
    outbox = Outbox(tmp_path)
    outbox.put(outgoing(1))
    outbox.put(outgoing(2))
    outbox.remove(outgoing(1).txid)
    outbox.remove(outgoing(1).txid)
    assert list(Outbox(tmp_path)) == [outgoing(2)]


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    """Given a file that was cut off, then reading it is refused instead of losing a transaction in silence."""
    outbox = Outbox(tmp_path)
    outbox.put(outgoing(1))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt):
        list(outbox)
