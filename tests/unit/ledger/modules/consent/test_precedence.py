# SPDX-License-Identifier: Apache-2.0
"""The truth table of consent, written out by hand: what was said x what is asked x when -> the answer.

Times count days from the grant. Hers is a grant of 100 days for treatment (T) and payment (P).
Source: architecture.md "Patients"; FHIR R4 Consent; HL7 PurposeOfUse.
"""

from collections.abc import Callable
from typing import Final

import pytest

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
)
from tests.unit.ledger.modules.ward import OTHER, SHE, Ward
from vervain.ledger.modules.consent import queries
from vervain.ledger.modules.consent.messages import ConsentReason, Decision, Purpose, WithdrawConsent

T, P, R, E = Purpose.TREAT, Purpose.HPAYMT, Purpose.HRESCH, Purpose.ETREAT
ALL: Final = (PSY, SUD, HIV)  # sorted
GRANT, OLD, DENIAL, SECOND = "grant", "old grant", "denial", "second denial"
Said = dict[str, bytes]


def granted(ward: Ward) -> Said:
    """One grant, all categories."""
    return {GRANT: give(ward, grant_form())}


def granted_two_categories(ward: Ward) -> Said:
    """One grant of PSY and SUD."""
    return {GRANT: give(ward, grant_form(categories=(PSY, SUD)))}


def granted_from_day_10(ward: Ward) -> Said:
    """One grant that begins on day 10."""
    return {GRANT: give(ward, grant_form(valid_from=FROM + 10 * DAY))}


def withdrawn(ward: Ward) -> Said:
    """A grant, withdrawn."""
    said = granted(ward)
    ward.run(SHE, WithdrawConsent(consent=said[GRANT]))
    return said


def replaced(ward: Ward) -> Said:
    """A grant for treatment and payment, replaced by one for payment."""
    old = give(ward, grant_form("old"))
    return {OLD: old, GRANT: give(ward, grant_form(purposes=(P,), previous=old))}


def replacement_withdrawn(ward: Ward) -> Said:
    """A grant, replaced, and the newer one withdrawn: the older one does not come back."""
    said = replaced(ward)
    ward.run(SHE, WithdrawConsent(consent=said[GRANT]))
    return said


def beside_another_grant(ward: Ward) -> Said:
    """Two grants of two chains: each stands for itself."""
    return {OLD: give(ward, grant_form("old", purposes=(R,))), GRANT: give(ward, grant_form())}


def _denied(ward: Ward, said: Said, **scope: bytes) -> Said:
    period = {"valid_from": FROM + 10 * DAY, "valid_until": FROM + 20 * DAY}
    return said | {DENIAL: give(ward, denial_form(**period, **scope))}


def all_denied(ward: Ward) -> Said:
    """A grant; everything denied on days 10 to 20."""
    return _denied(ward, granted(ward))


def all_denied_before_the_grant(ward: Ward) -> Said:
    """Everything denied on days 10 to 20, and only then granted: the newer grant does not lift the denial."""
    denied = _denied(ward, {})
    return denied | granted(ward)


def grant_denied(ward: Ward) -> Said:
    """A grant; that grant denied on days 10 to 20."""
    said = granted(ward)
    return _denied(ward, said, grant=said[GRANT])


def another_grant_denied(ward: Ward) -> Said:
    """Two grants; the older one denied on days 10 to 20."""
    said = beside_another_grant(ward)
    return _denied(ward, said, grant=said[OLD])


def denied_grant_replaced(ward: Ward) -> Said:
    """A grant, denied on days 10 to 20, then replaced: the denial is not about the newer grant."""
    old = give(ward, grant_form("old"))
    return _denied(ward, {OLD: old}, grant=old) | {GRANT: give(ward, grant_form(previous=old))}


def category_denied(ward: Ward) -> Said:
    """A grant of all categories; PSY denied on days 10 to 20."""
    return _denied(ward, granted(ward), category=PSY)


def category_of_two_denied(ward: Ward) -> Said:
    """A grant of PSY and SUD; PSY denied on days 10 to 20."""
    return _denied(ward, granted_two_categories(ward), category=PSY)


def denial_withdrawn(ward: Ward) -> Said:
    """A grant; everything denied on days 10 to 20; the denial withdrawn."""
    said = all_denied(ward)
    ward.run(SHE, WithdrawConsent(consent=said[DENIAL]))
    return said


def denial_narrowed(ward: Ward) -> Said:
    """A grant; everything denied on days 10 to 20; replaced by a denial of PSY for all 100 days."""
    said = all_denied(ward)
    return said | {SECOND: give(ward, denial_form(category=PSY, previous=said[DENIAL]))}


def denial_shortened(ward: Ward) -> Said:
    """A grant; everything denied on days 10 to 20; replaced by days 15 to 18."""
    said = all_denied(ward)
    period = {"valid_from": FROM + 15 * DAY, "valid_until": FROM + 18 * DAY}
    return said | {SECOND: give(ward, denial_form(**period, previous=said[DENIAL]))}


def two_denials(ward: Ward) -> Said:
    """A grant; that grant denied on days 10 to 20 and PSY denied for all 100 days."""
    said = grant_denied(ward)
    return said | {SECOND: give(ward, denial_form(category=PSY))}


def one_of_two_denials_withdrawn(ward: Ward) -> Said:
    """A grant; that grant and PSY denied; the denial of the grant withdrawn: the other still counts."""
    said = two_denials(ward)
    ward.run(SHE, WithdrawConsent(consent=said[DENIAL]))
    return said


def another_patient_denies(ward: Ward) -> Said:
    """A grant; another patient denies everything: a denial is the grantor's own."""
    return granted(ward) | {DENIAL: give(ward, denial_form(), OTHER)}


def withdrawn_and_denied(ward: Ward) -> Said:
    """A withdrawn grant; everything denied: the answer names the withdrawal."""
    return withdrawn(ward) | {DENIAL: give(ward, denial_form())}


Row = tuple[Callable[[Ward], Said], str, Purpose, tuple[bytes, ...], int, ConsentReason | None, str]
YES = None
NOT_IN_FORCE, PURPOSE = ConsentReason.NOT_IN_FORCE, ConsentReason.PURPOSE_NOT_GRANTED
OUTSIDE, UNNAMED = ConsentReason.CATEGORY_NOT_GRANTED, ConsentReason.CATEGORY_NOT_NAMED
DENIED, WITHDRAWN, REPLACED = ConsentReason.DENIED, ConsentReason.WITHDRAWN, ConsentReason.REPLACED

# what was said, which grant is used, purpose, categories named, day, answer, what decided
TABLE: Final[tuple[Row, ...]] = (
    # purposes
    (granted, GRANT, T, (), 0, YES, GRANT),
    (granted, GRANT, P, (), 0, YES, GRANT),
    (granted, GRANT, R, (), 0, PURPOSE, GRANT),
    (granted, GRANT, E, (), 0, PURPOSE, GRANT),
    (granted, GRANT, Purpose.HOPERAT, (), 0, PURPOSE, GRANT),
    (granted, GRANT, Purpose.PUBHLTH, (), 0, PURPOSE, GRANT),
    (granted, GRANT, Purpose.PATRQT, (), 0, PURPOSE, GRANT),
    # categories
    (granted, GRANT, T, (PSY,), 0, YES, GRANT),
    (granted, GRANT, T, ALL, 0, YES, GRANT),
    (granted_two_categories, GRANT, T, (), 0, UNNAMED, GRANT),
    (granted_two_categories, GRANT, T, (PSY,), 0, YES, GRANT),
    (granted_two_categories, GRANT, T, (PSY, SUD), 0, YES, GRANT),
    (granted_two_categories, GRANT, T, (HIV,), 0, OUTSIDE, GRANT),
    (granted_two_categories, GRANT, T, (PSY, HIV), 0, OUTSIDE, GRANT),
    (granted_two_categories, GRANT, R, (PSY,), 0, PURPOSE, GRANT),
    # period
    (granted, GRANT, T, (), -1, NOT_IN_FORCE, GRANT),
    (granted, GRANT, T, (), 99, YES, GRANT),
    (granted, GRANT, T, (), 100, NOT_IN_FORCE, GRANT),
    (granted_from_day_10, GRANT, T, (), 0, NOT_IN_FORCE, GRANT),
    (granted_from_day_10, GRANT, T, (), 9, NOT_IN_FORCE, GRANT),
    (granted_from_day_10, GRANT, T, (), 10, YES, GRANT),
    # withdrawal
    (withdrawn, GRANT, T, (), 0, WITHDRAWN, GRANT),
    (withdrawn, GRANT, R, (), 0, WITHDRAWN, GRANT),
    (withdrawn, GRANT, T, (), 100, WITHDRAWN, GRANT),
    # replacement
    (replaced, OLD, T, (), 0, REPLACED, OLD),
    (replaced, OLD, P, (), 0, REPLACED, OLD),
    (replaced, GRANT, T, (), 0, PURPOSE, GRANT),
    (replaced, GRANT, P, (), 0, YES, GRANT),
    (replacement_withdrawn, OLD, P, (), 0, REPLACED, OLD),
    (replacement_withdrawn, GRANT, P, (), 0, WITHDRAWN, GRANT),
    # two chains
    (beside_another_grant, OLD, R, (), 0, YES, OLD),
    (beside_another_grant, OLD, T, (), 0, PURPOSE, OLD),
    (beside_another_grant, GRANT, T, (), 0, YES, GRANT),
    # everything denied
    (all_denied, GRANT, T, (), 9, YES, GRANT),
    (all_denied, GRANT, T, (), 10, DENIED, DENIAL),
    (all_denied, GRANT, P, (PSY,), 19, DENIED, DENIAL),
    (all_denied, GRANT, T, (), 20, YES, GRANT),
    (all_denied, GRANT, R, (), 15, PURPOSE, GRANT),
    (all_denied, GRANT, T, (), 100, NOT_IN_FORCE, GRANT),
    (all_denied_before_the_grant, GRANT, T, (), 9, YES, GRANT),
    (all_denied_before_the_grant, GRANT, T, (), 15, DENIED, DENIAL),
    # one grant denied
    (grant_denied, GRANT, T, (), 9, YES, GRANT),
    (grant_denied, GRANT, T, (), 10, DENIED, DENIAL),
    (grant_denied, GRANT, T, (PSY,), 19, DENIED, DENIAL),
    (grant_denied, GRANT, T, (), 20, YES, GRANT),
    (another_grant_denied, OLD, R, (), 15, DENIED, DENIAL),
    (another_grant_denied, GRANT, T, (), 15, YES, GRANT),
    (denied_grant_replaced, OLD, T, (), 15, REPLACED, OLD),
    (denied_grant_replaced, GRANT, T, (), 15, YES, GRANT),
    # a category denied
    (category_denied, GRANT, T, (PSY,), 9, YES, GRANT),
    (category_denied, GRANT, T, (PSY,), 10, DENIED, DENIAL),
    (category_denied, GRANT, T, (PSY, HIV), 15, DENIED, DENIAL),
    (category_denied, GRANT, T, (SUD,), 15, YES, GRANT),
    (category_denied, GRANT, T, (SUD, HIV), 15, YES, GRANT),
    (category_denied, GRANT, T, (PSY,), 19, DENIED, DENIAL),
    (category_denied, GRANT, T, (PSY,), 20, YES, GRANT),
    (category_denied, GRANT, T, (), 15, UNNAMED, GRANT),
    (category_denied, GRANT, T, (), 9, UNNAMED, GRANT),
    (category_denied, GRANT, T, (), 20, UNNAMED, GRANT),
    (category_of_two_denied, GRANT, T, (), 15, UNNAMED, GRANT),
    (category_of_two_denied, GRANT, T, (PSY, SUD), 15, DENIED, DENIAL),
    (category_of_two_denied, GRANT, T, (SUD,), 15, YES, GRANT),
    (category_of_two_denied, GRANT, T, (HIV,), 15, OUTSIDE, GRANT),
    # denials that end
    (denial_withdrawn, GRANT, T, (), 15, YES, GRANT),
    (denial_narrowed, GRANT, T, (), 15, UNNAMED, GRANT),
    (denial_narrowed, GRANT, T, (SUD,), 15, YES, GRANT),
    (denial_narrowed, GRANT, T, (PSY,), 15, DENIED, SECOND),
    (denial_narrowed, GRANT, T, (PSY,), 99, DENIED, SECOND),
    (denial_shortened, GRANT, T, (), 14, YES, GRANT),
    (denial_shortened, GRANT, T, (), 15, DENIED, SECOND),
    (denial_shortened, GRANT, T, (), 18, YES, GRANT),
    # two denials
    (two_denials, GRANT, T, (PSY,), 5, DENIED, SECOND),
    (two_denials, GRANT, T, (PSY,), 15, DENIED, DENIAL),
    (two_denials, GRANT, T, (SUD,), 15, DENIED, DENIAL),
    (two_denials, GRANT, T, (SUD,), 20, YES, GRANT),
    (two_denials, GRANT, T, (), 15, DENIED, DENIAL),
    (two_denials, GRANT, T, (), 20, UNNAMED, GRANT),
    (one_of_two_denials_withdrawn, GRANT, T, (SUD,), 15, YES, GRANT),
    (one_of_two_denials_withdrawn, GRANT, T, (PSY,), 15, DENIED, SECOND),
    # whose denial, and what is named first
    (another_patient_denies, GRANT, T, (), 15, YES, GRANT),
    (withdrawn_and_denied, GRANT, T, (), 15, WITHDRAWN, GRANT),
)


@pytest.mark.parametrize(
    ("say", "used", "purpose", "categories", "day", "reason", "decided"),
    TABLE,
    ids=[f"{row[0].__name__}-{row[1]}-{row[2]}-{len(row[3])}-day {row[4]}" for row in TABLE],
)
def test_row_of_the_truth_table(
    say: Callable[[Ward], Said],
    used: str,
    purpose: Purpose,
    categories: tuple[bytes, ...],
    day: int,
    reason: ConsentReason | None,
    decided: str,
) -> None:
    """Given what was said, when a read is asked about, then the answer and what decided it are the table's."""
    ward = Ward()
    said = say(ward)
    decision = queries.decide(
        ward.store, grant=said[used], purpose=purpose, categories=categories, time=FROM + day * DAY
    )
    expected = (
        Decision(permit=True, consent=said[decided])
        if reason is None
        else Decision(permit=False, reason=reason, consent=said[decided])
    )
    assert decision == expected
    assert ward.breaches() == []


@pytest.mark.parametrize(
    ("say", "time", "reason"),
    [
        (granted, FROM - 1, NOT_IN_FORCE),
        (granted, FROM, None),
        (granted, UNTIL - 1, None),
        (granted, UNTIL, NOT_IN_FORCE),
        (all_denied, FROM + 10 * DAY - 1, None),
        (all_denied, FROM + 10 * DAY, DENIED),
        (all_denied, FROM + 20 * DAY - 1, DENIED),
        (all_denied, FROM + 20 * DAY, None),
        (granted, 0, NOT_IN_FORCE),
        (granted, 2**53 - 1, NOT_IN_FORCE),
    ],
)
def test_first_second_is_in_a_period_and_last_is_not(
    say: Callable[[Ward], Said], time: int, reason: ConsentReason | None
) -> None:
    """Given a period, when a read is asked about at its edges, then its first second is in it and its end is not."""
    ward = Ward()
    said = say(ward)
    decision = queries.decide(ward.store, grant=said[GRANT], purpose=T, categories=(), time=time)
    assert decision.permit is (reason is None)
    assert reason is None or decision.reason is reason


def test_every_purpose_stands_for_itself() -> None:
    """Given a grant for each single purpose, when each purpose is asked about, then only its own is permitted."""
    ward = Ward()
    grants = {purpose: give(ward, grant_form(purpose.value, purposes=(purpose,))) for purpose in Purpose}
    permitted = {
        (granted, asked)
        for granted, grant in grants.items()
        for asked in Purpose
        if queries.decide(ward.store, grant=grant, purpose=asked, categories=(), time=FROM).permit
    }
    assert permitted == {(purpose, purpose) for purpose in Purpose}
