# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the records module, what it announces, why it refuses: the wire contract.

A message says nothing of size, type or time of care: they would link pseudonyms and betray conditions.

Sources: FHIR R4 Provenance and AuditEvent; GDPR Art. 16 and 17; architecture.md "Record commitment".
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import Conflict, Forbidden, LimitExceeded, Malformed, NotFound, Reason
from vervain.ledger.primitives.codec import Bytes32, Positive, UtcSeconds

LINKS_MAX: Final = 1_000  # what a message can carry at all; the parameter `records_links_max` is lower


class LinkKind(StrEnum):
    """How a new record stands to an older one of the same subject.

    Source: FHIR R4 Provenance.entity.role, Composition.relatesTo, DiagnosticReport.basedOn.
    """

    DERIVED_FROM = "derived_from"
    PART_OF = "part_of"
    REPLACES_EXTERNAL = "replaces_external"  # the own document takes the place of one that came from elsewhere
    REPLY_TO = "reply_to"


class Correction(StrEnum):
    """Why a version takes the place of another that was wrong. Source: FHIR R4 DiagnosticReport.status."""

    AMENDED = "amended"  # the content was changed after it was final
    ENTERED_IN_ERROR = "entered_in_error"  # the document should not exist; the new version says so
    DISPUTE_UPHELD = "dispute_upheld"  # the subject was right


class Verdict(StrEnum):
    """What the custodian found about a dispute. Source: GDPR Art. 16; HIPAA 45 CFR 164.526."""

    REJECTED = "rejected"
    UPHELD = "upheld"


class RecordsReason(Reason):
    """Why a records message or question is refused. Module number 6."""

    NO_SUCH_RECORD = 601, NotFound, "No record has this number.", "Check the number; the record may not be final yet."
    NO_SUCH_SUBJECT = 602, NotFound, "The subject is not registered.", "Register the patient's pseudonym first."
    NOT_THE_CUSTODIAN = (
        603,
        Forbidden,
        "The signer is not the custodian of this record or subject, nor its active staff.",
        "Let the custodian sign.",
    )
    NOT_THE_SUBJECT = (
        604,
        Forbidden,
        "The signer is neither the record's subject nor the institution that keeps the subject's key.",
        "Let the patient sign.",
    )
    AUTHOR_NOT_STAFF = 605, Forbidden, "The author is not active staff of the custodian.", "Name one who is, or none."
    SUBJECT_NOT_A_PATIENT = 606, Forbidden, "The subject is neither a patient nor the custodian.", "Check the subject."
    TOO_MANY_LINKS = 607, LimitExceeded, "The record has more links than the consortium allows.", "Name fewer links."
    LINKS_NOT_SORTED = 608, Malformed, "The links are not sorted or one is repeated.", "Sort them by kind and record."
    LINKED_ELSEWHERE = (
        609,
        Forbidden,
        "A linked record has another custodian or another subject.",
        "Link records of the same subject only: other links would join pseudonyms.",
    )
    NOT_CURRENT = 610, Conflict, "The record is no longer the current version.", "Name the current version."
    MARKED_WRONG_PATIENT = (
        611,
        Conflict,
        "The record is marked as another patient's.",
        "Commit it for the right patient.",
    )
    ERASED = 612, Conflict, "The record is erased.", "Commit a new one; an erased record does not come back."
    ALREADY_DISPUTED = 613, Conflict, "The record has an open dispute.", "Wait until it is settled."
    NOT_DISPUTED = 614, Conflict, "The record has no open dispute.", "Check the number."
    DISPUTE_OPEN = 615, Conflict, "The record has an open dispute.", "Settle it before erasing."
    DISPUTE_NOT_UPHELD = (
        616,
        Conflict,
        "No dispute about the record was upheld.",
        "Settle it first, or give another reason.",
    )


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """One older record that a new one stands to. Sorted by kind, then record."""

    kind: LinkKind
    record: Positive


Links = Annotated[tuple[Link, ...], msgspec.Meta(max_length=LINKS_MAX)]


class CommitRecord(Message, frozen=True, kw_only=True, tag="records.commit"):
    """Commit to one document of a subject at the signer's organisation.

    Attributes:
        subject: 32-byte pseudonym of the custodian's patient, or the custodian itself for its own documents.
        commitment: 32-byte salted record commitment.
        author: 32-byte staff actor; left out when the signer is the author.
        links: Sorted.
    """

    WORK: ClassVar[int] = 6

    subject: Bytes32
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    links: Links = ()

    def work_units(self) -> int:
        """Return this message's cost: each link is looked up."""
        return self.WORK + len(self.links)


class SupersedeRecord(Message, frozen=True, kw_only=True, tag="records.supersede"):
    """Commit to a new version of a document; the named one is no longer current.

    Attributes:
        record: Number of the current version.
        commitment, author, links: Of the new version, as in `records.commit`.
    """

    WORK: ClassVar[int] = 8

    record: Positive
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    links: Links = ()

    def work_units(self) -> int:
        """Return this message's cost: each link is looked up."""
        return self.WORK + len(self.links)


class CorrectRecord(Message, frozen=True, kw_only=True, tag="records.correct"):
    """Commit to the version that puts an error right; the named one stays for auditors.

    Attributes:
        record: Number of the current version, which is wrong.
        commitment, author: Of the new version, as in `records.commit`.
        correction: Why.
    """

    WORK: ClassVar[int] = 8

    record: Positive
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    correction: Correction


class MarkWrongPatient(Message, frozen=True, kw_only=True, tag="records.mark_wrong_patient"):
    """Say that a record is about somebody else: from now on nobody reads it through a grant.

    Attributes:
        record: Its number. Each version is marked by a message of its own.
    """

    WORK: ClassVar[int] = 4

    record: Positive


class DisputeRecord(Message, frozen=True, kw_only=True, tag="records.dispute"):
    """Say, as the subject, that a record is wrong. The custodian has to settle it.

    Attributes:
        record: Its number.
    """

    WORK: ClassVar[int] = 5

    record: Positive


class SettleDispute(Message, frozen=True, kw_only=True, tag="records.settle_dispute"):
    """Say, as the custodian, what came of a dispute.

    Attributes:
        record: Its number.
        verdict: Upheld (a correction follows) or rejected.
    """

    WORK: ClassVar[int] = 4

    record: Positive
    verdict: Verdict


class EraseRecord(Message, frozen=True, kw_only=True, tag="records.erase"):
    """Say that a record's content and salt are destroyed. The commitment stays and hides.

    Attributes:
        record: Its number.
        certificate_digest: 32-byte digest of the signed erasure certificate.
    """

    WORK: ClassVar[int] = 4

    record: Positive
    certificate_digest: Bytes32


class RecordCommitted(Event, frozen=True, kw_only=True, tag="records.committed"):
    """A document is committed to. No author stands for the custodian itself."""

    record: Positive
    subject: Bytes32
    custodian: Bytes32
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    links: Links = ()


class RecordSuperseded(Event, frozen=True, kw_only=True, tag="records.superseded"):
    """`record` is the new current version after `previous`."""

    record: Positive
    previous: Positive
    subject: Bytes32
    custodian: Bytes32
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    links: Links = ()


class RecordCorrected(Event, frozen=True, kw_only=True, tag="records.corrected"):
    """`record` is the new current version; `previous` was wrong."""

    record: Positive
    previous: Positive
    subject: Bytes32
    custodian: Bytes32
    commitment: Bytes32
    author: Bytes32 | UnsetType = UNSET
    correction: Correction


class RecordMarkedWrongPatient(Event, frozen=True, kw_only=True, tag="records.marked_wrong_patient"):
    """A record is about somebody else than its subject."""

    record: Positive
    subject: Bytes32
    custodian: Bytes32


class RecordDisputed(Event, frozen=True, kw_only=True, tag="records.disputed"):
    """The subject says that a record is wrong."""

    record: Positive
    subject: Bytes32
    custodian: Bytes32
    disputed_at: UtcSeconds


class DisputeSettled(Event, frozen=True, kw_only=True, tag="records.dispute_settled"):
    """The custodian answered a dispute."""

    record: Positive
    subject: Bytes32
    custodian: Bytes32
    verdict: Verdict


class RecordErased(Event, frozen=True, kw_only=True, tag="records.erased"):
    """A record's content is destroyed; what remains is its tombstone."""

    record: Positive
    subject: Bytes32
    custodian: Bytes32
    certificate_digest: Bytes32


EVENTS: Final = (
    RecordCommitted,
    RecordSuperseded,
    RecordCorrected,
    RecordMarkedWrongPatient,
    RecordDisputed,
    DisputeSettled,
    RecordErased,
)
