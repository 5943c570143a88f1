# SPDX-License-Identifier: Apache-2.0
"""Licences: issue, suspend, reinstate, withdraw; answers about the past; every refusal."""

import pytest
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tests.small_chain import HOSPITAL, INSURER, REGULATOR, Party, SmallChain, digest
from vervain.ledger.machine.module import Message
from vervain.ledger.modules.identity.messages import (
    LICENCE_CHANGES_MAX,
    LICENCE_SECONDS_MAX,
    LICENCES_PER_HOLDER_MAX,
    ActorKind,
    CloseActor,
    Custody,
    IdentityReason,
    IssueLicence,
    LicenceChanged,
    LicenceIssued,
    LicenceReason,
    LicenceStatus,
    ReinstateLicence,
    SuspendLicence,
    WithdrawLicence,
    licence_id,
)
from vervain.ledger.modules.identity.queries import holds_valid_licence
from vervain.ledger.modules.identity.state import (
    HELD_LICENCES,
    LICENCE_CHANGES,
    LICENCES,
    HeldLicence,
    Licence,
    LicenceChange,
)
from vervain.ledger.primitives.hashing import sha256

DOCTOR, CLERK, SHE = Party("doctor"), Party("clerk"), Party("she")
YEAR = 365 * 86_400
REASON = LicenceReason.UNDER_INVESTIGATION


@pytest.fixture
def register(chain: SmallChain) -> SmallChain:
    """The chain with a doctor of the hospital, a clerk of the regulator, and a patient."""
    chain.submit(HOSPITAL, chain.registration(DOCTOR), chain.registration(SHE, ActorKind.PATIENT, custody=Custody.SELF))
    chain.submit(REGULATOR, chain.registration(CLERK, sponsor=REGULATOR))
    return chain


def form(chain: SmallChain) -> IssueLicence:
    """Return a licence for the doctor, for a year from a day ago."""
    return IssueLicence(
        holder=DOCTOR.id,
        profession="physician",
        valid_from=chain.time - 86_400,
        valid_until=chain.time + YEAR,
        register_digest=digest("register entry"),
    )


def issue(chain: SmallChain) -> bytes:
    """Issue it; return its id."""
    assert chain.submit(REGULATOR, form(chain)).is_applied
    return licence_id(chain.last_txid, 0)


@pytest.mark.parametrize("signer", [REGULATOR, CLERK])
def test_issue_writes_licence_change_and_index(register: SmallChain, signer: Party) -> None:
    """
    Given a regulator.
    When it, or its clerk, licenses a doctor.
    Then the licence, its first change and the holder's index are there, announced, under the regulator's id.
    """
    message = form(register)
    outcome = register.submit(signer, message)
    now = register.time
    licence = sha256(b"vervain/licence/v1\n" + register.last_txid + bytes(4))
    assert register.row(LICENCES, licence) == Licence(
        issuer=REGULATOR.id,
        holder=DOCTOR.id,
        profession="physician",
        valid_from=message.valid_from,
        valid_until=message.valid_until,
        changed_at=now,
        sequence=0,
        status=LicenceStatus.VALID,
        register_digest=digest("register entry"),
    )
    first = LicenceChange(status=LicenceStatus.VALID, changed_at=now)
    assert register.row(LICENCE_CHANGES, (licence, 0)) == first
    assert register.row(HELD_LICENCES, (DOCTOR.id, licence)) == HeldLicence(profession="physician")
    assert outcome.events == (
        LicenceIssued(
            licence=licence,
            issuer=REGULATOR.id,
            holder=DOCTOR.id,
            profession="physician",
            valid_from=message.valid_from,
            valid_until=message.valid_until,
            issued_at=now,
        ),
    )


def test_status_changes_are_kept_with_their_times(register: SmallChain) -> None:
    """
    Given a licence.
    When it is suspended, reinstated and withdrawn.
    Then each change is announced and kept, and the head is the last.
    """
    licence = issue(register)
    issued_at = register.time
    changes: tuple[tuple[Message, LicenceStatus, LicenceReason | UnsetType], ...] = (
        (SuspendLicence(licence=licence, reason=REASON), LicenceStatus.SUSPENDED, REASON),
        (ReinstateLicence(licence=licence), LicenceStatus.VALID, UNSET),
        (WithdrawLicence(licence=licence, reason=LicenceReason.ENDED), LicenceStatus.WITHDRAWN, LicenceReason.ENDED),
    )
    for sequence, (message, status, reason) in enumerate(changes, 1):
        outcome = register.submit(REGULATOR, message)
        expected = LicenceChanged(
            licence=licence, sequence=sequence, status=status, changed_at=issued_at + sequence, reason=reason
        )
        assert outcome.events == (expected,)
    kept = [change for _, change in LICENCE_CHANGES.rows(register.store, licence)]
    assert kept == [
        LicenceChange(status=LicenceStatus.VALID, changed_at=issued_at),
        LicenceChange(status=LicenceStatus.SUSPENDED, changed_at=issued_at + 1, reason=REASON),
        LicenceChange(status=LicenceStatus.VALID, changed_at=issued_at + 2),
        LicenceChange(status=LicenceStatus.WITHDRAWN, changed_at=issued_at + 3, reason=LicenceReason.ENDED),
    ]
    head = register.row(LICENCES, licence)
    assert head is not None and (head.status, head.changed_at, head.sequence) == (
        LicenceStatus.WITHDRAWN,
        issued_at + 3,
        3,
    )


def test_the_past_is_answered(register: SmallChain) -> None:
    """
    Given a licence issued at t, suspended at t + 10, reinstated at t + 20.
    When validity is asked before, at the edges and after.
    Then it holds from the issue on, not while suspended, not from `valid_until` on, and never for another profession.
    """
    licence, message = issue(register), form(register)
    issued_at = register.time
    for offset, change in (
        (10, SuspendLicence(licence=licence, reason=REASON)),
        (20, ReinstateLicence(licence=licence)),
    ):
        register.time = issued_at + offset - 1
        register.submit(REGULATOR, change)
    row = register.row(LICENCES, licence)
    assert row is not None
    expected = {
        row.valid_from: False,  # the ledger had no licence yet
        issued_at - 1: False,
        issued_at: True,
        issued_at + 9: True,
        issued_at + 10: False,
        issued_at + 19: False,
        issued_at + 20: True,
        row.valid_until - 1: True,
        row.valid_until: False,
    }
    found = {time: holds_valid_licence(register.store, DOCTOR.id, "physician", time) for time in expected}
    assert found == expected
    assert not holds_valid_licence(register.store, DOCTOR.id, "pharmacist", issued_at)
    assert not holds_valid_licence(register.store, CLERK.id, "physician", issued_at)
    assert message.profession == "physician"


@pytest.mark.parametrize("signer", [HOSPITAL, DOCTOR, SHE, INSURER])
def test_issue_refused_when_signer_is_not_a_regulator(register: SmallChain, signer: Party) -> None:
    """
    Given a hospital, its doctor, a patient and an insurer.
    When each licenses the doctor.
    Then NOT_A_REGULATOR.
    """
    assert register.refusal(signer, form(register)) == (IdentityReason.NOT_A_REGULATOR, 0)


def test_issue_refused_when_holder_is_not_found(register: SmallChain) -> None:
    """
    Given nobody under an id.
    When the regulator licenses that actor.
    Then NO_SUCH_ACTOR.
    """
    message = replace(form(register), holder=digest("nobody"))
    assert register.refusal(REGULATOR, message) == (IdentityReason.NO_SUCH_ACTOR, 0)


def test_issue_refused_when_holder_is_not_active_staff(register: SmallChain) -> None:
    """
    Given a patient, an organisation, and a doctor whose actor was closed.
    When the regulator licenses each.
    Then HOLDER_NOT_STAFF.
    """
    register.submit(HOSPITAL, CloseActor(actor=DOCTOR.id))
    for holder in (SHE.id, HOSPITAL.id, DOCTOR.id):
        message = replace(form(register), holder=holder)
        assert register.refusal(REGULATOR, message) == (IdentityReason.HOLDER_NOT_STAFF, 0)


def test_issue_refused_when_period_does_not_fit(register: SmallChain) -> None:
    """
    Given licences that end before they begin, have ended, or last too long.
    When the regulator issues each.
    Then EMPTY_PERIOD, PERIOD_OVER, PERIOD_TOO_LONG; the longest period is taken.
    """
    good, now = form(register), register.time
    empty = replace(good, valid_until=good.valid_from)
    assert register.refusal(REGULATOR, empty) == (IdentityReason.EMPTY_PERIOD, 0)
    over = replace(good, valid_until=now + 2)
    assert register.refusal(REGULATOR, over) == (IdentityReason.PERIOD_OVER, 0)
    longest = replace(good, valid_until=good.valid_from + LICENCE_SECONDS_MAX)
    too_long = replace(longest, valid_until=longest.valid_until + 1)
    assert register.refusal(REGULATOR, too_long) == (IdentityReason.PERIOD_TOO_LONG, 0)
    assert register.submit(REGULATOR, longest).is_applied


def test_issue_refused_when_holder_has_too_many(register: SmallChain) -> None:
    """
    Given a doctor with as many licences as there may be.
    When one more is issued.
    Then TOO_MANY_LICENCES.
    """
    batch = [form(register)] * LICENCES_PER_HOLDER_MAX
    assert register.submit(REGULATOR, *batch).is_applied
    assert register.refusal(REGULATOR, form(register)) == (IdentityReason.TOO_MANY_LICENCES, 0)


def all_changes(licence: bytes) -> tuple[Message, ...]:
    """Return the three messages that change a licence."""
    return (
        SuspendLicence(licence=licence, reason=REASON),
        ReinstateLicence(licence=licence),
        WithdrawLicence(licence=licence, reason=LicenceReason.ENDED),
    )


def test_change_refused_when_licence_is_not_found(register: SmallChain) -> None:
    """
    Given no licence.
    When one is suspended, reinstated or withdrawn.
    Then NO_SUCH_LICENCE.
    """
    for message in all_changes(bytes(32)):
        assert register.refusal(REGULATOR, message) == (IdentityReason.NO_SUCH_LICENCE, 0)


@pytest.mark.parametrize("signer", [HOSPITAL, DOCTOR, INSURER])
def test_change_refused_when_signer_is_not_the_issuer(register: SmallChain, signer: Party) -> None:
    """
    Given a licence.
    When the employer, the holder or another member changes it.
    Then NOT_THE_ISSUER.
    """
    for message in all_changes(issue(register)):
        assert register.refusal(signer, message) == (IdentityReason.NOT_THE_ISSUER, 0)


def test_suspend_refused_when_licence_is_not_valid(register: SmallChain) -> None:
    """
    Given a suspended licence, later withdrawn.
    When it is suspended, both times.
    Then LICENCE_NOT_VALID.
    """
    licence = issue(register)
    suspend, _, withdraw = all_changes(licence)
    register.submit(REGULATOR, suspend)
    assert register.refusal(REGULATOR, suspend) == (IdentityReason.LICENCE_NOT_VALID, 0)
    register.submit(REGULATOR, withdraw)
    assert register.refusal(REGULATOR, suspend) == (IdentityReason.LICENCE_NOT_VALID, 0)


def test_reinstate_refused_when_licence_is_not_suspended(register: SmallChain) -> None:
    """
    Given a valid licence, later withdrawn.
    When it is reinstated, both times.
    Then LICENCE_NOT_SUSPENDED: withdrawn is for good.
    """
    licence = issue(register)
    _, reinstate, withdraw = all_changes(licence)
    assert register.refusal(REGULATOR, reinstate) == (IdentityReason.LICENCE_NOT_SUSPENDED, 0)
    register.submit(REGULATOR, withdraw)
    assert register.refusal(REGULATOR, reinstate) == (IdentityReason.LICENCE_NOT_SUSPENDED, 0)


def test_withdraw_refused_when_licence_is_withdrawn(register: SmallChain) -> None:
    """
    Given a withdrawn licence.
    When it is withdrawn again.
    Then LICENCE_WITHDRAWN.
    """
    licence = issue(register)
    withdraw = all_changes(licence)[2]
    register.submit(REGULATOR, withdraw)
    assert register.refusal(REGULATOR, withdraw) == (IdentityReason.LICENCE_WITHDRAWN, 0)


def test_change_refused_when_there_are_too_many(register: SmallChain) -> None:
    """
    Given a licence with as many changes as there may be, but one.
    When it is suspended.
    Then TOO_MANY_CHANGES; withdrawing it is never refused for that.
    """
    licence = issue(register)
    row = register.row(LICENCES, licence)
    assert row is not None
    for sequence in range(1, LICENCE_CHANGES_MAX):
        change = LicenceChange(status=LicenceStatus.VALID, changed_at=register.time)
        LICENCE_CHANGES.put(register.store, (licence, sequence), change)
    LICENCES.put(register.store, licence, replace(row, sequence=LICENCE_CHANGES_MAX - 1))
    suspend, _, withdraw = all_changes(licence)
    assert register.refusal(REGULATOR, suspend) == (IdentityReason.TOO_MANY_CHANGES, 0)
    assert register.submit(REGULATOR, withdraw).is_applied
