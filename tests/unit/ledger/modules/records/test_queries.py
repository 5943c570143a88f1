# SPDX-License-Identifier: Apache-2.0
"""Questions about records: their answers, pages and refusals, over their canonical bytes."""

import msgspec
import pytest

from tests.unit.ledger.modules.ward import NORTH, SHE, Ward, digest
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.refusals import NotFound
from vervain.ledger.modules.records import queries
from vervain.ledger.modules.records.messages import CommitRecord, MarkWrongPatient, RecordsReason, SupersedeRecord
from vervain.ledger.modules.records.queries import (
    Newest,
    NewestArguments,
    RecordAnswer,
    RecordArguments,
    Version,
    Versions,
    VersionsArguments,
)
from vervain.ledger.primitives.codec import NotCanonical, decode, encode


@pytest.fixture
def ward() -> Ward:
    """A founded ledger with a document of five versions, and one document between them."""
    ward = Ward()
    form = CommitRecord(subject=ward.id(SHE), commitment=digest("version 1"))
    ward.run(NORTH, form)
    ward.run(NORTH, SupersedeRecord(record=1, commitment=digest("version 2")))
    ward.run(NORTH, form)
    for number in (2, 4, 5):
        ward.run(NORTH, SupersedeRecord(record=number, commitment=digest("version", str(number))))
    return ward


def ask(ward: Ward, name: str, arguments: msgspec.Struct) -> msgspec.Struct:
    """Ask by name, with the arguments through their canonical bytes; the answer must be encodable."""
    query = CATALOGUE.queries[name]
    answer = query.answer(ward.store, decode(encode(arguments), query.arguments))
    assert decode(encode(answer), type(answer)) == answer
    return answer


def versions(ward: Ward, *numbers: int) -> tuple[Version, ...]:
    """Return these rows with their numbers."""
    return tuple(Version(number=number, record=queries.require_record(ward.store, number)) for number in numbers)


def test_record_says_whether_grants_open_it(ward: Ward) -> None:
    """Given a record, when it is marked as another patient's, then no grant opens it any more."""
    kept = queries.require_record(ward.store, 3)
    answer = ask(ward, "records.record", RecordArguments(record=3))
    assert answer == RecordAnswer(record=kept, opened_by_grants=True)
    ward.run(NORTH, MarkWrongPatient(record=3))
    marked = queries.require_record(ward.store, 3)
    answer = ask(ward, "records.record", RecordArguments(record=3))
    assert answer == RecordAnswer(record=marked, opened_by_grants=False)


def test_versions_come_in_pages_both_ways(ward: Ward) -> None:
    """Given five versions, when pages of two are asked for from either end, then they follow the chain."""
    older = [ask(ward, "records.version_chain", VersionsArguments(record=at, count=2)) for at in (6, 4, 1)]
    assert older == [
        Versions(versions=versions(ward, 6, 5), next=4),
        Versions(versions=versions(ward, 4, 2), next=1),
        Versions(versions=versions(ward, 1)),
    ]
    newer = ask(ward, "records.version_chain", VersionsArguments(record=1, count=100, newer=True))
    assert newer == Versions(versions=versions(ward, 1, 2, 4, 5, 6))


@pytest.mark.parametrize("count", [0, 1_001])
def test_page_refused_beyond_its_maximum(ward: Ward, count: int) -> None:
    """Given a page of none or of more than a thousand, when it is asked for, then it is not of the agreed form."""
    with pytest.raises(NotCanonical):
        ask(ward, "records.version_chain", VersionsArguments(record=1, count=count))


@pytest.mark.parametrize("name", ["records.record", "records.version_chain"])
def test_refused_when_there_is_no_such_record(ward: Ward, name: str) -> None:
    """Given six records, when number 7 is asked for, then NO_SUCH_RECORD."""
    arguments = RecordArguments(record=7) if name == "records.record" else VersionsArguments(record=7, count=1)
    with pytest.raises(NotFound) as refused:
        ask(ward, name, arguments)
    assert refused.value.reason is RecordsReason.NO_SUCH_RECORD


def test_newest_is_the_number_of_the_last_record(ward: Ward) -> None:
    """Given six records, when the newest is asked for, then 6; on a new ledger 0."""
    assert ask(ward, "records.newest", NewestArguments()) == Newest(record=6)
    assert ask(Ward(), "records.newest", NewestArguments()) == Newest(record=0)
