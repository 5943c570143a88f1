# SPDX-License-Identifier: Apache-2.0
"""Trust files: quorums, hand-overs, pins, and files that must be refused; both verifiers agree."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import asdict as struct_asdict
from msgspec.structs import replace

from tests.receipt_builder import LogBuilder, Signer
from vervain import verify
from vervain.ledger.primitives.errors import ProofError
from vervain.sealing.checkpoints import DamagedProof, cosign
from vervain.sealing.receipts import format_receipt, parse_receipt, verify_receipt
from vervain.sealing.trust import PinnedCheckpoint, read_trust


def signed_by(log: LogBuilder, receipt: bytes, validators: int, witnesses: int) -> bytes:
    """Return the receipt with the cosignatures of the first so many validators and witnesses."""
    parsed = parse_receipt(receipt)
    signers = log.signers_of(parsed.checkpoint.size)[:validators] + log.outside[:witnesses]
    lines = tuple(cosign(parsed.checkpoint, key=one.key, name=one.name, time=log.time) for one in signers)
    return format_receipt(replace(parsed, signatures=lines))


def is_proved(receipt: bytes, trust: bytes) -> bool:
    """Tell whether the receipt is proved; both verifiers must agree."""
    try:
        verify_receipt(receipt, read_trust(trust))
        fast = True
    except ProofError:
        fast = False
    try:
        verify.verify(receipt, verify.read_trust(trust))
        court = True
    except verify.ProofError:
        court = False
    assert fast == court
    return fast


@pytest.mark.parametrize("count", range(1, 11))
def test_more_than_two_thirds_of_the_power_are_needed(count: int) -> None:
    """Given 1 to 10 validators, then exactly the numbers above two thirds prove; the next lower does not."""
    log = LogBuilder(seed="quorum", validators=count, witnesses=0)
    receipt, trust = log.leaf_receipt(1, everyone=True), log.trust_bytes()
    needed = 2 * count // 3 + 1
    assert is_proved(signed_by(log, receipt, needed, 0), trust)
    if needed > 1:
        assert not is_proved(signed_by(log, receipt, needed - 1, 0), trust)


@pytest.mark.parametrize("count", range(1, 7))
def test_most_outside_witnesses_are_needed(count: int) -> None:
    """Given 1 to 6 witnesses in the trust file, then more than half of them prove, half do not."""
    log = LogBuilder(seed="witnesses", validators=1, witnesses=count)
    receipt, trust = log.leaf_receipt(1, everyone=True), log.trust_bytes()
    assert is_proved(signed_by(log, receipt, 1, count // 2 + 1), trust)
    assert not is_proved(signed_by(log, receipt, 1, count // 2), trust)


def test_power_counts_not_heads() -> None:
    """Given four validators of whom one has most of the power, then three heads without it do not prove."""
    log = LogBuilder(seed="power", validators=4, witnesses=0)
    heavy, *light = log.sets[0][1]
    voters = (Signer(heavy.name, heavy.key, heavy.organisation, heavy.engine_key, power=10), *light)
    content = json.loads(log.trust_bytes()) | {"handovers": [{"validators": [_plain(voter) for voter in voters]}]}
    trust = verify.canonical_json(content)
    receipt = log.leaf_receipt(1, everyone=True)
    parsed = parse_receipt(receipt)
    without_heavy = format_receipt(replace(parsed, signatures=parsed.signatures[1:]))
    assert is_proved(signed_by(log, receipt, 1, 0), trust)
    assert not is_proved(without_heavy, trust)


def _plain(signer: Signer) -> dict[str, Any]:
    trusted = struct_asdict(signer.trusted)
    return {name: verify._base64(value) if isinstance(value, bytes) else value for name, value in trusted.items()}


def handed_over(times: int) -> tuple[LogBuilder, bytes, bytes]:
    """Return a log whose validators changed so often, with new keys each time, an early and a late receipt."""
    log = LogBuilder(seed="handovers", validators=4, witnesses=1)
    early = log.transact({"type": "tests.note", "number": 0})
    log.end_block()
    first = log.entry_receipt(early)
    for epoch in range(1, times + 1):
        log.transact({"type": "tests.note", "number": epoch})
        log.end_block(log.validator_set(epoch, 4 + epoch % 3))
    late = log.transact({"type": "tests.note", "number": -1})
    log.end_block()
    return log, first, log.entry_receipt(late)


def test_first_epoch_verifies_after_twenty_handovers() -> None:
    """Given 20 changes of validators and keys, then receipts of the first and the last epoch are both proved."""
    log, early, late = handed_over(20)
    trust = log.trust_bytes()
    fast, court = read_trust(trust), verify.read_trust(trust)
    assert [one.from_size for one in fast.sets] == [one.from_size for one in court.sets]
    assert verify_receipt(early, fast).validator_set == verify.verify(early, court).validator_set == 0
    assert verify_receipt(late, fast).validator_set == verify.verify(late, court).validator_set == 20


def test_former_validators_cannot_sign_for_later_leaves() -> None:
    """Given a hand-over, when the former set signs a later checkpoint, then it is not proved."""
    log, _, late = handed_over(1)
    parsed = parse_receipt(late)
    former = log.sets[0][1] + log.outside
    lines = tuple(cosign(parsed.checkpoint, key=one.key, name=one.name, time=log.time) for one in former)
    assert not is_proved(format_receipt(replace(parsed, signatures=lines)), log.trust_bytes())


def test_out_of_date_trust_file_does_not_prove_later_receipts() -> None:
    """Given a trust file without the last hand-over, then a later receipt is not proved, an earlier one is."""
    log, early, late = handed_over(2)
    content = json.loads(log.trust_bytes())
    content["handovers"].pop()
    trust = verify.canonical_json(content)
    assert is_proved(early, trust)
    assert not is_proved(late, trust)


def altered_trust(edit: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return the trust file of a log with two hand-overs, edited."""
    log, _, _ = handed_over(2)
    content = json.loads(log.trust_bytes())
    edit(content)
    return json.dumps(content).encode()


def _swap_handovers(content: dict[str, Any]) -> None:
    handovers = content["handovers"]
    handovers[1], handovers[2] = handovers[2], handovers[1]


TRUST_EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a later set without its receipt": lambda file: file["handovers"][1].pop("receipt"),
    "the last set without its receipt": lambda file: file["handovers"][2].pop("receipt"),
    "hand-overs in another order": _swap_handovers,
    "a hand-over left out": lambda file: file["handovers"].pop(1),
    "a hand-over twice": lambda file: file["handovers"].append(file["handovers"][2]),
    "other power": lambda file: file["handovers"][1]["validators"][0].update(power=2),
    "another cosigning key": lambda file: file["handovers"][1]["validators"][0].update(
        cosigning_key=file["witnesses"][0]["key"]
    ),
    "no power": lambda file: file["handovers"][0]["validators"][0].update(power=0),
    "no validators": lambda file: file["handovers"][0].update(validators=[]),
    "no hand-overs": lambda file: file.update(handovers=[]),
    "a validator twice": lambda file: file["handovers"][0]["validators"].append(file["handovers"][0]["validators"][0]),
    "a witness twice": lambda file: file["witnesses"].append(file["witnesses"][0]),
    "a validator as its own witness": lambda file: file["witnesses"][0].update(
        key=file["handovers"][0]["validators"][0]["cosigning_key"]
    ),
    "a name with a space": lambda file: file["witnesses"][0].update(name="a b"),
    "a name with a plus": lambda file: file["witnesses"][0].update(name="a+b"),
    "a short key": lambda file: file["witnesses"][0].update(key="AAAA"),
    "stray bits in a key": lambda file: file["witnesses"][0].update(key="A" * 42 + "B="),
    "an unknown field": lambda file: file.update(note="x"),
    "a float": lambda file: file["handovers"][0]["validators"][0].update(power=1.0),
    "a truth value": lambda file: file["handovers"][0]["validators"][0].update(power=True),
    "a null": lambda file: file.update(pinned=None),
    "another chain": lambda file: file.update(chain="other"),
    "33 witnesses": lambda file: file.update(
        witnesses=[{"name": f"w{n}", "key": verify._base64(n.to_bytes(32, "big"))} for n in range(33)]
    ),
}


@pytest.mark.parametrize("edit", TRUST_EDITS)
def test_altered_trust_file_is_refused(edit: str) -> None:
    """Given a trust file with one part altered, then neither verifier takes it."""
    altered = altered_trust(TRUST_EDITS[edit])
    with pytest.raises(ProofError):
        read_trust(altered)
    with pytest.raises(verify.ProofError):
        verify.read_trust(altered)


@pytest.mark.parametrize("field", ["engine_key", "organisation", "cosigning_key"])
def test_stray_bits_that_nothing_else_would_show_are_damaged(field: str) -> None:
    """Given a trust file without receipts, when a key's base64 has stray bits, then both verifiers call it damaged."""
    content = json.loads(LogBuilder(validators=2, witnesses=0).trust_bytes())
    content["handovers"][0]["validators"][0][field] = "A" * 42 + "B="
    for read in (read_trust, verify.read_trust):
        with pytest.raises((DamagedProof, verify.Damaged)):
            read(verify.canonical_json(content))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"chain":"a","chain":"a"}', b"\xff", b'{"a":1e3}', b"[" * 40, b'{"pinned":NaN}']
)
def test_file_of_no_form_is_damaged(text: bytes) -> None:
    """Given bytes that are no trust file, then both verifiers call them damaged."""
    with pytest.raises(DamagedProof):
        read_trust(text)
    with pytest.raises(verify.Damaged):
        verify.read_trust(text)


def test_key_twice_is_damaged() -> None:
    """Given a good trust file with one key written twice, then both verifiers call it damaged."""
    text = LogBuilder().trust_bytes().replace(b'"chain":', b'"chain": "x", "chain":', 1)
    with pytest.raises(DamagedProof):
        read_trust(text)
    with pytest.raises(verify.Damaged):
        verify.read_trust(text)


def test_handover_must_be_signed_by_the_set_before() -> None:
    """Given a hand-over whose receipt only the new set signed, then the trust file is refused."""
    log = LogBuilder(seed="coup", validators=4, witnesses=0)
    usurpers = log.validator_set(9, 4)
    log.end_block(usurpers)
    parsed = parse_receipt(bytes(log.handovers[1].receipt))  # type: ignore[arg-type] # a hand-over just made has one
    lines = tuple(cosign(parsed.checkpoint, key=one.key, name=one.name, time=log.time) for one in usurpers)
    forged = replace(log.handovers[1], receipt=format_receipt(replace(parsed, signatures=lines)))
    log.handovers[1] = forged
    trust = log.trust_bytes()
    with pytest.raises(ProofError, match=r"Too few validators|does not fit"):
        read_trust(trust)
    with pytest.raises(verify.ProofError, match=r"Too few validators|does not fit"):
        verify.read_trust(trust)


def test_founding_set_with_receipt_stands_beside_the_genesis_leaf() -> None:
    """Given the founding set's receipt, then it is checked against the genesis leaf; of another leaf it is refused."""
    log = LogBuilder(seed="founding", validators=3, witnesses=1)
    log.transact({"type": "tests.note"})
    later = log.end_block()
    log.handovers[0] = replace(log.handovers[0], receipt=log.leaf_receipt(1))
    assert is_proved(log.leaf_receipt(later), log.trust_bytes())
    log.handovers[0] = replace(log.handovers[0], receipt=log.leaf_receipt(later))
    for read in (read_trust, verify.read_trust):
        with pytest.raises((ProofError, verify.ProofError), match="beside the genesis leaf"):
            read(log.trust_bytes())


def test_founding_set_beside_another_genesis_leaf_is_refused() -> None:
    """Given the founding set's receipt and another genesis leaf digest, then the trust file is refused."""
    log = LogBuilder(seed="founding", validators=3, witnesses=1)
    log.handovers[0] = replace(log.handovers[0], receipt=log.leaf_receipt(1))
    content = json.loads(log.trust_bytes()) | {"genesis_leaf_digest": verify._base64(bytes(32))}
    for read in (read_trust, verify.read_trust):
        with pytest.raises((ProofError, verify.ProofError), match="beside the genesis leaf"):
            read(verify.canonical_json(content))


def test_genesis_leaf_that_does_not_name_its_chain_is_refused() -> None:
    """Given a chain whose name was not made from its genesis digest, then its genesis receipt is not proved."""
    log = LogBuilder(seed="misnamed", validators=1, witnesses=1, chain="demo-" + "0" * 32)
    assert not is_proved(log.leaf_receipt(0), log.trust_bytes())
    assert is_proved(log.leaf_receipt(1), log.trust_bytes())


def test_pinned_checkpoint_of_another_root_is_refused() -> None:
    """Given a pinned checkpoint, then the same root at its size is proved and another is not."""
    log = LogBuilder(seed="pinned", validators=1, witnesses=1)
    receipt, head = log.leaf_receipt(1), log.checkpoint()
    same = PinnedCheckpoint(size=head.size, root=head.root)
    other = PinnedCheckpoint(size=head.size, root=bytes(32))
    assert is_proved(receipt, log.trust_bytes(pinned=[same]))
    assert not is_proved(receipt, log.trust_bytes(pinned=[other]))
    assert is_proved(receipt, log.trust_bytes(pinned=[PinnedCheckpoint(size=head.size + 1, root=bytes(32))]))


def test_genesis_leaf_of_another_digest_is_refused() -> None:
    """Given a trust file with another genesis leaf digest, then the genesis receipt is not proved."""
    log = LogBuilder(seed="genesis", validators=1, witnesses=1)
    content = json.loads(log.trust_bytes()) | {"genesis_leaf_digest": verify._base64(bytes(32))}
    assert is_proved(log.leaf_receipt(0), log.trust_bytes())
    assert not is_proved(log.leaf_receipt(0), verify.canonical_json(content))


def test_receipt_of_another_chain_is_refused() -> None:
    """Given the trust file of another chain, then nothing is proved."""
    log = LogBuilder(seed="mine", validators=1, witnesses=1)
    content = json.loads(log.trust_bytes()) | {"chain": "other-" + "0" * 32}
    assert not is_proved(log.leaf_receipt(1), verify.canonical_json(content))
