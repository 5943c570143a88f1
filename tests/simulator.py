# SPDX-License-Identifier: Apache-2.0
"""The in-memory consortium: one seed, one run, the same on every machine.

`python -m tests.simulator --seed N --steps M` replays a run; `--seeds K` runs K seeds from N on. A failing seed prints
the line that replays it. There is no clock and no other randomness: everything comes from `random.Random(seed)`.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from hashlib import sha256
from typing import Final

import msgspec

from tests.anomalies.faulty_files import Crash
from tests.simulation.agreement import Consortium, Mutation, watched
from tests.simulation.attempts import consent, consortium, identity, records
from tests.simulation.envelopes import Sender
from tests.simulation.generator import DAY, Attempt, Draft, Generator
from tests.simulation.lowered import lowered, maximum
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.parties import Founding, Keyring
from tests.simulation.questions import ask
from tests.simulation.replica import Replica
from tests.simulation.witness import Broken, require
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.refusals import APPLIED, MachineReason, Refusal
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives.codec import encode

STEPS: Final = 200
ALL_REPLICAS: Final = 99
BATCH_LOOKS: Final = 8  # drafts looked through for more of one signer
ROGUE_KEPT: Final = 40  # transactions that may not write and wait for a block all the same
RAW_BLOCK_TRANSACTIONS_MAX: Final = 10
_ALL_AIMS: Final = (consortium.AIMS, identity.AIMS, consent.AIMS, records.AIMS)
GOOD_SHARE: Final = 0.6  # of drafts that should be applied
SPOILED_SHARE: Final = 0.15  # of what is handed in and should not even be ordered
PREFERENCES: Final = (0.5, 1, 1, 1, 3)
FIRST_PEOPLE: Final = (4, 6)  # staff and patients that are registered before anything else is tried


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run did.

    Attributes:
        seed, steps: Its arguments.
        heights: Blocks decided.
        codes: How often each outcome or refusal code came, from blocks, the pool and questions together.
        applied: How often each message was applied, by its tag.
        crashes: How often a replica stopped, by place.
        digest: Over all changes of all heights: equal on every machine.
    """

    seed: int
    steps: int
    heights: int
    codes: dict[int, int]
    applied: dict[str, int]
    crashes: dict[str, int]
    digest: str


def replay_line(seed: int, steps: int) -> str:
    """Return the command that runs a seed again."""
    return f"python -m tests.simulator --seed {seed} --steps {steps}"


def run(seed: int, steps: int = STEPS, *, mutation: Mutation = nullcontext, mutants: int = 0) -> Report:
    """Run one seed.

    Args:
        seed: Decides everything.
        steps: How many acts: transactions handed in, blocks, deliveries, crashes, questions.
        mutation: A planted fault.
        mutants: How many replicas have it; `ALL_REPLICAS` for all and for whatever is done outside them.

    Raises: Broken, which names the seed.
    """
    try:
        with lowered(seed % 2 == 1), watched():
            return Simulation(seed, steps, mutation, mutants).run()
    except (Exception, Crash) as error:  # a Crash that no replica was meant to have is a finding too
        raise Broken(f"{type(error).__name__}: {error}\nreplay with: {replay_line(seed, steps)}") from error


def run_mutant(mutant: Mutant, seed: int, steps: int = STEPS) -> Report:
    """Run one seed with a planted fault, in all replicas or in the last one.

    Raises: Broken, when the fault was found.
    """
    return run(seed, steps, mutation=mutant.planted, mutants=ALL_REPLICAS if mutant.everybody else 1)


class Simulation:
    """One run: the people, the pool, the sequencer and the consortium."""

    def __init__(self, seed: int, steps: int, mutation: Mutation, mutants: int) -> None:
        self.seed, self.steps = seed, steps
        self.chance = random.Random(seed)
        keyring = Keyring()
        founding = Founding(self.chance, keyring)
        self.consortium = Consortium(self.chance, founding, mutation=mutation, mutants=mutants)
        self.generator = Generator(self.chance, keyring, self.consortium.chain)
        self.sender = Sender(self.generator)
        self.waiting: list[Transaction] = []
        self.rogue: list[bytes] = []
        self.refused: Counter[int] = Counter()
        self.learned = -1
        self.swarms = [_swarm(self.chance, good=good) for good in (True, False)]
        staff, patients = FIRST_PEOPLE
        self.newcomers: list[Attempt] = [identity.register_staff] * staff + [identity.register_patient] * patients

    def run(self) -> Report:
        """Take every step, then check the whole chain."""
        acts = (self.hand_in, self.decide, self.deliver, self.crash, self.question)
        for act in self.chance.choices(acts, (70, 15, 9, 2, 4), k=self.steps):
            self.look()
            act()
        self.consortium.finish()
        witness = self.consortium.witness
        digest = sha256(b"".join(encode(changes) for changes in witness.changes))
        return Report(
            seed=self.seed,
            steps=self.steps,
            heights=witness.height,
            codes=dict(sorted((witness.codes + self.refused).items())),
            applied=dict(sorted(witness.applied.items())),
            crashes=dict(sorted(self.consortium.crashes.items())),
            digest=digest.hexdigest(),
        )

    def look(self) -> None:
        """Let the people see the newest committed state and what was announced up to it."""
        state = self.consortium.newest.state.memory
        self.generator.look(Store(state), state.summaries[-1].time)
        witness = self.consortium.witness
        while self.learned < min(len(state.summaries) - 1, witness.height):
            self.learned += 1
            for event in witness.events[self.learned]:
                self.generator.known.learn(event)

    # Transactions

    def hand_in(self) -> None:
        """Somebody sends something: mostly what should be applied, now and then what should not even be ordered."""
        if self.chance.random() < SPOILED_SHARE:
            encoded = self.sender.spoil()
        else:
            draft = self.draft()
            encoded = [] if draft is None else [self.sender.send(draft)]
        for each in encoded:
            self.to_pool(each)

    def draft(self) -> Draft | None:
        """Return a draft, or a batch of drafts that one signer happens to make."""
        drafts = self._drafts()
        draft = next(drafts, None)
        if draft is None or self.chance.random() < 0.8:
            return draft
        messages = list(draft.messages)
        for more in drafts:
            if (more.actor, more.party.key) == (draft.actor, draft.party.key):
                messages += more.messages
        return draft._replace(messages=tuple(messages[: maximum("TRANSACTION_ENTRIES_MAX")]))

    def _drafts(self) -> Iterator[Draft]:
        """Yield a few drafts, one kind at a time aimed at success or at a refusal; first of all people come in."""
        while self.newcomers:
            draft = self.newcomers.pop()(self.generator)
            if draft is not None:
                yield draft
        for attempts, weights in self.chance.choices(self.swarms, (GOOD_SHARE, 1 - GOOD_SHARE), k=BATCH_LOOKS):
            draft = self.chance.choices(attempts, cum_weights=weights)[0](self.generator)
            if draft is not None:
                yield draft

    def to_pool(self, encoded: bytes) -> None:
        """Ask a replica whether a transaction may wait; what may not is kept to be put into a block all the same."""
        judged, replica = self.consortium.judge(encoded), self.consortium.proposer()
        state = replica.state.memory
        time = state.summaries[-1].time
        expected = self.consortium.witness.expected_code(judged, time)
        if isinstance(judged, Transaction) and self.chance.random() < 0.9:
            replica.running.remember(judged)
        try:
            with replica.mutation():
                transaction = replica.running.check(encoded, time=time, state=state)
        except Refusal as refusal:
            self._refuse(refusal, expected)
            self.rogue.append(encoded)
            del self.rogue[:-ROGUE_KEPT]
            return
        require(expected == APPLIED, f"the pool took what deserves code {expected}")
        self.waiting.append(transaction)

    def _refuse(self, refusal: Refusal, expected: int) -> None:
        require(
            int(refusal.reason) == (expected or MachineReason.TOO_MANY_UNEXPIRED),
            f"{refusal.reason!r} where code {expected} was expected",
        )
        self.refused[int(refusal.reason)] += 1

    # Blocks

    def decide(self) -> None:
        """Decide a block: what a proposer chose, anything at all, or nothing; then deliver it to some."""
        proposer = self.consortium.proposer()
        kind = self.chance.random()
        time = self._next_time(proposer.state.memory.summaries[-1].time)
        if kind < 0.5:
            transactions = self._proposed(proposer, time)
        elif kind < 0.93:
            transactions = self._raw()
        else:
            transactions = []
        others = [each for each in self.consortium.at_tip() if self.chance.random() < 0.4]
        verdicts = [self._judged_or_distracted(each, time, transactions) for each in others]
        self.consortium.decide(time, transactions)
        self.waiting = [each for each in self.waiting if each.encoded not in set(transactions)]
        self.consortium.deliver(proposer)
        self._require_verdicts(verdicts, is_proposal=kind < 0.5)
        for replica in self.consortium.replicas:
            if replica is not proposer and self.chance.random() < 0.6:
                self._catch_up(replica, blocks=1)

    def _next_time(self, time: int) -> int:
        """Block time mostly moves by seconds, sometimes past a transaction's expiry, seldom past everything else's."""
        draw = self.chance.random()
        if draw < 0.85 or (self.waiting and draw < 0.97):
            return time + self.chance.choice((0, 1, 5, 20, 40))
        return time + self.chance.choice((700, 1_000, 2_000) if draw < 0.93 else (2 * DAY, 16 * DAY, 35 * DAY))

    def _proposed(self, proposer: Replica, time: int) -> list[bytes]:
        """Return what an honest proposer chooses from the pool."""
        with proposer.mutation():
            prepared = proposer.running.prepare(self.waiting, time=time, state=proposer.state.memory)
        seen: set[bytes] = set()
        for transaction in prepared.transactions:
            require(self.consortium.witness.expected_code(transaction, time) == APPLIED, "a proposal breaks the rules")
            require(transaction.txid not in seen, "a proposal names a transaction twice")
            seen.add(transaction.txid)
        for transaction, refusal in prepared.refused:
            expected = self.consortium.witness.expected_code(transaction, time)
            self._refuse(
                refusal, MachineReason.ALREADY_SEEN if expected == APPLIED and transaction.txid in seen else expected
            )
        refused = {transaction.encoded for transaction, _ in prepared.refused}
        self.waiting = [each for each in self.waiting if each.encoded not in refused]
        return [each.encoded for each in prepared.transactions]

    def _raw(self) -> list[bytes]:
        """Return some of everything that waits, in any order, twins and all."""
        everything = [each.encoded for each in self.waiting] + self.rogue
        self.chance.shuffle(everything)
        chosen = everything[: self.chance.randint(0, RAW_BLOCK_TRANSACTIONS_MAX)]
        self.rogue = [each for each in self.rogue if each not in chosen]
        if chosen and self.chance.random() < 0.2:
            chosen.append(self.chance.choice(chosen))
        return chosen

    def _judged_or_distracted(self, replica: Replica, time: int, transactions: Sequence[bytes]) -> bool | None:
        """Let a replica judge the coming block, or one that is never decided; return its verdict on the coming one."""
        height, state = self.consortium.height + 1, replica.state.memory
        is_distracted = self.chance.random() < 0.4
        if is_distracted:
            some = self.chance.sample(self.waiting, self.chance.randint(0, len(self.waiting)))
            with replica.mutation():
                replica.running.prepare(some, time=time, state=state)
            return None
        block = Block(height=height, time=time, transactions=tuple(transactions))
        with replica.mutation():
            return replica.running.process(block, state)

    def _require_verdicts(self, verdicts: list[bool | None], *, is_proposal: bool) -> None:
        """A proposal is judged good by everybody; a block is judged good only when each transaction may write."""
        given = [verdict for verdict in verdicts if verdict is not None]
        block, witness = self.consortium.decided[-1], self.consortium.witness
        require(len(set(given)) <= 1, "two replicas judge one block differently")
        if not given or witness.height < block.height:
            return
        judged = self.consortium.decoded(block)
        may_write = None not in witness.leaf_indexes[block.height]
        fits = (
            len(block.transactions) <= maximum("BLOCK_TRANSACTIONS_MAX")
            and sum(map(len, block.transactions)) <= maximum("BLOCK_BYTES_MAX")
            and sum([each.work for each in judged]) <= maximum("BLOCK_WORK_MAX")
        )
        require(given[0] is (may_write and fits), f"a block was judged {given[0]}")
        require(given[0] or not is_proposal, "an honest proposal was judged bad")

    # Replicas

    def deliver(self) -> None:
        """Give a replica what it lacks, or start it again."""
        self._catch_up(self.chance.choice(self.consortium.replicas), blocks=self.chance.randint(1, 3))

    def _catch_up(self, replica: Replica, blocks: int) -> None:
        if replica.application is None:
            if self.chance.random() < 0.5:
                self.consortium.bring_back(replica)
            return
        for _ in range(blocks):
            if replica.application is not None and replica.height < self.consortium.height:
                self.consortium.deliver(replica)

    def crash(self) -> None:
        """Arrange for a crash."""
        replica = self.chance.choice(self.consortium.replicas)
        if replica.application is not None:
            self.consortium.set_crash(replica)

    def question(self) -> None:
        """Ask every replica at the tip the same question."""
        self.refused.update(ask(self.generator, self.consortium.at_tip()))


def _swarm(chance: random.Random, *, good: bool) -> tuple[list[Attempt], list[float]]:
    """Return the attempts at success, or those at refusals, with their weights of this seed added up.

    Each seed prefers other modules and other attempts, so that some go deep where the average never comes.
    Source: A. Groce and others, "Swarm testing", ISSTA 2012.
    """
    attempts: list[Attempt] = []
    weights: list[float] = []
    for aims in _ALL_AIMS:
        module = chance.choice(PREFERENCES)
        for attempt, weight, reason in zip(aims.attempts, aims.weights, aims.reasons, strict=True):
            if (reason == APPLIED) is good:
                attempts.append(attempt)
                weights.append((weights[-1] if weights else 0) + weight * module * chance.choice(PREFERENCES))
    return attempts, weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds asked for, a line each; 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description="Run simulated consortiums.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--steps", type=int, default=STEPS, help="acts a seed")
    parser.add_argument("--mutant", choices=[mutant.name for mutant in MUTANTS], help="a fault to plant")
    asked = parser.parse_args(arguments)
    planted = next((mutant for mutant in MUTANTS if mutant.name == asked.mutant), None)
    for seed in range(asked.seed, asked.seed + asked.seeds):
        try:
            report = run(seed, asked.steps) if planted is None else run_mutant(planted, seed, asked.steps)
        except Broken as broken:
            print(f"seed {seed} failed: {broken}", file=sys.stderr)
            return 1
        print(f"seed {seed}: height {report.heights}, digest {report.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
