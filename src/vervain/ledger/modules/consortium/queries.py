# SPDX-License-Identifier: Apache-2.0
"""What can be read of the consortium: by anybody through `QUERIES`, by other modules through the plain functions."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.limits import QUERY_ROWS_MAX
from vervain.ledger.machine.module import Query, Validator
from vervain.ledger.machine.refusals import NotFound, Reason
from vervain.ledger.machine.store import Store, after
from vervain.ledger.modules.consortium.messages import ConsortiumReason, MemberStatus, Role
from vervain.ledger.modules.consortium.state import (
    BALLOTS,
    MEMBERS,
    PARAMETER_ROWS,
    PARAMETERS,
    PROPOSALS,
    RULE_TABLE_HEADS,
    RULE_TABLE_VERSIONS,
    VALIDATORS,
    Ballot,
    Member,
    Proposal,
    RuleTable,
)
from vervain.ledger.primitives.codec import Bytes32, Code, Positive

PAGE_ROWS: Final = 100

# For other modules


class _Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a member's row that admission needs; decoding it alone takes a fifth of the time."""

    status: MemberStatus


_standing = msgspec.json.Decoder(_Standing).decode


def member(store: Store, organisation: bytes) -> Member | None:
    """Return the member row of an organisation (32-byte id), whatever its status, or None."""
    return MEMBERS.get(store, organisation)


def is_active(store: Store, organisation: bytes) -> bool:
    """Tell whether an organisation (32-byte id) is a member that takes part. Reads one row."""
    stored = store.get(MEMBERS.stored_key(organisation))
    return stored is not None and _standing(stored).status is MemberStatus.ACTIVE


def require_active_member(store: Store, organisation: bytes, reason: Reason) -> Member:
    """Return the row of an active member.

    Refuses: the kind of `reason`.
    """
    row = MEMBERS.get(store, organisation)
    if row is None or row.status is not MemberStatus.ACTIVE:
        raise reason.kind(reason, organisation=organisation)
    return row


def has_role(store: Store, organisation: bytes, role: Role) -> bool:
    """Tell whether an organisation is an active member of that role."""
    row = MEMBERS.get(store, organisation)
    return row is not None and row.status is MemberStatus.ACTIVE and role in row.roles


def validators(store: Store) -> tuple[Validator, ...]:
    """Return the consensus members, sorted by organisation."""
    return tuple(
        Validator(
            organisation=organisation, engine_key=row.engine_key, power=row.power, cosigning_key=row.cosigning_key
        )
        for organisation, row in VALIDATORS.rows(store)
    )


def parameter(store: Store, name: str) -> int:
    """Return a parameter's value: as set, else its default. The name is one of the known ones."""
    row = PARAMETER_ROWS.get(store, name)
    return PARAMETERS[name].default if row is None else row.value


def newest_rule_table(store: Store, name: str) -> RuleTable | None:
    """Return the version of a rule table that rules, or None when there is no table of that name."""
    head = RULE_TABLE_HEADS.get(store, name)
    return None if head is None else RULE_TABLE_VERSIONS.require(store, (head.version, name))


# Questions


class OrganisationArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names an organisation by its 32-byte id."""

    organisation: Bytes32


class MembersArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A page: members whose id sorts after `after`, at most `limit`."""

    after: Bytes32 | UnsetType = UNSET
    limit: Annotated[int, msgspec.Meta(ge=1, le=QUERY_ROWS_MAX)] = PAGE_ROWS


class NoArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question without arguments."""


class ParameterArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a parameter."""

    name: Code


class RuleTableArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Names a rule table; without `version`, the one that rules."""

    name: Code
    version: Positive | UnsetType = UNSET


class ProposalArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a proposal by its 32-byte id."""

    proposal: Bytes32


class MemberEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A member and its id."""

    organisation: bytes
    member: Member


class MembersPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Members in id order; `next` is the `after` of the following page, absent on the last."""

    members: tuple[MemberEntry, ...]
    next: bytes | UnsetType = UNSET


class ValidatorsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All validators, sorted by organisation."""

    validators: tuple[Validator, ...]


class ParameterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter's value in force and the range it may be set to."""

    name: str
    value: int
    minimum: int
    maximum: int


class RuleTableAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a rule table."""

    name: str
    version: int
    table: RuleTable


class BallotEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who voted, and how."""

    organisation: bytes
    ballot: Ballot


class ProposalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal and its ballots, sorted by organisation."""

    proposal: Proposal
    ballots: tuple[BallotEntry, ...]


def answer_member(store: Store, arguments: OrganisationArguments) -> Member:
    """Return one member.

    Refuses: NotFound(MEMBER_NOT_FOUND).
    """
    return MEMBERS.require(store, arguments.organisation, ConsortiumReason.MEMBER_NOT_FOUND)


def answer_members(store: Store, arguments: MembersArguments) -> MembersPage:
    """Return a page of members."""
    table = MEMBERS.stored_key(())
    start = table if arguments.after is UNSET else MEMBERS.stored_key(arguments.after) + b"\x00"
    entries: list[MemberEntry] = []
    for stored_key, stored in store.range(start, after(table)):
        if len(entries) == arguments.limit:
            return MembersPage(members=tuple(entries), next=entries[-1].organisation)
        entries.append(MemberEntry(organisation=stored_key[2:], member=MEMBERS.from_stored(stored)))
    return MembersPage(members=tuple(entries))


def answer_validators(store: Store, _arguments: NoArguments) -> ValidatorsAnswer:
    """Return all validators."""
    return ValidatorsAnswer(validators=validators(store))


def answer_parameter(store: Store, arguments: ParameterArguments) -> ParameterAnswer:
    """Return a parameter.

    Refuses: NotFound(UNKNOWN_PARAMETER).
    """
    known = PARAMETERS.get(arguments.name)
    if known is None:
        raise NotFound(ConsortiumReason.UNKNOWN_PARAMETER)
    return ParameterAnswer(
        name=arguments.name,
        value=parameter(store, arguments.name),
        minimum=known.minimum,
        maximum=known.maximum,
    )


def answer_rule_table(store: Store, arguments: RuleTableArguments) -> RuleTableAnswer:
    """Return a version of a rule table.

    Refuses: NotFound(RULE_TABLE_NOT_FOUND).
    """
    head = RULE_TABLE_HEADS.require(store, arguments.name, ConsortiumReason.RULE_TABLE_NOT_FOUND)
    version = head.version if arguments.version is UNSET else arguments.version
    if version > head.version:
        raise NotFound(ConsortiumReason.RULE_TABLE_NOT_FOUND, version=version)
    table = RULE_TABLE_VERSIONS.require(store, (version, arguments.name))
    return RuleTableAnswer(name=arguments.name, version=version, table=table)


def answer_proposal(store: Store, arguments: ProposalArguments) -> ProposalAnswer:
    """Return a proposal with its ballots.

    Refuses: NotFound(PROPOSAL_NOT_FOUND).
    """
    proposal = PROPOSALS.require(store, arguments.proposal, ConsortiumReason.PROPOSAL_NOT_FOUND)
    ballots = tuple(
        BallotEntry(organisation=key[32:], ballot=ballot) for key, ballot in BALLOTS.rows(store, arguments.proposal)
    )
    return ProposalAnswer(proposal=proposal, ballots=ballots)


QUERIES = {
    "consortium.member": Query(arguments=OrganisationArguments, answer=answer_member, summary="One member."),
    "consortium.members": Query(arguments=MembersArguments, answer=answer_members, summary="Members, page by page."),
    "consortium.validators": Query(arguments=NoArguments, answer=answer_validators, summary="All validators."),
    "consortium.parameter": Query(arguments=ParameterArguments, answer=answer_parameter, summary="One parameter."),
    "consortium.rule_table": Query(
        arguments=RuleTableArguments,
        answer=answer_rule_table,
        summary="A rule table, the newest version or an older one.",
    ),
    "consortium.proposal": Query(
        arguments=ProposalArguments, answer=answer_proposal, summary="A proposal and its ballots."
    ),
}
