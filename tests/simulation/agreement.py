# SPDX-License-Identifier: Apache-2.0
"""The simulated consortium: replicas that take decided blocks, lag, crash and restart, and must agree on everything.

A height is judged once by the witness and the invariants, from the first replica that decides it. Every other replica,
every replay after a crash and the replay from genesis must come to exactly the same changes.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Final

from tests.anomalies.faulty_files import Crash
from tests.memory_state import MemoryState
from tests.simulation.invariants import Invariants
from tests.simulation.parties import FOUNDED_AT, Founding
from tests.simulation.proofs import require_log, require_map
from tests.simulation.replica import Place, Replica
from tests.simulation.witness import Judged, Witness, require
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine import application as machine
from vervain.ledger.machine.application import Application, Finalized, replay
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.genesis import chain_name, decode_genesis
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.outcome import Outcome
from vervain.ledger.machine.refusals import APPLIED, Refusal
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import encode

REPLICAS_MIN: Final = 3
REPLICAS_MAX: Final = 4
REPLAY: Final = -1  # stands for the replay from genesis where replicas are numbered
EXECUTE: Final = "execute"  # the name under which the application runs a transaction
OPEN: Final = "_open"  # the name of libsodium's verification, which raises, so that only good ones are remembered
VERDICTS_KEPT: Final = 2_048
Mutation = Callable[[], AbstractContextManager[None]]


class Consortium:
    """The members of one simulation and everything they have decided.

    Args:
        chance: The only source of randomness.
        founding: What they found on.
        mutation: A planted fault.
        mutants: How many replicas have it, from the last one on; all when more than there are.
    """

    def __init__(
        self, chance: random.Random, founding: Founding, *, mutation: Mutation = nullcontext, mutants: int = 0
    ) -> None:
        self.chance = chance
        self.chain = chain_name(decode_genesis(founding.content), founding.content)
        self.genesis = Block(height=0, time=FOUNDED_AT, transactions=(founding.content,))
        self.witness, self.invariants = Witness(CATALOGUE, self.chain), Invariants(CATALOGUE)
        self.decided: list[Block] = [self.genesis]
        self.judged: dict[bytes, Judged] = {}
        self.crashes: Counter[str] = Counter()
        self._compared: dict[int, int] = {}
        self._mutation, self._everybody = mutation, mutants > REPLICAS_MAX
        count = REPLICAS_MAX if chance.random() < 0.1 else REPLICAS_MIN
        self.replicas = [
            Replica(
                number,
                CATALOGUE,
                self.genesis,
                self.chain,
                seed=chance.getrandbits(32),
                mutation=mutation if number >= count - mutants else nullcontext,
            )
            for number in range(count)
        ]
        self._judge_founding()

    # Deciding

    @property
    def height(self) -> int:
        """The newest decided height."""
        return self.decided[-1].height

    @property
    def newest(self) -> Replica:
        """The replica whose state is ahead, running or not."""
        return max(self.replicas, key=lambda each: each.height)

    def at_tip(self) -> list[Replica]:
        """Return the running replicas that know every decided block."""
        return [each for each in self.replicas if each.application is not None and each.height == self.height]

    def proposer(self) -> Replica:
        """Return a running replica at the tip, bringing one there if need be."""
        while not (ready := self.at_tip()):
            replica = self.newest
            self.bring_back(replica)
            while replica.application is not None and replica.height < self.height:
                self.deliver(replica)
        return self.chance.choice(ready)

    def judge(self, encoded: bytes) -> Judged:
        """Decode and verify a transaction once for all; the code when it is refused."""
        judged = self.judged.get(encoded)
        if judged is None:
            try:
                judged = Transaction(encoded, CATALOGUE.message_decoder)
                judged.require_signature()
            except Refusal as refusal:
                judged = int(refusal.reason)
            self.judged[encoded] = judged
        return judged

    def decide(self, time: int, transactions: Sequence[bytes]) -> None:
        """Add the next block."""
        self.decided.append(Block(height=self.height + 1, time=time, transactions=tuple(transactions)))

    def decoded(self, block: Block) -> list[Transaction]:
        """Return the block's transactions that decode."""
        judged = map(self.judge, block.transactions)
        return [each for each in judged if isinstance(each, Transaction)]

    # Replicas

    def deliver(self, replica: Replica) -> None:
        """Give a replica the next block that its state lacks; it may crash."""
        block = self.decided[replica.height + 1]
        known = self.decoded(block) if self.chance.random() < 0.9 else []
        try:
            replica.deliver(block, known, sync_first=self.chance.random() < 0.5)
        except Crash as crash:
            self.crash(replica, str(crash))
        self._compare(replica)
        told = replica.told()
        if told is not None and replica.height >= block.height:
            self._require_told(block.height, told)

    def crash(self, replica: Replica, where: str) -> None:
        """Stop a replica."""
        self.crashes[where] += 1
        replica.crash(self.chance)

    def bring_back(self, replica: Replica) -> None:
        """Start a stopped replica; it may crash on the way, again and again."""
        if replica.application is None:
            self.crashes["in recovery"] += replica.restart(self.chance)
            self._compare(replica)

    def set_crash(self, replica: Replica) -> None:
        """Arrange for a running replica's next crash, or stop it at once."""
        place = self.chance.choice((None, Place.IN_LOG, *Place))
        if place is None:
            self.crash(replica, "at rest")
        else:
            replica.set_crash(place, self.chance)

    # Agreement

    def _judge_founding(self) -> None:
        """Judge height 0 as the first replica has it; the others must have it so too."""
        founder = self.replicas[0].state
        self.witness.founded(self.genesis.transactions[0], self.genesis.time, founder.changes[0])
        self._require_invariants(founder.memory)
        for replica in self.replicas:
            self._compare(replica)

    def shared_mutation(self) -> AbstractContextManager[None]:
        """Enter the planted fault when everybody has it: what is done outside a replica then has it too."""
        return self._mutation() if self._everybody else nullcontext()

    def _compare(self, replica: Replica) -> None:
        """Judge what a replica committed first, and compare what others had committed before, height by height."""
        self._agree(replica.number, replica.state.memory, replica.state.changes)

    def _agree(self, number: int, state: MemoryState, committed: Sequence[Changes]) -> None:
        first = self._compared.get(number, 0)
        for height in range(first, len(committed)):
            if height > self.witness.height:
                block = self.decided[height]
                self.witness.block(block, [self.judge(each) for each in block.transactions], committed[height])
                self._require_invariants(state)
            else:
                _require_same(self.witness.changes[height], committed[height])
        self._compared[number] = len(committed)

    def _require_invariants(self, state: MemoryState) -> None:
        """Run the invariants over the newest state that there is."""
        height = self.witness.height
        with self.shared_mutation():
            breaches = self.invariants.breaches(state, self.witness.changes[height])
        require(not breaches, f"height {height} broke an invariant: {'; '.join(breaches[:3])}")

    def _require_told(self, height: int, finalized: Finalized) -> None:
        """What a replica tells its senders is what it committed."""
        told = b"[" + b",".join(map(encode, finalized.outcomes)) + b"]"
        require(told == self.witness.changes[height].outcomes, f"other outcomes were told than stored at {height}")
        require(finalized.leaf_indexes == self.witness.leaf_indexes[height], f"leaves of {height} are told elsewhere")

    # The end

    def finish(self) -> None:
        """Bring every replica to the tip and check the whole chain."""
        for replica in self.replicas:
            replica.call_off_crash()
            while replica.height < self.height or replica.application is None:
                self.bring_back(replica)
                replica.call_off_crash()
                while replica.application is not None and replica.height < self.height:
                    self.deliver(replica)
        state, application = self._replayed(self.chance.choice(self.replicas))
        for replica in self.replicas:
            _require_equal(replica.state.memory, state, f"replica {replica.number} and a replay from genesis")
        require_log(self.witness, state, self.chance)
        require_map(CATALOGUE, application, state, self.chance)
        running = self.chance.choice(self.replicas)
        require_map(CATALOGUE, running.running, running.state.memory, self.chance)

    def _replayed(self, source: Replica) -> tuple[MemoryState, Application]:
        """Replay a replica's log from genesis into a new state."""
        assert source.log is not None
        require(list(source.log.blocks(0)) == self.decided, "the block log does not hold what was decided")
        with self.shared_mutation():
            state = MemoryState()
            application = Application(CATALOGUE, state)
            changes = [application.init_chain(self.genesis.transactions[0], state)]
            state.apply(changes[0])
            application.committed(changes[0])
            application.resume(self.genesis.transactions[0])
            for transaction in self.judged.values():
                if isinstance(transaction, Transaction):
                    application.remember(transaction)
            for finalized in replay(application, source.log.blocks(1), lambda: state):
                state.apply(finalized.changes)
                changes.append(finalized.changes)
        self._agree(REPLAY, state, changes)
        return state, application


def _require_same(known: Changes, told: Changes) -> None:
    """Two replicas decided one block alike."""
    height = known.summary.height
    require(told.summary.app_hash == known.summary.app_hash, f"the app hashes of height {height} differ")
    require(told.outcomes == known.outcomes, f"the outcomes of height {height} differ")
    require(told == known, f"the changes of height {height} differ")


def _require_equal(left: MemoryState, right: MemoryState, who: str) -> None:
    """Two states hold the same in every part."""
    everything = (b"", b"\xff" * 64)
    require(list(left.range(*everything)) == list(right.range(*everything)), f"{who} have other rows")
    require(
        list(left.unexpired_range(*everything)) == list(right.unexpired_range(*everything)),
        f"{who} remember other transactions",
    )
    require(left.buckets == right.buckets, f"{who} have other buckets of the proved map")
    require(left.tiles == right.tiles, f"{who} have other tiles of the log")
    require(left.summaries == right.summaries, f"{who} have other heads")
    require(left.outcomes_by_height == right.outcomes_by_height, f"{who} have other outcomes")


@contextmanager
def watched() -> Iterator[None]:
    """Watch every transaction that any replica executes: a refused one leaves the block's writes as they were.

    What libsodium says of a good signature is remembered, so that replicas share the arithmetic but no decision.
    """
    execute, opened = machine.__dict__[EXECUTE], signatures.__dict__[OPEN]

    def conserving(catalogue: Catalogue, context: Context, transaction: Transaction) -> Outcome:
        before = dict(context.store._writes)
        outcome: Outcome = execute(catalogue, context, transaction)
        if outcome.code != APPLIED:
            require(context.store._writes == before, "a refused transaction changed a row")
        return outcome

    setattr(machine, EXECUTE, conserving)
    setattr(signatures, OPEN, lru_cache(VERDICTS_KEPT)(opened))
    try:
        yield
    finally:
        setattr(machine, EXECUTE, execute)
        setattr(signatures, OPEN, opened)
