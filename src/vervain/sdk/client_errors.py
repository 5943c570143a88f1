# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between a client and a node, told in plain words."""

from vervain.ledger.primitives.errors import VervainError
from vervain.sdk.contract import Problem


class ClientError(VervainError):
    """The node did not do as asked, or could not be asked."""


class Refused(ClientError):
    """The node or the ledger refused; sending the same bytes again gives the same answer.

    Attributes:
        problem: What the node said. Its `code` is the refusal's numbered reason, when the ledger refused; its
            `leaf_index` is there when the refusal itself stands in the log.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what, why=problem.why, do=problem.do)
        self.problem = problem


class Unavailable(ClientError):
    """The node could not be reached, or takes nothing now; nothing is lost, send the same bytes again later."""


class UnexpectedAnswer(ClientError):
    """The node answered something that is not in the API's contract: another service, or another version."""
