# SPDX-License-Identifier: Apache-2.0
"""Every maximum of the agreed world, in one table: bytes, counts, seconds, work units.

A change of any of them is a change of the rules and happens at an agreed height. Source: rulings.md "Limits".
"""

from typing import Final

MESSAGE_BYTES_MAX: Final = 64_000  # one entry's canonical bytes
TRANSACTION_BYTES_MAX: Final = 1_048_576  # one envelope: what CometBFT's mempool takes by default
TRANSACTION_ENTRIES_MAX: Final = 1_000
BLOCK_BYTES_MAX: Final = 8_000_000
BLOCK_TRANSACTIONS_MAX: Final = 10_000
BLOCK_WORK_MAX: Final = 1_000_000  # work units; one unit is about one row read and written
WORK_SIGNATURE: Final = 40  # work units of one Ed25519 check inside a rule
GENESIS_BYTES_MAX: Final = 4_000_000

EXPIRY_SECONDS_MAX: Final = 900  # how far ahead a transaction may expire: how long its id is remembered
UNEXPIRED_PER_ORGANISATION_MAX: Final = 2**21  # remembered ids of one member: 2,330 transactions/s sustained for 900 s
UNEXPIRED_FORGOTTEN_PER_BLOCK_MAX: Final = (
    50_000  # ids dropped by one block, so that a quiet hour never stalls the next
)

ROW_BYTES_MAX: Final = 64_000
EVENTS_PER_TRANSACTION_MAX: Final = 4_000
QUERY_ROWS_MAX: Final = 1_000  # rows that one query may return
VALIDATORS_MAX: Final = 100
MEMO_BYTES_MAX: Final = 64 * 2**20  # decoded transactions kept between check and finalize
