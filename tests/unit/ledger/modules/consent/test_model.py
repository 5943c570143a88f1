# SPDX-License-Identifier: Apache-2.0
"""Random consents against a reference that keeps one plain list and looks through all of it."""

from dataclasses import dataclass
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.ledger.modules.consent.forms import (
    DAY,
    HIV,
    PSY,
    SUD,
    denial_form,
    grant_form,
    next_consent_id,
    request_form,
)
from tests.unit.ledger.modules.ward import NORTH, OTHER, SHE, SOUTH, Ward
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.refusals import APPLIED, Refusal
from vervain.ledger.modules.consent import queries
from vervain.ledger.modules.consent.messages import ConsentReason, Purpose, RequestRead, WithdrawConsent

HOSPITAL: Final = {SHE: NORTH, OTHER: SOUTH}
PURPOSES: Final = (Purpose.HPAYMT, Purpose.TREAT)
Why = ConsentReason


@dataclass
class Said:
    """One consent as the reference keeps it."""

    id: bytes
    grantor: str
    valid_from: int
    valid_until: int
    purposes: tuple[Purpose, ...] = ()  # none: a denial
    categories: tuple[bytes, ...] = ()
    scope: tuple[str, bytes] = ("everything", b"")
    reader: str = ""
    state: str = "active"
    listed: bool = True

    @property
    def is_grant(self) -> bool:
        """A denial has no purposes."""
        return bool(self.purposes)

    def covers(self, time: int) -> bool:
        """Tell whether `time` is in the period."""
        return self.valid_from <= time < self.valid_until


class Reference:
    """What the consent module should do, without an index, a counter or a chain."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.read: dict[bytes, int] = {}

    def why_not_previous(self, grantor: str, previous: Said | None, *, is_grant: bool) -> Why | None:
        """Say why a consent cannot replace `previous`."""
        if previous is None:
            return None
        if previous.grantor != grantor:
            return Why.NOT_THE_GRANTOR
        if previous.is_grant != is_grant:
            return Why.OTHER_KIND
        return {"withdrawn": Why.ALREADY_WITHDRAWN, "replaced": Why.ALREADY_REPLACED}.get(previous.state)

    def why_not_period(self, new: Said, time: int) -> Why | None:
        """Say why a period cannot be given now."""
        if new.valid_until <= new.valid_from:
            return Why.EMPTY_PERIOD
        return Why.PERIOD_OVER if new.valid_until <= time else None

    def grant(self, new: Said, previous: Said | None, time: int) -> Why | None:
        """Give a grant, or say why not."""
        why = self.why_not_period(new, time)
        if why is None and any(old.reader == new.reader for old in self.said):
            why = Why.READER_KEY_USED
        why = why or self.why_not_previous(new.grantor, previous, is_grant=True)
        if why is None:
            self.give(new, previous)
        return why

    def deny(self, new: Said, target: Said | None, previous: Said | None, time: int) -> Why | None:
        """Give a denial, or say why not."""
        if target is not None and target.grantor != new.grantor:
            return Why.NOT_THE_GRANTOR
        if target is not None and not target.is_grant:
            return Why.OTHER_KIND
        why = self.why_not_period(new, time) or self.why_not_previous(new.grantor, previous, is_grant=False)
        if why is not None:
            return why
        for old in self.denials(new.grantor):
            if old.scope == new.scope and old is not previous:
                if time < old.valid_until:
                    return Why.ALREADY_DENIED
                old.listed = False
        self.give(new, previous)
        return None

    def give(self, new: Said, previous: Said | None) -> None:
        """Keep a consent; the one it replaces ends."""
        if previous is not None:
            previous.state = "replaced"
        self.said.append(new)

    def withdraw(self, signer: str, consent: Said) -> Why | None:
        """End a consent, or say why not."""
        if signer != consent.grantor:
            return Why.NOT_THE_GRANTOR
        if consent.state != "active":
            return Why.ALREADY_WITHDRAWN if consent.state == "withdrawn" else Why.ALREADY_REPLACED
        consent.state = "withdrawn"
        return None

    def denials(self, grantor: str) -> list[Said]:
        """Return the grantor's denials that are listed."""
        return [
            old
            for old in self.said
            if not old.is_grant and old.grantor == grantor and old.state == "active" and old.listed
        ]

    def decide(self, grant: Said, purpose: Purpose, categories: tuple[bytes, ...], time: int) -> Why | None:
        """Say why a read is not permitted; None when it is."""
        if not grant.is_grant:
            return Why.OTHER_KIND
        if grant.state != "active":
            return Why.WITHDRAWN if grant.state == "withdrawn" else Why.REPLACED
        if not grant.covers(time):
            return Why.NOT_IN_FORCE
        if purpose not in grant.purposes:
            return Why.PURPOSE_NOT_GRANTED
        if grant.categories and not categories:
            return Why.CATEGORY_NOT_NAMED
        if grant.categories and set(categories) - set(grant.categories):
            return Why.CATEGORY_NOT_GRANTED
        denials = self.denials(grant.grantor)
        matching = [("everything", b""), ("grant", grant.id), *(("category", category) for category in categories)]
        if any(denial.scope in matching and denial.covers(time) for denial in denials):
            return Why.DENIED
        if not categories and any(denial.scope[0] == "category" for denial in denials):
            return Why.CATEGORY_NOT_NAMED
        return None

    def request(self, form: RequestRead, grant: Said, time: int) -> Why | None:
        """Number a read, or say why not."""
        if not grant.is_grant:
            return Why.OTHER_KIND
        if form.expires_at < time:
            return Why.EXPIRED_REQUEST
        if form.signature in self.read:
            return Why.ALREADY_REQUESTED
        why = self.decide(grant, form.purpose, form.categories, time)
        if why is None:
            self.read[form.signature] = len(self.read) + 1
        return why


periods = st.tuples(st.integers(-2, 4), st.integers(0, 5))
categories_of_a_grant = st.sampled_from([(), (PSY,), (PSY, SUD)])
purposes_of_a_grant = st.sampled_from([PURPOSES, PURPOSES[:1], PURPOSES[1:]])
grantors = st.sampled_from([SHE, SHE, SHE, OTHER])
choice = st.integers(0, 1_000)


class ConsentMachine(RuleBasedStateMachine):
    """Runs each step on the ledger and on the reference, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.ward, self.reference, self.readers = Ward(), Reference(), 0
        self.sent: list[tuple[RequestRead, Said]] = []

    def code(self, signer: str, message: Message) -> int:
        """Run one message and return its code."""
        try:
            self.ward.run(signer, message)
        except Refusal as refusal:
            return int(refusal.reason)
        return APPLIED

    def pick(self, number: int, among: list[Said]) -> Said | None:
        """Return one of a list or, one time in three, none."""
        return among[number % len(among)] if among and number % 3 else None

    def period(self, days: tuple[int, int]) -> dict[str, int]:
        """Return a period that begins and lasts so many days, around now."""
        valid_from = self.ward.time + days[0] * DAY
        return {"valid_from": valid_from, "valid_until": valid_from + days[1] * DAY}

    @rule(
        grantor=grantors,
        days=periods,
        purposes=purposes_of_a_grant,
        categories=categories_of_a_grant,
        old=choice,
        reuse=st.booleans(),
    )
    def grant(
        self,
        grantor: str,
        days: tuple[int, int],
        purposes: tuple[Purpose, ...],
        categories: tuple[bytes, ...],
        old: int,
        reuse: bool,
    ) -> None:
        """Grant, now and then to a reader key that was used, or in place of something."""
        self.readers += 0 if reuse and old % 5 == 0 else 1
        period, previous = self.period(days), self.pick(old, self.reference.said)
        new = Said(
            id=next_consent_id(self.ward),
            grantor=grantor,
            purposes=purposes,
            categories=categories,
            reader=f"reader {self.readers}",
            valid_from=period["valid_from"],
            valid_until=period["valid_until"],
        )
        form = grant_form(new.reader, purposes=purposes, categories=categories, **period)
        if previous is not None:
            form = grant_form(new.reader, purposes=purposes, categories=categories, previous=previous.id, **period)
        why = self.reference.grant(new, previous, self.ward.time)
        assert self.code(grantor, form) == (why or APPLIED)

    @rule(grantor=grantors, days=periods, what=st.sampled_from(["everything", "grant", "category"]), old=choice)
    def deny(self, grantor: str, days: tuple[int, int], what: str, old: int) -> None:
        """Deny everything, a grant or a category, now and then in place of something."""
        period, target = self.period(days), None
        previous = self.pick(old, self.reference.said)
        changes: dict[str, object] = dict(period)
        scope = ("everything", b"")
        if what == "category":
            changes["category"] = (PSY, SUD, HIV)[old % 3]
            scope = ("category", (PSY, SUD, HIV)[old % 3])
        elif what == "grant" and self.reference.said:
            target = self.reference.said[old % len(self.reference.said)]
            changes["grant"], scope = target.id, ("grant", target.id)
        if previous is not None:
            changes["previous"] = previous.id
        given = next_consent_id(self.ward)
        new = Said(
            id=given,
            grantor=grantor,
            scope=scope,
            reader=f"denial {given.hex()}",
            valid_from=period["valid_from"],
            valid_until=period["valid_until"],
        )
        form = denial_form(**changes)
        why = self.reference.deny(new, target, previous, self.ward.time)
        assert self.code(grantor, form) == (why or APPLIED)

    @precondition(lambda self: self.reference.said)
    @rule(signer=grantors, which=choice)
    def withdraw(self, signer: str, which: int) -> None:
        """Withdraw some consent, also another's."""
        consent = self.reference.said[which % len(self.reference.said)]
        why = self.reference.withdraw(signer, consent)
        assert self.code(signer, WithdrawConsent(consent=consent.id)) == (why or APPLIED)

    @precondition(lambda self: any(said.is_grant for said in self.reference.said))
    @rule(which=choice, purpose=st.sampled_from(PURPOSES), categories=st.sampled_from([(), (PSY,), (PSY, HIV)]))
    def read(self, which: int, purpose: Purpose, categories: tuple[bytes, ...]) -> None:
        """Ask to read under some grant."""
        grants = [said for said in self.reference.said if said.is_grant]
        grant = grants[which % len(grants)]
        form = request_form(
            self.ward,
            grant.id,
            grant.reader,
            custodian=self.ward.id(HOSPITAL[grant.grantor]),
            purpose=purpose,
            categories=categories,
            nonce=len(self.sent).to_bytes(16, "big"),
        )
        self.sent.append((form, grant))
        self.send(form, grant)

    @precondition(lambda self: self.sent)
    @rule(which=choice)
    def replay(self, which: int) -> None:
        """Send a request again."""
        self.send(*self.sent[which % len(self.sent)])

    def send(self, form: RequestRead, grant: Said) -> None:
        """Send a request to both."""
        why = self.reference.request(form, grant, self.ward.time)
        assert self.code(SOUTH, form) == (why or APPLIED)

    @rule(seconds=st.sampled_from([1, 300, 601, DAY, DAY]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.ward.time += seconds

    @invariant()
    def decisions_agree(self) -> None:
        """Every consent decides every question as the reference does."""
        for said in self.reference.said:
            for purpose in PURPOSES:
                for categories in ((), (PSY,), (PSY, HIV)):
                    decision = queries.decide(
                        self.ward.store, grant=said.id, purpose=purpose, categories=categories, time=self.ward.time
                    )
                    why = self.reference.decide(said, purpose, categories, self.ward.time)
                    assert decision.permit is (why is None)
                    assert decision.permit or decision.reason is why

    @invariant()
    def accesses_agree(self) -> None:
        """There are as many accesses as the reference permitted."""
        assert queries.newest_access(self.ward.store) == len(self.reference.read)

    @invariant()
    def nothing_is_broken(self) -> None:
        """Every invariant of every module holds."""
        assert self.ward.breaches() == []


TestConsentMachine = ConsentMachine.TestCase
TestConsentMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
