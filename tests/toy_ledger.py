# SPDX-License-Identifier: Apache-2.0
"""A ledger of one small module, for tests of the machine and the engines that need no health care.

`note.write` adds a note under the next number; it refuses the number 13, and a text that says "refuse me".
"""

import secrets
from typing import Final

import msgspec
from nacl import bindings

from vervain.ledger.machine.block import Block
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Catalogue, Genesis, Message, Module, Query, Validator
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import Conflict, Reason
from vervain.ledger.machine.store import Store
from vervain.ledger.machine.table import Row, Table
from vervain.ledger.machine.transaction import Envelope, Header, entries_root
from vervain.ledger.primitives.codec import Text, encode
from vervain.ledger.primitives.hashing import TX, actor_id

FOUNDED_AT: Final = 1_000


class NoteReason(Reason):
    """Why a note is refused. The toy takes the module number 12."""

    UNWANTED = 1201, Conflict, "The text asks to be refused.", "Write something else."


class WriteNote(Message, frozen=True, kw_only=True, tag="note.write"):
    """Write a note."""

    text: Text


class NoteWritten(Event, frozen=True, kw_only=True, tag="note.written"):
    """A note stands under `number`."""

    number: int


class Note(Row, frozen=True, kw_only=True):
    """A note."""

    text: str
    at: int


class Count(Row, frozen=True, kw_only=True):
    """How many notes there are."""

    last: int


class NoKey(Row, frozen=True, kw_only=True):
    """A public key that does not count."""


NOTES: Final = Table(name="note.notes", number=1201, row=Note, key=(8,))
COUNTS: Final = Table(name="note.counts", number=1202, row=Count, key=(1,), proved=True)
WITHDRAWN: Final = Table(name="note.withdrawn", number=1203, row=NoKey, key=(32,))


def write_note(context: Context, message: WriteNote) -> None:
    """Write a note under the next number. Refuses: Conflict(UNWANTED), after it has written, so that a roll-back
    shows.
    """
    count = COUNTS.get(context.store, 0)
    number = 1 if count is None else count.last + 1
    COUNTS.put(context.store, 0, Count(last=number))
    NOTES.put(context.store, number, Note(text=message.text, at=context.block_time))
    context.emit(NoteWritten(number=number))
    if message.text == "refuse me":
        raise Conflict(NoteReason.UNWANTED, number=number)


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is asked but the name."""


def newest(store: Store, _arguments: NoArguments) -> Count:
    """Answer how many notes there are."""
    return COUNTS.get(store, 0) or Count(last=0)


class NoFounding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The toy is founded on nothing."""


MODULE: Final = Module(
    name="note",
    number=12,
    handlers={WriteNote: write_note},
    tables=(NOTES, COUNTS, WITHDRAWN),
    events=(NoteWritten,),
    reasons=NoteReason,
    queries={"note.newest": Query(arguments=NoArguments, answer=newest, summary="How many notes there are.")},
    invariants=(),
    section=NoFounding,
    found=lambda context, section: None,
)


def _organisation(store: Store, actor: bytes, key: bytes) -> bytes | None:
    """Every key counts for the actor made from it, which is its own organisation."""
    return actor if actor == actor_id(key) and not WITHDRAWN.has(store, key) else None


def _validators(_store: Store) -> tuple[Validator, ...]:
    return ()


TOY: Final = Catalogue((MODULE,), organisation_of_active_key=_organisation, validators=_validators)
GENESIS: Final = encode(Genesis(name="toy", time=FOUNDED_AT, sections={"note": msgspec.Raw(b"{}")}))
GENESIS_BLOCK: Final = Block(height=0, time=FOUNDED_AT, transactions=(GENESIS,))


def signed(
    *texts: str,
    chain: str,
    seed: bytes = bytes(32),
    expires_at: int = FOUNDED_AT + 600,
    nonce: bytes | None = None,
    blind: bytes | None = None,
) -> bytes:
    """Return a signed transaction that writes notes."""
    public, secret = bindings.crypto_sign_seed_keypair(seed)
    entries = tuple(encode(WriteNote(text=text)) for text in texts)
    blind = secrets.token_bytes(32) if blind is None else blind
    header = Header(
        version=1,
        chain=chain,
        actor=actor_id(public),
        key=public,
        nonce=secrets.token_bytes(16) if nonce is None else nonce,
        expires_at=expires_at,
        root=entries_root(entries, blind),
        count=len(entries),
    )
    signature = bindings.crypto_sign(TX + encode(header), secret)[:64]
    raw = tuple(msgspec.Raw(entry) for entry in entries)
    return encode(Envelope(header=header, signature=signature, blind=blind, entries=raw))
