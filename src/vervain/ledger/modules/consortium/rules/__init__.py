# SPDX-License-Identifier: Apache-2.0
"""Rules of the consortium module: `votes` decide, `changes` are what they decide, `founding` is the first of them."""

from vervain.ledger.machine.module import Handler, Message
from vervain.ledger.modules.consortium.messages import CountVotes, Leave, Propose, Vote
from vervain.ledger.modules.consortium.rules.members import leave
from vervain.ledger.modules.consortium.rules.votes import count_votes, propose, vote

HANDLERS: dict[type[Message], Handler] = {Propose: propose, Vote: vote, CountVotes: count_votes, Leave: leave}
