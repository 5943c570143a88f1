# SPDX-License-Identifier: Apache-2.0
"""Erasing for a member: keys destroyed in the vault, tombstones on the ledger, neither without the other for long."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import msgspec

from vervain.engines.errors import Unreachable
from vervain.ledger.machine.refusals import Conflict
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.records import queries as records
from vervain.ledger.modules.records.messages import EraseRecord, RecordsReason
from vervain.node.category_secrets import CategorySecrets
from vervain.node.outbox import NO_CERTIFICATE, Outbox, OutgoingErasure
from vervain.node.sending import NotApplied, Sender
from vervain.vault.documents import StoredDocument
from vervain.vault.erasure_certificates import SignedErasureCertificate
from vervain.vault.errors import KeyErased, NotStored, Tampered
from vervain.vault.vault import Vault


class ErasureDesk:
    """Erases one member's documents. Not for two threads at once, nor beside a commit: the desk sees to it."""

    def __init__(self, sender: Sender, vault: Vault, outbox: Outbox, category_secrets: CategorySecrets) -> None:
        self._sender, self._vault, self._outbox, self._secrets = sender, vault, outbox, category_secrets

    def erase_subject(self, subject: bytes) -> tuple[SignedErasureCertificate, ...]:
        """Erase a relationship: destroy its keys, put the tombstones on the ledger, return the certificates.

        Nothing is destroyed while the ledger takes nothing or would refuse it, and the tombstones are written down
        before, so that a crash at any point leaves them to the next `commit_kept` or erasure. Once the keys are
        destroyed the certificates are returned, and tombstones that the ledger does not take then wait.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, NotApplied, Unreachable, StorageError.
        """
        numbers = tuple(each.record for each in self._all_of(subject) if each.record)

        def destroy(erased_at: int) -> tuple[SignedErasureCertificate, ...]:
            certificates = self._vault.erase_subject(subject, key=self._sender.signing, now=erased_at)
            self._secrets.forget(subject)
            return certificates

        return self._erase(OutgoingErasure(subject=subject, records=numbers), destroy)

    def erase_record(self, record: int) -> tuple[SignedErasureCertificate, ...]:
        """Erase one document by its record's number, as `erase_subject` erases all; the subject's others stay.

        Refuses: Conflict(DISPUTE_OPEN). Raises: NotStored, KeyErased, NotApplied, Unreachable, StorageError.
        """
        kept = self._vault.of_record(record)

        def destroy(erased_at: int) -> tuple[SignedErasureCertificate, ...]:
            return self._vault.erase_documents([kept.document], key=self._sender.signing, now=erased_at)

        outgoing = OutgoingErasure(subject=kept.subject, records=(record,), documents=(kept.document,))
        return self._erase(outgoing, destroy)

    def _erase(
        self, outgoing: OutgoingErasure, destroy: Callable[[int], tuple[SignedErasureCertificate, ...]]
    ) -> tuple[SignedErasureCertificate, ...]:
        """Ask the ledger, write the tombstones down, destroy, put the tombstones on the ledger."""
        erased_at = self._sender.time_while_taking()
        with self._sender.node.view() as state:
            _require_undisputed(Store(state), outgoing.records)
        self._outbox.put_erasure(outgoing)
        certificates = destroy(erased_at)
        self._outbox.put_erasure(msgspec.structs.replace(outgoing, certificate_digest=certificates[0].digest()))
        with suppress(Unreachable):  # the tombstones wait, and no certificate is ever made again
            self.settle()
        return certificates

    def settle(self) -> None:
        """Put the tombstones of what was erased on the ledger. Those that it refuses for now wait for the next time.

        Raises: Unreachable, StorageError.
        """
        for outgoing in self._outbox.erasures():
            if outgoing.certificate_digest == NO_CERTIFICATE:
                if self._vault.is_erasing:  # it broke off: the vault goes on before it keeps or erases anything
                    continue
                if self._is_kept(outgoing):
                    self._outbox.remove_erasure(outgoing)  # nothing was destroyed: whoever asked for it asks again
                    continue
                self._forget_secret(outgoing)
            missing = self._without_tombstone(outgoing)
            with suppress(NotApplied):
                self._sender.send_all(
                    [
                        EraseRecord(record=number, certificate_digest=outgoing.certificate_digest)
                        for number, is_disputed in missing
                        if not is_disputed
                    ]
                )
            if not missing or not self._without_tombstone(outgoing):
                self._outbox.remove_erasure(outgoing)

    def _without_tombstone(self, outgoing: OutgoingErasure) -> list[tuple[int, bool]]:
        """Return those of the records that the ledger does not hold to be erased, and whether each is disputed."""
        with self._sender.node.view() as state:
            store = Store(state)
            rows = [(number, records.record(store, number)) for number in outgoing.records]
            return [
                (number, _is_disputed(store, number))
                for number, row in rows
                if row is not None and row.status != "erased"
            ]

    def _is_kept(self, outgoing: OutgoingErasure) -> bool:
        """Tell whether what was to be erased is still here. The subject may be back, with other documents."""
        if outgoing.documents is not msgspec.UNSET:
            return any(self._vault.is_live(each) for each in outgoing.documents)
        if not outgoing.records:
            return bool(self._vault.of_subject(outgoing.subject, count=1))
        return any(self._keeps(number) for number in outgoing.records)

    def _keeps(self, number: int) -> bool:
        try:
            self._vault.of_record(number)
        except (NotStored, KeyErased):
            return False
        except Tampered:  # its row is here: what is erased has none
            return True
        return True

    def _forget_secret(self, outgoing: OutgoingErasure) -> None:
        """Forget what the patient had told, where a crash took that from `destroy`; unless the patient is back."""
        if outgoing.documents is msgspec.UNSET and not self._vault.of_subject(outgoing.subject, count=1):
            self._secrets.forget(outgoing.subject)

    def _all_of(self, subject: bytes) -> Iterator[StoredDocument]:
        after = 0
        while page := self._vault.of_subject(subject, after=after):
            after = page[-1].document
            yield from page


def _require_undisputed(store: Store, numbers: Sequence[int]) -> None:
    for number in numbers:
        if _is_disputed(store, number):
            raise Conflict(RecordsReason.DISPUTE_OPEN, record=number)


def _is_disputed(store: Store, number: int) -> bool:
    row = records.record(store, number)
    return row is not None and row.dispute is not msgspec.UNSET and row.dispute.status == "open"
