# SPDX-License-Identifier: Apache-2.0
"""The documentation's examples: made from fixed keys by the code that makes the real things, so they never age."""

import json
from typing import Any, Final

from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.codec import encode
from vervain.sdk.contract import BulkAnswer, TransactionAnswer
from vervain.sealing.keys import SigningKey
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
EVENT: Final = 'id: 7\nevent: block\ndata: {"height":7, ...}\n\n'
