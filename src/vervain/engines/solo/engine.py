# SPDX-License-Identifier: Apache-2.0
"""The embedded engine: group commit on one thread, form and signatures in two more processes.

Order per block: choose from the pool -> append to the block log and fsync -> decide -> commit state atomically ->
answer.
The block log's fsync and the decision run side by side; the state is committed after both. A crash at any point leaves
the state at or behind the log, and `start` replays the difference.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from time import time as system_time
from typing import Final, Protocol, cast

import msgspec

from vervain.engines.engine import FinalOutcome, Listener
from vervain.engines.errors import OutOfSync, Unreachable
from vervain.engines.solo.block_clock import BlockClock, ClockLeapt, seconds_since_boot
from vervain.engines.solo.verifiers import WORKERS, LocalVerifier, Verifier, VerifierPool, WorkerVerifier
from vervain.ledger.machine.application import Application, CommittedState, Finalized, Prepared
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.outcome import EncodedOutcome
from vervain.ledger.machine.refusals import APPLIED, LimitExceeded, MachineReason, Refusal
from vervain.ledger.machine.replay_window import ReplayWindow
from vervain.ledger.machine.transaction import Transaction

POOL_TRANSACTIONS_MAX: Final = 50_000
POOL_BYTES_MAX: Final = 256 * 2**20
QUIET_SECONDS: Final = 0.25  # without a submission before the engine counts as idle
HEARTBEAT_SECONDS: Final = 30.0  # an idle chain must not carry stale time (architecture.md "App hash")


class BlockStorage(Protocol):
    """The block log as the engine needs it."""

    @property
    def last_height(self) -> int | None: ...
    def append(self, height: int, time: int, transactions: Sequence[bytes]) -> None: ...
    def sync(self) -> None: ...
    def blocks(self, from_height: int) -> Iterator[Block]: ...


class StateStorage(Protocol):
    """The state store as the engine needs it."""

    def view(self) -> AbstractContextManager[CommittedState]: ...
    def commit(self, changes: Changes) -> None: ...


class _Submission:
    """A group of transactions handed in together and answered together."""

    __slots__ = ("answers", "future", "missing")

    def __init__(self, count: int) -> None:
        self.answers: list[FinalOutcome | None] = [None] * count
        self.missing = count
        self.future: Future[list[FinalOutcome]] = Future()
        self.future.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def answer(self, index: int, outcome: FinalOutcome) -> None:
        """Note one answer; with the engine's lock held, for several threads answer one group."""
        self.answers[index] = outcome
        self.missing -= 1
        if not self.missing and not self.future.done():  # done: another part of the group was turned away
            self.future.set_result([answer for answer in self.answers if answer is not None])


class _Waiting:
    """A verified transaction in the pool and where its answer goes."""

    __slots__ = ("index", "submission", "transaction")

    def __init__(self, transaction: Transaction, submission: _Submission, index: int) -> None:
        self.transaction, self.submission, self.index = transaction, submission, index


class SoloEngine:
    """Orders, executes and stores blocks in this process.

    Args:
        catalogue: The chain's modules.
        block_log, state: The storage floor's block log and state store; the genesis content is block 0.
        clock: UTC seconds; given so that tests and simulations replay. The machine's own is kept from leaps.
        heartbeat_seconds: Longest silence between blocks.
        catalogue_name: Where verifying processes find the catalogue, `package.module:NAME`; empty: verify on one
        thread.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        block_log: BlockStorage,
        state: StateStorage,
        *,
        clock: Callable[[], float] = system_time,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        catalogue_name: str = "",
    ) -> None:
        self._catalogue, self._block_log, self._state = catalogue, block_log, state
        self._clock = BlockClock(clock, seconds_since_boot if clock is system_time else None)
        self._heartbeat_seconds = heartbeat_seconds
        self._listeners: list[Listener] = []
        self._pool: deque[_Waiting] = deque()
        self._grouped: list[_Waiting] = []
        self._arrived = threading.Condition()
        self._between_blocks = threading.Lock()
        self._pool_bytes = self._in_hand = 0
        self._closed = self._stopping = False
        self._submitted_at = 0.0
        self._halted: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self.application = self._recovered()
        verifiers: list[Verifier] = [WorkerVerifier(catalogue_name) for _ in range(WORKERS if catalogue_name else 0)]
        self._verifiers = VerifierPool(verifiers or [LocalVerifier(catalogue)], self._judged, self._not_judged)

    # Founding and recovery

    def _recovered(self) -> Application:
        """Bring the state up to the block log: found the chain from block 0, then replay what the state lacks."""
        with self._state.view() as state:
            application = Application(self._catalogue, state)
        stored = self._block_log.blocks(0)
        genesis = next(stored, None)
        if genesis is None:
            raise OutOfSync(
                "There is no chain here yet", why="The block log is empty", do="Found one with `vervain init`."
            )
        content = genesis.transactions[0]
        if application.head is None:
            with self._state.view() as state:
                changes = application.init_chain(content, state)
            self._state.commit(changes)
            application.committed(changes)
        application.resume(content)
        assert application.head is not None
        last = self._block_log.last_height
        if last is None or last < application.head.height:
            raise OutOfSync(
                f"The state is at height {application.head.height}, the block log ends at {last}",
                why="The state is ahead of the log, which no crash can cause",
                do="Restore the data directory from a backup; run `vervain audit` to see what is missing.",
            )
        for block in self._block_log.blocks(application.head.height + 1):
            with self._state.view() as state:
                finalized = application.finalize_block(block, state)
            self._state.commit(finalized.changes)
            application.committed(finalized.changes)
        return application

    # Life

    def start(self) -> None:
        """Begin to take transactions."""
        assert self._thread is None
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is waiting and stop."""
        with self._arrived:
            self._closed = True
        self._verifiers.close()
        with self._arrived:
            self._stopping = True
            self._arrived.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._syncer.shutdown()

    def is_busy(self) -> bool:
        """Tell whether transactions wait to be ordered, or came a moment ago: what can wait had better wait."""
        return self._in_hand > 0 or monotonic() - self._submitted_at < QUIET_SECONDS

    def listen(self, listener: Listener) -> None:
        """Have `listener` called on the committer's thread after each durable block."""
        self._listeners.append(listener)

    @contextmanager
    def view(self) -> Iterator[CommittedState]:
        """Open a snapshot of the newest committed state."""
        with self._state.view() as state:
            yield state

    @contextmanager
    def settled(self) -> Iterator[CommittedState]:
        """Open a snapshot between two blocks, so that what memory holds belongs to it. Be brief."""
        with self._between_blocks, self._state.view() as state:
            yield state

    # Submission

    def submit(self, encoded: Sequence[bytes]) -> "Future[list[FinalOutcome]]":
        """Hand in transactions, in one group.

        Raises: Unreachable when the engine is stopped or halted.
        """
        submission = _Submission(len(encoded))
        self._submitted_at = monotonic()
        with self._arrived:
            if self._closed or self._halted is not None:
                raise Unreachable(
                    "This node takes no transactions now", why="It is stopping or halted", do="Send them later."
                )
            admitted = self._admitted(encoded)
            for index in range(admitted, len(encoded)):
                submission.answer(index, _refused(bytes(32), LimitExceeded(MachineReason.POOL_FULL)))
            # With the lock held: `stop` closes the verifiers only after what was taken is theirs.
            self._verifiers.put([((submission, index), encoded[index]) for index in range(admitted)])
        if not encoded:
            submission.future.set_result([])
        return submission.future

    def _admitted(self, encoded: Sequence[bytes]) -> int:
        """Take as many transactions, from the first on, as there is room for; with the lock held."""
        for count, each in enumerate(encoded):
            if self._in_hand >= POOL_TRANSACTIONS_MAX or self._pool_bytes + len(each) > POOL_BYTES_MAX:
                return count
            self._in_hand += 1
            self._pool_bytes += len(each)
        return len(encoded)

    def _judged(self, chunk: list[tuple[object, bytes, int]]) -> None:
        """Put what holds into the pool; answer what does not. On a verifier's thread."""
        good: list[_Waiting] = []
        bad: list[tuple[_Submission, int, int, int]] = []
        for key, encoded, code in chunk:
            submission, index = cast(tuple[_Submission, int], key)
            if code == APPLIED:
                transaction = Transaction.from_checked(encoded, self._catalogue.message_decoder)
                good.append(_Waiting(transaction, submission, index))
            else:
                bad.append((submission, index, code, len(encoded)))
        with self._arrived:
            self._pool.extend(good)
            for submission, index, code, size in bad:
                self._release(1, size)
                submission.answer(index, FinalOutcome(txid=bytes(32), code=code))
            if good:
                self._arrived.notify()
            if self._halted is not None:  # nobody takes from the pool any more
                self._fail_waiting(self._halted)

    def _not_judged(self, chunk: list[tuple[object, bytes]], error: Exception) -> None:
        """Tell the senders of a chunk that it could not be judged."""
        with self._arrived:
            for key, encoded in chunk:
                submission, _ = cast(tuple[_Submission, int], key)
                self._release(1, len(encoded))
                if not submission.future.done():
                    submission.future.set_exception(error)

    def _release(self, count: int, size: int) -> None:
        self._in_hand -= count
        self._pool_bytes -= size

    # The committer

    def _run(self) -> None:
        try:
            while self._wait():
                self._commit_block()
        except BaseException as error:  # the node halts: nothing later may be answered as if it were durable
            with self._arrived:
                self._halted = error
                self._fail_waiting(error)
            raise

    def _wait(self) -> bool:
        """Wait for transactions or the heartbeat; False when stopped and nothing waits."""
        with self._arrived:
            if not self._pool:
                self._arrived.wait(0.01 if self._stopping else self._heartbeat_seconds)
            return bool(self._pool) or not self._stopping or self._in_hand > 0

    def _commit_block(self) -> None:
        head = self.application.head
        assert head is not None
        with self._arrived:
            group = self._grouped = list(self._pool)
            self._pool.clear()
        if not group and self._stopping:
            return
        try:
            now = max(self._clock.read(), head.time)
        except ClockLeapt as error:
            self._turn_away(group, error)
            return
        if not group and now - head.time < self._heartbeat_seconds:
            return
        with self._state.view() as state:
            prepared = self.application.prepare([item.transaction for item in group], time=now, state=state)
            taken, answers = self._sort_out(group, prepared, state)
            if taken or not group:
                answers += self._finalize(taken, head.height + 1, now, state)
        with self._arrived:
            for item, outcome in answers:
                self._release(1, len(item.transaction.encoded))
                item.submission.answer(item.index, outcome)

    def _turn_away(self, group: list[_Waiting], error: Unreachable) -> None:
        """Tell the senders of what waits that it was not ordered."""
        with self._arrived:
            for item in group:
                self._release(1, len(item.transaction.encoded))
            _fail(group, error)

    def _sort_out(
        self, group: list[_Waiting], prepared: Prepared, state: CommittedState
    ) -> tuple[list[_Waiting], list[tuple[_Waiting, FinalOutcome]]]:
        """Split the group into what goes into the block and what is answered at once; postpone the rest."""
        by_identity = {id(item.transaction): item for item in group}
        postponed = [by_identity[id(transaction)] for transaction in prepared.postponed]
        with self._arrived:
            self._pool.extendleft(reversed(postponed))
        answers = [
            (by_identity[id(transaction)], self._refused_or_first(transaction, refusal, state))
            for transaction, refusal in prepared.refused
        ]
        in_same_block = [pair for pair in answers if pair[1].code == MachineReason.ALREADY_SEEN]
        if in_same_block and prepared.transactions:  # its twin is in this very block: answer it from the next state
            with self._arrived:
                self._pool.extend(item for item, _ in in_same_block)
            answers = [pair for pair in answers if pair[1].code != MachineReason.ALREADY_SEEN]
        return [by_identity[id(transaction)] for transaction in prepared.transactions], answers

    def _refused_or_first(self, transaction: Transaction, refusal: Refusal, state: CommittedState) -> FinalOutcome:
        if refusal.reason is not MachineReason.ALREADY_SEEN:
            return _refused(transaction.txid, refusal)
        return first_outcome(transaction, state) or _refused(transaction.txid, refusal)

    def _finalize(
        self, taken: list[_Waiting], height: int, time: int, state: CommittedState
    ) -> list[tuple[_Waiting, FinalOutcome]]:
        transactions = tuple(item.transaction.encoded for item in taken)
        block = Block(height=height, time=time, transactions=transactions)
        self._block_log.append(height, time, transactions)
        synced = self._syncer.submit(self._block_log.sync)
        for item in taken:
            self.application.remember(item.transaction)
        with self._between_blocks:
            finalized = self.application.finalize_block(block, state)
            synced.result()
            self._state.commit(finalized.changes)
            self.application.committed(finalized.changes)
        for listener in self._listeners:
            listener(block, finalized)
        return [(item, _final(item.transaction.txid, finalized, index, height)) for index, item in enumerate(taken)]

    def _fail_waiting(self, error: BaseException) -> None:
        """Tell everybody who waits that the node has halted; with the lock held."""
        waiting, self._pool = [*self._grouped, *self._pool], deque()
        _fail(waiting, Unreachable("The node has halted", why=type(error).__name__, do="See its log."))


def _fail(waiting: Sequence[_Waiting], error: Unreachable) -> None:
    """Answer the groups of what waits with an error, once each."""
    for submission in {id(item.submission): item.submission for item in waiting}.values():
        if not submission.future.done():
            submission.future.set_exception(error)


def first_outcome(transaction: Transaction, state: CommittedState) -> FinalOutcome | None:
    """Return the outcome a remembered transaction had when it was ordered first, or None."""
    place = ReplayWindow(state).first_place(transaction)
    stored, summary = (None, None) if place is None else (state.outcomes(place[0]), state.summary(place[0]))
    if place is None or stored is None or summary is None:
        return None
    outcome = msgspec.json.decode(stored, type=list[EncodedOutcome])[place[1]]
    return FinalOutcome(
        txid=transaction.txid,
        code=outcome.code,
        failed_entry=outcome.failed_entry,
        events=outcome.events,
        height=place[0],
        leaf_index=summary.first_leaf + place[1],  # every stored transaction has a leaf
        is_repeat=True,
    )


def _final(txid: bytes, finalized: Finalized, index: int, height: int) -> FinalOutcome:
    outcome, leaf_index = finalized.outcomes[index], finalized.leaf_indexes[index]
    return FinalOutcome(
        txid=txid,
        code=outcome.code,
        failed_entry=outcome.failed_entry,
        events=outcome.events,
        height=msgspec.UNSET if leaf_index is None else height,
        leaf_index=msgspec.UNSET if leaf_index is None else leaf_index,
    )


def _refused(txid: bytes, refusal: Refusal) -> FinalOutcome:
    return FinalOutcome(txid=txid, code=int(refusal.reason), why=refusal.why)
