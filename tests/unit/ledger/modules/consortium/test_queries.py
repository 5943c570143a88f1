# SPDX-License-Identifier: Apache-2.0
"""What can be read of the consortium, as answered by name, and as other modules read it."""

import msgspec
import pytest

from tests.small_chain import FOUNDED_AT, HOSPITAL, INSURER, REGULATOR, Party, SmallChain, admission, validator
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.module import Validator
from vervain.ledger.machine.refusals import Conflict, NotFound, Refusal
from vervain.ledger.modules.consortium import queries
from vervain.ledger.modules.consortium.messages import (
    ConsortiumReason,
    MemberStatus,
    ProposalStatus,
    Propose,
    PutRuleTable,
    Role,
    SetParameter,
    SuspendMember,
    proposal_id,
)
from vervain.ledger.modules.consortium.queries import (
    BallotEntry,
    MemberEntry,
    MembersArguments,
    MembersPage,
    NoArguments,
    OrganisationArguments,
    ParameterAnswer,
    ParameterArguments,
    ProposalAnswer,
    ProposalArguments,
    RuleTableAnswer,
    RuleTableArguments,
    ValidatorsAnswer,
)
from vervain.ledger.modules.consortium.state import MEMBERS, PROPOSAL_SECONDS, Ballot, Member, Proposal

RETEST = PutRuleTable(name="retest", version=1, rows=(("HbA1c", "90"),))


def ask(chain: SmallChain, name: str, arguments: msgspec.Struct) -> msgspec.Struct:
    """Ask by name, as the application does."""
    query = CATALOGUE.queries[name]
    assert isinstance(arguments, query.arguments)
    return query.answer(chain.store, arguments)


def test_member_is_answered(chain: SmallChain) -> None:
    """
    Given a founding insurer.
    When it is asked for.
    Then its row is the answer.
    """
    expected = Member(
        roles=(Role.INSURER,), register_entry="GLN insurer", status=MemberStatus.ACTIVE, admitted_at=FOUNDED_AT
    )
    assert ask(chain, "consortium.member", OrganisationArguments(organisation=INSURER.id)) == expected


UNKNOWN = {
    "member": ("consortium.member", OrganisationArguments(organisation=bytes(32)), ConsortiumReason.MEMBER_NOT_FOUND),
    "parameter": ("consortium.parameter", ParameterArguments(name="colour"), ConsortiumReason.UNKNOWN_PARAMETER),
    "table": ("consortium.rule_table", RuleTableArguments(name="price"), ConsortiumReason.RULE_TABLE_NOT_FOUND),
    "version": (
        "consortium.rule_table",
        RuleTableArguments(name="retest", version=2),
        ConsortiumReason.RULE_TABLE_NOT_FOUND,
    ),
    "proposal": ("consortium.proposal", ProposalArguments(proposal=bytes(32)), ConsortiumReason.PROPOSAL_NOT_FOUND),
}


@pytest.mark.parametrize(("name", "arguments", "reason"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_question_refused_when_nothing_is_there(name: str, arguments: msgspec.Struct, reason: ConsortiumReason) -> None:
    """
    Given a chain with one rule table.
    When something else is asked for.
    Then NotFound with the reason that names what is missing.
    """
    chain = SmallChain(rule_tables=(RETEST,))
    with pytest.raises(NotFound) as caught:
        ask(chain, name, arguments)
    assert caught.value.reason is reason


def test_members_are_answered_page_by_page(chain: SmallChain) -> None:
    """
    Given three members.
    When they are asked for two at a time.
    Then two pages hold each once in id order, and only the first names a next.
    """
    ids = sorted(party.id for party in (HOSPITAL, REGULATOR, INSURER))
    rows = [chain.row(MEMBERS, organisation) for organisation in ids]
    entries = [
        MemberEntry(organisation=each, member=row) for each, row in zip(ids, rows, strict=True) if row is not None
    ]
    first = ask(chain, "consortium.members", MembersArguments(limit=2))
    assert first == MembersPage(members=tuple(entries[:2]), next=ids[1])
    second = ask(chain, "consortium.members", MembersArguments(after=ids[1], limit=2))
    assert second == MembersPage(members=(entries[2],))


def test_validators_are_answered_sorted() -> None:
    """
    Given two validators.
    When they are asked for.
    Then both are answered, sorted by organisation.
    """
    changes = (validator(HOSPITAL, 2), validator(INSURER, 3))
    chain = SmallChain(validators=changes)
    expected = sorted(
        Validator(
            organisation=change.organisation,
            engine_key=change.engine_key or b"",
            power=change.power,
            cosigning_key=change.cosigning_key or b"",
        )
        for change in changes
    )
    assert ask(chain, "consortium.validators", NoArguments()) == ValidatorsAnswer(validators=tuple(expected))


def test_parameter_is_answered_with_its_range() -> None:
    """
    Given a parameter set at the founding, and one that nobody set.
    When both are asked for.
    Then the first has its value, the second its default, both their ranges.
    """
    chain = SmallChain(parameters=(SetParameter(name="records_links_max", value=5),))
    answers = [
        ask(chain, "consortium.parameter", ParameterArguments(name=name))
        for name in ("records_links_max", "read_request_seconds_max")
    ]
    assert answers == [
        ParameterAnswer(name="records_links_max", value=5, minimum=1, maximum=1000),
        ParameterAnswer(name="read_request_seconds_max", value=900, minimum=60, maximum=900),
    ]


def test_rule_table_is_answered_in_any_version() -> None:
    """
    Given two versions of a rule table.
    When it is asked for without a version and with version 1.
    Then the newest and the first are answered.
    """
    chain = SmallChain(rule_tables=(RETEST, PutRuleTable(name="retest", version=2, rows=(("CRP", "2"),))))
    newest = ask(chain, "consortium.rule_table", RuleTableArguments(name="retest"))
    first = ask(chain, "consortium.rule_table", RuleTableArguments(name="retest", version=1))
    assert isinstance(newest, RuleTableAnswer) and isinstance(first, RuleTableAnswer)
    assert (newest.version, newest.table.rows) == (2, (("CRP", "2"),))
    assert (first.version, first.table.rows) == (1, RETEST.rows)


def test_proposal_is_answered_with_its_ballots() -> None:
    """
    Given an open proposal with its proposer's yes.
    When it is asked for.
    Then the proposal and the one ballot are answered.
    """
    chain = SmallChain(validators=(validator(HOSPITAL), validator(INSURER)))
    chain.submit(HOSPITAL, Propose(change=admission(Party("newcomer"))))
    answer = ask(chain, "consortium.proposal", ProposalArguments(proposal=proposal_id(chain.last_txid, 0)))
    assert answer == ProposalAnswer(
        proposal=Proposal(
            change=admission(Party("newcomer")),
            proposer=HOSPITAL.id,
            proposed_at=chain.time,
            expires_at=chain.time + PROPOSAL_SECONDS,
            status=ProposalStatus.OPEN,
        ),
        ballots=(BallotEntry(organisation=HOSPITAL.id, ballot=Ballot(approve=True, cast_at=chain.time)),),
    )


def test_active_members_are_told_from_others(chain: SmallChain) -> None:
    """
    Given an active regulator, a suspended insurer and a stranger.
    When other modules ask who is active and has which role.
    Then only the regulator is and has, and the others are refused with the reason that was named.
    """
    chain.submit(HOSPITAL, Propose(change=SuspendMember(organisation=INSURER.id)))
    ids = (REGULATOR.id, INSURER.id, bytes(32))
    assert [queries.is_active(chain.store, each) for each in ids] == [True, False, False]
    assert [queries.has_role(chain.store, each, Role.REGULATOR) for each in ids] == [True, False, False]
    assert not queries.has_role(chain.store, INSURER.id, Role.INSURER)
    suspended = queries.member(chain.store, INSURER.id)
    assert suspended is not None and suspended.status is MemberStatus.SUSPENDED
    reason = ConsortiumReason.MEMBER_NOT_ACTIVE
    member = queries.require_active_member(chain.store, REGULATOR.id, reason)
    assert member.roles == (Role.REGULATOR,)
    for each in ids[1:]:
        with pytest.raises(Refusal) as caught:
            queries.require_active_member(chain.store, each, reason)
        assert type(caught.value) is Conflict and caught.value.reason is reason
