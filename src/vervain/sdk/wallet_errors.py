# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a wallet, told to the person it belongs to."""

from vervain.ledger.primitives.errors import VervainError


class WalletError(VervainError):
    """The wallet cannot do as asked."""
