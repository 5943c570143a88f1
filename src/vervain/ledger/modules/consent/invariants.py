# SPDX-License-Identifier: Apache-2.0
"""What is always true of consents. Each reads everything; they run in simulation and audit, never inside a block."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import UNSET

from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent import queries, state
from vervain.ledger.modules.consent.messages import Purpose
from vervain.ledger.modules.consent.state import Consent, ConsentStatus, Denial, Grant

ID_BYTES: Final = 32


def listed_rights_are_effective_rights(store: Store) -> list[str]:
    """A grant permits nothing once ended, nor outside its period, purposes and categories, whatever the denials.

    Source: identity-keys-receipts reference, section 15 (MedRec: an invisible live right).
    """
    breaches = []
    for consent_id, consent in state.CONSENTS.rows(store):
        if isinstance(consent.terms, Denial):
            continue
        for time in (consent.valid_from - 1, consent.valid_from, consent.valid_until - 1, consent.valid_until):
            for purpose in Purpose:
                decision = queries.decide(
                    store, grant=consent_id, purpose=purpose, categories=consent.terms.categories, time=time
                )
                if decision.permit and not _lists(consent, purpose, time):
                    breaches.append(f"consent {consent_id.hex()} permits {purpose} at {time}, which it does not list")
    return breaches


def _lists(consent: Consent, purpose: Purpose, time: int) -> bool:
    """Tell whether a grant's row lists the right to read for `purpose` at `time`."""
    return (
        isinstance(consent.terms, Grant)
        and consent.status is ConsentStatus.ACTIVE
        and consent.valid_from <= time < consent.valid_until
        and purpose in consent.terms.purposes
    )


def listed_denials_are_active_denials(store: Store) -> list[str]:
    """A listed denial is an active one of that grantor, scope and period."""
    breaches = []
    for key, listed in state.DENIALS.rows(store):
        denial = state.CONSENTS.get(store, listed.consent)
        if (
            denial is None
            or not isinstance(denial.terms, Denial)
            or denial.status is not ConsentStatus.ACTIVE
            or key != _denial_key(denial.grantor, state.scope_of(denial.terms))
            or (listed.valid_from, listed.valid_until) != (denial.valid_from, denial.valid_until)
        ):
            breaches.append(f"consent {listed.consent.hex()} is listed as a denial that it is not")
    return breaches


def active_denials_are_listed(store: Store) -> list[str]:
    """An active denial is listed, unless another of its scope came after its period was over."""
    breaches = []
    for consent_id, denial in state.CONSENTS.rows(store):
        if isinstance(denial.terms, Denial) and denial.status is ConsentStatus.ACTIVE:
            listed = state.DENIALS.get(store, (denial.grantor, state.scope_of(denial.terms)))
            if listed is not None and listed.consent == consent_id:
                continue
            if not _was_displaced(store, consent_id, denial):
                breaches.append(f"consent {consent_id.hex()} is an active denial that nothing lists")
    return breaches


def _was_displaced(store: Store, denial_id: bytes, denial: Consent) -> bool:
    """Tell whether a denial of the same grantor and scope was given after this one's period."""
    return any(
        other_id != denial_id
        and isinstance(other.terms, Denial)
        and (other.grantor, other.terms) == (denial.grantor, denial.terms)
        and other.given_at >= denial.valid_until
        for other_id, other in state.CONSENTS.rows(store)
    )


def denial_counts_are_exact(store: Store) -> list[str]:
    """A grantor's counts are the numbers of its listed denials by kind; no row stands for none."""
    counted: Counter[tuple[bytes, int]] = Counter(
        (key[:ID_BYTES], key[ID_BYTES]) for key, _ in state.DENIALS.rows(store)
    )
    stated: Counter[tuple[bytes, int]] = Counter()
    breaches = []
    for grantor, count in state.DENIAL_COUNTS.rows(store):
        by_kind = {
            (grantor, state.EVERYTHING[0]): count.everything,
            (grantor, state.OF_GRANT[0]): count.grants,
            (grantor, state.OF_CATEGORY[0]): count.categories,
        }
        if not any(by_kind.values()):
            breaches.append(f"grantor {grantor.hex()} has a row of counts for no denial")
        stated.update({place: number for place, number in by_kind.items() if number})
    breaches.extend(
        f"grantor {grantor.hex()} has {counted[grantor, kind]} denials of kind {kind}, not {stated[grantor, kind]}"
        for grantor, kind in sorted(counted.keys() | stated.keys())
        if counted[grantor, kind] != stated[grantor, kind]
    )
    return breaches


def reader_keys_belong_to_one_grant(store: Store) -> list[str]:
    """Each grant's reader key has a row that names this grant, and there are no other rows."""
    of_grants = {}
    breaches = []
    for consent_id, consent in state.CONSENTS.rows(store):
        if isinstance(consent.terms, Grant):
            if consent.terms.reader_key in of_grants:
                breaches.append(f"consent {consent_id.hex()} shares its reader key with another")
            of_grants[consent.terms.reader_key] = consent_id
    of_rows = {key: row.consent for key, row in state.READER_KEYS.rows(store)}
    if of_rows != of_grants:
        breaches.append("the reader keys' rows are not those of the grants")
    return breaches


def chains_of_consents_are_linear(store: Store) -> list[str]:
    """`previous` and `replaced_by` name each other within one grantor and kind; every ended consent has a time."""
    breaches = []
    for consent_id, consent in state.CONSENTS.rows(store):
        if (consent.status is ConsentStatus.REPLACED) is (consent.replaced_by is UNSET):
            breaches.append(f"consent {consent_id.hex()} is replaced by nothing, or not and yet by something")
        if (consent.status is ConsentStatus.ACTIVE) is not (consent.ended_at is UNSET):
            breaches.append(f"consent {consent_id.hex()} ended without a time, or has one without an end")
        if consent.previous is not UNSET and not _follows(store, consent_id, consent, consent.previous):
            breaches.append(f"consent {consent_id.hex()} does not follow the one it names")
        if consent.replaced_by is not UNSET:
            newer = state.CONSENTS.get(store, consent.replaced_by)
            if newer is None or newer.previous != consent_id:
                breaches.append(f"consent {consent_id.hex()} names a successor that does not follow it")
    return breaches


def _follows(store: Store, consent_id: bytes, consent: Consent, named: bytes) -> bool:
    previous = state.CONSENTS.get(store, named)
    return (
        previous is not None
        and previous.replaced_by == consent_id
        and previous.grantor == consent.grantor
        and type(previous.terms) is type(consent.terms)
        and previous.given_at <= consent.given_at
    )


def access_numbers_have_no_gaps(store: Store) -> list[str]:
    """Accesses are numbered from 1 to the counter, each for a grant of its custodian that was given before it."""
    breaches = []
    counter = state.ACCESS_COUNTERS.get(store, state.THE_COUNTER) or state.AccessCounter()
    expected = 0
    for expected, (key, access) in enumerate(state.ACCESSES.rows(store), start=1):
        if int.from_bytes(key, "big") != expected:
            breaches.append(f"access {expected} is missing")
            break
        grant = state.CONSENTS.get(store, access.grant)
        if grant is None or isinstance(grant.terms, Denial) or grant.custodian != access.custodian:
            breaches.append(f"access {expected} is not of a grant of its custodian")
    if expected != counter.last or counter.forgotten > counter.last:
        breaches.append(f"the counter says {counter.last} accesses, {counter.forgotten} forgotten, of {expected}")
    return breaches


def seen_requests_are_those_not_forgotten(store: Store) -> list[str]:
    """Each access that is not forgotten has its once-only row, and there are no other rows."""
    counter = state.ACCESS_COUNTERS.get(store, state.THE_COUNTER) or state.AccessCounter()
    expected = {}
    for key, access in state.ACCESSES.rows(store):
        number = int.from_bytes(key, "big")
        if number > counter.forgotten:
            expected[access.expires_at.to_bytes(8, "big") + access.request] = number
    seen = {key: row.access for key, row in state.SEEN_REQUESTS.rows(store)}
    return [] if seen == expected else ["the once-only rows are not those of the accesses that can come again"]


def anchors_span_their_numbers(store: Store) -> list[str]:
    """An anchor's first number is not above its last."""
    return [
        f"the anchor of {custodian.hex()} ends before it begins"
        for custodian, anchor in state.ANCHORS.rows(store)
        if anchor.first > anchor.last
    ]


def _denial_key(grantor: bytes, scope: state.Scope) -> bytes:
    return state.DENIALS.stored_key((grantor, scope))[2:]


INVARIANTS: Final[tuple[Callable[[Store], list[str]], ...]] = (
    listed_rights_are_effective_rights,
    listed_denials_are_active_denials,
    active_denials_are_listed,
    denial_counts_are_exact,
    reader_keys_belong_to_one_grant,
    chains_of_consents_are_linear,
    access_numbers_have_no_gaps,
    seen_requests_are_those_not_forgotten,
    anchors_span_their_numbers,
)
