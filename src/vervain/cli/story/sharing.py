# SPDX-License-Identifier: Apache-2.0
"""A reader's side of sharing: fresh keys for one grant, the signed request on the ledger, the release, the document."""

from collections.abc import Sequence

import msgspec

from vervain.cli.story.cast import YEAR_SECONDS, Cast
from vervain.engines.engine import FinalOutcome
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent.messages import Purpose, ReadRequested, RequestRead
from vervain.ledger.modules.identity import queries as identity
from vervain.sdk.wallet import Wallet
from vervain.sdk.wallet_file import GivenGrant
from vervain.sealing.derivation import category_commitment
from vervain.sealing.documents import open_document
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.notices import Notice, notice_digest, seal_notice
from vervain.sealing.read_requests import RecordSet, build_read_request, new_record_set
from vervain.sealing.readers import claim_reader
from vervain.sealing.wraps import WrapContext, unwrap
from vervain.vault.release import ReleaseRequest

REQUEST_SECONDS = 600


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's fresh keys for one grant, and the grant."""

    organisation: str
    signing: SigningKey
    kem: KemKey
    given: GivenGrant
    custodian: str
    category_secret: bytes


class ReadDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader got: the record's number and the document's bytes, checked against the commitment."""

    record: int
    resource_type: str
    stored: bytes


def share(
    cast: Cast,
    wallet: Wallet,
    *,
    custodian: str,
    reader: str,
    purpose: Purpose,
    categories: Sequence[str] = (),
) -> tuple[Reader, FinalOutcome]:
    """Let a patient grant a reader organisation, within purpose and categories; return the reader with its grant."""
    signing, kem = SigningKey.generate(), KemKey.generate()
    at, to = cast.members[custodian], cast.members[reader]
    grantor = wallet.relationship(at).actor
    claim = claim_reader(
        cast.desk(reader).signing,
        organisation=to,
        reader=signing.public_key,
        reader_kem=kem.public_key,
        grantor=grantor,
        chain=cast.node.chain,
    )
    with cast.node.view() as state:
        organisation_key = identity.require_actor(Store(state), to).key
    prepared = wallet.grant(
        at,
        claim,
        organisation_key=organisation_key,
        purposes=[purpose],
        valid_from=cast.now - 5,
        valid_until=cast.now + YEAR_SECONDS,
        categories=categories,
    )
    signed = wallet.sign(at, [prepared.message], now=cast.now)
    outcome = cast.desk(custodian).submit(signed.encoded)
    given = wallet.granted(prepared, txid=signed.txid)
    return Reader(
        organisation=reader,
        signing=signing,
        kem=kem,
        given=given,
        custodian=custodian,
        category_secret=wallet.category_secret(at),
    ), outcome


def read(
    cast: Cast, reader: Reader, records: Sequence[int], *, purpose: Purpose, patient_kem: bytes
) -> tuple[list[ReadDocument], FinalOutcome, bytes]:
    """Ask for records under a grant, wait until that is final, get the keys, open the documents.

    Returns: The documents, the outcome of the request, the notice sealed to the patient.

    Raises: NotApplied when the ledger refuses, NotReleased when the custodian does.
    """
    request, notice, opened = request_of(cast, reader, records, purpose=purpose, patient_kem=patient_kem)
    outcome = cast.desk(reader.organisation).send(request)
    (event,) = outcome.events
    assert isinstance(event, ReadRequested)
    desk = cast.desk(reader.custodian)
    released = desk.release(ReleaseRequest(request=request, access=event.access, record_set=opened))
    documents = []
    for wrapped in released.wraps:
        kept = desk.vault.of_record(wrapped.record)
        context = WrapContext(
            purpose="grant",
            commitment=wrapped.commitment,
            recipient=reader.kem.public_key,
            chain=cast.node.chain,
            scope=reader.given.consent,
            epoch=0,
        )
        stored = open_document(
            desk.vault.ciphertext(kept.document),
            commitment=wrapped.commitment,
            key=unwrap(wrapped.wrap, reader.kem, context),
            resource_type=kept.resource_type,
            resource_id=kept.resource_id,
            version=kept.version,
        )
        documents.append(ReadDocument(record=wrapped.record, resource_type=kept.resource_type, stored=stored))
    return documents, outcome, notice


def request_of(
    cast: Cast, reader: Reader, records: Sequence[int], *, purpose: Purpose, patient_kem: bytes
) -> tuple[RequestRead, bytes, RecordSet]:
    """Return the signed request, the notice sealed to the patient, and the record set's opening."""
    record_set = new_record_set(records)
    notice = seal_notice(
        Notice(
            organisation=cast.members[reader.organisation],
            reader=reader.signing.public_key,
            custodian=cast.members[reader.custodian],
            records=record_set.records,
            purpose=purpose,
            requested_at=cast.now,
        ),
        recipient=patient_kem,
        chain=cast.node.chain,
        grant=reader.given.consent,
    )
    request = build_read_request(
        chain=cast.node.chain,
        grant=reader.given.consent,
        custodian=cast.members[reader.custodian],
        record_set=record_set,
        purpose=purpose,
        notice_digest=notice_digest(notice),
        expires_at=cast.now + REQUEST_SECONDS,
        reader=reader.signing,
        categories=[category_commitment(reader.category_secret, code) for code in reader.given.categories],
    )
    return request, notice, record_set
