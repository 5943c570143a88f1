# SPDX-License-Identifier: Apache-2.0
"""Makes language-neutral vectors of a module: transactions in order, and everything that each of them changes.

Run as `python -m tests.vectors.make_module_steps consent` (or `records`); prints the file. All comes from names: so
two runs under two hash seeds print the same bytes; a test compares them with the file.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tests.unit.ledger.modules.consent.forms import (
    DAY,
    PSY,
    SUD,
    denial_form,
    give,
    grant_form,
    next_consent_id,
    request_form,
)
from tests.unit.ledger.modules.ward import (
    HE,
    NORTH,
    NURSE,
    ORGANISATION,
    OTHER,
    PEOPLE,
    SHE,
    SOUTH,
    STRANGER,
    Ward,
    digest,
)
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import APPLIED, Refusal
from vervain.ledger.modules.consent import queries as consent
from vervain.ledger.modules.consent.messages import (
    AnchorAccesses,
    Decision,
    Purpose,
    RequestRead,
    WithdrawConsent,
    access_id,
)
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.identity.state import Actor
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    Correction,
    CorrectRecord,
    DisputeRecord,
    EraseRecord,
    Link,
    LinkKind,
    MarkWrongPatient,
    SettleDispute,
    SupersedeRecord,
    Verdict,
)
from vervain.ledger.primitives.codec import encode


class Write(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row that a transaction wrote; without a value, deleted."""

    table: str
    key: bytes
    row: msgspec.Raw | UnsetType = UNSET


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """An actor that was there before the first step, and its row."""

    name: str
    actor: bytes
    row: Actor


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transaction: who signed, what was asked, what came of it."""

    actor: bytes
    organisation: bytes
    txid: bytes
    block_time: int
    height: int
    entries: tuple[Message, ...]
    code: int
    failed_entry: int | UnsetType = UNSET
    events: tuple[Event, ...] = ()
    writes: tuple[Write, ...] = ()


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A read request: what the reader signed, with which key, and the request's id."""

    signed_bytes: bytes
    reader_key: bytes
    signature: bytes
    access_id: bytes


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question to `consent.decide` after all steps, and its answer."""

    grant: bytes
    purpose: Purpose
    categories: tuple[bytes, ...]
    time: int
    answer: Decision


class Story(Ward):
    """A ledger that writes down each transaction."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.signed: list[Signed] = []
        self.told = False
        super().__init__()
        self.told = True

    def run(self, signer: str, *messages: Message) -> tuple[Event, ...]:
        """Run one transaction and write it down, whatever comes of it."""
        if not self.told:
            return super().run(signer, *messages)
        before = dict(self.store.writes())
        code = APPLIED
        events: tuple[Event, ...] = ()
        failed: int | UnsetType = UNSET
        try:
            events = super().run(signer, *messages)
        except Refusal as refusal:
            code, failed = int(refusal.reason), self.failed_entry
        after = dict(self.store.writes())
        self.steps.append(
            Step(
                actor=self.id(signer),
                organisation=self.id(ORGANISATION[signer]),
                txid=digest("transaction", str(self.transactions)),
                block_time=self.time,
                height=self.height,
                entries=messages,
                code=code,
                failed_entry=failed,
                events=events,
                writes=tuple(
                    _write(key, value) for key, value in sorted(after.items()) if before.get(key, b"") != value
                ),
            )
        )
        self.height += 1
        self.time += 5
        return events

    def actors(self) -> tuple[Registered, ...]:
        """Return everybody with their rows."""
        return tuple(
            Registered(name=name, actor=self.id(name), row=identity.require_actor(self.store, self.id(name)))
            for name in PEOPLE
        )

    def read(self, grant: bytes, name: str = "reader", signer: str = SOUTH, **changes: Any) -> RequestRead:
        """Send a read request and write down what its reader signed."""
        form = request_form(self, grant, name, **changes)
        signed = form.terms(self.chain).signed_bytes()
        key = grant_form(name).reader_key
        self.signed.append(
            Signed(signed_bytes=signed, reader_key=key, signature=form.signature, access_id=access_id(signed))
        )
        self.run(signer, form)
        return form


def _write(key: bytes, value: bytes | None) -> Write:
    table = CATALOGUE.tables[int.from_bytes(key[:2], "big")]
    return Write(table=table.name, key=key[2:], row=UNSET if value is None else msgspec.Raw(value))


def tell_consent() -> bytes:
    """Return the vectors of consent: each message, applied and refused, and decisions at the end."""
    story = Story()
    grant = give(story, grant_form())
    narrow = give(story, grant_form("narrow", categories=(PSY, SUD), purposes=(Purpose.HRESCH,)))
    kept = next_consent_id(story)
    story.run(NURSE, grant_form("kept", grantor=story.id(HE)), denial_form(grantor=story.id(HE), category=PSY))
    form = story.read(grant)
    story.run(NORTH, form)
    story.read(narrow, "narrow", purpose=Purpose.HRESCH, categories=(PSY,))
    story.read(kept, "kept", categories=(PSY,))
    story.read(kept, "kept", categories=(SUD,), signer=STRANGER)
    denial = give(story, denial_form(grant=grant))
    story.read(grant, nonce=bytes(16))
    wider = give(story, denial_form(previous=denial, valid_until=story.time + 30 * DAY))
    story.run(STRANGER, WithdrawConsent(consent=grant))
    story.run(SHE, WithdrawConsent(consent=wider))
    newer = give(story, grant_form("newer", purposes=(Purpose.ETREAT, Purpose.TREAT), previous=grant))
    story.run(SHE, WithdrawConsent(consent=narrow))
    story.time += 901
    story.read(newer, "newer", purpose=Purpose.ETREAT)
    story.run(NORTH, AnchorAccesses(root=digest("root"), count=8, first=1, last=8))
    story.run(NORTH, AnchorAccesses(root=digest("root"), count=1, first=8, last=8))
    asked = tuple(
        _asked(story, grant=each, purpose=purpose, categories=categories)
        for each in (grant, narrow, kept, denial, newer)
        for purpose in (Purpose.ETREAT, Purpose.TREAT)
        for categories in ((), (PSY,), (SUD,))
    )
    return _page(
        chain=(story.chain,),
        actors=story.actors(),
        signed=tuple(story.signed),
        steps=tuple(story.steps),
        decisions=asked,
    )


def _asked(story: Story, *, grant: bytes, purpose: Purpose, categories: tuple[bytes, ...]) -> Asked:
    answer = consent.decide(story.store, grant=grant, purpose=purpose, categories=categories, time=story.time)
    return Asked(grant=grant, purpose=purpose, categories=categories, time=story.time, answer=answer)


def tell_records() -> bytes:
    """Return the vectors of records: each message, applied and refused."""
    story = Story()
    first = CommitRecord(subject=story.id(SHE), commitment=digest("commitment", "1"))
    story.run(NORTH, first)
    story.run(NURSE, first, CommitRecord(subject=story.id(NORTH), commitment=digest("commitment", "2")))
    link = Link(kind=LinkKind.DERIVED_FROM, record=1)
    story.run(NORTH, replace(first, author=story.id(NURSE), links=(link,)))
    story.run(SOUTH, first)
    story.run(SOUTH, CommitRecord(subject=story.id(OTHER), commitment=digest("commitment", "3"), links=(link,)))
    story.run(NORTH, SupersedeRecord(record=1, commitment=digest("commitment", "4"), author=story.id(NURSE)))
    story.run(NORTH, SupersedeRecord(record=1, commitment=digest("commitment", "5")))
    story.run(SHE, DisputeRecord(record=5))
    story.run(NORTH, EraseRecord(record=5, certificate_digest=digest("certificate")))
    story.run(NURSE, SettleDispute(record=5, verdict=Verdict.UPHELD))
    correction = CorrectRecord(record=5, commitment=digest("commitment", "6"), correction=Correction.DISPUTE_UPHELD)
    story.run(NORTH, correction)
    story.run(NORTH, MarkWrongPatient(record=4))
    story.run(NORTH, EraseRecord(record=1, certificate_digest=digest("certificate")))
    story.run(STRANGER, EraseRecord(record=2, certificate_digest=digest("certificate")))
    return _page(chain=(story.chain,), actors=story.actors(), steps=tuple(story.steps))


def _page(**parts: tuple[str | msgspec.Struct, ...]) -> bytes:
    """Return one JSON object of arrays, one item a line."""
    arrays = [
        encode(name) + b": [\n  " + b",\n  ".join(encode(each) for each in items) + b"\n]"
        for name, items in parts.items()
    ]
    return b"{" + b",\n".join(arrays) + b"}\n"


STORIES: Final[dict[str, Callable[[], bytes]]] = {"consent": tell_consent, "records": tell_records}

if __name__ == "__main__":
    sys.stdout.buffer.write(STORIES[sys.argv[1]]())
