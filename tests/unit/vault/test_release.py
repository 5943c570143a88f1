# SPDX-License-Identifier: Apache-2.0
"""The release desk over the real rules of the ledger: what a reader gets, and every way in which it gets nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.ledger.modules.ward import FOUNDED_AT, NORTH, SHE, SOUTH, Ward
from vervain.ledger.machine.changes import BlockSummary
from vervain.ledger.modules.consent.messages import (
    ConsentGranted,
    DenyAccess,
    GrantConsent,
    Purpose,
    ReadRequested,
    WithdrawConsent,
)
from vervain.ledger.modules.records.messages import CommitRecord, MarkWrongPatient, RecordCommitted
from vervain.node.access import AccessLog
from vervain.node.asking import AskingBounds
from vervain.sealing.derivation import category_commitment
from vervain.sealing.documents import open_document
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.notices import SEALED_NOTICE_BYTES_MAX, notice_digest
from vervain.sealing.read_requests import RecordSet, build_read_request, new_record_set
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.wraps import WrapContext, unwrap
from vervain.storage.errors import StorageError
from vervain.vault.documents import NewDocument, StoredDocument
from vervain.vault.errors import AskedTooOften, NotReleased, TooLargeToRelease
from vervain.vault.key_holder import SoftwareKeyHolder
from vervain.vault.notices import NoticeEntry, NoticeLog
from vervain.vault.release import Release, ReleaseDesk
from vervain.vault.releases import ReleaseEntry, ReleaseLog
from vervain.vault.vault import Vault

READER, READER_KEM = SigningKey(b"r" * 32), KemKey(b"k" * 32)
SECRET = b"x" * 32
NOTICE = b"sealed to the patient"
REQUESTS_MAX = 5  # of one reader's key a minute
CATEGORIES = {"note-2": frozenset({"PSY"}), "note-3": frozenset({"HIV", "PSY"})}


class Snapshot:
    """The ward's state as a node shows its newest committed height."""

    def __init__(self, ward: Ward) -> None:
        self._ward = ward

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self._ward.store.get(key)

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows."""
        return self._ward.store.range(start, stop)

    def head(self) -> BlockSummary:
        """Return the newest head: only its time counts here."""
        return BlockSummary(
            height=9, time=self._ward.time, first_leaf=0, leaves=0, app_hash=bytes(32), log_root=bytes(32)
        )


class Assignment:
    """The custodian's own categories: two of three notes are sensitive."""

    def __init__(self, secret: bytes | None = SECRET) -> None:
        self._secret = secret

    def categories_of(self, document: StoredDocument) -> frozenset[str]:
        """Return the codes of a note."""
        return CATEGORIES.get(document.resource_id, frozenset())

    def secret_of(self, subject: bytes) -> bytes | None:
        """Return the relationship's secret."""
        return self._secret


class Clinic:
    """A ward with three notes of a patient in the vault of its hospital, on the ledger and at the release desk."""

    def __init__(self, root: Path, *, secret: bytes | None = SECRET) -> None:
        self.ward = Ward()
        self.custodian, self.patient = self.ward.id(NORTH), self.ward.id(SHE)
        (root / "keys").mkdir()
        self.vault = Vault(
            root / "vault",
            custodian=self.custodian,
            chain=self.ward.chain,
            holder=SoftwareKeyHolder(root / "keys"),
            accesses=AccessLog(root / "accesses"),
            index_bytes_max=64 * 2**20,
        )
        self.own_clock = float(FOUNDED_AT)
        self.bounds = AskingBounds(REQUESTS_MAX, clock=lambda: self.own_clock)
        self.desk = ReleaseDesk(
            self.vault,
            view=self.view,
            clock=lambda: self.own_clock,
            categories=Assignment(secret),
            bounds=self.bounds,
        )
        self.records = [self._commit(f"note-{number}", self.patient) for number in (1, 2, 3)]

    @contextmanager
    def view(self) -> Iterator[Snapshot]:
        """Open a snapshot."""
        yield Snapshot(self.ward)

    def _commit(self, name: str, subject: bytes, *, kept_for: bytes | None = None) -> int:
        note = NewDocument(
            subject=kept_for or subject, resource_type="Note", resource_id=name, version="1", stored=name.encode()
        )
        (kept,) = self.vault.put([note])
        (event,) = self.ward.run(NORTH, CommitRecord(subject=subject, commitment=kept.commitment))
        assert isinstance(event, RecordCommitted)
        self.vault.assign_records([(kept.document, event.record)])
        return event.record

    def commit_own(self, *, kept_for: bytes | None = None) -> int:
        """Commit to a document of the hospital itself; the vault may have it under another subject by mistake."""
        return self._commit("own", self.custodian, kept_for=kept_for)

    def grant(self, *, categories: tuple[str, ...] = (), **changed: object) -> bytes:
        """Grant treatment for a day; return the consent's id."""
        committed = tuple(sorted(category_commitment(SECRET, code) for code in categories))
        message = GrantConsent(
            reader_key=READER.public_key,
            reader_kem_key=READER_KEM.public_key,
            reader_commitment=b"c" * 32,
            purposes=(Purpose.TREAT,),
            categories=committed,
            valid_from=FOUNDED_AT,
            valid_until=FOUNDED_AT + 86_400,
        )
        event = self.ward.run(SHE, replace(message, **changed))[0]
        assert isinstance(event, ConsentGranted)
        return event.consent

    def ask(
        self,
        consent: bytes,
        *records: int,
        categories: tuple[str, ...] = (),
        notice: bytes = NOTICE,
        reader: SigningKey = READER,
    ) -> ReleaseRequest:
        """Put a signed request on the ledger; return what the reader sends to the desk."""
        record_set = new_record_set(records or self.records)
        request = build_read_request(
            chain=self.ward.chain,
            grant=consent,
            custodian=self.custodian,
            record_set=record_set,
            purpose=Purpose.TREAT,
            notice_digest=notice_digest(notice),
            expires_at=int(self.own_clock) + 600,
            reader=reader,
            categories=[category_commitment(SECRET, code) for code in categories],
        )
        event = self.ward.run(SOUTH, request)[0]
        assert isinstance(event, ReadRequested)
        return ReleaseRequest(request=request, access=event.access, record_set=record_set, notice=notice)

    def opened(self, release: Release, consent: bytes) -> list[bytes]:
        """Open what was released as the reader does, from ciphertexts alone."""
        texts = []
        for each in release.wraps:
            context = WrapContext(
                purpose="grant",
                commitment=each.commitment,
                recipient=READER_KEM.public_key,
                chain=self.ward.chain,
                scope=consent,
            )
            kept = self.vault.of_record(each.record)
            texts.append(
                open_document(
                    self.vault.ciphertext(kept.document),
                    commitment=each.commitment,
                    key=unwrap(each.wrap, READER_KEM, context),
                    resource_type="Note",
                    resource_id=kept.resource_id,
                    version="1",
                )
            )
        return texts


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    """A clinic whose desk knows the category secret."""
    clinic = Clinic(tmp_path)
    yield clinic
    clinic.vault.close()


def test_reader_gets_the_keys_that_it_may_have(clinic: Clinic) -> None:
    """Given a grant and a final request. When released.

    Then the reader opens every note, and the release is written down.
    """
    consent = clinic.grant()
    asked = clinic.ask(consent)
    release = clinic.desk.release(asked)
    assert clinic.opened(release, consent) == [b"note-1", b"note-2", b"note-3"]
    copies = clinic.vault.releases.copies_of([each.commitment for each in release.wraps])
    assert {(copy.recipient, copy.scope, copy.released_at) for copy in copies} == {
        (READER_KEM.public_key, consent, FOUNDED_AT)
    }
    assert len(copies) == 3


def test_wrap_opens_for_no_other_key_or_grant(clinic: Clinic) -> None:
    """Given a release. When a thief, or the reader under another grant, opens a wrap. Then refused."""
    consent = clinic.grant()
    wrapped = clinic.desk.release(clinic.ask(consent, clinic.records[0])).wraps[0]
    context = WrapContext(
        purpose="grant",
        commitment=wrapped.commitment,
        recipient=READER_KEM.public_key,
        chain=clinic.ward.chain,
        scope=consent,
    )
    for kem, other in ((KemKey(b"t" * 32), context), (READER_KEM, replace(context, scope=b"o" * 32))):
        with pytest.raises(SealBroken):
            unwrap(wrapped.wrap, kem, other)


def test_refused_when_the_access_is_not_final(clinic: Clinic) -> None:
    """Given a signed request that never entered the ledger, or names another access. When asked. Then nothing."""
    consent = clinic.grant()
    final = clinic.ask(consent, clinic.records[0])
    unlogged = build_read_request(
        chain=clinic.ward.chain,
        grant=consent,
        custodian=clinic.custodian,
        record_set=final.record_set,
        purpose=Purpose.TREAT,
        notice_digest=notice_digest(NOTICE),
        expires_at=FOUNDED_AT + 600,
        reader=READER,
    )
    for asked in (replace(final, access=final.access + 1), replace(final, request=unlogged)):
        with pytest.raises(NotReleased):
            clinic.desk.release(asked)
    assert clinic.vault.releases.count == 0


def test_refused_when_the_signature_is_another_ones(clinic: Clinic) -> None:
    """Given a final request. When somebody sends it with a signature of its own. Then refused."""
    asked = clinic.ask(clinic.grant(), clinic.records[0])
    signed = asked.request.terms(clinic.ward.chain).signed_bytes()
    forged = replace(asked.request, signature=SigningKey(b"t" * 32).sign(signed))
    with pytest.raises(SealBroken):
        clinic.desk.release(replace(asked, request=forged))


def test_refused_when_other_records_are_shown(clinic: Clinic) -> None:
    """Given a final request for note 1. When the desk is shown the set of notes 1 and 2. Then refused."""
    asked = clinic.ask(clinic.grant(), clinic.records[0])
    other = RecordSet(records=tuple(clinic.records[:2]), salt=asked.record_set.salt)
    with pytest.raises(SealBroken):
        clinic.desk.release(replace(asked, record_set=other))


def test_refused_after_withdrawal_though_the_access_is_final(clinic: Clinic) -> None:
    """Given a final access. When the patient withdraws before the desk answers. Then nothing is released."""
    consent = clinic.grant()
    asked = clinic.ask(consent)
    clinic.ward.run(SHE, WithdrawConsent(consent=consent))
    with pytest.raises(NotReleased):
        clinic.desk.release(asked)


def test_own_clock_ends_a_grant_that_a_stale_chain_would_honour(clinic: Clinic) -> None:
    """Given a chain whose time stands still. When the own clock is past the grant's end. Then nothing is released."""
    consent = clinic.grant(valid_until=FOUNDED_AT + 300)
    asked = clinic.ask(consent)
    clinic.own_clock = FOUNDED_AT + 299.0
    assert len(clinic.desk.release(asked).wraps) == 3
    clinic.own_clock = FOUNDED_AT + 300.0
    with pytest.raises(NotReleased):
        clinic.desk.release(asked)


def test_expired_request_is_refused_by_the_own_clock(clinic: Clinic) -> None:
    """Given a request that expired by the own clock. When asked.

    Then refused, although it is final and the grant holds.
    """
    asked = clinic.ask(clinic.grant())
    clinic.own_clock = FOUNDED_AT + 601.0
    with pytest.raises(SealBroken):
        clinic.desk.release(asked)


def test_another_subjects_record_is_never_released(clinic: Clinic) -> None:
    """Given a grant by the patient. When the reader names a record of somebody else beside hers.

    Then it is left out.
    """
    own = clinic.commit_own()
    consent = clinic.grant()
    release = clinic.desk.release(clinic.ask(consent, clinic.records[0], own))
    assert [each.record for each in release.wraps] == [clinic.records[0]]
    with pytest.raises(NotReleased):
        clinic.desk.release(clinic.ask(consent, own))


def test_record_is_not_released_when_ledger_and_vault_disagree_whose_it_is(clinic: Clinic) -> None:
    """Given a hospital's record that the vault has under the patient. When the patient's reader asks. Then nothing."""
    mislaid = clinic.commit_own(kept_for=clinic.patient)
    with pytest.raises(NotReleased):
        clinic.desk.release(clinic.ask(clinic.grant(), mislaid))


def test_unknown_erased_and_mislaid_records_answer_alike(clinic: Clinic) -> None:
    """Given a record that does not exist, an erased one, and one of the wrong patient. When asked for.

    Then one answer.
    """
    consent, words = clinic.grant(), set()
    clinic.ward.run(NORTH, MarkWrongPatient(record=clinic.records[0]))
    clinic.vault.erase_documents(
        [clinic.vault.of_record(clinic.records[1]).document], key=SigningKey.generate(), now=FOUNDED_AT
    )
    for record in (clinic.records[0], clinic.records[1], 999):
        with pytest.raises(NotReleased) as refused:
            clinic.desk.release(clinic.ask(consent, record))
        words.add(str(refused.value))
    assert len(words) == 1


def test_custodian_narrows_by_its_own_categories(clinic: Clinic) -> None:
    """Given a grant for PSY alone. When all notes are asked for.

    Then the one that is also HIV is left out, and so is the one in no category: naming another's does not open it.
    """
    consent = clinic.grant(categories=("PSY",))
    release = clinic.desk.release(clinic.ask(consent, categories=("PSY",)))
    assert [each.record for each in release.wraps] == [clinic.records[1]]


def test_denied_category_is_left_out_though_the_grant_covers_all(clinic: Clinic) -> None:
    """Given a grant for everything, a final access, then a denial of HIV. When released.

    Then the HIV note is left out.
    """
    consent = clinic.grant()
    asked = clinic.ask(consent, clinic.records[1], clinic.records[2])
    denial = DenyAccess(
        valid_from=FOUNDED_AT, valid_until=FOUNDED_AT + 9_999, category=category_commitment(SECRET, "HIV")
    )
    clinic.ward.run(SHE, denial)
    assert [each.record for each in clinic.desk.release(asked).wraps] == [clinic.records[1]]


def test_sensitive_notes_are_left_out_when_the_secret_is_not_known(tmp_path: Path) -> None:
    """Given a custodian that was not told the category secret. When categories are named. Then nothing is opened."""
    clinic = Clinic(tmp_path, secret=None)
    consent = clinic.grant(categories=("HIV", "PSY"))
    with pytest.raises(NotReleased):
        clinic.desk.release(clinic.ask(consent, categories=("HIV", "PSY")))
    clinic.vault.close()


def test_nothing_is_handed_out_when_the_release_cannot_be_written(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a full disk. When a request comes. Then it is refused, and no key was wrapped."""

    def full(log: ReleaseLog, entries: list[ReleaseEntry]) -> int:
        raise StorageError("no room")

    def wrapped(*arguments: object, **named: object) -> None:
        pytest.fail("a key was wrapped before the release was on the disk")

    asked = clinic.ask(clinic.grant())
    monkeypatch.setattr(ReleaseLog, "record", full)
    monkeypatch.setattr(Vault, "wrap_for", wrapped)
    with pytest.raises(StorageError, match="no room"):
        clinic.desk.release(asked)


def test_refused_when_the_notice_is_not_the_one_signed_for(clinic: Clinic) -> None:
    """Given a final request. When its notice is missing, altered, another's or too long. Then nothing, in one answer.

    Nothing is written down either, and the answer is that to a request that is not on the ledger.
    """
    consent = clinic.grant()
    asked, other = clinic.ask(consent), clinic.ask(consent, notice=b"another's notice")
    too_long = clinic.ask(consent, notice=bytes(SEALED_NOTICE_BYTES_MAX + 1))
    wrong = [replace(asked, notice=notice) for notice in (b"", NOTICE[:-1] + b"T", other.notice)]
    words = set()
    for each in (*wrong, too_long, replace(asked, access=asked.access + 9)):
        with pytest.raises(NotReleased) as refused:
            clinic.desk.release(each)
        words.add(str(refused.value))
    assert len(words) == 1
    assert (clinic.vault.releases.count, clinic.vault.notices.count) == (0, 0)
    assert len(clinic.desk.release(asked).wraps) == 3


def test_notice_is_on_the_disk_before_the_key(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a final request. When its keys are wrapped. Then a copy of the disk at that moment has the notice.

    When the notice cannot be written, no release is noted and no key is wrapped.
    """
    consent = clinic.grant()
    asked = clinic.ask(consent)
    found: list[tuple[NoticeEntry, ...]] = []
    wrap_for = Vault.wrap_for

    def looked(vault: Vault, document: int, **named: object) -> object:
        shutil.copytree(vault.directory / "notices", vault.directory / f"copy-{len(found)}")
        found.append(NoticeLog(vault.directory / f"copy-{len(found)}").of_subject(clinic.patient))
        return wrap_for(vault, document, **named)  # type: ignore[arg-type]  # whatever the desk gave

    monkeypatch.setattr(Vault, "wrap_for", looked)
    clinic.desk.release(asked)
    entry = NoticeEntry(at=FOUNDED_AT, subject=clinic.patient, grant=consent, access=asked.access, sealed=NOTICE)
    assert found == [(entry,)] * 3

    def full(log: NoticeLog, entry: NoticeEntry) -> None:
        raise StorageError("no room")

    again = clinic.ask(consent)
    monkeypatch.setattr(NoticeLog, "record", full)
    with pytest.raises(StorageError, match="no room"):
        clinic.desk.release(again)
    assert (len(found), clinic.vault.releases.count) == (3, 3)


def test_one_access_keeps_one_notice(clinic: Clinic) -> None:
    """Given a request that was answered. When it is sent again, and another one is. Then there are two notices."""
    consent = clinic.grant()
    first, second = clinic.ask(consent), clinic.ask(consent, notice=b"second notice")
    for asked in (first, first, second):
        clinic.desk.release(asked)
    kept = clinic.vault.notices.of_subject(clinic.patient)
    assert [(each.access, each.sealed) for each in kept] == [(first.access, NOTICE), (second.access, b"second notice")]
    assert clinic.vault.notices.of_subject(clinic.patient, after=1) == kept[1:]
    assert clinic.vault.notices.of_subject(clinic.custodian) == ()


def test_request_that_is_repeated_adds_nothing_to_the_lists(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a request that was answered. When it is sent again and again. Then it is answered, and no list grows.

    Another access under the same grant is listed; so is a repeat of what is no longer remembered.
    """
    consent = clinic.grant()
    asked = clinic.ask(consent)
    opened = [clinic.opened(clinic.desk.release(asked), consent) for _ in range(3)]
    assert opened == [[b"note-1", b"note-2", b"note-3"]] * 3
    assert (clinic.vault.releases.count, clinic.vault.notices.count) == (3, 1)
    clinic.desk.release(clinic.ask(consent, clinic.records[0]))
    assert (clinic.vault.releases.count, clinic.vault.notices.count) == (4, 2)
    monkeypatch.setattr("vervain.vault.releases.REPEATS_MAX", 1)
    clinic.own_clock += 60
    clinic.desk.release(replace(asked, among=(clinic.records[2],)))
    clinic.desk.release(replace(asked, among=(clinic.records[1],)))
    clinic.desk.release(replace(asked, among=(clinic.records[2],)))
    assert clinic.vault.releases.count == 6


def test_wraps_handed_to_a_patient_again_add_nothing_until_the_key_is_another(clinic: Clinic) -> None:
    """Given a patient who fetched its keys. When it fetches them again, and with a new key. Then that is listed."""
    documents = clinic.vault.of_subject(clinic.patient)
    for kem, epoch in ((KemKey(b"p" * 32), 0), (KemKey(b"p" * 32), 0), (KemKey(b"q" * 32), 1)):
        assert len(clinic.vault.hand_to_patient(documents, recipient=kem.public_key, epoch=epoch, now=FOUNDED_AT)) == 3
    copies = clinic.vault.releases.copies_of([documents[0].commitment])
    assert clinic.vault.releases.count == 6 and len({copy.recipient for copy in copies}) == len(copies) == 2


def test_reader_that_asks_too_often_is_told_when_to_come_back(clinic: Clinic) -> None:
    """Given a reader that has asked as often as it may in a minute. When it asks once more, at once and later.

    Then it is told after how many seconds, nothing is written down, and after those it is answered.
    """
    asked = clinic.ask(clinic.grant())
    for _ in range(REQUESTS_MAX):
        clinic.desk.release(asked)
    written = clinic.vault.releases.count, clinic.vault.notices.count
    with pytest.raises(AskedTooOften, match="too often") as refused:
        clinic.desk.release(clinic.ask(asked.request.grant, notice=b"another"))
    assert refused.value.retry_seconds == 60 / REQUESTS_MAX
    assert (clinic.vault.releases.count, clinic.vault.notices.count) == written
    clinic.own_clock += refused.value.retry_seconds
    assert len(clinic.desk.release(asked).wraps) == 3


def test_nobody_else_uses_up_a_reader_s_requests(clinic: Clinic) -> None:
    """Given a reader's request, as anybody can see it on the ledger, and another reader of the same patient.

    When others send it without its notice or its record set, or signed anew, and the other reader asks without end.
    Then the reader is answered as often as ever.
    """
    other = SigningKey(b"o" * 32)
    asked = clinic.ask(clinic.grant())
    busy = clinic.ask(clinic.grant(reader_key=other.public_key), reader=other)
    signed = asked.request.terms(clinic.ward.chain).signed_bytes()
    stolen = (
        replace(asked, notice=b"guessed"),
        replace(asked, record_set=RecordSet(records=asked.record_set.records, salt=b"g" * 32)),
        replace(asked, request=replace(asked.request, signature=other.sign(signed))),
        replace(asked, access=busy.access),
    )
    for each in stolen * REQUESTS_MAX:
        with pytest.raises((NotReleased, SealBroken)):
            clinic.desk.release(each)
    for _ in range(REQUESTS_MAX):
        clinic.desk.release(busy)
    with pytest.raises(AskedTooOften):
        clinic.desk.release(busy)
    for _ in range(REQUESTS_MAX):
        assert len(clinic.desk.release(asked).wraps) == 3
    assert clinic.bounds.remembered == 2


def test_what_does_not_fit_is_said_and_can_be_asked_for(clinic: Clinic) -> None:
    """Given a request for three notes. When two fit. Then the third is named, and given when asked for alone."""
    consent = clinic.grant()
    asked = clinic.ask(consent)
    sizes = [clinic.vault.ciphertext_bytes(clinic.vault.of_record(each).document) for each in clinic.records]
    assert sizes == [len(clinic.vault.ciphertext(clinic.vault.of_record(each).document)) for each in clinic.records]
    for bounds in ({"documents_max": 2}, {"bytes_max": sizes[0] + sizes[1]}):
        release = clinic.desk.release(asked, **bounds)
        assert [each.record for each in release.wraps] == clinic.records[:2]
        assert release.left_out == (clinic.records[2],)
    written = clinic.vault.releases.count
    rest = clinic.desk.release(replace(asked, among=(clinic.records[2],)))
    assert [each.record for each in rest.wraps] == [clinic.records[2]]
    assert (written, clinic.vault.releases.count) == (2, 3)
    with pytest.raises(TooLargeToRelease):
        clinic.desk.release(asked, bytes_max=sizes[0] - 1)


def test_no_record_outside_the_signed_set_can_be_asked_for(clinic: Clinic) -> None:
    """Given a request for note 1. When note 2, which the grant covers too, is named beside it. Then nothing."""
    asked = clinic.ask(clinic.grant(), clinic.records[0])
    with pytest.raises(NotReleased):
        clinic.desk.release(replace(asked, among=tuple(clinic.records[:2])))
    assert clinic.vault.releases.count == 0


def test_notices_outlive_an_erasure_and_are_in_a_backup(clinic: Clinic, tmp_path: Path) -> None:
    """Given a patient who was read about. When everything of hers is erased. Then she can still fetch the notice.

    A copy of the vault has it too.
    """
    clinic.desk.release(clinic.ask(clinic.grant()))
    clinic.vault.erase_subject(clinic.patient, key=SigningKey.generate(), now=FOUNDED_AT)
    clinic.vault.back_up(tmp_path / "backup")
    for notices in (clinic.vault.notices, NoticeLog(tmp_path / "backup" / "notices")):
        assert [each.sealed for each in notices.of_subject(clinic.patient)] == [NOTICE]


def test_patients_own_wraps_are_written_down_and_open(clinic: Clinic) -> None:
    """Given the patient's key of an epoch. When the vault hands over her notes.

    Then she opens them, and it is listed.
    """
    patient = KemKey(b"p" * 32)
    documents = clinic.vault.of_subject(clinic.patient)
    wraps = clinic.vault.hand_to_patient(documents, recipient=patient.public_key, epoch=4, now=FOUNDED_AT)
    context = WrapContext(
        purpose="own",
        commitment=documents[0].commitment,
        recipient=patient.public_key,
        chain=clinic.ward.chain,
        scope=clinic.patient,
        epoch=4,
    )
    assert len(unwrap(wraps[0].wrap, patient, context).dek) == 32
    copies = clinic.vault.releases.copies_of([each.commitment for each in documents])
    assert [copy.scope for copy in copies] == [clinic.patient] * 3
