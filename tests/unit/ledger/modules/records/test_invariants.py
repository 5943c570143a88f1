# SPDX-License-Identifier: Apache-2.0
"""Each invariant of records finds the breach that is planted for it."""

from collections.abc import Callable

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.unit.ledger.modules.ward import NORTH, OTHER, SHE, Ward, digest
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.records import invariants, queries, state
from vervain.ledger.modules.records.messages import (
    CommitRecord,
    DisputeRecord,
    EraseRecord,
    Link,
    LinkKind,
    MarkWrongPatient,
    SupersedeRecord,
)
from vervain.ledger.modules.records.state import Dispute, DisputeStatus, RecordStatus


@pytest.fixture
def ward() -> Ward:
    """A ledger with versions 1 and 2, a marked record 3, an erased record 4 and a disputed record 5 that links 1."""
    ward = Ward()
    form = CommitRecord(subject=ward.id(SHE), commitment=digest("commitment"))
    ward.run(NORTH, form)
    ward.run(NORTH, SupersedeRecord(record=1, commitment=digest("second")))
    ward.run(NORTH, form, form)
    ward.run(NORTH, replace(form, links=(Link(kind=LinkKind.PART_OF, record=1),)))
    ward.run(NORTH, MarkWrongPatient(record=3))
    ward.run(NORTH, EraseRecord(record=4, certificate_digest=digest("certificate")))
    ward.run(SHE, DisputeRecord(record=5))
    assert ward.breaches() == []
    return ward


def change(ward: Ward, number: int, **changes: object) -> None:
    """Overwrite fields of a record behind the rules' back."""
    state.RECORDS.put(ward.store, number, replace(queries.require_record(ward.store, number), **changes))


Breach = Callable[[Ward], None]
Invariant = Callable[[Store], list[str]]
PLANTED: list[tuple[Invariant, Breach]] = [
    (invariants.record_numbers_have_no_gaps, lambda ward: state.RECORDS.delete(ward.store, 3)),
    (
        invariants.record_numbers_have_no_gaps,
        lambda ward: state.RECORDS.put(ward.store, 6, queries.require_record(ward.store, 5)),
    ),
    (invariants.version_chains_are_linear, lambda ward: change(ward, 3, previous=1)),
    (invariants.version_chains_are_linear, lambda ward: change(ward, 1, superseded_by=5)),
    (invariants.version_chains_are_linear, lambda ward: change(ward, 1, superseded_by=UNSET)),
    (invariants.version_chains_are_linear, lambda ward: change(ward, 1, status=RecordStatus.CURRENT)),
    (invariants.version_chains_are_linear, lambda ward: change(ward, 2, subject=ward.id(OTHER))),
    (invariants.version_chains_are_linear, lambda ward: change(ward, 1, previous=2, status=RecordStatus.SUPERSEDED)),
    (invariants.subjects_belong_to_their_custodian, lambda ward: change(ward, 3, subject=ward.id(OTHER))),
    (invariants.links_stay_within_a_subject, lambda ward: change(ward, 1, subject=ward.id(OTHER))),
    (
        invariants.links_stay_within_a_subject,
        lambda ward: change(ward, 1, links=(Link(kind=LinkKind.PART_OF, record=1),)),
    ),
    (invariants.tombstones_carry_their_certificate, lambda ward: change(ward, 4, certificate_digest=UNSET)),
    (invariants.tombstones_carry_their_certificate, lambda ward: change(ward, 4, status=RecordStatus.CURRENT)),
    (invariants.tombstones_carry_their_certificate, lambda ward: change(ward, 3, marked_at=UNSET)),
    (
        invariants.disputes_fit_their_record,
        lambda ward: change(ward, 5, dispute=Dispute(status=DisputeStatus.UPHELD, disputed_at=ward.time)),
    ),
    (
        invariants.disputes_fit_their_record,
        lambda ward: change(ward, 5, status=RecordStatus.ERASED, erased_at=1, certificate_digest=bytes(32)),
    ),
    (
        invariants.disputes_fit_their_record,
        lambda ward: change(ward, 5, dispute=Dispute(status=DisputeStatus.OPEN, disputed_at=ward.time - 1)),
    ),
    (invariants.disputes_fit_their_record, lambda ward: change(ward, 5, subject=ward.id(NORTH))),
]


@pytest.mark.parametrize(
    ("invariant", "plant"), PLANTED, ids=[f"{number}-{row[0].__name__}" for number, row in enumerate(PLANTED)]
)
def test_invariant_finds_its_breach(ward: Ward, invariant: Invariant, plant: Breach) -> None:
    """Given a sound ledger, when one row is changed behind the rules' back, then the invariant tells."""
    assert invariant(ward.store) == []
    plant(ward)
    assert invariant(ward.store) != []


def test_every_invariant_has_its_breach() -> None:
    """Given the module's invariants, when the planted breaches are listed, then none is missing."""
    assert {row[0] for row in PLANTED} == set(invariants.INVARIANTS)
