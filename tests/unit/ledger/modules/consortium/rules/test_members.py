# SPDX-License-Identifier: Apache-2.0
"""Members: admission, hosts, suspension, leaving; what each writes and announces, and every refusal.

One validator decides at once, so each change is proposed and carried out by one message.
"""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.small_chain import FOUNDED_AT, HOSPITAL, INSURER, REGULATOR, Party, SmallChain, admission, validator
from vervain.ledger.machine.outcome import Event
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    AnyChange,
    ConsortiumReason,
    Leave,
    MemberAdmitted,
    MemberLeft,
    MemberMoved,
    MemberReinstated,
    MemberStatus,
    MemberSuspended,
    MoveMember,
    Propose,
    ReinstateMember,
    Role,
    SetValidator,
    SuspendMember,
)
from vervain.ledger.modules.consortium.state import MEMBERS, Member

PRACTICE = Party("practice")
SECOND_PRACTICE = Party("second practice")
MAKER = Party("maker")


def decide(chain: SmallChain, change: AnyChange) -> tuple[Event, ...]:
    """Carry a change out; return what it announced, without the proposal's own three events."""
    outcome = chain.submit(HOSPITAL, Propose(change=change))
    assert outcome.is_applied, outcome
    return outcome.events[2:-1]


def refusal(chain: SmallChain, change: AnyChange) -> ConsortiumReason:
    """Propose a change that does not fit; return why."""
    reason, entry = chain.refusal(HOSPITAL, Propose(change=change))
    assert entry == 0 and isinstance(reason, ConsortiumReason)
    return reason


def test_admit_member_writes_the_row_and_counts_it_at_its_host(chain: SmallChain) -> None:
    """
    Given a hospital with its own node.
    When a practice is admitted that uses the hospital's node.
    Then the practice is an active member, the hospital hosts one, and the admission is announced.
    """
    events = decide(chain, admission(PRACTICE, host=HOSPITAL.id))
    expected = Member(
        roles=(Role.HOSPITAL,),
        register_entry="GLN practice",
        status=MemberStatus.ACTIVE,
        admitted_at=FOUNDED_AT + 1,
        host=HOSPITAL.id,
    )
    assert chain.row(MEMBERS, PRACTICE.id) == expected
    assert chain.row(MEMBERS, HOSPITAL.id) == Member(
        roles=(Role.HOSPITAL, Role.RESEARCHER),
        register_entry="GLN hospital",
        status=MemberStatus.ACTIVE,
        admitted_at=FOUNDED_AT,
        hosted=1,
    )
    assert events == (
        MemberAdmitted(
            organisation=PRACTICE.id,
            roles=(Role.HOSPITAL,),
            register_entry="GLN practice",
            admitted_at=FOUNDED_AT + 1,
            host=HOSPITAL.id,
        ),
    )


@pytest.mark.parametrize("roles", [(Role.REGULATOR, Role.HOSPITAL), (Role.HOSPITAL, Role.HOSPITAL)])
def test_admission_refused_when_roles_are_not_sorted(chain: SmallChain, roles: tuple[Role, ...]) -> None:
    """
    Given a founded chain.
    When a member is to be admitted with roles out of order, or one twice.
    Then ROLES_NOT_SORTED: two encodings of one set may not exist.
    """
    assert refusal(chain, replace(admission(MAKER), roles=roles)) is ConsortiumReason.ROLES_NOT_SORTED


@pytest.mark.parametrize("suspended", [False, True])
def test_admission_refused_when_member_exists(chain: SmallChain, suspended: bool) -> None:
    """
    Given a member, active or suspended.
    When it is to be admitted.
    Then MEMBER_EXISTS: admission is no way round a suspension.
    """
    if suspended:
        decide(chain, SuspendMember(organisation=INSURER.id))
    assert refusal(chain, admission(INSURER)) is ConsortiumReason.MEMBER_EXISTS


def test_admission_refused_when_host_is_not_fit(chain: SmallChain) -> None:
    """
    Given a practice hosted by the hospital, and a suspended insurer.
    When members are to be admitted under the practice, the insurer, themselves, or nobody known.
    Then HOST_NOT_FIT each time: a host is another active member with its own node.
    """
    decide(chain, admission(PRACTICE, host=HOSPITAL.id))
    decide(chain, SuspendMember(organisation=INSURER.id))
    for host in (PRACTICE.id, INSURER.id, SECOND_PRACTICE.id, MAKER.id):
        assert refusal(chain, admission(SECOND_PRACTICE, host=host)) is ConsortiumReason.HOST_NOT_FIT


def test_move_refused_when_host_is_the_member_itself(chain: SmallChain) -> None:
    """
    Given an insurer with its own node.
    When it is to be hosted by itself.
    Then HOST_NOT_FIT.
    """
    change = MoveMember(organisation=INSURER.id, host=INSURER.id)
    assert refusal(chain, change) is ConsortiumReason.HOST_NOT_FIT


def test_return_refused_when_member_hosts_others(chain: SmallChain) -> None:
    """
    Given an insurer that hosts a practice and left.
    When it is to be admitted again as hosted.
    Then MEMBER_HOSTS_OTHERS; admitted with its own node it still hosts the practice.
    """
    decide(chain, admission(PRACTICE, host=INSURER.id))
    chain.submit(INSURER, Leave())
    assert refusal(chain, admission(INSURER, host=HOSPITAL.id)) is ConsortiumReason.MEMBER_HOSTS_OTHERS
    decide(chain, admission(INSURER))
    assert chain.row(MEMBERS, INSURER.id) == Member(
        roles=(Role.INSURER,),
        register_entry="GLN insurer",
        status=MemberStatus.ACTIVE,
        admitted_at=chain.time,
        hosted=1,
    )


def test_suspension_stops_the_member_and_not_whom_it_hosts(chain: SmallChain) -> None:
    """
    Given an insurer that hosts a practice.
    When the insurer is suspended, and later reinstated.
    Then its key does not write in between, the practice stays active, and both changes are announced.
    """
    decide(chain, admission(PRACTICE, host=INSURER.id))
    assert decide(chain, SuspendMember(organisation=INSURER.id)) == (MemberSuspended(organisation=INSURER.id),)
    assert not chain.can_write(INSURER)
    practice = chain.row(MEMBERS, PRACTICE.id)
    assert practice is not None and practice.status is MemberStatus.ACTIVE
    assert decide(chain, ReinstateMember(organisation=INSURER.id)) == (MemberReinstated(organisation=INSURER.id),)
    assert chain.can_write(INSURER)


@pytest.mark.parametrize("change", [SuspendMember, ReinstateMember, MoveMember])
def test_change_refused_when_member_is_not_found(
    chain: SmallChain, change: type[SuspendMember] | type[ReinstateMember] | type[MoveMember]
) -> None:
    """
    Given an organisation that never was a member.
    When it is to be suspended, reinstated or moved.
    Then MEMBER_NOT_FOUND, and nobody else is touched (MedRec dropped the last element instead).
    """
    assert refusal(chain, change(organisation=MAKER.id)) is ConsortiumReason.MEMBER_NOT_FOUND


@pytest.mark.parametrize("change", [SuspendMember, MoveMember])
def test_change_refused_when_member_is_not_active(
    chain: SmallChain, change: type[SuspendMember] | type[MoveMember]
) -> None:
    """
    Given a suspended member.
    When it is to be suspended again, or moved.
    Then MEMBER_NOT_ACTIVE.
    """
    decide(chain, SuspendMember(organisation=INSURER.id))
    assert refusal(chain, change(organisation=INSURER.id)) is ConsortiumReason.MEMBER_NOT_ACTIVE


@pytest.mark.parametrize(
    "change", [SuspendMember(organisation=HOSPITAL.id), MoveMember(organisation=HOSPITAL.id, host=INSURER.id)]
)
def test_change_refused_when_member_is_validator(chain: SmallChain, change: AnyChange) -> None:
    """
    Given a hospital that validates.
    When it is to be suspended, or hosted by another.
    Then MEMBER_IS_VALIDATOR: no quorum may count on a member that cannot answer.
    """
    assert refusal(chain, change) is ConsortiumReason.MEMBER_IS_VALIDATOR


def test_reinstatement_refused_when_member_is_not_suspended(chain: SmallChain) -> None:
    """
    Given an active member, and one that left.
    When each is to be reinstated.
    Then MEMBER_NOT_SUSPENDED: who left comes back only by admission.
    """
    assert refusal(chain, ReinstateMember(organisation=REGULATOR.id)) is ConsortiumReason.MEMBER_NOT_SUSPENDED
    chain.submit(INSURER, Leave())
    assert refusal(chain, ReinstateMember(organisation=INSURER.id)) is ConsortiumReason.MEMBER_NOT_SUSPENDED


def test_move_counts_at_both_hosts(chain: SmallChain) -> None:
    """
    Given a practice hosted by the hospital.
    When it moves to the insurer, and then to its own node.
    Then each move is announced and `hosted` follows.
    """
    decide(chain, admission(PRACTICE, host=HOSPITAL.id))
    assert decide(chain, MoveMember(organisation=PRACTICE.id, host=INSURER.id)) == (
        MemberMoved(organisation=PRACTICE.id, host=INSURER.id),
    )
    hosted = [(row := chain.row(MEMBERS, each.id)) and row.hosted for each in (HOSPITAL, INSURER)]
    assert hosted == [0, 1]
    assert decide(chain, MoveMember(organisation=PRACTICE.id)) == (MemberMoved(organisation=PRACTICE.id),)
    moved = chain.row(MEMBERS, PRACTICE.id)
    assert moved is not None and moved.host is UNSET


def test_hosted_member_cannot_validate(chain: SmallChain) -> None:
    """
    Given a practice hosted by the hospital.
    When it is to become a validator.
    Then MEMBER_IS_HOSTED.
    """
    decide(chain, admission(PRACTICE, host=HOSPITAL.id))
    assert refusal(chain, validator(PRACTICE)) is ConsortiumReason.MEMBER_IS_HOSTED


def test_leave_ends_the_membership(chain: SmallChain) -> None:
    """
    Given a member that hosts nobody.
    When it leaves.
    Then its row says so, it is announced, and its key does not write any more.
    """
    outcome = chain.submit(INSURER, Leave())
    assert outcome.events == (MemberLeft(organisation=INSURER.id),)
    left = chain.row(MEMBERS, INSURER.id)
    assert left is not None and left.status is MemberStatus.LEFT
    assert not chain.can_write(INSURER)


def test_leave_of_a_hosted_member_frees_its_host(chain: SmallChain) -> None:
    """
    Given a practice with keys, hosted by the insurer.
    When it leaves.
    Then the insurer hosts nobody.
    """
    chain = SmallChain((HOSPITAL, INSURER, PRACTICE))
    decide(chain, MoveMember(organisation=PRACTICE.id, host=INSURER.id))
    assert chain.submit(PRACTICE, Leave()).is_applied
    insurer = chain.row(MEMBERS, INSURER.id)
    assert insurer is not None and insurer.hosted == 0


def test_leave_refused_when_signer_is_not_a_member(chain: SmallChain) -> None:
    """
    Given a nurse of the hospital.
    When she signs that she leaves.
    Then NOT_A_MEMBER: only the organisation's own key ends its membership.
    """
    nurse = Party("nurse")
    chain.submit(HOSPITAL, chain.registration(nurse))
    assert chain.refusal(nurse, Leave()) == (ConsortiumReason.NOT_A_MEMBER, 0)


def test_leave_refused_when_member_is_validator(chain: SmallChain) -> None:
    """
    Given a hospital that validates.
    When it leaves.
    Then MEMBER_IS_VALIDATOR; after its power is given up it may.
    """
    assert chain.refusal(HOSPITAL, Leave()) == (ConsortiumReason.MEMBER_IS_VALIDATOR, 0)
    decide(chain, validator(INSURER, 100))
    chain.submit(INSURER, Propose(change=SetValidator(organisation=HOSPITAL.id, power=0)))
    assert chain.submit(HOSPITAL, Leave()).is_applied


def test_admission_takes_a_member_that_left_back(chain: SmallChain) -> None:
    """
    Given an insurer that left.
    When it is admitted again.
    Then its old key writes again.
    """
    chain.submit(INSURER, Leave())
    again: AdmitMember = admission(INSURER)
    decide(chain, again)
    assert chain.can_write(INSURER)
