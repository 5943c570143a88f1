# SPDX-License-Identifier: Apache-2.0
"""What the validators decide: validators, parameters, rule tables; and the table of all changes.

Each change is a pair: `check_...` refuses what does not fit the state, the other writes and announces it. The check
runs when the change is proposed and again when it is decided, since the state may have moved between.
Kept invariants: there is always a validator; no key belongs to two validators, nor to two uses; only known parameters
within their ranges; versions of a rule table follow each other from 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import UNSET

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.limits import VALIDATORS_MAX
from vervain.ledger.machine.refusals import Conflict, LimitExceeded, Malformed, NotFound
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium import queries
from vervain.ledger.modules.consortium.messages import (
    AdmitMember,
    AnyChange,
    ConsortiumReason,
    MoveMember,
    ParameterSet,
    PutRuleTable,
    ReinstateMember,
    RuleTablePut,
    SetParameter,
    SetValidator,
    SuspendMember,
    ValidatorSet,
)
from vervain.ledger.modules.consortium.rules import members
from vervain.ledger.modules.consortium.state import (
    MEMBERS,
    PARAMETER_ROWS,
    PARAMETERS,
    RULE_TABLE_HEADS,
    RULE_TABLE_VERSIONS,
    RULE_TABLES_MAX,
    VALIDATORS,
    Parameter,
    RuleTable,
    RuleTableHead,
    ValidatorRow,
)
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import RULE_TABLE, sha256
from vervain.ledger.primitives.signatures import is_valid_public_key


class Rule(NamedTuple):
    """How one kind of change is checked and carried out."""

    check: Callable[[Store, Any], None]  # Any: each takes its own kind of change
    apply: Callable[[Context, Any], None]  # Any: as above


def check(store: Store, change: AnyChange) -> None:
    """Refuse a change that does not fit what is so now.

    Refuses: whatever its `check_...` refuses.
    """
    RULES[type(change)].check(store, change)


def apply(context: Context, change: AnyChange) -> None:
    """Carry out a change that was just checked."""
    RULES[type(change)].apply(context, change)


def check_set_validator(store: Store, change: SetValidator) -> None:
    """Refuse a validator change that does not fit.

    Refuses: NotFound(VALIDATOR_NOT_FOUND, MEMBER_NOT_FOUND), Malformed(VALIDATOR_KEYS_NOT_FIT),
        Conflict(LAST_VALIDATOR, MEMBER_NOT_ACTIVE, MEMBER_IS_HOSTED, VALIDATOR_KEY_USED),
        LimitExceeded(TOO_MANY_VALIDATORS).
    """
    others = [each for each in queries.validators(store) if each.organisation != change.organisation]
    if not change.power:
        return _check_remove_validator(store, change, is_last=not others)
    keys = (change.engine_key, change.cosigning_key)
    if keys[0] == keys[1] or any(key is UNSET or not is_valid_public_key(key) for key in keys):
        raise Malformed(ConsortiumReason.VALIDATOR_KEYS_NOT_FIT, organisation=change.organisation)
    member = MEMBERS.require(store, change.organisation, ConsortiumReason.MEMBER_NOT_FOUND)
    if not queries.is_active(store, change.organisation):
        raise Conflict(ConsortiumReason.MEMBER_NOT_ACTIVE, organisation=change.organisation)
    if member.host is not UNSET:
        raise Conflict(ConsortiumReason.MEMBER_IS_HOSTED, organisation=change.organisation)
    if len(others) == VALIDATORS_MAX:
        raise LimitExceeded(ConsortiumReason.TOO_MANY_VALIDATORS)
    if any(key in (each.engine_key, each.cosigning_key) for each in others for key in keys):
        raise Conflict(ConsortiumReason.VALIDATOR_KEY_USED, organisation=change.organisation)


def _check_remove_validator(store: Store, change: SetValidator, *, is_last: bool) -> None:
    if change.engine_key is not UNSET or change.cosigning_key is not UNSET:
        raise Malformed(ConsortiumReason.VALIDATOR_KEYS_NOT_FIT, organisation=change.organisation)
    if not VALIDATORS.has(store, change.organisation):
        raise NotFound(ConsortiumReason.VALIDATOR_NOT_FOUND, organisation=change.organisation)
    if is_last:
        raise Conflict(ConsortiumReason.LAST_VALIDATOR, organisation=change.organisation)


def set_validator(context: Context, change: SetValidator) -> None:
    """Write and announce a validator's power and keys, or its removal. Its votes stop counting with it."""
    if change.engine_key is UNSET or change.cosigning_key is UNSET:
        VALIDATORS.delete(context.store, change.organisation)
    else:
        row = ValidatorRow(engine_key=change.engine_key, power=change.power, cosigning_key=change.cosigning_key)
        VALIDATORS.put(context.store, change.organisation, row)
    context.emit(
        ValidatorSet(
            organisation=change.organisation,
            power=change.power,
            engine_key=change.engine_key,
            cosigning_key=change.cosigning_key,
        )
    )


def check_set_parameter(_store: Store, change: SetParameter) -> None:
    """Refuse a parameter that is not known, or a value outside its range.

    Refuses: NotFound(UNKNOWN_PARAMETER), Malformed(PARAMETER_OUT_OF_RANGE).
    """
    known = PARAMETERS.get(change.name)
    if known is None:
        raise NotFound(ConsortiumReason.UNKNOWN_PARAMETER)
    if not known.minimum <= change.value <= known.maximum:
        raise Malformed(ConsortiumReason.PARAMETER_OUT_OF_RANGE, minimum=known.minimum, maximum=known.maximum)


def set_parameter(context: Context, change: SetParameter) -> None:
    """Write and announce a parameter."""
    PARAMETER_ROWS.put(context.store, change.name, Parameter(value=change.value))
    context.emit(ParameterSet(name=change.name, value=change.value))


def check_put_rule_table(store: Store, change: PutRuleTable) -> None:
    """Refuse a rule table whose version does not follow, whose rows are uneven, or one name too many.

    Refuses: Malformed(RULE_TABLE_UNEVEN), Conflict(RULE_TABLE_VERSION), LimitExceeded(TOO_MANY_RULE_TABLES).
    """
    if any(len(row) != len(change.rows[0]) for row in change.rows):
        raise Malformed(ConsortiumReason.RULE_TABLE_UNEVEN)
    head = RULE_TABLE_HEADS.get(store, change.name)
    if change.version != (head.version if head else 0) + 1:
        raise Conflict(ConsortiumReason.RULE_TABLE_VERSION, version=head.version if head else 0)
    if head is None and sum(1 for _ in RULE_TABLE_HEADS.rows(store)) >= RULE_TABLES_MAX:
        raise LimitExceeded(ConsortiumReason.TOO_MANY_RULE_TABLES)


def put_rule_table(context: Context, change: PutRuleTable) -> None:
    """Write and announce a rule table's next version, which rules from now on."""
    digest = sha256(RULE_TABLE + encode({"name": change.name, "rows": change.rows, "version": change.version}))
    table = RuleTable(rows=change.rows, digest=digest, since=context.block_time)
    RULE_TABLE_VERSIONS.put(context.store, (change.version, change.name), table)
    RULE_TABLE_HEADS.put(context.store, change.name, RuleTableHead(version=change.version, digest=digest))
    context.emit(RuleTablePut(name=change.name, version=change.version, digest=digest))


RULES: dict[type, Rule] = {
    AdmitMember: Rule(members.check_admit_member, members.admit_member),
    SuspendMember: Rule(members.check_suspend_member, members.suspend_member),
    ReinstateMember: Rule(members.check_reinstate_member, members.reinstate_member),
    MoveMember: Rule(members.check_move_member, members.move_member),
    SetValidator: Rule(check_set_validator, set_validator),
    SetParameter: Rule(check_set_parameter, set_parameter),
    PutRuleTable: Rule(check_put_rule_table, put_rule_table),
}
