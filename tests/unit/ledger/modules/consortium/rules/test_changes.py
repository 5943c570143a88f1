# SPDX-License-Identifier: Apache-2.0
"""Validators, parameters and rule tables: what each change writes and announces, and every refusal."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.small_chain import HOSPITAL, INSURER, REGULATOR, Party, SmallChain, digest, validator
from vervain.ledger.machine.limits import VALIDATORS_MAX
from vervain.ledger.machine.outcome import Event
from vervain.ledger.modules.consortium.messages import (
    AnyChange,
    ConsortiumReason,
    ParameterSet,
    Propose,
    PutRuleTable,
    RuleTablePut,
    SetParameter,
    SetValidator,
    SuspendMember,
    ValidatorSet,
)
from vervain.ledger.modules.consortium.queries import newest_rule_table, parameter, validators
from vervain.ledger.modules.consortium.state import (
    PARAMETERS,
    RULE_TABLE_HEADS,
    RULE_TABLE_VERSIONS,
    RULE_TABLES_MAX,
    VALIDATORS,
    RuleTable,
    RuleTableHead,
    ValidatorRow,
)
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import sha256

SMALL_ORDER = bytes([1]) + bytes(31)  # the identity point: a key under which anything verifies elsewhere


def decide(chain: SmallChain, change: AnyChange) -> tuple[Event, ...]:
    """Carry a change out; return what it announced, without the proposal's own three events."""
    outcome = chain.submit(HOSPITAL, Propose(change=change))
    assert outcome.is_applied, outcome
    return outcome.events[2:-1]


def refusal(chain: SmallChain, change: AnyChange) -> ConsortiumReason:
    """Propose a change that does not fit; return why."""
    reason, entry = chain.refusal(HOSPITAL, Propose(change=change))
    assert entry == 0 and isinstance(reason, ConsortiumReason)
    return reason


def test_set_validator_adds_one(chain: SmallChain) -> None:
    """
    Given one validator.
    When a second gets power.
    Then its row holds power and keys, it is announced, and both are named, sorted by organisation.
    """
    change = validator(INSURER, 7)
    assert decide(chain, change) == (
        ValidatorSet(
            organisation=INSURER.id, power=7, engine_key=change.engine_key, cosigning_key=change.cosigning_key
        ),
    )
    assert change.engine_key is not UNSET and change.cosigning_key is not UNSET
    expected = ValidatorRow(engine_key=change.engine_key, power=7, cosigning_key=change.cosigning_key)
    assert chain.row(VALIDATORS, INSURER.id) == expected
    organisations = [each.organisation for each in validators(chain.store)]
    assert organisations == sorted([HOSPITAL.id, INSURER.id])


def test_set_validator_removes_one(chain: SmallChain) -> None:
    """
    Given two validators, one with overwhelming power.
    When the other's power becomes 0.
    Then its row is gone and the removal is announced.
    """
    decide(chain, validator(HOSPITAL, 100))
    decide(chain, validator(INSURER, 1))
    change = SetValidator(organisation=INSURER.id, power=0)
    assert decide(chain, change) == (ValidatorSet(organisation=INSURER.id, power=0),)
    assert chain.row(VALIDATORS, INSURER.id) is None


def test_removal_refused_when_it_is_the_last_validator(chain: SmallChain) -> None:
    """
    Given one validator.
    When its power is to become 0.
    Then LAST_VALIDATOR: there is always one.
    """
    change = SetValidator(organisation=HOSPITAL.id, power=0)
    assert refusal(chain, change) is ConsortiumReason.LAST_VALIDATOR


def test_removal_refused_when_validator_is_not_found(chain: SmallChain) -> None:
    """
    Given a member that does not validate.
    When its power is to become 0.
    Then VALIDATOR_NOT_FOUND, and nobody else is removed.
    """
    change = SetValidator(organisation=INSURER.id, power=0)
    assert refusal(chain, change) is ConsortiumReason.VALIDATOR_NOT_FOUND


KEYS_NOT_FIT = {
    "no_keys": SetValidator(organisation=INSURER.id, power=1),
    "one_key": replace(validator(INSURER), cosigning_key=UNSET),
    "one_key_for_both_uses": replace(validator(INSURER), cosigning_key=validator(INSURER).engine_key),
    "small_order": replace(validator(INSURER), engine_key=SMALL_ORDER),
    "not_on_the_curve": replace(validator(INSURER), cosigning_key=b"\x02" + bytes(31)),
    "keys_with_a_removal": replace(validator(INSURER), power=0),
}


@pytest.mark.parametrize("change", KEYS_NOT_FIT.values(), ids=KEYS_NOT_FIT.keys())
def test_validator_refused_when_keys_do_not_fit(chain: SmallChain, change: SetValidator) -> None:
    """
    Given a member.
    When it is to validate without two different sound keys, or be removed with some.
    Then VALIDATOR_KEYS_NOT_FIT.
    """
    assert refusal(chain, change) is ConsortiumReason.VALIDATOR_KEYS_NOT_FIT


def test_validator_refused_when_a_key_is_used(chain: SmallChain) -> None:
    """
    Given a validator.
    When another is to use its cosigning key as engine key.
    Then VALIDATOR_KEY_USED; the validator itself may keep its keys with another power.
    """
    change = replace(validator(INSURER), engine_key=validator(HOSPITAL).cosigning_key)
    assert refusal(chain, change) is ConsortiumReason.VALIDATOR_KEY_USED
    assert decide(chain, validator(HOSPITAL, 3))


def test_validator_refused_when_member_is_not_found(chain: SmallChain) -> None:
    """
    Given an organisation that is no member.
    When it is to validate.
    Then MEMBER_NOT_FOUND.
    """
    assert refusal(chain, validator(Party("stranger"))) is ConsortiumReason.MEMBER_NOT_FOUND


def test_validator_refused_when_member_is_not_active(chain: SmallChain) -> None:
    """
    Given a suspended member.
    When it is to validate.
    Then MEMBER_NOT_ACTIVE.
    """
    decide(chain, SuspendMember(organisation=INSURER.id))
    assert refusal(chain, validator(INSURER)) is ConsortiumReason.MEMBER_NOT_ACTIVE


def test_validator_refused_when_there_are_too_many(chain: SmallChain) -> None:
    """
    Given as many validators as there may be.
    When one more member is to validate.
    Then TOO_MANY_VALIDATORS; one of them may still change its power.
    """
    for number in range(VALIDATORS_MAX - 1):
        row = ValidatorRow(engine_key=digest(f"e{number}"), power=1, cosigning_key=digest(f"c{number}"))
        VALIDATORS.put(chain.store, digest(f"validator {number}"), row)
    assert refusal(chain, validator(INSURER)) is ConsortiumReason.TOO_MANY_VALIDATORS
    assert refusal(chain, SetValidator(organisation=INSURER.id, power=0)) is ConsortiumReason.VALIDATOR_NOT_FOUND


def test_set_parameter_replaces_the_default(chain: SmallChain) -> None:
    """
    Given a parameter that nobody has set.
    When it is set.
    Then its default held before, the value holds now, and it is announced.
    """
    assert parameter(chain.store, "records_links_max") == PARAMETERS["records_links_max"].default
    assert decide(chain, SetParameter(name="records_links_max", value=7)) == (
        ParameterSet(name="records_links_max", value=7),
    )
    assert parameter(chain.store, "records_links_max") == 7


def test_parameter_refused_when_unknown(chain: SmallChain) -> None:
    """
    Given the table of known parameters.
    When another name is to be set.
    Then UNKNOWN_PARAMETER.
    """
    assert refusal(chain, SetParameter(name="block_size", value=7)) is ConsortiumReason.UNKNOWN_PARAMETER


@pytest.mark.parametrize(("name", "known"), PARAMETERS.items(), ids=PARAMETERS.keys())
def test_parameter_refused_when_out_of_range(chain: SmallChain, name: str, known: tuple[int, int, int, str]) -> None:
    """
    Given a parameter with its range.
    When it is to be set one below or one above.
    Then PARAMETER_OUT_OF_RANGE; both ends and the default are inside.
    """
    minimum, maximum, default, _ = known
    for value in (minimum - 1, maximum + 1):
        assert refusal(chain, SetParameter(name=name, value=value)) is ConsortiumReason.PARAMETER_OUT_OF_RANGE
    assert minimum <= default <= maximum
    for value in (minimum, maximum):
        assert decide(chain, SetParameter(name=name, value=value)) == (ParameterSet(name=name, value=value),)


def test_put_rule_table_keeps_versions(chain: SmallChain) -> None:
    """
    Given a first version of a rule table.
    When a second is put in force.
    Then the second rules, the first stays readable, and the head has the second's digest.
    """
    first = PutRuleTable(name="retest", version=1, rows=(("HbA1c", "90"),))
    second = PutRuleTable(name="retest", version=2, rows=(("HbA1c", "80"), ("CRP", "2")))
    decide(chain, first)
    first_since = chain.time
    events = decide(chain, second)
    value = encode({"name": "retest", "rows": [["HbA1c", "80"], ["CRP", "2"]], "version": 2})
    expected_digest = sha256(b"vervain/rule-table/v1\n" + value)
    assert events == (RuleTablePut(name="retest", version=2, digest=expected_digest),)
    assert chain.row(RULE_TABLE_HEADS, "retest") == RuleTableHead(version=2, digest=expected_digest)
    newest = RuleTable(rows=second.rows, digest=expected_digest, since=chain.time)
    assert newest_rule_table(chain.store, "retest") == newest
    older = chain.row(RULE_TABLE_VERSIONS, (1, "retest"))
    assert older is not None and (older.rows, older.since) == (first.rows, first_since)
    assert newest_rule_table(chain.store, "price") is None


def test_rule_table_refused_when_uneven(chain: SmallChain) -> None:
    """
    Given rows of two and of one cell.
    When they are to be one rule table.
    Then RULE_TABLE_UNEVEN.
    """
    change = PutRuleTable(name="retest", version=1, rows=(("HbA1c", "90"), ("CRP",)))
    assert refusal(chain, change) is ConsortiumReason.RULE_TABLE_UNEVEN


def test_rule_table_refused_when_version_does_not_follow(chain: SmallChain) -> None:
    """
    Given version 1 of one table, and none of another.
    When version 1 or 3 of the first, or 2 of the other, is to rule.
    Then RULE_TABLE_VERSION.
    """
    decide(chain, PutRuleTable(name="retest", version=1, rows=(("HbA1c", "90"),)))
    for name, version in (("retest", 1), ("retest", 3), ("price", 2)):
        change = PutRuleTable(name=name, version=version, rows=(("a",),))
        assert refusal(chain, change) is ConsortiumReason.RULE_TABLE_VERSION


def test_rule_table_refused_when_there_are_too_many(chain: SmallChain) -> None:
    """
    Given as many rule tables as there may be.
    When one more name is to have one.
    Then TOO_MANY_RULE_TABLES; the next version of a known one is taken.
    """
    for number in range(RULE_TABLES_MAX - 1):
        name, table_digest = f"t{number}", digest(f"t{number}")
        RULE_TABLE_HEADS.put(chain.store, name, RuleTableHead(version=1, digest=table_digest))
        table = RuleTable(rows=(("a",),), digest=table_digest, since=chain.time)
        RULE_TABLE_VERSIONS.put(chain.store, (1, name), table)
    assert decide(chain, PutRuleTable(name="last", version=1, rows=(("a",),)))
    change = PutRuleTable(name="one_more", version=1, rows=(("a",),))
    assert refusal(chain, change) is ConsortiumReason.TOO_MANY_RULE_TABLES
    assert decide(chain, PutRuleTable(name="last", version=2, rows=(("b",),)))


def test_change_refused_when_a_stranger_proposes_it(chain: SmallChain) -> None:
    """
    Given a regulator that does not validate.
    When it proposes to become a validator.
    Then NOT_A_VALIDATOR.
    """
    assert chain.refusal(REGULATOR, Propose(change=validator(REGULATOR))) == (ConsortiumReason.NOT_A_VALIDATOR, 0)
