# SPDX-License-Identifier: Apache-2.0
"""The court verifier: `python verify.py RECEIPT --trust FILE [--document FILE] [--json]`.

One file, standard library only, no network. It checks a `.receipt` against the reader's own `.trust` file and says in
plain words who, what and when, and what is *not* shown. Exit 0 proved, 1 not proved (or proved to have been refused by
the ledger), 2 usage, 3 damaged file.

Steps, each in one function below:
1. form: exact line grammar, canonical base64, canonical JSON of printable ASCII, named maxima;
2. the entry: entry -> salt -> header root -> header signature -> transaction id -> leaf;
3. the log: leaf -> inclusion path -> checkpoint (RFC 9162);
4. the signers: cosignatures by more than 2/3 of the voting power and by most outside witnesses of the trust file;
5. the document, when given: opening and bytes -> commitment named in the entry;
6. the state, for a state proof: row present or absent -> proved root -> block leaf.

Rules kept: an Ed25519 verdict equals libsodium's strict one (section "Ed25519"); a signature line that shares a name or
a key id with a trusted key must be by that key and must hold; lines by entirely unknown keys are ignored; nothing is
guessed.

Sources: C2SP tlog-proof, tlog-checkpoint, tlog-cosignature, signed-note; RFC 8032; RFC 8785; RFC 9162 section 2.1.
"""

import argparse
import base64
import binascii
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256, sha512
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

ENTRY_BYTES_MAX = 64_000  # one message of the ledger
RECEIPT_BYTES_MAX = ENTRY_BYTES_MAX + 32_000  # an entry, and 32 kB for everything else
DOCUMENT_BYTES_MAX = 256 * 2**20
TRUST_BYTES_MAX = 8 * 2**20
DEPTH_MAX = 16  # nesting of JSON
VALUES_MAX = 100_000  # values in one JSON text
INTEGER_MAX = 2**53 - 1  # the largest integer that every JSON reader keeps exactly
ENTRIES_MAX = 1_000  # entries of one transaction
PATH_MAX = 63  # hashes of one inclusion path
SIGNATURE_LINES_MAX = 192  # 100 validators, 32 witnesses, and room for keys unknown to the reader
SIGNATURE_BYTES_MAX = 5_000  # one signature of any kind
VALIDATORS_MAX = 100
WITNESSES_MAX = 32
HANDOVERS_MAX = 1_000
PINNED_MAX = 1_000
BUCKET_BITS = 18
TIME_MAX = 253_402_300_799  # the last second of the year 9999

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
EM_DASH = "\N{EM DASH}"
COSIGNATURE_TYPE = b"\x04"  # timestamped Ed25519 cosignature
COSIGNATURE_BYTES = 4 + 8 + 64  # key id, time, signature

EXIT_PROVED, EXIT_NOT_PROVED, EXIT_USAGE, EXIT_DAMAGED = 0, 1, 2, 3

Json = dict[str, "Json"] | list["Json"] | str | int
JsonObject = dict[str, Json]


class ProofError(Exception):
    """Not proved: what was found, why it matters, what to do. Carries no value of the receipt but numbers and names."""

    def __init__(self, what: str, why: str = "", do: str = "") -> None:
        super().__init__(". ".join(part.rstrip(".") for part in (what, why, do) if part))
        self.what, self.why, self.do = what, why, do


class Damaged(ProofError):
    """A file does not have the form it must have, so nothing can be said about what it claims."""


@dataclass(frozen=True)
class Verified:
    """What was proved. Ids and keys are raw bytes; times are UTC seconds.

    Attributes:
        kind: "transaction", "state", "block" or "genesis".
        chain, index, size, root: The log, the leaf's number in it, and the checkpoint.
        height, time: Of the block, as agreed by the validators; height 0 for the genesis leaf.
        is_last: Whether the leaf was the newest one of the checkpoint.
        applied, code: What came of the transaction (True, 0 for every other kind).
        txid, actor, key, entry, entry_index, entry_count: The signed statement; empty for every other kind.
        document_at: Where in the entry the document's commitment stands; empty when no document was checked.
        opening_unchecked: The receipt could open a document, but none was given.
        table, row_key, row: The proved row; `row` is None when the row was proved absent.
        next_validators: Digest of the next validators, for a block leaf; empty for every other kind.
        validators, validators_all, validators_signed_at: Who signed, of how many, and when over 2/3 had signed.
        witnesses, witnesses_all, witnessed_at: Likewise for most outside witnesses; 0 when the trust file names none.
        validator_set: Number of the set of validators in the trust file; 0 is the founding one.
    """

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


@dataclass(frozen=True)
class Validator:
    """A member of the set that agrees on blocks, and the name and key it cosigns checkpoints with."""

    name: str
    organisation: bytes
    engine_key: bytes
    cosigning_key: bytes
    power: int


@dataclass(frozen=True)
class ValidatorSet:
    """The validators in force for checkpoints of `from_size` leaves and more, until the next set."""

    from_size: int
    validators: tuple[Validator, ...]


@dataclass(frozen=True)
class Trust:
    """The reader's own trust file, with its hand-over chain already verified.

    Attributes:
        known: (key name, 4-byte key id) -> public key, of every witness and every validator ever.
    """

    chain: str
    genesis_leaf_digest: bytes
    witnesses: tuple[tuple[str, bytes], ...]
    sets: tuple[ValidatorSet, ...]
    pinned: tuple[tuple[int, bytes], ...]
    known: Mapping[tuple[str, bytes], bytes]


@dataclass(frozen=True)
class SignatureLine:
    """One line of a signed note: key name, 4-byte key id, and the rest of the signature."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Receipt:
    """A `.receipt` taken apart: the tlog-proof, and the JSON object under it."""

    index: int
    path: tuple[bytes, ...]
    origin: str
    size: int
    root: bytes
    signatures: tuple[SignatureLine, ...]
    proof: JsonObject

    @property
    def body(self) -> bytes:
        """The checkpoint's note text: what is cosigned."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


def verify(receipt: bytes, trust: Trust, document: bytes | None = None) -> Verified:
    """Verify a receipt and return what it proves.

    Args:
        receipt: Bytes of the `.receipt` file.
        trust: From `read_trust`.
        document: The document's bytes as stored, when the receipt's opening is to be checked.

    Raises: Damaged, ProofError.
    """
    parsed = parse_receipt(receipt)
    leaf = _object(parsed.proof, "leaf")
    verified = _verify_log(parsed, leaf, trust)
    kind = leaf["kind"]
    if kind == "transaction":
        return _verify_transaction(parsed.proof, leaf, verified, document)
    if document is not None:
        raise ProofError(
            "This receipt is not about a document", "It proves a block or a row", "Leave out the document."
        )
    if kind == "block":
        return _verify_block(parsed.proof, leaf, verified)
    return _verify_genesis(leaf, verified, trust)


# Step 1: form


def parse_receipt(encoded: bytes) -> Receipt:
    """Take a receipt apart; nothing is verified yet.

    Raises: Damaged.
    """
    if len(encoded) > RECEIPT_BYTES_MAX:
        raise Damaged("The receipt is too long", f"{RECEIPT_BYTES_MAX} bytes are the most")
    try:
        lines = encoded.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        _damaged("it is not UTF-8 text")
    if lines.pop() != "" or lines.count("") != 3:
        _damaged("it must be a proof, a checkpoint, signatures and one JSON line, with one empty line between them")
    first = lines.index("")
    second = lines.index("", first + 1)
    third = lines.index("", second + 1)
    head, body = lines[:first], lines[first + 1 : second]
    if len(head) < 2 or head[0] != PROOF_HEADER or not head[1].startswith("index "):
        _damaged(f"it must begin with the lines '{PROOF_HEADER}' and 'index N'")
    if len(head) - 2 > PATH_MAX or len(body) != 3 or len(lines) - third != 2:
        _damaged("a part of it has too many or too few lines")
    if not re.fullmatch("[!-~]{1,64}", body[0]):
        _damaged("the checkpoint's origin is not a chain name")
    signatures = _signature_lines(lines[second + 1 : third])
    return Receipt(
        index=_decimal(head[1][6:]),
        path=tuple(_decoded(line, 32) for line in head[2:]),
        origin=body[0],
        size=_decimal(body[1]),
        root=_decoded(body[2], 32),
        signatures=signatures,
        proof=_proof_object(lines[-1]),
    )


def _damaged(why: str, what: str = "The receipt is damaged") -> NoReturn:
    raise Damaged(what, why, "Ask for a new copy of the file")


def _decimal(text: str) -> int:
    """Read a decimal without leading zeros, below 2^53."""
    if not re.fullmatch("0|[1-9][0-9]{0,15}", text) or int(text) > INTEGER_MAX:
        _damaged("a number is not a plain decimal")
    return int(text)


def _decoded(text: str, length: int | None = None) -> bytes:
    """Read canonical padded base64 of `length` bytes."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        _damaged("a part of it is not base64")
    if base64.b64encode(decoded).decode() != text or length not in (None, len(decoded)):
        _damaged("a part of it is not canonical base64 of the right length")
    return decoded


def _signature_lines(lines: Sequence[str]) -> tuple[SignatureLine, ...]:
    """Read the signature lines: at least one, in ascending order, none twice."""
    if not 0 < len(lines) <= SIGNATURE_LINES_MAX:
        _damaged(f"it must have 1 to {SIGNATURE_LINES_MAX} signature lines")
    if any(not before < after for before, after in pairwise(lines)):
        _damaged("the signature lines are not in ascending order")
    read = []
    for line in lines:
        match = re.fullmatch(EM_DASH + r" ([!-*,-~]{1,64}) ([A-Za-z0-9+/=]+)", line)
        if match is None:
            _damaged("a signature line does not have the form '— name base64'")
        payload = _decoded(match[2])
        if not 4 < len(payload) <= SIGNATURE_BYTES_MAX:
            _damaged("a signature has a wrong length")
        read.append(SignatureLine(match[1], payload[:4], payload[4:]))
    if len({(line.name, line.key_id) for line in read}) != len(read):
        _damaged("a key has two signature lines")
    return tuple(read)


TRANSACTION_FIELDS = ("entry", "entry_index", "entry_path", "entry_salt", "header", "leaf", "signature")
LEAF_FIELDS = {
    "transaction": ("code", "height", "kind", "outcome_digest", "time", "txid"),
    "block": ("change_digest", "config_root", "height", "kind", "next_validators", "proved_root", "time"),
    "genesis": ("chain", "genesis_digest", "kind", "time"),
}


def _proof_object(line: str) -> JsonObject:
    """Read the JSON line: canonical, with exactly the fields of its kind of leaf."""
    proof = load_json(line, "The receipt is damaged", canonical=True)
    if not isinstance(proof, dict):
        _damaged("its last line is not a JSON object")
    leaf = _object(proof, "leaf")
    kind = _text(leaf, "kind", 16)
    if kind not in LEAF_FIELDS:
        _damaged("its leaf is of no known kind")
    _require_fields(leaf, LEAF_FIELDS[kind])
    for name in LEAF_FIELDS[kind]:
        if name in ("code", "height", "time"):
            _natural(leaf, name)
        elif name not in ("kind", "chain"):
            _bytes(leaf, name, 32)
    if kind == "transaction":
        _require_fields(proof, TRANSACTION_FIELDS, ("opening",))
    else:
        _require_fields(proof, ("leaf",), ("state",) if kind == "block" else ())
    return proof


def load_json(text: str, what: str, *, canonical: bool) -> Json:
    """Read JSON of the restricted profile: printable ASCII, no nulls, floats or equal keys, bounded depth and size.

    Raises: Damaged, beginning with `what`.
    """
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            _damaged("its JSON is nested too deeply", what)
    seen = 0

    def checked(value: object) -> Json:
        nonlocal seen
        seen += 1
        if seen > VALUES_MAX:
            _damaged("its JSON has too many values", what)
        if isinstance(value, dict):
            return {_printable(name, what): checked(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [checked(inner) for inner in value]
        if isinstance(value, str):
            return _printable(value, what)
        if isinstance(value, int):
            return value
        _damaged("its JSON holds a null", what)

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        if len({name for name, _ in items}) != len(items):
            _damaged("its JSON has a key twice", what)
        return dict(items)

    def integer(digits: str) -> int:
        if len(digits) > 17 or abs(int(digits)) > INTEGER_MAX:
            _damaged("its JSON has a number of 2^53 or more", what)
        return int(digits)

    def not_integer(_: str) -> NoReturn:
        _damaged("its JSON has a number that is not an integer", what)

    try:
        loaded = json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_float=not_integer, parse_constant=not_integer
        )
    except (ValueError, RecursionError):
        _damaged("its JSON cannot be read", what)
    value = checked(loaded)
    if canonical and canonical_json(value) != text.encode():
        _damaged("its JSON is not in its canonical form", what)
    return value


def _printable(text: str, what: str) -> str:
    if not re.fullmatch("[ -~]*", text):
        _damaged("its JSON holds a character that is not printable ASCII", what)
    return text


def canonical_json(value: Json) -> bytes:
    """Return the RFC 8785 bytes of a value of the restricted profile."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _require_fields(value: JsonObject, required: Iterable[str], optional: Iterable[str] = ()) -> None:
    required, optional = set(required), set(optional)
    if not required <= value.keys() <= required | optional:
        _damaged(f"an object must have exactly the fields {sorted(required)}")


def _object(value: JsonObject, name: str) -> JsonObject:
    inner = value.get(name)
    if not isinstance(inner, dict):
        _damaged(f"'{name}' is missing or not an object")
    return inner


def _list(value: JsonObject, name: str, length_max: int) -> list[Json]:
    inner = value.get(name)
    if not isinstance(inner, list) or len(inner) > length_max:
        _damaged(f"'{name}' is missing, not a list or longer than {length_max}")
    return inner


def _text(value: JsonObject, name: str, length_max: int) -> str:
    inner = value.get(name)
    if not isinstance(inner, str) or not 0 < len(inner) <= length_max:
        _damaged(f"'{name}' is missing or not a text of 1 to {length_max} characters")
    return inner


def _natural(value: JsonObject, name: str) -> int:
    inner = value.get(name)
    if type(inner) is not int or inner < 0:
        _damaged(f"'{name}' is missing or not a natural number")
    return inner


def _bytes(value: JsonObject, name: str, length: int | None = None) -> bytes:
    inner = value.get(name)
    if not isinstance(inner, str):
        _damaged(f"'{name}' is missing or not base64")
    return _decoded(inner, length)


def _hashes(value: JsonObject, name: str, length_max: int) -> tuple[bytes, ...]:
    hashes = _list(value, name, length_max)
    return tuple(
        _decoded(item, 32) if isinstance(item, str) else _damaged(f"'{name}' holds no hash") for item in hashes
    )


# Step 2: the entry


def _verify_transaction(proof: JsonObject, leaf: JsonObject, verified: Verified, document: bytes | None) -> Verified:
    """Entry -> salt -> header root -> header signature -> transaction id -> leaf."""
    header = _object(proof, "header")
    _require_fields(header, ("actor", "chain", "count", "expires_at", "key", "nonce", "root", "version"))
    key, actor, root = _bytes(header, "key", 32), _bytes(header, "actor", 32), _bytes(header, "root", 32)
    _bytes(header, "nonce", 16)
    _natural(header, "expires_at")
    count, index = _natural(header, "count"), _natural(proof, "entry_index")
    if header["version"] != 1 or type(header["version"]) is not int:
        raise ProofError("The header is of another version", "", "Use the verify.py of that version")
    if header["chain"] != verified.chain:
        raise ProofError("The transaction was signed for another chain", "A signature counts on its own chain alone")
    header_bytes = canonical_json(header)
    if not verify_ed25519(key, b"vervain/tx/v1\n" + header_bytes, _bytes(proof, "signature", 64)):
        raise ProofError("The signature of the transaction does not hold", "The header or the signature was altered")
    txid = sha256(b"vervain/txid/v1\n" + header_bytes).digest()
    if txid != _bytes(leaf, "txid", 32):
        raise ProofError("The leaf is of another transaction", "The header or the leaf was exchanged")
    entry = _object(proof, "entry")
    entry_bytes = canonical_json(entry)
    if len(entry_bytes) > ENTRY_BYTES_MAX or not 0 < count <= ENTRIES_MAX:
        _damaged("the entry is too long, or the transaction has too many entries")
    _text(entry, "type", 64)
    entry_leaf = sha256(b"\x00" + _bytes(proof, "entry_salt", 32) + entry_bytes).digest()
    if root_from_path(entry_leaf, index, count, _hashes(proof, "entry_path", PATH_MAX)) != root:
        raise ProofError(
            "The entry is not in the signed transaction", "The entry, its salt, number or path was altered"
        )
    code = _natural(leaf, "code")
    document_at = _verify_document(proof, entry, document)
    return replace(
        verified,
        applied=code == 0,
        code=code,
        txid=txid,
        actor=actor,
        key=key,
        entry=entry_bytes,
        entry_index=index,
        entry_count=count,
        document_at=document_at,
        opening_unchecked="opening" in proof and document is None,
    )


# Step 3: the log


def _verify_log(receipt: Receipt, leaf: JsonObject, trust: Trust, *, is_handover: bool = False) -> Verified:
    """Leaf -> inclusion path -> checkpoint -> signers; returns what holds for every kind of leaf."""
    if receipt.origin != trust.chain:
        raise ProofError("The receipt is of another chain than the trust file", "", "Use the trust file of that chain")
    leaf_hash = sha256(b"\x00" + canonical_json(leaf)).digest()
    if root_from_path(leaf_hash, receipt.index, receipt.size, receipt.path) != receipt.root:
        raise ProofError("The leaf is not in the log under this checkpoint", "The leaf, its number or path was altered")
    if any(size == receipt.size and root != receipt.root for size, root in trust.pinned):
        raise ProofError(
            "The checkpoint differs from one that you pinned",
            "Two logs of one name were signed",
            "Keep both: together they are evidence",
        )
    number = max(n for n, one in enumerate(trust.sets) if n == 0 or one.from_size <= receipt.size)
    signed = _signed_times(receipt, trust)
    validators, signed_at = _require_power(trust.sets[number], signed)
    witnesses, witnessed_at = _require_witnesses(
        trust, signed, needed=0 if is_handover else len(trust.witnesses) // 2 + 1
    )
    return Verified(
        kind=str(leaf["kind"]),
        chain=trust.chain,
        index=receipt.index,
        size=receipt.size,
        root=receipt.root,
        height=_natural(leaf, "height") if "height" in leaf else 0,
        time=_natural(leaf, "time"),
        is_last=receipt.index == receipt.size - 1,
        validators=validators,
        validators_all=len(trust.sets[number].validators),
        validators_signed_at=signed_at,
        witnesses=witnesses,
        witnesses_all=len(trust.witnesses),
        witnessed_at=witnessed_at,
        validator_set=number,
    )


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion path leads to. Source: RFC 9162 section 2.1.3.2.

    Raises: ProofError when the path has the wrong length for `index` and `size`.
    """
    if not 0 <= index < size:
        raise ProofError("The number of the leaf or entry is outside its tree", "It was altered")
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError("An inclusion path is too long", "It was altered")
        if node & 1 or node == last:
            root = sha256(b"\x01" + sibling + root).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = sha256(b"\x01" + root + sibling).digest()
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("An inclusion path is too short", "It was altered")
    return root


# Step 4: the signers


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the 4-byte id of a cosigning key. Source: C2SP tlog-cosignature."""
    return sha256(name.encode() + b"\n" + COSIGNATURE_TYPE + public_key).digest()[:4]


def _signed_times(receipt: Receipt, trust: Trust) -> dict[bytes, int]:
    """Return when each trusted key signed the checkpoint, as it says. Every line by a known key must hold."""
    names = {name for name, _ in trust.known}
    ids = {identity for _, identity in trust.known}
    signed: dict[bytes, int] = {}
    for line in receipt.signatures:
        public_key = trust.known.get((line.name, line.key_id))
        if public_key is None:
            if len(line.signature) == COSIGNATURE_BYTES - 4 and (line.name in names or line.key_id in ids):
                raise ProofError(
                    "A signature line does not fit the keys of the trust file",
                    "It has the name or the key id of a trusted key, but is not by that key",
                    "Ask for a new receipt, or for a newer trust file",
                )
            continue
        time = int.from_bytes(line.signature[:8], "big")
        message = f"cosignature/v1\ntime {time}\n".encode() + receipt.body
        if len(line.signature) != COSIGNATURE_BYTES - 4 or not 0 < time <= TIME_MAX:
            raise ProofError(f"The cosignature of {line.name} has a wrong length or time", "It was altered")
        if not verify_ed25519(public_key, message, line.signature[8:]):
            raise ProofError(
                f"The cosignature of {line.name} does not hold", "The checkpoint or the signature was altered"
            )
        signed[public_key] = time
    return signed


def _require_power(current: ValidatorSet, signed: Mapping[bytes, int]) -> tuple[tuple[str, ...], int]:
    """More than 2/3 of the voting power signed; return the names, and the time by which that power had signed."""
    votes = sorted((signed[v.cosigning_key], v.name, v.power) for v in current.validators if v.cosigning_key in signed)
    total = sum(validator.power for validator in current.validators)
    power, signed_at = 0, 0
    for time, _, one in votes:
        if 3 * power <= 2 * total:
            signed_at = time
        power += one
    if 3 * power <= 2 * total:
        raise ProofError(
            "Too few validators signed the checkpoint",
            f"{power} of {total} votes; more than two thirds are needed",
            "Ask for a receipt with more cosignatures, or for a newer trust file if the validators have changed",
        )
    return tuple(sorted(name for _, name, _ in votes)), signed_at


def _require_witnesses(trust: Trust, signed: Mapping[bytes, int], needed: int) -> tuple[tuple[str, ...], int]:
    """At least `needed` outside witnesses signed; return their names and the time by which so many had signed."""
    needed = needed if trust.witnesses else 0
    seen = sorted((signed[key], name) for name, key in trust.witnesses if key in signed)
    if len(seen) < needed:
        raise ProofError(
            "Too few outside witnesses signed the checkpoint",
            f"{len(seen)} of the {len(trust.witnesses)} of your trust file; {needed} are needed",
            "Ask for a receipt with more cosignatures",
        )
    return tuple(sorted(name for _, name in seen)), seen[needed - 1][0] if needed else 0


def read_trust(encoded: bytes) -> Trust:
    """Read a trust file and verify its hand-over chain from the founding validators on.

    Raises: Damaged, ProofError.
    """
    try:
        return _read_trust(encoded)
    except Damaged as error:
        raise Damaged("The trust file is damaged", error.why, error.do) from None


def _read_trust(encoded: bytes) -> Trust:
    if len(encoded) > TRUST_BYTES_MAX:
        _damaged(f"{TRUST_BYTES_MAX} bytes are the most")
    try:
        content = load_json(encoded.decode("ascii"), "The trust file is damaged", canonical=False)
    except UnicodeDecodeError:
        _damaged("it is not ASCII text")
    if not isinstance(content, dict):
        _damaged("it is not a JSON object")
    _require_fields(content, ("chain", "genesis_leaf_digest", "handovers", "witnesses"), ("pinned",))
    witnesses = _read_witnesses(content)
    handovers = _list(content, "handovers", HANDOVERS_MAX)
    sets = [_read_validators(handover) for handover in handovers]
    if not sets:
        _damaged("it must name the founding validators in its first hand-over")
    validator_keys = {v.cosigning_key: v.name for one in sets for v in one}
    if any(key in validator_keys for _, key in witnesses):
        _damaged("a validator cannot be an outside witness with the same key")
    signers = [*witnesses, *((v.name, v.cosigning_key) for one in sets for v in one)]
    known = {(name, key_id(name, key)): key for name, key in signers}
    if any(known[name, key_id(name, key)] != key for name, key in signers):
        _damaged("two keys have one name and one id")
    trust = Trust(
        chain=_name(content, "chain"),
        genesis_leaf_digest=_bytes(content, "genesis_leaf_digest", 32),
        witnesses=witnesses,
        sets=(ValidatorSet(1, sets[0]),),
        pinned=_read_pinned(content),
        known=known,
    )
    for number, (handover, validators) in enumerate(zip(handovers, sets, strict=True)):
        trust = _with_handover(trust, number, handover, validators)
    return trust


def _with_handover(trust: Trust, number: int, handover: Json, validators: tuple[Validator, ...]) -> Trust:
    """Verify one hand-over under the set before it, and add the set it names."""
    assert isinstance(handover, dict)
    if "receipt" not in handover:
        if number:
            _damaged("every hand-over after the first needs its receipt")
        return trust
    receipt = parse_receipt(_bytes(handover, "receipt"))
    leaf = _object(receipt.proof, "leaf")
    if leaf["kind"] != "block" or "state" in receipt.proof:
        raise ProofError("The receipt of a hand-over is not of a block leaf", f"Hand-over {number} of the trust file")
    _verify_log(receipt, leaf, trust, is_handover=True)
    if _bytes(leaf, "next_validators", 32) != validators_digest(validators):
        raise ProofError("A hand-over names other validators than its receipt", f"Hand-over {number} of the trust file")
    if number == 0:
        if receipt.index != 1 or receipt.path[0] != trust.genesis_leaf_digest:
            raise ProofError(
                "The founding validators do not stand beside the genesis leaf", "The trust file was altered"
            )
        return trust
    if receipt.index != receipt.size - 1 or receipt.size < trust.sets[-1].from_size:
        raise ProofError("A hand-over is not the last leaf of its checkpoint", f"Hand-over {number} of the trust file")
    return replace(trust, sets=(*trust.sets, ValidatorSet(receipt.size + 1, validators)))


def validators_digest(validators: Iterable[Validator]) -> bytes:
    """Return the digest of a set of validators, as a block leaf names it."""
    rows: list[Json] = [
        {
            "cosigning_key": base64.b64encode(validator.cosigning_key).decode(),
            "engine_key": base64.b64encode(validator.engine_key).decode(),
            "organisation": base64.b64encode(validator.organisation).decode(),
            "power": validator.power,
        }
        for validator in sorted(validators, key=lambda validator: validator.organisation)
    ]
    return sha256(b"vervain/validators/v1\n" + canonical_json(rows)).digest()


def _name(value: JsonObject, name: str) -> str:
    inner = _text(value, name, 64)
    if not re.fullmatch("[!-*,-~]+", inner):
        _damaged(f"'{name}' must be printable ASCII without spaces and plus signs")
    return inner


def _read_witnesses(content: JsonObject) -> tuple[tuple[str, bytes], ...]:
    witnesses = []
    for item in _list(content, "witnesses", WITNESSES_MAX):
        if not isinstance(item, dict):
            _damaged("a witness is not an object")
        _require_fields(item, ("key", "name"))
        witnesses.append((_name(item, "name"), _bytes(item, "key", 32)))
    _require_different("witnesses", *zip(*witnesses, strict=True))
    return tuple(witnesses)


def _read_validators(handover: Json) -> tuple[Validator, ...]:
    if not isinstance(handover, dict):
        _damaged("a hand-over is not an object")
    _require_fields(handover, ("validators",), ("receipt",))
    validators = []
    for item in _list(handover, "validators", VALIDATORS_MAX):
        if not isinstance(item, dict):
            _damaged("a validator is not an object")
        _require_fields(item, ("cosigning_key", "engine_key", "name", "organisation", "power"))
        validator = Validator(
            name=_name(item, "name"),
            organisation=_bytes(item, "organisation", 32),
            engine_key=_bytes(item, "engine_key", 32),
            cosigning_key=_bytes(item, "cosigning_key", 32),
            power=_natural(item, "power"),
        )
        validators.append(validator)
    if not validators or not all(validator.power for validator in validators):
        _damaged("a set of validators is empty, or one has no votes")
    _require_different("validators", [v.name for v in validators], [v.cosigning_key for v in validators])
    _require_different("validators", [v.organisation for v in validators], [v.engine_key for v in validators])
    return tuple(validators)


def _require_different(what: str, *columns: Sequence[str] | Sequence[bytes]) -> None:
    if any(len(set(column)) != len(column) for column in columns):
        _damaged(f"two {what} have one name, organisation or key")


def _read_pinned(content: JsonObject) -> tuple[tuple[int, bytes], ...]:
    pinned = []
    for item in _list(content, "pinned", PINNED_MAX) if "pinned" in content else ():
        if not isinstance(item, dict):
            _damaged("a pinned checkpoint is not an object")
        _require_fields(item, ("root", "size"))
        pinned.append((_natural(item, "size"), _bytes(item, "root", 32)))
    return tuple(pinned)


# Step 5: the document


def _verify_document(proof: JsonObject, entry: JsonObject, document: bytes | None) -> str:
    """Opening and document bytes -> commitment -> where it stands in the entry; empty when no document is given."""
    opening: JsonObject | None = None
    if "opening" in proof:
        opening = _object(proof, "opening")
        _require_fields(opening, ("id", "salt", "type", "version"))
        parts = [_text(opening, name, 64) for name in ("type", "id", "version")]
        salt = _bytes(opening, "salt", 32)
    if document is None:
        return ""
    if opening is None:
        raise ProofError(
            "The receipt opens no document", "It has no opening", "Ask the custodian for a receipt with one"
        )
    text = "".join(part + "\n" for part in parts)
    commitment = sha256(b"vervain/record/v1\n" + text.encode() + salt + document).digest()
    found = find_text(entry, base64.b64encode(commitment).decode())
    if not found:
        raise ProofError(
            "The document is not the one that the entry commits to",
            "The document, its opening or both differ by at least one byte from what was committed",
            "Give the file exactly as the custodian stored it",
        )
    return found


def find_text(value: Json, text: str, place: str = "") -> str:
    """Return where `text` stands in a JSON value, such as `documents[2].commitment`; empty when nowhere."""
    if isinstance(value, str):
        return place if value == text else ""
    inner: Iterable[tuple[str, Json]] = ()
    if isinstance(value, dict):
        inner = ((f"{place}.{name}" if place else name, value[name]) for name in sorted(value))
    elif isinstance(value, list):
        inner = ((f"{place}[{number}]", item) for number, item in enumerate(value))
    return next((found for where, item in inner if (found := find_text(item, text, where))), "")


# Step 6: block leaves and the state


def _verify_block(proof: JsonObject, leaf: JsonObject, verified: Verified) -> Verified:
    """A block leaf alone, or with a row of the proved state."""
    verified = replace(verified, next_validators=_bytes(leaf, "next_validators", 32))
    if "state" not in proof:
        return verified
    state = _object(proof, "state")
    present = "value" in state
    specific = ("bucket_path", "position", "value") if present else ("bucket_neighbours",)
    _require_fields(state, ("key", "table", "tree_path", *specific))
    table, row_key = _text(state, "table", 64), _bytes(state, "key")
    place = sha256(b"vervain/key/v1\n" + table.encode() + b"\n" + row_key).digest()
    row: bytes | None = None
    if present:
        row = canonical_json(_object(state, "value"))
        pair = place + sha256(b"\x02" + row).digest()
        bucket = _climb(pair, _natural(state, "position"), _hashes(state, "bucket_path", PATH_MAX))
    else:
        bucket = _absent_bucket(place, state)
    node = _bucket_of(place)
    tree_path = _hashes(state, "tree_path", BUCKET_BITS)
    if len(tree_path) != BUCKET_BITS:
        _damaged(f"'tree_path' must hold {BUCKET_BITS} hashes")
    for sibling in tree_path:
        bucket = sha256(b"\x01" + (sibling + bucket if node & 1 else bucket + sibling)).digest()
        node >>= 1
    if bucket != _bytes(leaf, "proved_root", 32):
        raise ProofError("The row is not proved by this block", "The row, its absence or the proof was altered")
    return replace(verified, kind="state", table=table, row_key=row_key, row=row)


def _bucket_of(place: bytes) -> int:
    return int.from_bytes(place[:3], "big") >> 24 - BUCKET_BITS


def _climb(pair: bytes, position: int, path: Sequence[bytes]) -> bytes:
    """Return the root above a pair. Bit i of `position` says that hash i of the path stands on the left."""
    if position >> len(path):
        raise ProofError("A row's position does not fit its path", "It was altered")
    node = sha256(b"\x00" + pair).digest()
    for sibling in path:
        node = sha256(b"\x01" + (sibling + node if position & 1 else node + sibling)).digest()
        position >>= 1
    return node


def _absent_bucket(place: bytes, state: JsonObject) -> bytes:
    """Return the bucket's root, after checking that `place` lies between two neighbours, or before or after all."""
    shown: list[tuple[bytes, int, int]] = []  # place, position, length of the path
    roots = set()
    for item in _list(state, "bucket_neighbours", 2):
        if not isinstance(item, dict):
            _damaged("a neighbour is not an object")
        _require_fields(item, ("pair", "path", "position"))
        pair, position, path = _bytes(item, "pair", 64), _natural(item, "position"), _hashes(item, "path", PATH_MAX)
        shown.append((pair[:32], position, len(path)))
        roots.add(_climb(pair, position, path))
    if not shown:
        return sha256(b"").digest()
    (first, position, length), (last, _, _) = shown[0], shown[-1]
    if len(shown) == 2:
        leaves_no_room = first < place < last and _are_adjacent(shown[0][1:], shown[1][1:])
    else:
        is_leftmost, is_rightmost = position == 0, position == 2**length - 1
        leaves_no_room = (is_leftmost and place < first) or (is_rightmost and first < place)
    same_bucket = all(_bucket_of(neighbour) == _bucket_of(place) for neighbour, _, _ in shown)
    if not leaves_no_room or not same_bucket or len(roots) != 1:
        raise ProofError("The proof does not show that the row is absent", "Its neighbours are not the right ones")
    return roots.pop()


def _are_adjacent(left: tuple[int, int], right: tuple[int, int]) -> bool:
    """Tell whether no leaf can stand between two, each given as position and length of its path.

    Seen from the root both go the same way, until one turns left and then only right, the other the reverse.
    """
    left_turns = (~left[0] & left[0] + 1).bit_length()  # its trailing ones, and the zero above them
    right_turns = (right[0] & -right[0]).bit_length()  # its trailing zeros, and the one above them
    above = left[1] - left_turns
    return right_turns > 0 and above == right[1] - right_turns >= 0 and left[0] >> left_turns == right[0] >> right_turns


def _verify_genesis(leaf: JsonObject, verified: Verified, trust: Trust) -> Verified:
    digest = _bytes(leaf, "genesis_digest", 32)
    is_first = verified.index == 0 and sha256(b"\x00" + canonical_json(leaf)).digest() == trust.genesis_leaf_digest
    if not is_first or leaf["chain"] != trust.chain or not trust.chain.endswith("-" + digest[:16].hex()):
        raise ProofError("This is not the genesis leaf of the trust file", "", "Use the trust file of that chain")
    return verified


# Ed25519: libsodium's strict verdict. S < L, canonical A, no small-order A or R, recomputed R equals R byte for byte,
# no cofactor. A key with a torsion component is judged by the same equation (the ledger lets no such key register).
# Source: RFC 8032 sections 5.1 and 5.1.7; libsodium 1.0.20 crypto_sign_ed25519_verify_detached. Public data only:
# nothing here runs in constant time.

Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL: Point = (0, 1, 1, 0)


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) over `message` was made with `public_key` (32 bytes)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    key_point = decompress(public_key)
    if scalar >= L or key_point is None or has_small_order(key_point):
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % L
    x, y, z, t = key_point
    recomputed = _double_multiply(challenge, (P - x, y, z, P - t), scalar)
    return not has_small_order(recomputed) and compress(recomputed) == signature[:32]


def decompress(encoded: bytes) -> Point | None:
    """Return the point of a canonical 32-byte encoding, or None. Source: RFC 8032 section 5.1.3."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == P - u:
        x = x * SQRT_MINUS_ONE % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def compress(point: Point) -> bytes:
    """Return the canonical 32-byte encoding of a point."""
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def add(first: Point, second: Point) -> Point:
    """Add two points. Source: RFC 8032 section 5.1.4."""
    x1, y1, z1, t1 = first
    x2, y2, z2, t2 = second
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = t1 * 2 * D * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(point: Point) -> Point:
    """Double a point. Source: RFC 8032 section 5.1.4."""
    x, y, z, _ = point
    a, b = x * x % P, y * y % P
    h = a + b
    e, g = h - (x + y) * (x + y) % P, a - b
    f = 2 * z * z % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def has_small_order(point: Point) -> bool:
    """Tell whether eight times the point is the neutral one."""
    x, y, z, _ = double(double(double(point)))
    return x % P == 0 and (y - z) % P == 0


def _odd_multiples(point: Point, count: int) -> list[Point]:
    """Return 1, 3, 5, ... times the point."""
    twice, multiples = double(point), [point]
    while len(multiples) < count:
        multiples.append(add(multiples[-1], twice))
    return multiples


def _signed_digits(scalar: int, width: int) -> list[int]:
    """Return digits d_i, zero or odd and below 2^(width-1) in size, with scalar = sum d_i 2^i; most are zero."""
    digits = []
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & (2**width - 1)
            digit -= digit >> width - 1 << width
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


def _base_point() -> Point:
    point = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


KEY_WIDTH, BASE_WIDTH = 5, 8
BASE_MULTIPLES = _odd_multiples(_base_point(), 2 ** (BASE_WIDTH - 2))


def _double_multiply(first: int, point: Point, second: int) -> Point:
    """Return first * point + second * base point."""
    multiples = _odd_multiples(point, 2 ** (KEY_WIDTH - 2))
    first_digits, second_digits = _signed_digits(first, KEY_WIDTH), _signed_digits(second, BASE_WIDTH)
    length = max(len(first_digits), len(second_digits))
    first_digits += [0] * (length - len(first_digits))
    second_digits += [0] * (length - len(second_digits))
    total = NEUTRAL
    for one, two in zip(reversed(first_digits), reversed(second_digits), strict=True):
        total = double(total)
        if one:
            total = add(total, _multiple(multiples, one))
        if two:
            total = add(total, _multiple(BASE_MULTIPLES, two))
    return total


def _multiple(multiples: Sequence[Point], digit: int) -> Point:
    x, y, z, t = multiples[abs(digit) >> 1]
    return (x, y, z, t) if digit > 0 else (P - x, y, z, P - t)


# Plain words


def explain(verified: Verified) -> str:
    """Say in plain words what was proved, and what was not."""
    lines = [f"PROVED: {_headline(verified)}.", ""]
    lines += [f"{label:<10}{text}" for label, text in _facts(verified)]
    lines += ["", "What this shows", *(f"  - {text}" for text in _shown(verified))]
    lines += ["", "What this does NOT show", *(f"  - {text}" for text in _not_shown(verified))]
    return "\n".join(lines) + "\n"


def _headline(verified: Verified) -> str:
    if verified.kind == "transaction":
        if verified.applied:
            return "the statement was logged and APPLIED"
        return f"the statement was logged and REFUSED (code {verified.code}): it had no effect"
    if verified.kind == "state":
        presence = "absent" if verified.row is None else "present"
        when = (
            "current at this checkpoint"
            if verified.is_last
            else f"as of height {verified.height}, not necessarily later"
        )
        return f"the row was {presence}, {when}"
    return f"the {verified.kind} leaf is in the log"


def _facts(verified: Verified) -> Iterable[tuple[str, str]]:
    if verified.kind == "transaction":
        yield (
            "What",
            f"{json.loads(verified.entry)['type']}, entry {verified.entry_index + 1} of {verified.entry_count}",
        )
        yield "", verified.entry.decode()
        yield "Outcome", "applied" if verified.applied else f"refused, code {verified.code}"
        yield "Who", f"actor {_base64(verified.actor)}"
        yield "", f"signed with key {_base64(verified.key)}"
        yield "Id", f"transaction {_base64(verified.txid)}"
    if verified.kind == "state":
        yield "What", f"table {verified.table}, key {_base64(verified.row_key)}"
        yield "", "no such row" if verified.row is None else verified.row.decode()
    if verified.document_at:
        yield "Document", f"its commitment stands in the entry at '{verified.document_at}'"
    elif verified.opening_unchecked:
        yield "Document", "NOT CHECKED: the receipt can open one; give it with --document"
    yield "When", f"block {verified.height}, agreed time {_utc(verified.time)}"
    yield "Log", f"{verified.chain}, leaf {verified.index} of {verified.size}"
    yield (
        "Signers",
        f"{_these(verified.validators)}, {len(verified.validators)} of {verified.validators_all} validators",
    )
    yield "", f"enough had signed by {_utc(verified.validators_signed_at)} (validator set {verified.validator_set})"
    if verified.witnesses_all:
        yield "Witnesses", f"{_these(verified.witnesses)}, {len(verified.witnesses)} of {verified.witnesses_all}"
        yield "", f"most had seen the log by {_utc(verified.witnessed_at)}"
    else:
        yield "Witnesses", "your trust file names none"


def _shown(verified: Verified) -> Iterable[str]:
    if verified.validators_all == 1:
        yield f"This is asserted by one organisation, {verified.validators[0]}, and no other organisation agreed to it."
        if verified.witnesses:
            yield f"Outside witnesses ({_these(verified.witnesses)}) saw that its log only grew, not what it says."
        else:
            yield "No outside witness saw its log: the organisation could show another log to somebody else."
    else:
        yield "More than two thirds of the voting power agreed that this is in the log."
        if verified.witnesses:
            yield f"Outside witnesses ({_these(verified.witnesses)}) saw that the log only grew."
    if verified.kind == "transaction":
        yield "The key named above signed this statement for this chain, and was active for that actor at that time."
        yield f"It was logged no later than {_utc(verified.witnessed_at or verified.validators_signed_at)}."
        if not verified.applied:
            yield "The ledger refused it. It must not be read as a fact."
    if verified.document_at:
        yield "The document given is, byte for byte, the one that the statement commits to."


def _not_shown(verified: Verified) -> Iterable[str]:
    if verified.kind == "transaction":
        yield "That the statement is true: only that it was made and logged."
        yield "Which person or organisation stands behind the actor id: ask its member organisation."
        yield "That it still holds today: a later entry may have withdrawn or replaced it."
        if verified.entry_count > 1:
            yield "What the other entries of the same transaction say."
    elif verified.kind == "state":
        yield f"The state after any other block than {verified.height}, or what became of it since."
    else:
        yield "What the transactions of the block say: the leaf holds digests."
    if not verified.witnesses_all:
        yield "That everybody was shown the same log: your trust file names no outside witness."


def _utc(seconds: int) -> str:
    if seconds > TIME_MAX:
        return f"second {seconds}"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _base64(encoded: bytes) -> str:
    return base64.b64encode(encoded).decode()


def _these(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def verdict(verified: Verified) -> str:
    """Return one word: "applied" or "refused", "present" or "absent", or "logged" for a bare leaf."""
    if verified.kind == "transaction":
        return "applied" if verified.applied else "refused"
    if verified.kind == "state":
        return "absent" if verified.row is None else "present"
    return "logged"


def summary(verified: Verified) -> dict[str, object]:
    """Return what was proved as one JSON-ready object; bytes as base64, JSON as objects."""
    values: dict[str, object] = {"proved": True, "verdict": verdict(verified)}
    for name, value in asdict(verified).items():
        if name in ("entry", "row"):
            value = json.loads(value) if value else None
        values[name] = _base64(value) if isinstance(value, bytes) else value
    return values


def _read_file(name: str, bytes_max: int) -> bytes:
    with Path(name).open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise Damaged("A file is too large", f"{bytes_max} bytes are the most", "Check that it is the right file")
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description="Verify a Vervain receipt without network or other packages.")
    parser.add_argument("receipt", help="the .receipt file")
    parser.add_argument("--trust", required=True, help="your own .trust file")
    parser.add_argument("--document", help="the document as stored, to check that the receipt is about it")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    options = parser.parse_args(arguments)
    try:
        receipt = _read_file(options.receipt, RECEIPT_BYTES_MAX)
        trust = read_trust(_read_file(options.trust, TRUST_BYTES_MAX))
        document = _read_file(options.document, DOCUMENT_BYTES_MAX) if options.document else None
        verified = verify(receipt, trust, document)
    except OSError as error:
        print(f"Cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    except ProofError as error:
        is_damaged = isinstance(error, Damaged)
        words = {"proved": False, "damaged": is_damaged, "what": error.what, "why": error.why, "do": error.do}
        print(json.dumps(words) if options.json else f"{'DAMAGED' if is_damaged else 'NOT PROVED'}: {error}.")
        return EXIT_DAMAGED if is_damaged else EXIT_NOT_PROVED
    print(json.dumps(summary(verified)) if options.json else explain(verified), end="\n" if options.json else "")
    return EXIT_PROVED if verified.applied else EXIT_NOT_PROVED


if __name__ == "__main__":
    sys.exit(main())
