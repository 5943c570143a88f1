# SPDX-License-Identifier: Apache-2.0
"""The vault: what was put is found and opened by its names, and by nobody without the access being written down."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.unit.vault.kept import CHAIN, CUSTODIAN, HE, NOW, READER, SHE, Kept, document, read
from vervain.sealing.commitments import Opening, commitment_of
from vervain.sealing.documents import open_document
from vervain.sealing.keys import KemKey
from vervain.sealing.wraps import WrapContext, unwrap, unwrap_all
from vervain.storage.errors import StorageError
from vervain.vault import vault as vault_module
from vervain.vault.accesses import AccessEntry
from vervain.vault.documents import NewDocument
from vervain.vault.errors import AlreadyStored, NotStored, Tampered, VaultError
from vervain.vault.releases import ReleaseEntry
from vervain.vault.vault import Vault


def test_documents_are_found_by_every_name(tmp_path: Path) -> None:
    """Given documents of two subjects in two batches. When looked up by name, record or subject. Then each is found."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        first = vault.put([document(1, record=11), document(2, HE, record=12)])
        (second,) = vault.put([document(1, version="2", record=13)])
    with kept.open() as vault:
        assert vault.find("Observation", "id-1", "1") == first[0]
        assert vault.find("Observation", "id-1") == second
        assert vault.versions("Observation", "id-1") == (first[0], second)
        assert [vault.of_record(record) for record in (11, 12, 13)] == [*first, second]
        assert vault.of_subject(SHE) == (first[0], second) and vault.of_subject(HE) == (first[1],)
        assert vault.of_subject(SHE, after=first[0].document, count=1) == (second,)
        assert read(vault, second) == document(1, version="2").stored


def test_look_ups_of_what_is_not_there_are_refused(tmp_path: Path) -> None:
    """Given a vault with one document. When another name, version, record or number is asked for. Then not stored."""
    with Kept(tmp_path).open() as vault:
        vault.put([document(1, record=11)])
        for ask in (
            lambda: vault.find("Observation", "id-2"),
            lambda: vault.find("Condition", "id-1"),
            lambda: vault.find("Observation", "id-1", "2"),
            lambda: vault.of_record(12),
            lambda: vault.get([2], accessor=READER, purpose="TREAT", now=NOW),
            lambda: vault.erase_subject(HE, key=CUSTODIAN, now=NOW),
        ):
            with pytest.raises(NotStored):
                ask()
        assert vault.of_subject(HE) == ()


def test_record_numbers_may_come_later(tmp_path: Path) -> None:
    """Given documents kept before the ledger numbered them. When the numbers come. Then they are found by them."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two = vault.put([document(1), document(2)])
        assert (one.record, two.record) == (0, 0)
        vault.assign_records([(one.document, 7), (two.document, 8)])
    with kept.open() as vault:
        assert [vault.of_record(number).document for number in (7, 8)] == [one.document, two.document]
        assert read(vault, vault.of_record(8)) == document(2).stored and list(vault.audit()) == []


def test_what_waits_for_a_number_is_found_behind_what_has_one(tmp_path: Path) -> None:
    """
    Given documents of which all, none, and only the later one has a number.
    When those without are asked for again and again. Then each is told until it has its number.
    """
    with Kept(tmp_path).open() as vault:
        one = vault.put([document(1)])[0].document
        assert [each.document for each in vault.unnumbered()] == [one]
        vault.assign_records([(one, 7)])
        assert list(vault.unnumbered()) == list(vault.unnumbered()) == []
        two, three = (each.document for each in vault.put([document(2), document(3)]))
        assert [each.document for each in vault.unnumbered()] == [two, three]
        vault.assign_records([(three, 9)])
        assert [each.document for each in vault.unnumbered()] == [two]
        vault.assign_records([(two, 8)])
        assert list(vault.unnumbered()) == []


@pytest.mark.parametrize("batch", [[document(1)], [document(2), document(2)], [document(3), document(1)]], ids=len)
def test_a_version_is_never_kept_twice(tmp_path: Path, batch: Sequence[NewDocument]) -> None:
    """Given version 1 of a document. When kept again, or a batch names one twice.

    Then refused, and nothing is added.
    """
    with Kept(tmp_path).open() as vault:
        (one,) = vault.put([document(1)])
        with pytest.raises(AlreadyStored):
            vault.put(batch)
        assert vault.of_subject(SHE) == (one,) and list(vault.audit()) == []


def test_too_large_batch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a batch of more documents or bytes than are taken. When put. Then refused."""
    with Kept(tmp_path).open() as vault:
        monkeypatch.setattr(vault_module, "BATCH_DOCUMENTS_MAX", 1)
        with pytest.raises(VaultError, match="too large"):
            vault.put([document(1), document(2)])
        monkeypatch.setattr(vault_module, "BATCH_BYTES_MAX", 10)
        with pytest.raises(VaultError, match="too large"):
            vault.put([document(1)])


def test_commitment_opens_to_the_stored_bytes(tmp_path: Path) -> None:
    """Given a kept document and a wrap of its key. When unwrapped. Then salt and bytes lead to its commitment."""
    reader = KemKey.generate()
    with Kept(tmp_path).open() as vault:
        (one,) = vault.put([document(1, record=5)])
        wrapped = vault.wrap_for(one.document, purpose="own", recipient=reader.public_key, scope=SHE, epoch=3)
        context = WrapContext(
            purpose="own", commitment=one.commitment, recipient=reader.public_key, chain=CHAIN, scope=SHE, epoch=3
        )
        key = unwrap(wrapped.wrap, reader, context)
        names = {"resource_type": "Observation", "resource_id": "id-1", "version": "1"}
        stored = open_document(vault.ciphertext(one.document), commitment=one.commitment, key=key, **names)
    opening = Opening(type="Observation", id="id-1", version="1", salt=key.salt)
    assert stored == document(1).stored and commitment_of(stored, opening) == one.commitment == wrapped.commitment
    assert wrapped.record == 5


def test_every_read_is_written_down_before_it_is_answered(tmp_path: Path) -> None:
    """Given two documents. When read. Then the audit has an entry for each, with ids alone."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two = vault.put([document(1), document(2, HE)])
        vault.get([one.document, two.document], accessor=READER, purpose="TREAT", now=NOW)
    expected = [
        AccessEntry(at=NOW, accessor=READER, commitment=each.commitment, subject=subject, purpose="TREAT")
        for each, subject in ((one, SHE), (two, HE))
    ]
    assert [entry for _, entry in kept.accesses.entries()] == expected


def test_nothing_is_read_when_the_access_cannot_be_written(tmp_path: Path) -> None:
    """Given an access audit on a full disk. When a document is read. Then it is refused and nothing is opened."""

    class FullDisk:
        def record(self, entries: Sequence[AccessEntry]) -> int:
            raise StorageError("no room")

    kept = Kept(tmp_path)
    with kept.open() as vault:
        (one,) = vault.put([document(1)])
    with (
        Vault(
            tmp_path / "vault", custodian=CUSTODIAN.actor, chain=CHAIN, holder=kept.holder, accesses=FullDisk()
        ) as full,
        pytest.raises(StorageError, match="no room"),
    ):
        read(full, one)


def test_altered_ciphertext_is_never_returned(tmp_path: Path) -> None:
    """Given an altered byte in a pack. When its document is read. Then refused; the other opens."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two = vault.put([document(1), document(2)])
    pack = tmp_path / "vault" / "packs" / "00000001.pack"
    content = bytearray(pack.read_bytes())
    content[-1] ^= 1
    pack.write_bytes(content)
    with kept.open() as vault:
        assert read(vault, one) == document(1).stored
        with pytest.raises(Tampered):
            read(vault, two)


def test_nothing_counts_when_the_index_cannot_take_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an index that fails its commit. When a batch is put. Then it is refused whole, and the next one is kept."""
    kept = Kept(tmp_path)
    with kept.open() as vault:
        (one,) = vault.put([document(1)])
        size = (tmp_path / "vault" / "packs" / "00000001.pack").stat().st_size

        def fail(*arguments: object) -> None:
            raise StorageError("planted")

        with monkeypatch.context() as patch:
            patch.setattr("vervain.vault.index.IndexChange.set_head", fail)
            with pytest.raises(StorageError, match="planted"):
                vault.put([document(2)])
        assert sum(path.stat().st_size for path in (tmp_path / "vault" / "packs").iterdir()) == size
        (three,) = vault.put([document(3)])
        assert vault.of_subject(SHE) == (one, three) and list(vault.audit()) == []
        assert read(vault, three) == document(3).stored


def test_nothing_guessable_stands_in_clear(tmp_path: Path) -> None:
    """Given kept documents. When every file of the vault is scanned.

    Then no name, subject, text, salt or key is in it.
    """
    kept = Kept(tmp_path)
    with kept.open() as vault:
        vault.put([document(number, record=number) for number in range(1, 50)])
        slots = [slot for slot in vault._slots.live() if slot.number]
    everything = b"".join(path.read_bytes() for path in (tmp_path / "vault").rglob("*") if path.is_file())
    assert slots and not any(slot.key in everything for slot in slots)
    for guess in (b"Observation", b"id-1", b"plaintext", SHE, SHE.hex().encode()):
        assert guess not in everything, guess


def test_one_vault_is_opened_by_one_process(tmp_path: Path) -> None:
    """Given an open vault. When opened a second time. Then refused."""
    kept = Kept(tmp_path)
    with kept.open(), pytest.raises(StorageError, match="Another process"):
        kept.open()


def test_errors_name_no_document(tmp_path: Path) -> None:
    """Given refusals of every kind. When told. Then no id, name or subject is in the words."""
    with Kept(tmp_path).open() as vault:
        (one,) = vault.put([document(1)])
        vault.erase_documents([one.document], key=CUSTODIAN, now=NOW)
        asks: tuple[Callable[[], object], ...] = (
            lambda: vault.find("Observation", "id-9"),
            lambda: vault.get([one.document], accessor=READER, purpose="TREAT", now=NOW),
        )
        for ask in asks:
            with pytest.raises(VaultError) as refused:
                ask()
            assert "id-" not in str(refused.value) and "Observation" not in str(refused.value)
            assert refused.value.diagnostics().do


def test_what_comes_in_is_known_by_its_bytes(tmp_path: Path) -> None:
    """Given documents of one, two and erased versions. When the same and others come in. Then each is told apart."""
    first, second, third = document(1), document(2), document(2, version="2")
    with Kept(tmp_path).open() as vault:
        vault.put([first, second, third])
        (gone,) = vault.put([document(3, HE)])
        vault.erase_subject(HE, key=CUSTODIAN, now=NOW)
        asked = [
            ("Observation", "id-1", first.stored),
            ("Observation", "id-1", first.stored + b" "),
            ("Observation", "id-2", second.stored),
            ("Observation", "id-2", third.stored),
            ("Observation", gone.resource_id, document(3).stored),
            ("Condition", "id-1", first.stored),
        ]
        known = vault.known(asked)
    assert [(each.next_version, each.is_newest) for each in known] == [
        (2, True),
        (2, False),
        (3, False),
        (3, True),
        (2, False),
        (2, False),
    ]


def test_no_version_number_comes_twice(tmp_path: Path) -> None:
    """
    Given a document of three versions and one of one.
    When the first version goes. Then the next is the fourth.
    When the third goes, too, or all of its patient, on a vault that is opened again. Then it still is, though of what
    was erased no name is left; and no other document falls below what it has.
    """

    def numbers(vault: Vault) -> list[int]:
        return [each.next_version for each in vault.known([("Observation", f"id-{i}", b"new") for i in (1, 2, 3)])]

    kept = Kept(tmp_path)
    with kept.open() as vault:
        one, two, three = vault.put([document(1, version=number) for number in "123"])
        vault.put([document(2, HE, version="7")])
        assert numbers(vault) == [4, 8, 1]
        vault.erase_documents([one.document], key=CUSTODIAN, now=NOW)
        assert numbers(vault) == [4, 8, 2]
        vault.erase_documents([three.document], key=CUSTODIAN, now=NOW)
        assert numbers(vault) == [4, 8, 4]
    with kept.open() as vault:
        assert numbers(vault) == [4, 8, 4]
        vault.erase_subject(two.subject, key=CUSTODIAN, now=NOW)
        vault.put([document(4, HE)])
        assert numbers(vault) == [4, 8, 4]


def test_former_version_is_the_one_before_that_is_not_erased(tmp_path: Path) -> None:
    """Given three versions of a document. When the second is erased. Then the first comes before the third."""
    with Kept(tmp_path).open() as vault:
        one, two, three = vault.put([document(1, version=number) for number in "123"])
        (other,) = vault.put([document(2)])
        assert vault.former_versions([three, other, one, two]) == (two, None, None, one)
        vault.erase_documents([two.document], key=CUSTODIAN, now=NOW)
        assert vault.former_versions([three]) == (one,)
        assert vault.live_among([one.document, two.document, three.document, 99]) == {one.document, three.document}


def test_keys_handed_to_the_patient_are_written_down_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given two documents. When their keys are handed over. Then they open, and the releases stand in the list.

    Where the list cannot be written, nothing is wrapped.
    """
    patient, other = KemKey.generate(), KemKey.generate()
    with Kept(tmp_path).open() as vault:
        documents = vault.put([document(1, record=5), document(2, record=6)])
        wraps = vault.hand_to_patient(documents, recipient=patient.public_key, epoch=3, now=NOW)
        contexts = [
            WrapContext(
                purpose="own", commitment=one.commitment, recipient=patient.public_key, chain=CHAIN, scope=SHE, epoch=3
            )
            for one in documents
        ]
        keys = unwrap_all([each.wrap for each in wraps], patient, contexts)
        for one, key in zip(documents, keys, strict=True):
            opened = open_document(
                vault.ciphertext(one.document),
                commitment=one.commitment,
                key=key,
                resource_type=one.resource_type,
                resource_id=one.resource_id,
                version=one.version,
            )
            assert opened == read(vault, one)
        assert [(each.record, each.commitment) for each in wraps] == [(one.record, one.commitment) for one in documents]
        copies = vault.releases.copies_of([one.commitment for one in documents])
        assert {(copy.commitment, copy.recipient, copy.scope) for copy in copies} == {
            (one.commitment, patient.public_key, SHE) for one in documents
        }
        assert vault.hand_to_patient([], recipient=patient.public_key, epoch=3, now=NOW) == ()

        def full(entries: Sequence[ReleaseEntry]) -> None:
            raise StorageError("no room")

        monkeypatch.setattr(vault.releases, "record", full)
        monkeypatch.setattr(vault_module, "wrap_all", None)  # reaching it fails otherwise
        with pytest.raises(StorageError):
            vault.hand_to_patient(documents, recipient=other.public_key, epoch=3, now=NOW)
