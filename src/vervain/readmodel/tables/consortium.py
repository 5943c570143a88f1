# SPDX-License-Identifier: Apache-2.0
"""Member organisations, validators and proposals as rows."""

from collections.abc import Mapping

from msgspec import UNSET
from sqlalchemy import BigInteger, Column, LargeBinary, String, Table, Text

from vervain.ledger.machine.outcome import Event
from vervain.ledger.modules.consortium.messages import (
    MemberAdmitted,
    MemberLeft,
    MemberMoved,
    MemberReinstated,
    MemberSuspended,
    ParameterSet,
    ProposalClosed,
    ProposalMade,
    RuleTablePut,
    ValidatorSet,
    VoteCast,
)
from vervain.readmodel.tables.chain import METADATA, Place, Projection, Rows

MEMBERS = Table(
    "members",
    METADATA,
    Column("organisation", LargeBinary(32), primary_key=True),
    Column("roles", Text, nullable=False),
    Column("register_entry", Text, nullable=False),
    Column("host", LargeBinary(32)),
    Column("status", String(16), nullable=False),
    Column("admitted_at", BigInteger, nullable=False),
)

VALIDATORS = Table(
    "validators",
    METADATA,
    Column("organisation", LargeBinary(32), primary_key=True),
    Column("since_height", BigInteger, primary_key=True, autoincrement=False),
    Column("power", BigInteger, nullable=False),
)

PROPOSALS = Table(
    "proposals",
    METADATA,
    Column("proposal", LargeBinary(32), primary_key=True),
    Column("proposer", LargeBinary(32), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
)

BALLOTS = Table(
    "ballots",
    METADATA,
    Column("proposal", LargeBinary(32), primary_key=True),
    Column("organisation", LargeBinary(32), primary_key=True),
    Column("approve", String(3), nullable=False),
    Column("cast_at", BigInteger, nullable=False),
)


def member_admitted(rows: Rows, _place: Place, _message: object, event: MemberAdmitted) -> None:
    """Add the member."""
    rows.insert(
        MEMBERS,
        organisation=event.organisation,
        roles=",".join(event.roles),
        register_entry=event.register_entry,
        host=None if event.host is UNSET else event.host,
        status="active",
        admitted_at=event.admitted_at,
    )


def member_suspended(rows: Rows, _place: Place, _message: object, event: MemberSuspended) -> None:
    """Mark the member."""
    rows.update(MEMBERS, {"organisation": event.organisation}, status="suspended")


def member_reinstated(rows: Rows, _place: Place, _message: object, event: MemberReinstated) -> None:
    """Mark the member."""
    rows.update(MEMBERS, {"organisation": event.organisation}, status="active")


def member_left(rows: Rows, _place: Place, _message: object, event: MemberLeft) -> None:
    """Mark the member."""
    rows.update(MEMBERS, {"organisation": event.organisation}, status="left")


def member_moved(rows: Rows, _place: Place, _message: object, event: MemberMoved) -> None:
    """Note the member's new host."""
    rows.update(MEMBERS, {"organisation": event.organisation}, host=None if event.host is UNSET else event.host)


def validator_set(rows: Rows, place: Place, _message: object, event: ValidatorSet) -> None:
    """Add a line to the validators' history; power 0 ends one."""
    rows.insert(VALIDATORS, organisation=event.organisation, since_height=place.height, power=event.power)


def proposal_made(rows: Rows, place: Place, _message: object, event: ProposalMade) -> None:
    """Add the proposal."""
    rows.insert(PROPOSALS, proposal=event.proposal, proposer=event.proposer, made_at=place.time, status="open")


def vote_cast(rows: Rows, place: Place, _message: object, event: VoteCast) -> None:
    """Add the ballot."""
    rows.insert(
        BALLOTS,
        proposal=event.proposal,
        organisation=event.organisation,
        approve="yes" if event.approve else "no",
        cast_at=place.time,
    )


def proposal_closed(rows: Rows, _place: Place, _message: object, event: ProposalClosed) -> None:
    """Note what came of the proposal."""
    rows.update(PROPOSALS, {"proposal": event.proposal}, status=str(event.status))


def not_shown(_rows: Rows, _place: Place, _message: object, _event: ParameterSet | RuleTablePut) -> None:
    """Parameters and rule tables are asked of the agreed state; nobody searches them."""


PROJECTIONS: Mapping[type[Event], Projection] = {
    MemberAdmitted: member_admitted,
    MemberSuspended: member_suspended,
    MemberReinstated: member_reinstated,
    MemberLeft: member_left,
    MemberMoved: member_moved,
    ValidatorSet: validator_set,
    ProposalMade: proposal_made,
    VoteCast: vote_cast,
    ProposalClosed: proposal_closed,
    ParameterSet: not_shown,
    RuleTablePut: not_shown,
}
