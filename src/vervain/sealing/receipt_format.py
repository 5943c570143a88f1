# SPDX-License-Identifier: Apache-2.0
"""A `.receipt` file: a C2SP tlog-proof, an empty line, and one JSON line with what the leaf is about.

Rules kept:
1. One receipt, one text: canonical base64 and JSON, signature lines in ascending order, no `extra` line.
2. What is parsed formats to the same bytes.
3. Parsing verifies nothing; `receipts.verify_receipt` does.

Source: contracts.md "Receipt"; C2SP tlog-proof.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from vervain.ledger.machine.block import BlockLeaf, GenesisLeaf, TransactionLeaf
from vervain.ledger.machine.limits import MESSAGE_BYTES_MAX
from vervain.ledger.machine.transaction import Header
from vervain.ledger.primitives.codec import INTEGER_MAX, Bytes32, Bytes64, Decoder, Natural, NotCanonical, encode
from vervain.ledger.primitives.merkle_log import PATH_LENGTH_MAX
from vervain.sealing.checkpoints import (
    Checkpoint,
    SignatureLine,
    damaged,
    from_base64,
    parse_body,
    parse_decimal,
    parse_signature_lines,
    to_base64,
)
from vervain.sealing.commitments import Opening
from vervain.sealing.state_proofs import AbsentRow, Path, PresentRow

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
RECEIPT_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 32_000  # an entry, and 32 kB for everything else
_NAME: Final = re.compile(r"[!-*,-~]{1,64}")
_CHAIN: Final = re.compile(r"[!-~]{1,64}")
_PRINTABLE: Final = re.compile(rb"[ -~]*")
_ABSENT: Final = b'},"state":{"bucket_neighbours":'


class EntryProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a transaction.

    Attributes:
        leaf: The transaction's leaf.
        header, signature: What was signed, and the 64-byte signature.
        entry: The entry's canonical bytes.
        entry_index, entry_salt, entry_path: Its number, salt and path to the header's root.
        opening: Opens a record commitment that stands in the entry.
    """

    leaf: TransactionLeaf
    header: Header
    signature: Bytes64
    entry: msgspec.Raw
    entry_index: Natural
    entry_salt: Bytes32
    entry_path: Path
    opening: Opening | msgspec.UnsetType = msgspec.UNSET

    @property
    def leaf_bytes(self) -> bytes:
        """The leaf's canonical bytes."""
        return encode(self.leaf)


class LeafProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block leaf or the genesis leaf, alone."""

    leaf: BlockLeaf | GenesisLeaf

    @property
    def leaf_bytes(self) -> bytes:
        """The leaf's canonical bytes."""
        return encode(self.leaf)


class StateProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block leaf, and one row present or absent under its proved root."""

    leaf: BlockLeaf
    state: PresentRow | AbsentRow

    @property
    def leaf_bytes(self) -> bytes:
        """The leaf's canonical bytes."""
        return encode(self.leaf)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt taken apart.

    Attributes:
        index: Number of the leaf in the log.
        path: Its inclusion path, leaf side first.
        checkpoint: The signed head.
        signatures: In ascending order of their text.
        proof: What the leaf is about.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    signatures: tuple[SignatureLine, ...]
    proof: EntryProof | LeafProof | StateProof


class _BlockProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    leaf: BlockLeaf


class _GenesisProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    leaf: GenesisLeaf


class _PresentProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    leaf: BlockLeaf
    state: PresentRow


class _AbsentProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    leaf: BlockLeaf
    state: AbsentRow


_ENTRY_PROOF: Final = Decoder(EntryProof)
_LEAF_PROOFS: Final = {_BlockProof: Decoder(_BlockProof), _GenesisProof: Decoder(_GenesisProof)}
_STATE_PROOFS: Final = {_PresentProof: Decoder(_PresentProof), _AbsentProof: Decoder(_AbsentProof)}


def format_receipt(receipt: Receipt) -> bytes:
    """Return the `.receipt` text of a receipt; its signature lines are put in order."""
    head = [PROOF_HEADER, f"index {receipt.index}", *map(to_base64, receipt.path), ""]
    signatures = sorted(line.text for line in receipt.signatures)
    return b"".join(
        (
            "\n".join([*head, ""]).encode(),
            receipt.checkpoint.body,
            "\n".join(["", *signatures, "", ""]).encode(),
            encode(receipt.proof),
            b"\n",
        )
    )


def parse_receipt(encoded: bytes) -> Receipt:
    """Read a receipt; refuse any text that another receipt could also be read from. Verifies nothing.

    Raises: DamagedProof.
    """
    if len(encoded) > RECEIPT_BYTES_MAX:
        damaged(f"{RECEIPT_BYTES_MAX} bytes are the most for a receipt")
    try:
        lines = encoded.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        damaged("the receipt is not UTF-8 text")
    if lines.pop() != "" or lines.count("") != 3:
        damaged("a receipt is a proof, a checkpoint, signatures and one JSON line, with one empty line between them")
    first = lines.index("")
    second = lines.index("", first + 1)
    third = lines.index("", second + 1)
    if third != len(lines) - 2 or second - first != 4 or first < 2:
        damaged("a part of the receipt has too many or too few lines")
    index, path = _parse_head(lines[:first])
    checkpoint = parse_body(lines[first + 1 : second])
    if _CHAIN.fullmatch(checkpoint.origin) is None:
        damaged("the checkpoint's origin is not a chain name")
    return Receipt(
        index=index,
        path=path,
        checkpoint=checkpoint,
        signatures=_parse_signatures(lines[second + 1 : third]),
        proof=_parse_proof(lines[-1].encode()),
    )


def _parse_head(lines: Sequence[str]) -> tuple[int, tuple[bytes, ...]]:
    if lines[0] != PROOF_HEADER or not lines[1].startswith("index ") or len(lines) - 2 > PATH_LENGTH_MAX:
        damaged(f"a receipt begins with the lines `{PROOF_HEADER}` and `index N`, then its path")
    path = tuple(map(from_base64, lines[2:]))
    if any(len(node) != 32 for node in path):
        damaged("a hash of the path does not have 32 bytes")
    return parse_decimal(lines[1][len("index ") :]), path


def _parse_signatures(lines: Sequence[str]) -> tuple[SignatureLine, ...]:
    signatures = parse_signature_lines(lines)
    if not all(before < after for before, after in pairwise(lines)):
        damaged("the signature lines are not in ascending order")
    if any(_NAME.fullmatch(line.name) is None for line in signatures):
        damaged("a key name is not printable ASCII")
    if len({(line.name, line.key_id) for line in signatures}) != len(signatures):
        damaged("a key has two signature lines")
    return signatures


def _parse_proof(line: bytes) -> EntryProof | LeafProof | StateProof:
    """Read the JSON line. Sorted keys: an entry's receipt begins with its entry, every other with its leaf."""
    _require_printable(line)
    try:
        if line.startswith(b'{"entry":'):
            proof: EntryProof = _ENTRY_PROOF.decode(line)
            _require_entry(bytes(proof.entry))
            return proof
        end_of_leaf = line.find(b'},"state":{')  # a leaf is flat, so this is where it ends
        if end_of_leaf > 0:
            return _parse_state(line, is_absent=line.startswith(_ABSENT, end_of_leaf))
        is_block = line.startswith(b'{"leaf":{"change_digest":')
        return LeafProof(leaf=_LEAF_PROOFS[_BlockProof if is_block else _GenesisProof].decode(line).leaf)
    except NotCanonical as error:
        damaged(error.why or error.what)


def _parse_state(line: bytes, *, is_absent: bool) -> StateProof:
    proof = _STATE_PROOFS[_AbsentProof if is_absent else _PresentProof].decode(line)
    if isinstance(proof.state, PresentRow):
        _require_object(bytes(proof.state.value))
    return StateProof(leaf=proof.leaf, state=proof.state)


def _require_printable(line: bytes) -> None:
    """Printable ASCII, where the only escapes are a quotation mark's and a backslash's own."""
    if _PRINTABLE.fullmatch(line) is None or b"\\" in line.replace(rb"\\", b"").replace(rb"\"", b""):
        damaged("the JSON line holds a character that is not printable ASCII")


def _require_entry(entry: bytes) -> None:
    value = _require_object(entry)
    tag = value.get("type")
    if len(entry) > MESSAGE_BYTES_MAX or not isinstance(tag, str) or not 0 < len(tag) <= 64:
        damaged("the entry is too long, or is of no type")


def _require_object(encoded: bytes) -> dict[str, Any]:  # Any: JSON of a form that only its module knows
    """Canonical JSON of the restricted profile, and an object."""
    try:
        value = msgspec.json.decode(encoded)
    except (ValueError, RecursionError):
        damaged("an entry or a row is not JSON")
    if not isinstance(value, dict) or encode(value) != encoded:
        damaged("an entry or a row is not a canonical JSON object")
    _require_plain(value)
    return value


def _require_plain(value: Any) -> None:  # Any: as above
    """No nulls, no floats, no integer of 2^53 or more. Depth and number of values were bounded with the line."""
    if isinstance(value, dict):
        for inner in value.values():
            _require_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            _require_plain(inner)
    elif not isinstance(value, str) and (not isinstance(value, int) or abs(value) > INTEGER_MAX):
        damaged("an entry or a row holds a null, or a number that is no integer below 2^53")
