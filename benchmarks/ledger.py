# SPDX-License-Identifier: Apache-2.0
"""Writing: signed transactions and entries through the bulk endpoint, latency of a single submit, slope, restart.

`python -m benchmarks.ledger [--entries 1000000]`
"""

import argparse
import asyncio
import secrets
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figures import RUNS, Figure, figure, record
from benchmarks.running import RunningNode, post_all
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.sdk.contract import JSON, LINES

COMMAND = "python -m benchmarks.ledger"
PER_REQUEST = 1_000
SIGNED = 20_000
BATCHES = 300
BATCH = 100
SINGLES = 6_400
CLIENTS = 64


def commits(node: RunningNode, count: int) -> list[CommitRecord]:
    """Return commitments to documents of the organisation's own."""
    return [CommitRecord(subject=node.organisation, commitment=secrets.token_bytes(32)) for _ in range(count)]


def lines(transactions: list[bytes], per_request: int) -> list[bytes]:
    """Return bulk bodies."""
    return [b"\n".join(transactions[i : i + per_request]) for i in range(0, len(transactions), per_request)]


def per_second(node: RunningNode, transactions: list[bytes], per_request: int, units: int) -> float:
    """Hand in pre-signed transactions; return units a second until the last was durable."""
    bodies = lines(transactions, per_request)
    started = time.perf_counter()
    asyncio.run(post_all(node.port, "/v1/transactions/bulk", bodies, connections=4, media_type=LINES))
    return units / (time.perf_counter() - started)


def signed_per_second(node: RunningNode) -> float:
    """One message a signature."""
    return per_second(node, [node.sign(commits(node, 1)) for _ in range(SIGNED)], PER_REQUEST, SIGNED)


def entries_per_second(node: RunningNode) -> float:
    """A hundred messages a signature."""
    transactions = [node.sign(commits(node, BATCH)) for _ in range(BATCHES)]
    return per_second(node, transactions, 10, BATCHES * BATCH)


def single_p99_ms(node: RunningNode) -> float:
    """64 clients, each one transaction at a time."""
    bodies = [node.sign(commits(node, 1)) for _ in range(SINGLES)]
    seconds = asyncio.run(post_all(node.port, "/v1/transactions", bodies, connections=CLIENTS, media_type=JSON))
    return statistics.quantiles(seconds, n=100)[98] * 1e3


def slope(node: RunningNode, entries: int) -> tuple[float, float]:
    """Fill up to `entries`; return microseconds an entry over the first 10^4 and over the last 10^4."""
    costs = []
    done = 0
    while done < entries:
        transactions = [node.sign(commits(node, BATCH)) for _ in range(100)]
        rate = per_second(node, transactions, 10, 100 * BATCH)
        costs.append(1e6 / rate)
        done += 100 * BATCH
    return statistics.median(costs[:1] if len(costs) < 10 else costs[:3]), statistics.median(costs[-3:])


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory(prefix="vervain-bench-") as place:
        figures = []
        for name, measure in (("singles", measure_singles), ("bulk", lambda node: measure_bulk(node, entries))):
            # Each on a chain of its own: the read model, which stands back for at most 30 s, is measured with neither.
            node = RunningNode(Path(place) / name)
            try:
                figures += measure(node)
            finally:
                node.kill()
    for each in figures:
        print(each.name, each.value, each.unit, f"({each.ratio}x)", flush=True)
    record(figures)


def measure_singles(node: RunningNode) -> list[Figure]:
    """Measure latency on an empty chain."""
    latency = [single_p99_ms(node) for _ in range(RUNS)]
    return [figure("submit_p99_ms", latency, "ms", command=COMMAND, floor=25)]


def measure_bulk(node: RunningNode, entries: int) -> list[Figure]:
    """Measure throughput from an empty chain on, then slope, restart and memory."""
    signed = [signed_per_second(node) for _ in range(RUNS)]
    batched = [entries_per_second(node) for _ in range(RUNS)]
    first, last = slope(node, entries)
    node.kill()
    restarts, memory = [], []
    for _ in range(RUNS):
        restarts.append(node.restart())
        memory.append(node.rss_mb())
        node.kill()
    node.restart()
    return [
        figure("signed_tx_per_s", signed, "tx/s", command=COMMAND, floor=15_000),
        figure("entries_per_s", batched, "entries/s", command=COMMAND, floor=60_000),
        figure("slope_1e6", [last / first], "x", command=COMMAND, floor=1.3),
        figure("restart_s", restarts, "s", command=COMMAND, floor=5),
        figure("rss_mb", memory, "MB", command=COMMAND, floor=400),
    ]


if __name__ == "__main__":
    main()
