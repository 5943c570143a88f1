# SPDX-License-Identifier: Apache-2.0
"""The story attacks itself. Each attack says what it tried and returns how it failed; one that succeeds raises."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from vervain.cli.story.cast import Cast
from vervain.cli.story.sharing import Recipient, request_of
from vervain.ledger.modules.consent.messages import ConsentReason, Purpose, ReadRequested, WithdrawConsent
from vervain.ledger.primitives.errors import ProofError, VervainError
from vervain.ledger.primitives.hashing import actor_id
from vervain.node.audit import audit_node
from vervain.node.sending import NotApplied
from vervain.sdk.wallet import Wallet
from vervain.sealing.receipts import EntryProof, format_receipt, parse_receipt, verify_receipt
from vervain.sealing.signing import build_transaction
from vervain.sealing.trust import read_trust
from vervain.vault.errors import NotReleased


class AttackSucceeded(AssertionError):
    """An attack that must fail did not."""


def _must_fail(what: str, attempt: Callable[[], object], *expected: type[VervainError]) -> str:
    """Run an attempt that must raise; return the words it failed with."""
    try:
        attempt()
    except expected as error:
        return str(error)
    raise AttackSucceeded(what)


def guess_hash_ids(cast: Cast, people: Sequence[tuple[str, str]]) -> str:
    """Hash every patient's name and birth date in every usual way and look for the result among all agreed bytes."""
    agreed = set(_agreed_digests(cast))
    found = [person for person in people if agreed & set(_guesses(*person))]
    if found:
        raise AttackSucceeded("a hash id was guessed from a name")
    leaky = {sha256(f"{name}|{born}".encode()).digest() for name, born in people}
    caught = [person for person in people if leaky & set(_guesses(*person))]
    if len(caught) != len(people):
        raise AttackSucceeded("the planted leaky variant was not caught, so the guess proves nothing")
    return (
        f"{len(people)} names in {len(_guesses('a', 'b'))} ways each: 0 found among {len(agreed)} agreed values; "
        f"a planted variant that hashes names was caught {len(caught)} times"
    )


def _guesses(name: str, born: str) -> list[bytes]:
    texts = [name, name.lower(), f"{name}|{born}", f"{name}{born}", f"{name.lower()}|{born}", f"{born}|{name}", born]
    digests = [sha256(text.encode()).digest() for text in texts]
    return digests + [actor_id(each) for each in digests] + [sha256(each).digest() for each in digests]


def _agreed_digests(cast: Cast) -> Iterator[bytes]:
    """Yield every 32-byte value that stands in any agreed byte."""
    for height in range(1, cast.node.head.height + 1):
        for encoded in cast.node.block(height).transactions:
            yield from _digests_in(json.loads(encoded))


def _digests_in(value: object) -> Iterator[bytes]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _digests_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _digests_in(inner)
    elif isinstance(value, str) and len(value) == 44 and value.endswith("="):
        yield msgspec.convert(value, bytes)


def read_without_a_grant(cast: Cast, reader: Recipient, records: Sequence[int], patient_kem: bytes) -> str:
    """Ask for records under a grant that was never given."""
    forged = msgspec.structs.replace(reader, given=msgspec.structs.replace(reader.given, consent=bytes(32)))
    asked = request_of(cast, forged, records, purpose=Purpose.TREAT, patient_kem=patient_kem)
    return _must_fail("read without a grant", lambda: cast.desk(reader.organisation).send(asked.message), NotApplied)


def read_after_withdrawal(
    cast: Cast, wallet: Wallet, reader: Recipient, records: Sequence[int], patient_kem: bytes
) -> tuple[str, str]:
    """Let a request become final, withdraw, then ask for the key; and ask anew after the withdrawal."""
    asked = request_of(cast, reader, records, purpose=Purpose.TREAT, patient_kem=patient_kem)
    outcome = cast.desk(reader.organisation).send(asked.message)
    (event,) = outcome.events
    assert isinstance(event, ReadRequested)
    at = cast.members[reader.custodian]
    cast.desk(reader.custodian).submit(wallet.sign(at, [wallet.withdraw(reader.given.consent)], now=cast.now).encoded)
    wallet.withdrawn(reader.given.consent)
    shown = asked.release_request(event.access)
    late = _must_fail("key after withdrawal", lambda: cast.desk(reader.custodian).release(shown), NotReleased)
    again = request_of(cast, reader, records, purpose=Purpose.TREAT, patient_kem=patient_kem)
    try:
        cast.desk(reader.organisation).send(again.message)
    except NotApplied as refused:
        if refused.reason is ConsentReason.WITHDRAWN:
            return late, str(refused)
    raise AttackSucceeded("read after withdrawal")


def alter_a_document(receipt: bytes, trust: bytes, stored: bytes) -> str:
    """Change one byte of a document and show it with its genuine receipt."""
    altered = bytearray(stored)
    altered[len(altered) // 2] ^= 1
    genuine = verify_receipt(receipt, read_trust(trust), stored)
    assert genuine.document_at
    return _must_fail(
        "altered document", lambda: verify_receipt(receipt, read_trust(trust), bytes(altered)), ProofError
    )


def replay_a_transaction(cast: Cast, encoded: bytes) -> str:
    """Send a transaction that was ordered before, again; then send it to another chain."""
    before = cast.node.head.log_size
    outcome = cast.node.submit(encoded)
    if not outcome.is_repeat or cast.node.head.log_size != before:
        raise AttackSucceeded("a replay was ordered twice")
    return f"answered with its first outcome, of block {outcome.height}; the log did not grow"


def show_a_refused_one_as_a_fact(cast: Cast, reader: Recipient, trust: bytes) -> str:
    """Get a withdrawal refused, then change its receipt to say that it was applied."""
    stranger = cast.desk(reader.organisation)
    signed = stranger.sign([WithdrawConsent(consent=reader.given.consent)])
    outcome = cast.node.submit(signed.encoded)
    assert outcome.code and isinstance(outcome.leaf_index, int)
    receipt = cast.node.receipt(outcome.leaf_index)
    honest = verify_receipt(format_receipt(receipt), read_trust(trust))
    if honest.applied:
        raise AttackSucceeded("a refused transaction was proved as applied")
    assert isinstance(receipt.proof, EntryProof)
    lying = msgspec.structs.replace(receipt.proof, leaf=msgspec.structs.replace(receipt.proof.leaf, code=0))
    forged = format_receipt(msgspec.structs.replace(receipt, proof=lying))
    parse_receipt(forged)
    return _must_fail("refused as applied", lambda: verify_receipt(forged, read_trust(trust)), ProofError)


def act_with_another_key(cast: Cast, wallet: Wallet, reader: Recipient) -> str:
    """Sign as the patient with the hospital's key."""
    desk = cast.desk(reader.organisation)
    signed = build_transaction(
        [WithdrawConsent(consent=reader.given.consent)],
        chain=cast.node.chain,
        actor=wallet.relationship(cast.members[reader.custodian]).actor,
        key=desk.signing,
        expires_at=cast.now + 300,
    )
    return _must_fail("another's key", lambda: desk.submit(signed.encoded), NotApplied)


def alter_a_past_block(stopped: Path, folder: Path) -> str:
    """Flip one bit of an old block in a copy of the data directory and audit the copy."""
    copy = folder / "altered-copy"
    for name in ("blocks", "state"):
        shutil.copytree(stopped / name, copy / name)
    shutil.copy(stopped / "genesis.json", copy / "genesis.json")
    segment = sorted((copy / "blocks").glob("*.blocks"))[0]
    content = bytearray(segment.read_bytes())
    place = len(content) // 2
    content[place] ^= 1
    segment.write_bytes(content)
    findings = list(audit_node(copy))
    shutil.rmtree(copy)
    if not any(finding.file.endswith(segment.name) for finding in findings):
        raise AttackSucceeded("an altered block was not noticed")
    return f"vervain audit names {findings[0].file} at byte {findings[0].offset}: {findings[0].what}"
