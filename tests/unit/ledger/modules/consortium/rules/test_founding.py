# SPDX-License-Identifier: Apache-2.0
"""The consortium's founding: what it writes, and the nonsense it refuses."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.memory_state import MemoryState
from tests.small_chain import FOUNDED_AT, HOSPITAL, INSURER, Party, SmallChain, admission, genesis_of, validator
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.genesis import decode_genesis, found
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import (
    ConsortiumFounding,
    MemberAdmitted,
    ParameterSet,
    PutRuleTable,
    Role,
    RuleTablePut,
    SetParameter,
    SetValidator,
    ValidatorSet,
)
from vervain.ledger.modules.consortium.queries import newest_rule_table, parameter
from vervain.ledger.modules.identity.messages import ActorRegistered, FoundingOrganisation, IdentityFounding
from vervain.ledger.primitives.codec import NotCanonical

RETEST = PutRuleTable(name="retest", version=1, rows=(("HbA1c", "90"),))
GOOD = ConsortiumFounding(
    members=(admission(INSURER, host=HOSPITAL.id), admission(HOSPITAL)),
    validators=(validator(HOSPITAL),),
    parameters=(SetParameter(name="records_links_max", value=5),),
    rule_tables=(RETEST,),
)
FOUNDERS = IdentityFounding(organisations=(FoundingOrganisation(key=HOSPITAL.key, kem_key=HOSPITAL.kem_key),))


def run(consortium: ConsortiumFounding) -> Store:
    """Found a chain; return its state."""
    content, store = genesis_of(consortium, FOUNDERS), Store(MemoryState())
    found(CATALOGUE, decode_genesis(content), content, store)
    return store


def test_founding_writes_what_the_changes_say() -> None:
    """
    Given a genesis whose hosted member stands before its host, with a parameter and a rule table.
    When the chain is founded.
    Then parameter and rule table hold from the start.
    """
    store = run(GOOD)
    assert parameter(store, "records_links_max") == 5
    table = newest_rule_table(store, "retest")
    assert table is not None and (table.rows, table.since) == (RETEST.rows, FOUNDED_AT)


def test_founding_announces_everything() -> None:
    """
    Given a chain of one hospital with a parameter and a rule table.
    When it is founded.
    Then the events name member, validator, parameter, rule table and actor, in this order.
    """
    chain = SmallChain((HOSPITAL,), parameters=GOOD.parameters, rule_tables=(RETEST,))
    change = validator(HOSPITAL)
    kinds = [type(event) for event in chain.founding_events]
    assert kinds == [MemberAdmitted, ValidatorSet, ParameterSet, RuleTablePut, ActorRegistered]
    assert chain.founding_events[1] == ValidatorSet(
        organisation=HOSPITAL.id, power=1, engine_key=change.engine_key, cosigning_key=change.cosigning_key
    )


NONSENSE = {
    "no_members": replace(GOOD, members=()),
    "no_validators": replace(GOOD, validators=()),
    "a_validator_without_power": replace(
        GOOD, validators=(validator(HOSPITAL), SetValidator(organisation=HOSPITAL.id, power=0))
    ),
    "a_validator_without_keys": replace(GOOD, validators=(replace(validator(HOSPITAL), engine_key=UNSET),)),
    "a_validator_that_is_no_member": replace(GOOD, validators=(validator(Party("stranger")),)),
    "a_hosted_validator": replace(GOOD, validators=(validator(HOSPITAL), validator(INSURER))),
    "a_member_twice": replace(GOOD, members=(*GOOD.members, admission(HOSPITAL))),
    "a_host_that_is_no_member": replace(GOOD, members=(admission(HOSPITAL), admission(INSURER, host=bytes(32)))),
    "roles_unsorted": replace(GOOD, members=(replace(admission(HOSPITAL), roles=(Role.RESEARCHER, Role.HOSPITAL)),)),
    "an_unknown_parameter": replace(GOOD, parameters=(SetParameter(name="colour", value=1),)),
    "a_parameter_out_of_range": replace(GOOD, parameters=(SetParameter(name="records_links_max", value=0),)),
    "a_rule_table_from_version_2": replace(GOOD, rule_tables=(replace(RETEST, version=2),)),
}


@pytest.mark.parametrize("founding", NONSENSE.values(), ids=NONSENSE.keys())
def test_founding_refused_when_it_does_not_fit(founding: ConsortiumFounding) -> None:
    """
    Given a genesis with one thing wrong.
    When a chain is founded on it.
    Then NotCanonical, with words that say what to do.
    """
    with pytest.raises(NotCanonical) as caught:
        run(founding)
    assert caught.value.do
