# SPDX-License-Identifier: Apache-2.0
"""Votes: more than 2/3 of the present validators' power, one final vote each, expiry, and every refusal."""

import pytest

from tests.small_chain import HOSPITAL, Party, SmallChain, admission, validator
from vervain.ledger.modules.consortium.messages import (
    ConsortiumReason,
    CountVotes,
    MemberAdmitted,
    ProposalClosed,
    ProposalMade,
    ProposalStatus,
    Propose,
    Role,
    SetParameter,
    SetValidator,
    Vote,
    VoteCast,
    proposal_id,
)
from vervain.ledger.modules.consortium.state import (
    BALLOTS,
    MEMBERS,
    OPEN_PROPOSALS,
    OPEN_PROPOSALS_MAX,
    PROPOSAL_SECONDS,
    PROPOSALS,
    Ballot,
    Proposal,
)
from vervain.ledger.primitives.hashing import sha256

NEWCOMER = Party("newcomer")
PARTIES = tuple(Party(f"member {number}") for number in range(10))


def equal_chain(count: int) -> SmallChain:
    """Return a chain of `count` validators with equal power."""
    parties = PARTIES[:count]
    return SmallChain(parties, validators=tuple(map(validator, parties)))


def propose(chain: SmallChain, proposer: Party = PARTIES[0]) -> bytes:
    """Propose to admit the newcomer; return the proposal's id."""
    assert chain.submit(proposer, Propose(change=admission(NEWCOMER))).is_applied
    return proposal_id(chain.last_txid, 0)


def status_of(chain: SmallChain, proposal: bytes) -> ProposalStatus:
    """Return a proposal's status."""
    row = chain.row(PROPOSALS, proposal)
    assert row is not None
    return row.status


def test_propose_counts_as_yes_and_stays_open(chain: SmallChain) -> None:
    """
    Given four validators of equal power.
    When one proposes an admission.
    Then the proposal, its index row and the proposer's yes are there and announced; nobody is admitted yet.
    """
    chain = equal_chain(4)
    outcome = chain.submit(PARTIES[0], Propose(change=admission(NEWCOMER)))
    proposal = sha256(b"vervain/proposal/v1\n" + chain.last_txid + bytes(4))
    expires_at = chain.time + PROPOSAL_SECONDS
    assert chain.row(PROPOSALS, proposal) == Proposal(
        change=admission(NEWCOMER), proposer=PARTIES[0].id, proposed_at=chain.time, expires_at=expires_at
    )
    assert chain.row(OPEN_PROPOSALS, (PARTIES[0].id, proposal)) is not None
    assert chain.row(BALLOTS, (proposal, PARTIES[0].id)) == Ballot(approve=True, cast_at=chain.time)
    assert outcome.events == (
        ProposalMade(proposal=proposal, proposer=PARTIES[0].id, expires_at=expires_at),
        VoteCast(proposal=proposal, organisation=PARTIES[0].id, approve=True),
    )
    assert chain.row(MEMBERS, NEWCOMER.id) is None


@pytest.mark.parametrize("count", range(1, 11))
def test_more_than_two_thirds_admit_and_no_fewer(count: int) -> None:
    """
    Given n validators of equal power, n from 1 to 10.
    When they say yes one after the other.
    Then the proposal is applied by the first vote k with 3k > 2n, by none before (MedRec: 1 of 2 or 2 of 4 decided).
    """
    chain = equal_chain(count)
    proposal = propose(chain)
    needed = next(votes for votes in range(1, count + 1) if votes * 3 > count * 2)
    for votes, party in enumerate(PARTIES[1:count], 2):
        before = status_of(chain, proposal)
        assert before is (ProposalStatus.APPLIED if votes > needed else ProposalStatus.OPEN)
        if before is ProposalStatus.OPEN:
            assert chain.submit(party, Vote(proposal=proposal, approve=True)).is_applied
    assert status_of(chain, proposal) is ProposalStatus.APPLIED
    assert chain.row(MEMBERS, NEWCOMER.id) is not None
    ballots = sum(1 for _ in BALLOTS.rows(chain.store, proposal))
    assert ballots == needed


@pytest.mark.parametrize("count", range(2, 11))
def test_rejected_as_soon_as_it_cannot_be_reached(count: int) -> None:
    """
    Given n validators of equal power, n from 2 to 10, and the proposer's yes.
    When the others say no one after the other.
    Then the proposal is rejected by the first no after which 2/3 cannot be passed, and by none before.
    """
    chain = equal_chain(count)
    proposal = propose(chain)
    for noes, party in enumerate(PARTIES[1:count], 1):
        assert status_of(chain, proposal) is ProposalStatus.OPEN
        outcome = chain.submit(party, Vote(proposal=proposal, approve=False))
        if (count - noes) * 3 <= count * 2:
            assert outcome.events == (
                VoteCast(proposal=proposal, organisation=party.id, approve=False),
                ProposalClosed(proposal=proposal, status=ProposalStatus.REJECTED),
            )
            break
    assert status_of(chain, proposal) is ProposalStatus.REJECTED
    assert chain.row(MEMBERS, NEWCOMER.id) is None


def test_power_counts_and_not_heads() -> None:
    """
    Given validators of power 5, 1 and 1.
    When the strongest proposes.
    Then its 5 of 7 decide at once, with everything announced in order.
    """
    parties = PARTIES[:3]
    powers = (5, 1, 1)
    chain = SmallChain(parties, validators=tuple(map(validator, parties, powers)))
    outcome = chain.submit(PARTIES[0], Propose(change=admission(NEWCOMER)))
    proposal = proposal_id(chain.last_txid, 0)
    assert outcome.events == (
        ProposalMade(proposal=proposal, proposer=PARTIES[0].id, expires_at=chain.time + PROPOSAL_SECONDS),
        VoteCast(proposal=proposal, organisation=PARTIES[0].id, approve=True),
        MemberAdmitted(
            organisation=NEWCOMER.id,
            roles=(Role.HOSPITAL,),
            register_entry="GLN newcomer",
            admitted_at=chain.time,
        ),
        ProposalClosed(proposal=proposal, status=ProposalStatus.APPLIED),
    )
    assert chain.row(OPEN_PROPOSALS, (PARTIES[0].id, proposal)) is None


@pytest.mark.parametrize("signer", ["staff", "member"])
def test_vote_refused_when_signer_is_not_a_validator(chain: SmallChain, signer: str) -> None:
    """
    Given four validators, a nurse of one of them, and a member that does not validate.
    When the nurse or the member votes, proposes or counts.
    Then NOT_A_VALIDATOR: only the validator's own key decides.
    """
    chain = SmallChain(PARTIES[:5], validators=tuple(map(validator, PARTIES[:4])))
    proposal = propose(chain)
    stranger = PARTIES[4]
    if signer == "staff":
        stranger = Party("nurse")
        chain.submit(PARTIES[0], chain.registration(stranger, sponsor=PARTIES[0]))
    for message in (
        Vote(proposal=proposal, approve=True),
        Propose(change=admission(NEWCOMER)),
        CountVotes(proposal=proposal),
    ):
        assert chain.refusal(stranger, message) == (ConsortiumReason.NOT_A_VALIDATOR, 0)


def test_vote_refused_when_already_voted() -> None:
    """
    Given a validator that proposed, and one that said no.
    When either votes again, the same or the contrary.
    Then ALREADY_VOTED.
    """
    chain = equal_chain(4)
    proposal = propose(chain)
    chain.submit(PARTIES[1], Vote(proposal=proposal, approve=False))
    for party in PARTIES[:2]:
        for approve in (True, False):
            vote = Vote(proposal=proposal, approve=approve)
            assert chain.refusal(party, vote) == (ConsortiumReason.ALREADY_VOTED, 0)


def test_vote_refused_when_proposal_is_not_found(chain: SmallChain) -> None:
    """
    Given no proposal.
    When a validator votes on one or counts its votes.
    Then PROPOSAL_NOT_FOUND.
    """
    for message in (Vote(proposal=bytes(32), approve=True), CountVotes(proposal=bytes(32))):
        assert chain.refusal(HOSPITAL, message) == (ConsortiumReason.PROPOSAL_NOT_FOUND, 0)


def test_vote_refused_when_proposal_is_closed() -> None:
    """
    Given a proposal that three of four applied.
    When the fourth votes, or somebody counts again.
    Then PROPOSAL_CLOSED: nothing is applied twice.
    """
    chain = equal_chain(4)
    proposal = propose(chain)
    for party in PARTIES[1:3]:
        chain.submit(party, Vote(proposal=proposal, approve=True))
    for message in (Vote(proposal=proposal, approve=True), CountVotes(proposal=proposal)):
        assert chain.refusal(PARTIES[3], message) == (ConsortiumReason.PROPOSAL_CLOSED, 0)


def test_vote_refused_when_proposal_has_expired() -> None:
    """
    Given an open proposal.
    When a validator votes a second after its last, and another in its last second.
    Then PROPOSAL_EXPIRED for the first, and the second's vote counts.
    """
    chain = equal_chain(4)
    proposal = propose(chain)
    expires_at = chain.time + PROPOSAL_SECONDS
    chain.time = expires_at
    assert chain.refusal(PARTIES[1], Vote(proposal=proposal, approve=True)) == (ConsortiumReason.PROPOSAL_EXPIRED, 0)
    chain.time = expires_at - 1
    assert chain.submit(PARTIES[1], Vote(proposal=proposal, approve=True)).is_applied


def test_propose_refused_when_too_many_are_open() -> None:
    """
    Given a validator with as many open proposals as it may have.
    When it proposes once more.
    Then TOO_MANY_PROPOSALS, for it and not for others; once the old ones have expired they are closed and it may again.
    """
    chain = equal_chain(4)
    change = SetParameter(name="records_links_max", value=5)
    for _ in range(OPEN_PROPOSALS_MAX):
        chain.submit(PARTIES[0], Propose(change=change))
    first = next(key[32:] for key, _ in OPEN_PROPOSALS.rows(chain.store, PARTIES[0].id))
    assert chain.refusal(PARTIES[0], Propose(change=change)) == (ConsortiumReason.TOO_MANY_PROPOSALS, 0)
    assert chain.submit(PARTIES[1], Propose(change=change)).is_applied
    chain.time += PROPOSAL_SECONDS + 1
    outcome = chain.submit(PARTIES[0], Propose(change=change))
    assert ProposalClosed(proposal=first, status=ProposalStatus.EXPIRED) in outcome.events
    assert len(outcome.events) == OPEN_PROPOSALS_MAX + 2
    assert status_of(chain, first) is ProposalStatus.EXPIRED


def test_proposal_is_void_when_it_no_longer_fits() -> None:
    """
    Given two proposals to admit the same newcomer, both short of one vote.
    When the last vote of each is cast.
    Then the first is applied, the second void: the vote stands, nothing changes twice.
    """
    chain = equal_chain(4)
    proposals = [propose(chain, PARTIES[0]), propose(chain, PARTIES[1])]
    for proposal, second in zip(proposals, (PARTIES[1], PARTIES[0]), strict=True):
        chain.submit(second, Vote(proposal=proposal, approve=True))
    for proposal, expected in zip(proposals, (ProposalStatus.APPLIED, ProposalStatus.VOID), strict=True):
        outcome = chain.submit(PARTIES[2], Vote(proposal=proposal, approve=True))
        assert outcome.events[-1] == ProposalClosed(proposal=proposal, status=expected)


def test_removed_validator_does_not_count_and_the_rest_may_be_counted() -> None:
    """
    Given four validators, of which 0 and 1 said yes to an admission.
    When 3 is removed, and then 2, so that two of two said yes.
    Then nothing is decided before, and counting the votes again applies the admission.
    """
    chain = equal_chain(4)
    proposal = propose(chain)
    chain.submit(PARTIES[1], Vote(proposal=proposal, approve=True))
    assert chain.refusal(PARTIES[0], CountVotes(proposal=proposal)) == (ConsortiumReason.NOTHING_DECIDED, 0)
    for removed, voters in ((PARTIES[3], PARTIES[1:3]), (PARTIES[2], PARTIES[1:3])):
        chain.submit(PARTIES[0], Propose(change=SetValidator(organisation=removed.id, power=0)))
        removal = proposal_id(chain.last_txid, 0)
        for voter in voters:
            chain.submit(voter, Vote(proposal=removal, approve=True))
        assert status_of(chain, removal) is ProposalStatus.APPLIED
    assert status_of(chain, proposal) is ProposalStatus.OPEN
    outcome = chain.submit(PARTIES[0], CountVotes(proposal=proposal))
    assert outcome.events[-1] == ProposalClosed(proposal=proposal, status=ProposalStatus.APPLIED)
    assert chain.row(MEMBERS, NEWCOMER.id) is not None


def test_vote_of_a_removed_validator_counts_no_more() -> None:
    """
    Given four validators, and yes from 0 and 3 to an admission.
    When 3 is removed, and 1 says yes.
    Then 2 of 3 do not decide; 2's yes does.
    """
    chain = equal_chain(4)
    proposal = propose(chain)
    chain.submit(PARTIES[3], Vote(proposal=proposal, approve=True))
    chain.submit(PARTIES[0], Propose(change=SetValidator(organisation=PARTIES[3].id, power=0)))
    removal = proposal_id(chain.last_txid, 0)
    for voter in PARTIES[1:3]:
        chain.submit(voter, Vote(proposal=removal, approve=True))
    chain.submit(PARTIES[1], Vote(proposal=proposal, approve=True))
    assert status_of(chain, proposal) is ProposalStatus.OPEN
    chain.submit(PARTIES[2], Vote(proposal=proposal, approve=True))
    assert status_of(chain, proposal) is ProposalStatus.APPLIED


def test_work_covers_a_full_set_of_validators() -> None:
    """
    Given the work units of the three messages.
    When they are compared with what a tally reads at most.
    Then each declares at least two rows for each of 100 validators.
    """
    vote = Vote(proposal=bytes(32), approve=True)
    count = CountVotes(proposal=bytes(32))
    assert [each.work_units() for each in (Propose(change=admission(NEWCOMER)), vote, count)] == [632, 414, 414]
