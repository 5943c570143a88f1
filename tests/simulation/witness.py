# SPDX-License-Identifier: Apache-2.0
"""A second opinion on every block: what the written formats and the announced events say must come out.

It shares no code with the machine where it judges: leaves are built with the standard library's JSON, digests from
their written definitions, and who may sign, which consent holds and which numbers come next are followed from events.
"""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from tests.simulation.lowered import maximum
from vervain.ledger.machine.block import Block
from vervain.ledger.machine.changes import Changes
from vervain.ledger.machine.module import Catalogue
from vervain.ledger.machine.outcome import EncodedOutcome, Event
from vervain.ledger.machine.refusals import APPLIED, MachineReason
from vervain.ledger.machine.transaction import Transaction
from vervain.ledger.modules.consent import messages as consent
from vervain.ledger.modules.consortium import messages as consortium
from vervain.ledger.modules.identity import messages as identity
from vervain.ledger.modules.records import messages as records
from vervain.ledger.primitives.codec import encode

EXPIRY_SECONDS_MAX: Final = 900
NOW_FIELDS: Final = frozenset(
    "admitted_at changed_at closed_at disputed_at issued_at registered_at rotated_at withdrawn_at".split()
)
Judged = Transaction | int
"""A decoded transaction whose signature holds, or the code of why there is none."""


class Broken(AssertionError):
    """Something that must always hold did not."""


def require(holds: bool, what: str) -> None:
    """Stop the simulation with `what` unless it holds."""
    if not holds:
        raise Broken(what)


class Signers:
    """Whose key counts, followed from events."""

    def __init__(self) -> None:
        self._active_members: dict[bytes, bool] = {}
        self._key_of: dict[bytes, bytes | None] = {}
        self._organisation: dict[bytes, bytes] = {}
        self._keeps_own: dict[bytes, bool] = {}

    def counts(self, actor: bytes, key: bytes) -> bool:
        """Tell whether this key signs for this actor."""
        if self._key_of.get(actor) != key:
            return False
        return self._keeps_own[actor] or self._active_members.get(self._organisation[actor], False)

    def organisation(self, actor: bytes) -> bytes:
        """Return the organisation of an actor that was registered."""
        return self._organisation[actor]

    def follow(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case consortium.MemberAdmitted(organisation=member) | consortium.MemberReinstated(organisation=member):
                self._active_members[member] = True
            case consortium.MemberSuspended(organisation=member) | consortium.MemberLeft(organisation=member):
                self._active_members[member] = False
            case identity.ActorRegistered():
                self._key_of[event.actor] = event.key
                self._organisation[event.actor] = event.organisation
                self._keeps_own[event.actor] = event.custody is identity.Custody.SELF
            case identity.KeyRotated():
                self._key_of[event.actor] = event.new_key
                self._keeps_own[event.actor] |= event.custody is identity.Custody.SELF
            case identity.KeyWithdrawn(actor=actor, key=key):
                if self._key_of[actor] == key:
                    self._key_of[actor] = None
            case identity.ActorClosed(actor=actor):
                self._key_of[actor] = None
            case _:
                pass


class Consents:
    """Which reads may be permitted, and which numbers come next, followed from events."""

    def __init__(self) -> None:
        self._grants: dict[bytes, consent.ConsentGranted] = {}
        self._denials: dict[bytes, consent.AccessDenied] = {}
        self._ended: dict[bytes, int] = {}
        self._records = self._accesses = 0

    def follow(self, event: Event, time: int) -> None:
        """Take note of an event; stop on one that cannot be."""
        match event:
            case consent.ConsentGranted():
                self._end(event.previous, time)
                self._grants[event.consent] = event
            case consent.AccessDenied():
                self._end(event.previous, time)
                self._denials[event.consent] = event
            case consent.ConsentWithdrawn():
                self._end(event.consent, time)
            case consent.ReadRequested():
                self._accesses += 1
                require(event.access == self._accesses, f"access {event.access} is not number {self._accesses}")
                self._require_read(event, time)
            case records.RecordCommitted() | records.RecordSuperseded() | records.RecordCorrected():
                self._records += 1
                require(event.record == self._records, f"record {event.record} is not number {self._records}")
            case _:
                pass

    def _end(self, ended: bytes | msgspec.UnsetType, time: int) -> None:
        if ended is not msgspec.UNSET:
            require(ended not in self._ended, "a consent ended twice")
            self._ended[ended] = time

    def _require_read(self, event: consent.ReadRequested, time: int) -> None:
        grant = self._grants[event.grant]
        require(event.grant not in self._ended, "a read was permitted by a consent that had ended")
        require(grant.valid_from <= time < grant.valid_until, "a read was permitted outside the grant's period")
        require(event.purpose in grant.purposes, "a read was permitted for a purpose that was not granted")
        require(event.expires_at >= time, "an expired read request was permitted")
        for number, denial in self._denials.items():
            is_general = denial.category is msgspec.UNSET and denial.grant in (msgspec.UNSET, event.grant)
            is_in_force = number not in self._ended and denial.valid_from <= time < denial.valid_until
            require(
                not (is_general and is_in_force and denial.grantor == grant.grantor),
                "a read was permitted though denied",
            )


class Witness:
    """Judges each height once, in order.

    Attributes:
        leaves: Hash of every leaf of the log.
        sizes: Log size after each height.
        changes: What each height changed.
        events: What each height announced.
        leaf_indexes: Where each transaction of a height stands in the log, None without a leaf.
        codes: How often each outcome code came.
        applied: How often each message was applied, by its tag.
    """

    def __init__(self, catalogue: Catalogue, chain: str) -> None:
        self._catalogue, self._chain = catalogue, chain
        self.leaves: list[bytes] = []
        self.sizes: list[int] = []
        self.changes: list[Changes] = []
        self.events: list[tuple[Event, ...]] = []
        self.codes: Counter[int] = Counter()
        self.applied: Counter[str] = Counter()
        self.leaf_indexes: list[tuple[int | None, ...]] = [()]
        self._ordered: set[bytes] = set()
        self._expiries: dict[bytes, list[int]] = {}
        self._signers, self._consents = Signers(), Consents()

    @property
    def height(self) -> int:
        """The height judged last, -1 before the founding."""
        return len(self.changes) - 1

    def founded(self, content: bytes, time: int, changes: Changes) -> None:
        """Judge height 0."""
        digest = sha256(b"vervain/genesis/v1\n" + content).digest()
        name = json.loads(content)["name"]
        require(self._chain == f"{name}-{digest[:16].hex()}", "the chain's name is not bound to its genesis")
        leaf = _canonical(chain=self._chain, genesis_digest=digest, kind="genesis", time=time)
        (founding,) = msgspec.json.decode(changes.outcomes, type=list[EncodedOutcome])
        self._close(0, time, changes, [leaf], [self._catalogue.event_decoder.decode(each) for each in founding.events])

    def block(self, block: Block, judged: Sequence[Judged], changes: Changes) -> None:
        """Judge the next height."""
        encoded = msgspec.json.decode(changes.outcomes, type=list[EncodedOutcome])
        require(len(encoded) == len(block.transactions), "a transaction has no outcome, or an outcome no transaction")
        leaves: list[bytes] = []
        events: list[Event] = []
        indexes: list[int | None] = []
        for transaction, outcome in zip(judged, encoded, strict=True):
            self.codes[outcome.code] += 1
            expected = self.expected_code(transaction, block.time)
            if outcome.code != APPLIED and outcome.failed_entry is msgspec.UNSET:
                indexes.append(None)
                self._require_no_leaf(transaction, outcome, expected)
                continue
            require(expected == APPLIED, f"a leaf where code {expected} was expected")
            assert isinstance(transaction, Transaction)
            indexes.append(len(self.leaves) + len(leaves))
            self._remember(transaction, block.time)
            leaves.append(_transaction_leaf(transaction, outcome, block))
            require(outcome.code == APPLIED or not outcome.events, "a refused transaction announced something")
            events += [self._catalogue.event_decoder.decode(each) for each in outcome.events]
            if outcome.code == APPLIED:
                for message in transaction.messages:
                    self.applied[str(message.__struct_config__.tag)] += 1
        require(bool(leaves) or not changes.rows, "the state changed without a transaction")
        self.leaf_indexes.append(tuple(indexes))
        self._close(block.height, block.time, changes, leaves, events)

    def _require_no_leaf(self, transaction: Judged, outcome: EncodedOutcome, expected: int) -> None:
        """A transaction without a leaf has the code it deserves, or its organisation has had too many."""
        if expected == APPLIED and isinstance(transaction, Transaction):
            expected = MachineReason.TOO_MANY_UNEXPIRED
            ordered = len(self._expiries.get(self._signers.organisation(transaction.header.actor), ()))
            require(ordered >= maximum("UNEXPIRED_PER_ORGANISATION_MAX"), "an organisation was held to another maximum")
        require(outcome.code == expected, f"code {outcome.code} without a leaf where {expected} was expected")
        require(not outcome.events, "a transaction without a leaf announced something")

    def _remember(self, transaction: Transaction, time: int) -> None:
        """Note an ordered transaction; its organisation may have only so many that are not expired."""
        header = transaction.header
        self._ordered.add(transaction.txid)
        expiries = self._expiries.setdefault(self._signers.organisation(header.actor), [])
        unexpired = sum([each >= time for each in expiries])
        require(unexpired < maximum("UNEXPIRED_PER_ORGANISATION_MAX"), "an organisation has too many unexpired")
        expiries.append(header.expires_at)

    def expected_code(self, transaction: Judged, time: int) -> int:
        """Return the code without a leaf that a transaction deserves at `time`, 0 when it may write."""
        if not isinstance(transaction, Transaction):
            return transaction
        header = transaction.header
        if transaction.work > maximum("BLOCK_WORK_MAX"):
            return MachineReason.TOO_MUCH_WORK
        if header.chain != self._chain:
            return MachineReason.WRONG_CHAIN
        if header.expires_at < time:
            return MachineReason.EXPIRED
        if header.expires_at > time + EXPIRY_SECONDS_MAX:
            return MachineReason.EXPIRES_TOO_LATE
        if not self._signers.counts(header.actor, header.key):
            return MachineReason.KEY_NOT_ACTIVE
        return MachineReason.ALREADY_SEEN if transaction.txid in self._ordered else APPLIED

    def _close(self, height: int, time: int, changes: Changes, leaves: list[bytes], events: list[Event]) -> None:
        """Check the height's head and take over what it announced."""
        summary = changes.summary
        require((summary.height, summary.time) == (height, time), "the head has another height or time than its block")
        require(summary.first_leaf == len(self.leaves), "the head begins at another leaf")
        if leaves or changes.rows:
            leaves.append(_block_leaf(height, time, changes))
        require((summary.leaf is msgspec.UNSET) is (not leaves), "there is a block leaf without need, or none")
        require(summary.leaves == len(leaves), "the head counts other leaves than the block has")
        self.leaves.extend(sha256(b"\x00" + leaf).digest() for leaf in leaves)
        app_hash = sha256(b"vervain/app/v1\n" + len(self.leaves).to_bytes(8, "big") + summary.log_root).digest()
        require(summary.app_hash == app_hash, "the app hash is not that of the log's size and root")
        self.sizes.append(len(self.leaves))
        self.changes.append(changes)
        self.events.append(tuple(events))
        for event in events:
            _require_time(event, time)
            self._consents.follow(event, time)
        for event in events:
            self._signers.follow(event)


def _canonical(**fields: Any) -> bytes:
    """Return the JCS bytes of an object of integers, strings and bytes."""
    plain = {name: b64encode(value).decode() if isinstance(value, bytes) else value for name, value in fields.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode("ascii")


def _transaction_leaf(transaction: Transaction, outcome: EncodedOutcome, block: Block) -> bytes:
    salt = sha256(b"vervain/outcome-salt/v1\n" + transaction.blind).digest()
    digest = sha256(b"vervain/outcome/v1\n" + salt + encode(outcome)).digest()
    return _canonical(
        code=outcome.code,
        height=block.height,
        kind="transaction",
        outcome_digest=digest,
        time=block.time,
        txid=transaction.txid,
    )


def _block_leaf(height: int, time: int, changes: Changes) -> bytes:
    """Return the block leaf that a height must have; its roots are checked elsewhere."""
    require(changes.summary.leaf is not msgspec.UNSET, "the block has no leaf")
    told = json.loads(bytes(changes.summary.leaf))  # type: ignore[arg-type]  # it was just found to be there
    digest = sha256(b"vervain/change/v1\n")
    previous = b""
    for key, value in changes.rows:
        require(previous < key, "the rows are not sorted, or one stands twice")
        previous = key
        digest.update(key[:2] + (len(key) - 2).to_bytes(4, "big") + key[2:])
        digest.update(b"\x00" if value is None else b"\x01" + len(value).to_bytes(4, "big") + value)
    told.update(kind="block", height=height, time=time, change_digest=b64encode(digest.digest()).decode())
    expected = _canonical(**told)
    require(expected == bytes(changes.summary.leaf), "the block leaf says something else")  # type: ignore[arg-type]
    return expected


def _require_time(event: Event, time: int) -> None:
    for name in event.__struct_fields__:
        if name in NOW_FIELDS and not (
            isinstance(event, identity.KeyWithdrawn) and name == "withdrawn_at"
        ):  # or it was before
            require(getattr(event, name) == time, f"{type(event).__name__}.{name} is not the block's time")
