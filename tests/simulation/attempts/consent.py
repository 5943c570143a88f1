# SPDX-License-Identifier: Apache-2.0
"""What patients, their custodians, readers and members try with the consent module."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tests.simulation.generator import DAY, Aims, Draft, Generator
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.consent import queries
from vervain.ledger.modules.consent.messages import (
    AnchorAccesses,
    DenyAccess,
    GrantConsent,
    Purpose,
    ReadTerms,
    RequestRead,
    WithdrawConsent,
)
from vervain.ledger.modules.consent.messages import ConsentReason as Reason
from vervain.ledger.modules.consent.state import ANCHORS, CONSENTS, Consent, ConsentStatus, Denial, Grant
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity.messages import ActorStatus, Custody
from vervain.ledger.modules.identity.state import ACTORS, Actor

AIMS: Final = Aims()


# Forms


def categories_of(patient: bytes) -> tuple[bytes, ...]:
    """Return the category commitments of one relationship, sorted."""
    return tuple(sorted(sha256(patient + code).digest() for code in (b"PSY", b"SUD", b"HIV")))


def grant_form(g: Generator, patient: bytes) -> GrantConsent:
    """Return a grant that should be applied."""
    reader = g.keyring.fresh()
    count = g.chance.randint(1, 3)
    some = g.chance.sample(categories_of(patient), g.chance.choice((0, 0, 1, 2)))
    return GrantConsent(
        reader_key=reader.key,
        reader_kem_key=reader.kem_key,
        reader_commitment=g.digest(),
        purposes=tuple(sorted(g.chance.sample(list(Purpose), count))),
        categories=tuple(sorted(some)),
        valid_from=g.now - g.chance.choice((0, 0, DAY, -600)),
        valid_until=g.soon() + 700,
    )


def denial_form(g: Generator, patient: bytes) -> DenyAccess:
    """Return a denial of everything or of a category."""
    category: bytes | UnsetType = UNSET
    if g.chance.random() < 0.7:
        category = g.chance.choice(categories_of(patient))
    return DenyAccess(
        valid_from=g.now - g.chance.choice((0, 0, -600)),
        valid_until=g.soon() + 700,
        category=category,
    )


def _given(g: Generator, patient: bytes | None, form: Callable[[bytes], GrantConsent | DenyAccess]) -> Draft | None:
    """Return a consent signed by the patient, or by the institution that keeps the patient's key."""
    if patient is None:
        return None
    actor = g.row(ACTORS, patient)
    if actor.custody is Custody.INSTITUTION and g.chance.random() < 0.7:
        return g.signer(g.acting_for(actor.organisation), replace(form(patient), grantor=patient))
    return g.signer(patient, form(patient))


def _speaking_for(g: Generator, patient: bytes, message: Message) -> Draft | None:
    """Return a message signed by who speaks for a patient."""
    actor = g.row(ACTORS, patient)
    return g.signer(actor.organisation if actor.custody is Custody.INSTITUTION else patient, message)


def _consent(g: Generator, among: list[bytes], *statuses: ConsentStatus) -> bytes | None:
    return g.pick(among, lambda each: not statuses or g.row(CONSENTS, each).status in statuses)


def _can_speak(g: Generator, patient: bytes) -> bool:
    actor = g.row(ACTORS, patient)
    return actor.status is ActorStatus.ACTIVE and (actor.custody is Custody.SELF or g.is_member(actor.organisation))


def _live(g: Generator, among: list[bytes]) -> bytes | None:
    """Return an active consent whose grantor can speak."""

    def fits(each: bytes) -> bool:
        consent = g.row(CONSENTS, each)
        return consent.status is ConsentStatus.ACTIVE and _can_speak(g, consent.grantor)

    return g.pick(among, fits)


def request_form(g: Generator, named: bytes, consent: Consent, **changes: object) -> RequestRead:
    """Return a read request of a grant's reader, with what is changed signed too."""
    assert isinstance(consent.terms, Grant)
    terms = ReadTerms(
        chain=g.chain,
        grant=named,
        custodian=consent.custodian,
        record_set=g.digest(),
        purpose=consent.terms.purposes[0],
        categories=consent.terms.categories,
        notice_digest=g.digest(),
        nonce=g.chance.randbytes(16),
        expires_at=g.now + g.chance.choice((60, 300, 800)),
    )
    terms = replace(terms, **changes)
    request = RequestRead(
        grant=terms.grant,
        custodian=terms.custodian,
        record_set=terms.record_set,
        purpose=terms.purpose,
        categories=terms.categories,
        notice_digest=terms.notice_digest,
        nonce=terms.nonce,
        expires_at=terms.expires_at,
        signature=g.keyring.by_key[consent.terms.reader_key].sign(terms.signed_bytes()),
    )
    g.known.asked[request.record_set] = request
    return request


def _asked(g: Generator, named: bytes | None, **changes: object) -> Draft | None:
    """Return a read request brought by the custodian or another member."""
    if named is None:
        return None
    consent = g.row(CONSENTS, named)
    submitter = consent.custodian if g.is_member(consent.custodian) and g.chance.random() < 0.6 else g.member()
    if submitter is None:
        return None
    return g.signer(g.acting_for(submitter), request_form(g, named, consent, **changes))


def _permitted(g: Generator, fits: Callable[[Grant], bool] = lambda _: True) -> bytes | None:
    """Return a grant that permits now and whose terms fit."""

    def permits(each: bytes) -> bool:
        terms = g.row(CONSENTS, each).terms
        if not isinstance(terms, Grant) or not fits(terms):
            return False
        decision = queries.decide(
            g.store, grant=each, purpose=terms.purposes[0], categories=terms.categories, time=g.now
        )
        return decision.permit

    return g.pick(g.known.grants, permits)


# What should be applied


@AIMS.at(APPLIED, 8)
def grant(g: Generator) -> Draft | None:
    """Grant."""
    return _given(g, g.patient(), lambda patient: grant_form(g, patient))


@AIMS.at(APPLIED, 2)
def replace_grant(g: Generator) -> Draft | None:
    """Replace a grant by a newer one."""
    previous = _live(g, g.known.grants)
    if previous is None:
        return None
    return _given(
        g, g.row(CONSENTS, previous).grantor, lambda patient: replace(grant_form(g, patient), previous=previous)
    )


@AIMS.at(APPLIED, 2)
def deny(g: Generator) -> Draft | None:
    """Deny everything or a category."""
    granted = _live(g, g.known.grants) if g.chance.random() < 0.7 else None
    patient = g.patient() if granted is None else g.row(CONSENTS, granted).grantor
    return _given(g, patient, lambda patient: denial_form(g, patient))


@AIMS.at(APPLIED, 2)
def deny_grant(g: Generator) -> Draft | None:
    """Deny one grant."""
    denied = _live(g, g.known.grants)
    if denied is None:
        return None
    return _given(
        g,
        g.row(CONSENTS, denied).grantor,
        lambda patient: replace(denial_form(g, patient), grant=denied, category=UNSET),
    )


@AIMS.at(APPLIED, 2)
def replace_denial(g: Generator) -> Draft | None:
    """Replace a denial by one of the same or another scope."""
    previous = _live(g, g.known.denials)
    if previous is None:
        return None
    return _given(
        g, g.row(CONSENTS, previous).grantor, lambda patient: replace(denial_form(g, patient), previous=previous)
    )


@AIMS.at(APPLIED, 4)
def withdraw(g: Generator) -> Draft | None:
    """Withdraw a grant or a denial."""
    consent = _live(g, [*g.known.grants, *g.known.denials])
    if consent is None:
        return None
    return _speaking_for(g, g.row(CONSENTS, consent).grantor, WithdrawConsent(consent=consent))


@AIMS.at(APPLIED, 7)
def request_read(g: Generator) -> Draft | None:
    """Ask to read what a grant permits."""
    return _asked(g, _permitted(g))


@AIMS.at(APPLIED, 2)
def anchor_accesses(g: Generator) -> Draft | None:
    """Anchor the next batch of the local access audit."""
    custodian = g.member()
    return None if custodian is None else g.signer(g.acting_for(custodian), _anchor(g, custodian))


def _anchor(g: Generator, custodian: bytes) -> AnchorAccesses:
    newest = ANCHORS.get(g.store, custodian)
    first, count = 1 if newest is None else newest.last + 1, g.chance.randint(1, 50)
    return AnchorAccesses(root=g.digest(), count=count, first=first, last=first + count - 1)


# What should be refused


@AIMS.at(Reason.NO_SUCH_CONSENT)
def use_no_consent(g: Generator) -> Draft | None:
    """Withdraw, replace or read by a consent that there is not."""
    patient, grant, nothing = g.patient(), g.pick(g.known.grants), g.digest()
    if grant is not None and g.chance.random() < 0.3:
        return _asked(g, grant, grant=nothing)
    if g.chance.random() < 0.5 and patient is not None:
        return g.signer(patient, WithdrawConsent(consent=nothing))
    return _given(g, patient, lambda patient: replace(grant_form(g, patient), previous=nothing))


@AIMS.at(Reason.NO_SUCH_GRANTOR)
def grant_for_nobody(g: Generator) -> Draft | None:
    """Grant or deny for a patient that there is not."""
    signer, nobody = g.member(), g.digest()
    forms = (replace(grant_form(g, nobody), grantor=nobody), replace(denial_form(g, nobody), grantor=nobody))
    return None if signer is None else g.signer(signer, g.chance.choice(forms))


@AIMS.at(Reason.NOT_A_PATIENT)
def grant_as_staff(g: Generator) -> Draft | None:
    """Grant as staff, or for staff."""
    staff, signer = g.active(g.known.staff), g.member()
    if staff is None or signer is None:
        return None
    form = grant_form(g, staff)
    return g.chance.choice((g.signer(staff, form), g.signer(signer, replace(form, grantor=staff))))


@AIMS.at(Reason.NOT_THE_GRANTOR)
def speak_for_somebody_else(g: Generator) -> Draft | None:
    """Grant for, withdraw from, or build on the consent of a patient for whom the signer does not speak."""
    patient, consent = g.patient(_keeps_own_key), g.pick(g.known.grants)
    if patient is None:
        return None
    if consent is not None and g.row(CONSENTS, consent).grantor != patient and g.chance.random() < 0.6:
        forms = (
            WithdrawConsent(consent=consent),
            replace(grant_form(g, patient), previous=consent),
            replace(denial_form(g, patient), grant=consent, category=UNSET),
        )
        return g.signer(patient, g.chance.choice(forms))
    return g.signer(g.row(ACTORS, patient).organisation, replace(grant_form(g, patient), grantor=patient))


def _keeps_own_key(actor: Actor) -> bool:
    return actor.custody is Custody.SELF


@AIMS.at(Reason.WEAK_READER_KEY)
def grant_to_a_weak_key(g: Generator) -> Draft | None:
    """Grant to a reader whose keys are not sound."""
    is_kem = g.chance.random() < 0.5
    return _given(
        g,
        g.patient(),
        lambda patient: (
            replace(grant_form(g, patient), reader_kem_key=bytes(32))
            if is_kem
            else replace(grant_form(g, patient), reader_key=g.weak_key())
        ),
    )


@AIMS.at(Reason.READER_KEY_USED)
def grant_to_a_used_key(g: Generator) -> Draft | None:
    """Grant to another grant's reader key."""
    other = g.pick(g.known.grants)
    if other is None:
        return None
    terms = g.row(CONSENTS, other).terms
    assert isinstance(terms, Grant)
    return _given(g, g.patient(), lambda patient: replace(grant_form(g, patient), reader_key=terms.reader_key))


@AIMS.at(Reason.NOT_SORTED)
def leave_a_list_unsorted(g: Generator) -> Draft | None:
    """Repeat a purpose or a category, or name categories out of order."""
    grant = _permitted(g)
    if grant is not None and g.chance.random() < 0.4:
        return _asked(g, grant, categories=(g.digest(),) * 2)
    changes: tuple[dict[str, object], ...] = (
        {"purposes": (Purpose.TREAT, Purpose.HPAYMT)},
        {"categories": (bytes(32), bytes(32))},
    )
    change = g.chance.choice(changes)
    return _given(g, g.patient(), lambda patient: replace(grant_form(g, patient), **change))


@AIMS.at(Reason.EMPTY_PERIOD)
def consent_for_no_time(g: Generator) -> Draft | None:
    """Grant or deny for a period that ends before it begins."""
    return _in_period(g, g.now + 600, g.now + 600)


@AIMS.at(Reason.PERIOD_OVER)
def consent_for_the_past(g: Generator) -> Draft | None:
    """Grant or deny for a period that is over."""
    return _in_period(g, g.now - 600, g.now - 1)


@AIMS.at(Reason.PERIOD_TOO_LONG)
def consent_for_too_long(g: Generator) -> Draft | None:
    """Grant or deny for longer than the consortium allows."""
    longest = consortium.parameter(g.store, "consent_period_seconds_max")
    return _in_period(g, g.now, g.now + longest + 1)


def _in_period(g: Generator, valid_from: int, valid_until: int) -> Draft | None:
    form = g.chance.choice((grant_form, denial_form))
    return _given(
        g, g.patient(), lambda patient: replace(form(g, patient), valid_from=valid_from, valid_until=valid_until)
    )


@AIMS.at(Reason.TWO_SCOPES)
def deny_two_scopes(g: Generator) -> Draft | None:
    """Deny a grant and a category in one."""
    denied = _live(g, g.known.grants)
    if denied is None:
        return None
    return _given(
        g,
        g.row(CONSENTS, denied).grantor,
        lambda patient: replace(denial_form(g, patient), grant=denied, category=categories_of(patient)[0]),
    )


@AIMS.at(Reason.OTHER_KIND, 2)
def mistake_a_denial_for_a_grant(g: Generator) -> Draft | None:
    """Read by a denial, deny a denial, or replace one kind by the other."""
    denial, grant = _live(g, g.known.denials), g.pick(g.known.grants)
    if denial is None:
        return None
    if grant is not None and g.chance.random() < 0.3:
        return _asked(g, grant, grant=denial)
    changes: tuple[dict[str, bytes | UnsetType], ...] = ({"grant": denial, "category": UNSET}, {"previous": denial})
    change = g.chance.choice(changes)
    form = grant_form if "previous" in change else denial_form
    return _given(g, g.row(CONSENTS, denial).grantor, lambda patient: replace(form(g, patient), **change))


@AIMS.at(Reason.ALREADY_WITHDRAWN)
def withdraw_again(g: Generator) -> Draft | None:
    """Withdraw or replace a withdrawn consent."""
    return _act_on_an_ended(g, ConsentStatus.WITHDRAWN)


@AIMS.at(Reason.ALREADY_REPLACED)
def replace_again(g: Generator) -> Draft | None:
    """Withdraw or replace a replaced consent."""
    return _act_on_an_ended(g, ConsentStatus.REPLACED)


def _act_on_an_ended(g: Generator, status: ConsentStatus) -> Draft | None:
    ended = _consent(g, [*g.known.grants, *g.known.denials], status)
    if ended is None:
        return None
    consent = g.row(CONSENTS, ended)
    if g.chance.random() < 0.5:
        return _speaking_for(g, consent.grantor, WithdrawConsent(consent=ended))
    form = denial_form if isinstance(consent.terms, Denial) else grant_form
    return _given(g, consent.grantor, lambda patient: replace(form(g, patient), previous=ended))


@AIMS.at(Reason.ALREADY_DENIED)
def deny_again(g: Generator) -> Draft | None:
    """Deny a scope whose denial is not over."""
    denial = _live(g, g.known.denials)
    if denial is None:
        return None
    terms = g.row(CONSENTS, denial).terms
    assert isinstance(terms, Denial)
    return _given(
        g,
        g.row(CONSENTS, denial).grantor,
        lambda patient: replace(denial_form(g, patient), grant=terms.grant, category=terms.category),
    )


@AIMS.at(Reason.NOT_A_MEMBER)
def ask_to_read_as_a_patient(g: Generator) -> Draft | None:
    """Bring a read request, or anchor accesses, as a patient."""
    patient, grant = g.patient(), _permitted(g)
    if patient is None:
        return None
    if grant is None or g.chance.random() < 0.5:
        return g.signer(patient, _anchor(g, g.row(ACTORS, patient).organisation))
    return g.signer(patient, request_form(g, grant, g.row(CONSENTS, grant)))


@AIMS.at(Reason.WRONG_CUSTODIAN, 1.5)
def ask_the_wrong_custodian(g: Generator) -> Draft | None:
    """Name another custodian than the grant's."""
    return _asked(g, _permitted(g), custodian=g.digest())


@AIMS.at(Reason.EXPIRED_REQUEST)
def ask_too_late(g: Generator) -> Draft | None:
    """Bring a request that has expired."""
    return _asked(g, _permitted(g), expires_at=g.now - 1)


@AIMS.at(Reason.REQUEST_EXPIRES_TOO_LATE)
def ask_too_far_ahead(g: Generator) -> Draft | None:
    """Bring a request that expires too far ahead."""
    return _asked(g, _permitted(g), expires_at=g.now + 40 * DAY)


@AIMS.at(Reason.BAD_READER_SIGNATURE)
def ask_without_the_readers_signature(g: Generator) -> Draft | None:
    """Bring a request that was altered after its reader signed it, or was signed for another chain."""
    grant, member = _permitted(g), g.member()
    if grant is None or member is None:
        return None
    request = request_form(g, grant, g.row(CONSENTS, grant))
    if g.chance.random() < 0.4:
        return _asked(g, grant, chain="another-chain")
    return g.signer(member, replace(request, record_set=g.digest()))


@AIMS.at(Reason.ALREADY_REQUESTED, 2)
def ask_twice(g: Generator) -> Draft | None:
    """Bring a request that is on the ledger."""
    request, member = g.pick(g.known.requests, lambda each: each.expires_at >= g.now), g.member()
    return None if request is None or member is None else g.signer(member, request)


@AIMS.at(Reason.WITHDRAWN)
def read_by_a_withdrawn_grant(g: Generator) -> Draft | None:
    """Read by a withdrawn grant."""
    return _asked(g, _consent(g, g.known.grants, ConsentStatus.WITHDRAWN))


@AIMS.at(Reason.REPLACED, 1.5)
def read_by_a_replaced_grant(g: Generator) -> Draft | None:
    """Read by a replaced grant."""
    return _asked(g, _consent(g, g.known.grants, ConsentStatus.REPLACED))


@AIMS.at(Reason.NOT_IN_FORCE, 2)
def read_outside_the_period(g: Generator) -> Draft | None:
    """Read before or after a grant's period."""

    def fits(each: bytes) -> bool:
        consent = g.row(CONSENTS, each)
        is_over = not consent.valid_from <= g.now + 30 < consent.valid_until
        return consent.status is ConsentStatus.ACTIVE and is_over

    return _asked(g, g.pick(g.known.grants, fits))


@AIMS.at(Reason.PURPOSE_NOT_GRANTED, 2)
def read_for_another_purpose(g: Generator) -> Draft | None:
    """Read for a purpose that the grant does not name."""
    grant = _permitted(g)
    if grant is None:
        return None
    terms = g.row(CONSENTS, grant).terms
    assert isinstance(terms, Grant)
    other = g.pick([each for each in Purpose if each not in terms.purposes])
    return None if other is None else _asked(g, grant, purpose=other)


@AIMS.at(Reason.CATEGORY_NOT_GRANTED, 1.5)
def read_another_category(g: Generator) -> Draft | None:
    """Read a category that the grant does not name."""
    return _asked(g, _permitted(g, lambda terms: bool(terms.categories)), categories=(g.digest(),))


@AIMS.at(Reason.CATEGORY_NOT_NAMED, 2)
def read_without_naming_categories(g: Generator) -> Draft | None:
    """Read without naming the categories where they must be named."""
    return _asked(g, _permitted(g, lambda terms: bool(terms.categories)), categories=())


@AIMS.at(Reason.DENIED, 3)
def read_against_a_denial(g: Generator) -> Draft | None:
    """Read by a grant of a patient who has denied."""

    denial = g.pick(g.known.denials, lambda each: g.row(CONSENTS, each).status is ConsentStatus.ACTIVE)
    if denial is None:
        return None
    grantor = g.row(CONSENTS, denial).grantor

    def fits(each: bytes) -> bool:
        terms = g.row(CONSENTS, each).terms
        assert isinstance(terms, Grant)
        decision = queries.decide(
            g.store, grant=each, purpose=terms.purposes[0], categories=terms.categories, time=g.now
        )
        return decision.reason is Reason.DENIED

    own = [each for each in g.known.grants if g.row(CONSENTS, each).grantor == grantor]
    return _asked(g, g.pick(own, fits))


@AIMS.at(Reason.WRONG_COUNT)
def anchor_a_wrong_count(g: Generator) -> Draft | None:
    """Anchor with a count that does not belong to the numbers."""
    custodian = g.member()
    if custodian is None:
        return None
    anchor = _anchor(g, custodian)
    return g.signer(custodian, replace(anchor, count=anchor.count + 1))


@AIMS.at(Reason.ANCHOR_GAP)
def anchor_with_a_gap(g: Generator) -> Draft | None:
    """Anchor a batch that does not follow the newest one."""
    custodian = g.member()
    if custodian is None:
        return None
    anchor = _anchor(g, custodian)
    return g.signer(custodian, replace(anchor, first=anchor.first + 5, last=anchor.last + 5))


@AIMS.at(Reason.GRANTOR_CLOSED, 2)
def grant_for_a_closed_patient(g: Generator) -> Draft | None:
    """Grant for a patient in custody who is closed."""

    def fits(each: bytes) -> bool:
        actor = g.row(ACTORS, each)
        return actor.status is ActorStatus.CLOSED and actor.custody is Custody.INSTITUTION

    patient = g.pick(g.known.patients, fits)
    if patient is None:
        return None
    form = g.chance.choice((grant_form, denial_form))(g, patient)
    return g.signer(g.row(ACTORS, patient).organisation, replace(form, grantor=patient))
