# SPDX-License-Identifier: Apache-2.0
"""The founding: the first changes, by the same rules, without a vote; everybody agrees by running this genesis."""

from msgspec import UNSET

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.refusals import Refusal
from vervain.ledger.modules.consortium.messages import AnyChange, ConsortiumFounding
from vervain.ledger.modules.consortium.rules import changes
from vervain.ledger.primitives.codec import NotCanonical


def found(context: Context, founding: ConsortiumFounding) -> None:
    """Write the consortium's section of the genesis.

    Raises: NotCanonical when a change does not fit, or a founding validator has no power.
    """
    hosts = [change for change in founding.members if change.host is UNSET]
    hosted = [change for change in founding.members if change.host is not UNSET]
    if not all(change.power for change in founding.validators):
        raise NotCanonical("A founding validator has no power", do="Leave it out of the genesis or give it power.")
    changes_in_order: tuple[AnyChange, ...] = (
        *hosts,
        *hosted,
        *founding.validators,
        *founding.parameters,
        *founding.rule_tables,
    )
    for change in changes_in_order:
        _apply(context, change)


def _apply(context: Context, change: AnyChange) -> None:
    try:
        changes.check(context.store, change)
    except Refusal as refusal:
        raise NotCanonical(f"The genesis does not fit: {refusal.what}", why=refusal.why, do=refusal.do) from None
    changes.apply(context, change)
