# SPDX-License-Identifier: Apache-2.0
"""The reader's own trust file: whose signatures count, for which stretch of the log.

Rules kept:
1. The founding validators are named by the reader; every later set is named by the set before it, in a block leaf that
   is the last of a checkpoint signed by more than 2/3 of that set. From the next leaf on the new set signs.
2. A checkpoint holds when more than 2/3 of the voting power in force and most outside witnesses signed it.
3. A line that shares a name or a key id with a trusted key must be by that key and hold; entirely unknown keys are
   ignored.
4. A pinned checkpoint is one the reader has seen elsewhere: another root at its size is evidence of a split log.

Source: contracts.md "Trust file"; docs/concepts/receipts.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec.structs import replace

from vervain.ledger.machine.block import BlockLeaf, validators_digest
from vervain.ledger.machine.limits import VALIDATORS_MAX
from vervain.ledger.machine.module import Validator
from vervain.ledger.primitives.codec import (
    INTEGER_MAX,
    Bytes32,
    Code,
    Natural,
    NotCanonical,
    Positive,
    encode,
    require_shallow,
)
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import verify_inclusion
from vervain.sealing.checkpoints import (
    TIMED_SIGNATURE_BYTES,
    Checkpoint,
    DamagedProof,
    SignatureLine,
    damaged,
    key_id,
    verify_cosignature,
)
from vervain.sealing.receipt_format import LeafProof, parse_receipt

TRUST_BYTES_MAX: Final = 8 * 2**20
WITNESSES_MAX: Final = 32
HANDOVERS_MAX: Final = 1_000
PINNED_MAX: Final = 1_000
_DIGITS_MAX: Final = 17

KeyName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-*,-~]+\Z")]


class TrustedWitness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An outside witness: the name and the 32-byte key it cosigns with."""

    name: KeyName
    key: Bytes32


class TrustedValidator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A validator as digested in block leaves, and the name of its cosigning key."""

    name: KeyName
    organisation: Bytes32
    engine_key: Bytes32
    cosigning_key: Bytes32
    power: Positive


class Handover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A set of validators, and the receipt of the block leaf that names it; the founding set may go without."""

    validators: Annotated[tuple[TrustedValidator, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    receipt: bytes | msgspec.UnsetType = msgspec.UNSET


class PinnedCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkpoint that the reader has seen elsewhere."""

    size: Natural
    root: Bytes32


class TrustFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A `.trust` file as written.

    Attributes:
        chain: The chain's full name.
        genesis_leaf_digest: RFC 9162 leaf hash of the log's first leaf.
        witnesses: Outside witnesses; most of them must have signed.
        handovers: The founding validators, then each later set.
        pinned: Checkpoints seen elsewhere.
    """

    chain: Code
    genesis_leaf_digest: Bytes32
    witnesses: Annotated[tuple[TrustedWitness, ...], msgspec.Meta(max_length=WITNESSES_MAX)]
    handovers: Annotated[tuple[Handover, ...], msgspec.Meta(min_length=1, max_length=HANDOVERS_MAX)]
    pinned: Annotated[tuple[PinnedCheckpoint, ...], msgspec.Meta(max_length=PINNED_MAX)] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class ValidatorSet(msgspec.Struct, frozen=True, kw_only=True):
    """The validators whose signatures count for checkpoints of `from_size` leaves and more, until the next set."""

    from_size: int
    validators: tuple[TrustedValidator, ...]
    power: int


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """A trust file whose hand-over chain has been verified.

    Attributes:
        chain, genesis_leaf_digest, witnesses: Of the file.
        sets: The sets of validators, oldest first.
        pinned: Size to root.
        known: (name, 4-byte key id) to key, of every witness and every validator ever.
        names, ids: The two halves of those.
    """

    chain: str
    genesis_leaf_digest: bytes
    witnesses: tuple[TrustedWitness, ...]
    sets: tuple[ValidatorSet, ...]
    pinned: tuple[PinnedCheckpoint, ...]
    known: Mapping[tuple[str, bytes], bytes]
    names: frozenset[str]
    ids: frozenset[bytes]


class Signers(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed a checkpoint: names in order, and when enough had signed (UTC seconds; 0 when none was needed)."""

    validator_set: int
    validators: tuple[str, ...]
    validators_all: int
    validators_signed_at: int
    witnesses: tuple[str, ...]
    witnesses_all: int
    witnessed_at: int


def read_trust(encoded: bytes) -> Trust:
    """Read a trust file and verify its hand-over chain from the founding validators on.

    Raises: DamagedProof, ProofError.
    """
    try:
        return trust_of(_decode_file(encoded))
    except DamagedProof as error:
        raise DamagedProof("The trust file is damaged", why=error.why, do="Get a new copy, or make it again.") from None


def trust_of(file: TrustFile) -> Trust:
    """Verify a trust file's hand-over chain.

    Raises: DamagedProof, ProofError.
    """
    _require_different_signers(file)
    signers = [(witness.name, witness.key) for witness in file.witnesses]
    signers += [(v.name, v.cosigning_key) for handover in file.handovers for v in handover.validators]
    known = {(name, key_id(name, key)): key for name, key in signers}
    if any(known[name, key_id(name, key)] != key for name, key in signers):
        damaged("two keys have one name and one id")
    trust = Trust(
        chain=file.chain,
        genesis_leaf_digest=file.genesis_leaf_digest,
        witnesses=file.witnesses,
        sets=(_set_of(1, file.handovers[0].validators),),
        pinned=() if isinstance(file.pinned, msgspec.UnsetType) else file.pinned,
        known=known,
        names=frozenset(name for name, _ in known),
        ids=frozenset(identity for _, identity in known),
    )
    for number, handover in enumerate(file.handovers):
        trust = _with_handover(trust, number, handover)
    return trust


def digest_of(validators: Iterable[TrustedValidator]) -> bytes:
    """Return the digest by which a block leaf names these validators, 32 bytes."""
    rows = (
        Validator(organisation=v.organisation, engine_key=v.engine_key, power=v.power, cosigning_key=v.cosigning_key)
        for v in validators
    )
    return validators_digest(tuple(sorted(rows)))


def verify_leaf(
    *,
    leaf: bytes,
    index: int,
    path: Sequence[bytes],
    checkpoint: Checkpoint,
    lines: Sequence[SignatureLine],
    trust: Trust,
) -> Signers:
    """Check that a leaf's bytes are number `index` of the log, under a checkpoint that enough trusted keys signed.

    Raises: ProofError.
    """
    return _verify_leaf(leaf, index, path, checkpoint, lines, trust, needs_witnesses=True)


def _verify_leaf(
    leaf: bytes,
    index: int,
    path: Sequence[bytes],
    checkpoint: Checkpoint,
    lines: Sequence[SignatureLine],
    trust: Trust,
    *,
    needs_witnesses: bool,
) -> Signers:
    if checkpoint.origin != trust.chain:
        raise ProofError("The receipt is of another chain than the trust file", do="Use the trust file of that chain.")
    verify_inclusion(leaf=leaf_hash(leaf), index=index, size=checkpoint.size, path=path, root=checkpoint.root)
    if any(pin.size == checkpoint.size and pin.root != checkpoint.root for pin in trust.pinned):
        raise ProofError(
            "The checkpoint differs from one that is pinned",
            why="Two logs of one name were signed",
            do="Keep both: together they are evidence.",
        )
    signed = _signed_times(checkpoint.body, lines, trust)
    number = max(n for n, one in enumerate(trust.sets) if n == 0 or one.from_size <= checkpoint.size)
    current = trust.sets[number]
    validators, signed_at = _require_power(current, signed)
    needed = len(trust.witnesses) // 2 + 1 if needs_witnesses and trust.witnesses else 0
    witnesses, witnessed_at = _require_witnesses(trust, signed, needed)
    return Signers(
        validator_set=number,
        validators=validators,
        validators_all=len(current.validators),
        validators_signed_at=signed_at,
        witnesses=witnesses,
        witnesses_all=len(trust.witnesses),
        witnessed_at=witnessed_at,
    )


def _signed_times(body: bytes, lines: Sequence[SignatureLine], trust: Trust) -> dict[bytes, int]:
    """Return when each trusted key signed, as it says; every line by a trusted key must hold."""
    signed: dict[bytes, int] = {}
    for line in lines:
        public_key = trust.known.get((line.name, line.key_id))
        if public_key is not None:
            signed[public_key] = verify_cosignature(line, public_key=public_key, body=body)
        elif len(line.signature) == TIMED_SIGNATURE_BYTES and (line.name in trust.names or line.key_id in trust.ids):
            raise ProofError(
                "A signature line does not fit the keys of the trust file",
                why="It has the name or the key id of a trusted key, but is not by that key",
                do="Ask for a new receipt, or for a newer trust file.",
            )
    return signed


def _require_power(current: ValidatorSet, signed: Mapping[bytes, int]) -> tuple[tuple[str, ...], int]:
    votes = [(signed[v.cosigning_key], v.name, v.power) for v in current.validators if v.cosigning_key in signed]
    votes.sort()
    power = signed_at = 0
    for time, _, one in votes:
        if 3 * power <= 2 * current.power:
            signed_at = time
        power += one
    if 3 * power <= 2 * current.power:
        raise ProofError(
            "Too few validators signed the checkpoint",
            why=f"{power} of {current.power} votes; more than two thirds are needed",
            do="Ask for a receipt with more cosignatures, or for a newer trust file if the validators have changed.",
        )
    return tuple(sorted(name for _, name, _ in votes)), signed_at


def _require_witnesses(trust: Trust, signed: Mapping[bytes, int], needed: int) -> tuple[tuple[str, ...], int]:
    seen = sorted((signed[one.key], one.name) for one in trust.witnesses if one.key in signed)
    if len(seen) < needed:
        raise ProofError(
            "Too few outside witnesses signed the checkpoint",
            why=f"{len(seen)} of the {len(trust.witnesses)} of the trust file; {needed} are needed",
            do="Ask for a receipt with more cosignatures.",
        )
    return tuple(sorted(name for _, name in seen)), seen[needed - 1][0] if needed else 0


def _set_of(from_size: int, validators: tuple[TrustedValidator, ...]) -> ValidatorSet:
    return ValidatorSet(from_size=from_size, validators=validators, power=sum(v.power for v in validators))


def _with_handover(trust: Trust, number: int, handover: Handover) -> Trust:
    """Verify hand-over `number` under the set before it, and add the set it names."""
    where = f"Hand-over {number} of the trust file"
    if isinstance(handover.receipt, msgspec.UnsetType):
        if number:
            damaged("every hand-over after the first needs its receipt")
        return trust
    receipt = parse_receipt(handover.receipt)
    if not isinstance(receipt.proof, LeafProof) or not isinstance(receipt.proof.leaf, BlockLeaf):
        raise ProofError("The receipt of a hand-over is not of a block leaf", why=where)
    checkpoint = receipt.checkpoint
    _verify_leaf(
        receipt.proof.leaf_bytes,
        receipt.index,
        receipt.path,
        checkpoint,
        receipt.signatures,
        trust,
        needs_witnesses=False,
    )
    if receipt.proof.leaf.next_validators != digest_of(handover.validators):
        raise ProofError("A hand-over names other validators than its receipt", why=where)
    if number == 0:
        if receipt.index != 1 or receipt.path[0] != trust.genesis_leaf_digest:
            raise ProofError("The founding validators do not stand beside the genesis leaf", why=where)
        return trust
    if receipt.index != checkpoint.size - 1 or checkpoint.size < trust.sets[-1].from_size:
        raise ProofError("A hand-over is not the last leaf of its checkpoint", why=where)
    return replace(trust, sets=(*trust.sets, _set_of(checkpoint.size + 1, handover.validators)))


def _require_different_signers(file: TrustFile) -> None:
    """No two of one set share a name, organisation or key; no validator is its own outside witness."""
    columns: list[list[Any]] = [
        [one.name for one in file.witnesses],
        [one.key for one in file.witnesses],
    ]  # Any: str, bytes
    for handover in file.handovers:
        columns += [[v.name for v in handover.validators], [v.organisation for v in handover.validators]]
        columns += [[v.engine_key for v in handover.validators], [v.cosigning_key for v in handover.validators]]
    if any(len(set(column)) != len(column) for column in columns):
        damaged("two witnesses, or two validators of one set, have one name, organisation or key")
    validator_keys = {v.cosigning_key for handover in file.handovers for v in handover.validators}
    if any(witness.key in validator_keys for witness in file.witnesses):
        damaged("a validator cannot be an outside witness with the same key")


def _decode_file(encoded: bytes) -> TrustFile:
    """A trust file is written by people too: any white space and order of keys, but no key twice and no odd value."""
    if len(encoded) > TRUST_BYTES_MAX:
        damaged(f"{TRUST_BYTES_MAX} bytes are the most")
    try:
        require_shallow(encoded)
        loaded = json.loads(
            encoded.decode("ascii"),
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_not_integer,
            parse_constant=_not_integer,
        )
        file = msgspec.convert(loaded, TrustFile)
    except NotCanonical as error:
        damaged(error.why)
    except msgspec.ValidationError as error:
        damaged(str(error))
    except (ValueError, RecursionError):
        damaged("it is not ASCII JSON")
    if encode(file) != encode(loaded):
        damaged("a value is not in its one form (canonical base64, no nulls)")
    return file


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: JSON before it has a type
    if len({name for name, _ in items}) != len(items):
        damaged("a key stands twice in one object")
    return dict(items)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or abs(int(digits)) > INTEGER_MAX:
        damaged("a number is 2^53 or more")
    return int(digits)


def _not_integer(_: str) -> NoReturn:
    damaged("a number is not an integer")
