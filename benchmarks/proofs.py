# SPDX-License-Identifier: Apache-2.0
"""Proof size and verification time at 10^6 leaves with 8 cosigners.

`python -m benchmarks.proofs [--leaves 1000000]`
"""

import argparse
import secrets
import time
from hashlib import sha256

import msgspec

from benchmarks.figures import RUNS, Figure, figure, record
from vervain.ledger.machine.block import TransactionLeaf
from vervain.ledger.machine.transaction import Transaction, entry_path, entry_salt
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.ledger.primitives.codec import Decoder, encode
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import TiledTree, TileWriter
from vervain.sealing.checkpoints import Checkpoint, cosign
from vervain.sealing.keys import SigningKey
from vervain.sealing.receipts import EntryProof, Receipt, format_receipt, verify_receipt
from vervain.sealing.signing import build_transaction
from vervain.sealing.trust import Handover, TrustedValidator, TrustFile, trust_of

COMMAND = "python -m benchmarks.proofs"
CHAIN = "bench-" + "0" * 32
COSIGNERS = 8
NOW = 1_800_000_000
VERIFICATIONS = 2_000


def receipt_at(leaves: int) -> tuple[bytes, TrustFile]:
    """Return a receipt in the middle of a log of `leaves` leaves, and the trust file it verifies against."""
    key = SigningKey.generate()
    message = CommitRecord(subject=secrets.token_bytes(32), commitment=secrets.token_bytes(32))
    signed = build_transaction([message], chain=CHAIN, actor=key.actor, key=key, expires_at=NOW)
    transaction = Transaction(signed.encoded, Decoder(CommitRecord))
    leaf = TransactionLeaf(
        kind="transaction", txid=signed.txid, code=0, outcome_digest=bytes(32), height=leaves // 2, time=NOW
    )
    index = leaves // 2 + 1
    tiles: dict[tuple[int, int], bytes] = {}
    writer = TileWriter(0, lambda level, number: tiles.get((level, number), b""))
    hashes = [sha256(number.to_bytes(8, "big")).digest() for number in range(leaves)]
    hashes[index] = leaf_hash(encode(leaf))
    for level, number, tile in writer.append(hashes):
        tiles[level, number] = tile
    tree = TiledTree(leaves, lambda level, number: tiles.get((level, number), b""))
    checkpoint = Checkpoint(origin=CHAIN, size=leaves, root=tree.root())
    cosigners = [SigningKey.generate() for _ in range(COSIGNERS)]
    names = [f"cosigner-{number}" for number in range(COSIGNERS)]
    receipt = Receipt(
        index=index,
        path=tree.inclusion_path(index),
        checkpoint=checkpoint,
        signatures=tuple(
            cosign(checkpoint, key=each, name=name, time=NOW) for each, name in zip(cosigners, names, strict=True)
        ),
        proof=EntryProof(
            leaf=leaf,
            header=transaction.header,
            signature=transaction.signature,
            entry=msgspec.Raw(transaction.entries[0]),
            entry_index=0,
            entry_salt=entry_salt(transaction.blind, 0),
            entry_path=entry_path(transaction.entries, transaction.blind, 0),
        ),
    )
    validators = tuple(
        TrustedValidator(
            name=name,
            organisation=secrets.token_bytes(32),
            engine_key=secrets.token_bytes(32),
            cosigning_key=each.public_key,
            power=1,
        )
        for each, name in zip(cosigners, names, strict=True)
    )
    trust = TrustFile(
        chain=CHAIN, genesis_leaf_digest=hashes[0], witnesses=(), handovers=(Handover(validators=validators),)
    )
    return format_receipt(receipt), trust


def measure(leaves: int) -> list[Figure]:
    """Measure the proof text (without the JSON line, which carries the statement) and the SDK's verification."""
    encoded, file = receipt_at(leaves)
    trust = trust_of(file)
    proof_bytes = encoded.rindex(b"\n{") + 1
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        for _ in range(VERIFICATIONS):
            verify_receipt(encoded, trust)
        times.append((time.perf_counter() - started) / VERIFICATIONS * 1e3)
    return [
        figure("proof_bytes", [proof_bytes], "B", command=COMMAND, floor=2_048),
        figure("receipt_bytes", [len(encoded)], "B", command=COMMAND, floor=8_192),
        figure("verify_ms", times, "ms", command=COMMAND, floor=1),
    ]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=1_000_000)
    figures = measure(parser.parse_args().leaves)
    record(figures)
    for each in figures:
        print(each.name, each.value, each.unit)


if __name__ == "__main__":
    main()
