# SPDX-License-Identifier: Apache-2.0
"""Builds logs, receipts and trust files from the fixed formats alone, without a running node: one seed, the same bytes.

`python -m tests.receipt_builder` rewrites the worked example in docs/concepts/receipts.md.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from vervain.ledger.machine.block import BlockLeaf, GenesisLeaf, TransactionLeaf
from vervain.ledger.machine.outcome import outcome_digest
from vervain.ledger.machine.transaction import Header, entries_root, entry_path, entry_salt
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import GENESIS, TX, TXID, actor_id, leaf_hash, record_commitment
from vervain.ledger.primitives.merkle_log import path_of, root_of
from vervain.ledger.primitives.proved_map import (
    UpperTree,
    bucket_of,
    bucket_root,
    map_key,
    prove,
    update_bucket,
    value_hash,
)
from vervain.sealing.checkpoints import Checkpoint, SignatureLine, cosign
from vervain.sealing.commitments import Opening
from vervain.sealing.keys import SigningKey
from vervain.sealing.receipt_format import EntryProof, LeafProof, Receipt, StateProof, format_receipt
from vervain.sealing.state_proofs import claim_of
from vervain.sealing.trust import (
    Handover,
    PinnedCheckpoint,
    TrustedValidator,
    TrustedWitness,
    TrustFile,
    digest_of,
)

EXAMPLE_PAGE = Path(__file__).parent.parent / "docs" / "concepts" / "receipts.md"
FOUNDED_AT = 1_800_000_000  # UTC seconds
BLOCK_SECONDS = 5
DOCUMENT = b'{"resourceType":"Observation","id":"o-1","status":"final"}'


@dataclass(frozen=True)
class Signer:
    """A validator or a witness with its private cosigning key."""

    name: str
    key: SigningKey
    organisation: bytes = b""
    engine_key: bytes = b""
    power: int = 1

    @property
    def trusted(self) -> TrustedValidator:
        """What a trust file says of this validator."""
        return TrustedValidator(
            name=self.name,
            organisation=self.organisation,
            engine_key=self.engine_key,
            cosigning_key=self.key.public_key,
            power=self.power,
        )


@dataclass(frozen=True)
class Logged:
    """A transaction in the log."""

    index: int
    leaf: TransactionLeaf
    header: Header
    signature: bytes
    blind: bytes
    entries: tuple[bytes, ...]


@dataclass
class LogBuilder:
    """A chain's log, its validators and witnesses, all made from `seed`.

    Attributes:
        validators: How many found the chain.
        witnesses: How many outside witnesses there are.
        chain: The chain's name; made from the genesis digest when left out.
    """

    seed: str = "receipts"
    validators: int = 7
    witnesses: int = 3
    chain: str = ""
    leaves: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    sets: list[tuple[int, tuple[Signer, ...]]] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)

    def __post_init__(self) -> None:
        content = encode({"name": "demo", "sections": {}, "time": FOUNDED_AT})
        digest = sha256(GENESIS + content).digest()
        self.chain = self.chain or f"demo-{digest[:16].hex()}"
        self.height, self.time = 0, FOUNDED_AT
        self.upper, self.buckets = UpperTree(), dict[int, bytes]()
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.outside = tuple(Signer(f"witness-{n}", self.key("witness", n)) for n in range(self.witnesses))
        founders = self.validator_set(0, self.validators)
        self.append(GenesisLeaf(kind="genesis", chain=self.chain, genesis_digest=digest, time=FOUNDED_AT))
        self.sets.append((1, founders))
        self.handovers.append(Handover(validators=tuple(signer.trusted for signer in founders)))
        self.end_block()

    # Chance, all from the seed

    def chance(self, *what: object) -> bytes:
        """Return 32 bytes that depend on the seed and `what` alone."""
        return sha256(repr((self.seed, *what)).encode()).digest()

    def key(self, *what: object) -> SigningKey:
        """Return the private key named `what`."""
        return SigningKey(self.chance("key", *what))

    def validator_set(self, epoch: int, count: int) -> tuple[Signer, ...]:
        """Return `count` validators with keys of `epoch`."""
        return tuple(
            Signer(
                name=f"member-{n}",
                key=self.key("validator", epoch, n),
                organisation=self.chance("organisation", n),
                engine_key=self.chance("engine", epoch, n),
            )
            for n in range(count)
        )

    # Growing

    def append(self, leaf: msgspec.Struct) -> int:
        """Append a leaf; return its number."""
        self.leaves.append(encode(leaf))
        self.hashes.append(leaf_hash(self.leaves[-1]))
        return len(self.leaves) - 1

    def transact(self, *entries: Mapping[str, Any], code: int = 0, chain: str = "") -> Logged:
        """Log one signed transaction with these entries in the open block; `chain`: signed for another chain."""
        return self.transact_encoded(*(encode(dict(entry)) for entry in entries), code=code, chain=chain)

    def transact_encoded(self, *encoded: bytes, code: int = 0, chain: str = "") -> Logged:
        """Likewise, with the entries' bytes as given, even such as no ledger would take."""
        number = len(self.leaves)
        key, blind = self.key("actor", number), self.chance("blind", number)
        header = Header(
            version=1,
            chain=chain or self.chain,
            actor=actor_id(key.public_key),
            key=key.public_key,
            nonce=self.chance("nonce", number)[:16],
            expires_at=self.time + 600,
            root=entries_root(encoded, blind),
            count=len(encoded),
        )
        signed = encode(header)
        leaf = TransactionLeaf(
            kind="transaction",
            txid=sha256(TXID + signed).digest(),
            code=code,
            outcome_digest=outcome_digest(encode({"code": code}), blind),
            height=self.height,
            time=self.time,
        )
        return Logged(self.append(leaf), leaf, header, key.sign(TX + signed), blind, encoded)

    def put_row(self, table: str, key: bytes, row: Mapping[str, Any] | None) -> None:
        """Write or delete a proved row in the open block."""
        place, encoded = map_key(table, key), None if row is None else encode(dict(row))
        bucket = bucket_of(place)
        pairs = update_bucket(self.buckets.get(bucket, b""), {place: None if encoded is None else value_hash(encoded)})
        self.buckets[bucket] = b"".join(pairs)
        self.upper.update([(bucket, bucket_root(pairs))])
        if encoded is None:
            self.rows.pop((table, key), None)
        else:
            self.rows[table, key] = encoded

    def end_block(self, next_validators: tuple[Signer, ...] | None = None) -> int:
        """Close the block with its leaf, handing over to `next_validators` if given; return the leaf's number."""
        following = next_validators or self.sets[-1][1]
        index = self.append(
            BlockLeaf(
                kind="block",
                height=self.height,
                time=self.time,
                change_digest=self.chance("change", self.height),
                proved_root=self.upper.root,
                config_root=self.chance("config"),
                next_validators=digest_of(signer.trusted for signer in following),
            )
        )
        if next_validators:
            receipt = self.leaf_receipt(index)
            self.sets.append((len(self.leaves) + 1, next_validators))
            self.handovers.append(
                Handover(validators=tuple(signer.trusted for signer in next_validators), receipt=receipt)
            )
        self.height, self.time = self.height + 1, self.time + BLOCK_SECONDS
        return index

    # Signing

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """Return the head of the first `size` leaves (default: all)."""
        size = len(self.leaves) if size is None else size
        return Checkpoint(origin=self.chain, size=size, root=root_of(self.hashes[:size]))

    def signers_of(self, size: int) -> tuple[Signer, ...]:
        """Return the validators whose signatures count at a size."""
        return [signers for from_size, signers in self.sets if from_size <= size][-1]

    def cosignatures(self, checkpoint: Checkpoint, *, everyone: bool = False) -> tuple[SignatureLine, ...]:
        """Return the smallest sufficient set of cosignatures, or everyone's; times rise by one second a signer."""
        current = self.signers_of(checkpoint.size)
        if not everyone:
            current = current[: 2 * len(current) // 3 + 1]
        outside = self.outside if everyone else self.outside[: len(self.outside) // 2 + 1]
        return tuple(
            cosign(checkpoint, key=signer.key, name=signer.name, time=self.time + n + 1)
            for n, signer in enumerate((*current, *outside))
        )

    # Receipts

    def parts(self, index: int, size: int | None, everyone: bool) -> dict[str, Any]:
        """Return what every receipt of leaf `index` has in common."""
        checkpoint = self.checkpoint(size)
        return {
            "index": index,
            "path": path_of(self.hashes[: checkpoint.size], index),
            "checkpoint": checkpoint,
            "signatures": self.cosignatures(checkpoint, everyone=everyone),
        }

    def entry_receipt(
        self,
        logged: Logged,
        entry_index: int = 0,
        *,
        size: int | None = None,
        opening: Opening | None = None,
        everyone: bool = False,
    ) -> bytes:
        """Return the receipt of one entry of a transaction."""
        proof = EntryProof(
            leaf=logged.leaf,
            header=logged.header,
            signature=logged.signature,
            entry=msgspec.Raw(logged.entries[entry_index]),
            entry_index=entry_index,
            entry_salt=entry_salt(logged.blind, entry_index),
            entry_path=entry_path(logged.entries, logged.blind, entry_index),
            opening=msgspec.UNSET if opening is None else opening,
        )
        return format_receipt(Receipt(**self.parts(logged.index, size, everyone), proof=proof))

    def leaf_receipt(self, index: int, *, size: int | None = None, everyone: bool = False) -> bytes:
        """Return the receipt of a block leaf or the genesis leaf."""
        encoded = self.leaves[index]
        leaf = msgspec.json.decode(encoded, type=BlockLeaf) if index else msgspec.json.decode(encoded, type=GenesisLeaf)
        return format_receipt(Receipt(**self.parts(index, size, everyone), proof=LeafProof(leaf=leaf)))

    def state_receipt(self, table: str, key: bytes, index: int, *, size: int | None = None) -> bytes:
        """Return the proof of a row, present or absent, under block leaf `index`; the map must be as it was then."""
        place = map_key(table, key)
        proof = prove(place, self.buckets.get(bucket_of(place), b""), self.upper)
        claim = claim_of(table=table, key=key, row=self.rows.get((table, key)), proof=proof)
        leaf = msgspec.json.decode(self.leaves[index], type=BlockLeaf)
        return format_receipt(Receipt(**self.parts(index, size, False), proof=StateProof(leaf=leaf, state=claim)))

    # Trust

    def trust_file(self, *, pinned: Sequence[PinnedCheckpoint] = ()) -> TrustFile:
        """Return the trust file of a reader who knows every signer."""
        return TrustFile(
            chain=self.chain,
            genesis_leaf_digest=self.hashes[0],
            witnesses=tuple(TrustedWitness(name=one.name, key=one.key.public_key) for one in self.outside),
            handovers=tuple(self.handovers),
            pinned=tuple(pinned) if pinned else msgspec.UNSET,
        )

    def trust_bytes(self, *, pinned: Sequence[PinnedCheckpoint] = ()) -> bytes:
        """Return that file's bytes, laid out for people."""
        return msgspec.json.format(encode(self.trust_file(pinned=pinned)), indent=2) + b"\n"


def record_entry(log: LogBuilder, number: int = 0, document: bytes = DOCUMENT) -> tuple[dict[str, Any], Opening]:
    """Return an entry that commits to a document, and the opening."""
    opening = Opening(type="Observation", id=f"o-{number}", version="1", salt=log.chance("salt", number))
    commitment = record_commitment(
        resource_type=opening.type,
        resource_id=opening.id,
        version=opening.version,
        salt=opening.salt,
        stored=document,
    )
    entry = {"type": "records.commit", "commitment": b64encode(commitment).decode(), "record_set": number}
    return entry, opening


def example() -> tuple[bytes, bytes, bytes]:
    """Return receipt, trust file and document of the worked example: one organisation and one outside witness."""
    log = LogBuilder(seed="worked example", validators=1, witnesses=1)
    entry, opening = record_entry(log)
    logged = log.transact(entry)
    log.end_block()
    return log.entry_receipt(logged, opening=opening), log.trust_bytes(), DOCUMENT


def example_page(page: str) -> str:
    """Return the documentation page with its example blocks made anew."""
    receipt, trust, document = example()
    proof = receipt.splitlines()[-1]
    laid_out = json.dumps(json.loads(proof), indent=2, sort_keys=True)
    blocks = {
        "receipt": receipt.decode(),
        "json line, laid out": laid_out + "\n",
        "trust": trust.decode(),
        "document": document.decode() + "\n",
    }
    for name, text in blocks.items():
        pattern = re.compile(rf"(<!-- example: {name} -->\n```\w*\n).*?(```\n)", re.DOTALL)
        match = pattern.search(page)
        assert match is not None, f"the page has no place for the example «{name}»"
        page = page[: match.start()] + match[1] + text + match[2] + page[match.end() :]
    return page


if __name__ == "__main__":
    EXAMPLE_PAGE.write_text(example_page(EXAMPLE_PAGE.read_text()))
