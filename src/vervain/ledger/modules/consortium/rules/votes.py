# SPDX-License-Identifier: Apache-2.0
"""Votes: propose, vote, count. More than 2/3 of the power of the validators that there are now decides.

A proposal is applied as soon as its yes votes reach that, rejected as soon as they no longer can. Only the ballots of
present validators count: a removed one's vote counts no more. When a decided change no longer fits the state, the
proposal is void and nothing changes.

Source: identity-keys-receipts reference, section 15: a majority of (n+1)/2 let 1 of 2 or 2 of 4 admit a validator.
"""

from msgspec.structs import replace

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.refusals import Conflict, Forbidden, LimitExceeded, Refusal
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import (
    ConsortiumReason,
    CountVotes,
    ProposalClosed,
    ProposalMade,
    ProposalStatus,
    Propose,
    Vote,
    VoteCast,
    proposal_id,
)
from vervain.ledger.modules.consortium.rules import changes
from vervain.ledger.modules.consortium.state import (
    BALLOTS,
    OPEN_PROPOSALS,
    OPEN_PROPOSALS_MAX,
    PROPOSAL_SECONDS,
    PROPOSALS,
    VALIDATORS,
    Ballot,
    OpenProposal,
    Proposal,
)


def propose(context: Context, message: Propose) -> None:
    """Put a change to the vote; proposing is the proposer's yes, so a lone validator decides at once.

    Refuses: Forbidden(NOT_A_VALIDATOR), LimitExceeded(TOO_MANY_PROPOSALS), whatever the change's check refuses.
    """
    # AUTHORITY
    _require_validator(context)

    # PRECONDITIONS
    changes.check(context.store, message.change)
    _expire_own_proposals(context)

    # CHANGE
    proposal = proposal_id(context.txid, context.entry_index)
    expires_at = context.block_time + PROPOSAL_SECONDS
    row = Proposal(change=message.change, proposer=context.actor, proposed_at=context.block_time, expires_at=expires_at)
    PROPOSALS.put(context.store, proposal, row)
    OPEN_PROPOSALS.put(context.store, (context.actor, proposal), OpenProposal(expires_at=expires_at))

    # EVENT
    context.emit(ProposalMade(proposal=proposal, proposer=context.actor, expires_at=expires_at))
    _cast(context, proposal, approve=True)
    _decide(context, proposal, row)


def vote(context: Context, message: Vote) -> None:
    """Cast a validator's one vote on an open proposal, and decide the proposal when that decides it.

    Refuses: Forbidden(NOT_A_VALIDATOR), NotFound(PROPOSAL_NOT_FOUND), Conflict(PROPOSAL_CLOSED, PROPOSAL_EXPIRED,
        ALREADY_VOTED).
    """
    # AUTHORITY
    _require_validator(context)

    # PRECONDITIONS
    row = _require_open(context, message.proposal)
    if BALLOTS.has(context.store, (message.proposal, context.actor)):
        raise Conflict(ConsortiumReason.ALREADY_VOTED, proposal=message.proposal)

    # CHANGE, EVENT
    _cast(context, message.proposal, approve=message.approve)
    _decide(context, message.proposal, row)


def count_votes(context: Context, message: CountVotes) -> None:
    """Decide an open proposal by the votes already cast, after the validators changed.

    Refuses: Forbidden(NOT_A_VALIDATOR), NotFound(PROPOSAL_NOT_FOUND), Conflict(PROPOSAL_CLOSED, PROPOSAL_EXPIRED,
        NOTHING_DECIDED).
    """
    # AUTHORITY
    _require_validator(context)

    # PRECONDITIONS
    row = _require_open(context, message.proposal)

    # CHANGE, EVENT
    if not _decide(context, message.proposal, row):
        raise Conflict(ConsortiumReason.NOTHING_DECIDED, proposal=message.proposal)


def verdict(store: Store, proposal: bytes) -> ProposalStatus:
    """Return what the ballots of the present validators decide: APPLIED, REJECTED or OPEN.

    Args:
        store: The state.
        proposal: 32-byte id.
    """
    yes = no = total = 0
    for organisation, validator in VALIDATORS.rows(store):
        total += validator.power
        ballot = BALLOTS.get(store, (proposal, organisation))
        if ballot is not None:
            yes, no = (yes + validator.power, no) if ballot.approve else (yes, no + validator.power)
    if yes * 3 > total * 2:
        return ProposalStatus.APPLIED
    return ProposalStatus.OPEN if (total - no) * 3 > total * 2 else ProposalStatus.REJECTED


def _require_validator(context: Context) -> None:
    """Refuse a signer that is not a validator's organisation itself; its staff cannot vote for it."""
    if not VALIDATORS.has(context.store, context.actor):
        raise Forbidden(ConsortiumReason.NOT_A_VALIDATOR, actor=context.actor)


def _require_open(context: Context, proposal: bytes) -> Proposal:
    row = PROPOSALS.require(context.store, proposal, ConsortiumReason.PROPOSAL_NOT_FOUND)
    if row.status is not ProposalStatus.OPEN:
        raise Conflict(ConsortiumReason.PROPOSAL_CLOSED, proposal=proposal)
    if row.expires_at < context.block_time:
        raise Conflict(ConsortiumReason.PROPOSAL_EXPIRED, proposal=proposal)
    return row


def _expire_own_proposals(context: Context) -> None:
    """Close the proposer's expired proposals and refuse one too many open ones."""
    own = list(OPEN_PROPOSALS.rows(context.store, context.actor))
    expired = [key[32:] for key, row in own if row.expires_at < context.block_time]
    for proposal in expired:
        _close(context, proposal, PROPOSALS.require(context.store, proposal), ProposalStatus.EXPIRED)
    if len(own) - len(expired) >= OPEN_PROPOSALS_MAX:
        raise LimitExceeded(ConsortiumReason.TOO_MANY_PROPOSALS, proposer=context.actor)


def _cast(context: Context, proposal: bytes, *, approve: bool) -> None:
    BALLOTS.put(context.store, (proposal, context.actor), Ballot(approve=approve, cast_at=context.block_time))
    context.emit(VoteCast(proposal=proposal, organisation=context.actor, approve=approve))


def _decide(context: Context, proposal: bytes, row: Proposal) -> bool:
    """Apply or reject when the ballots decide; tell whether they did."""
    status = verdict(context.store, proposal)
    if status is ProposalStatus.OPEN:
        return False
    if status is ProposalStatus.APPLIED:
        status = _apply(context, row)
    _close(context, proposal, row, status)
    return True


def _apply(context: Context, row: Proposal) -> ProposalStatus:
    try:
        changes.check(context.store, row.change)
    except Refusal:
        return ProposalStatus.VOID
    changes.apply(context, row.change)
    return ProposalStatus.APPLIED


def _close(context: Context, proposal: bytes, row: Proposal, status: ProposalStatus) -> None:
    PROPOSALS.put(context.store, proposal, replace(row, status=status))
    OPEN_PROPOSALS.delete(context.store, (row.proposer, proposal))
    context.emit(ProposalClosed(proposal=proposal, status=status))
