# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with keys and seals, told without a byte of what they hold."""

from vervain.ledger.primitives.errors import VervainError


class SealingError(VervainError):
    """Something done with a private key or a seal did not work."""


class SealBroken(SealingError):
    """A seal does not open: another key, another context, or altered bytes. Which of them is not told, on purpose."""


class KeyFileRefused(SealingError):
    """A key file is missing, readable by others, already there, or does not hold the kind of key asked for."""
