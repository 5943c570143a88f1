# SPDX-License-Identifier: Apache-2.0
"""What can be read of records: one by number, the versions of a document, whether a grant opens it.

Who has which records is not asked here: an index by subject would cost a random write a commit. The read model knows.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.limits import QUERY_ROWS_MAX
from vervain.ledger.machine.module import Query
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.records import state
from vervain.ledger.modules.records.messages import RecordsReason
from vervain.ledger.modules.records.state import Record, RecordStatus
from vervain.ledger.primitives.codec import Natural, Positive

_OPENED_BY_GRANTS: Final = (RecordStatus.CURRENT, RecordStatus.SUPERSEDED)


def record(store: Store, number: int) -> Record | None:
    """Return a record by its number, or None."""
    return state.RECORDS.get(store, number)


def require_record(store: Store, number: int) -> Record:
    """Return a record by its number.

    Refuses: NotFound(NO_SUCH_RECORD).
    """
    return state.RECORDS.require(store, number, RecordsReason.NO_SUCH_RECORD)


def is_opened_by_grants(record: Record) -> bool:
    """Tell whether a grant can open this version: not one marked as another patient's, erased, or found wrong.

    Source: GDPR Art. 5(1)(d) and 16: a corrected version is for auditors only.
    """
    return record.status in _OPENED_BY_GRANTS


def newest_record(store: Store) -> int:
    """Return the number of the newest record; 0 when there is none."""
    return state.newest_number(store)


class RecordArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of `records.record`."""

    record: Positive


class RecordAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record, and whether a grant can open it."""

    record: Record
    opened_by_grants: bool


class VersionsArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is asked of `records.version_chain`: at most `count` versions from `record` on, to older or newer ones."""

    record: Positive
    count: Annotated[int, msgspec.Meta(ge=1, le=QUERY_ROWS_MAX)]
    newer: bool = False


class Version(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version and its number."""

    number: Positive
    record: Record


class Versions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Versions of one document in the order asked; `next` is where the next page starts, left out at the end."""

    versions: tuple[Version, ...]
    next: Positive | UnsetType = UNSET


class NewestArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of `records.newest`: nothing."""


class Newest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number of the newest record; 0 when there is none."""

    record: Natural


def version_chain(store: Store, number: int, *, count: int, newer: bool) -> Versions:
    """Return at most `count` versions of a document, starting with `number`.

    Refuses: NotFound(NO_SUCH_RECORD).
    """
    versions: list[Version] = []
    at: int | UnsetType = number
    while at is not UNSET and len(versions) < count:
        found = require_record(store, at)
        versions.append(Version(number=at, record=found))
        at = found.superseded_by if newer else found.previous
    return Versions(versions=tuple(versions), next=at)


def answer_record(store: Store, arguments: RecordArguments) -> RecordAnswer:
    """Answer `records.record`. Refuses: NotFound(NO_SUCH_RECORD)."""
    found = require_record(store, arguments.record)
    return RecordAnswer(record=found, opened_by_grants=is_opened_by_grants(found))


def answer_versions(store: Store, arguments: VersionsArguments) -> Versions:
    """Answer `records.version_chain`. Refuses: NotFound(NO_SUCH_RECORD)."""
    return version_chain(store, arguments.record, count=arguments.count, newer=arguments.newer)


def answer_newest(store: Store, _: NewestArguments) -> Newest:
    """Answer `records.newest`."""
    return Newest(record=newest_record(store))


QUERIES: Final = {
    "records.newest": Query(arguments=NewestArguments, answer=answer_newest, summary="Number of the newest record."),
    "records.record": Query(arguments=RecordArguments, answer=answer_record, summary="One record by its number."),
    "records.version_chain": Query(
        arguments=VersionsArguments, answer=answer_versions, summary="A page of the versions of one document."
    ),
}
