# SPDX-License-Identifier: Apache-2.0
"""The experiment behind decision 0005: one transaction applied, one refused, one batched, each from a signature through
the embedded engine to a receipt that the standard library alone checks.

`pytest -s` shows the measured bytes and microseconds.
"""

import json
import secrets
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.unit.node.founded import desk_of, found
from vervain import verify as court
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.transaction import Envelope
from vervain.ledger.modules.records.messages import CommitRecord, RecordsReason
from vervain.ledger.primitives.codec import encode
from vervain.node.node import Node
from vervain.sealing.receipts import format_receipt
from vervain.sealing.signing import SignedTransaction

VERIFIER: Final = Path(court.__file__)
BATCH: Final = 100
BATCH_ENTRY: Final = 41
PARTS: Final = ("applied", "refused", "batched")


class Experiment:
    """Three transactions of one run, their receipts and the reader's trust file.

    Attributes:
        signed, receipts: By part.
        folder: Holds `<part>.receipt` and `reader.trust`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found(folder / "node")
        with Node(folder / "node") as node:
            desk = desk_of(node)

            def commit(subject: bytes) -> Message:
                return CommitRecord(subject=subject, commitment=secrets.token_bytes(32))

            self.signed: dict[str, SignedTransaction] = {
                "applied": desk.sign([commit(desk.organisation)]),
                "refused": desk.sign([commit(secrets.token_bytes(32))]),
                "batched": desk.sign([commit(desk.organisation) for _ in range(BATCH)]),
            }
            self.sign_batch_us = microseconds(lambda: desk.sign([commit(desk.organisation) for _ in range(BATCH)]), 20)
            self.sign_one_us = microseconds(lambda: desk.sign([commit(desk.organisation)]), 200)
            outcomes = node.submit_many([each.encoded for each in self.signed.values()]).result(30)
            self.codes = [outcome.code for outcome in outcomes]
            self.receipts: dict[str, bytes] = {}
            for part, outcome in zip(PARTS, outcomes, strict=True):
                assert outcome.leaf_index is not msgspec.UNSET
                entry = BATCH_ENTRY if part == "batched" else 0
                self.receipts[part] = format_receipt(node.receipt(outcome.leaf_index, entry))
                (folder / f"{part}.receipt").write_bytes(self.receipts[part])
            (folder / "reader.trust").write_bytes(node.trust_file())

    def checked(self, receipt: str) -> tuple[int, dict[str, object]]:
        """Return exit code and answer of the court's verifier, in a Python without any of our packages."""
        run = subprocess.run(
            [sys.executable, "-I", "-S", VERIFIER, f"{receipt}.receipt", "--trust", "reader.trust", "--json"],
            cwd=self.folder, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return run.returncode, json.loads(run.stdout)


def microseconds(act: Callable[[], object], times: int) -> float:
    """Return how long an act takes, the quickest of some runs."""
    quickest = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        act()
        quickest = min(quickest, time.perf_counter() - started)
    return quickest * 1e6


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    """Three transactions, one run of the embedded engine."""
    yield Experiment(tmp_path_factory.mktemp("envelope"))


def test_each_receipt_says_applied_or_refused(experiment: Experiment) -> None:
    """
    Given a transaction that fits, one whose subject is not registered, and one of a hundred entries.
    When a stranger checks their receipts with the standard library alone.
    Then the first and the third are proved as applied, the second as refused.
    """
    assert experiment.codes == [0, RecordsReason.NO_SUCH_SUBJECT, 0]
    answers = [experiment.checked(part) for part in PARTS]
    assert [(code, answer["proved"], answer["verdict"]) for code, answer in answers] == [
        (0, True, "applied"),
        (1, True, "refused"),
        (0, True, "applied"),
    ]


def test_refused_one_is_not_shown_as_applied(experiment: Experiment) -> None:
    """
    Given the receipt of the refused transaction.
    When its leaf's code is set to 0.
    Then nothing is proved: the outcome is inside the leaf.
    """
    text = experiment.receipts["refused"].decode()
    code = f'"code":{int(RecordsReason.NO_SUCH_SUBJECT)},'
    assert code in text
    (experiment.folder / "forged.receipt").write_text(text.replace(code, '"code":0,'), encoding="utf-8")
    exit_code, answer = experiment.checked("forged")
    assert (exit_code, answer["proved"]) == (1, False)


def test_receipt_of_one_entry_says_nothing_of_its_neighbours(experiment: Experiment) -> None:
    """
    Given the receipt of one entry of a batch.
    When the batch's blind and other entries are looked for in it.
    Then neither is there: the hashes beside the path are salted, so a guessed neighbour cannot be tried.
    """
    envelope = msgspec.json.decode(experiment.signed["batched"].encoded, type=Envelope)
    text = experiment.receipts["batched"].decode()
    others = [bytes(each) for index, each in enumerate(envelope.entries) if index != BATCH_ENTRY]
    assert bytes(envelope.entries[BATCH_ENTRY]).decode() in text
    assert [other for other in others if other.decode() in text] == []
    assert b64encode(envelope.blind).decode() not in text


def test_one_signature_costs_less_than_one_for_each_entry(experiment: Experiment) -> None:
    """
    Given a batch of a hundred entries.
    When it is measured beside a hundred single transactions.
    Then one signature takes less room and less time than a hundred.
    """
    sizes = {part: len(signed.encoded) for part, signed in experiment.signed.items()}
    envelope = msgspec.json.decode(experiment.signed["applied"].encoded, type=Envelope)
    trust = court.read_trust((experiment.folder / "reader.trust").read_bytes())
    check_us = {
        part: microseconds(lambda part=part: court.verify(experiment.receipts[part], trust), 5)  # type: ignore[misc]
        for part in PARTS
    }
    print(
        f"\nheader {len(encode(envelope.header))} B, one entry {len(bytes(envelope.entries[0]))} B, "
        f"transaction of 1 entry {sizes['applied']} B, of {BATCH} entries {sizes['batched']} B "
        f"({sizes['batched'] / BATCH:.0f} B an entry)\n"
        + ", ".join(f"receipt {part} {len(experiment.receipts[part])} B" for part in PARTS)
        + f"\nsign 1 entry {experiment.sign_one_us:.0f} us, {BATCH} entries {experiment.sign_batch_us:.0f} us "
        f"({experiment.sign_batch_us / BATCH:.1f} us an entry)\n"
        + ", ".join(f"check {part} {check_us[part]:.0f} us" for part in PARTS)
    )
    assert sizes["batched"] < BATCH * sizes["applied"] / 3
    assert experiment.sign_batch_us < BATCH * experiment.sign_one_us / 2
