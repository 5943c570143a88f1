# SPDX-License-Identifier: Apache-2.0
"""What members and validators try with the consortium module."""

from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from tests.simulation.generator import Aims, Draft, Generator
from tests.simulation.lowered import maximum
from vervain.ledger.machine.refusals import APPLIED, MachineReason
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    AnyChange,
    CountVotes,
    Leave,
    MemberStatus,
    MoveMember,
    ProposalStatus,
    Propose,
    PutRuleTable,
    ReinstateMember,
    Role,
    SetParameter,
    SetValidator,
    SuspendMember,
    Vote,
)
from vervain.ledger.modules.consortium.messages import ConsortiumReason as Reason
from vervain.ledger.modules.consortium.rules.votes import verdict
from vervain.ledger.modules.consortium.state import (
    BALLOTS,
    MEMBERS,
    OPEN_PROPOSALS,
    PARAMETERS,
    PROPOSALS,
    RULE_TABLE_HEADS,
    VALIDATORS,
    Member,
)
from vervain.ledger.primitives.codec import encode

AIMS: Final = Aims()
CORE_MEMBERS: Final = 3  # the founders but the insurer stay, so that a run stays lively
POWER_THAT_DECIDES: Final = 100  # against the founders' ten at most
MESSAGE_BELOW_ROW_BYTES: Final = 20  # a proposal's row is some 90 bytes longer than its message
CELL_CHARACTERS: Final = 200
CELL_BYTES_AROUND: Final = 5  # brackets, quotes and comma of a row with one cell


def _propose(g: Generator, change: AnyChange | None) -> Draft | None:
    proposer = g.validator()
    return None if change is None or proposer is None else g.signer(proposer, Propose(change=change))


def _member(g: Generator, status: MemberStatus = MemberStatus.ACTIVE, *, hosted: bool | None = None) -> bytes | None:
    """Return a member that is not a founder, of a status, with or without a host."""

    def fits(organisation: bytes) -> bool:
        row = g.row(MEMBERS, organisation)
        return row.status is status and (hosted is None or (row.host is not UNSET) is hosted)

    return g.pick(g.known.members[CORE_MEMBERS:], fits)


def _host(g: Generator) -> bytes | None:
    return g.pick(g.known.members, lambda each: _is_host(g.row(MEMBERS, each)))


def _is_host(row: Member) -> bool:
    return row.status is MemberStatus.ACTIVE and row.host is UNSET


def _admission(g: Generator, organisation: bytes) -> AdmitMember:
    host = _host(g) if g.chance.random() < 0.3 else None
    return AdmitMember(
        organisation=organisation,
        roles=g.chance.choice(((Role.HOSPITAL,), (Role.LABORATORY, Role.PHARMACY), (Role.REGULATOR,))),
        register_entry="GLN 0614141000012",
        host=UNSET if host is None else host,
    )


def _set_validator(g: Generator, organisation: bytes, power: int = 0) -> SetValidator:
    return SetValidator(
        organisation=organisation,
        power=power or g.chance.randint(1, 10),
        engine_key=g.keyring.fresh().key,
        cosigning_key=g.keyring.fresh().key,
    )


# What should be applied


@AIMS.at(APPLIED, 2)
def admit(g: Generator) -> Draft | None:
    """Propose a new member, or one that left."""
    gone = _member(g, MemberStatus.LEFT) if g.chance.random() < 0.3 else None
    return _propose(g, _admission(g, gone or g.keyring.fresh().id))


@AIMS.at(APPLIED, 1.5)
def suspend(g: Generator) -> Draft | None:
    """Propose to suspend a member that does not validate."""
    member = _member(g)
    return None if member is None or g.is_validator(member) else _propose(g, SuspendMember(organisation=member))


@AIMS.at(APPLIED, 1)
def reinstate(g: Generator) -> Draft | None:
    """Propose to reinstate a member."""
    member = _member(g, MemberStatus.SUSPENDED)
    return None if member is None else _propose(g, ReinstateMember(organisation=member))


@AIMS.at(APPLIED, 1)
def move(g: Generator) -> Draft | None:
    """Propose another host, or an own node."""
    member, host = _member(g), _host(g) if g.chance.random() < 0.5 else None
    return (
        None if member is None else _propose(g, MoveMember(organisation=member, host=UNSET if host is None else host))
    )


@AIMS.at(APPLIED, 1)
def set_validator(g: Generator) -> Draft | None:
    """Propose a new validator, or another power for one."""
    member = g.validator() if g.chance.random() < 0.6 else _host(g)
    return None if member is None else _propose(g, _set_validator(g, member))


@AIMS.at(APPLIED, 0.6)
def remove_validator(g: Generator) -> Draft | None:
    """Propose to remove a validator."""
    member = g.validator()
    return None if member is None else _propose(g, SetValidator(organisation=member, power=0))


@AIMS.at(APPLIED, 0.7)
def set_parameter(g: Generator) -> Draft | None:
    """Propose a parameter's value within its range."""
    name = g.chance.choice(sorted(PARAMETERS))
    known = PARAMETERS[name]
    value = g.chance.choice((known.minimum, known.default, g.chance.randint(known.minimum, known.maximum)))
    return _propose(g, SetParameter(name=name, value=value))


@AIMS.at(APPLIED, 1.5)
def put_rule_table(g: Generator) -> Draft | None:
    """Propose a rule table's next version."""
    name = g.chance.choice(("retest", "prices", "clocks"))
    head = RULE_TABLE_HEADS.get(g.store, name)
    rows = tuple((f"cell {row}", "72 h") for row in range(g.chance.randint(1, 3)))
    return _propose(g, PutRuleTable(name=name, version=1 if head is None else head.version + 1, rows=rows))


@AIMS.at(APPLIED, 12)
def vote(g: Generator) -> Draft | None:
    """Vote on an open proposal, mostly yes."""
    proposal = g.open_proposal(lambda each: _is_votable(g, each))
    if proposal is None:
        return None
    voters = [key for key, _ in VALIDATORS.rows(g.store) if not BALLOTS.has(g.store, (proposal, key))]
    voter = g.pick(voters)
    return None if voter is None else g.signer(voter, Vote(proposal=proposal, approve=g.chance.random() < 0.85))


@AIMS.at(APPLIED, 10)
def count_votes(g: Generator) -> Draft | None:
    """Count a proposal that the votes decide by now, or change a voter's power so that they will."""
    validator = g.validator()
    decided = g.open_proposal(lambda each: _is_votable(g, each) and verdict(g.store, each) is not ProposalStatus.OPEN)
    if validator is not None and decided is not None:
        return g.signer(validator, CountVotes(proposal=decided))
    undecided = g.open_proposal(lambda each: not _changes_power(g, each))
    if validator is None or undecided is None or not BALLOTS.has(g.store, (undecided, validator)):
        return None
    strongest = max(VALIDATORS.rows(g.store), key=lambda row: row[1].power)[0]
    return g.signer(strongest, Propose(change=_set_validator(g, validator, power=POWER_THAT_DECIDES)))


def _is_votable(g: Generator, proposal: bytes) -> bool:
    return g.row(PROPOSALS, proposal).expires_at >= g.now


def _changes_power(g: Generator, proposal: bytes) -> bool:
    return isinstance(g.row(PROPOSALS, proposal).change, SetValidator)


@AIMS.at(APPLIED, 2)
def leave(g: Generator) -> Draft | None:
    """Leave, as a member that does not validate."""
    member = g.pick(g.known.organisations[CORE_MEMBERS:], lambda each: g.is_member(each) and not g.is_validator(each))
    return None if member is None else g.signer(member, Leave())


# What should be refused


@AIMS.at(Reason.NOT_A_VALIDATOR)
def propose_without_power(g: Generator) -> Draft | None:
    """Propose, vote or count as somebody who does not validate."""
    anybody = g.pick([*g.known.organisations, *g.known.staff, *g.known.patients], lambda each: not g.is_validator(each))
    proposal = g.pick(g.known.proposals)
    asked = [Propose(change=SuspendMember(organisation=g.digest()))]
    more = [] if proposal is None else [Vote(proposal=proposal, approve=True), CountVotes(proposal=proposal)]
    return None if anybody is None else g.signer(anybody, g.chance.choice([*asked, *more]))


@AIMS.at(Reason.NOT_A_MEMBER)
def leave_as_a_person(g: Generator) -> Draft | None:
    """Leave as staff or as a patient."""
    person = g.active([*g.known.staff, *g.known.patients])
    return None if person is None else g.signer(person, Leave())


@AIMS.at(Reason.MEMBER_EXISTS)
def admit_twice(g: Generator) -> Draft | None:
    """Admit a member that is there."""
    member = g.member()
    return None if member is None else _propose(g, _admission(g, member))


@AIMS.at(Reason.MEMBER_NOT_FOUND)
def suspend_nobody(g: Generator) -> Draft | None:
    """Change the membership of an organisation that was never a member."""
    nobody = g.digest()
    change: AnyChange = g.chance.choice(
        (
            SuspendMember(organisation=nobody),
            ReinstateMember(organisation=nobody),
            MoveMember(organisation=nobody),
            _set_validator(g, nobody),
        )
    )
    return _propose(g, change)


@AIMS.at(Reason.MEMBER_NOT_ACTIVE, 2)
def change_a_member_that_is_not_active(g: Generator) -> Draft | None:
    """Suspend, move or empower a member that left or is suspended."""
    member = _member(g, g.chance.choice((MemberStatus.LEFT, MemberStatus.SUSPENDED)))
    if member is None:
        return None
    change: AnyChange = g.chance.choice(
        (SuspendMember(organisation=member), MoveMember(organisation=member), _set_validator(g, member))
    )
    return _propose(g, change)


@AIMS.at(Reason.MEMBER_NOT_SUSPENDED)
def reinstate_an_active_member(g: Generator) -> Draft | None:
    """Reinstate a member that is active."""
    member = g.member()
    return None if member is None else _propose(g, ReinstateMember(organisation=member))


@AIMS.at(Reason.HOST_NOT_FIT)
def name_an_unfit_host(g: Generator) -> Draft | None:
    """Name a host that is hosted, unknown, or the member itself."""
    fresh = g.keyring.fresh().id
    host = _member(g, hosted=True) or g.chance.choice((g.digest(), fresh))
    return _propose(g, AdmitMember(organisation=fresh, roles=(Role.MAKER,), register_entry="GLN 1", host=host))


@AIMS.at(Reason.MEMBER_HOSTS_OTHERS, 2)
def host_a_host(g: Generator) -> Draft | None:
    """Move a member that hosts others under a host."""
    member = g.pick(g.known.members, lambda each: g.row(MEMBERS, each).hosted > 0)
    host = _host(g)
    return None if member is None or host is None else _propose(g, MoveMember(organisation=member, host=host))


@AIMS.at(Reason.MEMBER_IS_VALIDATOR)
def take_a_validator_out(g: Generator) -> Draft | None:
    """Suspend a validator, move it under a host, or leave as one."""
    validator, host = g.validator(), _host(g)
    if validator is None or host is None:
        return None
    if g.chance.random() < 0.4:
        return g.signer(validator, Leave())
    is_suspended = g.chance.random() < 0.5
    return _propose(
        g, SuspendMember(organisation=validator) if is_suspended else MoveMember(organisation=validator, host=host)
    )


@AIMS.at(Reason.MEMBER_IS_HOSTED, 1.5)
def empower_a_hosted_member(g: Generator) -> Draft | None:
    """Make a hosted member a validator."""
    member = g.pick(g.known.members, lambda each: g.row(MEMBERS, each).host is not UNSET)
    return None if member is None else _propose(g, _set_validator(g, member))


@AIMS.at(Reason.LAST_VALIDATOR)
def remove_the_last_validator(g: Generator) -> Draft | None:
    """Remove the only validator."""
    rows = [key for key, _ in VALIDATORS.rows(g.store)]
    return _propose(g, SetValidator(organisation=rows[0], power=0)) if len(rows) == 1 else None


@AIMS.at(Reason.VALIDATOR_NOT_FOUND)
def remove_no_validator(g: Generator) -> Draft | None:
    """Remove a validator that there is not."""
    return _propose(g, SetValidator(organisation=g.digest(), power=0))


@AIMS.at(Reason.VALIDATOR_KEYS_NOT_FIT)
def set_validator_with_wrong_keys(g: Generator) -> Draft | None:
    """Name one key twice, a weak one, one too few, or keys for a removal."""
    member, key = g.member(), g.keyring.fresh().key
    if member is None:
        return None
    engine_key, cosigning_key, power = g.chance.choice(
        ((key, key, 1), (g.weak_key(), key, 1), (key, g.weak_key(), 1), (key, UNSET, 1), (key, UNSET, 0))
    )
    change = SetValidator(organisation=member, power=power, engine_key=engine_key, cosigning_key=cosigning_key)
    return _propose(g, change)


@AIMS.at(Reason.VALIDATOR_KEY_USED)
def set_validator_with_a_used_key(g: Generator) -> Draft | None:
    """Name another validator's key."""
    rows, member = list(VALIDATORS.rows(g.store)), _host(g)
    other = g.pick([row for key, row in rows if key != member])
    if other is None or member is None:
        return None
    used, fresh = g.chance.choice((other.engine_key, other.cosigning_key)), g.keyring.fresh().key
    return _propose(g, SetValidator(organisation=member, power=1, engine_key=fresh, cosigning_key=used))


@AIMS.at(Reason.TOO_MANY_VALIDATORS, 3)
def set_one_validator_too_many(g: Generator) -> Draft | None:
    """Make another member a validator when there are many, or there might be."""
    member = g.pick(g.known.members, lambda each: _is_host(g.row(MEMBERS, each)) and not g.is_validator(each))
    return None if member is None else _propose(g, _set_validator(g, member))


@AIMS.at(Reason.UNKNOWN_PARAMETER)
def set_an_unknown_parameter(g: Generator) -> Draft | None:
    """Set a parameter that the chain does not have."""
    return _propose(g, SetParameter(name=g.chance.choice(("weather", "records_links")), value=1))


@AIMS.at(Reason.PARAMETER_OUT_OF_RANGE)
def set_a_parameter_out_of_range(g: Generator) -> Draft | None:
    """Set a parameter one below or one above its range."""
    name = g.chance.choice(sorted(PARAMETERS))
    value = g.chance.choice((PARAMETERS[name].minimum - 1, PARAMETERS[name].maximum + 1))
    return _propose(g, SetParameter(name=name, value=value))


@AIMS.at(Reason.ROLES_NOT_SORTED)
def admit_with_unsorted_roles(g: Generator) -> Draft | None:
    """Admit a member whose roles are not sorted, or one is named twice."""
    roles = g.chance.choice(((Role.PHARMACY, Role.HOSPITAL), (Role.HOSPITAL, Role.HOSPITAL)))
    return _propose(g, AdmitMember(organisation=g.digest(), roles=roles, register_entry="GLN 1"))


@AIMS.at(Reason.RULE_TABLE_UNEVEN)
def put_an_uneven_rule_table(g: Generator) -> Draft | None:
    """Put a rule table with rows of different lengths."""
    return _propose(g, PutRuleTable(name="prices", version=1, rows=(("a", "b"), ("c",))))


@AIMS.at(Reason.RULE_TABLE_VERSION)
def put_a_rule_table_out_of_turn(g: Generator) -> Draft | None:
    """Put a rule table's version that does not follow."""
    return _propose(g, PutRuleTable(name="retest", version=g.chance.choice((1, 50)), rows=(("a",),)))


@AIMS.at(Reason.TOO_MANY_RULE_TABLES, 2)
def put_one_rule_table_too_many(g: Generator) -> Draft | None:
    """Put a rule table under a new name."""
    return _propose(g, PutRuleTable(name=f"table-{g.chance.randrange(10**6)}", version=1, rows=(("a",),)))


@AIMS.at(Reason.PROPOSAL_NOT_FOUND)
def vote_on_nothing(g: Generator) -> Draft | None:
    """Vote on, or count, a proposal that there is not."""
    validator, proposal = g.validator(), g.digest()
    asked = g.chance.choice((Vote(proposal=proposal, approve=True), CountVotes(proposal=proposal)))
    return None if validator is None else g.signer(validator, asked)


@AIMS.at(Reason.PROPOSAL_CLOSED)
def vote_too_late(g: Generator) -> Draft | None:
    """Vote on, or count, a decided proposal."""
    closed = g.pick(g.known.proposals, lambda each: g.row(PROPOSALS, each).status is not ProposalStatus.OPEN)
    validator = g.validator()
    if closed is None or validator is None:
        return None
    return g.signer(validator, g.chance.choice((Vote(proposal=closed, approve=False), CountVotes(proposal=closed))))


@AIMS.at(Reason.PROPOSAL_EXPIRED, 3)
def vote_after_expiry(g: Generator) -> Draft | None:
    """Vote on, or count, an open proposal whose time is over."""
    expired = g.open_proposal(lambda each: g.row(PROPOSALS, each).expires_at < g.now)
    validator = g.validator()
    if expired is None or validator is None:
        return None
    return g.signer(validator, g.chance.choice((Vote(proposal=expired, approve=True), CountVotes(proposal=expired))))


@AIMS.at(Reason.ALREADY_VOTED)
def vote_twice(g: Generator) -> Draft | None:
    """Vote again on an open proposal."""
    validator = g.validator()
    if validator is None:
        return None
    voted = g.open_proposal(lambda each: BALLOTS.has(g.store, (each, validator)))
    return None if voted is None else g.signer(validator, Vote(proposal=voted, approve=False))


@AIMS.at(Reason.TOO_MANY_PROPOSALS)
def propose_once_too_often(g: Generator) -> Draft | None:
    """Propose in a row until too many are open."""
    proposer = g.pick([each for each in g.known.organisations if g.is_validator(each)])
    if proposer is None:
        return None
    is_close = sum(1 for _ in OPEN_PROPOSALS.rows(g.store, proposer)) >= 2
    count = 2 if is_close else 3
    change = SetParameter(name="records_links_max", value=g.chance.randint(1, 1_000))
    return g.signer(proposer, *[Propose(change=change)] * count)


@AIMS.at(Reason.NOTHING_DECIDED)
def count_undecided_votes(g: Generator) -> Draft | None:
    """Count a proposal that the votes do not decide."""
    undecided = g.open_proposal(lambda each: _is_votable(g, each))
    validator = g.validator()
    return None if undecided is None or validator is None else g.signer(validator, CountVotes(proposal=undecided))


@AIMS.at(MachineReason.ROW_TOO_LARGE, 0.5)
def put_a_rule_table_larger_than_a_row(g: Generator) -> Draft | None:
    """Propose a rule table that a message holds but a proposal's row does not."""
    head = RULE_TABLE_HEADS.get(g.store, "retest")
    change = PutRuleTable(name="retest", version=1 if head is None else head.version + 1, rows=(("x",),))
    missing = maximum("ROW_BYTES_MAX") - MESSAGE_BELOW_ROW_BYTES - len(encode(Propose(change=change)))
    full, rest = divmod(missing, CELL_CHARACTERS + CELL_BYTES_AROUND)
    rows = (("x" * (1 + max(rest - CELL_BYTES_AROUND, 0)),), *(("x" * CELL_CHARACTERS,),) * full)
    return _propose(g, replace(change, rows=rows))
