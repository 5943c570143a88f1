# SPDX-License-Identifier: Apache-2.0
"""The documentation's examples: made from fixed keys by the code that makes the real things, so they never age."""

import json
from typing import Any, Final

from vervain.ledger.modules.consent.messages import Purpose, RequestRead
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.codec import encode
from vervain.sdk.contract import BulkAnswer, ReleaseAnswer, ReleasedRecord, TransactionAnswer
from vervain.sealing.keys import SigningKey
from vervain.sealing.notices import notice_digest
from vervain.sealing.read_requests import RecordSet
from vervain.sealing.release_requests import ReleaseRequest
from vervain.sealing.signing import build_transaction

CHAIN: Final = "example-000102030405060708090a0b0c0d0e0f"
_KEY: Final = SigningKey(bytes(range(32)))
_SIGNED: Final = build_transaction(
    [CommitRecord(subject=_KEY.actor, commitment=bytes(range(32)))],
    chain=CHAIN,
    actor=_KEY.actor,
    key=_KEY,
    expires_at=1_800_000_000,
    nonce=bytes(16),
    blind=bytes(32),
)


def _shown(value: object) -> Any:  # Any: JSON
    """Return a value as it stands in a JSON document."""
    return json.loads(encode(value))


TRANSACTION: Final[Any] = json.loads(_SIGNED.encoded)
TRANSACTION_LINES: Final = (_SIGNED.encoded + b"\n").decode()
TRANSACTION_ANSWER: Final = _shown(
    TransactionAnswer(
        txid=_SIGNED.txid, code=0, reason="APPLIED", text="Applied: durable and final.", height=7, leaf_index=12
    )
)
BULK_ANSWER_LINES: Final = (encode(BulkAnswer(code=0, txid=_SIGNED.txid, height=7, leaf_index=12)) + b"\n").decode()
RECEIPT: Final = "c2sp.org/tlog-proof@v1\nindex 12\n..."
CHECKPOINT: Final = f"{CHAIN}\n14\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— hospital ..."
_RECORD_SET: Final = RecordSet(records=(12, 13), salt=bytes(32))
_NOTICE: Final = b"a sealed notice, shortened"
RELEASE_REQUEST: Final = _shown(
    ReleaseRequest(
        request=RequestRead(
            grant=bytes(32),
            custodian=_KEY.actor,
            record_set=_RECORD_SET.digest(),
            purpose=Purpose.TREAT,
            notice_digest=notice_digest(_NOTICE),
            nonce=bytes(16),
            expires_at=1_800_000_000,
            signature=bytes(64),
        ),
        access=5,
        record_set=_RECORD_SET,
        notice=_NOTICE,
    )
)
RELEASE_ANSWER: Final = _shown(
    ReleaseAnswer(
        records=(
            ReleasedRecord(
                record=12,
                commitment=bytes(range(32)),
                wrap=bytes(112),
                type="Observation",
                id="o-1",
                version="1",
                ciphertext=b"a sealed document, shortened",
            ),
        ),
        left_out=(13,),
    )
)
EVENT: Final = 'id: 7\nevent: block\ndata: {"height":7, ...}\n\n'
