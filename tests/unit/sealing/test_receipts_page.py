# SPDX-License-Identifier: Apache-2.0
"""docs/concepts/receipts.md and the schemas cannot lie: the example is made anew, and both schemas fit what is made."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.receipt_builder import DOCUMENT, EXAMPLE_PAGE, LogBuilder, example_page, record_entry
from vervain import verify

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def schema(name: str) -> Any:
    """Return a validator of one of the schemas."""
    return jsonschema_rs.validator_for(json.loads((SCHEMAS / name).read_text()))


def test_worked_example_is_made_anew() -> None:
    """Given the page, then making its example again changes nothing (else run `python -m tests.receipt_builder`)."""
    assert example_page(EXAMPLE_PAGE.read_text()) == EXAMPLE_PAGE.read_text()


def test_worked_example_verifies_as_printed() -> None:
    """Given the texts on the page, when they are copied to files, then verify proves them."""
    blocks = re.findall(r"<!-- example: ([^\n]+) -->\n```\w+\n(.*?)```\n", EXAMPLE_PAGE.read_text(), re.DOTALL)
    texts = dict(blocks)
    document = texts["document"].removesuffix("\n").encode()
    verified = verify.verify(texts["receipt"].encode(), verify.read_trust(texts["trust"].encode()), document)
    assert (verified.applied, verified.document_at, document) == (True, "commitment", DOCUMENT)


def made() -> dict[str, bytes]:
    """Return a receipt of each kind."""
    log = LogBuilder(seed="schemas", validators=4, witnesses=3)
    entry, opening = record_entry(log)
    logged = log.transact(entry, {"type": "tests.note"})
    log.put_row("consent.grants", b"k", {"status": 1})
    block = log.end_block()
    return {
        "entry": log.entry_receipt(logged, opening=opening),
        "second entry": log.entry_receipt(logged, 1),
        "block": log.leaf_receipt(block),
        "genesis": log.leaf_receipt(0),
        "present": log.state_receipt("consent.grants", b"k", block),
        "absent": log.state_receipt("consent.grants", b"l", block),
    }


@pytest.mark.parametrize("kind", ["entry", "second entry", "block", "genesis", "present", "absent"])
def test_receipt_schema_fits_every_kind(kind: str) -> None:
    """Given a receipt of each kind, then its JSON line is valid, and no longer with one more or one field less."""
    line = json.loads(made()[kind].split(b"\n")[-2])
    receipt_schema = schema("receipt.schema.json")
    assert receipt_schema.is_valid(line)
    assert not receipt_schema.is_valid(line | {"note": 1})
    for name in set(line) - {"opening", "state"}:
        assert not receipt_schema.is_valid({other: line[other] for other in line if other != name})


def test_trust_schema_fits() -> None:
    """Given a trust file with a hand-over and a pin, then it is valid, and no longer with one more or less field."""
    log = LogBuilder(seed="schemas", validators=4, witnesses=3)
    log.end_block(log.validator_set(1, 5))
    content = json.loads(log.trust_bytes()) | {"pinned": [{"size": 2, "root": verify._base64(bytes(32))}]}
    trust_schema = schema("trust.schema.json")
    assert trust_schema.is_valid(content)
    assert not trust_schema.is_valid(content | {"note": 1})
    for name in set(content) - {"pinned"}:
        assert not trust_schema.is_valid({other: content[other] for other in content if other != name})
