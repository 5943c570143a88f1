# SPDX-License-Identifier: Apache-2.0
"""What one member keeps on disk of the agreed world: block log, state, their audit and backup. Knows no module."""

from vervain.ledger.primitives.assertions import require_assertions

require_assertions()
