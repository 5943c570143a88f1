# SPDX-License-Identifier: Apache-2.0
"""What organisations, staff, patients and regulators try with the identity module."""

from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tests.simulation.generator import DAY, Aims, Draft, Generator
from tests.simulation.parties import Party
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.consortium.messages import Role
from vervain.ledger.modules.identity.messages import (
    LICENCE_SECONDS_MAX,
    ActorKind,
    ActorStatus,
    CloseActor,
    Custody,
    IssueLicence,
    LicenceReason,
    LicenceStatus,
    Register,
    ReinstateLicence,
    RotateKey,
    RotationReason,
    SuspendLicence,
    WithdrawKey,
    WithdrawLicence,
    registration_bytes,
    rotation_bytes,
)
from vervain.ledger.modules.identity.messages import IdentityReason as Reason
from vervain.ledger.modules.identity.state import ACTORS, HELD_LICENCES, KEYS, LICENCES, Actor

AIMS: Final = Aims()
WEAK_KEM_KEY: Final = bytes(32)


def registration(
    g: Generator, sponsor: bytes, new: Party, kind: ActorKind, custody: Custody | UnsetType = UNSET
) -> Register:
    """Return a registration that the new key has signed."""
    signed = registration_bytes(
        chain=g.chain, sponsor=sponsor, kind=kind, key=new.key, kem_key=new.kem_key, custody=custody
    )
    return Register(kind=kind, key=new.key, kem_key=new.kem_key, proof=new.sign(signed), custody=custody)


def rotation(
    g: Generator, rotated: bytes, new: Party, *, names: bytes | UnsetType = UNSET, custody: Custody | UnsetType = UNSET
) -> RotateKey:
    """Return a rotation of `rotated` that the new key has signed."""
    reason = g.chance.choice(list(RotationReason))
    signed = rotation_bytes(
        chain=g.chain, actor=rotated, new_key=new.key, new_kem_key=new.kem_key, reason=reason, custody=custody
    )
    return RotateKey(
        new_key=new.key,
        new_kem_key=new.kem_key,
        proof=new.sign(signed),
        reason=reason,
        actor=names,
        custody=custody,
    )


def _in_custody(actor: Actor) -> bool:
    return actor.custody is Custody.INSTITUTION


def _holds_own_key(actor: Actor) -> bool:
    return actor.custody is not Custody.INSTITUTION


def _anybody(g: Generator) -> bytes | None:
    return g.active([*g.known.organisations, *g.known.staff, *g.known.patients])


def _stranger(g: Generator, to: bytes) -> bytes | None:
    """Return an active actor that is neither `to` nor of its organisation."""
    organisation = g.row(ACTORS, to).organisation
    return g.active(
        [*g.known.organisations, *g.known.staff, *g.known.patients], lambda actor: actor.organisation != organisation
    )


# What should be applied


@AIMS.at(APPLIED, 4)
def register_staff(g: Generator) -> Draft | None:
    """Register staff."""
    sponsor = g.member()
    if sponsor is None:
        return None
    return g.signer(g.acting_for(sponsor), registration(g, sponsor, g.keyring.fresh(), ActorKind.STAFF))


@AIMS.at(APPLIED, 5)
def register_patient(g: Generator) -> Draft | None:
    """Register a patient who keeps the key, or lets the hospital keep it."""
    sponsor = g.member()
    if sponsor is None:
        return None
    custody = g.chance.choice(list(Custody))
    return g.signer(g.acting_for(sponsor), registration(g, sponsor, g.keyring.fresh(), ActorKind.PATIENT, custody))


@AIMS.at(APPLIED, 4)
def register_organisation(g: Generator) -> Draft | None:
    """Register the keys of an admitted organisation."""
    new = g.pick(g.known.members, lambda each: each not in g.known.organisations and g.is_member(each))
    sponsor = g.member()
    if new is None or sponsor is None:
        return None
    return g.signer(sponsor, registration(g, sponsor, g.keyring.by_id[new], ActorKind.ORGANISATION))


@AIMS.at(APPLIED, 3)
def rotate_own_key(g: Generator) -> Draft | None:
    """Rotate the signer's own key."""
    actor = _anybody(g)
    return None if actor is None else g.signer(actor, rotation(g, actor, g.keyring.fresh()))


@AIMS.at(APPLIED, 2)
def rotate_key_in_custody(g: Generator) -> Draft | None:
    """Rotate a patient's key as its custodian, which may unlock it; or hand it to the patient."""
    patient = g.pick(g.known.patients, lambda each: _in_custody(g.row(ACTORS, each)))
    if patient is None:
        return None
    custody = g.chance.choice((Custody.SELF, UNSET))
    signer = g.acting_for(g.row(ACTORS, patient).organisation)
    return g.signer(signer, rotation(g, patient, g.keyring.fresh(), names=patient, custody=custody))


@AIMS.at(APPLIED, 1.5)
def withdraw_key(g: Generator) -> Draft | None:
    """Withdraw a person's key, by the person or the employer or the custodian, with or without a time of compromise."""
    person = g.active([*g.known.staff, *g.known.patients])
    if person is None:
        return None
    actor = g.row(ACTORS, person)
    is_own = actor.custody is Custody.SELF or g.chance.random() < 0.4
    since = g.chance.choice((UNSET, g.now - 1_000))
    return g.signer(person if is_own else actor.organisation, WithdrawKey(key=actor.key, compromised_since=since))


@AIMS.at(APPLIED, 1)
def note_compromise_of_an_old_key(g: Generator) -> Draft | None:
    """Note since when an old key was compromised."""
    key = g.pick(g.known.old_keys)
    if key is None:
        return None
    return g.signer(g.row(KEYS, key).actor, WithdrawKey(key=key, compromised_since=g.now - g.chance.randrange(10_000)))


@AIMS.at(APPLIED, 1.5)
def close_actor(g: Generator) -> Draft | None:
    """End a person's actor, by the person, the employer or the custodian."""
    person = g.active([*g.known.staff, *g.known.patients])
    if person is None:
        return None
    if _holds_own_key(g.row(ACTORS, person)) and g.chance.random() < 0.5:
        return g.signer(person, CloseActor())
    return g.signer(g.row(ACTORS, person).organisation, CloseActor(actor=person))


@AIMS.at(APPLIED, 7)
def issue_licence(g: Generator) -> Draft | None:
    """License staff."""
    holder = g.active(g.known.staff)
    return None if holder is None else _licensed(g, _licence(g, holder))


def _licence(g: Generator, holder: bytes) -> IssueLicence:
    return IssueLicence(
        holder=holder,
        profession=g.chance.choice(("physician", "isco-08:2212")),
        valid_from=g.now - g.chance.choice((0, DAY)),
        valid_until=g.soon() + 1,
        register_digest=g.chance.choice((UNSET, g.digest())),
    )


def _licensed(g: Generator, *licences: IssueLicence) -> Draft | None:
    regulator = g.member(Role.REGULATOR)
    return None if regulator is None else g.signer(g.acting_for(regulator), *licences)


def _change_licence(g: Generator, *statuses: LicenceStatus) -> bytes | None:
    return g.pick(g.known.licences, lambda each: g.row(LICENCES, each).status in statuses)


@AIMS.at(APPLIED, 5)
def suspend_licence(g: Generator) -> Draft | None:
    """Suspend a valid licence."""
    licence = _change_licence(g, LicenceStatus.VALID)
    if licence is None:
        return None
    message = SuspendLicence(licence=licence, reason=g.chance.choice(list(LicenceReason)))
    return g.signer(g.acting_for(g.row(LICENCES, licence).issuer), message)


@AIMS.at(APPLIED, 4)
def reinstate_licence(g: Generator) -> Draft | None:
    """Reinstate a suspended licence."""
    licence = _change_licence(g, LicenceStatus.SUSPENDED)
    if licence is None:
        return None
    return g.signer(g.acting_for(g.row(LICENCES, licence).issuer), ReinstateLicence(licence=licence))


@AIMS.at(APPLIED, 2)
def withdraw_licence(g: Generator) -> Draft | None:
    """Withdraw a licence."""
    licence = _change_licence(g, LicenceStatus.VALID, LicenceStatus.SUSPENDED)
    if licence is None:
        return None
    message = WithdrawLicence(licence=licence, reason=g.chance.choice(list(LicenceReason)))
    return g.signer(g.row(LICENCES, licence).issuer, message)


# What should be refused


@AIMS.at(Reason.NOT_A_MEMBER)
def register_as_a_patient(g: Generator) -> Draft | None:
    """Register staff as a patient."""
    patient = g.patient()
    if patient is None:
        return None
    sponsor = g.row(ACTORS, patient).organisation
    return g.signer(patient, registration(g, sponsor, g.keyring.fresh(), ActorKind.STAFF))


@AIMS.at(Reason.WEAK_KEY)
def use_a_weak_key(g: Generator) -> Draft | None:
    """Register or rotate to a key that is no sound public key."""
    sponsor = g.member()
    if sponsor is None:
        return None
    entry = registration(g, sponsor, g.keyring.fresh(), ActorKind.STAFF)
    change = rotation(g, sponsor, g.keyring.fresh())
    return g.signer(sponsor, g.chance.choice((replace(entry, key=g.weak_key()), replace(change, new_key=g.weak_key()))))


@AIMS.at(Reason.WEAK_KEM_KEY)
def use_a_weak_kem_key(g: Generator) -> Draft | None:
    """Register or rotate to a key agreement key of low order."""
    sponsor = g.member()
    if sponsor is None:
        return None
    entry = replace(registration(g, sponsor, g.keyring.fresh(), ActorKind.STAFF), kem_key=WEAK_KEM_KEY)
    return g.signer(
        sponsor,
        g.chance.choice((entry, replace(rotation(g, sponsor, g.keyring.fresh()), new_kem_key=WEAK_KEM_KEY))),
    )


@AIMS.at(Reason.KEY_USED_BEFORE)
def use_a_key_again(g: Generator) -> Draft | None:
    """Register or rotate to a key that is or was somebody's."""
    sponsor, key = g.member(), g.pick(g.known.old_keys)
    if sponsor is None:
        return None
    used = g.keyring.by_key[g.row(ACTORS, sponsor).key if key is None else key]
    asked = (registration(g, sponsor, used, ActorKind.STAFF), rotation(g, sponsor, used))
    return g.signer(sponsor, g.chance.choice(asked))


@AIMS.at(Reason.BAD_PROOF)
def register_for_another_sponsor(g: Generator) -> Draft | None:
    """Bring a registration or rotation that was signed for somebody else."""
    sponsor = g.member()
    if sponsor is None:
        return None
    other = g.digest()
    asked = (registration(g, other, g.keyring.fresh(), ActorKind.STAFF), rotation(g, other, g.keyring.fresh()))
    return g.signer(sponsor, g.chance.choice(asked))


@AIMS.at(Reason.CUSTODY_NOT_FIT)
def name_custody_wrongly(g: Generator) -> Draft | None:
    """Name custody of staff, none of a patient, or rotate staff into custody."""
    sponsor, staff = g.member(), g.active(g.known.staff)
    if sponsor is None:
        return None
    if staff is not None and g.chance.random() < 0.4:
        return g.signer(staff, rotation(g, staff, g.keyring.fresh(), custody=Custody.SELF))
    kind, custody = g.chance.choice(((ActorKind.STAFF, Custody.SELF), (ActorKind.PATIENT, UNSET)))
    return g.signer(sponsor, registration(g, sponsor, g.keyring.fresh(), kind, custody))


@AIMS.at(Reason.NOT_ADMITTED)
def register_an_organisation_that_was_not_admitted(g: Generator) -> Draft | None:
    """Register the keys of an organisation that the consortium does not know."""
    sponsor = g.member()
    if sponsor is None:
        return None
    return g.signer(sponsor, registration(g, sponsor, g.keyring.fresh(), ActorKind.ORGANISATION))


@AIMS.at(Reason.NO_SUCH_ACTOR)
def change_nobody(g: Generator) -> Draft | None:
    """Rotate, close or license an actor that there is not."""
    signer, nobody = g.member(), g.digest()
    if signer is None:
        return None
    if g.chance.random() < 0.4:
        return _licensed(g, _licence(g, nobody))
    asked = (CloseActor(actor=nobody), rotation(g, nobody, g.keyring.fresh(), names=nobody))
    return g.signer(signer, g.chance.choice(asked))


@AIMS.at(Reason.NOT_YOUR_ACTOR)
def change_somebody_else(g: Generator) -> Draft | None:
    """Rotate, withdraw or close an actor of another organisation."""
    actor = _anybody(g)
    stranger = None if actor is None else _stranger(g, actor)
    if actor is None or stranger is None:
        return None
    asked = (
        rotation(g, actor, g.keyring.fresh(), names=actor),
        WithdrawKey(key=g.row(ACTORS, actor).key),
        CloseActor(actor=actor),
    )
    return g.signer(stranger, g.chance.choice(asked))


@AIMS.at(Reason.ACTOR_CLOSED)
def change_a_closed_actor(g: Generator) -> Draft | None:
    """Close staff again, or rotate the key of a patient in custody that is closed."""
    closed = g.pick(
        [*g.known.staff, *g.known.patients],
        lambda each: (
            g.row(ACTORS, each).status is ActorStatus.CLOSED and g.row(ACTORS, each).custody is not Custody.SELF
        ),
    )
    if closed is None:
        return None
    actor = g.row(ACTORS, closed)
    rotated = rotation(g, closed, g.keyring.fresh(), names=closed)
    return g.signer(actor.organisation, rotated if _in_custody(actor) else CloseActor(actor=closed))


@AIMS.at(Reason.NO_SUCH_KEY)
def withdraw_an_unknown_key(g: Generator) -> Draft | None:
    """Withdraw a key that was never registered."""
    signer = _anybody(g)
    return None if signer is None else g.signer(signer, WithdrawKey(key=g.digest()))


@AIMS.at(Reason.KEY_ALREADY_WITHDRAWN)
def withdraw_a_key_again(g: Generator) -> Draft | None:
    """Withdraw an old key."""
    key = g.pick(g.known.old_keys)
    return None if key is None else g.signer(g.row(KEYS, key).actor, WithdrawKey(key=key))


@AIMS.at(Reason.COMPROMISED_IN_FUTURE)
def note_a_compromise_ahead(g: Generator) -> Draft | None:
    """Name a time of compromise that lies ahead."""
    signer = _anybody(g)
    if signer is None:
        return None
    return g.signer(signer, WithdrawKey(key=g.row(ACTORS, signer).key, compromised_since=g.now + 40 * DAY))


@AIMS.at(Reason.ORGANISATION_NEEDS_KEY)
def leave_an_organisation_without_key(g: Generator) -> Draft | None:
    """Withdraw an organisation's key, or close it."""
    organisation = g.member()
    if organisation is None:
        return None
    asked = (CloseActor(), WithdrawKey(key=g.row(ACTORS, organisation).key))
    return g.signer(organisation, g.chance.choice(asked))


@AIMS.at(Reason.NOT_IN_CUSTODY)
def adopt_an_own_key(g: Generator) -> Draft | None:
    """Adopt a key that the patient keeps already."""
    patient = g.patient(_holds_own_key)
    if patient is None:
        return None
    return g.signer(patient, rotation(g, patient, g.keyring.fresh(), custody=Custody.SELF))


@AIMS.at(Reason.NOT_A_REGULATOR)
def license_without_being_a_regulator(g: Generator) -> Draft | None:
    """License staff as a hospital or as a patient."""
    holder, signer = g.active(g.known.staff), g.patient() or g.member(Role.HOSPITAL)
    return None if holder is None or signer is None else g.signer(signer, _licence(g, holder))


@AIMS.at(Reason.HOLDER_NOT_STAFF)
def license_a_patient(g: Generator) -> Draft | None:
    """License a patient, or staff that is closed."""
    holder = g.pick(g.known.staff, lambda each: g.row(ACTORS, each).status is ActorStatus.CLOSED) or g.patient()
    return None if holder is None else _licensed(g, _licence(g, holder))


@AIMS.at(Reason.EMPTY_PERIOD)
def license_for_no_time(g: Generator) -> Draft | None:
    """License for a period that ends before it begins."""
    holder = g.active(g.known.staff)
    return None if holder is None else _licensed(g, replace(_licence(g, holder), valid_from=g.now + 40 * DAY))


@AIMS.at(Reason.PERIOD_OVER)
def license_for_the_past(g: Generator) -> Draft | None:
    """License for a period that is over."""
    holder = g.active(g.known.staff)
    if holder is None:
        return None
    return _licensed(g, replace(_licence(g, holder), valid_from=g.now - 2 * DAY, valid_until=g.now - DAY))


@AIMS.at(Reason.PERIOD_TOO_LONG)
def license_for_too_long(g: Generator) -> Draft | None:
    """License for more than twenty years."""
    holder = g.active(g.known.staff)
    if holder is None:
        return None
    return _licensed(g, replace(_licence(g, holder), valid_from=g.now, valid_until=g.now + LICENCE_SECONDS_MAX + 1))


@AIMS.at(Reason.TOO_MANY_LICENCES, 1.5)
def license_once_too_often(g: Generator) -> Draft | None:
    """License the same staff several times."""
    most = g.pick(g.known.staff, lambda each: any(HELD_LICENCES.rows(g.store, each))) or g.active(g.known.staff)
    return None if most is None else _licensed(g, *[_licence(g, most)] * 4)


@AIMS.at(Reason.NO_SUCH_LICENCE)
def change_no_licence(g: Generator) -> Draft | None:
    """Suspend, reinstate or withdraw a licence that there is not."""
    regulator, licence = g.member(Role.REGULATOR), g.digest()
    if regulator is None:
        return None
    asked = (
        SuspendLicence(licence=licence, reason=LicenceReason.ENDED),
        ReinstateLicence(licence=licence),
        WithdrawLicence(licence=licence, reason=LicenceReason.ENDED),
    )
    return g.signer(regulator, g.chance.choice(asked))


@AIMS.at(Reason.NOT_THE_ISSUER)
def change_another_issuers_licence(g: Generator) -> Draft | None:
    """Withdraw a licence as somebody who did not issue it."""
    licence = g.pick(g.known.licences)
    stranger = None if licence is None else _stranger(g, g.row(LICENCES, licence).issuer)
    if licence is None or stranger is None:
        return None
    return g.signer(stranger, WithdrawLicence(licence=licence, reason=LicenceReason.ENDED))


@AIMS.at(Reason.LICENCE_NOT_VALID)
def suspend_a_licence_that_is_not_valid(g: Generator) -> Draft | None:
    """Suspend a licence that is suspended or withdrawn."""
    licence = _change_licence(g, LicenceStatus.SUSPENDED, LicenceStatus.WITHDRAWN)
    if licence is None:
        return None
    return g.signer(g.row(LICENCES, licence).issuer, SuspendLicence(licence=licence, reason=LicenceReason.ENDED))


@AIMS.at(Reason.LICENCE_NOT_SUSPENDED)
def reinstate_a_licence_that_is_not_suspended(g: Generator) -> Draft | None:
    """Reinstate a licence that is valid or withdrawn."""
    licence = _change_licence(g, LicenceStatus.VALID, LicenceStatus.WITHDRAWN)
    return None if licence is None else g.signer(g.row(LICENCES, licence).issuer, ReinstateLicence(licence=licence))


@AIMS.at(Reason.LICENCE_WITHDRAWN, 2)
def withdraw_a_licence_again(g: Generator) -> Draft | None:
    """Withdraw a withdrawn licence."""
    licence = _change_licence(g, LicenceStatus.WITHDRAWN)
    if licence is None:
        return None
    return g.signer(g.row(LICENCES, licence).issuer, WithdrawLicence(licence=licence, reason=LicenceReason.ENDED))


@AIMS.at(Reason.TOO_MANY_CHANGES, 2.5)
def change_a_licence_once_too_often(g: Generator) -> Draft | None:
    """Suspend and reinstate a licence over and over."""
    licence = _change_licence(g, LicenceStatus.VALID)
    if licence is None:
        return None
    again = (SuspendLicence(licence=licence, reason=LicenceReason.ENDED), ReinstateLicence(licence=licence))
    return g.signer(g.row(LICENCES, licence).issuer, *again * 2)
