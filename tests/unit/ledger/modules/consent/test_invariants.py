# SPDX-License-Identifier: Apache-2.0
"""Each invariant of consent finds the breach that is planted for it."""

from collections.abc import Callable

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.unit.ledger.modules.consent.forms import PSY, denial_form, give, grant_form, request_form
from tests.unit.ledger.modules.ward import NORTH, SHE, SOUTH, Ward, digest
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent import invariants, queries, state
from vervain.ledger.modules.consent.messages import AnchorAccesses, Decision, Purpose, WithdrawConsent
from vervain.ledger.modules.consent.state import ConsentStatus

Ids = dict[str, bytes]


@pytest.fixture
def told() -> tuple[Ward, Ids]:
    """A ledger with a chain of two grants, a withdrawn grant, three denials, two reads and an anchor."""
    ward = Ward()
    old = give(ward, grant_form("old"))
    new = give(ward, grant_form("new", previous=old))
    withdrawn = give(ward, grant_form("withdrawn"))
    ward.run(SHE, WithdrawConsent(consent=withdrawn))
    read = request_form(ward, new, "new")
    ward.run(SOUTH, read)
    ward.run(SOUTH, request_form(ward, new, "new", nonce=bytes(16)))
    category = give(ward, denial_form(category=PSY))
    everything = give(ward, denial_form())
    given = give(ward, denial_form(grant=new))
    ward.run(NORTH, AnchorAccesses(root=digest("root"), count=2, first=1, last=2))
    assert ward.breaches() == []
    ids = {"old": old, "new": new, "withdrawn": withdrawn, "category": category, "everything": everything}
    return ward, ids | {"grant denial": given, "she": ward.id(SHE), "north": ward.id(NORTH)}


def change(store: Store, consent: bytes, **changes: object) -> None:
    """Overwrite fields of a consent behind the rules' back."""
    state.CONSENTS.put(store, consent, replace(queries.consent(store, consent), **changes))


def change_access(store: Store, number: int, **changes: object) -> None:
    """Overwrite fields of an access behind the rules' back."""
    state.ACCESSES.put(store, number, replace(queries.access(store, number), **changes))


Breach = Callable[[Store, Ids], None]
Invariant = Callable[[Store], list[str]]
PLANTED: list[tuple[Invariant, Breach]] = [
    (
        invariants.listed_denials_are_active_denials,
        lambda store, ids: change(store, ids["category"], status=ConsentStatus.WITHDRAWN, ended_at=1),
    ),
    (
        invariants.listed_denials_are_active_denials,
        lambda store, ids: change(store, ids["everything"], valid_until=2**40),
    ),
    (
        invariants.listed_denials_are_active_denials,
        lambda store, ids: change(store, ids["everything"], grantor=ids["north"]),
    ),
    (
        invariants.active_denials_are_listed,
        lambda store, ids: state.DENIALS.delete(store, (ids["she"], state.EVERYTHING)),
    ),
    (
        invariants.denial_counts_are_exact,
        lambda store, ids: state.DENIAL_COUNTS.delete(store, ids["she"]),
    ),
    (
        invariants.denial_counts_are_exact,
        lambda store, ids: state.DENIAL_COUNTS.put(store, ids["north"], state.DenialCount()),
    ),
    (
        invariants.reader_keys_belong_to_one_grant,
        lambda store, ids: state.READER_KEYS.put(store, digest("key"), state.ReaderKey(consent=ids["old"])),
    ),
    (
        invariants.reader_keys_belong_to_one_grant,
        lambda store, ids: change(store, ids["old"], terms=queries.consent(store, ids["new"]).terms),
    ),
    (
        invariants.chains_of_consents_are_linear,
        lambda store, ids: change(store, ids["withdrawn"], previous=ids["old"]),
    ),
    (
        invariants.chains_of_consents_are_linear,
        lambda store, ids: change(store, ids["old"], status=ConsentStatus.ACTIVE),
    ),
    (
        invariants.chains_of_consents_are_linear,
        lambda store, ids: change(store, ids["new"], previous=UNSET),
    ),
    (
        invariants.chains_of_consents_are_linear,
        lambda store, ids: change(store, ids["withdrawn"], ended_at=UNSET),
    ),
    (
        invariants.access_numbers_have_no_gaps,
        lambda store, ids: state.ACCESSES.delete(store, 1),
    ),
    (
        invariants.access_numbers_have_no_gaps,
        lambda store, ids: state.ACCESSES.delete(store, 2),
    ),
    (
        invariants.access_numbers_have_no_gaps,
        lambda store, ids: change_access(store, 1, grant=ids["category"]),
    ),
    (
        invariants.seen_requests_are_those_not_forgotten,
        lambda store, ids: change_access(store, 1, request=digest("another")),
    ),
    (
        invariants.anchors_span_their_numbers,
        lambda store, ids: state.ANCHORS.put(
            store, ids["north"], state.Anchor(root=digest("root"), first=3, last=2, anchored_at=1)
        ),
    ),
]


@pytest.mark.parametrize(
    ("invariant", "plant"), PLANTED, ids=[f"{number}-{row[0].__name__}" for number, row in enumerate(PLANTED)]
)
def test_invariant_finds_its_breach(told: tuple[Ward, Ids], invariant: Invariant, plant: Breach) -> None:
    """Given a sound ledger, when one row is changed behind the rules' back, then the invariant tells."""
    ward, ids = told
    assert invariant(ward.store) == []
    plant(ward.store, ids)
    assert invariant(ward.store) != []


def test_listed_rights_are_compared_with_decisions(told: tuple[Ward, Ids], monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a decision that forgets to look at the status, when invariants run, then a live right unseen is told."""
    ward, ids = told
    monkeypatch.setattr(queries, "decide", lambda *_, grant, **__: Decision(permit=True, consent=grant))
    told_breaches = invariants.listed_rights_are_effective_rights(ward.store)
    assert any(ids["withdrawn"].hex() in breach for breach in told_breaches)
    assert any(ids["old"].hex() in breach for breach in told_breaches)
    assert any(f"permits {Purpose.HRESCH}" in breach and ids["new"].hex() in breach for breach in told_breaches)


def test_every_invariant_has_its_breach() -> None:
    """Given the module's invariants, when the planted breaches are listed, then none is missing."""
    planted = {row[0] for row in PLANTED} | {invariants.listed_rights_are_effective_rights}
    assert planted == set(invariants.INVARIANTS)
