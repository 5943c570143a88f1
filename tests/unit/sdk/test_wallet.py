# SPDX-License-Identifier: Apache-2.0
"""The wallet over the real rules of the ledger: enrol, grant, withdraw, deny, rotate, keep and send records."""

from base64 import b64encode
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.receipt_builder import LogBuilder
from tests.small_chain import FOUNDED_AT, HOSPITAL, INSURER, SmallChain
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.outcome import Outcome
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.modules.consent import queries as consent
from vervain.ledger.modules.consent.messages import ConsentReason, Purpose
from vervain.ledger.modules.identity.messages import RotationReason
from vervain.ledger.primitives.errors import ProofError
from vervain.sdk.parcels import Parcel, seal_parcel
from vervain.sdk.wallet import HandedRecord, PreparedGrant, Wallet
from vervain.sdk.wallet_errors import WalletError
from vervain.sealing.commitments import Opening
from vervain.sealing.documents import SealedDocument, seal_document
from vervain.sealing.errors import SealBroken
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.notices import Notice, seal_notice
from vervain.sealing.readers import ReaderClaim, claim_reader, require_reader
from vervain.sealing.signing import SignedTransaction
from vervain.sealing.trust import Trust, read_trust
from vervain.sealing.wraps import WrapContext, wrap, wrap_all

CLINIC = SigningKey(b"c" * 32)  # the reader's organisation
READER, READER_KEM = SigningKey(b"r" * 32), KemKey(b"k" * 32)
NOTE = b'{"resourceType":"Observation","id":"o-1","note":"something private"}'


class Care:
    """A patient's wallet registered at the hospital of a small chain."""

    def __init__(self) -> None:
        self.chain = SmallChain()
        self.wallet = Wallet.create(self.chain.name)
        self.actor = self.wallet.join(HOSPITAL.id).actor
        assert self.chain.submit(HOSPITAL, self.wallet.registration(HOSPITAL.id)).is_applied

    def run(self, signed: SignedTransaction) -> Outcome:
        """Run what the wallet signed as the ledger does."""
        self.chain.height, self.chain.time = self.chain.height + 1, self.chain.time + 1
        transaction = Transaction(signed.encoded, CATALOGUE.message_decoder)
        transaction.require_signature()
        outcome = self.chain._execute(transaction)
        assert self.chain.breaches() == []
        return outcome

    def claim(self, grantor: bytes | None = None) -> ReaderClaim:
        """Claim the reader keys for the patient."""
        return claim_reader(
            CLINIC,
            organisation=CLINIC.actor,
            reader=READER.public_key,
            reader_kem=READER_KEM.public_key,
            grantor=self.actor if grantor is None else grantor,
            chain=self.chain.name,
        )

    def prepare(self, *categories: str) -> PreparedGrant:
        """Prepare a grant for treatment."""
        return self.wallet.grant(
            HOSPITAL.id,
            self.claim(),
            organisation_key=CLINIC.public_key,
            purposes=[Purpose.TREAT],
            valid_from=FOUNDED_AT,
            valid_until=FOUNDED_AT + 86_400,
            categories=categories,
        )

    def grant(self, *categories: str) -> bytes:
        """Give the grant; return its id on the ledger."""
        prepared = self.prepare(*categories)
        signed = self.wallet.sign(HOSPITAL.id, [prepared.message], now=self.chain.time)
        assert self.run(signed).is_applied
        return self.wallet.granted(prepared, txid=signed.txid).consent

    def decide(self, grant: bytes, *categories: bytes) -> bool:
        """Ask the ledger whether the reader may read."""
        decision = consent.decide(
            self.chain.store, grant=grant, purpose=Purpose.TREAT, categories=categories, time=self.chain.time
        )
        return decision.permit

    def keep(self) -> tuple[SealedDocument, bytes]:
        """Let the custodian seal a note and wrap its key for the wallet; return both."""
        sealed = seal_document(NOTE, resource_type="Observation", resource_id="o-1", version="1")
        keys = self.wallet.keys(HOSPITAL.id)
        context = WrapContext(
            purpose="own",
            commitment=sealed.commitment,
            recipient=keys.kem.public_key,
            chain=self.chain.name,
            scope=self.actor,
            epoch=keys.epoch,
        )
        wrapped = wrap(sealed.key, context)
        self.wallet.keep_record(
            HOSPITAL.id,
            record=1,
            commitment=sealed.commitment,
            wrapped=wrapped,
            resource_type="Observation",
            resource_id="o-1",
            version="1",
        )
        return sealed, wrapped

    def handed(self, *numbers: int) -> list[HandedRecord]:
        """Return records as the custodian hands them over on one page."""
        keys = self.wallet.keys(HOSPITAL.id)
        sealed = [seal_document(NOTE, resource_type="Observation", resource_id=f"o-{n}", version="1") for n in numbers]
        contexts = [
            WrapContext(
                purpose="own",
                commitment=each.commitment,
                recipient=keys.kem.public_key,
                chain=self.chain.name,
                scope=self.actor,
                epoch=keys.epoch,
            )
            for each in sealed
        ]
        wraps = wrap_all([each.key for each in sealed], contexts)
        return [
            HandedRecord(
                counterparty=HOSPITAL.id,
                record=number,
                commitment=each.commitment,
                wrap=wrapped,
                type="Observation",
                id=f"o-{number}",
                version="1",
            )
            for number, each, wrapped in zip(numbers, sealed, wraps, strict=True)
        ]


@pytest.fixture
def care() -> Care:
    """A registered patient."""
    return Care()


def test_two_organisations_hold_unrelated_ids(care: Care) -> None:
    """Given relationships with two organisations. When their ids and keys are compared. Then nothing is shared."""
    other = care.wallet.join(INSURER.id)
    here, there = care.wallet.keys(HOSPITAL.id), care.wallet.keys(INSURER.id)
    assert other.actor != care.actor and here.signing.public_key != there.signing.public_key
    assert here.kem.public_key != there.kem.public_key
    assert care.wallet.category_secret(HOSPITAL.id) != care.wallet.category_secret(INSURER.id)
    assert care.wallet.join(HOSPITAL.id).actor == care.actor and len(care.wallet.relationships) == 2


def test_unknown_organisation_is_refused(care: Care) -> None:
    """Given no relationship with an organisation. When its keys are asked for. Then refused in plain words."""
    with pytest.raises(WalletError, match="no relationship"):
        care.wallet.keys(b"?" * 32)


def test_grant_permits_on_the_ledger_and_opens_in_the_wallet(care: Care) -> None:
    """Given a grant signed by the wallet. When the ledger decides.

    Then it permits; the wallet proves who the reader is.
    """
    given = care.grant()
    assert care.decide(given)
    (kept,) = care.wallet.grants
    stored = consent.consent(care.chain.store, given).terms
    assert hasattr(stored, "reader_commitment")
    claim = require_reader(
        stored.reader_commitment, kept.opening, organisation_key=CLINIC.public_key, chain=care.chain.name
    )
    assert (claim.organisation, claim.reader, claim.reader_kem) == (
        CLINIC.actor,
        READER.public_key,
        READER_KEM.public_key,
    )
    assert (kept.consent, kept.ended) == (given, False)


def test_grant_refused_for_a_reader_that_is_not_who_it_says(care: Care) -> None:
    """Given a claim for another patient, or signed by another organisation. When granted. Then the wallet refuses."""
    for claim, key in ((care.claim(b"o" * 32), CLINIC.public_key), (care.claim(), SigningKey(b"x" * 32).public_key)):
        with pytest.raises(SealBroken):
            care.wallet.grant(
                HOSPITAL.id,
                claim,
                organisation_key=key,
                purposes=[Purpose.TREAT],
                valid_from=FOUNDED_AT,
                valid_until=FOUNDED_AT + 1,
            )
    assert care.wallet.grants == ()


def test_withdrawal_ends_the_grant(care: Care) -> None:
    """Given a grant. When withdrawn. Then the ledger permits no more, and the wallet knows."""
    given = care.grant()
    assert care.run(care.wallet.sign(HOSPITAL.id, [care.wallet.withdraw(given)], now=care.chain.time)).is_applied
    care.wallet.withdrawn(given)
    assert not care.decide(given) and care.wallet.grants[0].ended


def test_denied_category_matches_the_grants(care: Care) -> None:
    """Given a grant for two categories. When one is denied later.

    Then the ledger joins the commitments: it is refused.
    """
    given = care.grant("HIV", "PSY")
    hiv, psy = (care.wallet._committed(HOSPITAL.id, [code])[0] for code in ("HIV", "PSY"))
    assert care.decide(given, hiv) and care.decide(given, psy)
    denial = care.wallet.deny(HOSPITAL.id, valid_from=FOUNDED_AT, valid_until=FOUNDED_AT + 9_999, category="HIV")
    assert care.run(care.wallet.sign(HOSPITAL.id, [denial], now=care.chain.time)).is_applied
    assert not care.decide(given, hiv) and care.decide(given, psy)


def test_replaced_grant_is_ended_in_the_wallet_too(care: Care) -> None:
    """Given a grant. When a narrower one names it as previous. Then the first has no effect, and the wallet knows."""
    first = care.grant()
    other = SigningKey(b"R" * 32)
    claim = claim_reader(
        CLINIC,
        organisation=CLINIC.actor,
        reader=other.public_key,
        reader_kem=READER_KEM.public_key,
        grantor=care.actor,
        chain=care.chain.name,
    )
    prepared = care.wallet.grant(
        HOSPITAL.id,
        claim,
        organisation_key=CLINIC.public_key,
        purposes=[Purpose.TREAT],
        valid_from=FOUNDED_AT,
        valid_until=FOUNDED_AT + 100,
        previous=first,
    )
    signed = care.wallet.sign(HOSPITAL.id, [prepared.message], now=care.chain.time)
    assert care.run(signed).is_applied
    second = care.wallet.granted(prepared, txid=signed.txid)
    assert [grant.ended for grant in care.wallet.grants] == [True, False]
    assert not care.decide(first) and care.decide(second.consent)


def test_rotation_moves_keys_and_records(care: Care) -> None:
    """Given a kept record. When the key is rotated.

    Then the old key counts no more, the new one signs, the record opens.
    """
    sealed, _ = care.keep()
    old = care.wallet.sign(HOSPITAL.id, [care.prepare().message], now=care.chain.time)
    rotation = care.wallet.rotation(HOSPITAL.id, RotationReason.ROUTINE)
    assert care.run(care.wallet.sign(HOSPITAL.id, [rotation], now=care.chain.time)).is_applied
    care.wallet.rotated(HOSPITAL.id)
    assert not care.run(old).is_applied
    assert care.wallet.relationship(HOSPITAL.id).actor == care.actor and care.decide(care.grant())
    (own,) = care.wallet.records
    assert own.epoch == 1 and care.wallet.open_record(own, sealed.ciphertext) == NOTE


def test_new_master_after_a_theft_shares_no_key_with_the_old(care: Care, tmp_path: Path) -> None:
    """Given a stolen copy of the wallet. When the master is renewed and the relationship rotated.

    Then the thief's keys sign nothing any more and open no new wrap, while the owner's records still open.
    """
    sealed, _ = care.keep()
    care.wallet.save(tmp_path / "stolen")
    thief = Wallet.load(tmp_path / "stolen", chain=care.chain.name)
    care.wallet.renew_master()
    rotation = care.wallet.rotation(HOSPITAL.id, RotationReason.SUSPECTED_COMPROMISE)
    assert care.run(care.wallet.sign(HOSPITAL.id, [rotation], now=care.chain.time)).is_applied
    care.wallet.rotated(HOSPITAL.id)
    denial = thief.deny(HOSPITAL.id, valid_from=FOUNDED_AT, valid_until=FOUNDED_AT + 9)
    assert not care.run(thief.sign(HOSPITAL.id, [denial], now=care.chain.time)).is_applied
    thief.rotated(HOSPITAL.id)
    assert thief.keys(HOSPITAL.id).kem.public_key != care.wallet.keys(HOSPITAL.id).kem.public_key
    told = thief.category_secret(HOSPITAL.id)  # denials of before and after must name categories alike
    assert care.wallet.category_secret(HOSPITAL.id) == told
    assert care.wallet.open_record(care.wallet.records[0], sealed.ciphertext) == NOTE


def test_wrap_made_for_another_context_is_not_kept(care: Care) -> None:
    """Given a wrap for another record. When kept as this one's. Then refused."""
    _, wrapped = care.keep()
    with pytest.raises(SealBroken):
        care.wallet.keep_record(
            HOSPITAL.id,
            record=2,
            commitment=b"o" * 32,
            wrapped=wrapped,
            resource_type="Observation",
            resource_id="o-2",
            version="1",
        )


def test_notice_of_a_read_opens_in_the_wallet(care: Care) -> None:
    """Given a notice sealed to the relationship's key. When opened.

    Then it says who read; another grant's does not open.
    """
    notice = Notice(
        organisation=CLINIC.actor,
        reader=READER.public_key,
        custodian=HOSPITAL.id,
        records=(1,),
        purpose="TREAT",
        requested_at=FOUNDED_AT,
    )
    recipient = care.wallet.keys(HOSPITAL.id).kem.public_key
    sealed = seal_notice(notice, recipient=recipient, chain=care.chain.name, grant=b"g" * 32)
    assert care.wallet.read_notice(HOSPITAL.id, sealed, grant=b"g" * 32) == notice
    with pytest.raises(SealBroken):
        care.wallet.read_notice(HOSPITAL.id, sealed, grant=b"h" * 32)


# Sending


def logged(sealed: SealedDocument, *, code: int = 0) -> tuple[bytes, Trust]:
    """Return a receipt for the commitment of a sealed document, and the trust to verify it."""
    log = LogBuilder()
    entry = log.transact(
        {"type": "records.commit", "commitment": b64encode(sealed.commitment).decode(), "subject": "x"}, code=code
    )
    log.end_block()
    return log.entry_receipt(entry), read_trust(log.trust_bytes())


def test_record_is_sent_to_another_wallet(care: Care) -> None:
    """Given an own record and its receipt. When sent to another wallet. Then that verifies all of it and keeps it."""
    sealed, _ = care.keep()
    receipt, trust = logged(sealed)
    friend = Wallet.create(care.chain.name)
    friend.join(INSURER.id)
    parcel = care.wallet.send_record(
        care.wallet.records[0],
        ciphertext=sealed.ciphertext,
        receipt=receipt,
        recipient=friend.keys(INSURER.id).kem.public_key,
    )
    assert NOTE not in parcel and sealed.key.salt not in parcel
    verified = friend.receive(INSURER.id, parcel, trust, now=FOUNDED_AT)
    (received,) = friend.received
    assert received.document == NOTE and received.opening.salt == sealed.key.salt and verified.applied
    friend.join(HOSPITAL.id)
    with pytest.raises(SealBroken):  # sealed to the key of one relationship, it opens with no other
        friend.receive(HOSPITAL.id, parcel, trust, now=FOUNDED_AT)


@pytest.mark.parametrize("attack", ["other bytes", "other salt", "other id", "other receipt", "refused entry"])
def test_parcel_refused_when_anything_in_it_is_another(care: Care, attack: str) -> None:
    """Given a parcel with other bytes, opening or receipt, or a refused entry's. When received.

    Then refused, not kept.
    """
    sealed, _ = care.keep()
    receipt, trust = logged(sealed, code=501 if attack == "refused entry" else 0)
    opening = Opening(type="Observation", id="o-1", version="1", salt=sealed.key.salt)
    parcel = Parcel(document=NOTE, opening=opening, receipt=receipt)
    if attack == "other bytes":
        parcel = replace(parcel, document=NOTE + b" ")
    elif attack == "other salt":
        parcel = replace(parcel, opening=replace(opening, salt=b"s" * 32))
    elif attack == "other id":
        parcel = replace(parcel, opening=replace(opening, id="o-2"))
    elif attack == "other receipt":
        other = seal_document(NOTE, resource_type="Observation", resource_id="o-1", version="1")
        parcel = replace(parcel, receipt=logged(other)[0])
    recipient = care.wallet.keys(HOSPITAL.id).kem.public_key
    with pytest.raises(ProofError):
        care.wallet.receive(HOSPITAL.id, seal_parcel(parcel, recipient), trust, now=0)
    assert care.wallet.received == ()


def test_too_late_grant_is_refused_by_the_ledger(care: Care) -> None:
    """Given a grant whose period is over. When signed and run. Then the ledger says so: the wallet adds no rules."""
    care.chain.time += 86_401
    outcome = care.run(care.wallet.sign(HOSPITAL.id, [care.prepare().message], now=care.chain.time))
    assert CATALOGUE.reasons[outcome.code] is ConsentReason.PERIOD_OVER


def test_records_handed_over_together_are_kept_and_open(care: Care) -> None:
    """Given a page of records. When kept, and one handed over again. Then each stands once, in order, and opens."""
    page = care.handed(1, 2, 3)
    kept = care.wallet.keep_records(page)
    assert care.wallet.keep_records(page[:1]) == kept[:1]
    assert care.wallet.records == (*kept[1:], kept[0])
    assert [(each.record, each.commitment, each.wrap) for each in kept] == [
        (each.record, each.commitment, each.wrap) for each in page
    ]
    assert [care.wallet.opening(each).id for each in kept] == ["o-1", "o-2", "o-3"]


def test_records_are_kept_all_or_none(care: Care) -> None:
    """Given a page of records, the last wrap made for another. When kept. Then refused, and nothing of it is kept."""
    page = care.handed(1, 2, 3)
    swapped = replace(page[2], wrap=page[1].wrap)
    with pytest.raises(SealBroken):
        care.wallet.keep_records([*page[:2], swapped])
    assert care.wallet.records == ()
