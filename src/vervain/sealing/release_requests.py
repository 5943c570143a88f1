# SPDX-License-Identifier: Apache-2.0
"""What a reader sends to the custodian once its request is on the ledger: shown to that custodian alone.

Source: architecture.md "Patients" (a grant carries no decryption key; the notice of who read is sealed to the patient).
"""

from typing import Annotated

import msgspec

from vervain.ledger.modules.consent.messages import RequestRead
from vervain.ledger.primitives.codec import Positive
from vervain.sealing.notices import SealedNotice
from vervain.sealing.read_requests import RECORDS_MAX, RecordSet


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request for the keys of records.

    Attributes:
        request: The message as it entered the ledger.
        access: Its number there, from the outcome's event.
        record_set: The opening of the record set.
        notice: The notice sealed to the patient, whose digest stands in the request.
        among: Which records of the set are wanted now; all of them when empty. Nothing outside the set.
    """

    request: RequestRead
    access: Positive
    record_set: RecordSet
    notice: SealedNotice
    among: Annotated[tuple[Positive, ...], msgspec.Meta(max_length=RECORDS_MAX)] = ()
