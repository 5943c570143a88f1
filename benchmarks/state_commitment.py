# SPDX-License-Identifier: Apache-2.0
"""What the proved map costs at 10^4 to 10^7 rows: a touched key in a block, a restart, memory, disk (decision 0002).

`python -m benchmarks.state_commitment [--rows 10000 100000 1000000 10000000]` prints one JSON line a size.
"""

import argparse
import json
import os
import random
import resource
import shutil
import tempfile
import time
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import lmdb

from vervain.ledger.primitives.proved_map import UpperTree, bucket_of, bucket_root, update_bucket

BLOCK_KEYS = 1_000
BLOCKS = 20
MAP_BYTES = 16 * 2**30


def touch(environment: lmdb.Environment, upper: UpperTree, places: list[bytes], value: bytes) -> None:
    """Write `places` as one block does: read, change and hash each bucket, then one durable transaction."""
    buckets, roots = environment.open_db(b"buckets"), environment.open_db(b"bucket_roots")
    by_bucket: dict[int, dict[bytes, bytes | None]] = {}
    for place in places:
        by_bucket.setdefault(bucket_of(place), {})[place] = value
    with environment.begin(write=True) as transaction:
        changed = []
        for bucket in sorted(by_bucket):
            key = bucket.to_bytes(4, "big")
            pairs = update_bucket(transaction.get(key, default=b"", db=buckets), by_bucket[bucket])
            root = bucket_root(pairs)
            transaction.put(key, b"".join(pairs), db=buckets)
            transaction.put(key, root, db=roots)
            changed.append((bucket, root))
        upper.update(changed)


def load(environment: lmdb.Environment, rows: int) -> None:
    """Fill the map with `rows` synthetic places, bucket by bucket in order."""
    buckets, roots = environment.open_db(b"buckets"), environment.open_db(b"bucket_roots")
    places = sorted(sha256(number.to_bytes(8, "big")).digest() for number in range(rows))
    with environment.begin(write=True) as transaction:
        for bucket, members in groupby(places, key=bucket_of):
            pairs = [place + place for place in members]
            transaction.put(bucket.to_bytes(4, "big"), b"".join(pairs), db=buckets, append=True)
            transaction.put(bucket.to_bytes(4, "big"), bucket_root(pairs), db=roots, append=True)


def measure(rows: int) -> dict[str, object]:
    """Return the figures at one size, in a process of its own so that memory is its own."""
    directory = Path(tempfile.mkdtemp(prefix="vervain-state-"))
    try:
        child = os.fork()
        if child == 0:  # loading sorts all places in memory; keep that out of the figures
            load(lmdb.open(str(directory), map_size=MAP_BYTES, max_dbs=4), rows)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        started = time.perf_counter()
        environment = lmdb.open(str(directory), map_size=MAP_BYTES, max_dbs=4)
        roots = environment.open_db(b"bucket_roots")
        with environment.begin() as transaction:
            upper = UpperTree((int.from_bytes(key, "big"), root) for key, root in transaction.cursor(db=roots))
        restart = time.perf_counter() - started
        seeded = random.Random(7)
        blocks = []
        for number in range(BLOCKS):
            places = [sha256(seeded.randrange(rows).to_bytes(8, "big")).digest() for _ in range(BLOCK_KEYS)]
            started = time.perf_counter()
            touch(environment, upper, places, number.to_bytes(32, "big"))
            blocks.append(time.perf_counter() - started)
        blocks.sort()
        return {
            "rows": rows,
            "microseconds_a_touched_key": round(blocks[BLOCKS // 2] / BLOCK_KEYS * 1e6, 1),
            "block_ms_of_1000_keys": round(blocks[BLOCKS // 2] * 1e3, 1),
            "restart_s": round(restart, 2),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "disk_mb": sum(file.stat().st_blocks for file in directory.iterdir()) * 512 // 2**20,
        }
    finally:
        shutil.rmtree(directory)


def main() -> None:
    """Measure each size in a fresh process and print it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    for rows in arguments.parse_args().rows:
        child = os.fork()
        if child == 0:
            print(json.dumps(measure(rows)), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
