# SPDX-License-Identifier: Apache-2.0
"""The chain's table of contents: the only file that names all modules, lower ones first."""

from typing import Final

from vervain.ledger.machine.module import Catalogue
from vervain.ledger.modules import consent, consortium, identity, records
from vervain.ledger.modules.consortium.queries import validators
from vervain.ledger.modules.identity.queries import organisation_of_active_key
from vervain.ledger.primitives.assertions import require_assertions

require_assertions()

CATALOGUE: Final = Catalogue(
    (consortium.MODULE, identity.MODULE, consent.MODULE, records.MODULE),
    organisation_of_active_key=organisation_of_active_key,
    validators=validators,
)
"""All modules of version 1."""
