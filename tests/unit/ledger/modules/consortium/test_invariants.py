# SPDX-License-Identifier: Apache-2.0
"""Each invariant of the consortium finds the breach it is for: rows are written past the rules."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.small_chain import HOSPITAL, INSURER, Party, SmallChain, admission, digest, validator
from vervain.ledger.modules.consortium.messages import MemberStatus, Propose, PutRuleTable, proposal_id
from vervain.ledger.modules.consortium.state import (
    BALLOTS,
    MEMBERS,
    OPEN_PROPOSALS,
    PARAMETER_ROWS,
    RULE_TABLE_HEADS,
    VALIDATORS,
    Ballot,
    Parameter,
    RuleTableHead,
    ValidatorRow,
)


@pytest.fixture
def busy_chain() -> SmallChain:
    """A chain of two validators with a hosted member, an open proposal and a rule table."""
    chain = SmallChain(
        validators=(validator(HOSPITAL), validator(INSURER)),
        rule_tables=(PutRuleTable(name="retest", version=1, rows=(("a",),)),),
    )
    chain.submit(HOSPITAL, Propose(change=admission(Party("practice"), host=INSURER.id)))
    return chain


def no_validator(chain: SmallChain) -> None:
    """Remove every validator."""
    for party in (HOSPITAL, INSURER):
        VALIDATORS.delete(chain.store, party.id)


def suspended_validator(chain: SmallChain) -> None:
    """Suspend a validator."""
    row = MEMBERS.require(chain.store, INSURER.id)
    MEMBERS.put(chain.store, INSURER.id, replace(row, status=MemberStatus.SUSPENDED))


def powerless_validator(chain: SmallChain) -> None:
    """Leave a validator in its table without power."""
    row = VALIDATORS.require(chain.store, INSURER.id)
    VALIDATORS.put(chain.store, INSURER.id, replace(row, power=0))


def shared_key(chain: SmallChain) -> None:
    """Give one validator the other's engine key for cosigning."""
    other = VALIDATORS.require(chain.store, HOSPITAL.id)
    row = ValidatorRow(engine_key=digest("fresh"), power=1, cosigning_key=other.engine_key)
    VALIDATORS.put(chain.store, INSURER.id, row)


def hosted_host(chain: SmallChain) -> None:
    """Host the host of another."""
    row = MEMBERS.require(chain.store, INSURER.id)
    hosted = replace(row, host=HOSPITAL.id)
    MEMBERS.put(chain.store, Party("practice").id, hosted)
    MEMBERS.put(chain.store, Party("small practice").id, replace(row, host=Party("practice").id))


def wrong_count(chain: SmallChain) -> None:
    """Count a hosted member that is not there."""
    row = MEMBERS.require(chain.store, HOSPITAL.id)
    MEMBERS.put(chain.store, HOSPITAL.id, replace(row, hosted=1))


def stray_ballot(chain: SmallChain) -> None:
    """Vote on no proposal."""
    BALLOTS.put(chain.store, (digest("nothing"), HOSPITAL.id), Ballot(approve=True, cast_at=chain.time))


def late_ballot(chain: SmallChain) -> None:
    """Vote before the proposal was made."""
    BALLOTS.put(chain.store, (proposal_id(chain.last_txid, 0), INSURER.id), Ballot(approve=True, cast_at=0))


def unlisted_proposal(chain: SmallChain) -> None:
    """Take an open proposal out of the index."""
    OPEN_PROPOSALS.delete(chain.store, (HOSPITAL.id, proposal_id(chain.last_txid, 0)))


def unknown_parameter(chain: SmallChain) -> None:
    """Set a parameter that nobody knows."""
    PARAMETER_ROWS.put(chain.store, "colour", Parameter(value=1))


def headless_table(chain: SmallChain) -> None:
    """Let a version rule that is not there."""
    RULE_TABLE_HEADS.put(chain.store, "retest", RuleTableHead(version=2, digest=bytes(32)))


BREACHES = (
    (no_validator, ["there are 0 validators"]),
    (suspended_validator, [f"validator {INSURER.id.hex()} is not an active member with its own node"]),
    (powerless_validator, [f"validator {INSURER.id.hex()} has power 0"]),
    (shared_key, ["a key belongs to two validators or two uses"]),
    (
        hosted_host,
        [
            f"the host of {Party('small practice').id.hex()} is hosted or unknown",
            f"{Party('practice').id.hex()} counts 0 hosted members, not 1",
            f"{HOSPITAL.id.hex()} counts 0 hosted members, not 1",
        ],
    ),
    (wrong_count, [f"{HOSPITAL.id.hex()} counts 1 hosted members, not 0"]),
    (stray_ballot, [f"ballot {(digest('nothing') + HOSPITAL.id).hex()} has no proposal or no member"]),
    (late_ballot, ["was cast outside the proposal's time"]),
    (unlisted_proposal, ["the index and the open proposals differ in 1"]),
    (unknown_parameter, ["parameter colour is unknown or out of range"]),
    (headless_table, ["rule table retest has no version 2 with its digest"]),
)


@pytest.mark.parametrize(("breach", "expected"), BREACHES, ids=[breach.__name__ for breach, _ in BREACHES])
def test_breach_is_found(busy_chain: SmallChain, breach: Callable[[SmallChain], None], expected: list[str]) -> None:
    """
    Given a chain without a breach.
    When rows are written past the rules.
    Then exactly that breach is told.
    """
    assert busy_chain.breaches() == []
    breach(busy_chain)
    found = busy_chain.breaches()
    assert len(found) == len(expected)
    assert all(any(words in told for told in found) for words in expected), found
