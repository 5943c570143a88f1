# SPDX-License-Identifier: Apache-2.0
"""What the consortium module keeps: members, validators, parameters, rule tables, proposals and ballots.

All are few rows changed by vote. Members and validators are proved, since a stranger asks who belonged; parameters and
the heads of rule tables are configuration.
"""

from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType

from vervain.ledger.machine.table import Row, Table
from vervain.ledger.modules.consortium.messages import (
    AnyChange,
    MemberStatus,
    Power,
    ProposalStatus,
    Roles,
    RuleRows,
)
from vervain.ledger.primitives.codec import Bytes32, Natural, Positive, Text, UtcSeconds

PROPOSAL_SECONDS: Final = 14 * 86_400  # how long validators may vote: two weeks, so that a holiday does not decide
OPEN_PROPOSALS_MAX: Final = 8  # of one validator
RULE_TABLES_MAX: Final = 200  # names; every head counts into the configuration digest


class ParameterRange(NamedTuple):
    """What a parameter may be and what it is until somebody sets it; what it is for."""

    minimum: int
    maximum: int
    default: int
    meaning: str


PARAMETERS: Final[dict[str, ParameterRange]] = {
    "consent_period_seconds_max": ParameterRange(
        86_400,
        100 * 366 * 86_400,
        10 * 365 * 86_400,
        "Longest period of one grant; the default is ten years of 365 days.",
    ),
    "read_request_seconds_max": ParameterRange(60, 900, 900, "How far ahead a read request may expire."),
    "records_links_max": ParameterRange(1, 1_000, 64, "Most links one record commitment may name."),
}
"""Every parameter of the chain. A name that is not here is refused."""


class Member(Row, frozen=True, kw_only=True):
    """An organisation that belongs or belonged.

    Attributes:
        roles: What it is in health care.
        register_entry: Where a public register names it.
        status: Whether it takes part.
        admitted_at: Block time of its last admission.
        host: 32-byte id of the member whose node it uses; absent when it runs its own.
        hosted: How many members use its node.
    """

    roles: Roles
    register_entry: Text
    status: MemberStatus
    admitted_at: UtcSeconds
    host: Bytes32 | UnsetType = UNSET
    hosted: Natural = 0


class ValidatorRow(Row, frozen=True, kw_only=True):
    """A consensus member: its power and its two keys (32-byte Ed25519)."""

    engine_key: Bytes32
    power: Power
    cosigning_key: Bytes32


class Parameter(Row, frozen=True, kw_only=True):
    """A parameter that was set."""

    value: Natural


class RuleTableHead(Row, frozen=True, kw_only=True):
    """The version of a rule table that rules."""

    version: Positive
    digest: Bytes32


class RuleTable(Row, frozen=True, kw_only=True):
    """One version of a rule table.

    Attributes:
        rows: Cells as text; what a column means belongs to the table's name.
        digest: 32 bytes: SHA-256("vervain/rule-table/v1\\n" || JCS {name, rows, version}).
        since: Block time from which it was the newest.
    """

    rows: RuleRows
    digest: Bytes32
    since: UtcSeconds


class Proposal(Row, frozen=True, kw_only=True):
    """A change put to the vote."""

    change: AnyChange
    proposer: Bytes32
    proposed_at: UtcSeconds
    expires_at: UtcSeconds
    status: ProposalStatus = ProposalStatus.OPEN


class OpenProposal(Row, frozen=True, kw_only=True):
    """Index: a proposal that is not decided."""

    expires_at: UtcSeconds


class Ballot(Row, frozen=True, kw_only=True):
    """One validator's vote on one proposal."""

    approve: bool
    cast_at: UtcSeconds


MEMBERS = Table(name="consortium.members", number=101, row=Member, key=(32,), proved=True)
VALIDATORS = Table(name="consortium.validators", number=102, row=ValidatorRow, key=(32,), proved=True)
PARAMETER_ROWS = Table(name="consortium.parameters", number=103, row=Parameter, key=(0,), configuration=True)
RULE_TABLE_HEADS = Table(name="consortium.rule_tables", number=104, row=RuleTableHead, key=(0,), configuration=True)
RULE_TABLE_VERSIONS = Table(name="consortium.rule_table_versions", number=105, row=RuleTable, key=(4, 0))
PROPOSALS = Table(name="consortium.proposals", number=106, row=Proposal, key=(32,))
OPEN_PROPOSALS = Table(name="consortium.open_proposals", number=107, row=OpenProposal, key=(32, 32))
BALLOTS = Table(name="consortium.ballots", number=108, row=Ballot, key=(32, 32))

TABLES = (
    MEMBERS,
    VALIDATORS,
    PARAMETER_ROWS,
    RULE_TABLE_HEADS,
    RULE_TABLE_VERSIONS,
    PROPOSALS,
    OPEN_PROPOSALS,
    BALLOTS,
)
