# SPDX-License-Identifier: Apache-2.0
"""A reader's side of one grant: fresh keys, the claim, the signed request with its notice, the opened documents.

```
reader = Reader.fresh(chain=..., organisation=...)      keys that stand in this one grant and in no other
reader.claim(organisation_key, grantor=...)             the patient's wallet checks it and grants
asked = reader.ask(grant=..., records=..., ...)         `asked.message` goes on the ledger
asked.release_request(access)                           goes to the custodian
reader.open_all(hand_out, release_request)              the documents, each checked against its commitment
```
Source: architecture.md "Patients".
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self

import msgspec
from msgspec.structs import replace

from vervain.ledger.modules.consent.messages import Purpose, RequestRead
from vervain.sdk.client_errors import UnexpectedAnswer
from vervain.sdk.contract import ReleaseAnswer, ReleasedRecord
from vervain.sealing.documents import open_document
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.notices import Notice, notice_digest, seal_notice
from vervain.sealing.read_requests import RecordSet, build_read_request, new_record_set
from vervain.sealing.readers import ReaderClaim, claim_reader
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.wraps import WrapContext, unwrap

REQUEST_SECONDS: Final = 600  # how long a request may be shown to the custodian; 900 are the most


class ReadDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader got: the record's number and the document's bytes, checked against the commitment."""

    record: int
    resource_type: str
    stored: bytes

    def __repr__(self) -> str:
        return f"ReadDocument(record={self.record})"


class AskedRead(msgspec.Struct, frozen=True, kw_only=True):
    """A signed request: the message for the ledger, and what is shown to the custodian alone."""

    message: RequestRead
    record_set: RecordSet
    notice: bytes

    def release_request(self, access: int) -> ReleaseRequest:
        """Return what the custodian gets once the ledger has given the request its access number."""
        return ReleaseRequest(request=self.message, access=access, record_set=self.record_set, notice=self.notice)


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's keys for one grant.

    Attributes:
        chain: The chain's name and founding digest.
        organisation: 32-byte id of who reads.
        signing, kem: Named in the grant, and nowhere else.
    """

    chain: str
    organisation: bytes
    signing: SigningKey
    kem: KemKey

    @classmethod
    def fresh(cls, *, chain: str, organisation: bytes) -> Self:
        """Return a reader with new keys."""
        return cls(chain=chain, organisation=organisation, signing=SigningKey.generate(), kem=KemKey.generate())

    def claim(self, organisation_key: SigningKey, *, grantor: bytes) -> ReaderClaim:
        """Sign, as the organisation, that these keys are its own for one patient's 32-byte pseudonym."""
        return claim_reader(
            organisation_key,
            organisation=self.organisation,
            reader=self.signing.public_key,
            reader_kem=self.kem.public_key,
            grantor=grantor,
            chain=self.chain,
        )

    def ask(
        self,
        *,
        grant: bytes,
        custodian: bytes,
        records: Sequence[int],
        purpose: Purpose,
        patient_kem: bytes,
        now: int,
        categories: Sequence[bytes] = (),
    ) -> AskedRead:
        """Sign a request for records, with a notice sealed to the patient.

        Args:
            grant: 32-byte consent id.
            custodian: 32-byte id of who keeps the records.
            records: Their numbers.
            purpose: One of the grant's.
            patient_kem: 32-byte X25519 key that the ledger has for the patient.
            now: UTC seconds.
            categories: 32-byte category commitments, when the grant or a denial limits categories.

        Raises: SealingError, NotCanonical when a value is outside its limits.
        """
        record_set = new_record_set(records)
        told_patient = Notice(
            organisation=self.organisation,
            reader=self.signing.public_key,
            custodian=custodian,
            records=record_set.records,
            purpose=purpose,
            requested_at=now,
        )
        notice = seal_notice(told_patient, recipient=patient_kem, chain=self.chain, grant=grant)
        message = build_read_request(
            chain=self.chain,
            grant=grant,
            custodian=custodian,
            record_set=record_set,
            purpose=purpose,
            notice_digest=notice_digest(notice),
            expires_at=now + REQUEST_SECONDS,
            reader=self.signing,
            categories=categories,
        )
        return AskedRead(message=message, record_set=record_set, notice=notice)

    def open_all(
        self, hand_out: Callable[[ReleaseRequest], ReleaseAnswer], asked: ReleaseRequest
    ) -> Iterator[ReadDocument]:
        """Yield every document that is released, asking again while some did not fit in one answer.

        Args:
            hand_out: Sends a request to the custodian, e.g. by `Client.release`.
            asked: Of this reader.

        Raises: SealBroken, UnexpectedAnswer, whatever `hand_out` raises.
        """
        wanted = asked.among or asked.record_set.records
        while wanted:
            answer = hand_out(asked)
            numbers = [each.record for each in answer.records]
            if (
                not numbers
                or not set(numbers) | set(answer.left_out) <= set(wanted)
                or set(numbers) & set(answer.left_out)
            ):
                raise UnexpectedAnswer(
                    "The custodian released other records than were asked for",
                    why="Its answer does not fit the request",
                    do="Do not rely on it; ask the custodian.",
                )
            for released in answer.records:
                yield self.open(released, grant=asked.request.grant)
            wanted = answer.left_out
            asked = replace(asked, among=wanted)

    def open(self, released: ReleasedRecord, *, grant: bytes) -> ReadDocument:
        """Return one released document, checked against its commitment. The commitment's place is on the ledger.

        Raises: SealBroken.
        """
        context = WrapContext(
            purpose="grant",
            commitment=released.commitment,
            recipient=self.kem.public_key,
            chain=self.chain,
            scope=grant,
            epoch=0,
        )
        stored = open_document(
            released.ciphertext,
            commitment=released.commitment,
            key=unwrap(released.wrap, self.kem, context),
            resource_type=released.type,
            resource_id=released.id,
            version=released.version,
        )
        return ReadDocument(record=released.record, resource_type=released.type, stored=stored)
