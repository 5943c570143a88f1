# SPDX-License-Identifier: Apache-2.0
"""Rules of the identity module: `actors` and their keys, `licences`, and `founding`."""

from vervain.ledger.machine.module import Handler, Message
from vervain.ledger.modules.identity.messages import (
    CloseActor,
    IssueLicence,
    Register,
    ReinstateLicence,
    RotateKey,
    SuspendLicence,
    WithdrawKey,
    WithdrawLicence,
)
from vervain.ledger.modules.identity.rules.actors import close_actor, register, rotate_key, withdraw_key
from vervain.ledger.modules.identity.rules.licences import (
    issue_licence,
    reinstate_licence,
    suspend_licence,
    withdraw_licence,
)

HANDLERS: dict[type[Message], Handler] = {
    Register: register,
    RotateKey: rotate_key,
    WithdrawKey: withdraw_key,
    CloseActor: close_actor,
    IssueLicence: issue_licence,
    SuspendLicence: suspend_licence,
    ReinstateLicence: reinstate_licence,
    WithdrawLicence: withdraw_licence,
}
