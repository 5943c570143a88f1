# SPDX-License-Identifier: Apache-2.0
"""A data directory in which something happened: an import, grants, reads, an erasure, slots backups.

Two custodians keep the documents of generated patients; a third member reads under the patients' grants. What a
test does to the directory is its own business: each takes a copy or a directory of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.integration.imports import found, write_bundles
from tests.unit.node.founded import MovedClock
from vervain.cli.story.cast import Cast
from vervain.cli.story.sharing import Recipient, read, share
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consent.messages import Purpose
from vervain.ledger.modules.identity import queries as identity
from vervain.node.desk import MemberDesk
from vervain.node.node import Node
from vervain.sdk.reader import ReadDocument
from vervain.sdk.wallet import Wallet

READER: Final = "reader"
READ_PURPOSE: Final = Purpose.TREAT


class Life:
    """A running node after its import.

    Attributes:
        node, clock: The node and the clock it goes by.
        custodians: Ids of the members that keep documents, in the order of their names.
        wallets: The patients' wallets, in the order of the bundles' patients' ids.
    """

    def __init__(self, root: Path, files: Path, patients: int) -> None:
        self.clock = MovedClock()
        self.root, self._files, self._patients = root, files, patients
        self.operator = found(root)

    def begin(self) -> None:
        """Open the node and import."""
        self.node = Node(self.root, clock=self.clock).start()
        self.cast = Cast(self.node, self.operator)
        self.importer = self.cast.importer
        self.importer.run(write_bundles(self._files, self._patients))
        labels = self.importer._organisations
        self.custodians = [labels[label] for label in sorted(labels)]
        self.wallets = [self.importer.wallets[subject] for subject in sorted(self.importer.wallets)]
        for number, custodian in enumerate(self.custodians):
            self.cast.members[f"custodian {number}"] = custodian
        self.cast.members[READER] = self.operator

    def desk(self, custodian: int) -> MemberDesk:
        """Return a custodian's desk by its place."""
        return self.node.desk(self.custodians[custodian])

    def pseudonym(self, wallet: Wallet, custodian: int) -> bytes:
        """Return a patient's id at a custodian."""
        return wallet.relationship(self.custodians[custodian]).actor

    def share(self, wallet: Wallet, custodian: int) -> Recipient:
        """Let a patient grant the reader what a custodian keeps."""
        reader, _ = share(self.cast, wallet, custodian=f"custodian {custodian}", reader=READER, purpose=READ_PURPOSE)
        return reader

    def read(self, wallet: Wallet, custodian: int, reader: Recipient, records: list[int]) -> list[ReadDocument]:
        """Read records under a grant: request, release, opening."""
        with self.node.view() as state:
            kem_key = identity.require_actor(Store(state), self.pseudonym(wallet, custodian)).kem_key
        documents, _, _ = read(self.cast, reader, records, purpose=READ_PURPOSE, patient_kem=kem_key)
        return documents

    def record_numbers(self, wallet: Wallet, custodian: int) -> list[int]:
        """Return the numbers of a patient's records at a custodian."""
        return sorted(each.record for each in self.desk(custodian).vault.of_subject(self.pseudonym(wallet, custodian)))


@contextmanager
def lived_in(root: Path, *, patients: int = 2) -> Iterator[Life]:
    """Yield a running node that has imported generated patients; it is stopped at the end."""
    life = Life(root, root.parent / f"{root.name}-files", patients)
    life.begin()
    try:
        yield life
    finally:
        life.node.stop()


def live_through(root: Path, *, patients: int = 2) -> None:
    """Make a stopped data directory that holds every kind of file, a wallet, a slots backup and an unfinished commit
    among them.
    """
    with lived_in(root, patients=patients) as life:
        first, second = life.wallets[:2]
        reader = life.share(first, 0)
        life.read(first, 0, reader, life.record_numbers(first, 0)[:2])
        own = life.desk(0).vault.of_subject(life.pseudonym(first, 0))[0]
        life.desk(0).vault.get([own.document], accessor=life.custodians[0], purpose="TREAT", now=int(life.clock()))
        life.desk(0).back_up_slots()
        life.desk(0).erase_subject(life.pseudonym(second, 0))
        life.node.checkpoints.newest()
        life.node.read_model.catch_up()
