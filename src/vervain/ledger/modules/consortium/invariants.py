# SPDX-License-Identifier: Apache-2.0
"""What is always true of the consortium. Run after every block in simulation, never in production."""

from msgspec import UNSET

from vervain.ledger.machine.limits import VALIDATORS_MAX
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import VALIDATOR_POWER_MAX, MemberStatus, ProposalStatus
from vervain.ledger.modules.consortium.state import (
    BALLOTS,
    MEMBERS,
    OPEN_PROPOSALS,
    PARAMETER_ROWS,
    PARAMETERS,
    PROPOSALS,
    RULE_TABLE_HEADS,
    RULE_TABLE_VERSIONS,
    RULE_TABLES_MAX,
    VALIDATORS,
)


def validators_can_agree(store: Store) -> list[str]:
    """At least one validator; each an active member with its own node; no key twice; power in bounds."""
    breaches, keys, rows = [], list[bytes](), list(VALIDATORS.rows(store))
    if not 1 <= len(rows) <= VALIDATORS_MAX:
        breaches.append(f"there are {len(rows)} validators")
    for organisation, validator in rows:
        keys += [validator.engine_key, validator.cosigning_key]
        member = MEMBERS.get(store, organisation)
        if member is None or member.status is not MemberStatus.ACTIVE or member.host is not UNSET:
            breaches.append(f"validator {organisation.hex()} is not an active member with its own node")
        if not 1 <= validator.power <= VALIDATOR_POWER_MAX:
            breaches.append(f"validator {organisation.hex()} has power {validator.power}")
    if len(set(keys)) != len(keys):
        breaches.append("a key belongs to two validators or two uses")
    return breaches


def hosts_are_not_hosted(store: Store) -> list[str]:
    """No member is hosted by a hosted member or by itself, and `hosted` counts right."""
    breaches, members, counts = [], dict(MEMBERS.rows(store)), dict[bytes, int]()
    for organisation, member in members.items():
        if member.host is not UNSET:
            counts[member.host] = counts.get(member.host, 0) + 1
            host = members.get(member.host)
            if host is None or host.host is not UNSET:
                breaches.append(f"the host of {organisation.hex()} is hosted or unknown")
    for organisation, member in members.items():
        if member.hosted != counts.get(organisation, 0):
            breaches.append(
                f"{organisation.hex()} counts {member.hosted} hosted members, not {counts.get(organisation, 0)}"
            )
    return breaches


def ballots_belong(store: Store) -> list[str]:
    """Every ballot is by a member on a known proposal, cast while it could be."""
    breaches = []
    for key, ballot in BALLOTS.rows(store):
        proposal = PROPOSALS.get(store, key[:32])
        if proposal is None or not MEMBERS.has(store, key[32:]):
            breaches.append(f"ballot {key.hex()} has no proposal or no member")
        elif not proposal.proposed_at <= ballot.cast_at <= proposal.expires_at:
            breaches.append(f"ballot {key.hex()} was cast outside the proposal's time")
    return breaches


def open_proposals_are_indexed(store: Store) -> list[str]:
    """The index names exactly the open proposals."""
    indexed = {(key[:32], key[32:]) for key, _ in OPEN_PROPOSALS.rows(store)}
    is_open = {(row.proposer, key) for key, row in PROPOSALS.rows(store) if row.status is ProposalStatus.OPEN}
    return [f"the index and the open proposals differ in {len(indexed ^ is_open)}"] if indexed != is_open else []


def configuration_is_known(store: Store) -> list[str]:
    """Parameters are known and in range; the newest version of each rule table is there with its head's digest."""
    breaches = []
    for key, row in PARAMETER_ROWS.rows(store):
        known = PARAMETERS.get(key.decode("ascii"))
        if known is None or not known.minimum <= row.value <= known.maximum:
            breaches.append(f"parameter {key.decode('ascii')} is unknown or out of range")
    heads = list(RULE_TABLE_HEADS.rows(store))
    if len(heads) > RULE_TABLES_MAX:
        breaches.append(f"there are {len(heads)} rule tables")
    for key, head in heads:
        version = RULE_TABLE_VERSIONS.get(store, (head.version, key))
        if version is None or version.digest != head.digest:
            breaches.append(f"rule table {key.decode('ascii')} has no version {head.version} with its digest")
    return breaches


INVARIANTS = (
    validators_can_agree,
    hosts_are_not_hosted,
    ballots_belong,
    open_proposals_are_indexed,
    configuration_is_known,
)
