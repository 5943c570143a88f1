# SPDX-License-Identifier: Apache-2.0
"""The engine's view of the machine: found, check, prepare, process, finalize_block, query, prove.

Calls, in the engine's order:

    init_chain                     once, makes the changes of height 0
    check                          any time: may this transaction wait in the pool?
    prepare, process               propose a block; judge a proposed one; neither touches committed state
    finalize_block                 decide what a block changes; the engine stores the changes, then calls `committed`

The application may be behind the engine, never ahead: it answers from the state it is given and keeps only derived
things in memory (the upper tree of the proved map, the right edge of the log, a memo of decoded transactions).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from vervain.ledger.machine import block as blocks
from vervain.ledger.machine.block import Block, BlockLeaf
from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.execution import execute, outcome_and_leaf
from vervain.ledger.machine.genesis import chain_name, decode_genesis, found, genesis_leaf
from vervain.ledger.machine.limits import (
    BLOCK_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    BLOCK_WORK_MAX,
    EXPIRY_SECONDS_MAX,
    MEMO_BYTES_MAX,
)
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.outcome import Outcome, encode_outcome
from vervain.ledger.machine.refusals import (
    APPLIED,
    Conflict,
    LimitExceeded,
    MachineReason,
    Malformed,
    Refusal,
    Unauthenticated,
)
from vervain.ledger.machine.replay_window import ReplayWindow
from vervain.ledger.machine.store import Store, after
from vervain.ledger.machine.table import Key
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.primitives.codec import NotCanonical, decode, encode
from vervain.ledger.primitives.errors import InvariantBroken
from vervain.ledger.primitives.hashing import CONFIG, leaf_hash
from vervain.ledger.primitives.merkle_log import TileWriter
from vervain.ledger.primitives.proved_map import (
    MapProof,
    UpperTree,
    bucket_of,
    bucket_root,
    map_key,
    prove,
    update_bucket,
    value_hash,
)


class CommittedState(Protocol):
    """One snapshot of everything committed, as storage shows it."""

    def get(self, key: bytes) -> bytes | None: ...
    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]: ...
    def bucket(self, index: int) -> bytes: ...
    def bucket_roots(self) -> Iterator[tuple[int, bytes]]: ...
    def tile(self, level: int, index: int) -> bytes: ...
    def unexpired_get(self, key: bytes) -> bytes | None: ...
    def unexpired_range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]: ...
    def head(self) -> BlockSummary | None: ...
    def outcomes(self, height: int) -> bytes | None: ...
    def summary(self, height: int) -> BlockSummary | None: ...


class Prepared(NamedTuple):
    """A proposal: what fits the block, and what is refused with the code that its sender gets."""

    transactions: tuple[Transaction, ...]
    refused: tuple[tuple[Transaction, Refusal], ...]
    postponed: tuple[Transaction, ...]


class Finalized(NamedTuple):
    """What a block decided: the changes to store, and each transaction's outcome with its log index (None: no leaf)."""

    changes: Changes
    outcomes: tuple[Outcome, ...]
    leaf_indexes: tuple[int | None, ...]


class Application:
    """The replicated machine of one chain over one catalogue of modules."""

    def __init__(self, catalogue: Catalogue, state: CommittedState) -> None:
        """Load what is derived from the committed state: about 16 MiB and half a second at any size."""
        self.catalogue = catalogue
        self.head = state.head()
        self.chain = ""
        self._upper = UpperTree(state.bucket_roots())
        self._tiles = TileWriter(self.head.log_size if self.head else 0, state.tile)
        self._config_root = self._configuration_root(Store(state))
        self._memo: OrderedDict[bytes, Transaction] = OrderedDict()
        self._memo_bytes = 0
        self._prepared_for: tuple[int, int] | None = None
        self._prepared: dict[bytes, bytes] = {}

    # Founding

    def init_chain(self, content: bytes, state: CommittedState) -> Changes:
        """Found the chain on the canonical genesis content; return the changes of height 0.

        Raises: NotCanonical when the content is not of the agreed form.
        """
        assert self.head is None, "a chain is founded once"
        genesis = decode_genesis(content)
        store = Store(state)
        context = found(self.catalogue, genesis, content, store)
        outcome = encode_outcome(Outcome(code=APPLIED, events=tuple(context.events)))
        self.chain = context.chain
        return self._changes(
            store, state, ReplayWindow(state), 0, genesis.time, [outcome], [genesis_leaf(genesis, content)]
        )

    def resume(self, content: bytes) -> None:
        """Take the chain's name from the genesis content it was founded on.

        Raises: NotCanonical.
        """
        self.chain = chain_name(decode_genesis(content), content)

    # The pool

    def check(self, encoded: bytes, *, time: int, state: CommittedState) -> Transaction:
        """Decide whether a transaction may wait for a block at about `time`. Alone verifies its signature early.

        Refuses: every MachineReason but POOL_FULL.
        """
        transaction = self._decoded(encoded)
        self._admitted(transaction, time, Store(state), ReplayWindow(state))
        return transaction

    def remember(self, transaction: Transaction) -> None:
        """Keep a decoded, verified transaction, so that no block decodes it again. One thread only."""
        if transaction.encoded in self._memo:
            return
        self._memo[transaction.encoded] = transaction
        self._memo_bytes += len(transaction.encoded)
        while self._memo_bytes > MEMO_BYTES_MAX:
            _, dropped = self._memo.popitem(last=False)
            self._memo_bytes -= len(dropped.encoded)

    # Proposals

    def prepare(self, waiting: Iterable[Transaction], *, time: int, state: CommittedState) -> Prepared:
        """Choose, in order, what a block at `time` holds: within bytes, count and work; signers and ids checked."""
        store, window = Store(state), ReplayWindow(state)
        taken: list[Transaction] = []
        refused: list[tuple[Transaction, Refusal]] = []
        postponed: list[Transaction] = []
        signers: dict[bytes, bytes] = {}
        organisations: dict[tuple[bytes, bytes], bytes] = {}
        encoded_bytes = work = 0
        for transaction in waiting:
            if postponed or len(taken) == BLOCK_TRANSACTIONS_MAX:
                postponed.append(transaction)
                continue
            try:
                organisation = self._admitted(transaction, time, store, window, organisations)
            except Refusal as refusal:
                refused.append((transaction, refusal.with_traceback(None)))  # which would hold this frame, in a cycle
                continue
            if encoded_bytes + len(transaction.encoded) > BLOCK_BYTES_MAX or work + transaction.work > BLOCK_WORK_MAX:
                postponed.append(transaction)
                continue
            encoded_bytes += len(transaction.encoded)
            work += transaction.work
            window.add(transaction, organisation, height=0, index=len(taken))
            taken.append(transaction)
            signers[transaction.txid] = organisation
        self._prepared_for = (self.head.height, time) if self.head else None
        self._prepared = signers
        return Prepared(tuple(taken), tuple(refused), tuple(postponed))

    def process(self, block: Block, state: CommittedState) -> bool:
        """Judge a proposed block: whether every transaction in it may write, and it keeps every maximum."""
        try:
            transactions = [self._decoded(encoded) for encoded in block.transactions]
        except Refusal:
            return False
        prepared = self.prepare(transactions, time=block.time, state=state)
        return len(prepared.transactions) == len(block.transactions)

    # Blocks

    def finalize_block(self, block: Block, state: CommittedState) -> Finalized:
        """Decide what `block` changes, in order, whole or not at all per transaction. Stores nothing.

        The signer of each transaction is looked up in the state before the block (or was, by `prepare` or `process` at
        the same height and time). What may not write gets its code, no leaf and no memory.
        """
        assert self.head is not None and block.height == self.head.height + 1 and block.time >= self.head.time
        before, store, window = Store(state), Store(state), ReplayWindow(state)
        signers = self._prepared if self._prepared_for == (self.head.height, block.time) else {}
        outcomes: list[Outcome] = []
        encoded_outcomes: list[bytes] = []
        leaves: list[bytes] = []
        indexes: list[int | None] = []
        for index, encoded in enumerate(block.transactions):
            try:
                transaction = self._decoded(encoded)
                organisation = signers.pop(transaction.txid, None)
                if organisation is None or window.is_full(organisation):  # another proposal may have been prepared
                    organisation = self._admitted(transaction, block.time, before, window)
            except Refusal as refusal:
                outcomes.append(Outcome(code=int(refusal.reason)))
                encoded_outcomes.append(encode_outcome(outcomes[-1]))
                indexes.append(None)
                continue
            window.add(transaction, organisation, height=block.height, index=index)
            header = transaction.header
            context = Context(
                chain=self.chain,
                actor=header.actor,
                organisation=organisation,
                key=header.key,
                txid=transaction.txid,
                height=block.height,
                block_time=block.time,
                store=store,
            )
            outcome = execute(self.catalogue, context, transaction)
            encoded_outcome, leaf = outcome_and_leaf(transaction, outcome, height=block.height, time=block.time)
            indexes.append(self.head.log_size + len(leaves))
            outcomes.append(outcome)
            encoded_outcomes.append(encoded_outcome)
            leaves.append(leaf)
        changes = self._changes(store, state, window, block.height, block.time, encoded_outcomes, leaves)
        return Finalized(changes, tuple(outcomes), tuple(indexes))

    def committed(self, changes: Changes) -> None:
        """Note that storage has committed what `finalize_block` or `init_chain` decided last."""
        assert self.head is None or changes.summary.height == self.head.height + 1
        self.head = changes.summary

    # Reading

    def query(self, name: str, arguments: bytes, state: CommittedState) -> bytes:
        """Answer a named question from committed state; arguments and answer are canonical bytes.

        Refuses: Malformed(NOT_CANONICAL) for an unknown question or arguments of another form; what the reader refuses.
        """
        query = self.catalogue.queries.get(name)
        if query is None:
            raise Malformed(MachineReason.NOT_CANONICAL, query=name)
        try:
            decoded = decode(arguments, query.arguments)
        except NotCanonical as error:
            refusal = Malformed(MachineReason.NOT_CANONICAL)
            refusal.why = error.why or error.what
            raise refusal from None
        return encode(query.answer(Store(state), decoded))

    def prove_row(self, table_name: str, key: Key, state: CommittedState) -> tuple[bytes | None, MapProof]:
        """Return a proved table's row (or None) at the committed head and the proof that it is there (or absent).

        Refuses: Malformed(NOT_CANONICAL) for a table that is not proved.
        """
        table = self.catalogue.table(table_name)
        if table is None or not table.proved:
            raise Malformed(MachineReason.NOT_CANONICAL, table=table_name)
        stored_key = table.stored_key(key)
        place = map_key(table.name, stored_key[2:])
        return state.get(stored_key), prove(place, state.bucket(bucket_of(place)), self._upper)

    # Parts

    def _decoded(self, encoded: bytes) -> Transaction:
        """Return the decoded, signature-checked transaction, from the memo when it was seen before."""
        transaction = self._memo.get(encoded)
        if transaction is None:
            transaction = Transaction(encoded, self.catalogue.message_decoder)
            transaction.require_signature()
            self.remember(transaction)
        return transaction

    def _admitted(
        self,
        transaction: Transaction,
        time: int,
        before: Store,
        window: ReplayWindow,
        organisations: dict[tuple[bytes, bytes], bytes] | None = None,
    ) -> bytes:
        """Return the organisation of a transaction that may write.

        Args:
            organisations: Those of the (actor, key) pairs looked up before in the same state; added to.
        """
        self._require_in_time(transaction, time)
        header = transaction.header
        signer = header.actor, header.key
        organisation = organisations.get(signer) if organisations else None
        if organisation is None:
            organisation = self.catalogue.organisation_of_active_key(before, *signer)
            if organisation is None:
                raise Unauthenticated(MachineReason.KEY_NOT_ACTIVE, actor=header.actor)
            if organisations is not None:
                organisations[signer] = organisation
        if window.first_place(transaction) is not None:
            raise Conflict(MachineReason.ALREADY_SEEN, txid=transaction.txid)
        if window.is_full(organisation):
            raise LimitExceeded(MachineReason.TOO_MANY_UNEXPIRED, organisation=organisation)
        return organisation

    def _require_in_time(self, transaction: Transaction, time: int) -> None:
        if transaction.work > BLOCK_WORK_MAX:
            raise LimitExceeded(MachineReason.TOO_MUCH_WORK)
        header = transaction.header
        if header.chain != self.chain:
            raise Malformed(MachineReason.WRONG_CHAIN)
        if header.expires_at < time:
            raise Conflict(MachineReason.EXPIRED)
        if header.expires_at > time + EXPIRY_SECONDS_MAX:
            raise Conflict(MachineReason.EXPIRES_TOO_LATE)

    def _changes(
        self,
        store: Store,
        state: CommittedState,
        window: ReplayWindow,
        height: int,
        time: int,
        outcomes: Sequence[bytes],
        leaves: list[bytes],
    ) -> Changes:
        """Close a block: its proved buckets, block leaf, tiles and head."""
        rows = store.writes()
        buckets = self._changed_buckets(rows, state)
        first_leaf = self._tiles.frontier.size
        block_leaf: bytes | None = None
        if leaves or rows:
            if any(int.from_bytes(key[:2], "big") in self.catalogue.configuration for key, _ in rows):
                self._config_root = self._configuration_root(store)
            block_leaf = encode(
                BlockLeaf(
                    kind="block",
                    height=height,
                    time=time,
                    change_digest=blocks.change_digest(rows),
                    proved_root=self._upper.root,
                    config_root=self._config_root,
                    next_validators=blocks.validators_digest(self.catalogue.validators(store)),
                )
            )
            leaves = [*leaves, block_leaf]
        tiles = self._tiles.append([leaf_hash(leaf) for leaf in leaves])
        root = self._tiles.frontier.root()
        return Changes(
            summary=BlockSummary(
                height=height,
                time=time,
                first_leaf=first_leaf,
                leaves=len(leaves),
                app_hash=blocks.app_hash(self._tiles.frontier.size, root),
                log_root=root,
                leaf=msgspec.UNSET if block_leaf is None else msgspec.Raw(block_leaf),
            ),
            rows=rows,
            buckets=buckets,
            tiles=tiles,
            outcomes=b"[" + b",".join(outcomes) + b"]",
            unexpired_removed=window.forget(time),
            unexpired_added=window.added(),
        )

    def _changed_buckets(
        self, rows: tuple[tuple[bytes, bytes | None], ...], state: CommittedState
    ) -> tuple[tuple[int, bytes, bytes], ...]:
        """Bring the proved map up to date with a block's writes."""
        proved = self.catalogue.proved
        by_bucket: dict[int, dict[bytes, bytes | None]] = {}
        for stored_key, value in rows:
            table = proved.get(int.from_bytes(stored_key[:2], "big"))
            if table is not None:
                place = map_key(table, stored_key[2:])
                by_bucket.setdefault(bucket_of(place), {})[place] = None if value is None else value_hash(value)
        changed = []
        for bucket in sorted(by_bucket):
            pairs = update_bucket(state.bucket(bucket), by_bucket[bucket])
            changed.append((bucket, b"".join(pairs), bucket_root(pairs)))
        self._upper.update((bucket, root) for bucket, _, root in changed)
        return tuple(changed)

    def _configuration_root(self, store: Store) -> bytes:
        rows: list[tuple[bytes, bytes | None]] = []
        for number in self.catalogue.configuration:
            prefix = number.to_bytes(2, "big")
            rows.extend(store.range(prefix, after(prefix)))
        return blocks.rows_digest(CONFIG, tuple(rows))


def replay(
    application: Application, stored: Iterable[Block], open_state: Callable[[], CommittedState]
) -> Iterator[Finalized]:
    """Finalize stored blocks one by one, each over what `open_state` shows once the one before is committed.

    Raises: InvariantBroken when a block is not the next one.
    """
    for block in stored:
        if application.head is None or block.height != application.head.height + 1:
            raise InvariantBroken(f"block {block.height} does not follow the state")
        finalized = application.finalize_block(block, open_state())
        yield finalized
        application.committed(finalized.changes)
