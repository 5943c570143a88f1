# SPDX-License-Identifier: Apache-2.0
"""Erasure in a whole node directory: no file and no restored backup holds anything that opens what was erased."""

import base64
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.lived_in import Life, lived_in
from vervain.ledger.modules.records.messages import EraseRecord
from vervain.ledger.primitives.hashing import sha256
from vervain.node.audit import audit_node
from vervain.node.backup import copy_keys, restore_node
from vervain.node.desk import MemberDesk
from vervain.node.node import Node
from vervain.readmodel.queries import RecordRow, records_of
from vervain.sealing.receipts import format_receipt
from vervain.vault.documents import StoredDocument
from vervain.vault.erasure_certificates import SignedErasureCertificate, verify_certificate
from vervain.vault.errors import KeyErased, NotReleased, NotStored
from vervain.vault.index import SealedRow, open_row
from vervain.vault.key_holder import ErasureKind
from vervain.verify import __file__ as court_verifier

FRAGMENT_BYTES: Final = 48
FRAGMENTS: Final = 3  # of each document
DAY_SECONDS: Final = 86_400


class Secrets:
    """What must be gone after documents are erased: their slots' keys, their own keys, salts and pieces of text."""

    def __init__(self, desk: MemberDesk, documents: Iterable[StoredDocument], *, with_slots: bool = True) -> None:
        self.found: list[bytes] = []
        vault = desk.vault
        with vault._index.view() as view:
            for each in documents:
                sealed = view.row(each.document)
                assert isinstance(sealed, SealedRow)
                slot = vault._slots.require(sealed.slot, sealed.generation)
                row = open_row(sealed, vault._cipher(slot))
                stored = vault._open_document(row)
                step = max(1, (len(stored) - FRAGMENT_BYTES) // FRAGMENTS)
                fragments = [stored[at : at + FRAGMENT_BYTES] for at in range(step, len(stored) - FRAGMENT_BYTES, step)]
                assert fragments
                self.found += [row.dek, row.salt, *fragments, *([slot.key] if with_slots else [])]

    def without(self, others: "Secrets") -> "Secrets":
        """Leave out what documents that stay hold too: text that two documents share, the slot's key."""
        self.found = [each for each in self.found if each not in others.found]
        return self

    def remains(self, *roots: Path) -> list[str]:
        """Scan every byte of every file for the secrets, raw, in hex and in base64; return where one is found."""
        forms = [form for secret in dict.fromkeys(self.found) for form in _forms(secret)]
        return [
            f"{path.relative_to(root)} holds {form[:12]!r}"
            for root in roots
            for path in sorted(root.rglob("*"))
            if path.is_file()
            for content in [path.read_bytes()]
            for form in forms
            if form in content
        ]


def _forms(secret: bytes) -> Iterator[bytes]:
    """Yield a secret as it could stand in a file. Base64 of a run that starts anywhere has three forms."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skipped in range(3):
        piece = secret[skipped:]
        yield base64.b64encode(piece[: len(piece) // 3 * 3])
        yield base64.urlsafe_b64encode(piece[: len(piece) // 3 * 3])


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    """A running node with two patients at two custodians."""
    with lived_in(tmp_path / "node", patients=2) as running:
        yield running


def proved(node: Node, leaf_index: int, entry: int, folder: Path) -> str:
    """Have the court verifier check a receipt; return what it says."""
    (folder / "chain.trust").write_bytes(node.trust_file())
    (folder / "one.receipt").write_bytes(format_receipt(node.receipt(leaf_index, entry)))
    return verified(folder)


def verified(folder: Path) -> str:
    """Run the court verifier alone on the receipt in a folder; it must say that it holds."""
    command = [sys.executable, "-I", court_verifier, "one.receipt", "--trust", "chain.trust"]
    verdict = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (verdict.returncode, verdict.stderr) == (0, "")
    return verdict.stdout


def all_records(node: Node) -> list[RecordRow]:
    """Return every record on the ledger, by number."""
    node.read_model.catch_up()
    rows: list[RecordRow] = []
    while page := records_of(node.read_model.engine, after=rows[-1].record if rows else 0):
        rows += page
    return rows


def statuses(node: Node) -> dict[int, str]:
    """Return each record's status on the ledger."""
    return {each.record: each.status for each in all_records(node)}


def require_gone(desk: MemberDesk, subject: bytes, gone: Iterable[StoredDocument]) -> None:
    """Nothing that was erased is served in any way."""
    for each in gone:
        with pytest.raises(KeyErased):
            desk.vault.get([each.document], accessor=desk.organisation, purpose="TREAT", now=1)
        with pytest.raises(KeyErased):
            desk.vault.ciphertext(each.document)
        with pytest.raises((KeyErased, NotStored)):
            desk.vault.of_record(each.record)
        with pytest.raises(NotStored):
            desk.vault.find(each.resource_type, each.resource_id, each.version)
    assert not {each.document for each in desk.vault.of_subject(subject)} & {each.document for each in gone}


def require_open(desk: MemberDesk, documents: Iterable[StoredDocument]) -> None:
    """What was not erased opens."""
    for each in documents:
        assert desk.vault.get([each.document], accessor=desk.organisation, purpose="TREAT", now=1)[0]


def others_of(life: Life, *, but: bytes) -> list[tuple[int, list[StoredDocument]]]:
    """Return every document of every other relationship, with its custodian."""
    return [
        (place, list(life.desk(place).vault.of_subject(life.pseudonym(wallet, place))))
        for wallet in life.wallets
        for place in range(len(life.custodians))
        if life.pseudonym(wallet, place) != but
    ]


def restored(life: Life, backup: Path, target: Path) -> Node:
    """Restore a backup, made before the erasure, with today's erasures lists; return the node, not yet started."""
    keys = target.parent / f"{target.name}-keys"
    copy_keys(life.root, keys)
    restore_node(
        backup,
        target,
        keys=keys,
        slot_keys=life.root / "slot-backup-keys",
        cosigner_state=None,
        erasures=life.root,
        now=int(life.clock()),
    )
    return Node(target, clock=life.clock)


def test_erased_relationship_is_nowhere(life: Life, tmp_path: Path) -> None:
    """
    Given a patient whose documents at one custodian were read under a grant, backed up, and cosigned in a receipt.
    When the relationship is erased.
    Then no file of the node holds a key, salt or text of it, and none of a backup restored afterwards; the certificate
    tells who had been given copies and when the last backup lapses; the old receipt still verifies; all else opens.
    """
    patient, at = life.wallets[0], life.desk(0)
    subject = life.pseudonym(patient, 0)
    gone = list(at.vault.of_subject(subject))
    others = others_of(life, but=subject)
    reader = life.share(patient, 0)
    read = life.read(patient, 0, reader, [gone[0].record, gone[1].record])
    secrets = Secrets(at, gone)
    for place, documents in others:
        secrets.without(Secrets(life.desk(place), documents))
    assert len(secrets.found) > 3 * len(gone)
    (row,) = (each for each in all_records(life.node) if each.record == gone[0].record)
    old = proved(life.node, row.leaf_index, row.entry_index, tmp_path)
    assert base64.b64encode(gone[0].commitment) in (tmp_path / "one.receipt").read_bytes()
    assert at.secrets.get(subject) is not None
    life.node.back_up(tmp_path / "backup")
    at.back_up_slots()
    erased_at = int(life.clock())

    (certificate,) = at.erase_subject(subject)

    _require_certificate(
        life, certificate, gone, {each.record for each in read}, reader.reader.kem.public_key, erased_at
    )
    assert verified(tmp_path) == old and "APPLIED" in old
    assert "APPLIED" in proved(life.node, row.leaf_index, row.entry_index, tmp_path)
    require_gone(at, subject, gone)
    with pytest.raises(NotReleased):
        life.read(patient, 0, reader, [gone[0].record])
    tombstones = statuses(life.node)
    assert {number for number, status in tombstones.items() if status == "erased"} == {each.record for each in gone}
    for place, documents in others:
        assert documents
        require_open(life.desk(place), documents)
    assert secrets.remains(life.root) == []

    node = restored(life, tmp_path / "backup", tmp_path / "restored")
    try:
        for place, documents in others:
            require_open(node.desk(life.custodians[place]), documents)
        require_gone(node.desk(life.custodians[0]), subject, gone)
        assert node.desk(life.custodians[0]).secrets.get(subject) is None  # nor what the patient had told
        assert secrets.remains(tmp_path / "restored") == []
    finally:
        node.stop()
    assert secrets.remains(tmp_path / "restored", tmp_path / "backup", life.root) == []
    assert list(audit_node(tmp_path / "restored")) == []


def _require_certificate(
    life: Life,
    signed: SignedErasureCertificate,
    gone: list[StoredDocument],
    read: set[int],
    reader: bytes,
    erased_at: int,
) -> None:
    """The certificate is signed, names all that was destroyed, who has copies, and when the erasure is complete."""
    at = life.desk(0)
    told = verify_certificate(signed, custodian_key=at.signing.public_key)
    assert told.commitments == tuple(sorted(each.commitment for each in gone))
    given = {each.commitment for each in told.copies if each.recipient == reader}
    assert given == {each.commitment for each in gone if each.record in read} and len(given) == 2
    own = {each.commitment for each in told.copies if each.scope == life.pseudonym(life.wallets[0], 0)}
    assert own == {each.commitment for each in gone} and told.copies_count == len(told.copies)
    assert told.kind is ErasureKind.LOGICAL and ErasureKind.LOGICAL.value == "logical"
    assert erased_at <= told.erased_at <= erased_at + 5
    assert told.complete_at == told.erased_at + life.node.settings.slot_backup_days * DAY_SECONDS


def test_slots_backup_lapses_when_the_certificate_says(life: Life) -> None:
    """
    Given a slots backup from before an erasure.
    When the second that the certificate names has come, and not before.
    Then the backup and its key are gone.
    """
    at = life.desk(0)
    backup = at.back_up_slots()
    keys = life.root / "slot-backup-keys"
    assert backup.exists() and len(list(keys.iterdir())) == 1
    (signed,) = at.erase_subject(life.pseudonym(life.wallets[0], 0))
    complete_at = signed.certificate.complete_at
    made_at = int(backup.stem.split("-")[1])
    lapses_at = made_at + life.node.settings.slot_backup_days * DAY_SECONDS
    assert lapses_at <= complete_at
    assert at.slot_backups.lapse(now=lapses_at - 1) == 0 and backup.exists()
    assert at.slot_backups.lapse(now=complete_at) == 1
    assert not backup.exists() and list(keys.iterdir()) == []
    (later,) = at.erase_subject(life.pseudonym(life.wallets[1], 0))
    assert later.certificate.complete_at == later.certificate.erased_at


def test_two_slots_backups_of_one_second_are_two_files(life: Life) -> None:
    """Given a slots backup, when another is made in the same second, then both are there and both lapse."""
    at, now = life.desk(0), int(life.clock())
    made = {at.vault.back_up_slots(now=now) for _ in range(3)}
    assert len(made) == 3 and all(path.exists() for path in made)
    assert at.slot_backups.lapse(now=now + life.node.settings.slot_backup_days * DAY_SECONDS) == 3
    assert list((life.root / "slot-backup-keys").iterdir()) == []


def test_lapsed_backup_cannot_be_restored(life: Life, tmp_path: Path) -> None:
    """Given a node's backup whose slots have lapsed, when it is restored, then refused, and nothing half-made stays."""
    life.node.back_up(tmp_path / "backup")
    life.clock.ahead += life.node.settings.slot_backup_days * DAY_SECONDS + 10
    with pytest.raises(KeyErased, match="lapsed"):
        restored(life, tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_one_document_of_many_is_nowhere(life: Life, tmp_path: Path) -> None:
    """
    Given a patient's many documents at one custodian.
    When one is erased and its tombstone put on the ledger.
    Then no file, nor a backup restored afterwards, holds its key, salt, text or the slot's old key; the others open.
    """
    patient, at = life.wallets[0], life.desk(0)
    subject = life.pseudonym(patient, 0)
    all_of = list(at.vault.of_subject(subject))
    gone, stay = all_of[2], [*all_of[:2], *all_of[3:]]
    old_slot = Secrets(at, [gone]).found[-1]
    secrets = Secrets(at, [gone], with_slots=False).without(Secrets(at, stay, with_slots=False))
    secrets.found.append(old_slot)
    life.node.back_up(tmp_path / "backup")

    (certificate,) = at.vault.erase_documents([gone.document], key=at.signing, now=int(life.clock()))
    at.send(EraseRecord(record=gone.record, certificate_digest=certificate.digest()))

    assert certificate.certificate.commitments == (gone.commitment,)
    require_gone(at, subject, [gone])
    require_open(at, stay)
    assert [number for number, status in statuses(life.node).items() if status == "erased"] == [gone.record]
    assert secrets.remains(life.root) == []
    node = restored(life, tmp_path / "backup", tmp_path / "restored")
    try:
        require_open(node.desk(life.custodians[0]), stay)
        require_gone(node.desk(life.custodians[0]), subject, [gone])
    finally:
        node.stop()
    assert secrets.remains(tmp_path / "restored") == []


def test_restored_node_without_todays_list_would_serve_the_erased(life: Life, tmp_path: Path) -> None:
    """
    Given a backup from before an erasure.
    When it is restored with its own, older list instead of today's.
    Then the erased document opens: today's list is needed, and the scan above finds what is there.
    """
    at, subject = life.desk(0), life.pseudonym(life.wallets[0], 0)
    gone = list(at.vault.of_subject(subject))
    life.node.back_up(tmp_path / "backup")
    at.erase_subject(subject)
    keys = tmp_path / "keys"
    copy_keys(life.root, keys)
    restore_node(
        tmp_path / "backup",
        tmp_path / "restored",
        keys=keys,
        slot_keys=life.root / "slot-backup-keys",
        cosigner_state=None,
        erasures=None,
        now=int(life.clock()),
    )
    node = Node(tmp_path / "restored", clock=life.clock)
    try:
        require_open(node.desk(life.custodians[0]), gone)
    finally:
        node.stop()


def test_scan_finds_what_is_there(tmp_path: Path) -> None:
    """Given a secret in each form, at an odd place, then the scan finds every one."""
    secret = sha256(b"secret")
    forms = [secret, secret.hex().encode(), base64.b64encode(b"x" + secret), base64.b64encode(b"xy" + secret + b"z")]
    secrets = Secrets.__new__(Secrets)
    secrets.found = [secret]
    for number, form in enumerate(forms):
        (tmp_path / f"{number}").write_bytes(b"..." + form + b"...")
    assert {each[0] for each in secrets.remains(tmp_path)} == {"0", "1", "2", "3"}
