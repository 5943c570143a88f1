# SPDX-License-Identifier: Apache-2.0
"""What can be read of consents: the decision itself, consents, accesses, anchors.

Precedence: an ended consent has no effect; among those in force any matching denial wins; without a grant the answer
is no. The custodian's node may narrow a yes, never widen a no.

Source: architecture.md "Patients"; rulings.md "Consent"; FHIR R4 Consent.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.limits import QUERY_ROWS_MAX
from vervain.ledger.machine.module import Query
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent import state
from vervain.ledger.modules.consent.messages import Categories, ConsentReason, Decision, Purpose
from vervain.ledger.modules.consent.state import Access, Anchor, Consent, ConsentStatus, Denial
from vervain.ledger.primitives.codec import Bytes32, Natural, Positive, UtcSeconds

_PERMIT_ENDED: Final = {
    ConsentStatus.WITHDRAWN: ConsentReason.WITHDRAWN,
    ConsentStatus.REPLACED: ConsentReason.REPLACED,
}


def decide(store: Store, *, grant: bytes, purpose: Purpose, categories: tuple[bytes, ...], time: int) -> Decision:
    """Decide whether a read under `grant` is permitted at `time`. Reads two rows, up to four more when denials exist
    (one more a named category), and never iterates over what can grow.

    Args:
        store: The state.
        grant: 32-byte consent id.
        purpose: What the read is for.
        categories: Category commitments of what is read; none when not named.
        time: UTC seconds.
    """
    consent = state.CONSENTS.get(store, grant)
    if consent is None:
        return Decision(permit=False, reason=ConsentReason.NO_SUCH_CONSENT)
    reason = _why_not_granted(consent, purpose, categories, time)
    if reason is not None:
        return Decision(permit=False, reason=reason, consent=grant)
    listed = state.DENIAL_COUNTS.get(store, consent.grantor)
    if listed is None:
        return Decision(permit=True, consent=grant)
    denial = _denial_in_force(store, consent.grantor, grant, categories, listed, time)
    if denial is not None:
        return Decision(permit=False, reason=ConsentReason.DENIED, consent=denial)
    if listed.categories and not categories:
        return Decision(permit=False, reason=ConsentReason.CATEGORY_NOT_NAMED, consent=grant)
    return Decision(permit=True, consent=grant)


def _why_not_granted(
    consent: Consent, purpose: Purpose, categories: tuple[bytes, ...], time: int
) -> ConsentReason | None:
    """Return why a consent, taken by itself, does not permit; None when it does."""
    terms = consent.terms
    if isinstance(terms, Denial):
        return ConsentReason.OTHER_KIND
    if consent.status is not ConsentStatus.ACTIVE:
        return _PERMIT_ENDED[consent.status]
    if not consent.valid_from <= time < consent.valid_until:
        return ConsentReason.NOT_IN_FORCE
    if purpose not in terms.purposes:
        return ConsentReason.PURPOSE_NOT_GRANTED
    if terms.categories:
        if not categories:
            return ConsentReason.CATEGORY_NOT_NAMED
        if not frozenset(terms.categories).issuperset(categories):
            return ConsentReason.CATEGORY_NOT_GRANTED
    return None


def _denial_in_force(
    store: Store, grantor: bytes, grant: bytes, categories: tuple[bytes, ...], listed: state.DenialCount, time: int
) -> bytes | None:
    """Return the id of the first matching denial: of everything, of the grant, of a category in the order named."""
    scopes: list[state.Scope] = []
    if listed.everything:
        scopes.append(state.EVERYTHING)
    if listed.grants:
        scopes.append(state.OF_GRANT + grant)
    if listed.categories:
        scopes.extend([state.OF_CATEGORY + category for category in categories])
    for scope in scopes:
        denial = state.DENIALS.get(store, (grantor, scope))
        if denial is not None and denial.valid_from <= time < denial.valid_until:
            return denial.consent
    return None


def consent(store: Store, consent_id: bytes) -> Consent:
    """Return a consent.

    Refuses: NotFound(NO_SUCH_CONSENT).
    """
    return state.CONSENTS.require(store, consent_id, ConsentReason.NO_SUCH_CONSENT)


def access(store: Store, number: int) -> Access:
    """Return an access by its number.

    Refuses: NotFound(NO_SUCH_ACCESS).
    """
    return state.ACCESSES.require(store, number, ConsentReason.NO_SUCH_ACCESS)


def newest_access(store: Store) -> int:
    """Return the number of the newest access; 0 when there is none."""
    counter = state.ACCESS_COUNTERS.get(store, state.THE_COUNTER)
    return 0 if counter is None else counter.last


class DecideArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is asked of `consent.decide`."""

    grant: Bytes32
    purpose: Purpose
    categories: Categories = ()
    time: UtcSeconds


class ConsentArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of `consent.consent`."""

    consent: Bytes32


class AccessArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of `consent.access`."""

    access: Positive


class AccessesArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of `consent.accesses`: at most `count` of them, from number `first` on."""

    first: Positive
    count: Annotated[int, msgspec.Meta(ge=1, le=QUERY_ROWS_MAX)]


class Accesses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of accesses: numbers `first`, `first` + 1 and so on; `newest` is the last number there is."""

    first: Positive
    accesses: tuple[Access, ...]
    newest: Natural


class AnchorArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of `consent.anchor`."""

    custodian: Bytes32


class AnchorAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A custodian's newest anchor, left out when it has none; `next` is the number its next anchor starts with."""

    next: Positive
    anchor: Anchor | UnsetType = UNSET


def answer_decide(store: Store, arguments: DecideArguments) -> Decision:
    """Answer `consent.decide`."""
    return decide(
        store,
        grant=arguments.grant,
        purpose=arguments.purpose,
        categories=arguments.categories,
        time=arguments.time,
    )


def answer_consent(store: Store, arguments: ConsentArguments) -> Consent:
    """Answer `consent.consent`. Refuses: NotFound(NO_SUCH_CONSENT)."""
    return consent(store, arguments.consent)


def answer_access(store: Store, arguments: AccessArguments) -> Access:
    """Answer `consent.access`. Refuses: NotFound(NO_SUCH_ACCESS)."""
    return access(store, arguments.access)


def answer_accesses(store: Store, arguments: AccessesArguments) -> Accesses:
    """Answer `consent.accesses`; an empty page when `first` is beyond the newest."""
    newest = newest_access(store)
    stop = min(arguments.first + arguments.count, newest + 1)
    page = tuple(access(store, number) for number in range(arguments.first, stop))
    return Accesses(first=arguments.first, accesses=page, newest=newest)


def answer_anchor(store: Store, arguments: AnchorArguments) -> AnchorAnswer:
    """Answer `consent.anchor`."""
    anchor = state.ANCHORS.get(store, arguments.custodian)
    if anchor is None:
        return AnchorAnswer(next=1)
    return AnchorAnswer(next=anchor.last + 1, anchor=anchor)


QUERIES: Final = {
    "consent.access": Query(arguments=AccessArguments, answer=answer_access, summary="One access by its number."),
    "consent.accesses": Query(arguments=AccessesArguments, answer=answer_accesses, summary="A page of accesses."),
    "consent.anchor": Query(arguments=AnchorArguments, answer=answer_anchor, summary="A custodian's newest anchor."),
    "consent.consent": Query(arguments=ConsentArguments, answer=answer_consent, summary="One consent by its id."),
    "consent.decide": Query(
        arguments=DecideArguments,
        answer=answer_decide,
        summary="Whether a read is permitted, and which consent says so.",
    ),
}
