# SPDX-License-Identifier: Apache-2.0
"""Licences: a regulator licenses staff, suspends, reinstates, withdraws; every change keeps its time.

Kept invariants: a licence's head is its last change; a withdrawn licence never comes back; only its issuer changes it.

Source: identity-keys-receipts reference, section 4; rulings.md "Fence" (licences are rows; a status list is an export).
"""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.refusals import Conflict, Forbidden, LimitExceeded, Malformed
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.consortium.messages import Role
from vervain.ledger.modules.identity import queries
from vervain.ledger.modules.identity.messages import (
    LICENCE_CHANGES_MAX,
    LICENCE_SECONDS_MAX,
    LICENCES_PER_HOLDER_MAX,
    ActorKind,
    ActorStatus,
    IdentityReason,
    IssueLicence,
    LicenceChanged,
    LicenceIssued,
    LicenceReason,
    LicenceStatus,
    ReinstateLicence,
    SuspendLicence,
    WithdrawLicence,
    licence_id,
)
from vervain.ledger.modules.identity.state import (
    HELD_LICENCES,
    LICENCE_CHANGES,
    LICENCES,
    HeldLicence,
    Licence,
    LicenceChange,
)


def issue_licence(context: Context, message: IssueLicence) -> None:
    """License a staff actor for a profession and a period.

    Refuses: Forbidden(NOT_A_REGULATOR), NotFound(NO_SUCH_ACTOR), Conflict(HOLDER_NOT_STAFF, PERIOD_OVER),
        Malformed(EMPTY_PERIOD), LimitExceeded(PERIOD_TOO_LONG, TOO_MANY_LICENCES).
    """
    # AUTHORITY
    issuer = context.organisation
    queries.require_acts_for(context, issuer, IdentityReason.NOT_A_REGULATOR)
    if not consortium.has_role(context.store, issuer, Role.REGULATOR):
        raise Forbidden(IdentityReason.NOT_A_REGULATOR, organisation=issuer)

    # PRECONDITIONS
    holder = queries.require_actor(context.store, message.holder)
    if holder.kind is not ActorKind.STAFF or holder.status is not ActorStatus.ACTIVE:
        raise Conflict(IdentityReason.HOLDER_NOT_STAFF, holder=message.holder)
    _require_period(context, message)
    if sum(1 for _ in HELD_LICENCES.rows(context.store, message.holder)) >= LICENCES_PER_HOLDER_MAX:
        raise LimitExceeded(IdentityReason.TOO_MANY_LICENCES, holder=message.holder)

    # CHANGE
    licence = licence_id(context.txid, context.entry_index)
    row = Licence(
        issuer=issuer,
        holder=message.holder,
        profession=message.profession,
        valid_from=message.valid_from,
        valid_until=message.valid_until,
        changed_at=context.block_time,
        sequence=0,
        register_digest=message.register_digest,
    )
    LICENCES.put(context.store, licence, row)
    first = LicenceChange(status=LicenceStatus.VALID, changed_at=context.block_time)
    LICENCE_CHANGES.put(context.store, (licence, 0), first)
    HELD_LICENCES.put(context.store, (message.holder, licence), HeldLicence(profession=message.profession))

    # EVENT
    context.emit(
        LicenceIssued(
            licence=licence,
            issuer=issuer,
            holder=message.holder,
            profession=message.profession,
            valid_from=message.valid_from,
            valid_until=message.valid_until,
            issued_at=context.block_time,
        )
    )


def suspend_licence(context: Context, message: SuspendLicence) -> None:
    """Make a valid licence not count for now.

    Refuses: NotFound(NO_SUCH_LICENCE), Forbidden(NOT_THE_ISSUER), Conflict(LICENCE_NOT_VALID),
        LimitExceeded(TOO_MANY_CHANGES).
    """
    # AUTHORITY
    row = _require_issuer(context, message.licence)

    # PRECONDITIONS
    if row.status is not LicenceStatus.VALID:
        raise Conflict(IdentityReason.LICENCE_NOT_VALID, licence=message.licence)

    # CHANGE, EVENT
    _change(context, message.licence, row, LicenceStatus.SUSPENDED, message.reason)


def reinstate_licence(context: Context, message: ReinstateLicence) -> None:
    """Make a suspended licence count again.

    Refuses: NotFound(NO_SUCH_LICENCE), Forbidden(NOT_THE_ISSUER), Conflict(LICENCE_NOT_SUSPENDED),
        LimitExceeded(TOO_MANY_CHANGES).
    """
    # AUTHORITY
    row = _require_issuer(context, message.licence)

    # PRECONDITIONS
    if row.status is not LicenceStatus.SUSPENDED:
        raise Conflict(IdentityReason.LICENCE_NOT_SUSPENDED, licence=message.licence)

    # CHANGE, EVENT
    _change(context, message.licence, row, LicenceStatus.VALID, UNSET)


def withdraw_licence(context: Context, message: WithdrawLicence) -> None:
    """End a licence for good. Never refused for its number of changes.

    Refuses: NotFound(NO_SUCH_LICENCE), Forbidden(NOT_THE_ISSUER), Conflict(LICENCE_WITHDRAWN).
    """
    # AUTHORITY
    row = _require_issuer(context, message.licence)

    # PRECONDITIONS
    if row.status is LicenceStatus.WITHDRAWN:
        raise Conflict(IdentityReason.LICENCE_WITHDRAWN, licence=message.licence)

    # CHANGE, EVENT
    _change(context, message.licence, row, LicenceStatus.WITHDRAWN, message.reason)


def _require_issuer(context: Context, licence: bytes) -> Licence:
    row = LICENCES.require(context.store, licence, IdentityReason.NO_SUCH_LICENCE)
    queries.require_acts_for(context, row.issuer, IdentityReason.NOT_THE_ISSUER)
    return row


def _require_period(context: Context, message: IssueLicence) -> None:
    if message.valid_until <= message.valid_from:
        raise Malformed(IdentityReason.EMPTY_PERIOD)
    if message.valid_until <= context.block_time:
        raise Conflict(IdentityReason.PERIOD_OVER)
    if message.valid_until - message.valid_from > LICENCE_SECONDS_MAX:
        raise LimitExceeded(IdentityReason.PERIOD_TOO_LONG)


def _change(
    context: Context, licence: bytes, row: Licence, status: LicenceStatus, reason: LicenceReason | UnsetType
) -> None:
    """Write and announce a licence's next status."""
    sequence = row.sequence + 1
    if sequence >= LICENCE_CHANGES_MAX and status is not LicenceStatus.WITHDRAWN:
        raise LimitExceeded(IdentityReason.TOO_MANY_CHANGES, licence=licence)
    change = LicenceChange(status=status, changed_at=context.block_time, reason=reason)
    LICENCE_CHANGES.put(context.store, (licence, sequence), change)
    LICENCES.put(context.store, licence, replace(row, status=status, changed_at=context.block_time, sequence=sequence))
    context.emit(
        LicenceChanged(licence=licence, sequence=sequence, status=status, changed_at=context.block_time, reason=reason)
    )
