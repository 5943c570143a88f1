# SPDX-License-Identifier: Apache-2.0
"""The vectors of consortium and identity: the same under any hash seed, and right by a second implementation."""

import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

VECTORS = Path(__file__).parents[3] / "vectors"
ROOT = Path(__file__).parents[4]
Step = dict[str, Any]  # Any: what JSON may hold

pytestmark = pytest.mark.vectors
each_module = pytest.mark.parametrize("module", ["consortium", "identity"])


def kept(module: str) -> dict[str, Any]:
    """Return a module's vectors."""
    text = (VECTORS / module / "messages.json").read_text(encoding="ascii")
    vectors: dict[str, Any] = json.loads(text)
    return vectors


def applied_entries(module: str, tag: str) -> Iterator[tuple[Step, int, dict[str, Any]]]:
    """Yield (step, entry number, message) of each applied message of a tag."""
    for step in kept(module)["steps"]:
        for index, entry in enumerate(step["entries"]):
            message = json.loads(entry)
            if step["outcome"]["code"] == 0 and message["type"] == tag:
                yield step, index, message


def rows_of(step: Step, table: str) -> dict[str, Any]:
    """Return a step's changed rows of a table by key."""
    rows = [row for row in step["rows"] if row["table"] == table]
    return {row["key"]: None if row["row"] is None else json.loads(row["row"]) for row in rows}


def tagged(tag: str, *parts: bytes) -> str:
    """Return a domain-separated digest in hex."""
    return sha256(f"vervain/{tag}/v1\n".encode("ascii") + b"".join(parts)).hexdigest()


def base64_of(hexadecimal: str) -> str:
    """Return bytes given in hex as the ledger writes them."""
    return b64encode(bytes.fromhex(hexadecimal)).decode("ascii")


def verify(key: str, signature: str, signed: bytes) -> None:
    """Check an Ed25519 signature with another library; key and signature are base64."""
    Ed25519PublicKey.from_public_bytes(b64decode(key)).verify(b64decode(signature), signed)


@each_module
def test_vectors_are_the_same_under_any_hash_seed(module: str) -> None:
    """
    Given the script that makes the vectors.
    When it runs under two hash seeds.
    Then both print the committed file, byte for byte.
    """
    committed = (VECTORS / module / "messages.json").read_bytes()
    for seed in ("1", "4242"):
        made = subprocess.run(
            [sys.executable, "-m", "tests.vectors.make_membership", module],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert made.stdout == committed


@each_module
def test_everything_is_canonical_by_another_library(module: str) -> None:
    """
    Given every entry, every row and the genesis.
    When `rfc8785` and the standard library encode what they say.
    Then both give the same bytes, and the digests and the chain's name fit.
    """
    vectors = kept(module)
    rows = [row["row"] for step in vectors["steps"] for row in step["rows"] if row["row"] is not None]
    entries = [entry for step in vectors["steps"] for entry in step["entries"]]
    for text in (*entries, *rows, vectors["genesis"]):
        value = json.loads(text)
        assert rfc8785.dumps(value) == text.encode("ascii")
        assert json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text
    digests = [digest for step in vectors["steps"] for digest in step["entries_sha256"]]
    assert [sha256(entry.encode("ascii")).hexdigest() for entry in entries] == digests
    assert vectors["chain"] == "small-" + tagged("genesis", vectors["genesis"].encode("ascii"))[:32]


@each_module
def test_refused_steps_change_nothing(module: str) -> None:
    """
    Given the refused steps.
    When their rows are read.
    Then there are none, and their code belongs to the module.
    """
    refused = [step for step in kept(module)["steps"] if step["outcome"]["code"]]
    number = {"consortium": 1, "identity": 2}[module]
    assert len(refused) == 2
    assert all(step["rows"] == [] and step["outcome"]["code"] // 100 == number for step in refused)


def test_proposals_and_rule_tables_have_their_ids() -> None:
    """
    Given every proposal and rule table of the vectors.
    When ids and digests are computed with `hashlib`.
    Then the rows stand under them.
    """
    proposed = list(applied_entries("consortium", "consortium.propose"))
    for step, index, message in proposed:
        proposal = tagged("proposal", bytes.fromhex(step["txid"]), index.to_bytes(4, "big"))
        row = rows_of(step, "consortium.proposals")[proposal]
        assert row["change"] == message["change"] and b64decode(row["proposer"]).hex() == step["actor"]
    decided = next(step for step, _, _ in applied_entries("consortium", "consortium.count_votes"))
    head = rows_of(decided, "consortium.rule_tables")[b"retest".hex()]
    table = rows_of(decided, "consortium.rule_table_versions")["00000001" + b"retest".hex()]
    expected = tagged("rule-table", rfc8785.dumps({"name": "retest", "rows": table["rows"], "version": 1}))
    assert [b64decode(row["digest"]).hex() for row in (head, table)] == [expected, expected]
    assert len(proposed) == 9


def test_registrations_and_rotations_are_signed_by_the_new_key() -> None:
    """
    Given every registration and rotation of the vectors.
    When the signed bytes are put together by hand and checked with `cryptography`.
    Then the new key signed them, and the actor's id is the digest of its first key.
    """
    chain = kept("identity")["chain"]
    sponsor = kept("identity")["steps"][0]["actor"]  # the hospital signs the first step and sponsors them all
    for step, _, message in applied_entries("identity", "identity.register"):
        actor = tagged("actor", b64decode(message["key"]))
        row = rows_of(step, "identity.actors")[actor]
        own = {key: value for key, value in message.items() if key not in ("type", "proof")}
        signed = {**own, "chain": chain, "sponsor": base64_of(sponsor)}
        verify(message["key"], message["proof"], b"vervain/register/v1\n" + rfc8785.dumps(signed))
        assert (row["kind"], row["key"], row["kem_key"]) == (message["kind"], message["key"], message["kem_key"])
    for step, _, message in applied_entries("identity", "identity.rotate_key"):
        actor = message.get("actor", base64_of(step["actor"]))
        own = {key: value for key, value in message.items() if key not in ("type", "proof", "actor")}
        signed = {**own, "actor": actor, "chain": chain}
        verify(message["new_key"], message["proof"], b"vervain/rotate/v1\n" + rfc8785.dumps(signed))
        assert rows_of(step, "identity.actors")[b64decode(actor).hex()]["epoch"] == 1


def test_licences_have_their_ids() -> None:
    """
    Given the issued licence of the vectors.
    When its id is computed with `hashlib`.
    Then the licence, its first change and the holder's index stand under it.
    """
    ((step, index, message),) = applied_entries("identity", "identity.issue_licence")
    licence = tagged("licence", bytes.fromhex(step["txid"]), index.to_bytes(4, "big"))
    assert rows_of(step, "identity.licences")[licence]["holder"] == message["holder"]
    assert rows_of(step, "identity.licence_changes")[licence + "00000000"]["status"] == "valid"
    holder = b64decode(message["holder"]).hex()
    assert rows_of(step, "identity.held_licences") == {holder + licence: {"profession": "physician"}}
