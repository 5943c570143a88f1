# SPDX-License-Identifier: Apache-2.0
"""Rules of the consent module: who may grant, deny, withdraw, ask to read, and what changes.

Sources: GDPR Art. 7(3); FHIR R4 Consent; HL7 PurposeOfUse; EHDS Art. 9; architecture.md "Patients".
Kept invariants: an ended consent never has effect again; a reader key belongs to one grant; a read request enters once.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vervain.ledger.machine.context import Context
from vervain.ledger.machine.module import Handler, Message
from vervain.ledger.machine.refusals import (
    Conflict,
    Forbidden,
    LimitExceeded,
    Malformed,
    NotFound,
    Unauthenticated,
)
from vervain.ledger.modules.consent import queries, state
from vervain.ledger.modules.consent.messages import (
    AccessDenied,
    AccessesAnchored,
    AnchorAccesses,
    ConsentGranted,
    ConsentReason,
    ConsentWithdrawn,
    DenyAccess,
    GrantConsent,
    ReadRequested,
    RequestRead,
    WithdrawConsent,
    access_id,
    consent_id,
)
from vervain.ledger.modules.consent.state import Access, Anchor, Consent, ConsentStatus, Denial, Grant
from vervain.ledger.modules.consortium import queries as consortium
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.identity.messages import ActorKind, ActorStatus, Custody
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.key_agreement import is_valid_kem_key

Kind = type[Grant] | type[Denial]
Ordered = TypeVar("Ordered", str, bytes)

REQUESTS_FORGOTTEN_PER_READ: Final = (
    2  # expired once-only rows dropped by one request: more than one arrives, so none stay
)


def grant_consent(context: Context, message: GrantConsent) -> None:
    """Let a reader key read within purposes, categories and period; end the grant it replaces.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: The terms; the custodian is the grantor's.

    Source: FHIR R4 Consent.provision (permit); architecture.md "Patients": a fresh reader key and no decryption key.
    Refuses: NotFound(NO_SUCH_GRANTOR, NO_SUCH_CONSENT), Forbidden(NOT_A_PATIENT, NOT_THE_GRANTOR),
        Malformed(NOT_SORTED, EMPTY_PERIOD, WEAK_READER_KEY), LimitExceeded(PERIOD_TOO_LONG),
        Conflict(GRANTOR_CLOSED, PERIOD_OVER, READER_KEY_USED, OTHER_KIND, ALREADY_WITHDRAWN, ALREADY_REPLACED).
    """
    # AUTHORITY
    store = context.store
    grantor, custodian = _grantor(context, message.grantor)

    # PRECONDITIONS
    _require_ascending(message.purposes)
    _require_ascending(message.categories)
    _require_period(context, message.valid_from, message.valid_until)
    if not (signatures.is_valid_public_key(message.reader_key) and is_valid_kem_key(message.reader_kem_key)):
        raise Malformed(ConsentReason.WEAK_READER_KEY)
    if state.READER_KEYS.has(store, message.reader_key):
        raise Conflict(ConsentReason.READER_KEY_USED)
    previous = _previous(context, message.previous, grantor, Grant)

    # CHANGE
    new = consent_id(context.txid, context.entry_index)
    terms = Grant(
        reader_key=message.reader_key,
        reader_kem_key=message.reader_kem_key,
        reader_commitment=message.reader_commitment,
        purposes=message.purposes,
        categories=message.categories,
    )
    _give(context, new, message, grantor=grantor, custodian=custodian, terms=terms, previous=previous)
    state.READER_KEYS.put(store, message.reader_key, state.ReaderKey(consent=new))

    # EVENT
    context.emit(
        ConsentGranted(
            consent=new,
            grantor=grantor,
            custodian=custodian,
            reader_key=message.reader_key,
            reader_commitment=message.reader_commitment,
            purposes=message.purposes,
            categories=message.categories,
            valid_from=message.valid_from,
            valid_until=message.valid_until,
            previous=message.previous,
        )
    )


def deny_access(context: Context, message: DenyAccess) -> None:
    """Forbid one grant, one category or everything at the custodian; end the denial it replaces.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: Scope and period.

    Source: FHIR R4 Consent.provision (deny); EHDS Art. 8; architecture.md "Patients": any matching deny in force wins.
    Refuses: NotFound(NO_SUCH_GRANTOR, NO_SUCH_CONSENT), Forbidden(NOT_A_PATIENT, NOT_THE_GRANTOR),
        Malformed(TWO_SCOPES, EMPTY_PERIOD), LimitExceeded(PERIOD_TOO_LONG),
        Conflict(GRANTOR_CLOSED, PERIOD_OVER, OTHER_KIND, ALREADY_WITHDRAWN, ALREADY_REPLACED, ALREADY_DENIED).
    """
    # AUTHORITY
    store = context.store
    grantor, custodian = _grantor(context, message.grantor)
    if message.grant is not UNSET:
        _own(context, message.grant, grantor, Grant)

    # PRECONDITIONS
    if message.grant is not UNSET and message.category is not UNSET:
        raise Malformed(ConsentReason.TWO_SCOPES)
    _require_period(context, message.valid_from, message.valid_until)
    previous = _previous(context, message.previous, grantor, Denial)
    terms = Denial(grant=message.grant, category=message.category)
    scope = state.scope_of(terms)
    listed = state.DENIALS.get(store, (grantor, scope))
    if listed is not None and listed.consent != message.previous and context.block_time < listed.valid_until:
        raise Conflict(ConsentReason.ALREADY_DENIED, consent=listed.consent)

    # CHANGE
    new = consent_id(context.txid, context.entry_index)
    _give(context, new, message, grantor=grantor, custodian=custodian, terms=terms, previous=previous)
    _list_denial(context, new, message, grantor=grantor, scope=scope)

    # EVENT
    context.emit(
        AccessDenied(
            consent=new,
            grantor=grantor,
            custodian=custodian,
            grant=message.grant,
            category=message.category,
            valid_from=message.valid_from,
            valid_until=message.valid_until,
            previous=message.previous,
        )
    )


def withdraw_consent(context: Context, message: WithdrawConsent) -> None:
    """Make a grant or denial inactive from this block on, also one whose period is over or has not begun.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: Names the consent by its 32-byte id.

    Source: GDPR Art. 7(3), as easy to withdraw as to give.
    Refuses: NotFound(NO_SUCH_CONSENT), Forbidden(NOT_THE_GRANTOR), Conflict(ALREADY_WITHDRAWN, ALREADY_REPLACED).
    """
    # AUTHORITY
    consent = queries.consent(context.store, message.consent)
    _require_speaks_for(context, consent.grantor)

    # PRECONDITIONS
    _require_active(message.consent, consent)

    # CHANGE
    _end(context, message.consent, replace(consent, status=ConsentStatus.WITHDRAWN, ended_at=context.block_time))

    # EVENT
    context.emit(
        ConsentWithdrawn(
            consent=message.consent,
            grantor=consent.grantor,
            custodian=consent.custodian,
            withdrawn_at=context.block_time,
        )
    )


def request_read(context: Context, message: RequestRead) -> None:
    """Number a permitted read request, so that its custodian may release and its patient can see it.

    Args:
        context: Submitter, chain, block time in UTC seconds, store.
        message: What the reader signed, and the signature.

    Source: architecture.md "Patients"; EHDS Art. 9 (who looked, for whom, when).
    Refuses: Forbidden(NOT_A_MEMBER), Conflict(EXPIRED_REQUEST, REQUEST_EXPIRES_TOO_LATE), Malformed(NOT_SORTED),
        NotFound(NO_SUCH_CONSENT), Conflict(OTHER_KIND, WRONG_CUSTODIAN), Unauthenticated(BAD_READER_SIGNATURE),
        Conflict(ALREADY_REQUESTED), and what `queries.decide` answers: Forbidden(WITHDRAWN, REPLACED, NOT_IN_FORCE,
        PURPOSE_NOT_GRANTED, CATEGORY_NOT_GRANTED, CATEGORY_NOT_NAMED, DENIED).
    """
    # AUTHORITY
    store = context.store
    _require_member(context)
    grant = queries.consent(store, message.grant)
    if not isinstance(grant.terms, Grant):
        raise Conflict(ConsentReason.OTHER_KIND, consent=message.grant)
    signed = message.terms(context.chain).signed_bytes()
    if not signatures.verify(grant.terms.reader_key, signed, message.signature):
        raise Unauthenticated(ConsentReason.BAD_READER_SIGNATURE, consent=message.grant)

    # PRECONDITIONS
    _require_ascending(message.categories)
    if message.expires_at < context.block_time:
        raise Conflict(ConsentReason.EXPIRED_REQUEST)
    if message.expires_at > context.block_time + consortium.parameter(store, "read_request_seconds_max"):
        raise Conflict(ConsentReason.REQUEST_EXPIRES_TOO_LATE)
    if message.custodian != grant.custodian:
        raise Conflict(ConsentReason.WRONG_CUSTODIAN, consent=message.grant)
    request = access_id(signed)
    seen = state.SEEN_REQUESTS.get(store, (message.expires_at, request))
    if seen is not None:
        raise Conflict(ConsentReason.ALREADY_REQUESTED, access=seen.access)
    _require_permit(context, message)

    # CHANGE
    number = _next_access(context)
    access = Access(
        request=request,
        grant=message.grant,
        custodian=message.custodian,
        record_set=message.record_set,
        purpose=message.purpose,
        categories=message.categories,
        notice_digest=message.notice_digest,
        expires_at=message.expires_at,
        submitter=context.organisation,
        requested_at=context.block_time,
        height=context.height,
    )
    state.ACCESSES.put(store, number, access)
    state.SEEN_REQUESTS.put(store, (message.expires_at, request), state.SeenRequest(access=number))

    # EVENT
    context.emit(
        ReadRequested(
            access=number,
            request=request,
            grant=message.grant,
            grantor=grant.grantor,
            custodian=message.custodian,
            record_set=message.record_set,
            purpose=message.purpose,
            notice_digest=message.notice_digest,
            expires_at=message.expires_at,
        )
    )


def anchor_accesses(context: Context, message: AnchorAccesses) -> None:
    """Commit to the next batch of the signer's organisation's local access audit.

    Args:
        context: Signer, block time in UTC seconds, store.
        message: Root and numbers of the batch.

    Source: architecture.md "Patients": reads of own records wait for a durable local append, anchored in batches.
    Refuses: Forbidden(NOT_A_MEMBER), Malformed(WRONG_COUNT), Conflict(ANCHOR_GAP).
    """
    # AUTHORITY
    _require_member(context)

    # PRECONDITIONS
    if message.count != message.last - message.first + 1:
        raise Malformed(ConsentReason.WRONG_COUNT)
    newest = state.ANCHORS.get(context.store, context.organisation)
    if message.first != (1 if newest is None else newest.last + 1):
        raise Conflict(ConsentReason.ANCHOR_GAP, organisation=context.organisation)

    # CHANGE
    anchor = Anchor(root=message.root, first=message.first, last=message.last, anchored_at=context.block_time)
    state.ANCHORS.put(context.store, context.organisation, anchor)

    # EVENT
    context.emit(
        AccessesAnchored(custodian=context.organisation, root=message.root, first=message.first, last=message.last)
    )


# Who may


def _grantor(context: Context, named: bytes | UnsetType) -> tuple[bytes, bytes]:
    """Return the grantor for whom the signer speaks, and its custodian."""
    grantor = context.actor if named is UNSET else named
    actor = identity.actor(context.store, grantor)
    if actor is None:
        raise NotFound(ConsentReason.NO_SUCH_GRANTOR, grantor=grantor)
    if actor.kind is not ActorKind.PATIENT:
        raise Forbidden(ConsentReason.NOT_A_PATIENT, grantor=grantor)
    _require_speaks_for(context, grantor)
    if actor.status is ActorStatus.CLOSED:
        raise Conflict(ConsentReason.GRANTOR_CLOSED, grantor=grantor)
    return grantor, actor.organisation


def _require_speaks_for(context: Context, grantor: bytes) -> None:
    """Refuse a signer that is neither the grantor nor, where the institution keeps the grantor's key, its custodian."""
    if context.actor == grantor:
        return
    actor = identity.actor(context.store, grantor)
    if actor is None or actor.custody is not Custody.INSTITUTION:
        raise Forbidden(ConsentReason.NOT_THE_GRANTOR, grantor=grantor)
    identity.require_acts_for(context, actor.organisation, ConsentReason.NOT_THE_GRANTOR)


def _require_member(context: Context) -> None:
    """Refuse a signer that is not an active member organisation or its active staff."""
    identity.require_acts_for(context, context.organisation, ConsentReason.NOT_A_MEMBER)
    if not consortium.is_active(context.store, context.organisation):
        raise Forbidden(ConsentReason.NOT_A_MEMBER, organisation=context.organisation)


def _own(context: Context, named: bytes, grantor: bytes, kind: Kind) -> Consent:
    """Return a consent of the grantor's own and of the asked kind."""
    consent = queries.consent(context.store, named)
    if consent.grantor != grantor:
        raise Forbidden(ConsentReason.NOT_THE_GRANTOR, consent=named)
    if not isinstance(consent.terms, kind):
        raise Conflict(ConsentReason.OTHER_KIND, consent=named)
    return consent


# What must hold


def _previous(context: Context, named: bytes | UnsetType, grantor: bytes, kind: Kind) -> Consent | None:
    """Return the consent that a new one replaces: the grantor's own, of this kind, the newest of its chain."""
    if named is UNSET:
        return None
    previous = _own(context, named, grantor, kind)
    _require_active(named, previous)
    return previous


def _require_active(named: bytes, consent: Consent) -> None:
    if consent.status is ConsentStatus.WITHDRAWN:
        raise Conflict(ConsentReason.ALREADY_WITHDRAWN, consent=named)
    if consent.status is ConsentStatus.REPLACED:
        raise Conflict(ConsentReason.ALREADY_REPLACED, consent=named)


def _require_ascending(members: Sequence[Ordered]) -> None:
    """Refuse a list that is not sorted or repeats a member."""
    if any(left >= right for left, right in pairwise(members)):
        raise Malformed(ConsentReason.NOT_SORTED)


def _require_period(context: Context, valid_from: int, valid_until: int) -> None:
    if valid_until <= valid_from:
        raise Malformed(ConsentReason.EMPTY_PERIOD)
    if valid_until <= context.block_time:
        raise Conflict(ConsentReason.PERIOD_OVER)
    if valid_until - valid_from > consortium.parameter(context.store, "consent_period_seconds_max"):
        raise LimitExceeded(ConsentReason.PERIOD_TOO_LONG)


def _require_permit(context: Context, message: RequestRead) -> None:
    """Refuse what the agreed grants and denials do not permit now."""
    decision = queries.decide(
        context.store,
        grant=message.grant,
        purpose=message.purpose,
        categories=message.categories,
        time=context.block_time,
    )
    if decision.reason is not UNSET:
        raise decision.reason.kind(decision.reason, consent=message.grant)
    assert decision.permit


# What changes


def _give(
    context: Context,
    new: bytes,
    message: GrantConsent | DenyAccess,
    *,
    grantor: bytes,
    custodian: bytes,
    terms: Grant | Denial,
    previous: Consent | None,
) -> None:
    """Write a new consent and end the one it replaces."""
    if previous is not None:
        assert message.previous is not UNSET
        ended = replace(previous, status=ConsentStatus.REPLACED, ended_at=context.block_time, replaced_by=new)
        _end(context, message.previous, ended)
    consent = Consent(
        grantor=grantor,
        custodian=custodian,
        terms=terms,
        valid_from=message.valid_from,
        valid_until=message.valid_until,
        given_at=context.block_time,
        previous=message.previous,
    )
    state.CONSENTS.put(context.store, new, consent)


def _end(context: Context, named: bytes, ended: Consent) -> None:
    """Write an ended consent; a denial is listed no more."""
    state.CONSENTS.put(context.store, named, ended)
    if isinstance(ended.terms, Denial):
        scope = state.scope_of(ended.terms)
        listed = state.DENIALS.get(context.store, (ended.grantor, scope))
        if listed is not None and listed.consent == named:  # else its period was over and another took its place
            state.DENIALS.delete(context.store, (ended.grantor, scope))
            _count_denials(context, ended.grantor, scope, -1)


def _list_denial(context: Context, new: bytes, message: DenyAccess, *, grantor: bytes, scope: state.Scope) -> None:
    """Let the new denial count for its scope."""
    if not state.DENIALS.has(context.store, (grantor, scope)):
        _count_denials(context, grantor, scope, 1)
    listed = state.ListedDenial(consent=new, valid_from=message.valid_from, valid_until=message.valid_until)
    state.DENIALS.put(context.store, (grantor, scope), listed)


def _count_denials(context: Context, grantor: bytes, scope: state.Scope, change: int) -> None:
    """Count a grantor's listed denials of this kind of scope up or down; no row stands for none."""
    counted = state.DENIAL_COUNTS.get(context.store, grantor) or state.DenialCount()
    if scope == state.EVERYTHING:
        counted = replace(counted, everything=counted.everything + change)
    elif scope.startswith(state.OF_GRANT):
        counted = replace(counted, grants=counted.grants + change)
    else:
        counted = replace(counted, categories=counted.categories + change)
    if counted == state.DenialCount():
        state.DENIAL_COUNTS.delete(context.store, grantor)
    else:
        state.DENIAL_COUNTS.put(context.store, grantor, counted)


def _next_access(context: Context) -> int:
    """Count one access up, and forget a few requests that expiry refuses anyway, oldest number first."""
    store = context.store
    counter = state.ACCESS_COUNTERS.get(store, state.THE_COUNTER) or state.AccessCounter()
    forgotten = counter.forgotten
    while forgotten < min(counter.last, counter.forgotten + REQUESTS_FORGOTTEN_PER_READ):
        oldest = queries.access(store, forgotten + 1)
        if oldest.expires_at >= context.block_time:
            break
        state.SEEN_REQUESTS.delete(store, (oldest.expires_at, oldest.request))
        forgotten += 1
    counter = state.AccessCounter(last=counter.last + 1, forgotten=forgotten)
    state.ACCESS_COUNTERS.put(store, state.THE_COUNTER, counter)
    return counter.last


HANDLERS: Final[Mapping[type[Message], Handler]] = {
    GrantConsent: grant_consent,
    DenyAccess: deny_access,
    WithdrawConsent: withdraw_consent,
    RequestRead: request_read,
    AnchorAccesses: anchor_accesses,
}
