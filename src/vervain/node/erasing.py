# SPDX-License-Identifier: Apache-2.0
"""Erasing for a member: keys destroyed in the vault, tombstones on the ledger, neither without the other for long."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from vervain.ledger.machine.refusals import Conflict
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.records import queries as records
from vervain.ledger.modules.records.messages import EraseRecord, RecordsReason
from vervain.node.category_secrets import CategorySecrets
from vervain.node.outbox import NO_CERTIFICATE, Outbox, OutgoingErasure
from vervain.node.sending import Sender
from vervain.vault.documents import StoredDocument
from vervain.vault.erasure import SignedErasureCertificate
from vervain.vault.vault import Vault


class ErasureDesk:
    """Erases one member's documents. Not for two threads at once, nor beside a commit: the desk sees to it."""

    def __init__(self, sender: Sender, vault: Vault, outbox: Outbox, category_secrets: CategorySecrets) -> None:
        self._sender, self._vault, self._outbox, self._secrets = sender, vault, outbox, category_secrets

    def erase_subject(self, subject: bytes) -> tuple[SignedErasureCertificate, ...]:
        """Erase a relationship: destroy its keys, put the tombstones on the ledger, return the certificates.

        What the ledger would refuse is refused before anything is destroyed, and the tombstones are written down
        before,
        so that a crash at any point leaves them to the next `commit_kept` or erasure.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, NotApplied, StorageError.
        """
        numbers = tuple(each.record for each in self._all_of(subject) if each.record)

        def destroy() -> tuple[SignedErasureCertificate, ...]:
            certificates = self._vault.erase_subject(subject, key=self._sender.signing, now=self._sender.now)
            self._secrets.forget(subject)
            return certificates

        return self._erase(OutgoingErasure(subject=subject, records=numbers), destroy)

    def erase_record(self, record: int) -> tuple[SignedErasureCertificate, ...]:
        """Erase one document by its record's number, as `erase_subject` erases all; the subject's others stay.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, KeyErased, NotApplied, StorageError.
        """
        kept = self._vault.of_record(record)

        def destroy() -> tuple[SignedErasureCertificate, ...]:
            return self._vault.erase_documents([kept.document], key=self._sender.signing, now=self._sender.now)

        outgoing = OutgoingErasure(subject=kept.subject, records=(record,), documents=(kept.document,))
        return self._erase(outgoing, destroy)

    def _erase(
        self, outgoing: OutgoingErasure, destroy: Callable[[], tuple[SignedErasureCertificate, ...]]
    ) -> tuple[SignedErasureCertificate, ...]:
        """Ask the ledger's rule, write the tombstones down, destroy, put the tombstones on the ledger."""
        with self._sender.node.view() as state:
            _require_undisputed(Store(state), outgoing.records)
        self._outbox.put_erasure(outgoing)
        certificates = destroy()
        self._outbox.put_erasure(msgspec.structs.replace(outgoing, certificate_digest=certificates[0].digest()))
        self.settle()
        return certificates

    def settle(self) -> None:
        """Put the tombstones of what was erased on the ledger."""
        for outgoing in self._outbox.erasures():
            if outgoing.certificate_digest == NO_CERTIFICATE:
                if self._vault.is_erasing:  # it broke off: opening the vault again carries it out, and settles this
                    continue
                if self._is_kept(outgoing):
                    self._outbox.remove_erasure(outgoing)  # nothing was destroyed: whoever asked for it asks again
                    continue
            with self._sender.node.view() as state:
                store = Store(state)
                rows = [(number, records.record(store, number)) for number in outgoing.records]
            self._sender.send_all(
                [
                    EraseRecord(record=number, certificate_digest=outgoing.certificate_digest)
                    for number, row in rows
                    if row is not None and row.status != "erased"
                ]
            )
            self._outbox.remove_erasure(outgoing)

    def _is_kept(self, outgoing: OutgoingErasure) -> bool:
        """Tell whether what was to be erased is still here."""
        if outgoing.documents is not msgspec.UNSET:
            return any(self._vault.is_live(each) for each in outgoing.documents)
        return bool(self._vault.of_subject(outgoing.subject, count=1))

    def _all_of(self, subject: bytes) -> Iterator[StoredDocument]:
        after = 0
        while page := self._vault.of_subject(subject, after=after):
            after = page[-1].document
            yield from page


def _require_undisputed(store: Store, numbers: Sequence[int]) -> None:
    for number in numbers:
        row = records.record(store, number)
        if row is not None and row.dispute is not msgspec.UNSET and row.dispute.status == "open":
            raise Conflict(RecordsReason.DISPUTE_OPEN, record=number)
