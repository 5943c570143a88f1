# SPDX-License-Identifier: Apache-2.0
"""The vectors of the modules: the same bytes under two hash seeds, and right by a second implementation."""

import json
import os
import subprocess
import sys
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vervain.ledger.catalogue import CATALOGUE

ROOT: Final = Path(__file__).parents[4]
MODULES: Final = ("consent", "records")

pytestmark = pytest.mark.vectors


def page(module: str) -> Any:
    """Return a module's vectors, read by the standard library."""
    return json.loads((ROOT / "tests" / "vectors" / module / "steps.json").read_bytes())


@pytest.mark.parametrize("seed", ["0", "4242"])
@pytest.mark.parametrize("module", MODULES)
def test_vectors_are_the_same_bytes_under_any_hash_seed(module: str, seed: str) -> None:
    """Given a hash seed, when the vectors are made, then they are the file byte for byte."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.vectors.make_module_steps", module],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert made.stdout == (ROOT / "tests" / "vectors" / module / "steps.json").read_bytes()


@pytest.mark.parametrize("module", MODULES)
def test_entries_and_rows_are_canonical(module: str) -> None:
    """Given each entry, event and row, when another implementation encodes it, then our decoders take those bytes."""
    for step in page(module)["steps"]:
        for entry in step["entries"]:
            CATALOGUE.message_decoder.decode(rfc8785.dumps(entry))
        for event in step.get("events", []):
            CATALOGUE.event_decoder.decode(rfc8785.dumps(event))
        for write in step.get("writes", []):
            table = CATALOGUE.table(write["table"])
            assert table is not None
            if "row" in write:
                table.from_stored(rfc8785.dumps(write["row"]))


@pytest.mark.parametrize("module", MODULES)
def test_every_message_is_shown_applied_and_every_step_has_its_outcome(module: str) -> None:
    """Given a module, when its vectors are read, then each message occurs applied; refused steps changed nothing."""
    steps = page(module)["steps"]
    tags = {entry["type"] for step in steps if step["code"] == 0 for entry in step["entries"]}
    assert tags == {
        handled.__struct_config__.tag
        for handled in CATALOGUE.handlers
        if str(handled.__struct_config__.tag).startswith(f"{module}.")
    }
    assert all("events" not in step and "writes" not in step for step in steps if step["code"])


def test_consent_ids_are_of_transaction_and_entry() -> None:
    """Given each consent given, when its id is computed by hand, then it is SHA-256(tag || txid || uint32 entry)."""
    for step in page("consent")["steps"]:
        given = [event for event in step.get("events", []) if event["type"] in ("consent.granted", "consent.denied")]
        for index, event in enumerate(given):
            signed = b"vervain/consent/v1\n" + b64decode(step["txid"]) + index.to_bytes(4, "big")
            assert b64decode(event["consent"]) == sha256(signed).digest()


def test_read_requests_are_signed_as_the_format_says() -> None:
    """Given each request, when the signed bytes are built by hand, then the reader's signature and the id hold."""
    vectors = page("consent")
    requests = [
        entry for step in vectors["steps"] for entry in step["entries"] if entry["type"] == "consent.request_read"
    ]
    by_signature = {entry["signature"]: entry for entry in requests}
    assert vectors["signed"]
    for signed in vectors["signed"]:
        entry = by_signature[signed["signature"]]
        terms = {name: value for name, value in entry.items() if name not in ("type", "signature")}
        expected = b"vervain/read/v1\n" + rfc8785.dumps({"chain": vectors["chain"][0], **terms})
        assert b64decode(signed["signed_bytes"]) == expected
        key = Ed25519PublicKey.from_public_bytes(b64decode(signed["reader_key"]))
        key.verify(b64decode(signed["signature"]), expected)
        assert b64decode(signed["access_id"]) == sha256(b"vervain/access/v1\n" + expected).digest()
