# SPDX-License-Identifier: Apache-2.0
"""What an engine cannot do for now."""

from vervain.ledger.primitives.errors import VervainError


class EngineError(VervainError):
    """The engine cannot order transactions."""


class Unreachable(EngineError):
    """The engine is stopped or does not answer; nothing is lost, send the same bytes again."""


class OutOfSync(EngineError):
    """The engine and the state do not belong together."""
