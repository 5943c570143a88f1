# SPDX-License-Identifier: Apache-2.0
"""Erasure: what is erased is in no file any more, in no restored copy either, and the rest still opens."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.vault.kept import CHAIN, CUSTODIAN, HE, NOW, RETENTION_SECONDS, SHE, Kept, document, read
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import KemKey, SigningKey
from vervain.storage.errors import Full, StorageError
from vervain.vault.documents import StoredDocument
from vervain.vault.erasing import Eraser
from vervain.vault.erasure_certificates import Erasure, ErasureCertificate, verify_certificate
from vervain.vault.errors import KeyErased, NotStored, VaultError
from vervain.vault.index import _LIVE, UNCOUNTED, IndexHead, SealedRow, open_row
from vervain.vault.key_holder import ErasureKind
from vervain.vault.releases import ReleaseEntry
from vervain.vault.vault import Vault


def secrets_of(vault: Vault, documents: list[StoredDocument]) -> list[bytes]:
    """Return everything that must be gone after these documents are erased: slot keys, document keys, salts, texts."""
    found: list[bytes] = []
    with vault._index.view() as view:
        for each in documents:
            sealed = view.row(each.document)
            assert isinstance(sealed, SealedRow)
            slot = vault._slots.require(sealed.slot, sealed.generation)
            row = open_row(sealed, vault._cipher(slot))
            found += [
                slot.key,
                row.dek,
                row.salt,
                each.resource_id.encode(),
                b"plaintext-" + each.resource_id[3:].encode(),
            ]
    return found


def remains(root: Path, secrets: list[bytes]) -> list[str]:
    """Scan every byte of every file for the secrets, raw, in hex and in base64; return where one is found."""
    forms = {form for secret in secrets for form in (secret, secret.hex().encode(), base64.b64encode(secret))}
    return [
        f"{path.relative_to(root)} holds {form[:12]!r}"
        for path in sorted(root.rglob("*"))
        if path.is_file()
        for form in forms
        if form in path.read_bytes()
    ]


def test_scan_finds_secrets_that_are_there(tmp_path: Path) -> None:
    """Given a file with a key in hex. When scanned as below. Then it is found: the scan itself works."""
    (tmp_path / "leak").write_bytes(b"x" + (b"k" * 32).hex().encode())
    assert len(remains(tmp_path, [b"k" * 32])) == 1


def test_erased_relationship_is_in_no_file(tmp_path: Path) -> None:
    """Given a relationship with documents, a rewritten row and reads. When erased.

    Then nothing of it opens, no file holds key, salt or text, the other subject opens, and the vault is clean.
    """
    kept = Kept(tmp_path)
    with kept.open() as vault:
        gone = list(vault.put([document(number) for number in range(100, 140)]))
        (other,) = vault.put([document(500, HE, record=9)])
        vault.assign_records([(each.document, 1_000 + each.document) for each in gone])
        read(vault, gone[3])
        secrets = secrets_of(vault, gone)
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
    assert remains(tmp_path, secrets) == []
    with kept.open() as vault:
        assert vault.of_subject(SHE) == ()
        for each in gone:
            with pytest.raises(KeyErased):
                read(vault, each)
            with pytest.raises(NotStored):
                vault.find(each.resource_type, each.resource_id)
        with pytest.raises(KeyErased):
            vault.of_record(1_000 + gone[0].document)
        assert read(vault, vault.of_record(9)) == document(500).stored and vault.is_live(other.document)
        assert list(vault.audit()) == []


def test_one_document_of_many_is_erased(tmp_path: Path) -> None:
    """Given three documents of a subject. When one is erased. Then it is in no file, and the others open as before."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two, three = vault.put([document(number, record=number) for number in (101, 102, 103)])
        secrets = secrets_of(vault, [two])
        vault.erase_documents([two.document], key=CUSTODIAN, now=NOW)
        assert vault.of_subject(SHE) == (one, three)
    assert remains(tmp_path, secrets) == []
    with kept.open() as vault:
        assert [read(vault, each) for each in (one, three)] == [document(101).stored, document(103).stored]
        with pytest.raises(KeyErased):
            read(vault, two)
        assert vault.put([document(104)])[0].subject == SHE and list(vault.audit()) == []


def test_documents_of_two_subjects_are_not_erased_in_one_step(tmp_path: Path) -> None:
    """Given documents of two subjects. When erased together, or none is named. Then refused, and both stay."""
    with Kept(tmp_path).open() as vault:
        one, two = vault.put([document(1), document(2, HE)])
        for documents in ([one.document, two.document], []):
            with pytest.raises(VaultError, match="one step"):
                vault.erase_documents(documents, key=CUSTODIAN, now=NOW)
        assert read(vault, one) == document(1).stored and read(vault, two) == document(2).stored


def test_subject_may_come_back_after_erasure(tmp_path: Path) -> None:
    """Given an erased subject. When a new document is kept for it. Then it lies under a new slot."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        vault.put([document(1)])
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        (again,) = vault.put([document(1)])
    with kept.open() as vault:
        assert vault.of_subject(SHE) == (again,) and read(vault, again) == document(1).stored


def copy_vault(kept: Kept, name: str) -> Path:
    """Take a backup of packs and index as they are, and of the slots by their own backup; return the folder."""
    folder = kept.root / name
    for part in ("packs", "index"):
        shutil.copytree(kept.root / "vault" / part, folder / part)
    return folder


def test_restored_backup_replays_erasures_before_it_serves(tmp_path: Path) -> None:
    """Given a backup of packs, index and slots from before two erasures. When restored with today's erasures list.

    Then opening it has erased again: nothing of it opens, no file of the restored copy holds key, salt or text.
    """
    kept = Kept(tmp_path)
    with kept.open() as vault:
        gone = list(vault.put([document(number) for number in range(100, 110)]))
        kept_one, gone_one = vault.put([document(201, HE), document(202, HE)])
        secrets = secrets_of(vault, [*gone, gone_one])
        slots_backup = vault.back_up_slots(now=NOW)
    restored = copy_vault(kept, "restored")
    with kept.open() as vault:
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW + 1)
        vault.erase_documents([gone_one.document], key=CUSTODIAN, now=NOW + 2)

    (tmp_path / "restored-keys").mkdir()
    kept.holder = type(kept.holder)(tmp_path / "restored-keys")
    kept.backups.restore(slots_backup, restored / "slots.bin", kept.holder, now=NOW + 3)
    shutil.copytree(tmp_path / "vault" / "erasures", restored / "erasures")
    with kept.open("restored") as vault:
        for each in (*gone, gone_one):
            with pytest.raises(KeyErased):
                read(vault, each)
        assert vault.of_subject(SHE) == () and read(vault, kept_one) == document(201).stored
        assert list(vault.audit()) == []
    assert remains(restored, secrets) == [] and remains(tmp_path / "restored-keys", secrets) == []
    with kept.open("restored") as vault:
        assert read(vault, kept_one) == document(201).stored


def test_restored_copy_without_replay_would_show_the_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the restore above with the replay taken out. When read.

    Then the erased document opens: the rule is needed.
    """
    kept = Kept(tmp_path)
    with kept.open() as vault:
        (gone,) = vault.put([document(1)])
        slots_backup = vault.back_up_slots(now=NOW)
    restored = copy_vault(kept, "restored")
    with kept.open() as vault:
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW + 1)
    (tmp_path / "restored-keys").mkdir()
    kept.holder = type(kept.holder)(tmp_path / "restored-keys")
    kept.backups.restore(slots_backup, restored / "slots.bin", kept.holder, now=NOW + 3)
    monkeypatch.setattr(Vault, "_replay_erasures", lambda self, head: None)
    with kept.open("restored") as vault:
        assert read(vault, gone) == document(1).stored


def test_vault_refused_with_an_erasures_list_older_than_itself(tmp_path: Path) -> None:
    """Given a vault whose erasures list was replaced by an empty one. When opened.

    Then refused: it must never serve.
    """
    kept = Kept(tmp_path)
    with kept.open() as vault:
        vault.put([document(1)])
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
    shutil.rmtree(tmp_path / "vault" / "erasures")
    with pytest.raises(VaultError, match="older than the vault"):
        kept.open()


STEPS: dict[str, str] = {
    "nothing yet": "vervain.vault.erasing.Eraser.carry_out",
    "index not changed": "vervain.vault.index.IndexChange.forget_document",
    "slots not rewritten": "vervain.vault.slots.Slots.erase",
    "old file not overwritten": "vervain.vault.slots.overwrite_and_remove",
    "index does not know": "vervain.vault.index.IndexChange.set_head",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("whole", [True, False], ids=["relationship", "one document"])
def test_erasure_is_finished_after_a_crash_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, whole: bool
) -> None:
    """Given a crash at one step of an erasure. When the vault opens again.

    Then the erasure is complete, the rest opens.
    """

    class Stop(BaseException):
        pass

    def stop(*arguments: object, **named: object) -> None:
        raise Stop

    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two = vault.put([document(101), document(102)])
        (other,) = vault.put([document(201, HE)])
        gone = [one, two] if whole else [two]
        secrets = secrets_of(vault, gone)
        act: Callable[[], object] = (
            (lambda: vault.erase_subject(SHE, key=CUSTODIAN, now=NOW))
            if whole
            else (lambda: vault.erase_documents([two.document], key=CUSTODIAN, now=NOW))
        )
        with monkeypatch.context() as patch:
            patch.setattr(STEPS[step], stop)
            with pytest.raises(Stop):
                act()
    with kept.open() as vault:
        for each in gone:
            with pytest.raises(KeyErased):
                read(vault, each)
        assert read(vault, other) == document(201).stored
        assert whole or read(vault, one) == document(101).stored
        assert list(vault.audit()) == []
        assert vault.kept_bytes == live_bytes(vault, [other] if whole else [one, other])
    assert remains(tmp_path, secrets) == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("whole", [True, False], ids=["relationship", "one document"])
@pytest.mark.parametrize("following", ["put", "erasure"])
def test_erasure_that_broke_off_is_finished_before_the_next_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, whole: bool, following: str
) -> None:
    """Given an erasure for which the disk was full at one step, in a vault that stays open.

    When more is kept of its subject, or another's relationship is erased, first with the disk still full.
    Then that is refused; with room again it is done after the first erasure, and reopening finds both done.
    """

    def fail(*arguments: object, **named: object) -> None:
        raise Full("no room")

    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two, other = vault.put([document(101), document(102), document(201, HE)])
        gone = [one, two] if whole else [two]
        secrets = secrets_of(vault, gone)
        writings: dict[str, Callable[[], tuple[object, ...]]] = {
            "put": lambda: vault.put([document(103)]),
            "erasure": lambda: vault.erase_subject(HE, key=CUSTODIAN, now=NOW + 1),
        }
        with monkeypatch.context() as patch:
            patch.setattr(STEPS[step], fail)
            with pytest.raises(Full, match="no room"):
                if whole:
                    vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
                else:
                    vault.erase_documents([two.document], key=CUSTODIAN, now=NOW)
            listed = vault._erasures.count
            for write in writings.values():
                with pytest.raises(Full, match="no room"):
                    write()
            assert (vault.is_erasing, vault._erasures.count) == (True, listed)
        (done,) = writings[following]()
        assert (vault.is_erasing, vault.live_among([each.document for each in gone])) == (False, frozenset())
    assert remains(tmp_path, secrets) == []
    with kept.open() as vault:
        for each in gone:
            with pytest.raises(KeyErased):
                read(vault, each)
        left = vault.of_subject(SHE)
        assert left == (() if whole else (one,)) + ((done,) if following == "put" else ())
        assert [read(vault, each) for each in left] == [document(int(each.resource_id[3:])).stored for each in left]
        assert vault.is_live(other.document) is (following == "put")
        assert vault.kept_bytes == live_bytes(vault, [*left, *vault.of_subject(HE)])
        assert list(vault.audit()) == []


def test_old_slots_file_of_an_erasure_that_broke_off_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an erasure that broke off before the old slots file was overwritten, which has another name besides.

    When more is kept in the open vault. Then its blocks hold nothing of what they held.
    """

    def fail(path: Path) -> None:
        raise Full("no room")

    kept = Kept(tmp_path)
    with kept.open() as vault:
        vault.put([document(1)])
        (tmp_path / "witness").hardlink_to(tmp_path / "vault" / "slots.bin")
        before = (tmp_path / "witness").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("vervain.vault.slots.overwrite_and_remove", fail)
            with pytest.raises(Full):
                vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        assert (tmp_path / "witness").read_bytes() == before
        vault.put([document(2)])
    after = (tmp_path / "witness").read_bytes()
    assert before[-32:] not in after and before[:32] not in after


def test_unknown_live_bytes_stay_unknown_until_they_are_counted(tmp_path: Path) -> None:
    """Given an index that does not know how many bytes are live. When more is kept. Then reopening counts all."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        documents = list(vault.put([document(number) for number in range(5)]))
        with vault._index.change() as change:
            change.set_head(replace(change.head(), live_bytes=UNCOUNTED), vault._tokens)
        documents += vault.put([document(5)])
    with kept.open() as vault:
        assert vault.kept_bytes == live_bytes(vault, documents)


def test_altered_row_of_an_erasure_that_broke_off_leaves_the_count_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an altered row whose erasure broke off. When more is kept. Then exactly what is live is counted."""

    def fail(*arguments: object, **named: object) -> None:
        raise Full("no room")

    kept = Kept(tmp_path)
    with kept.open() as vault:
        *others, altered = vault.put([*(document(number, HE) for number in range(5)), document(100)])
        with vault._index.change() as change:
            row = change.row(altered.document)
            assert isinstance(row, SealedRow)
            change.rewrite(altered.document, _LIVE.pack(1, row.slot, row.generation, row.nonce) + bytes(99))
        with monkeypatch.context() as patch:
            patch.setattr("vervain.vault.slots.Slots.erase", fail)
            with pytest.raises(Full):
                vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        others += vault.put([document(101, HE)])
        assert vault.kept_bytes == live_bytes(vault, others)
    with kept.open() as vault:
        assert vault.kept_bytes == live_bytes(vault, others)


@pytest.mark.parametrize("breaks_off", [False, True])
def test_read_beside_an_erasure_leaves_no_key_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_off: bool
) -> None:
    """Given a document that is read while it is erased, and whose slot another thread holds.

    When the erasure is done, or breaks off behind the slots, and that thread goes on.
    Then no cipher of the erased slot is kept ready.
    """
    carry_out = Eraser.carry_out

    def read_first(self: Eraser, erasure: Erasure, *, applied: int) -> bytes | None:
        read(vault, one)
        done = carry_out(self, erasure, applied=applied)
        if breaks_off:
            raise Full("no room")
        return done

    with Kept(tmp_path).open() as vault:
        one, other = vault.put([document(1), document(2, HE)])
        slot = vault._slots.require(1, 0)
        assert slot.subject == SHE
        monkeypatch.setattr(Eraser, "carry_out", read_first)
        if breaks_off:
            with pytest.raises(Full):
                vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        else:
            vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        assert vault._ciphers == {}
        vault._cipher(slot)
        read(vault, other)
        assert list(vault._ciphers) == [(2, 0)]


def live_bytes(vault: Vault, documents: list[StoredDocument]) -> int:
    """Return how long the ciphertexts of documents are together."""
    return sum(vault.ciphertext_bytes(each.document) for each in documents)


def test_index_from_before_bytes_were_counted_counts_them_on_opening(tmp_path: Path) -> None:
    """Given an index whose head does not say how many bytes are live. When opened. Then they are counted."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        documents = list(vault.put([document(number) for number in range(5)]))
        vault.erase_documents([documents[0].document], key=CUSTODIAN, now=NOW)
        with vault._index.change() as change:
            head = change.head()
            change.set_head(IndexHead(head.next_document, head.end, head.erasures_applied), vault._tokens)
    with kept.open() as vault:
        assert vault.kept_bytes == live_bytes(vault, documents[1:]) > 0
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        assert vault.kept_bytes == 0


def test_rows_that_no_key_opens_do_not_stay_counted(tmp_path: Path) -> None:
    """
    Given an index older than its slots, which an erased relationship has left.
    When it is opened with today's erasures list.
    Then what is erased again is not counted, though its rows cannot tell how long their documents were.
    """
    kept = Kept(tmp_path)
    with kept.open() as vault:
        (other,) = vault.put([document(201, HE)])
        vault.put([document(number) for number in range(100, 110)])
    copy_vault(kept, "older")
    with kept.open() as vault:
        vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
    for part in ("packs", "index"):
        shutil.rmtree(tmp_path / "vault" / part)
        shutil.copytree(tmp_path / "older" / part, tmp_path / "vault" / part)
    with kept.open() as vault:
        assert vault.of_subject(SHE) == () and vault.kept_bytes == live_bytes(vault, [other])


def test_certificate_says_what_was_destroyed(tmp_path: Path) -> None:
    """Given a relationship of which a key had been released. When erased.

    Then the signed certificate tells all of it.
    """
    kept = Kept(tmp_path)
    reader = KemKey.generate().public_key
    with kept.open() as vault:
        documents = vault.put([document(1), document(2)])
        vault.put([document(3, HE)])
        given = ReleaseEntry(
            at=NOW - 9, purpose="grant", commitment=documents[0].commitment, recipient=reader, scope=b"g" * 32, access=4
        )
        elsewhere = ReleaseEntry(
            at=NOW - 9, purpose="grant", commitment=b"o" * 32, recipient=reader, scope=b"g" * 32, access=5
        )
        vault.releases.record([given, elsewhere])
        vault.back_up_slots(now=NOW - 1)
        (signed,) = vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
    certificate = verify_certificate(signed, custodian_key=CUSTODIAN.public_key)
    (copy,) = certificate.copies
    assert (copy.commitment, copy.recipient, copy.scope, copy.released_at) == (
        documents[0].commitment,
        reader,
        b"g" * 32,
        NOW - 9,
    )
    expected = ErasureCertificate(
        version=1,
        chain=CHAIN,
        custodian=CUSTODIAN.actor,
        commitments=tuple(sorted(each.commitment for each in documents)),
        copies=(copy,),
        copies_count=1,
        kind=ErasureKind.LOGICAL,
        erased_at=NOW,
        complete_at=NOW + RETENTION_SECONDS,
    )
    assert certificate == expected and len(signed.digest()) == 32


def test_forged_certificate_is_refused(tmp_path: Path) -> None:
    """Given a certificate. When it claims hardware, another custodian's key signs it, or another key is named.

    Then refused.
    """
    with Kept(tmp_path).open() as vault:
        vault.put([document(1)])
        (signed,) = vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        (other,) = (replace(signed, key=SigningKey(b"x" * 32).public_key),)
    verify_certificate(signed, custodian_key=CUSTODIAN.public_key)
    better = replace(signed, certificate=replace(signed.certificate, kind=ErasureKind.HARDWARE))
    for forged, key in (
        (better, CUSTODIAN.public_key),
        (other, CUSTODIAN.public_key),
        (signed, SigningKey(b"x" * 32).public_key),
    ):
        with pytest.raises(SealBroken):
            verify_certificate(forged, custodian_key=key)


def test_nothing_is_erased_when_the_erasures_list_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a full disk. When a relationship is erased. Then it is refused and everything still opens."""

    def fail(*arguments: object) -> None:
        raise StorageError("no room")

    with Kept(tmp_path).open() as vault:
        (one,) = vault.put([document(1)])
        with monkeypatch.context() as patch:
            patch.setattr("vervain.vault.chained_log.ChainedLog.append", fail)
            with pytest.raises(StorageError, match="no room"):
                vault.erase_subject(SHE, key=CUSTODIAN, now=NOW)
        assert read(vault, one) == document(1).stored
