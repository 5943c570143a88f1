# SPDX-License-Identifier: Apache-2.0
"""Planted faults, each a mistake that somebody could make. The simulator must find every one.

A fault is planted by replacing names while a replica works, in one replica or in all of them: one that everybody makes
shows no difference between replicas, and must be found by the witness, the invariants or the proofs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine import block as blocks
from vervain.ledger.machine.application import Application
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Validator
from vervain.ledger.machine.refusals import Conflict, MachineReason
from vervain.ledger.machine.replay_window import ReplayWindow
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Key, Row, Table
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.modules.consent import queries as consent
from vervain.ledger.modules.consent import state as consent_state
from vervain.ledger.modules.consent.state import Consent, ConsentStatus
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity.state import KEYS
from vervain.ledger.modules.records import state as records
from vervain.ledger.modules.records.state import RECORDS, Record
from vervain.ledger.primitives.merkle_log import TileWriter
from vervain.storage.block_log import BlockLog

Original = Any  # whatever stood under the name; each fault knows what it replaces
Rows = Sequence[tuple[bytes, bytes | None]]


class Mutant(NamedTuple):
    """One planted fault.

    Attributes:
        name: Of the function that makes it.
        mistake: What was done wrong.
        owner, attribute: The name that is replaced.
        made: From what stands there to what takes its place.
        everybody: Whether all replicas make the mistake.
        by_hash: Whether it shows only between processes that hash differently.
    """

    name: str
    mistake: str
    owner: Any  # a module, a class or the catalogue
    attribute: str
    made: Callable[[Original], Original]
    everybody: bool
    by_hash: bool

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Make the mistake for a while."""
        original = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, self.made(original))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, original)


MUTANTS: Final[list[Mutant]] = []


def _mutant(
    owner: Any, attribute: str, *, everybody: bool, by_hash: bool = False
) -> Callable[[Callable[[Original], Original]], Callable[[Original], Original]]:
    """Register a fault by the function that makes it from the original."""

    def register(made: Callable[[Original], Original]) -> Callable[[Original], Original]:
        assert made.__doc__ is not None
        MUTANTS.append(Mutant(made.__name__, made.__doc__, owner, attribute, made, everybody, by_hash))
        return made

    return register


@_mutant(Table, "put", everybody=True)
def skipped_table_write(original: Original) -> Original:
    """A licence is not listed under its holder."""

    def put(table: Table[Row], store: Store, key: Key, row: Row) -> None:
        if table.name != "identity.held_licences":
            original(table, store, key, row)

    return put


@_mutant(blocks, "validators_digest", everybody=True, by_hash=True)
def order_of_a_set(original: Original) -> Original:
    """The validators are digested in the order of a set."""

    def validators_digest(validators: tuple[Validator, ...]) -> bytes:
        digest: bytes = original(tuple({validator.engine_key: validator for validator in set(validators)}.values()))
        return digest

    return validators_digest


@_mutant(Store, "roll_back", everybody=True)
def roll_back_that_leaves_a_row(original: Original) -> Original:
    """The first write of a refused transaction stays."""

    def roll_back(store: Store, mark: int) -> None:
        original(store, min(mark + 1, store.savepoint()))

    return roll_back


@_mutant(consent, "_why_not_granted", everybody=True)
def withdrawn_consent_still_permits(original: Original) -> Original:
    """A withdrawn grant counts like an active one."""

    def why_not_granted(consent: Consent, *asked: object) -> object:
        is_withdrawn = consent.status is ConsentStatus.WITHDRAWN
        return original(replace(consent, status=ConsentStatus.ACTIVE) if is_withdrawn else consent, *asked)

    return why_not_granted


@_mutant(consent, "_denial_in_force", everybody=True)
def denial_overlooked(_original: Original) -> Original:
    """Denials are not looked for."""
    return lambda *_asked: None


@_mutant(Application, "_require_in_time", everybody=True)
def forgotten_expiry(original: Original) -> Original:
    """An expired transaction is ordered."""

    def require_in_time(application: Application, transaction: Transaction, time: int) -> None:
        try:
            original(application, transaction, time)
        except Conflict as refusal:
            if refusal.reason is not MachineReason.EXPIRED:
                raise

    return require_in_time


@_mutant(CATALOGUE, "organisation_of_active_key", everybody=True)
def key_withdrawal_ignored(_original: Original) -> Original:
    """A key counts whether or not it was withdrawn."""

    def organisation_of_active_key(store: Store, actor: bytes, key: bytes) -> bytes | None:
        row = KEYS.get(store, key)
        if row is None or row.actor != actor:
            return None
        return row.organisation if row.is_independent or consortium.is_active(store, row.organisation) else None

    return organisation_of_active_key


@_mutant(CATALOGUE, "organisation_of_active_key", everybody=True)
def suspension_ignored(_original: Original) -> Original:
    """A suspended member's keys count."""

    def organisation_of_active_key(store: Store, actor: bytes, key: bytes) -> bytes | None:
        row = KEYS.get(store, key)
        return None if row is None or row.actor != actor or row.withdrawn_at is not UNSET else row.organisation

    return organisation_of_active_key


@_mutant(records, "append", everybody=True)
def counter_not_incremented(_original: Original) -> Original:
    """A record is written under the next number, and the number is not counted up."""

    def append(store: Store, record: Record) -> int:
        number = records.newest_number(store) + 1
        RECORDS.put(store, number, record)
        return number

    return append


@_mutant(Application, "_changed_buckets", everybody=True)
def proved_bucket_not_updated(original: Original) -> Original:
    """Consents do not reach the proved map."""
    left_out = consent_state.CONSENTS.stored_key(())

    def changed_buckets(application: Application, rows: Rows, state: object) -> object:
        return original(application, tuple(row for row in rows if not row[0].startswith(left_out)), state)

    return changed_buckets


@_mutant(blocks, "change_digest", everybody=True)
def change_digest_ignores_deletions(original: Original) -> Original:
    """Deleted rows do not count into the change digest."""

    def change_digest(rows: Rows) -> object:
        return original(tuple(row for row in rows if row[1] is not None))

    return change_digest


@_mutant(ReplayWindow, "first_place", everybody=True)
def duplicate_id_accepted(_original: Original) -> Original:
    """Nobody asks whether a transaction was ordered before."""
    return lambda _window, _transaction: None


@_mutant(ReplayWindow, "added", everybody=True)
def unexpired_not_counted(original: Original) -> Original:
    """The members' numbers of unexpired transactions are not kept."""

    def added(window: ReplayWindow) -> tuple[tuple[bytes, bytes], ...]:
        return tuple(item for item in original(window) if not item[0].startswith(b"\xff" * 8))

    return added


@_mutant(BlockLog, "blocks", everybody=False)
def replay_skips_a_block(original: Original) -> Original:
    """A restarting replica does not replay the last block."""

    def stored(log: BlockLog, from_height: int = 0) -> Iterator[Block]:
        found = list(original(log, from_height))
        return iter(found[:-1] if from_height > 1 else found)

    return stored


@_mutant(BlockLog, "sync", everybody=False)
def sync_left_out(original: Original) -> Original:
    """The block log is not synced before the state is committed."""

    def sync(log: BlockLog) -> None:
        if log.last_height is None or log.last_height < 1:
            original(log)

    return sync


@_mutant(Context, "__init__", everybody=False)
def clock_instead_of_block_time(original: Original) -> Original:
    """A replica tells rules its own time, which is three seconds ahead."""

    def start(context: Context, **surroundings: Any) -> None:
        original(
            context, **{**surroundings, "block_time": surroundings["block_time"] + 3 * (surroundings["height"] > 0)}
        )

    return start


@_mutant(Application, "_admitted", everybody=False)
def expiry_by_a_clock(original: Original) -> Original:
    """A replica judges expiry by its own clock, which is a minute ahead."""

    def admitted(application: Application, transaction: Transaction, time: int, *rest: object) -> object:
        return original(application, transaction, time + 60, *rest)

    return admitted


@_mutant(TileWriter, "__init__", everybody=False)
def half_a_tile_forgotten(original: Original) -> Original:
    """A restarted replica begins the log's newest tile anew."""

    def start(writer: TileWriter, size: int, read_tile: Callable[[int, int], bytes]) -> None:
        original(writer, size, read_tile)
        for tile in writer._last:
            tile.clear()

    return start
