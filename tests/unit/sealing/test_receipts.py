# SPDX-License-Identifier: Apache-2.0
"""Receipts: both verifiers give the same verdict and the same facts; every link of the chain of proof is needed."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, replace
from random import Random
from time import perf_counter
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict as struct_asdict
from msgspec.structs import replace as struct_replace

from tests.receipt_builder import DOCUMENT, LogBuilder, record_entry
from tests.receipt_mutations import bit_flips, line_edits
from vervain import verify
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.merkle_log import root_from_path, split_point
from vervain.sealing.checkpoints import Checkpoint, SignatureLine, cosign
from vervain.sealing.receipts import (
    EntryProof,
    VerifiedReceipt,
    format_receipt,
    parse_receipt,
    verify_receipt,
)
from vervain.sealing.trust import read_trust

LOG = LogBuilder()
ENTRY, OPENING = record_entry(LOG)
SINGLE = LOG.transact(ENTRY)
BATCH = LOG.transact(*({"type": "tests.note", "number": number} for number in range(5)))
REFUSED = LOG.transact({"type": "tests.note", "number": 9}, code=501)
for filler in range(20):
    LOG.transact({"type": "tests.note", "number": 100 + filler})
LOG.put_row("consent.grants", b"present", {"status": 1})
BLOCK = LOG.end_block()
TRUST_BYTES = LOG.trust_bytes()
TRUST, COURT_TRUST = read_trust(TRUST_BYTES), verify.read_trust(TRUST_BYTES)
RECEIPT = LOG.entry_receipt(SINGLE, opening=OPENING)

KINDS = {
    "single entry with its document": (RECEIPT, DOCUMENT),
    "single entry, opening unused": (RECEIPT, None),
    "batch entry": (LOG.entry_receipt(BATCH, 3), None),
    "refused": (LOG.entry_receipt(REFUSED), None),
    "everyone signed": (LOG.entry_receipt(SINGLE, everyone=True), None),
    "smaller checkpoint": (LOG.entry_receipt(SINGLE, size=10), None),
    "block leaf": (LOG.leaf_receipt(BLOCK), None),
    "genesis leaf": (LOG.leaf_receipt(0), None),
    "present row": (LOG.state_receipt("consent.grants", b"present", BLOCK), None),
    "absent row": (LOG.state_receipt("consent.grants", b"absent", BLOCK), None),
}


def verdicts(receipt: bytes, document: bytes | None = None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what each verifier says: the facts, or None when it does not prove."""
    try:
        fast: dict[str, Any] | None = struct_asdict(verify_receipt(receipt, TRUST, document))
    except ProofError:
        fast = None
    try:
        court: dict[str, Any] | None = asdict(verify.verify(receipt, COURT_TRUST, document))
    except verify.ProofError:
        court = None
    return fast, court


@pytest.mark.parametrize("kind", KINDS)
def test_both_verifiers_prove_the_same_facts(kind: str) -> None:
    """Given a receipt of each kind, when both verifiers read it, then every fact is equal."""
    receipt, document = KINDS[kind]
    fast, court = verdicts(receipt, document)
    assert fast is not None
    assert fast == court
    assert format_receipt(parse_receipt(receipt)) == receipt


def test_verified_entry_says_who_what_and_when() -> None:
    """Given a single entry with its document, when it is verified, then the whole statement comes back."""
    assert verify_receipt(RECEIPT, TRUST, DOCUMENT) == VerifiedReceipt(
        kind="transaction",
        chain=LOG.chain,
        index=SINGLE.index,
        size=len(LOG.leaves),
        root=LOG.checkpoint().root,
        height=1,
        time=SINGLE.leaf.time,
        is_last=False,
        validators=("member-0", "member-1", "member-2", "member-3", "member-4"),
        validators_all=7,
        validators_signed_at=LOG.time + 5,
        witnesses=("witness-0", "witness-1"),
        witnesses_all=3,
        witnessed_at=LOG.time + 7,
        validator_set=0,
        applied=True,
        code=0,
        txid=SINGLE.leaf.txid,
        actor=SINGLE.header.actor,
        key=SINGLE.header.key,
        entry=SINGLE.entries[0],
        entry_index=0,
        entry_count=1,
        document_at="commitment",
    )


def test_refused_transaction_is_never_applied() -> None:
    """Given a refused transaction's receipt, when it is verified, then the code is told and nothing is applied."""
    verified = verify_receipt(KINDS["refused"][0], TRUST)
    assert (verified.applied, verified.code) == (False, 501)


def test_refusal_cannot_be_turned_into_a_fact() -> None:
    """Given a refused transaction's receipt, when its code is edited to 0, then nothing is proved."""
    altered = KINDS["refused"][0].replace(b'"code":501', b'"code":0')
    assert altered != KINDS["refused"][0]
    assert verdicts(altered) == (None, None)


def edit_proof(edit: Callable[[dict[str, Any]], None], receipt: bytes = RECEIPT) -> bytes:
    """Return the receipt with its JSON line edited, canonical again."""
    *lines, proof, end = receipt.split(b"\n")
    content = json.loads(proof)
    edit(content)
    return b"\n".join([*lines, verify.canonical_json(content), end])


OTHER = b64encode(bytes(range(32))).decode()
CANONICAL_EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another entry": lambda proof: proof["entry"].update(record_set=7),
    "another entry number": lambda proof: proof.update(entry_index=1),
    "another salt": lambda proof: proof.update(entry_salt=OTHER),
    "a longer entry path": lambda proof: proof.update(entry_path=[OTHER]),
    "another actor": lambda proof: proof["header"].update(actor=OTHER),
    "another chain": lambda proof: proof["header"].update(chain="other-" + "0" * 32),
    "another count": lambda proof: proof["header"].update(count=2),
    "another expiry": lambda proof: proof["header"].update(expires_at=1),
    "another version": lambda proof: proof["header"].update(version=2),
    "another root": lambda proof: proof["header"].update(root=OTHER),
    "another signing key": lambda proof: proof["header"].update(key=OTHER),
    "another signature": lambda proof: proof.update(signature=b64encode(bytes(64)).decode()),
    "another code": lambda proof: proof["leaf"].update(code=501),
    "another time": lambda proof: proof["leaf"].update(time=1),
    "another id": lambda proof: proof["leaf"].update(txid=OTHER),
    "another outcome": lambda proof: proof["leaf"].update(outcome_digest=OTHER),
    "another opening": lambda proof: proof["opening"].update(salt=OTHER),
    "opening removed": lambda proof: proof.pop("opening"),
    "an unknown field": lambda proof: proof.update(note="x"),
    "an unknown field in the header": lambda proof: proof["header"].update(note="x"),
    "a true number": lambda proof: proof["leaf"].update(code=False),
    "a null": lambda proof: proof["entry"].update(note=None),
    "a float": lambda proof: proof["entry"].update(note=1.5),
    "a huge number": lambda proof: proof["entry"].update(note=2**53),
    "an umlaut": lambda proof: proof["entry"].update(note="\u00fc"),
    "a control character": lambda proof: proof["entry"].update(note="a\nb"),
    "a deep value": lambda proof: proof["entry"].update(note=json.loads("[" * 17 + "]" * 17)),
    "no type": lambda proof: proof["entry"].pop("type"),
    "the leaf of the block": lambda proof: proof.update(leaf=json.loads(LOG.leaves[BLOCK])),
}


@pytest.mark.parametrize("edit", CANONICAL_EDITS)
def test_refused_when_any_link_is_altered(edit: str) -> None:
    """Given a receipt whose JSON was altered and encoded canonically again, then neither verifier proves it."""
    altered = edit_proof(CANONICAL_EDITS[edit])
    assert altered != RECEIPT
    assert verdicts(altered, DOCUMENT) == (None, None)


def test_signature_is_needed_even_when_every_hash_fits() -> None:
    """Given a leaf logged for a header that its key never signed, then neither verifier proves the entry."""
    forged = replace(SINGLE, signature=BATCH.signature)
    assert verdicts(LOG.entry_receipt(forged)) == (None, None)


def test_entry_needs_the_leaf_of_its_own_transaction() -> None:
    """Given a good transaction shown with the leaf of another one, then neither verifier proves it."""
    forged = replace(BATCH, leaf=SINGLE.leaf, index=SINGLE.index)
    assert verdicts(LOG.entry_receipt(forged)) == (None, None)


def test_transaction_signed_for_another_chain_is_refused() -> None:
    """Given a log that took up a transaction signed for another chain, then neither verifier proves it."""
    log = LogBuilder(seed="replay", validators=1, witnesses=0)
    replayed = log.transact({"type": "tests.note"}, chain="other-" + "0" * 32)
    log.end_block()
    receipt, trust = log.entry_receipt(replayed), log.trust_bytes()
    with pytest.raises(ProofError, match="signed for another chain"):
        verify_receipt(receipt, read_trust(trust))
    with pytest.raises(verify.ProofError, match="signed for another chain"):
        verify.verify(receipt, verify.read_trust(trust))


ODD_ENTRIES = {
    "a float": b'{"note":1.5,"type":"t"}',
    "a whole float": b'{"note":1.0,"type":"t"}',
    "a null": b'{"note":null,"type":"t"}',
    "a number of 2^53": b'{"note":9007199254740992,"type":"t"}',
    "a number below -2^53": b'{"note":-9007199254740992,"type":"t"}',
    "a number of 30 digits": b'{"note":100000000000000000000000000000,"type":"t"}',
    "a float in a list": b'{"note":[{"a":[1.5]}],"type":"t"}',
    "keys out of order": b'{"type":"t","note":1}',
    "a key twice": b'{"note":1,"note":1,"type":"t"}',
    "a space": b'{"note": 1,"type":"t"}',
    "an umlaut": '{"note":"ü","type":"t"}'.encode(),
    "an umlaut as a key": '{"type":"t","ü":1}'.encode(),
    "an escaped letter": b'{"note":"\\u0041","type":"t"}',
    "an escaped solidus": b'{"note":"\\/","type":"t"}',
    "an escaped line feed": b'{"note":"\\n","type":"t"}',
    "the delete character": b'{"note":"\x7f","type":"t"}',
    "no type": b'{"note":1}',
    "a type that is a number": b'{"type":1}',
    "an empty type": b'{"type":""}',
    "a list": b'["t"]',
    "a text": b'"t"',
    "too long": b'{"note":"' + b"x" * 64_000 + b'","type":"t"}',
}


@pytest.mark.parametrize("odd", ODD_ENTRIES)
def test_entry_outside_the_profile_is_refused_though_every_hash_fits(odd: str) -> None:
    """Given an honest log of an entry that no ledger would take, then neither verifier proves it."""
    log = LogBuilder(seed="odd", validators=1, witnesses=0)
    logged = log.transact_encoded(ODD_ENTRIES[odd])
    log.end_block()
    receipt, trust = log.entry_receipt(logged), log.trust_bytes()
    with pytest.raises(ProofError):
        verify_receipt(receipt, read_trust(trust))
    with pytest.raises(verify.ProofError):
        verify.verify(receipt, verify.read_trust(trust))


@pytest.mark.parametrize(
    "entry",
    [
        b'{"note":"a quotation \\" mark and a \\\\ backslash \\\\","type":"t"}',
        b'{"note":[true,false,-1,9007199254740991,{}],"type":"t"}',
        b'{"note":"' + b"x" * 63_000 + b'","type":"t"}',
        b'{"note":"},\\"state\\":{ [[ ","type":"t"}',
    ],
    ids=["escapes", "values", "long", "brackets in a text"],
)
def test_entry_at_the_edge_of_the_profile_is_proved(entry: bytes) -> None:
    """Given an entry that is unusual but of the profile, then both verifiers prove it, byte for byte."""
    log = LogBuilder(seed="edge", validators=1, witnesses=0)
    logged = log.transact_encoded(entry)
    log.end_block()
    receipt, trust = log.entry_receipt(logged), log.trust_bytes()
    assert verify_receipt(receipt, read_trust(trust)).entry == entry
    assert verify.verify(receipt, verify.read_trust(trust)).entry == entry


TEXT_EDITS: dict[str, Callable[[bytes], bytes]] = {
    "carriage returns": lambda text: text.replace(b"\n", b"\r\n"),
    "no last line feed": lambda text: text[:-1],
    "one line feed more": lambda text: text + b"\n",
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "a leading zero": lambda text: text.replace(b"\nindex ", b"\nindex 0"),
    "a plus sign": lambda text: text.replace(b"\nindex ", b"\nindex +"),
    "an extra line": lambda text: text.replace(b"\nindex ", b"\nextra AAAA\nindex "),
    "a space in the JSON": lambda text: text.replace(b'":', b'": ', 1),
    "an escape in the JSON": lambda text: text.replace(b'"records.commit"', b'"records\\u002ecommit"'),
    "a key twice": lambda text: text.replace(b'"entry_index":0', b'"entry_index":0,"entry_index":0'),
    "minus zero": lambda text: text.replace(b'"entry_index":0', b'"entry_index":-0'),
    "an exponent": lambda text: text.replace(b'"entry_index":0', b'"entry_index":0e1'),
    "signatures in another order": lambda text: _reversed_signatures(text),
    "a signature line twice": lambda text: _doubled_signature(text),
    "too long": lambda text: text + b" " * verify.RECEIPT_BYTES_MAX,
}


def _signature_lines(text: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, body, signatures, proof = text.split(b"\n\n")
    return head + b"\n\n" + body + b"\n\n", signatures.split(b"\n"), b"\n\n" + proof


def _reversed_signatures(text: bytes) -> bytes:
    before, lines, after = _signature_lines(text)
    return before + b"\n".join(reversed(lines)) + after


def _doubled_signature(text: bytes) -> bytes:
    before, lines, after = _signature_lines(text)
    return before + b"\n".join(sorted([*lines, lines[0]])) + after


@pytest.mark.parametrize("edit", TEXT_EDITS)
def test_refused_when_the_text_is_not_the_one_form(edit: str) -> None:
    """Given the same receipt written in another way, then both verifiers call it damaged."""
    altered = TEXT_EDITS[edit](RECEIPT)
    assert altered != RECEIPT
    with pytest.raises(verify.Damaged):
        verify.verify(altered, COURT_TRUST)
    assert verdicts(altered) == (None, None)


def test_document_of_another_byte_is_refused() -> None:
    """Given a document that differs by one byte, then neither verifier proves that the entry is about it."""
    assert verdicts(RECEIPT, DOCUMENT + b" ") == (None, None)


def test_document_without_opening_is_refused() -> None:
    """Given a receipt without an opening, or of no entry, when a document is given, then it is not proved."""
    assert verdicts(KINDS["batch entry"][0], DOCUMENT) == (None, None)
    assert verdicts(KINDS["block leaf"][0], DOCUMENT) == (None, None)


def test_commitment_is_found_wherever_the_entry_names_it() -> None:
    """Given a batch-like entry with a list of commitments, then the place of the right one is told."""
    log = LogBuilder(seed="list")
    entry, opening = record_entry(log)
    logged = log.transact({"type": "tests.many", "documents": [{"commitment": OTHER}, entry]})
    log.end_block()
    receipt, trust = log.entry_receipt(logged, opening=opening), log.trust_bytes()
    assert verify_receipt(receipt, read_trust(trust), DOCUMENT).document_at == "documents[1].commitment"
    assert verify.verify(receipt, verify.read_trust(trust), DOCUMENT).document_at == "documents[1].commitment"


def test_altered_receipts_are_never_accepted() -> None:
    """Given 800 single-bit changes and 200 line edits of receipts of all kinds, then neither verifier accepts one."""
    assert_none_accepted([KINDS[kind] for kind in KINDS if kind != "everyone signed"], flips=800, edits=200, seed=1)


def assert_none_accepted(receipts: list[tuple[bytes, bytes | None]], *, flips: int, edits: int, seed: int) -> None:
    """Alter receipts in turn; every alteration must be refused by both verifiers.

    A receipt whose opening is not used (no document given) is left out: what is not read cannot be checked.
    """
    used = [(text, document) for text, document in receipts if document or b'"opening"' not in text]
    random = Random(seed)
    for number in range(flips + edits):
        text, document = used[number % len(used)]
        if number < flips:
            (altered,) = bit_flips(text, 1, random.randrange(2**32))
        else:
            foreign = used[(number + 1) % len(used)][0]
            (altered,) = line_edits(text, foreign, 1, random.randrange(2**32))
        assert verdicts(altered, document) == (None, None), f"seed {seed}, number {number}: accepted {altered!r}"


@pytest.mark.prove
def test_receipts_1000_and_mutations_5000() -> None:
    """Given 1,000 receipts, then both verifiers agree; of 4,000 bit changes and 1,000 line edits none passes."""
    receipts = []
    log = LogBuilder(seed="prove", validators=5, witnesses=1)
    logged = [(log.transact(record_entry(log, n)[0]), record_entry(log, n)[1]) for n in range(1_000)]
    log.end_block()
    trust = log.trust_bytes()
    fast_trust, court_trust = read_trust(trust), verify.read_trust(trust)
    for transaction, opening in logged:
        receipt = log.entry_receipt(transaction, opening=opening)
        fast = struct_asdict(verify_receipt(receipt, fast_trust, DOCUMENT))
        assert fast == asdict(verify.verify(receipt, court_trust, DOCUMENT))
        receipts.append(receipt)
    random = Random(2)
    for number in range(5_000):
        text, seed = receipts[number % 1_000], random.randrange(2**32)
        foreign = receipts[(number + 1) % 1_000]
        (altered,) = bit_flips(text, 1, seed) if number < 4_000 else line_edits(text, foreign, 1, seed)
        with pytest.raises(verify.ProofError):
            verify.verify(altered, court_trust, DOCUMENT)
        with pytest.raises(ProofError):
            verify_receipt(altered, fast_trust, DOCUMENT)


def test_bit_flips_of_a_surplus_cosignature_are_refused() -> None:
    """Given a receipt that more than enough signed, when any bit of a surplus line changes, then it is refused."""
    receipt = KINDS["everyone signed"][0]
    start = receipt.index(b"\xe2\x80\x94 witness-2 ")
    end = receipt.index(b"\n", start)
    for bit in range(8 * start, 8 * (end + 1), 5):
        altered = bytearray(receipt)
        altered[bit // 8] ^= 1 << bit % 8
        assert verdicts(bytes(altered)) == (None, None), f"bit {bit}"


def test_removing_a_surplus_cosignature_proves_the_same_statement() -> None:
    """Given a receipt that more than enough signed, when one line is removed, then the statement stays the same."""
    receipt = KINDS["everyone signed"][0]
    before, lines, after = _signature_lines(receipt)
    fast, court = verdicts(before + b"\n".join(lines[:-1]) + after)
    assert fast is not None and fast == court
    whole = struct_asdict(verify_receipt(receipt, TRUST))
    assert {name: fast[name] for name in fast if name != "witnesses"} == {
        name: whole[name] for name in whole if name != "witnesses"
    }


def test_lines_by_entirely_unknown_keys_are_ignored() -> None:
    """Given one more line by a key that nobody knows, of any algorithm, then the facts are as without it."""
    before, lines, after = _signature_lines(KINDS["batch entry"][0])
    stranger = cosign(LOG.checkpoint(), key=LOG.key("stranger"), name="stranger", time=LOG.time)
    other_kind = SignatureLine(name="witness-0", key_id=b"\x01\x02\x03\x04", signature=bytes(2_420))
    for line in (stranger, other_kind):
        text = before + b"\n".join(sorted([*lines, line.text.encode()])) + after
        assert verdicts(text) == verdicts(KINDS["batch entry"][0])
        assert verdicts(text)[0] is not None


@pytest.mark.parametrize("shared", ["name", "id"])
def test_lines_that_share_half_of_a_known_key_are_refused(shared: str) -> None:
    """Given one more line with a trusted name but another id, or the reverse, then the receipt is refused."""
    before, lines, after = _signature_lines(KINDS["batch entry"][0])
    known = parse_receipt(KINDS["batch entry"][0]).signatures[0]
    line = struct_replace(known, key_id=b"\x01\x02\x03\x04") if shared == "name" else struct_replace(known, name="x")
    text = before + b"\n".join(sorted([*lines, line.text.encode()])) + after
    assert verdicts(text) == (None, None)


def large_receipt() -> tuple[bytes, LogBuilder]:
    """Return the receipt of a leaf among 10^6, the other subtrees being random hashes, with eight cosignatures."""
    log = LogBuilder(seed="large", validators=9, witnesses=1)
    logged = log.transact({"type": "tests.note", "number": 1})
    size, index = 1_000_000, 371_234
    start, end, length = 0, size, 0
    while end - start > 1:
        middle = start + split_point(end - start)
        start, end = (start, middle) if index < middle else (middle, end)
        length += 1
    path = tuple(log.chance("subtree", level) for level in range(length))
    root = root_from_path(leaf=log.hashes[logged.index], index=index, size=size, path=path)
    checkpoint = Checkpoint(origin=log.chain, size=size, root=root)
    proof = parse_receipt(log.entry_receipt(logged)).proof
    assert isinstance(proof, EntryProof)
    receipt = struct_replace(
        parse_receipt(log.entry_receipt(logged)),
        index=index,
        path=path,
        checkpoint=checkpoint,
        signatures=log.cosignatures(checkpoint),
    )
    return format_receipt(receipt), log


def test_large_receipt_is_small_and_fast() -> None:
    """Given a one-message transaction among 10^6 leaves and 8 cosignatures, then proof < 2 kB, file < 8 kB, < 1 ms."""
    receipt, log = large_receipt()
    trust = read_trust(log.trust_bytes())
    assert receipt.count(b"\xe2\x80\x94 ") == 8
    assert receipt.index(b"\n\n{") < 2_048
    assert len(receipt) < 8_192
    best = 1.0
    for _ in range(50):
        started = perf_counter()
        verified = verify_receipt(receipt, trust)
        best = min(best, perf_counter() - started)
    assert verified.size == 1_000_000
    assert best < 0.001, f"{best * 1e6:.0f} µs"


def test_present_and_absent_rows() -> None:
    """Given state proofs, then the row or its absence is proved, and `is_last` says whether it is the newest state."""
    present = verify_receipt(KINDS["present row"][0], TRUST)
    absent = verify_receipt(KINDS["absent row"][0], TRUST)
    assert (present.table, present.row_key, present.row, present.is_last) == (
        "consent.grants",
        b"present",
        b'{"status":1}',
        True,
    )
    assert (absent.row_key, absent.row, absent.is_last) == (b"absent", None, True)


def test_older_state_is_not_the_newest() -> None:
    """Given a state proof under a checkpoint with later leaves, then it is only as of its height."""
    log = LogBuilder(seed="older", validators=1, witnesses=0)
    log.put_row("consent.grants", b"k", {"status": 1})
    index = log.end_block()
    log.transact({"type": "tests.note"})
    log.end_block()
    receipt, trust = log.state_receipt("consent.grants", b"k", index), log.trust_bytes()
    verified = verify.verify(receipt, verify.read_trust(trust))
    assert verified == verify.Verified(**struct_asdict(verify_receipt(receipt, read_trust(trust))))
    assert (verified.is_last, verified.height) == (False, 1)
    assert "as of height 1, not necessarily later" in verify.explain(verified)


def test_structs_of_both_verifiers_have_the_same_fields() -> None:
    """Given both verifiers' answers, then they have the same fields in the same order."""
    assert VerifiedReceipt.__struct_fields__ == tuple(verify.Verified.__dataclass_fields__)
    assert msgspec.json.decode(msgspec.json.encode(verify_receipt(RECEIPT, TRUST)), type=dict)["kind"] == "transaction"
