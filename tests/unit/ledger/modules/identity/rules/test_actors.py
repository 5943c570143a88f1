# SPDX-License-Identifier: Apache-2.0
"""Actors and keys: what each message writes and announces, and every refusal."""

import pytest
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tests.small_chain import HOSPITAL, INSURER, REGULATOR, Party, SmallChain, admission, digest
from vervain.ledger.machine.refusals import MachineReason
from vervain.ledger.modules.consortium.messages import Leave, Propose, SuspendMember
from vervain.ledger.modules.identity.messages import (
    ActorClosed,
    ActorKind,
    ActorRegistered,
    ActorStatus,
    CloseActor,
    Custody,
    IdentityReason,
    KeyRotated,
    KeyWithdrawn,
    Register,
    RotateKey,
    RotationReason,
    WithdrawKey,
)
from vervain.ledger.modules.identity.state import ACTORS, KEYS, Actor, Key
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import sha256
from vervain.ledger.primitives.key_agreement import LOW_ORDER

DOCTOR, NURSE = Party("doctor"), Party("nurse")
SHE, HE = Party("she"), Party("he")  # she keeps her own key; the hospital keeps his
NEW = Party("new key")
MAKER = Party("maker")


@pytest.fixture
def ward(chain: SmallChain) -> SmallChain:
    """The chain with a doctor and a nurse of the hospital and two of its patients."""
    chain.submit(
        HOSPITAL,
        chain.registration(DOCTOR),
        chain.registration(NURSE),
        chain.registration(SHE, ActorKind.PATIENT, custody=Custody.SELF),
        chain.registration(HE, ActorKind.PATIENT, custody=Custody.INSTITUTION),
    )
    return chain


def actor_of(chain: SmallChain, actor_id: bytes) -> Actor:
    """Return an actor's row."""
    row = chain.row(ACTORS, actor_id)
    assert row is not None
    return row


def key_of(chain: SmallChain, party: Party) -> Key:
    """Return the row of a party's signing key."""
    row = chain.row(KEYS, party.key)
    assert row is not None
    return row


# Registering


def test_register_staff_writes_actor_and_key(chain: SmallChain) -> None:
    """
    Given a hospital.
    When it registers a doctor.
    Then actor and key belong to the hospital, it is announced, and the doctor's key writes for the hospital.
    """
    outcome = chain.submit(HOSPITAL, chain.registration(DOCTOR))
    now = chain.time
    assert chain.row(ACTORS, DOCTOR.id) == Actor(
        kind=ActorKind.STAFF,
        organisation=HOSPITAL.id,
        key=DOCTOR.key,
        kem_key=DOCTOR.kem_key,
        epoch=0,
        registered_at=now,
        status=ActorStatus.ACTIVE,
    )
    assert chain.row(KEYS, DOCTOR.key) == Key(actor=DOCTOR.id, organisation=HOSPITAL.id, epoch=0, active_from=now)
    assert outcome.events == (
        ActorRegistered(
            actor=DOCTOR.id,
            kind=ActorKind.STAFF,
            organisation=HOSPITAL.id,
            key=DOCTOR.key,
            kem_key=DOCTOR.kem_key,
            registered_at=now,
        ),
    )
    assert chain.can_write(DOCTOR)


def test_register_binds_the_actor_id_to_the_first_key() -> None:
    """
    Given a public key.
    When its actor id is computed by hand.
    Then it is SHA-256("vervain/actor/v1\\n" || key).
    """
    assert DOCTOR.id == sha256(b"vervain/actor/v1\n" + DOCTOR.key)


@pytest.mark.parametrize(("custody", "independent"), [(Custody.SELF, True), (Custody.INSTITUTION, False)])
def test_register_patient_notes_who_keeps_the_key(chain: SmallChain, custody: Custody, independent: bool) -> None:
    """
    Given a doctor of the hospital.
    When the doctor registers a patient, with or without a key of the patient's own.
    Then the patient belongs to the hospital, and only the own key is independent of it.
    """
    chain.submit(HOSPITAL, chain.registration(DOCTOR))
    outcome = chain.submit(DOCTOR, chain.registration(SHE, ActorKind.PATIENT, custody=custody))
    assert outcome.is_applied
    assert (actor_of(chain, SHE.id).custody, actor_of(chain, SHE.id).organisation) == (custody, HOSPITAL.id)
    assert key_of(chain, SHE).is_independent is independent


def test_register_organisation_is_its_own(chain: SmallChain) -> None:
    """
    Given a maker that the consortium has admitted.
    When the insurer registers its keys.
    Then the maker is its own organisation and writes.
    """
    chain.submit(HOSPITAL, Propose(change=admission(MAKER)))
    chain.submit(INSURER, chain.registration(MAKER, ActorKind.ORGANISATION, sponsor=INSURER))
    assert actor_of(chain, MAKER.id).organisation == MAKER.id
    assert chain.can_write(MAKER)


def test_register_refused_when_signer_is_a_patient(ward: SmallChain) -> None:
    """
    Given a patient of the hospital.
    When she registers somebody.
    Then NOT_A_MEMBER.
    """
    assert ward.refusal(SHE, ward.registration(NEW)) == (IdentityReason.NOT_A_MEMBER, 0)


def test_register_refused_when_staff_was_closed_in_the_same_transaction(ward: SmallChain) -> None:
    """
    Given a nurse.
    When one transaction closes the nurse's own actor and then registers somebody.
    Then NOT_A_MEMBER at the second entry, and the nurse is not closed.
    """
    assert ward.refusal(NURSE, CloseActor(), ward.registration(NEW)) == (IdentityReason.NOT_A_MEMBER, 1)
    assert ward.can_write(NURSE)


def test_register_refused_when_member_left_in_the_same_transaction(ward: SmallChain) -> None:
    """
    Given a member.
    When one transaction leaves and then registers somebody.
    Then NOT_A_MEMBER at the second entry.
    """
    registration = ward.registration(NEW, sponsor=INSURER)
    assert ward.refusal(INSURER, Leave(), registration) == (IdentityReason.NOT_A_MEMBER, 1)


WEAK = {"identity": bytes([1]) + bytes(31), "zero": bytes(32), "not_on_the_curve": b"\x02" + bytes(31)}


@pytest.mark.parametrize("key", WEAK.values(), ids=WEAK.keys())
def test_register_refused_when_key_is_weak(chain: SmallChain, key: bytes) -> None:
    """
    Given a public key of small order, or none at all.
    When it is registered.
    Then WEAK_KEY: under such a key one signature fits everything.
    """
    weak = replace(chain.registration(DOCTOR), key=key)
    assert chain.refusal(HOSPITAL, weak) == (IdentityReason.WEAK_KEY, 0)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_register_refused_when_kem_key_is_weak(chain: SmallChain, point: int) -> None:
    """
    Given an X25519 point of low order.
    When it is registered as key agreement key.
    Then WEAK_KEM_KEY: everybody would know every secret sealed to it.
    """
    weak = replace(chain.registration(DOCTOR), kem_key=point.to_bytes(32, "little"))
    assert chain.refusal(HOSPITAL, weak) == (IdentityReason.WEAK_KEM_KEY, 0)


def test_register_refused_when_key_was_used_before(ward: SmallChain) -> None:
    """
    Given a doctor's key that was rotated away, and the nurse's key in use.
    When either is registered anew.
    Then KEY_USED_BEFORE: a key belongs to one actor for ever.
    """
    ward.submit(DOCTOR, ward.rotation(DOCTOR.id, NEW))
    for party in (DOCTOR, NURSE):
        assert ward.refusal(HOSPITAL, ward.registration(party)) == (IdentityReason.KEY_USED_BEFORE, 0)


def test_register_refused_when_proof_is_for_another_sponsor(chain: SmallChain) -> None:
    """
    Given a registration whose key signed for the insurer.
    When the hospital submits it.
    Then BAD_PROOF: a registration seen on its way cannot be taken over.
    """
    taken = chain.registration(DOCTOR, sponsor=INSURER)
    assert chain.refusal(HOSPITAL, taken) == (IdentityReason.BAD_PROOF, 0)


ALTERED = {
    "kem_key": {"kem_key": NURSE.kem_key},
    "kind": {"kind": ActorKind.STAFF, "custody": UNSET},
    "custody": {"custody": Custody.INSTITUTION},
    "proof": {"proof": bytes(64)},
}


@pytest.mark.parametrize("altered", ALTERED.values(), ids=ALTERED.keys())
def test_register_refused_when_it_was_altered(chain: SmallChain, altered: dict[str, object]) -> None:
    """
    Given a patient's registration.
    When any field is changed after the key signed it.
    Then BAD_PROOF.
    """
    registration = chain.registration(SHE, ActorKind.PATIENT, custody=Custody.SELF)
    assert chain.refusal(HOSPITAL, replace(registration, **altered)) == (IdentityReason.BAD_PROOF, 0)


def test_registration_proof_covers_the_agreed_bytes(chain: SmallChain) -> None:
    """
    Given a registration put together by hand from the formats page.
    When the hospital submits it.
    Then it is applied.
    """
    value = {
        "chain": chain.name,
        "custody": "self",
        "kem_key": SHE.kem_key,
        "key": SHE.key,
        "kind": "patient",
        "sponsor": HOSPITAL.id,
    }
    proof = SHE.sign(b"vervain/register/v1\n" + encode(value))
    message = Register(kind=ActorKind.PATIENT, key=SHE.key, kem_key=SHE.kem_key, proof=proof, custody=Custody.SELF)
    assert chain.submit(HOSPITAL, message).is_applied


@pytest.mark.parametrize(
    ("kind", "custody"),
    [(ActorKind.PATIENT, UNSET), (ActorKind.STAFF, Custody.SELF), (ActorKind.ORGANISATION, Custody.INSTITUTION)],
)
def test_register_refused_when_custody_does_not_fit(
    chain: SmallChain, kind: ActorKind, custody: Custody | UnsetType
) -> None:
    """
    Given a patient without custody, or staff or an organisation with it.
    When it is registered.
    Then CUSTODY_NOT_FIT.
    """
    registration = chain.registration(NEW, kind, custody=custody)
    assert chain.refusal(HOSPITAL, registration) == (IdentityReason.CUSTODY_NOT_FIT, 0)


def test_register_refused_when_organisation_is_not_admitted(chain: SmallChain) -> None:
    """
    Given a maker that the consortium has not admitted, or has suspended.
    When the hospital registers it as organisation.
    Then NOT_ADMITTED.
    """
    registration = chain.registration(MAKER, ActorKind.ORGANISATION)
    assert chain.refusal(HOSPITAL, registration) == (IdentityReason.NOT_ADMITTED, 0)
    chain.submit(HOSPITAL, Propose(change=admission(MAKER)))
    chain.submit(HOSPITAL, Propose(change=SuspendMember(organisation=MAKER.id)))
    assert chain.refusal(HOSPITAL, registration) == (IdentityReason.NOT_ADMITTED, 0)


# Rotating


def test_rotate_replaces_the_key(ward: SmallChain) -> None:
    """
    Given a doctor.
    When the doctor rotates to new keys.
    Then actor, old and new key rows say so, it is announced, and only the new key writes, for the same actor.
    """
    outcome = ward.submit(DOCTOR, ward.rotation(DOCTOR.id, NEW, RotationReason.DEVICE_CHANGED))
    now = ward.time
    assert ward.row(ACTORS, DOCTOR.id) == Actor(
        kind=ActorKind.STAFF,
        organisation=HOSPITAL.id,
        key=NEW.key,
        kem_key=NEW.kem_key,
        epoch=1,
        registered_at=now - 1,
    )
    assert key_of(ward, DOCTOR) == Key(
        actor=DOCTOR.id, organisation=HOSPITAL.id, epoch=0, active_from=now - 1, withdrawn_at=now
    )
    assert key_of(ward, NEW) == Key(actor=DOCTOR.id, organisation=HOSPITAL.id, epoch=1, active_from=now)
    assert outcome.events == (
        KeyRotated(
            actor=DOCTOR.id,
            epoch=1,
            old_key=DOCTOR.key,
            new_key=NEW.key,
            new_kem_key=NEW.kem_key,
            reason=RotationReason.DEVICE_CHANGED,
            rotated_at=now,
        ),
    )
    assert not ward.can_write(DOCTOR)
    assert ward.can_write(NEW, actor=DOCTOR.id) and not ward.can_write(NEW)


def test_rotate_by_an_organisation_keeps_its_id(ward: SmallChain) -> None:
    """
    Given a hospital.
    When it rotates, and registers somebody with the new key.
    Then it still acts as the same organisation.
    """
    ward.submit(HOSPITAL, ward.rotation(HOSPITAL.id, NEW))
    registration = ward.registration(Party("midwife"))
    assert ward.submit(NEW, registration, actor=HOSPITAL.id).is_applied
    outcome = ward.submit(HOSPITAL, registration)
    assert outcome.code == MachineReason.KEY_NOT_ACTIVE


@pytest.mark.parametrize("signer", [HOSPITAL, DOCTOR])
def test_rotate_with_custody_hands_the_key_to_the_patient(ward: SmallChain, signer: Party) -> None:
    """
    Given a patient whose key the hospital keeps.
    When the hospital or its doctor signs the rotation to a key that he made, with custody to himself.
    Then he has the key, and the hospital can rotate it no more.
    """
    adoption = ward.rotation(HE.id, NEW, RotationReason.ADOPTED, actor=HE.id, custody=Custody.SELF)
    outcome = ward.submit(signer, adoption)
    assert outcome.events == (
        KeyRotated(
            actor=HE.id,
            epoch=1,
            old_key=HE.key,
            new_key=NEW.key,
            new_kem_key=NEW.kem_key,
            reason=RotationReason.ADOPTED,
            rotated_at=ward.time,
            custody=Custody.SELF,
        ),
    )
    assert actor_of(ward, HE.id).custody is Custody.SELF and key_of(ward, NEW).is_independent
    again = ward.rotation(HE.id, Party("other"), actor=HE.id)
    assert ward.refusal(signer, again) == (IdentityReason.NOT_YOUR_ACTOR, 0)


def test_rotate_unlocks_a_patient_in_custody(ward: SmallChain) -> None:
    """
    Given a patient in custody whose key the hospital withdrew.
    When the hospital rotates it.
    Then the patient is active again, and the old key keeps the time it was withdrawn.
    """
    ward.submit(HOSPITAL, WithdrawKey(key=HE.key))
    withdrawn_at = ward.time
    assert ward.submit(HOSPITAL, ward.rotation(HE.id, NEW, actor=HE.id)).is_applied
    assert actor_of(ward, HE.id).status is ActorStatus.ACTIVE
    assert key_of(ward, HE).withdrawn_at == withdrawn_at


def test_rotate_refused_when_actor_is_not_found(ward: SmallChain) -> None:
    """
    Given nobody under an id.
    When the hospital rotates that actor's key.
    Then NO_SUCH_ACTOR.
    """
    assert ward.refusal(HOSPITAL, ward.rotation(NEW.id, NEW, actor=NEW.id)) == (IdentityReason.NO_SUCH_ACTOR, 0)


@pytest.mark.parametrize(
    ("signer", "rotated"), [(HOSPITAL, DOCTOR), (HOSPITAL, SHE), (INSURER, HE), (SHE, HE), (DOCTOR, NURSE)]
)
def test_rotate_refused_when_it_is_not_your_actor(ward: SmallChain, signer: Party, rotated: Party) -> None:
    """
    Given staff, a patient with her own key, and one in another's custody.
    When the employer, the hospital, another member, another patient or a colleague rotates the key.
    Then NOT_YOUR_ACTOR: nobody takes over an identity.
    """
    message = ward.rotation(rotated.id, NEW, actor=rotated.id)
    assert ward.refusal(signer, message) == (IdentityReason.NOT_YOUR_ACTOR, 0)


def test_rotate_refused_when_actor_is_closed(ward: SmallChain) -> None:
    """
    Given a patient in custody whose actor was closed.
    When the hospital rotates its key.
    Then ACTOR_CLOSED: closed is for good.
    """
    ward.submit(HOSPITAL, CloseActor(actor=HE.id))
    assert ward.refusal(HOSPITAL, ward.rotation(HE.id, NEW, actor=HE.id)) == (IdentityReason.ACTOR_CLOSED, 0)


def test_rotate_refused_when_not_in_custody(ward: SmallChain) -> None:
    """
    Given a patient with her own key.
    When she rotates it with custody to herself.
    Then NOT_IN_CUSTODY.
    """
    message = ward.rotation(SHE.id, NEW, custody=Custody.SELF)
    assert ward.refusal(SHE, message) == (IdentityReason.NOT_IN_CUSTODY, 0)


@pytest.mark.parametrize(("party", "custody"), [(DOCTOR, Custody.SELF), (SHE, Custody.INSTITUTION)])
def test_rotate_refused_when_custody_does_not_fit(ward: SmallChain, party: Party, custody: Custody) -> None:
    """
    Given a doctor, and a patient with her own key.
    When a rotation gives the doctor custody, or the patient's key to an institution.
    Then CUSTODY_NOT_FIT: custody goes one way.
    """
    message = ward.rotation(party.id, NEW, custody=custody)
    assert ward.refusal(party, message) == (IdentityReason.CUSTODY_NOT_FIT, 0)


def test_rotate_refused_when_proof_is_bad(ward: SmallChain) -> None:
    """
    Given a rotation whose new key signed for another actor, and one without custody where custody is named.
    When they are submitted.
    Then BAD_PROOF.
    """
    for_nurse = ward.rotation(NURSE.id, NEW)
    assert ward.refusal(DOCTOR, for_nurse) == (IdentityReason.BAD_PROOF, 0)
    adopted: RotateKey = replace(ward.rotation(HE.id, NEW, actor=HE.id), custody=Custody.SELF)
    assert ward.refusal(HOSPITAL, adopted) == (IdentityReason.BAD_PROOF, 0)


def test_rotate_refused_when_keys_are_weak_or_used(ward: SmallChain) -> None:
    """
    Given a rotation.
    When its new key is weak, its key agreement key is weak, or the key is the nurse's.
    Then WEAK_KEY, WEAK_KEM_KEY, KEY_USED_BEFORE.
    """
    good = ward.rotation(DOCTOR.id, NEW)
    assert ward.refusal(DOCTOR, replace(good, new_key=bytes(32))) == (IdentityReason.WEAK_KEY, 0)
    assert ward.refusal(DOCTOR, replace(good, new_kem_key=bytes(32))) == (IdentityReason.WEAK_KEM_KEY, 0)
    assert ward.refusal(DOCTOR, ward.rotation(DOCTOR.id, NURSE)) == (IdentityReason.KEY_USED_BEFORE, 0)


# Withdrawing a key


@pytest.mark.parametrize(
    ("signer", "withdrawn"), [(DOCTOR, DOCTOR), (HOSPITAL, DOCTOR), (NURSE, DOCTOR), (SHE, SHE), (HOSPITAL, HE)]
)
def test_withdraw_locks_the_actor(ward: SmallChain, signer: Party, withdrawn: Party) -> None:
    """
    Given a doctor and patients.
    When the actor itself, its employer, a colleague for the employer or the custodian withdraws the key.
    Then the key stops, the actor is locked, and it is announced.
    """
    outcome = ward.submit(signer, WithdrawKey(key=withdrawn.key, compromised_since=ward.time))
    expected = KeyWithdrawn(
        actor=withdrawn.id, key=withdrawn.key, withdrawn_at=ward.time, compromised_since=ward.time - 1
    )
    assert outcome.events == (expected,)
    assert actor_of(ward, withdrawn.id).status is ActorStatus.LOCKED
    key = key_of(ward, withdrawn)
    assert (key.withdrawn_at, key.compromised_since) == (ward.time, ward.time - 1)
    assert not ward.can_write(withdrawn)


def test_withdraw_notes_an_earlier_compromise_of_an_old_key(ward: SmallChain) -> None:
    """
    Given a hospital that rotated its key.
    When it notes since when the old key was compromised, and then an earlier time.
    Then both are kept in turn, the old key's end stays, and the hospital goes on.
    """
    ward.submit(HOSPITAL, ward.rotation(HOSPITAL.id, NEW, RotationReason.SUSPECTED_COMPROMISE))
    ended_at = ward.time
    for since in (ended_at - 1, ended_at - 2):
        outcome = ward.submit(NEW, WithdrawKey(key=HOSPITAL.key, compromised_since=since), actor=HOSPITAL.id)
        assert outcome.is_applied
        old = key_of(ward, HOSPITAL)
        assert (old.withdrawn_at, old.compromised_since) == (ended_at, since)
    assert ward.can_write(NEW, actor=HOSPITAL.id)


def test_withdraw_refused_when_key_is_not_found(ward: SmallChain) -> None:
    """
    Given a key that nobody registered.
    When it is withdrawn.
    Then NO_SUCH_KEY.
    """
    assert ward.refusal(HOSPITAL, WithdrawKey(key=NEW.key)) == (IdentityReason.NO_SUCH_KEY, 0)


@pytest.mark.parametrize(("signer", "withdrawn"), [(INSURER, DOCTOR), (HOSPITAL, SHE), (SHE, HE), (DOCTOR, HOSPITAL)])
def test_withdraw_refused_when_it_is_not_your_actor(ward: SmallChain, signer: Party, withdrawn: Party) -> None:
    """
    Given a doctor, patients and the hospital.
    When another member, the hospital of a patient with her own key, another patient or staff withdraws the key.
    Then NOT_YOUR_ACTOR.
    """
    assert ward.refusal(signer, WithdrawKey(key=withdrawn.key)) == (IdentityReason.NOT_YOUR_ACTOR, 0)


def test_withdraw_refused_when_already_withdrawn(ward: SmallChain) -> None:
    """
    Given a key withdrawn as compromised since a time.
    When it is withdrawn again, without a time, with the same or a later one.
    Then KEY_ALREADY_WITHDRAWN.
    """
    since = ward.time
    ward.submit(HOSPITAL, WithdrawKey(key=DOCTOR.key, compromised_since=since))
    for again in (UNSET, since, since + 1):
        message = WithdrawKey(key=DOCTOR.key, compromised_since=again)
        assert ward.refusal(HOSPITAL, message) == (IdentityReason.KEY_ALREADY_WITHDRAWN, 0)


def test_withdraw_refused_when_compromise_lies_ahead(ward: SmallChain) -> None:
    """
    Given a doctor's key.
    When it is withdrawn as compromised from a later second on.
    Then COMPROMISED_IN_FUTURE.
    """
    message = WithdrawKey(key=DOCTOR.key, compromised_since=ward.time + 2)
    assert ward.refusal(HOSPITAL, message) == (IdentityReason.COMPROMISED_IN_FUTURE, 0)


def test_withdraw_refused_when_organisation_needs_its_key(ward: SmallChain) -> None:
    """
    Given a hospital with its one key.
    When it withdraws it.
    Then ORGANISATION_NEEDS_KEY.
    """
    message = WithdrawKey(key=HOSPITAL.key)
    assert ward.refusal(HOSPITAL, message) == (IdentityReason.ORGANISATION_NEEDS_KEY, 0)


# Closing


@pytest.mark.parametrize(
    ("signer", "closed"), [(SHE, SHE), (HOSPITAL, HE), (DOCTOR, HE), (DOCTOR, DOCTOR), (HOSPITAL, DOCTOR)]
)
def test_close_ends_the_actor(ward: SmallChain, signer: Party, closed: Party) -> None:
    """
    Given patients and a doctor.
    When the actor itself, its employer or custodian or their staff closes it.
    Then actor and key have ended, and it is announced.
    """
    named = UNSET if signer is closed else closed.id
    outcome = ward.submit(signer, CloseActor(actor=named))
    assert outcome.events == (ActorClosed(actor=closed.id, closed_at=ward.time),)
    assert actor_of(ward, closed.id).status is ActorStatus.CLOSED
    assert key_of(ward, closed).withdrawn_at == ward.time
    assert not ward.can_write(closed)


def test_close_refused_when_it_does_not_fit(ward: SmallChain) -> None:
    """
    Given nobody under an id, a patient with her own key, a closed doctor, and the hospital itself.
    When the hospital closes each.
    Then NO_SUCH_ACTOR, NOT_YOUR_ACTOR, ACTOR_CLOSED, ORGANISATION_NEEDS_KEY.
    """
    ward.submit(HOSPITAL, CloseActor(actor=DOCTOR.id))
    expected = {
        digest("nobody"): IdentityReason.NO_SUCH_ACTOR,
        SHE.id: IdentityReason.NOT_YOUR_ACTOR,
        DOCTOR.id: IdentityReason.ACTOR_CLOSED,
        HOSPITAL.id: IdentityReason.ORGANISATION_NEEDS_KEY,
    }
    found = {actor: ward.refusal(HOSPITAL, CloseActor(actor=actor))[0] for actor in expected}
    assert found == expected


# Who writes


def test_suspended_member_stops_its_staff_and_custody_and_not_her(ward: SmallChain) -> None:
    """
    Given an insurer with a clerk, a patient in its custody and one with her own key.
    When the insurer is suspended.
    Then only the patient with her own key writes: nobody loses the right to withdraw a consent.
    """
    clerk, kept, own = Party("clerk"), Party("kept"), Party("own")
    ward.submit(
        INSURER,
        ward.registration(clerk, sponsor=INSURER),
        ward.registration(kept, ActorKind.PATIENT, sponsor=INSURER, custody=Custody.INSTITUTION),
        ward.registration(own, ActorKind.PATIENT, sponsor=INSURER, custody=Custody.SELF),
    )
    everybody = (INSURER, clerk, kept, own)
    assert [ward.can_write(party) for party in everybody] == [True, True, True, True]
    ward.submit(HOSPITAL, Propose(change=SuspendMember(organisation=INSURER.id)))
    assert [ward.can_write(party) for party in everybody] == [False, False, False, True]


def test_key_does_not_write_for_another_actor(ward: SmallChain) -> None:
    """
    Given a doctor's key.
    When it signs as the hospital, or as the regulator.
    Then it does not count.
    """
    assert not any(ward.can_write(DOCTOR, actor=each.id) for each in (HOSPITAL, REGULATOR, NURSE))
