# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the consortium module, what it announces, why it refuses: the wire contract.

Everything that changes who belongs, who validates and which parameters and rule tables hold is one *change*, proposed
by a validator and applied by more than 2/3 of the validators' power. The founding is made of the same changes.

Sources: architecture.md "modules/consortium"; rulings.md "Fence" (rule tables are rows of the consortium).
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.limits import VALIDATORS_MAX
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import Conflict, Forbidden, LimitExceeded, Malformed, NotFound, Reason
from vervain.ledger.primitives.codec import Bytes32, Code, Natural, Positive, Text, UtcSeconds
from vervain.ledger.primitives.hashing import PROPOSAL, sha256

VALIDATOR_POWER_MAX: Final = 1_000_000  # of one validator; the total stays below 10^8, far inside any engine's bound
FOUNDING_MEMBERS_MAX: Final = 1_000
RULE_TABLE_ROWS_MAX: Final = 2_000
RULE_TABLE_COLUMNS_MAX: Final = 32
WORK_TALLY: Final = 2 * VALIDATORS_MAX  # each validator and its ballot are read
WORK_CHECK: Final = (
    200  # the dearest check: all rule table heads are counted, or all validators read and two keys vetted
)
WORK_APPLY: Final = 8  # a change, its proposal and its index row are written
WORK_PROPOSE: Final = 24  # the proposer's open proposals are looked through, the proposal and its ballot written
WORK_VOTE: Final = 6


class Role(StrEnum):
    """What a member is in health care. A member may have several."""

    HOSPITAL = "hospital"
    INSURER = "insurer"
    LABORATORY = "laboratory"
    MAKER = "maker"  # of medicines or devices
    PATIENT_BODY = "patient_body"  # patients' organisation
    PHARMACY = "pharmacy"
    PRACTICE = "practice"
    REGULATOR = "regulator"  # keeps a professional register; issues licences
    RESEARCHER = "researcher"
    SPONSOR = "sponsor"  # of trials


Roles = Annotated[tuple[Role, ...], msgspec.Meta(min_length=1, max_length=len(Role))]
Power = Annotated[int, msgspec.Meta(ge=0, le=VALIDATOR_POWER_MAX)]
RuleRow = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=RULE_TABLE_COLUMNS_MAX)]
RuleRows = Annotated[tuple[RuleRow, ...], msgspec.Meta(min_length=1, max_length=RULE_TABLE_ROWS_MAX)]


class MemberStatus(StrEnum):
    """Whether a member takes part."""

    ACTIVE = "active"
    LEFT = "left"  # by its own will; may be admitted again
    SUSPENDED = "suspended"  # by vote; its keys do not write until it is reinstated


class ProposalStatus(StrEnum):
    """What came of a proposal."""

    APPLIED = "applied"
    EXPIRED = "expired"
    OPEN = "open"
    REJECTED = "rejected"  # it can no longer reach more than 2/3
    VOID = "void"  # accepted, but it no longer fitted what was so by then; nothing changed


class ConsortiumReason(Reason):
    """Why a consortium message, question or founding is refused. Module number 1."""

    NOT_A_VALIDATOR = (
        101,
        Forbidden,
        "The signer is not a validator's organisation.",
        "Sign with a validator's own key.",
    )
    NOT_A_MEMBER = 102, Forbidden, "The signer is not an active member's organisation.", "Sign with a member's own key."
    MEMBER_EXISTS = 103, Conflict, "The organisation is a member already.", "Reinstate it if it is suspended."
    MEMBER_NOT_FOUND = 104, NotFound, "The organisation was never a member.", "Check the id."
    MEMBER_NOT_ACTIVE = 105, Conflict, "The member is not active.", "Reinstate it first."
    MEMBER_NOT_SUSPENDED = 106, Conflict, "The member is not suspended.", "Nothing to reinstate."
    HOST_NOT_FIT = 107, Conflict, "The host is not an active member with its own node.", "Name another host, or none."
    MEMBER_HOSTS_OTHERS = 108, Conflict, "The member hosts others and cannot be hosted.", "Move those members first."
    MEMBER_IS_VALIDATOR = 109, Conflict, "The member is a validator.", "Set its power to 0 first."
    MEMBER_IS_HOSTED = (
        110,
        Conflict,
        "A hosted member runs no node and cannot validate.",
        "Move it to its own node first.",
    )
    LAST_VALIDATOR = (
        111,
        Conflict,
        "The chain would be left without a validator.",
        "Give another validator power first.",
    )
    VALIDATOR_NOT_FOUND = 112, NotFound, "The organisation is not a validator.", "Check the id; nothing to remove."
    VALIDATOR_KEYS_NOT_FIT = (
        113,
        Malformed,
        "A validator needs two different sound public keys; a removal names none.",
        "Give engine_key and cosigning_key with a power, neither with power 0.",
    )
    VALIDATOR_KEY_USED = 114, Conflict, "Another validator has one of these keys.", "Make fresh keys."
    TOO_MANY_VALIDATORS = 115, LimitExceeded, "There are as many validators as there may be.", "Remove one first."
    UNKNOWN_PARAMETER = 116, NotFound, "The consortium has no parameter of this name.", "See the module's README."
    PARAMETER_OUT_OF_RANGE = 117, Malformed, "The value is outside the parameter's range.", "See the module's README."
    ROLES_NOT_SORTED = 118, Malformed, "The roles are not sorted or one is repeated.", "Sort them and name each once."
    RULE_TABLE_NOT_FOUND = 119, NotFound, "There is no rule table of this name and version.", "Check name and version."
    RULE_TABLE_UNEVEN = 120, Malformed, "The rows of the rule table have different lengths.", "Fill every cell."
    RULE_TABLE_VERSION = (
        121,
        Conflict,
        "The version does not follow the newest one.",
        "Use the next version; the first is 1.",
    )
    TOO_MANY_RULE_TABLES = 122, LimitExceeded, "There are as many rule tables as there may be.", "Use an existing name."
    PROPOSAL_NOT_FOUND = 123, NotFound, "There is no proposal with this id.", "Check the id; it may not be final yet."
    PROPOSAL_CLOSED = 124, Conflict, "The proposal is decided.", "Propose again."
    PROPOSAL_EXPIRED = 125, Conflict, "The time to vote is over.", "Propose again."
    ALREADY_VOTED = (
        126,
        Conflict,
        "This validator has voted on this proposal.",
        "A vote is final; propose the contrary.",
    )
    TOO_MANY_PROPOSALS = 127, LimitExceeded, "This validator has too many open proposals.", "Wait until one is decided."
    NOTHING_DECIDED = 128, Conflict, "The votes decide nothing yet.", "Wait for more votes."


class Change(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
    """Base of everything the validators decide together."""


class AdmitMember(Change, frozen=True, kw_only=True, tag="admit_member"):
    """Take an organisation in, or take it in again after it left.

    Attributes:
        organisation: 32-byte actor id, from its first public key.
        roles: Sorted, each once.
        register_entry: Where a public register names it, e.g. `GLN 0614141000012`.
        host: 32-byte id of the member whose node it uses; absent when it runs its own.
    """

    organisation: Bytes32
    roles: Roles
    register_entry: Text
    host: Bytes32 | UnsetType = UNSET


class SuspendMember(Change, frozen=True, kw_only=True, tag="suspend_member"):
    """Stop a member's keys from writing. Members it hosts go on."""

    organisation: Bytes32


class ReinstateMember(Change, frozen=True, kw_only=True, tag="reinstate_member"):
    """Let a suspended member write again."""

    organisation: Bytes32


class MoveMember(Change, frozen=True, kw_only=True, tag="move_member"):
    """Give a member another host; without `host` it runs its own node from now on."""

    organisation: Bytes32
    host: Bytes32 | UnsetType = UNSET


class SetValidator(Change, frozen=True, kw_only=True, tag="set_validator"):
    """Make a member a validator, change its power or keys, or remove it with power 0.

    Attributes:
        organisation: 32-byte id of an active member with its own node.
        power: Voting power; 0 removes.
        engine_key: 32-byte Ed25519 key of its consensus engine; absent with power 0.
        cosigning_key: 32-byte Ed25519 key that cosigns checkpoints and nothing else; absent with power 0.
    """

    organisation: Bytes32
    power: Power
    engine_key: Bytes32 | UnsetType = UNSET
    cosigning_key: Bytes32 | UnsetType = UNSET


class SetParameter(Change, frozen=True, kw_only=True, tag="set_parameter"):
    """Set a named number within its range."""

    name: Code
    value: Natural


class PutRuleTable(Change, frozen=True, kw_only=True, tag="put_rule_table"):
    """Put the next version of a rule table in force; older versions stay readable.

    Attributes:
        name: The table's name.
        version: 1 for a new table, else the newest version plus one.
        rows: All rows, each with the same number of cells; what the columns mean belongs to the table's name.
    """

    name: Code
    version: Positive
    rows: RuleRows


AnyChange = AdmitMember | SuspendMember | ReinstateMember | MoveMember | SetValidator | SetParameter | PutRuleTable


class Propose(Message, frozen=True, kw_only=True, tag="consortium.propose"):
    """Put a change to the vote, signed by a validator's organisation; it counts as its yes."""

    WORK: ClassVar[int] = WORK_PROPOSE + 2 * WORK_CHECK + WORK_TALLY + WORK_APPLY

    change: AnyChange


class Vote(Message, frozen=True, kw_only=True, tag="consortium.vote"):
    """Vote on an open proposal, signed by a validator's organisation. A vote is final.

    Attributes:
        proposal: 32-byte id.
        approve: Yes or no.
    """

    WORK: ClassVar[int] = WORK_VOTE + WORK_TALLY + WORK_CHECK + WORK_APPLY

    proposal: Bytes32
    approve: bool


class CountVotes(Message, frozen=True, kw_only=True, tag="consortium.count_votes"):
    """Count an open proposal again, after the validators changed and the votes cast already decide it."""

    WORK: ClassVar[int] = WORK_VOTE + WORK_TALLY + WORK_CHECK + WORK_APPLY

    proposal: Bytes32


class Leave(Message, frozen=True, kw_only=True, tag="consortium.leave"):
    """Leave the consortium, signed by the member's organisation. Its keys do not write from the next block on."""

    WORK: ClassVar[int] = 6


class MemberAdmitted(Event, frozen=True, kw_only=True, tag="consortium.member_admitted"):
    """An organisation takes part from `admitted_at` (block time, UTC seconds) on."""

    organisation: Bytes32
    roles: Roles
    register_entry: Text
    admitted_at: UtcSeconds
    host: Bytes32 | UnsetType = UNSET


class MemberSuspended(Event, frozen=True, kw_only=True, tag="consortium.member_suspended"):
    """A member's keys do not write from the next block on."""

    organisation: Bytes32


class MemberReinstated(Event, frozen=True, kw_only=True, tag="consortium.member_reinstated"):
    """A suspended member's keys write again from the next block on."""

    organisation: Bytes32


class MemberMoved(Event, frozen=True, kw_only=True, tag="consortium.member_moved"):
    """A member has another host, or its own node when `host` is absent."""

    organisation: Bytes32
    host: Bytes32 | UnsetType = UNSET


class MemberLeft(Event, frozen=True, kw_only=True, tag="consortium.member_left"):
    """A member left by its own will."""

    organisation: Bytes32


class ValidatorSet(Event, frozen=True, kw_only=True, tag="consortium.validator_set"):
    """A validator came, changed, or went (power 0)."""

    organisation: Bytes32
    power: Power
    engine_key: Bytes32 | UnsetType = UNSET
    cosigning_key: Bytes32 | UnsetType = UNSET


class ParameterSet(Event, frozen=True, kw_only=True, tag="consortium.parameter_set"):
    """A parameter has a new value."""

    name: Code
    value: Natural


class RuleTablePut(Event, frozen=True, kw_only=True, tag="consortium.rule_table_put"):
    """A rule table has a new version in force."""

    name: Code
    version: Positive
    digest: Bytes32


class ProposalMade(Event, frozen=True, kw_only=True, tag="consortium.proposal_made"):
    """A change can be voted on until `expires_at` (UTC seconds)."""

    proposal: Bytes32
    proposer: Bytes32
    expires_at: UtcSeconds


class VoteCast(Event, frozen=True, kw_only=True, tag="consortium.vote_cast"):
    """A validator voted; the proposer's yes is announced like any other."""

    proposal: Bytes32
    organisation: Bytes32
    approve: bool


class ProposalClosed(Event, frozen=True, kw_only=True, tag="consortium.proposal_closed"):
    """A proposal was applied or rejected, expired, or was void when its turn came."""

    proposal: Bytes32
    status: ProposalStatus


class ConsortiumFounding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The consortium's section of the genesis: the first changes, agreed by founding on them.

    Attributes:
        members: Hosts may stand before or after the members they host.
        validators: At least one; each a founding member with its own node.
        parameters: Those that differ from their defaults.
        rule_tables: First versions.
    """

    members: Annotated[tuple[AdmitMember, ...], msgspec.Meta(min_length=1, max_length=FOUNDING_MEMBERS_MAX)]
    validators: Annotated[tuple[SetValidator, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    parameters: Annotated[tuple[SetParameter, ...], msgspec.Meta(max_length=64)] = ()
    rule_tables: Annotated[tuple[PutRuleTable, ...], msgspec.Meta(max_length=64)] = ()


def proposal_id(txid: bytes, entry_index: int) -> bytes:
    """Return the 32-byte id of the proposal made by entry `entry_index` of transaction `txid` (32 bytes)."""
    return sha256(PROPOSAL + txid + entry_index.to_bytes(4, "big"))


EVENTS = (
    MemberAdmitted,
    MemberSuspended,
    MemberReinstated,
    MemberMoved,
    MemberLeft,
    ValidatorSet,
    ParameterSet,
    RuleTablePut,
    ProposalMade,
    VoteCast,
    ProposalClosed,
)
