# SPDX-License-Identifier: Apache-2.0
"""Reading: consent decisions over a million distinct grants, and one patient's access log among 600,000 entries.

`python -m benchmarks.reads [--grants 1000000] [--accesses 600000]`
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from benchmarks.figures import RUNS, Figure, figure, record
from vervain.ledger.machine.changes import BlockSummary, Changes
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent import queries as consent
from vervain.ledger.modules.consent.messages import Purpose
from vervain.ledger.modules.consent.state import CONSENTS, Consent, Grant
from vervain.ledger.primitives.codec import encode
from vervain.readmodel.database import open_database
from vervain.readmodel.queries import AccessFilter, accesses
from vervain.readmodel.tables.consent import ACCESSES
from vervain.storage.state_store import StateStore

COMMAND = "python -m benchmarks.reads"
NOW = 1_800_000_000
ROWS_PER_COMMIT = 50_000
PURPOSES = ("TREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT")


def consent_decisions_per_second(grants: int) -> list[float]:
    """Fill a state with distinct grants of distinct patients, then decide each once, in random order, from the
    store.
    """
    chance = random.Random(11)
    ids = sorted(chance.randbytes(32) for _ in range(grants))
    with tempfile.TemporaryDirectory(prefix="vervain-bench-") as place:
        state = StateStore(Path(place), chain="bench-" + "0" * 32)
        for height, some in enumerate(_groups(ids, ROWS_PER_COMMIT)):
            rows = tuple((CONSENTS.stored_key(each), encode(_grant(chance))) for each in some)
            state.commit(_changes(height, rows))
        chance.shuffle(ids)
        rates = []
        for run in _groups(ids, grants // RUNS):
            started = time.perf_counter()
            with state.view(seconds_max=3_600) as view:
                store = Store(view)
                permitted = sum(
                    consent.decide(store, grant=each, purpose=Purpose.TREAT, categories=(), time=NOW).permit
                    for each in run
                )
            rates.append(len(run) / (time.perf_counter() - started))
            assert permitted == len(run)
        state.close()
    return rates


def _grant(chance: random.Random) -> Consent:
    return Consent(
        grantor=chance.randbytes(32),
        custodian=chance.randbytes(32),
        terms=Grant(
            reader_key=chance.randbytes(32),
            reader_kem_key=chance.randbytes(32),
            reader_commitment=chance.randbytes(32),
            purposes=(Purpose.HPAYMT, Purpose.TREAT),
        ),
        valid_from=NOW - 1_000,
        valid_until=NOW + 1_000_000,
        given_at=NOW - 1_000,
    )


def _changes(height: int, rows: tuple[tuple[bytes, bytes], ...]) -> Changes:
    summary = BlockSummary(height=height, time=NOW, first_leaf=0, leaves=0, app_hash=bytes(32), log_root=bytes(32))
    return Changes(
        summary=summary,
        rows=rows,
        buckets=(),
        tiles=(),
        outcomes=b"[]",
        unexpired_added=(),
        unexpired_removed=(),
    )


def _groups(items: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def access_log_ms(entries: int) -> list[float]:
    """Ask for one patient's log (five pseudonyms) under every mix of filters; return each mix's median milliseconds."""
    chance = random.Random(13)
    with tempfile.TemporaryDirectory(prefix="vervain-bench-") as place:
        engine = open_database(Path(place) / "readmodel.sqlite", writable=True)
        patients = [chance.randbytes(32) for _ in range(max(5, entries // 60))]
        custodians = [chance.randbytes(32) for _ in range(50)]
        _fill(engine, entries, patients, custodians, chance)
        mine = tuple(patients[:5])
        filters = {
            "custodian": custodians[0],
            "purpose": "TREAT",
            "since": NOW + entries // 3,
            "until": NOW + entries,
            "before": entries // 2,
        }
        mixes = [mix for count in range(len(filters) + 1) for mix in itertools.combinations(filters, count)]
        medians = []
        for mix in mixes:
            asked = AccessFilter(grantors=mine, **{name: filters[name] for name in mix})  # type: ignore[arg-type]
            times = []
            for _ in range(RUNS):
                started = time.perf_counter()
                accesses(engine, asked)
                times.append((time.perf_counter() - started) * 1e3)
            medians.append(statistics.median(times))
        engine.dispose()
    return medians


def _fill(engine: Engine, entries: int, patients: list[bytes], custodians: list[bytes], chance: random.Random) -> None:
    names = [column.name for column in ACCESSES.columns]
    for start in range(0, entries, ROWS_PER_COMMIT):
        rows = [
            {
                "access": number + 1,
                "consent": chance.randbytes(32),
                "grantor": chance.choice(patients),
                "custodian": chance.choice(custodians),
                "purpose": chance.choice(PURPOSES),
                "requested_at": NOW + number,
                "notice_digest": bytes(32),
                "leaf_index": number,
                "entry_index": 0,
            }
            for number in range(start, min(start + ROWS_PER_COMMIT, entries))
        ]
        assert set(rows[0]) == set(names)
        with engine.begin() as connection:
            connection.execute(ACCESSES.insert(), rows)


def measure(grants: int, entries: int) -> list[Figure]:
    """Measure both."""
    decisions = consent_decisions_per_second(grants)
    log = access_log_ms(entries)
    return [
        figure("consent_decisions_per_s", decisions, "decisions/s", command=COMMAND, floor=100_000),
        figure("access_log_ms", [max(log)], "ms", command=COMMAND, floor=50),
    ]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grants", type=int, default=1_000_000)
    parser.add_argument("--accesses", type=int, default=600_000)
    options = parser.parse_args()
    figures = measure(options.grants, options.accesses)
    record(figures)
    for each in figures:
        print(msgspec.json.encode(each).decode())


if __name__ == "__main__":
    main()
