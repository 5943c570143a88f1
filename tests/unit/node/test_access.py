# SPDX-License-Identifier: Apache-2.0
"""The custodian's access audit: durable, numbered, anchored in batches without a gap."""

from pathlib import Path

from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import root_of, verify_inclusion
from vervain.node.access import AccessBatch, AccessLog
from vervain.vault.accesses import AccessEntry


def access(number: int) -> AccessEntry:
    """Return the access of a number."""
    return AccessEntry(
        at=1_800_000_000 + number,
        accessor=b"a" * 32,
        commitment=bytes([number]) * 32,
        subject=b"s" * 32,
        purpose="TREAT",
    )


def test_accesses_are_kept_and_numbered(tmp_path: Path) -> None:
    """Given accesses in two appends. When read after opening again. Then all are there, numbered from 1."""
    log = AccessLog(tmp_path)
    assert [log.record([access(1), access(2)]), log.record([access(3)])] == [1, 3]
    digest = log.digest
    log.close()
    again = AccessLog(tmp_path)
    assert list(again.entries()) == [(number, access(number)) for number in (1, 2, 3)]
    assert (again.count, again.digest) == (3, digest) and list(again.audit()) == []


def test_batches_follow_without_a_gap(tmp_path: Path) -> None:
    """Given five accesses. When the first three, then the rest, are anchored. Then the roots are over exactly these."""
    log = AccessLog(tmp_path)
    assert log.batch_after(0) is None
    leaves = [leaf_hash(encode(access(number))) for number in range(1, 6)]
    log.record([access(number) for number in (1, 2, 3)])
    assert log.batch_after(0) == AccessBatch(root=root_of(leaves[:3]), count=3, first=1, last=3)
    log.record([access(number) for number in (4, 5)])
    assert log.batch_after(3) == AccessBatch(root=root_of(leaves[3:]), count=2, first=4, last=5)
    assert log.batch_after(5) is None


def test_an_anchored_access_can_be_shown(tmp_path: Path) -> None:
    """Given an anchored batch. When each access is proved. Then its path leads to the anchored root."""
    log = AccessLog(tmp_path)
    log.record([access(number) for number in range(1, 8)])
    batch = log.batch_after(0)
    assert batch is not None
    for number in range(1, 8):
        entry, path = log.prove(number, first=1, last=7)
        assert entry == encode(access(number))
        verify_inclusion(leaf=leaf_hash(entry), index=number - 1, size=7, path=path, root=batch.root)


def test_an_access_taken_out_is_found(tmp_path: Path) -> None:
    """Given three accesses. When the middle line is taken out. Then the audit names its place, and the root differs."""
    log = AccessLog(tmp_path)
    log.record([access(1), access(2), access(3)])
    log.close()
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    (finding,) = log.audit()
    assert finding.offset == len(lines[0]) + len(lines[1])
