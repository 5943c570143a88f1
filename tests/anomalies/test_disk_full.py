# SPDX-License-Identifier: Apache-2.0
"""The disk is full: a clear error, nothing acknowledged is lost, and with room the node goes on."""

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.anomalies.small_disk import PAGE_BYTES, SmallDisk, small_disk
from tests.integration.imports import found
from vervain.engines.engine import FinalOutcome
from vervain.engines.errors import Unreachable
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.errors import VervainError
from vervain.node.audit import audit_node
from vervain.node.desk import MemberDesk
from vervain.node.node import Node
from vervain.vault.documents import NewDocument, StoredDocument

ANSWER_SECONDS = 20.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk."""
    with small_disk(tmp_path / "disk") as small:
        yield small


def own_desk(node: Node) -> MemberDesk:
    """Return the founding hospital's desk."""
    return node.desk(node.settings.organisation)


def signed(node: Node, entries: int = 20) -> bytes:
    """Return a transaction of some size."""
    desk = own_desk(node)
    messages = [CommitRecord(subject=desk.organisation, commitment=secrets.token_bytes(32)) for _ in range(entries)]
    return desk.sign(messages).encoded


@pytest.mark.parametrize("left_pages", [0, 3, 9, 20])
def test_full_disk_halts_the_node_and_loses_nothing(
    disk: SmallDisk, left_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a node on a disk with so many pages left, so that block log, state or read model fails first.
    When transactions come until one cannot be stored.
    Then its sender is told that the node has halted; with room and opened again, every acknowledged one is where it was
    said to be, the others can be sent again and count once, and the audit is clean.
    """
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)  # the committer's last words
    root = disk.folder / "node"
    found(root)
    kept: list[tuple[bytes, FinalOutcome]] = []
    unanswered: list[bytes] = []
    with Node(root) as node:
        kept += acknowledged(node, 3)
        node.read_model.catch_up()
        disk.fill(left_pages * PAGE_BYTES)
        for _ in range(2_000):
            unanswered = [signed(node) for _ in range(5)]
            try:
                outcomes = node.submit_many(unanswered).result(ANSWER_SECONDS)
            except Unreachable as error:
                assert error.diagnostics().what and error.diagnostics().do
                break
            kept += zip(unanswered, outcomes, strict=True)
        else:
            pytest.fail("the disk was never full")
        with pytest.raises(Unreachable):
            node.submit_many([signed(node)]).result(ANSWER_SECONDS)
    disk.make_room()
    with Node(root) as node:
        again = node.submit_many([encoded for encoded, _ in kept]).result(ANSWER_SECONDS)
        for (_, first), now in zip(kept, again, strict=True):
            assert (now.code, now.height, now.leaf_index) == (first.code, first.height, first.leaf_index)
            assert now.is_repeat
        late = node.submit_many(unanswered * 2).result(ANSWER_SECONDS)
        assert {each.code for each in late} == {APPLIED}
        assert len({each.leaf_index for each in late}) == len(unanswered)
        node.read_model.catch_up()
    assert list(audit_node(root)) == []


def acknowledged(node: Node, count: int) -> list[tuple[bytes, FinalOutcome]]:
    """Submit transactions; return them with their outcomes."""
    encoded = [signed(node) for _ in range(count)]
    return list(zip(encoded, node.submit_many(encoded).result(ANSWER_SECONDS), strict=True))


def new_documents(first: int, count: int) -> list[NewDocument]:
    """Return documents, each of a subject of its own, so that slots, packs and index all grow."""
    return [
        NewDocument(
            subject=secrets.token_bytes(32),
            resource_type="Observation",
            resource_id=f"o-{number}",
            version="1",
            stored=secrets.token_bytes(700),
        )
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.prove)])
def test_full_disk_fails_the_vault_whole_at_every_step(disk: SmallDisk, step: int) -> None:
    """
    Given a vault with documents, and a disk with more and more pages left, until a batch fits.
    When a batch is kept.
    Then it is kept whole or refused plainly; opened again, everything kept before opens, the refused batch can be kept,
    and the audit is clean.
    """
    if not disk.is_real:
        pytest.skip("needs a small disk of its own: only root may mount one")
    root = disk.folder / "node"
    found(root)
    kept: list[tuple[StoredDocument, bytes]] = []
    with Node(root) as node:
        kept += keep(own_desk(node), new_documents(0, 5))
    for left_pages in range(0, 100, step):
        batch = new_documents(1_000 * (left_pages + 1), 60)
        with Node(root) as node:
            desk = own_desk(node)
            disk.fill(left_pages * PAGE_BYTES)
            try:
                kept += keep(desk, batch)
            except VervainError as error:
                assert error.diagnostics().what and error.diagnostics().do, error
            else:
                break
            finally:
                disk.make_room()
            require_open(desk, kept)
        with Node(root) as node:
            require_open(own_desk(node), kept)
            if left_pages % 12 == 0:
                kept += keep(own_desk(node), batch[:3])
                require_open(own_desk(node), kept)
    else:
        pytest.fail("the batch never fitted")
    assert left_pages > 3
    with Node(root) as node:
        require_open(own_desk(node), kept)
    assert list(audit_node(root)) == []


def keep(desk: MemberDesk, batch: list[NewDocument]) -> list[tuple[StoredDocument, bytes]]:
    """Keep a batch; return what came of it with the bytes."""
    return list(zip(desk.keep(batch), [each.stored for each in batch], strict=True))


def require_open(desk: MemberDesk, kept: list[tuple[StoredDocument, bytes]]) -> None:
    """Every document opens as it was kept."""
    documents = [document.document for document, _ in kept]
    opened = desk.vault.get(documents, accessor=desk.organisation, purpose="TREAT", now=int(time.time()))
    assert list(opened) == [stored for _, stored in kept]


def test_torn_slots_are_cut_before_the_next(disk: SmallDisk) -> None:
    """
    Given a vault whose slots could be written in part only, and which stays open.
    When a smaller batch is kept afterwards.
    Then the slots file holds whole segments alone, and opens.
    """
    if not disk.is_real:
        pytest.skip("needs a small disk of its own: only root may mount one")
    root = disk.folder / "node"
    found(root)
    with Node(root) as node:
        desk = own_desk(node)
        first = keep(desk, new_documents(0, 1))
        disk.fill(PAGE_BYTES)
        with pytest.raises(VervainError, match="room"):
            desk.vault._slots.add([secrets.token_bytes(32) for _ in range(500)])
        disk.make_room()
        second = keep(desk, new_documents(10, 1))
    with Node(root) as node:
        require_open(own_desk(node), [*first, *second])
    assert list(audit_node(root)) == []
