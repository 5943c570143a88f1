# SPDX-License-Identifier: Apache-2.0
"""Verify receipts in under a millisecond: the verdict of `verify.py`, by other code over pinned libraries.

Chain of proof: entry -> salt -> header root -> header signature -> transaction id -> leaf -> inclusion path ->
checkpoint -> cosignatures of the trust file; a document by its opening; a row of the state by the proved root.

What is not checked, and why: whether the statement is true, who stands behind an actor id, and whether a later entry
withdrew it. No receipt can show these.

Source: contracts.md "Receipt"; architecture.md "Checkpoint and receipt".
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from vervain.ledger.machine.block import GenesisLeaf
from vervain.ledger.machine.limits import TRANSACTION_ENTRIES_MAX
from vervain.ledger.machine.transaction import entry_leaf
from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import TX, TXID, leaf_hash, record_commitment, sha256
from vervain.ledger.primitives.merkle_log import root_from_path
from vervain.sealing.checkpoints import damaged
from vervain.sealing.commitments import Opening
from vervain.sealing.receipt_format import (
    EntryProof,
    LeafProof,
    Receipt,
    StateProof,
    format_receipt,
    parse_receipt,
)
from vervain.sealing.state_proofs import verify_state
from vervain.sealing.trust import Signers, Trust, verify_leaf

__all__ = [
    "EntryProof",
    "LeafProof",
    "Opening",
    "Receipt",
    "StateProof",
    "VerifiedReceipt",
    "format_receipt",
    "parse_receipt",
    "verify_receipt",
]


class VerifiedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt proves; the attributes are those of `verify.Verified`, where each is explained."""

    kind: str
    chain: str
    index: int
    size: int
    root: bytes
    height: int
    time: int
    is_last: bool
    validators: tuple[str, ...]
    validators_all: int
    validators_signed_at: int
    witnesses: tuple[str, ...]
    witnesses_all: int
    witnessed_at: int
    validator_set: int
    applied: bool = True
    code: int = 0
    txid: bytes = b""
    actor: bytes = b""
    key: bytes = b""
    entry: bytes = b""
    entry_index: int = 0
    entry_count: int = 0
    document_at: str = ""
    opening_unchecked: bool = False
    table: str = ""
    row_key: bytes = b""
    row: bytes | None = None
    next_validators: bytes = b""


def verify_receipt(encoded: bytes, trust: Trust, document: bytes | None = None) -> VerifiedReceipt:
    """Verify a receipt against the reader's own trust and return what it proves.

    A receipt of a refused transaction verifies too: look at `applied`.

    Args:
        encoded: Bytes of the `.receipt` file.
        trust: From `trust.read_trust`.
        document: The document's stored bytes, when the receipt's opening is to be checked.

    Raises: DamagedProof for a text that is no receipt, ProofError when it does not prove what it says.
    """
    receipt = parse_receipt(encoded)
    signers = verify_leaf(
        leaf=receipt.proof.leaf_bytes,
        index=receipt.index,
        path=receipt.path,
        checkpoint=receipt.checkpoint,
        lines=receipt.signatures,
        trust=trust,
    )
    verified = _verified_leaf(receipt, signers)
    if isinstance(receipt.proof, EntryProof):
        return _verified_entry(receipt.proof, verified, document)
    if document is not None:
        raise ProofError("This receipt is not about a document", do="Leave out the document.")
    if isinstance(receipt.proof, StateProof):
        return _verified_state(receipt.proof, verified)
    if isinstance(receipt.proof.leaf, GenesisLeaf):
        _require_genesis(receipt, receipt.proof.leaf, trust)
        return verified
    return replace(verified, next_validators=receipt.proof.leaf.next_validators)


def _verified_leaf(receipt: Receipt, signers: Signers) -> VerifiedReceipt:
    """State what holds for every kind of leaf."""
    leaf, checkpoint = receipt.proof.leaf, receipt.checkpoint
    return VerifiedReceipt(
        kind=leaf.kind,
        chain=checkpoint.origin,
        index=receipt.index,
        size=checkpoint.size,
        root=checkpoint.root,
        height=0 if isinstance(leaf, GenesisLeaf) else leaf.height,
        time=leaf.time,
        is_last=receipt.index == checkpoint.size - 1,
        validators=signers.validators,
        validators_all=signers.validators_all,
        validators_signed_at=signers.validators_signed_at,
        witnesses=signers.witnesses,
        witnesses_all=signers.witnesses_all,
        witnessed_at=signers.witnessed_at,
        validator_set=signers.validator_set,
    )


def _verified_entry(proof: EntryProof, verified: VerifiedReceipt, document: bytes | None) -> VerifiedReceipt:
    """Entry -> salt -> header root -> header signature -> transaction id -> leaf."""
    header = proof.header
    if header.chain != verified.chain:
        raise ProofError("The transaction was signed for another chain", do="Ask for the receipt of this chain.")
    header_bytes = encode(header)
    if not signatures.verify(header.key, TX + header_bytes, proof.signature):
        raise ProofError(
            "The signature of the transaction does not hold", why="The header or the signature was altered"
        )
    txid = sha256(TXID + header_bytes)
    if txid != proof.leaf.txid:
        raise ProofError("The leaf is of another transaction", why="The header or the leaf was exchanged")
    if header.count > TRANSACTION_ENTRIES_MAX:
        damaged("the transaction has too many entries")
    entry = bytes(proof.entry)
    leaf = entry_leaf(proof.entry_salt, entry)
    if header.root != root_from_path(leaf=leaf, index=proof.entry_index, size=header.count, path=proof.entry_path):
        raise ProofError(
            "The entry is not in the signed transaction", why="The entry, its salt, number or path was altered"
        )
    return replace(
        verified,
        applied=proof.leaf.code == 0,
        code=proof.leaf.code,
        txid=txid,
        actor=header.actor,
        key=header.key,
        entry=entry,
        entry_index=proof.entry_index,
        entry_count=header.count,
        document_at=_verified_document(proof, entry, document),
        opening_unchecked=document is None and isinstance(proof.opening, Opening),
    )


def _verified_document(proof: EntryProof, entry: bytes, document: bytes | None) -> str:
    """Opening and document bytes -> commitment -> where it stands in the entry; empty when no document is given."""
    if document is None:
        return ""
    opening = proof.opening
    if not isinstance(opening, Opening):
        raise ProofError("The receipt opens no document", do="Ask the custodian for a receipt with an opening.")
    commitment = record_commitment(
        resource_type=opening.type,
        resource_id=opening.id,
        version=opening.version,
        salt=opening.salt,
        stored=document,
    )
    found = _find_text(msgspec.json.decode(entry), b64encode(commitment).decode(), "")
    if not found:
        raise ProofError(
            "The document is not the one that the entry commits to",
            why="The document or its opening differs by at least one byte from what was committed",
            do="Give the document exactly as the custodian stored it.",
        )
    return found


def _find_text(value: Any, text: str, place: str) -> str:  # Any: JSON of a form that only its module knows
    """Return where `text` stands in a JSON value, such as `documents[2].commitment`; empty when nowhere."""
    if isinstance(value, str):
        return place if value == text else ""
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        inner = ((f"{place}.{name}" if place else name, value[name]) for name in sorted(value))
    elif isinstance(value, list):
        inner = ((f"{place}[{number}]", item) for number, item in enumerate(value))
    return next((found for where, item in inner if (found := _find_text(item, text, where))), "")


def _verified_state(proof: StateProof, verified: VerifiedReceipt) -> VerifiedReceipt:
    return replace(
        verified,
        kind="state",
        table=proof.state.table,
        row_key=proof.state.key,
        row=verify_state(proof.state, proof.leaf.proved_root),
        next_validators=proof.leaf.next_validators,
    )


def _require_genesis(receipt: Receipt, leaf: GenesisLeaf, trust: Trust) -> None:
    is_first = receipt.index == 0 and leaf_hash(receipt.proof.leaf_bytes) == trust.genesis_leaf_digest
    is_named_by_digest = trust.chain.endswith("-" + leaf.genesis_digest[:16].hex())
    if not is_first or leaf.chain != trust.chain or not is_named_by_digest:
        raise ProofError("This is not the genesis leaf of the trust file", do="Use the trust file of that chain.")
