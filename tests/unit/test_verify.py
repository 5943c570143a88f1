# SPDX-License-Identifier: Apache-2.0
"""The court verifier as a person runs it: a lone file, no packages, exit codes, and words that do not overclaim."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from tests.receipt_builder import DOCUMENT, LogBuilder, record_entry
from vervain import verify

SOURCE = Path(verify.__file__)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of verify.py and the files of one case."""
    folder = tmp_path_factory.mktemp("case")
    log = LogBuilder(seed="case")
    entry, opening = record_entry(log)
    applied, refused = log.transact(entry), log.transact({"type": "tests.note"}, code=501)
    log.end_block()
    shutil.copy(SOURCE, folder / "verify.py")
    (folder / "case.receipt").write_bytes(log.entry_receipt(applied, opening=opening))
    (folder / "refused.receipt").write_bytes(log.entry_receipt(refused))
    (folder / "case.trust").write_bytes(log.trust_bytes())
    (folder / "doc.json").write_bytes(DOCUMENT)
    (folder / "other.json").write_bytes(DOCUMENT + b"\n")
    (folder / "few.receipt").write_bytes(re.sub("— member-4 .*\n", "", (folder / "case.receipt").read_text()).encode())
    (folder / "cut.receipt").write_bytes((folder / "case.receipt").read_bytes()[:-1])
    (folder / "cut.trust").write_bytes((folder / "case.trust").read_bytes()[:-3])
    (folder / "large.receipt").write_bytes(b"x" * (verify.RECEIPT_BYTES_MAX + 1))
    return folder


def run(case: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the lone file without site packages and without this project; return exit code, output and errors."""
    command = [sys.executable, "-I", "-S", "verify.py", *arguments]
    done = subprocess.run(command, cwd=case, capture_output=True, text=True, env={}, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_imports_the_standard_library_alone() -> None:
    """Given the file's own imports, then each is of the standard library."""
    imported = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= sys.stdlib_module_names


def test_proves_in_under_a_second_without_packages(case: Path) -> None:
    """Given a receipt, trust file and document, when the lone file runs, then exit 0 in under a second (best of 3)."""
    seconds = []
    for _ in range(3):
        started = perf_counter()
        code, output, errors = run(case, "case.receipt", "--trust", "case.trust", "--document", "doc.json")
        seconds.append(perf_counter() - started)
        assert (code, errors) == (0, "")
        assert output.startswith("PROVED: the statement was logged and APPLIED.\n")
    assert min(seconds) < 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["case.receipt", "--trust", "case.trust"], 0, "NOT CHECKED", id="opening unused"),
        pytest.param(["refused.receipt", "--trust", "case.trust"], 1, "REFUSED (code 501)", id="refused"),
        pytest.param(
            ["case.receipt", "--trust", "case.trust", "--document", "other.json"],
            1,
            "NOT PROVED: The document is not the one",
            id="another document",
        ),
        pytest.param(["few.receipt", "--trust", "case.trust"], 1, "NOT PROVED: Too few validators", id="too few"),
        pytest.param(["cut.receipt", "--trust", "case.trust"], 3, "DAMAGED: The receipt is damaged", id="cut receipt"),
        pytest.param(["case.receipt", "--trust", "cut.trust"], 3, "DAMAGED: The trust file is damaged", id="cut trust"),
        pytest.param(["large.receipt", "--trust", "case.trust"], 3, "DAMAGED: A file is too large", id="too large"),
        pytest.param(["none.receipt", "--trust", "case.trust"], 2, "", id="no such file"),
        pytest.param(["case.receipt"], 2, "", id="no trust file"),
    ],
)
def test_exit_codes_and_first_words(case: Path, arguments: list[str], code: int, words: str) -> None:
    """Given each kind of case, then the exit code is the agreed one and the output says it in words."""
    done = run(case, *arguments)
    assert (done[0], words in done[1]) == (code, True)


def test_json_has_one_object(case: Path) -> None:
    """Given --json, then one object a line says the same, proved or not."""
    _, output, _ = run(case, "case.receipt", "--trust", "case.trust", "--document", "doc.json", "--json")
    proved: dict[str, Any] = json.loads(output)
    names = ("proved", "verdict", "applied", "code", "height", "document_at", "witnesses_all")
    assert [proved[name] for name in names] == [True, "applied", True, 0, 1, "commitment", 3]
    assert proved["entry"]["type"] == "records.commit"
    _, output, _ = run(case, "refused.receipt", "--trust", "case.trust", "--json")
    assert [json.loads(output)[name] for name in ("proved", "verdict", "code")] == [True, "refused", 501]
    _, output, _ = run(case, "few.receipt", "--trust", "case.trust", "--json")
    failed = json.loads(output)
    assert (failed["proved"], failed["damaged"], failed["what"]) == (
        False,
        False,
        "Too few validators signed the checkpoint",
    )


def test_output_is_ascii(case: Path) -> None:
    """Given any terminal, then the words need no character outside ASCII."""
    _, output, _ = run(case, "case.receipt", "--trust", "case.trust", "--document", "doc.json")
    assert output.isascii()


def explained(validators: int, witnesses: int) -> str:
    """Return the words for a receipt of a chain with so many validators and witnesses."""
    log = LogBuilder(seed="words", validators=validators, witnesses=witnesses)
    logged = log.transact({"type": "tests.note"}, {"type": "tests.note"})
    log.end_block()
    return verify.explain(verify.verify(log.entry_receipt(logged), verify.read_trust(log.trust_bytes())))


def test_solo_receipt_is_asserted_by_one_organisation() -> None:
    """Given a chain of one validator, then the words say that one organisation asserts it, and name its witnesses."""
    words = explained(1, 1)
    assert "This is asserted by one organisation, member-0, and no other organisation agreed to it." in words
    assert "Outside witnesses (witness-0) saw that its log only grew, not what it says." in words
    assert "two thirds" not in words


def test_solo_receipt_without_witness_says_so() -> None:
    """Given a chain of one validator and no witness, then the words warn of another log for somebody else."""
    words = explained(1, 0)
    assert "asserted by one organisation, member-0" in words
    assert "No outside witness saw its log: the organisation could show another log to somebody else." in words
    assert "That everybody was shown the same log: your trust file names no outside witness." in words


def test_words_claim_no_more_than_is_shown() -> None:
    """Given a batch's receipt, then the words say what is not shown: truth, persons, today, the other entries."""
    words = explained(4, 3)
    assert "one organisation" not in words
    for limit in (
        "That the statement is true: only that it was made and logged.",
        "Which person or organisation stands behind the actor id: ask its member organisation.",
        "That it still holds today: a later entry may have withdrawn or replaced it.",
        "What the other entries of the same transaction say.",
    ):
        assert limit in words


def test_time_is_when_enough_had_signed() -> None:
    """Given signers at rising times, then the time told is that of the last one needed, not of the first or last."""
    log = LogBuilder(seed="times", validators=4, witnesses=3)
    logged = log.transact({"type": "tests.note"})
    log.end_block()
    receipt = log.entry_receipt(logged, everyone=True)
    verified = verify.verify(receipt, verify.read_trust(log.trust_bytes()))
    assert (verified.validators_signed_at, verified.witnessed_at) == (log.time + 3, log.time + 6)
