# SPDX-License-Identifier: Apache-2.0
"""Receipts that a node makes: each verifies with the SDK and with the court verifier, and says the same in both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.node.founded import desk_of, documents, found
from vervain import verify as court
from vervain.ledger.machine.refusals import Malformed, NotFound
from vervain.ledger.modules.records.messages import CommitRecord, EraseRecord
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.errors import ProofError
from vervain.node.node import Node
from vervain.node.sending import NotApplied
from vervain.sdk.wallet import Wallet
from vervain.sealing.receipts import Opening, Receipt, VerifiedReceipt, format_receipt, verify_receipt
from vervain.sealing.trust import read_trust

MEMBERS = "consortium.members"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node; its tests only add to its log."""
    root: Path = tmp_path_factory.mktemp("receipts") / "node"
    found(root)
    with Node(root) as running:
        yield running


def proved(node: Node, receipt: Receipt, document: bytes | None = None) -> tuple[VerifiedReceipt, court.Verified]:
    """Verify a receipt in both ways; require that both prove the same."""
    encoded, trust = format_receipt(receipt), node.trust_file()
    ours = verify_receipt(encoded, read_trust(trust), document)
    theirs = court.verify(encoded, court.read_trust(trust), document)
    for name in ("kind", "index", "size", "root", "height", "time", "applied", "code", "txid", "entry", "row"):
        assert getattr(ours, name) == getattr(theirs, name), name
    return ours, theirs


def test_entry_receipt_proves_each_entry(node: Node) -> None:
    """Given a transaction of three entries, then each has a receipt of its own, and only of itself."""
    desk = desk_of(node)
    messages = [CommitRecord(subject=desk.organisation, commitment=bytes([number]) * 32) for number in range(3)]
    outcome = desk.send(*messages)
    assert isinstance(outcome.leaf_index, int)
    for number, message in enumerate(messages):
        ours, _ = proved(node, node.receipt(outcome.leaf_index, number))
        assert ours.applied and ours.entry == encode(message)
        assert (ours.entry_index, ours.entry_count, ours.txid) == (number, 3, outcome.txid)


def test_receipt_opens_the_document(node: Node) -> None:
    """Given a patient's committed document and its opening, then the receipt proves exactly these bytes."""
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    actor = wallet.join(desk.organisation).actor
    desk.send(wallet.registration(desk.organisation))
    desk.keep(documents(desk, 1, subject=actor))
    desk.commit_kept()
    ((document, wrapped),) = desk.wraps_for(actor)
    own = wallet.keep_record(
        desk.organisation,
        record=document.record,
        commitment=document.commitment,
        wrapped=wrapped.wrap,
        resource_type=document.resource_type,
        resource_id=document.resource_id,
        version=document.version,
    )
    opened = wallet.opening(own)
    opening = Opening(type=opened.type, id=opened.id, version=opened.version, salt=opened.salt)
    receipt = node.receipts.of_entry(node.head.log_size - 2, 0, opening)
    ours, theirs = proved(node, receipt, b"document 0")
    assert ours.document_at == theirs.document_at == "commitment"
    with pytest.raises(ProofError):
        verify_receipt(format_receipt(receipt), read_trust(node.trust_file()), b"document 1")


def test_refused_transaction_is_never_shown_as_applied(node: Node) -> None:
    """Given a refused transaction, then its receipt verifies and says refused, in both verifiers."""
    desk = desk_of(node)
    with pytest.raises(NotApplied) as caught:
        desk.send(EraseRecord(record=999_999, certificate_digest=bytes(32)))
    leaf = caught.value.outcome.leaf_index
    assert isinstance(leaf, int)
    ours, theirs = proved(node, node.receipt(leaf))
    assert not ours.applied and not theirs.applied and ours.code == caught.value.outcome.code


def test_block_receipt(node: Node) -> None:
    """Given the newest block with a leaf, then its leaf is proved as the log's last one."""
    desk_of(node).send(CommitRecord(subject=desk_of(node).organisation, commitment=bytes(32)))
    ours, _ = proved(node, node.receipts.of_block(node.head.height))
    assert (ours.kind, ours.is_last, ours.height) == ("block", True, node.head.height)
    founding, _ = proved(node, node.receipts.of_block(0))
    assert (founding.kind, founding.is_last, founding.height) == ("block", False, 0)


def test_present_row_is_proved(node: Node) -> None:
    """Given a member, then its row is proved present."""
    ours, theirs = proved(node, node.receipts.of_row(MEMBERS, (node.settings.organisation,)))
    assert (ours.kind, ours.table, ours.row_key) == ("state", MEMBERS, node.settings.organisation)
    assert ours.row is not None and theirs.is_last


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x5a" * 32])
def test_absent_row_is_proved(node: Node, key: bytes) -> None:
    """Given an id that is no member's, then its absence is proved."""
    ours, theirs = proved(node, node.receipts.of_row(MEMBERS, (key,)))
    assert ours.row is None and court.verdict(theirs) == "absent"


def test_plain_table_cannot_be_proved(node: Node) -> None:
    """Given a table that is not proved, or no table, then asking for a proof is refused."""
    for table in ("records.records", "no.table"):
        with pytest.raises(Malformed):
            node.receipts.of_row(table, (1,))


def test_not_found(node: Node) -> None:
    """Given a leaf, entry or block that is not there, or is of another kind, then NotFound is raised."""
    desk = desk_of(node)
    outcome = desk.send(CommitRecord(subject=desk.organisation, commitment=bytes(32)))
    size, leaf = node.head.log_size, outcome.leaf_index
    assert isinstance(leaf, int)
    for index, entry in ((size, 0), (-1, 0), (0, 0), (size - 1, 0), (leaf, 1), (leaf, -1)):
        with pytest.raises(NotFound):
            node.receipt(index, entry)
    with pytest.raises(NotFound):
        node.receipts.of_block(node.head.height + 1)


def test_outcome_is_made_again_from_the_log(node: Node) -> None:
    """Given an applied transaction, then what is stored gives its outcome; a leaf that is no transaction gives none."""
    desk = desk_of(node)
    outcome = desk.send(CommitRecord(subject=desk.organisation, commitment=bytes(32)))
    assert isinstance(outcome.leaf_index, int)
    again = node.receipts.outcome_at(outcome.leaf_index)
    assert (again.txid, again.code, again.height, again.leaf_index) == (
        outcome.txid,
        0,
        outcome.height,
        outcome.leaf_index,
    )
    assert node.outcome_of(bytes(32)) is None
    with pytest.raises(NotFound):
        node.receipts.outcome_at(node.head.log_size - 1)
