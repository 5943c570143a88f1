# SPDX-License-Identifier: Apache-2.0
"""A real node with a small story on it: patients, records, grants, a denial, a withdrawal, reads.

Read with `rows_of` after `tell`; everything is made through desks and wallets.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from tests.unit.node.founded import desk_of, documents, found
from vervain.ledger.modules.consent.messages import Purpose
from vervain.node.node import Node
from vervain.readmodel.tables import METADATA
from vervain.sdk.wallet import Wallet
from vervain.sdk.wallet_file import GivenGrant
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.read_requests import build_read_request, new_record_set
from vervain.sealing.readers import claim_reader

PURPOSES = (Purpose.TREAT, Purpose.HPAYMT)


def tell(root: Path) -> None:
    """Found a chain in `root` and tell the story; the node is stopped after it."""
    found(root)
    with Node(root) as node:
        for number in range(3):
            _patient(node, number)


def _patient(node: Node, number: int) -> None:
    desk, wallet = desk_of(node), Wallet.create(node.chain)
    actor = wallet.join(desk.organisation).actor
    desk.send(wallet.registration(desk.organisation))
    desk.keep(documents(desk, 2, first=2 * number, subject=actor))
    desk.commit_kept()
    given = [_grant(node, wallet, purpose) for purpose in PURPOSES]
    for time in range(2):
        for grant, purpose in zip(given, PURPOSES, strict=True):
            _read(node, grant, purpose, record=2 * number + 1 + time)
    now = int(node.clock())
    denied = wallet.deny(desk.organisation, valid_from=now, valid_until=now + 1_000)
    desk.submit(wallet.sign(desk.organisation, [denied], now=now).encoded)
    withdrawn = wallet.withdraw(given[0][0].consent)
    desk.submit(wallet.sign(desk.organisation, [withdrawn], now=now).encoded)


def _grant(node: Node, wallet: Wallet, purpose: Purpose) -> tuple[GivenGrant, SigningKey]:
    desk, reader, now = desk_of(node), SigningKey.generate(), int(node.clock())
    claim = claim_reader(
        desk.signing,
        organisation=desk.organisation,
        reader=reader.public_key,
        reader_kem=KemKey.generate().public_key,
        grantor=wallet.relationship(desk.organisation).actor,
        chain=node.chain,
    )
    prepared = wallet.grant(
        desk.organisation,
        claim,
        organisation_key=desk.signing.public_key,
        purposes=[purpose],
        valid_from=now - 5,
        valid_until=now + 10_000,
    )
    signed = wallet.sign(desk.organisation, [prepared.message], now=now)
    desk.submit(signed.encoded)
    return wallet.granted(prepared, txid=signed.txid), reader


def _read(node: Node, grant: tuple[GivenGrant, SigningKey], purpose: Purpose, *, record: int) -> None:
    given, reader = grant
    desk = desk_of(node)
    request = build_read_request(
        chain=node.chain,
        grant=given.consent,
        custodian=desk.organisation,
        record_set=new_record_set([record]),
        purpose=purpose,
        notice_digest=bytes(32),
        expires_at=int(node.clock()) + 600,
        reader=reader,
    )
    desk.send(request)


def rows_of(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, in key order."""
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in METADATA.sorted_tables
        }
