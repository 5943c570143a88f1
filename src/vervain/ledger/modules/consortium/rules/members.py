# SPDX-License-Identifier: Apache-2.0
"""Members: admission, suspension, hosts, leaving.

Each change is a pair: `check_...` refuses what does not fit the state, the other writes and announces it.
Kept invariants: a member with a host hosts nobody; `hosted` counts the members that use a node; a validator is an
active member with its own node. Members that lose their host to suspension or leaving go on; they are moved by vote.
"""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.refusals import Conflict, Malformed
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium import queries
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    ConsortiumReason,
    Leave,
    MemberAdmitted,
    MemberLeft,
    MemberMoved,
    MemberReinstated,
    MemberStatus,
    MemberSuspended,
    MoveMember,
    ReinstateMember,
    SuspendMember,
)
from vervain.ledger.modules.consortium.state import MEMBERS, VALIDATORS, Member


def leave(context: Context, message: Leave) -> None:
    """End a member's membership by its own will. Members that use its node stay, and are moved by vote.

    Refuses: Forbidden(NOT_A_MEMBER), Conflict(MEMBER_IS_VALIDATOR).
    """
    # AUTHORITY
    organisation = context.actor
    member = queries.require_active_member(context.store, organisation, ConsortiumReason.NOT_A_MEMBER)

    # PRECONDITIONS
    _require_not_validator(context.store, organisation)

    # CHANGE
    _count_hosted(context.store, member.host, -1)
    MEMBERS.put(context.store, organisation, replace(member, status=MemberStatus.LEFT, host=UNSET))

    # EVENT
    context.emit(MemberLeft(organisation=organisation))


def check_admit_member(store: Store, change: AdmitMember) -> None:
    """Refuse an admission that does not fit.

    Refuses: Malformed(ROLES_NOT_SORTED), Conflict(MEMBER_EXISTS, HOST_NOT_FIT, MEMBER_HOSTS_OTHERS).
    """
    if list(change.roles) != sorted(set(change.roles)):
        raise Malformed(ConsortiumReason.ROLES_NOT_SORTED)
    known = MEMBERS.get(store, change.organisation)
    if known is not None and known.status is not MemberStatus.LEFT:
        raise Conflict(ConsortiumReason.MEMBER_EXISTS, organisation=change.organisation)
    _require_host_fits(store, change.organisation, known, change.host)


def admit_member(context: Context, change: AdmitMember) -> None:
    """Write and announce an admission; an organisation that returns still hosts whom it hosted."""
    known = MEMBERS.get(context.store, change.organisation)
    member = Member(
        roles=change.roles,
        register_entry=change.register_entry,
        status=MemberStatus.ACTIVE,
        admitted_at=context.block_time,
        host=change.host,
        hosted=known.hosted if known else 0,
    )
    MEMBERS.put(context.store, change.organisation, member)
    _count_hosted(context.store, change.host, +1)
    context.emit(
        MemberAdmitted(
            organisation=change.organisation,
            roles=change.roles,
            register_entry=change.register_entry,
            admitted_at=context.block_time,
            host=change.host,
        )
    )


def check_suspend_member(store: Store, change: SuspendMember) -> None:
    """Refuse a suspension that does not fit. A validator's power is taken first, so that no quorum counts on it.

    Refuses: NotFound(MEMBER_NOT_FOUND), Conflict(MEMBER_NOT_ACTIVE, MEMBER_IS_VALIDATOR).
    """
    member = MEMBERS.require(store, change.organisation, ConsortiumReason.MEMBER_NOT_FOUND)
    if member.status is not MemberStatus.ACTIVE:
        raise Conflict(ConsortiumReason.MEMBER_NOT_ACTIVE, organisation=change.organisation)
    _require_not_validator(store, change.organisation)


def suspend_member(context: Context, change: SuspendMember) -> None:
    """Write and announce a suspension."""
    member = MEMBERS.require(context.store, change.organisation)
    MEMBERS.put(context.store, change.organisation, replace(member, status=MemberStatus.SUSPENDED))
    context.emit(MemberSuspended(organisation=change.organisation))


def check_reinstate_member(store: Store, change: ReinstateMember) -> None:
    """Refuse a reinstatement that does not fit.

    Refuses: NotFound(MEMBER_NOT_FOUND), Conflict(MEMBER_NOT_SUSPENDED).
    """
    member = MEMBERS.require(store, change.organisation, ConsortiumReason.MEMBER_NOT_FOUND)
    if member.status is not MemberStatus.SUSPENDED:
        raise Conflict(ConsortiumReason.MEMBER_NOT_SUSPENDED, organisation=change.organisation)


def reinstate_member(context: Context, change: ReinstateMember) -> None:
    """Write and announce a reinstatement."""
    member = MEMBERS.require(context.store, change.organisation)
    MEMBERS.put(context.store, change.organisation, replace(member, status=MemberStatus.ACTIVE))
    context.emit(MemberReinstated(organisation=change.organisation))


def check_move_member(store: Store, change: MoveMember) -> None:
    """Refuse a move that does not fit.

    Refuses: NotFound(MEMBER_NOT_FOUND), Conflict(MEMBER_NOT_ACTIVE, HOST_NOT_FIT, MEMBER_HOSTS_OTHERS,
        MEMBER_IS_VALIDATOR).
    """
    member = MEMBERS.require(store, change.organisation, ConsortiumReason.MEMBER_NOT_FOUND)
    if member.status is not MemberStatus.ACTIVE:
        raise Conflict(ConsortiumReason.MEMBER_NOT_ACTIVE, organisation=change.organisation)
    _require_host_fits(store, change.organisation, member, change.host)
    if change.host is not UNSET:
        _require_not_validator(store, change.organisation)


def move_member(context: Context, change: MoveMember) -> None:
    """Write and announce a member's other host, or its own node."""
    member = MEMBERS.require(context.store, change.organisation)
    _count_hosted(context.store, member.host, -1)
    MEMBERS.put(context.store, change.organisation, replace(member, host=change.host))
    _count_hosted(context.store, change.host, +1)
    context.emit(MemberMoved(organisation=change.organisation, host=change.host))


def _require_not_validator(store: Store, organisation: bytes) -> None:
    if VALIDATORS.has(store, organisation):
        raise Conflict(ConsortiumReason.MEMBER_IS_VALIDATOR, organisation=organisation)


def _require_host_fits(store: Store, organisation: bytes, member: Member | None, host: bytes | UnsetType) -> None:
    """Refuse a host that is not another active member with its own node, and a hosted member that hosts others."""
    if host is UNSET:
        return
    if member is not None and member.hosted:
        raise Conflict(ConsortiumReason.MEMBER_HOSTS_OTHERS, organisation=organisation)
    host_row = MEMBERS.get(store, host)
    is_fit = host_row is not None and host_row.status is MemberStatus.ACTIVE and host_row.host is UNSET
    if not is_fit or host == organisation:
        raise Conflict(ConsortiumReason.HOST_NOT_FIT, host=host)


def _count_hosted(store: Store, host: bytes | UnsetType, step: int) -> None:
    if host is not UNSET:
        row = MEMBERS.require(store, host)
        MEMBERS.put(store, host, replace(row, hosted=row.hosted + step))
