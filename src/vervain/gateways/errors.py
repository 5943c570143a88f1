# SPDX-License-Identifier: Apache-2.0
"""What goes wrong at the gateways: a document of a standard that cannot be translated."""

from vervain.ledger.primitives.errors import VervainError


class GatewayError(VervainError):
    """A standard's document cannot be translated. Names the element and the rule, never a value."""
