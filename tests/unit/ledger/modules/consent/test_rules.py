# SPDX-License-Identifier: Apache-2.0
"""Rules of consent: what each message changes and announces, and one test a refusal reason."""

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.unit.ledger.modules.consent.forms import (
    DAY,
    FROM,
    HIV,
    PSY,
    SUD,
    UNTIL,
    denial_form,
    give,
    grant_form,
    next_consent_id,
    reader,
    request_form,
)
from tests.unit.ledger.modules.ward import (
    DOCTOR,
    FOUNDED_AT,
    HE,
    NORTH,
    NURSE,
    OTHER,
    SHE,
    SOUTH,
    STRANGER,
    Ward,
    digest,
)
from vervain.ledger.modules.consent import queries, state
from vervain.ledger.modules.consent.messages import (
    AccessDenied,
    AccessesAnchored,
    AnchorAccesses,
    ConsentGranted,
    ConsentReason,
    ConsentWithdrawn,
    Decision,
    Purpose,
    ReadRequested,
    WithdrawConsent,
    access_id,
)
from vervain.ledger.modules.consent.state import Access, Anchor, Consent, ConsentStatus, Denial, Grant
from vervain.ledger.modules.consortium.messages import Leave
from vervain.ledger.modules.identity.messages import CloseActor

NOWHERE = digest("no such consent")
ZERO_POINT = bytes(32)  # of small order in both Ed25519 and X25519


@pytest.fixture
def ward() -> Ward:
    """A founded ledger."""
    return Ward()


def grant_row(ward: Ward, **changes: object) -> Consent:
    """Return the row of `grant_form()` given by the patient."""
    form = grant_form()
    terms = Grant(
        reader_key=form.reader_key,
        reader_kem_key=form.reader_kem_key,
        reader_commitment=form.reader_commitment,
        purposes=form.purposes,
    )
    row = Consent(
        grantor=ward.id(SHE),
        custodian=ward.id(NORTH),
        terms=terms,
        valid_from=FROM,
        valid_until=UNTIL,
        given_at=FOUNDED_AT,
    )
    return replace(row, **changes)


def denial_row(ward: Ward, **changes: object) -> Consent:
    """Return the row of `denial_form()` given by the patient."""
    row = Consent(
        grantor=ward.id(SHE),
        custodian=ward.id(NORTH),
        terms=Denial(),
        valid_from=FROM,
        valid_until=UNTIL,
        given_at=FOUNDED_AT,
    )
    return replace(row, **changes)


class TestGrant:
    """consent.grant"""

    def test_grant_is_kept_and_announced(self, ward: Ward) -> None:
        """Given a patient, when she grants, then the row, the reader key's row and the event say so."""
        given = next_consent_id(ward)
        form = grant_form()
        events = ward.run(SHE, form)
        assert events == (
            ConsentGranted(
                consent=given,
                grantor=ward.id(SHE),
                custodian=ward.id(NORTH),
                reader_key=form.reader_key,
                reader_commitment=form.reader_commitment,
                purposes=form.purposes,
                valid_from=FROM,
                valid_until=UNTIL,
            ),
        )
        assert queries.consent(ward.store, given) == grant_row(ward)
        assert state.READER_KEYS.get(ward.store, form.reader_key) == state.ReaderKey(consent=given)
        assert ward.breaches() == []

    def test_each_entry_of_a_batch_has_its_own_id(self, ward: Ward) -> None:
        """Given two grants in one transaction, when it runs, then they have the ids of entries 0 and 1."""
        ids = [next_consent_id(ward, 0), next_consent_id(ward, 1)]
        events = ward.run(SHE, grant_form("first"), grant_form("second"))
        assert [event.consent for event in events if isinstance(event, ConsentGranted)] == ids

    @pytest.mark.parametrize("signer", [NORTH, NURSE])
    def test_custodian_and_its_staff_grant_for_a_patient_in_custody(self, ward: Ward, signer: str) -> None:
        """Given a patient whose key the hospital keeps, when it or its nurse grants, then he is the grantor."""
        given = give(ward, grant_form(grantor=ward.id(HE)), signer)
        assert queries.consent(ward.store, given) == grant_row(ward, grantor=ward.id(HE))

    def test_replacing_ends_the_older_grant(self, ward: Ward) -> None:
        """Given a grant, when a newer one names it, then it is replaced from this block on and they name each other."""
        old = give(ward, grant_form())
        ward.time += 5
        new = give(ward, grant_form("second", previous=old))
        ended = grant_row(ward, status=ConsentStatus.REPLACED, ended_at=ward.time, replaced_by=new)
        assert queries.consent(ward.store, old) == ended
        assert queries.consent(ward.store, new).previous == old
        assert ward.breaches() == []

    def test_refused_when_the_grantor_is_unknown(self, ward: Ward) -> None:
        """Given nobody of that id, when the hospital grants for it, then NO_SUCH_GRANTOR."""
        assert ward.refusal(NORTH, grant_form(grantor=NOWHERE)) == ConsentReason.NO_SUCH_GRANTOR

    @pytest.mark.parametrize("signer", [NORTH, NURSE])
    def test_refused_when_the_grantor_is_no_patient(self, ward: Ward, signer: str) -> None:
        """Given an organisation or a nurse, when it grants in its own name, then NOT_A_PATIENT."""
        assert ward.refusal(signer, grant_form()) == ConsentReason.NOT_A_PATIENT

    @pytest.mark.parametrize("signer", [NORTH, NURSE, SOUTH, STRANGER, OTHER, HE])
    def test_refused_when_another_grants_for_a_patient_who_keeps_her_key(self, ward: Ward, signer: str) -> None:
        """Given a patient in self custody, when anybody else grants for her, then NOT_THE_GRANTOR."""
        assert ward.refusal(signer, grant_form(grantor=ward.id(SHE))) == ConsentReason.NOT_THE_GRANTOR

    @pytest.mark.parametrize("signer", [SOUTH, STRANGER, SHE, OTHER])
    def test_refused_when_a_stranger_grants_for_a_patient_in_custody(self, ward: Ward, signer: str) -> None:
        """Given a patient in the hospital's custody, when others than the hospital grant, then NOT_THE_GRANTOR."""
        assert ward.refusal(signer, grant_form(grantor=ward.id(HE))) == ConsentReason.NOT_THE_GRANTOR

    def test_refused_when_the_grantor_is_closed(self, ward: Ward) -> None:
        """Given a closed pseudonym, when its custodian grants for it, then GRANTOR_CLOSED."""
        ward.run(NORTH, CloseActor(actor=ward.id(HE)))
        assert ward.refusal(NORTH, grant_form(grantor=ward.id(HE))) == ConsentReason.GRANTOR_CLOSED

    @pytest.mark.parametrize(
        "change",
        [
            {"purposes": (Purpose.TREAT, Purpose.HPAYMT)},
            {"purposes": (Purpose.TREAT, Purpose.TREAT)},
            {"categories": (SUD, PSY)},
            {"categories": (PSY, PSY)},
        ],
    )
    def test_refused_when_a_list_is_not_sorted(self, ward: Ward, change: dict[str, Any]) -> None:
        """Given a list out of order or with a repeat, when she grants, then NOT_SORTED."""
        assert ward.refusal(SHE, replace(grant_form(), **change)) == ConsentReason.NOT_SORTED

    @pytest.mark.parametrize("until", [FROM, FROM - 1])
    def test_refused_when_the_period_is_empty(self, ward: Ward, until: int) -> None:
        """Given an end not after the beginning, when she grants, then EMPTY_PERIOD."""
        assert ward.refusal(SHE, grant_form(valid_until=until)) == ConsentReason.EMPTY_PERIOD

    def test_refused_when_the_period_is_over(self, ward: Ward) -> None:
        """Given an end at this very second, when she grants, then PERIOD_OVER; a second earlier it is granted."""
        ward.time = UNTIL
        assert ward.refusal(SHE, grant_form()) == ConsentReason.PERIOD_OVER
        ward.time = UNTIL - 1
        ward.run(SHE, grant_form())

    def test_refused_when_the_period_is_too_long(self, ward: Ward) -> None:
        """Given ten years and a second, when she grants, then PERIOD_TOO_LONG; ten years are granted."""
        ten_years = FROM + 10 * 365 * DAY
        assert ward.refusal(SHE, grant_form(valid_until=ten_years + 1)) == ConsentReason.PERIOD_TOO_LONG
        ward.run(SHE, grant_form(valid_until=ten_years))

    @pytest.mark.parametrize("field", ["reader_key", "reader_kem_key"])
    def test_refused_when_a_reader_key_is_weak(self, ward: Ward, field: str) -> None:
        """Given a key of small order, when she grants to it, then WEAK_READER_KEY."""
        assert ward.refusal(SHE, replace(grant_form(), **{field: ZERO_POINT})) == ConsentReason.WEAK_READER_KEY

    def test_refused_when_the_reader_key_belongs_to_another_grant(self, ward: Ward) -> None:
        """Given a reader key of another patient's grant, withdrawn even, when she grants to it: READER_KEY_USED."""
        given = give(ward, grant_form(), OTHER)
        ward.run(OTHER, WithdrawConsent(consent=given))
        assert ward.refusal(SHE, grant_form()) == ConsentReason.READER_KEY_USED

    def test_refused_when_previous_is_nothing(self, ward: Ward) -> None:
        """Given no such consent, when a grant replaces it, then NO_SUCH_CONSENT."""
        assert ward.refusal(SHE, grant_form(previous=NOWHERE)) == ConsentReason.NO_SUCH_CONSENT

    def test_refused_when_previous_is_another_patients(self, ward: Ward) -> None:
        """Given another patient's grant, when hers replaces it, then NOT_THE_GRANTOR."""
        theirs = give(ward, grant_form("theirs"), OTHER)
        assert ward.refusal(SHE, grant_form(previous=theirs)) == ConsentReason.NOT_THE_GRANTOR

    def test_refused_when_previous_is_a_denial(self, ward: Ward) -> None:
        """Given her denial, when a grant replaces it, then OTHER_KIND."""
        denial = give(ward, denial_form())
        assert ward.refusal(SHE, grant_form(previous=denial)) == ConsentReason.OTHER_KIND

    def test_refused_when_previous_is_withdrawn(self, ward: Ward) -> None:
        """Given a withdrawn grant, when another replaces it, then ALREADY_WITHDRAWN."""
        old = give(ward, grant_form("old"))
        ward.run(SHE, WithdrawConsent(consent=old))
        assert ward.refusal(SHE, grant_form(previous=old)) == ConsentReason.ALREADY_WITHDRAWN

    def test_refused_when_previous_is_replaced(self, ward: Ward) -> None:
        """Given a replaced grant, when a second one replaces it, then ALREADY_REPLACED: the chain never forks."""
        old = give(ward, grant_form("old"))
        give(ward, grant_form("newer", previous=old))
        assert ward.refusal(SHE, grant_form(previous=old)) == ConsentReason.ALREADY_REPLACED


class TestDeny:
    """consent.deny"""

    def test_denial_is_kept_listed_and_announced(self, ward: Ward) -> None:
        """Given a patient, when she denies a category, then the row, the list, the count and the event say so."""
        given = next_consent_id(ward)
        events = ward.run(SHE, denial_form(category=PSY))
        assert events == (
            AccessDenied(
                consent=given,
                grantor=ward.id(SHE),
                custodian=ward.id(NORTH),
                category=PSY,
                valid_from=FROM,
                valid_until=UNTIL,
            ),
        )
        assert queries.consent(ward.store, given) == denial_row(ward, terms=Denial(category=PSY))
        listed = state.DENIALS.get(ward.store, (ward.id(SHE), state.OF_CATEGORY + PSY))
        assert listed == state.ListedDenial(consent=given, valid_from=FROM, valid_until=UNTIL)
        assert state.DENIAL_COUNTS.get(ward.store, ward.id(SHE)) == state.DenialCount(categories=1)
        assert ward.breaches() == []

    def test_replacing_moves_a_denial_to_another_scope(self, ward: Ward) -> None:
        """Given a denial of everything, when one of a category replaces it, then only the category is denied."""
        old = give(ward, denial_form())
        new = give(ward, denial_form(category=PSY, previous=old))
        ended = denial_row(ward, status=ConsentStatus.REPLACED, ended_at=ward.time, replaced_by=new)
        assert queries.consent(ward.store, old) == ended
        assert state.DENIAL_COUNTS.get(ward.store, ward.id(SHE)) == state.DenialCount(categories=1)
        assert ward.breaches() == []

    def test_a_denial_whose_period_is_over_gives_way(self, ward: Ward) -> None:
        """Given a denial whose period is over, when the same scope is denied again, then the new one is listed;
        withdrawing the old one then changes nothing for the new one.
        """
        old = give(ward, denial_form())
        ward.time = UNTIL
        new = give(ward, denial_form(valid_until=UNTIL + DAY))
        ward.run(SHE, WithdrawConsent(consent=old))
        listed = state.DENIALS.get(ward.store, (ward.id(SHE), state.EVERYTHING))
        assert listed == state.ListedDenial(consent=new, valid_from=FROM, valid_until=UNTIL + DAY)
        assert ward.breaches() == []

    def test_custodian_denies_for_a_patient_in_custody(self, ward: Ward) -> None:
        """Given a patient whose key the hospital keeps, when the hospital denies, then he is the grantor."""
        given = give(ward, denial_form(grantor=ward.id(HE)), NORTH)
        assert queries.consent(ward.store, given) == denial_row(ward, grantor=ward.id(HE))

    def test_refused_when_a_stranger_denies(self, ward: Ward) -> None:
        """Given a patient in self custody, when her hospital denies for her, then NOT_THE_GRANTOR."""
        assert ward.refusal(NORTH, denial_form(grantor=ward.id(SHE))) == ConsentReason.NOT_THE_GRANTOR

    def test_refused_when_it_names_another_patients_grant(self, ward: Ward) -> None:
        """Given another patient's grant, when she denies it, then NOT_THE_GRANTOR."""
        theirs = give(ward, grant_form(), OTHER)
        assert ward.refusal(SHE, denial_form(grant=theirs)) == ConsentReason.NOT_THE_GRANTOR

    def test_refused_when_it_names_no_grant(self, ward: Ward) -> None:
        """Given no such grant, when she denies it, then NO_SUCH_CONSENT."""
        assert ward.refusal(SHE, denial_form(grant=NOWHERE)) == ConsentReason.NO_SUCH_CONSENT

    def test_refused_when_it_denies_a_denial(self, ward: Ward) -> None:
        """Given her denial, when she denies it as if it were a grant, then OTHER_KIND."""
        denial = give(ward, denial_form())
        assert ward.refusal(SHE, denial_form(grant=denial)) == ConsentReason.OTHER_KIND

    def test_refused_when_it_names_grant_and_category(self, ward: Ward) -> None:
        """Given a grant and a category, when a denial names both, then TWO_SCOPES."""
        grant = give(ward, grant_form())
        assert ward.refusal(SHE, denial_form(grant=grant, category=PSY)) == ConsentReason.TWO_SCOPES

    def test_refused_when_the_scope_is_denied_already(self, ward: Ward) -> None:
        """Given a denial that is not over, when the same scope is denied without naming it, then ALREADY_DENIED."""
        give(ward, denial_form(category=PSY))
        ward.time = UNTIL - 1
        later = denial_form(category=PSY, valid_until=UNTIL + DAY)
        assert ward.refusal(SHE, later) == ConsentReason.ALREADY_DENIED
        give(ward, denial_form(category=SUD))

    def test_refused_when_the_period_is_wrong(self, ward: Ward) -> None:
        """Given an empty, a past and an endless period, when she denies, then each has its reason."""
        assert ward.refusal(SHE, denial_form(valid_until=FROM)) == ConsentReason.EMPTY_PERIOD
        assert ward.refusal(SHE, denial_form(valid_until=2**53 - 1)) == ConsentReason.PERIOD_TOO_LONG
        ward.time = UNTIL
        assert ward.refusal(SHE, denial_form()) == ConsentReason.PERIOD_OVER

    def test_refused_when_previous_is_a_grant(self, ward: Ward) -> None:
        """Given her grant, when a denial replaces it, then OTHER_KIND."""
        grant = give(ward, grant_form())
        assert ward.refusal(SHE, denial_form(previous=grant)) == ConsentReason.OTHER_KIND


class TestWithdraw:
    """consent.withdraw"""

    def test_withdrawn_grant_has_no_effect_from_this_block_on(self, ward: Ward) -> None:
        """Given a grant, when she withdraws it, then row and event say so and the same block's read is refused."""
        grant = give(ward, grant_form())
        ward.time += 7
        events = ward.run(SHE, WithdrawConsent(consent=grant))
        withdrawn = ConsentWithdrawn(
            consent=grant, grantor=ward.id(SHE), custodian=ward.id(NORTH), withdrawn_at=FOUNDED_AT + 7
        )
        assert events == (withdrawn,)
        expected = grant_row(ward, status=ConsentStatus.WITHDRAWN, ended_at=FOUNDED_AT + 7)
        assert queries.consent(ward.store, grant) == expected
        assert ward.refusal(SOUTH, request_form(ward, grant)) == ConsentReason.WITHDRAWN
        assert ward.breaches() == []

    def test_withdrawn_denial_is_listed_no_more(self, ward: Ward) -> None:
        """Given a denial, when she withdraws it, then neither list nor count remains and the grant works again."""
        grant, denial = give(ward, grant_form()), give(ward, denial_form())
        assert ward.refusal(SOUTH, request_form(ward, grant)) == ConsentReason.DENIED
        ward.run(SHE, WithdrawConsent(consent=denial))
        assert state.DENIALS.get(ward.store, (ward.id(SHE), state.EVERYTHING)) is None
        assert state.DENIAL_COUNTS.get(ward.store, ward.id(SHE)) is None
        ward.run(SOUTH, request_form(ward, grant))
        assert ward.breaches() == []

    @pytest.mark.parametrize("signer", [NORTH, DOCTOR, HE])
    def test_custodian_withdraws_for_a_patient_in_custody(self, ward: Ward, signer: str) -> None:
        """Given a grant of a patient in custody, when hospital, doctor or his own key withdraws, then it ends."""
        grant = give(ward, grant_form(grantor=ward.id(HE)), NORTH)
        ward.run(signer, WithdrawConsent(consent=grant))
        assert queries.consent(ward.store, grant).status is ConsentStatus.WITHDRAWN

    @pytest.mark.parametrize("signer", [NORTH, NURSE, SOUTH, STRANGER, OTHER, HE])
    def test_refused_when_a_stranger_withdraws(self, ward: Ward, signer: str) -> None:
        """Given her grant, when anybody else withdraws it, then NOT_THE_GRANTOR and it still counts."""
        grant = give(ward, grant_form())
        assert ward.refusal(signer, WithdrawConsent(consent=grant)) == ConsentReason.NOT_THE_GRANTOR
        ward.run(SOUTH, request_form(ward, grant))

    def test_refused_when_there_is_no_such_consent(self, ward: Ward) -> None:
        """Given one consent, when another id is withdrawn, then NO_SUCH_CONSENT and the one is as it was."""
        grant = give(ward, grant_form())
        assert ward.refusal(SHE, WithdrawConsent(consent=NOWHERE)) == ConsentReason.NO_SUCH_CONSENT
        assert queries.consent(ward.store, grant) == grant_row(ward)

    def test_refused_when_already_withdrawn(self, ward: Ward) -> None:
        """Given a withdrawn grant, when it is withdrawn again, then ALREADY_WITHDRAWN."""
        grant = give(ward, grant_form())
        ward.run(SHE, WithdrawConsent(consent=grant))
        assert ward.refusal(SHE, WithdrawConsent(consent=grant)) == ConsentReason.ALREADY_WITHDRAWN

    def test_refused_when_already_replaced(self, ward: Ward) -> None:
        """Given a replaced grant, when it is withdrawn, then ALREADY_REPLACED."""
        old = give(ward, grant_form("old"))
        give(ward, grant_form(previous=old))
        assert ward.refusal(SHE, WithdrawConsent(consent=old)) == ConsentReason.ALREADY_REPLACED


class TestRequestRead:
    """consent.request_read"""

    def test_permitted_request_is_numbered_and_announced(self, ward: Ward) -> None:
        """Given a grant, when another member brings the reader's request, then access 1 and the event say so."""
        grant = give(ward, grant_form())
        form = request_form(ward, grant)
        request = access_id(form.terms(ward.chain).signed_bytes())
        ward.height = 9
        assert ward.run(STRANGER, form) == (
            ReadRequested(
                access=1,
                request=request,
                grant=grant,
                grantor=ward.id(SHE),
                custodian=ward.id(NORTH),
                record_set=form.record_set,
                purpose=Purpose.TREAT,
                notice_digest=form.notice_digest,
                expires_at=FOUNDED_AT + 600,
            ),
        )
        assert queries.access(ward.store, 1) == Access(
            request=request,
            grant=grant,
            custodian=ward.id(NORTH),
            record_set=form.record_set,
            purpose=Purpose.TREAT,
            notice_digest=form.notice_digest,
            expires_at=FOUNDED_AT + 600,
            submitter=ward.id(SOUTH),
            requested_at=FOUNDED_AT,
            height=9,
        )
        assert ward.breaches() == []

    def test_numbers_grow_by_one_over_all_custodians(self, ward: Ward) -> None:
        """Given two grants, when three requests come, then they are accesses 1, 2 and 3."""
        hers, theirs = give(ward, grant_form()), give(ward, grant_form("theirs"), OTHER)
        ward.run(NORTH, request_form(ward, hers))
        ward.run(NORTH, request_form(ward, theirs, "theirs", custodian=ward.id(SOUTH)))
        ward.run(SOUTH, request_form(ward, hers, nonce=bytes(16)))
        assert [queries.access(ward.store, number).grant for number in (1, 2, 3)] == [hers, theirs, hers]
        assert queries.newest_access(ward.store) == 3

    @pytest.mark.parametrize("signer", [SHE, HE, OTHER])
    def test_refused_when_a_patient_submits(self, ward: Ward, signer: str) -> None:
        """Given a grant, when a patient submits the request, then NOT_A_MEMBER."""
        grant = give(ward, grant_form())
        assert ward.refusal(signer, request_form(ward, grant)) == ConsentReason.NOT_A_MEMBER

    def test_refused_when_the_submitters_organisation_has_left(self, ward: Ward) -> None:
        """Given a hospital that left in this very block, when its nurse submits or anchors, then NOT_A_MEMBER."""
        grant = give(ward, grant_form())
        ward.run(SOUTH, Leave())
        anchor = AnchorAccesses(root=digest("root"), count=1, first=1, last=1)
        assert ward.refusal(STRANGER, request_form(ward, grant)) == ConsentReason.NOT_A_MEMBER
        assert ward.refusal(STRANGER, anchor) == ConsentReason.NOT_A_MEMBER

    def test_refused_when_there_is_no_such_grant(self, ward: Ward) -> None:
        """Given no grant, when it is used, then NO_SUCH_CONSENT."""
        assert ward.refusal(NORTH, request_form(ward, NOWHERE)) == ConsentReason.NO_SUCH_CONSENT

    def test_refused_when_a_denial_is_used_as_a_grant(self, ward: Ward) -> None:
        """Given a denial, when a request names it, then OTHER_KIND."""
        denial = give(ward, denial_form())
        assert ward.refusal(NORTH, request_form(ward, denial)) == ConsentReason.OTHER_KIND

    def test_refused_when_another_grants_reader_signed(self, ward: Ward) -> None:
        """Given two grants, when the reader of one signs for the other, then BAD_READER_SIGNATURE."""
        grant = give(ward, grant_form())
        give(ward, grant_form("second"))
        assert ward.refusal(NORTH, request_form(ward, grant, "second")) == ConsentReason.BAD_READER_SIGNATURE

    @pytest.mark.parametrize(
        "change",
        [
            {"custodian": digest("elsewhere")},
            {"record_set": digest("more records")},
            {"purpose": Purpose.HPAYMT},
            {"categories": (PSY,)},
            {"notice_digest": digest("another notice")},
            {"nonce": bytes(16)},
            {"expires_at": FOUNDED_AT + 601},
            {"signature": bytes(64)},
        ],
    )
    def test_refused_when_a_field_was_altered(self, ward: Ward, change: dict[str, Any]) -> None:
        """Given a signed request, when any field is altered on the way, then BAD_READER_SIGNATURE."""
        form = request_form(ward, give(ward, grant_form()))
        assert ward.refusal(NORTH, replace(form, **change)) == ConsentReason.BAD_READER_SIGNATURE

    def test_refused_when_signed_for_another_chain(self, ward: Ward) -> None:
        """Given a request signed for another chain, when it is brought here, then BAD_READER_SIGNATURE."""
        form = request_form(ward, give(ward, grant_form()), chain="elsewhere-" + "0" * 32)
        assert ward.refusal(NORTH, form) == ConsentReason.BAD_READER_SIGNATURE

    def test_refused_when_categories_are_not_sorted(self, ward: Ward) -> None:
        """Given categories out of order, when they are signed so, then NOT_SORTED."""
        form = request_form(ward, give(ward, grant_form()), categories=(SUD, PSY))
        assert ward.refusal(NORTH, form) == ConsentReason.NOT_SORTED

    def test_refused_when_expired(self, ward: Ward) -> None:
        """Given a request that expires at second x, when it comes at x it enters, a second later EXPIRED_REQUEST."""
        form = request_form(ward, give(ward, grant_form()))
        ward.time = form.expires_at + 1
        assert ward.refusal(NORTH, form) == ConsentReason.EXPIRED_REQUEST
        ward.time = form.expires_at
        ward.run(NORTH, form)

    def test_refused_when_it_expires_too_late(self, ward: Ward) -> None:
        """Given 901 seconds ahead, when it comes, then REQUEST_EXPIRES_TOO_LATE; 900 enter."""
        grant = give(ward, grant_form())
        late = request_form(ward, grant, expires_at=ward.time + 901)
        assert ward.refusal(NORTH, late) == ConsentReason.REQUEST_EXPIRES_TOO_LATE
        ward.run(NORTH, request_form(ward, grant, expires_at=ward.time + 900))

    def test_refused_when_the_custodian_is_another(self, ward: Ward) -> None:
        """Given a grant at one hospital, when its reader asks another, then WRONG_CUSTODIAN."""
        form = request_form(ward, give(ward, grant_form()), custodian=ward.id(SOUTH))
        assert ward.refusal(SOUTH, form) == ConsentReason.WRONG_CUSTODIAN

    def test_refused_when_it_is_replayed(self, ward: Ward) -> None:
        """Given a request on the ledger, when anybody brings it again before it expires, then ALREADY_REQUESTED;
        after that EXPIRED_REQUEST, also when it has been forgotten.
        """
        grant = give(ward, grant_form())
        form = request_form(ward, grant)
        ward.run(NORTH, form)
        assert ward.refusal(SOUTH, form) == ConsentReason.ALREADY_REQUESTED
        ward.time = form.expires_at
        ward.run(SOUTH, request_form(ward, grant, nonce=bytes(16)))
        assert ward.refusal(SOUTH, form) == ConsentReason.ALREADY_REQUESTED
        ward.time += 1
        ward.run(SOUTH, request_form(ward, grant, nonce=b"\x01" * 16))
        assert ward.refusal(SOUTH, form) == ConsentReason.EXPIRED_REQUEST
        assert len(list(state.SEEN_REQUESTS.rows(ward.store))) == 2
        assert ward.breaches() == []

    def test_refused_for_every_reason_of_a_decision(self, ward: Ward) -> None:
        """Given grants that do not permit, when their readers ask, then each refusal says why."""
        grant = give(ward, grant_form())
        narrow = give(ward, grant_form("narrow", categories=(PSY, SUD)))
        replaced = give(ward, grant_form("replaced"))
        give(ward, grant_form("newer", previous=replaced))
        later = give(ward, grant_form("later", valid_from=FROM + DAY))
        codes = [
            ward.refusal(NORTH, request_form(ward, grant, purpose=Purpose.HRESCH)),
            ward.refusal(NORTH, request_form(ward, narrow, "narrow", categories=(PSY, HIV))),
            ward.refusal(NORTH, request_form(ward, narrow, "narrow")),
            ward.refusal(NORTH, request_form(ward, replaced, "replaced")),
            ward.refusal(NORTH, request_form(ward, later, "later")),
        ]
        assert codes == [
            ConsentReason.PURPOSE_NOT_GRANTED,
            ConsentReason.CATEGORY_NOT_GRANTED,
            ConsentReason.CATEGORY_NOT_NAMED,
            ConsentReason.REPLACED,
            ConsentReason.NOT_IN_FORCE,
        ]


class TestAnchor:
    """consent.anchor_accesses"""

    def test_anchors_follow_one_another_by_custodian(self, ward: Ward) -> None:
        """Given two hospitals, when each anchors batches, then each has its own numbers without gaps."""
        first, second = digest("root", "1"), digest("root", "2")
        events = ward.run(NORTH, AnchorAccesses(root=first, count=10, first=1, last=10))
        assert events == (AccessesAnchored(custodian=ward.id(NORTH), root=first, first=1, last=10),)
        ward.run(STRANGER, AnchorAccesses(root=first, count=1, first=1, last=1))
        ward.run(NURSE, AnchorAccesses(root=second, count=5, first=11, last=15))
        anchors = dict(state.ANCHORS.rows(ward.store))
        assert anchors == {
            ward.id(NORTH): Anchor(root=second, first=11, last=15, anchored_at=FOUNDED_AT),
            ward.id(SOUTH): Anchor(root=first, first=1, last=1, anchored_at=FOUNDED_AT),
        }

    def test_refused_when_a_patient_anchors(self, ward: Ward) -> None:
        """Given a patient of the hospital, when she anchors in its name, then NOT_A_MEMBER."""
        form = AnchorAccesses(root=digest("root"), count=1, first=1, last=1)
        assert ward.refusal(SHE, form) == ConsentReason.NOT_A_MEMBER

    @pytest.mark.parametrize(("count", "first", "last"), [(2, 1, 1), (1, 2, 1), (1, 1, 2)])
    def test_refused_when_the_count_is_wrong(self, ward: Ward, count: int, first: int, last: int) -> None:
        """Given a count that is not last - first + 1, when it is anchored, then WRONG_COUNT."""
        form = AnchorAccesses(root=digest("root"), count=count, first=first, last=last)
        assert ward.refusal(NORTH, form) == ConsentReason.WRONG_COUNT

    @pytest.mark.parametrize("first", [1, 3, 4, 6])
    def test_refused_when_there_is_a_gap_or_an_overlap(self, ward: Ward, first: int) -> None:
        """Given entries 1 to 4 anchored, when the next batch does not start with 5, then ANCHOR_GAP."""
        ward.run(NORTH, AnchorAccesses(root=digest("root"), count=4, first=1, last=4))
        form = AnchorAccesses(root=digest("root"), count=1, first=first, last=first)
        assert ward.refusal(NORTH, form) == ConsentReason.ANCHOR_GAP


def test_reader_commitments_and_keys_never_join_two_grants(ward: Ward) -> None:
    """Given grants of two pseudonyms to one reader organisation, when their rows are compared, then only the terms
    that everybody shares are equal: no reader key, key agreement key or commitment is.
    """
    give(ward, grant_form("fresh 1"))
    give(ward, grant_form("fresh 2"), OTHER)
    grants = [row.terms for _, row in state.CONSENTS.rows(ward.store)]
    one, two = (grant for grant in grants if isinstance(grant, Grant))
    assert not {one.reader_key, one.reader_kem_key, one.reader_commitment} & {
        two.reader_key,
        two.reader_kem_key,
        two.reader_commitment,
    }
    assert reader("fresh 1").key != reader("fresh 2").key
    assert queries.decide(ward.store, grant=NOWHERE, purpose=Purpose.TREAT, categories=(), time=ward.time) == Decision(
        permit=False, reason=ConsentReason.NO_SUCH_CONSENT, consent=UNSET
    )
