# SPDX-License-Identifier: Apache-2.0
"""`vervain bench`: how quick is this machine? Short, on the embedded engine; `make bench` has all figures."""

import secrets
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from vervain.cli.output import Output, told

WAIT_SECONDS = 120.0
COUNT_MAX: Final = 1_000_000
Count = Annotated[int, Parameter(validator=Number(gte=1, lte=COUNT_MAX))]


def bench(
    *, transactions: Count = 5_000, batch: Count = 100, as_json: Annotated[bool, Parameter(name="--json")] = False
) -> None:
    """Measure durable transactions on this machine, in a temporary directory and without HTTP, for about ten seconds.

    Args:
        transactions: How many transactions of one message each.
        batch: How many messages a signature in the second measurement.
        as_json: One JSON object instead of words.
    """
    from vervain.ledger.modules.consortium.messages import Role
    from vervain.ledger.modules.records.messages import CommitRecord
    from vervain.node.founding import found_alone
    from vervain.node.node import Node

    output = Output(as_json=as_json)
    with told(output), tempfile.TemporaryDirectory(prefix="vervain-bench-") as place:
        found_alone(
            Path(place),
            chain="bench",
            time=int(time.time()) - 1,
            node_name="bench",
            roles=[Role.HOSPITAL],
            register_entry="GLN 0000000000000",
        )
        with Node(Path(place)) as node:
            desk = node.desk(node.settings.organisation)

            def rate(count: int, per_transaction: int) -> float:
                signed = [
                    desk.sign(
                        [
                            CommitRecord(subject=desk.organisation, commitment=secrets.token_bytes(32))
                            for _ in range(per_transaction)
                        ]
                    ).encoded
                    for _ in range(count)
                ]
                started = time.perf_counter()
                node.submit_many(signed).result(WAIT_SECONDS)
                return count * per_transaction / (time.perf_counter() - started)

            single = rate(transactions, 1)
            batched = rate(max(1, transactions // batch), batch)
        output.both(
            f"{single:,.0f} signed transactions/s (one message each), {batched:,.0f} entries/s ({batch} a signature), "
            "all durable.",
            signed_tx_per_s=round(single),
            entries_per_s=round(batched),
        )
