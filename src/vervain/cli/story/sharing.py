# SPDX-License-Identifier: Apache-2.0
"""Sharing in the story: a patient grants, a reader's request becomes final, the custodian hands out, documents open."""

from collections.abc import Sequence
from functools import partial

import msgspec

from vervain.cli.story.cast import YEAR_SECONDS, Cast
from vervain.engines.engine import FinalOutcome
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent.messages import Purpose, ReadRequested
from vervain.ledger.modules.identity import queries as identity
from vervain.node.handing_out import release_answer
from vervain.sdk.reader import AskedRead, ReadDocument, Reader
from vervain.sdk.wallet import Wallet
from vervain.sdk.wallet_file import GivenGrant
from vervain.sealing.derivation import category_commitment


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation that a patient shares with: its keys for one grant, the grant, and at whom."""

    organisation: str
    reader: Reader
    given: GivenGrant
    custodian: str
    category_secret: bytes


def share(
    cast: Cast,
    wallet: Wallet,
    *,
    custodian: str,
    reader: str,
    purpose: Purpose,
    categories: Sequence[str] = (),
) -> tuple[Recipient, FinalOutcome]:
    """Let a patient grant a reader organisation, within purpose and categories; return it with its grant."""
    at, to = cast.members[custodian], cast.members[reader]
    keys = Reader.fresh(chain=cast.node.chain, organisation=to)
    claim = keys.claim(cast.desk(reader).signing, grantor=wallet.relationship(at).actor)
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
    recipient = Recipient(
        organisation=reader,
        reader=keys,
        given=wallet.granted(prepared, txid=signed.txid),
        custodian=custodian,
        category_secret=wallet.category_secret(at),
    )
    return recipient, outcome


def read(
    cast: Cast, recipient: Recipient, records: Sequence[int], *, purpose: Purpose, patient_kem: bytes
) -> tuple[list[ReadDocument], FinalOutcome, bytes]:
    """Ask for records under a grant, wait until that is final, get the keys, open the documents.

    Returns: The documents, the outcome of the request, the notice sealed to the patient.

    Raises: NotApplied when the ledger refuses, NotReleased when the custodian does.
    """
    asked = request_of(cast, recipient, records, purpose=purpose, patient_kem=patient_kem)
    outcome = cast.desk(recipient.organisation).send(asked.message)
    (event,) = outcome.events
    assert isinstance(event, ReadRequested)
    hand_out = partial(release_answer, cast.desk(recipient.custodian))
    documents = list(recipient.reader.open_all(hand_out, asked.release_request(event.access)))
    return documents, outcome, asked.notice


def request_of(
    cast: Cast, recipient: Recipient, records: Sequence[int], *, purpose: Purpose, patient_kem: bytes
) -> AskedRead:
    """Return the signed request, with the notice sealed to the patient and the record set's opening."""
    return recipient.reader.ask(
        grant=recipient.given.consent,
        custodian=cast.members[recipient.custodian],
        records=records,
        purpose=purpose,
        patient_kem=patient_kem,
        now=cast.now,
        categories=[category_commitment(recipient.category_secret, code) for code in recipient.given.categories],
    )
