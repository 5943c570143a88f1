# SPDX-License-Identifier: Apache-2.0
"""Signed transactions as they travel, good ones and every way in which one may not write.

Each fault is a function from the sender to the bytes that are handed in; all of them together aim at every reason of
the machine.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tests.simulation.generator import DAY, Draft, Generator
from tests.simulation.lowered import maximum
from tests.simulation.parties import Party
from vervain.ledger.machine.limits import EXPIRY_SECONDS_MAX
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import MachineReason
from vervain.ledger.machine.transaction import Envelope, Header, entries_root
from vervain.ledger.modules.consent.messages import AnchorAccesses
from vervain.ledger.modules.consent.state import ANCHORS
from vervain.ledger.modules.consortium.messages import Propose, PutRuleTable, SetParameter
from vervain.ledger.modules.identity.state import ACTORS
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import TX

SENT_KEPT: Final = 60  # newest transactions that may be sent again
BIG_WORLD_BYTES: Final = 30_000  # above it, bytes beyond the maximum are made seldom: they are dear


class Sender:
    """Signs drafts, remembers what was sent, and spoils some of it."""

    def __init__(self, generator: Generator) -> None:
        self.g = generator
        self.sent: list[bytes] = []

    def seal(
        self,
        draft: Draft,
        *,
        chain: str | None = None,
        expires_at: int | None = None,
        count: int | None = None,
        root: bytes | None = None,
    ) -> bytes:
        """Return the draft signed; what is named differs from what is right."""
        chance = self.g.chance
        entries, blind = tuple(map(encode, draft.messages)), chance.randbytes(32)
        header = Header(
            version=1,
            chain=self.g.chain if chain is None else chain,
            actor=draft.actor,
            key=draft.party.key,
            nonce=chance.randbytes(16),
            expires_at=self.g.now + chance.choice((120, 400, 800)) if expires_at is None else expires_at,
            root=entries_root(entries, blind) if root is None else root,
            count=len(entries) if count is None else count,
        )
        return enclose(header, draft.party, entries, blind)

    def send(self, draft: Draft) -> bytes:
        """Return a good transaction and remember it."""
        encoded = self.seal(draft)
        self.sent.append(encoded)
        del self.sent[:-SENT_KEPT]
        return encoded

    def again(self) -> bytes | None:
        """Return something sent before."""
        return self.g.pick(self.sent)

    def spoil(self) -> list[bytes]:
        """Return bytes that should not write, or several that together should not."""
        fault = self.g.chance.choices(FAULTS, WEIGHTS)[0]
        return fault(self)

    def simple(self, organisation: bytes | None = None, count: int = 1) -> Draft | None:
        """Return a small draft of a member."""
        organisation = self.g.member() if organisation is None else organisation
        anchor = AnchorAccesses(root=self.g.digest(), count=1, first=1, last=1)
        return None if organisation is None else self.g.signer(organisation, *[anchor] * count)


def enclose(header: Header, party: Party, entries: tuple[bytes, ...], blind: bytes) -> bytes:
    """Return the envelope of a header signed by a party."""
    envelope = Envelope(
        header=header,
        signature=party.sign(TX + encode(header)),
        blind=blind,
        entries=tuple(map(msgspec.Raw, entries)),
    )
    return encode(envelope)


def _changed(encoded: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return canonical bytes of a changed envelope."""
    envelope: dict[str, Any] = msgspec.json.decode(encoded)
    change(envelope)
    return encode(envelope)


def _fresh(sender: Sender) -> bytes:
    """Return a good transaction that nobody else has: of a member, or of the first hospital, which always is one."""
    draft = sender.simple() or sender.simple(sender.g.known.organisations[0])
    assert draft is not None
    return sender.seal(draft)


def not_canonical(sender: Sender) -> list[bytes]:
    """Spaces, other orders, unknown fields and tags, escapes, nulls, deep nesting, cut or no JSON at all."""
    encoded, chance = _fresh(sender), sender.g.chance
    spoiled: Callable[[], bytes] = chance.choice(
        (
            lambda: encoded.replace(b",", b", ", 1),
            lambda: encoded + b"\n",
            lambda: encoded[: chance.randrange(len(encoded))],
            lambda: b'{"signature":"' + encoded[2:],
            lambda: encoded.replace(b"consent.anchor_accesses", b"consent.wave_hand"),
            lambda: encoded.replace(b"anchor", b"\\u0061nchor", 1),
            lambda: encoded.replace(b'"version":1', b'"version":1.0'),
            lambda: encoded.replace(b'"version":1', b'"version":2'),
            lambda: _changed(encoded, lambda envelope: envelope.update(colour="red")),
            lambda: _changed(encoded, lambda envelope: envelope["header"].update(nonce=None)),
            lambda: _changed(encoded, lambda envelope: envelope["entries"][0].update(first=2**53)),
            lambda: _changed(encoded, lambda envelope: envelope["entries"][0].update(root="AAAA")),
            lambda: b"[" * 40 + b"]" * 40,
            lambda: chance.randbytes(chance.randrange(80)),
        )
    )
    return [spoiled()]


def wrong_root(sender: Sender) -> list[bytes]:
    """Another's header over altered entries, followed by what it was taken from; or a header that counts wrongly."""
    draft, chance = sender.simple(), sender.g.chance
    if draft is None:
        return []
    if chance.random() < 0.3:
        return [sender.seal(draft, count=2), sender.seal(draft, root=sender.g.digest())]
    good = sender.send(draft)
    altered = _changed(good, lambda envelope: envelope["entries"][0].update(last=2, count=2))
    blinded = _changed(good, lambda envelope: envelope.update(blind=envelope["header"]["root"]))
    return [altered, blinded, good]


def wrong_chain(sender: Sender) -> list[bytes]:
    """Meant for another chain."""
    draft = sender.simple()
    return [] if draft is None else [sender.seal(draft, chain="seed-0-" + "0" * 32)]


def expired(sender: Sender) -> list[bytes]:
    """Expired a moment ago, or sent again long after."""
    draft, old = sender.simple(), sender.sent[0] if sender.sent else None
    made = [] if draft is None else [sender.seal(draft, expires_at=sender.g.now - sender.g.chance.choice((1, DAY)))]
    return made if old is None else [*made, old]


def expires_too_late(sender: Sender) -> list[bytes]:
    """Expires too far ahead."""
    draft = sender.simple()
    ahead = EXPIRY_SECONDS_MAX + 50 * DAY
    return [] if draft is None else [sender.seal(draft, expires_at=sender.g.now + ahead)]


def bad_signature(sender: Sender) -> list[bytes]:
    """Another key's signature, a flipped bit, or a header changed after it was signed."""
    encoded, chance = _fresh(sender), sender.g.chance
    other = sender.g.keyring.fresh()

    def resigned(envelope: dict[str, Any]) -> None:
        envelope["signature"] = other.sign(b"something else")

    def renewed(envelope: dict[str, Any]) -> None:
        envelope["header"]["nonce"] = chance.randbytes(16)

    def extended(envelope: dict[str, Any]) -> None:
        envelope["header"]["expires_at"] += 1

    return [_changed(encoded, chance.choice((resigned, renewed, extended)))]


def key_not_active(sender: Sender) -> list[bytes]:
    """A key nobody registered, one that was replaced, one of another actor, or of a member that is not active."""
    g = sender.g
    draft, stranger, old_key = sender.simple(), g.keyring.fresh(), g.pick(g.known.old_keys)
    if draft is None:
        return []
    gone = g.pick(g.known.organisations, lambda each: not g.is_member(each))
    if gone is not None and g.chance.random() < 0.5:
        absent = sender.simple(gone)
        return [] if absent is None else [sender.seal(absent)]
    if old_key is not None and g.chance.random() < 0.6:
        party = g.keyring.by_key[old_key]
        return [sender.seal(draft._replace(party=party)), sender.seal(draft._replace(party=party, actor=party.id))]
    locked = g.pick([*g.known.staff, *g.known.patients], lambda each: g.row(ACTORS, each).status != "active")
    if locked is not None and g.chance.random() < 0.5:
        return [sender.seal(draft._replace(actor=locked, party=g.keyring.by_key[g.row(ACTORS, locked).key]))]
    return [
        sender.seal(draft._replace(actor=stranger.id, party=stranger)),
        sender.seal(draft._replace(actor=stranger.id)),
    ]


def already_seen(sender: Sender) -> list[bytes]:
    """Sent again, or twice in a row."""
    encoded = sender.again()
    draft = sender.simple()
    if encoded is not None and sender.g.chance.random() < 0.6:
        return [encoded]
    return [] if draft is None else [sender.send(draft)] * 2


def too_many_unexpired(sender: Sender) -> list[bytes]:
    """Many transactions of one member that expire late, where few are allowed."""
    organisation = sender.g.member()
    if organisation is None or maximum("UNEXPIRED_PER_ORGANISATION_MAX") > BIG_WORLD_BYTES:
        return []
    many = [sender.simple(organisation) for _ in range(12)]
    return [sender.seal(draft, expires_at=sender.g.now + 800) for draft in many if draft is not None]


def too_much_work(sender: Sender) -> list[bytes]:
    """A batch that needs more work than a block may do, where that fits a transaction."""
    proposer = sender.g.validator()
    change = Propose(change=SetParameter(name="records_links_max", value=5))
    count = 1 + maximum("BLOCK_WORK_MAX") // change.work_units()
    if proposer is None or count > maximum("TRANSACTION_ENTRIES_MAX"):
        return []
    draft = sender.g.signer(proposer, *[change] * count)
    return [] if draft is None else [sender.seal(draft)]


def too_large(sender: Sender) -> list[bytes]:
    """Too many bytes, entries, or bytes in one entry."""
    is_dear = maximum("TRANSACTION_BYTES_MAX") > BIG_WORLD_BYTES
    if is_dear and sender.g.chance.random() < 0.9:
        return []
    entries = maximum("TRANSACTION_ENTRIES_MAX") + 1
    cells = maximum("MESSAGE_BYTES_MAX") // 255 + 1
    wide = Propose(change=PutRuleTable(name="prices", version=1, rows=(("x" * 250,),) * cells))
    organisation = sender.g.member()
    if organisation is None:
        return []
    spoiled: Callable[[], Draft | None] = sender.g.chance.choice(
        (lambda: sender.simple(organisation, entries), lambda: sender.g.signer(organisation, wide))
    )
    draft = spoiled()
    made = [] if draft is None else [sender.seal(draft)]
    return made if sender.g.chance.random() < 0.7 else [b" " * (maximum("TRANSACTION_BYTES_MAX") + 1)]


def too_many_events(sender: Sender) -> list[bytes]:
    """A batch that announces more than a transaction may, where few events are allowed."""
    g, count = sender.g, maximum("EVENTS_PER_TRANSACTION_MAX") + 1
    organisation = g.member()
    if organisation is None or count > maximum("TRANSACTION_ENTRIES_MAX"):
        return []
    messages: list[Message] = []
    first = _next_anchor(sender, organisation)
    for number in range(first, first + count):
        messages.append(AnchorAccesses(root=g.digest(), count=1, first=number, last=number))
    draft = g.signer(organisation, *messages)
    return [] if draft is None else [sender.seal(draft)]


def _next_anchor(sender: Sender, organisation: bytes) -> int:
    newest = ANCHORS.get(sender.g.store, organisation)
    return 1 if newest is None else newest.last + 1


Fault = Callable[[Sender], list[bytes]]
AIMED: Final[tuple[tuple[MachineReason, Fault, float], ...]] = (
    (MachineReason.TOO_LARGE, too_large, 1),
    (MachineReason.NOT_CANONICAL, not_canonical, 2),
    (MachineReason.WRONG_ROOT, wrong_root, 2),
    (MachineReason.WRONG_CHAIN, wrong_chain, 1),
    (MachineReason.EXPIRED, expired, 1),
    (MachineReason.EXPIRES_TOO_LATE, expires_too_late, 1),
    (MachineReason.BAD_SIGNATURE, bad_signature, 2),
    (MachineReason.KEY_NOT_ACTIVE, key_not_active, 2),
    (MachineReason.ALREADY_SEEN, already_seen, 3),
    (MachineReason.TOO_MANY_UNEXPIRED, too_many_unexpired, 0.5),
    (MachineReason.TOO_MUCH_WORK, too_much_work, 1),
    (MachineReason.TOO_MANY_EVENTS, too_many_events, 1),
)
"""Which fault aims at which reason, and how often it is made."""
FAULTS: Final = [fault for _, fault, _ in AIMED]
WEIGHTS: Final = [weight for _, _, weight in AIMED]
