# SPDX-License-Identifier: Apache-2.0
"""`vervain import`: FHIR files become encrypted documents, commitments on the ledger and wallets of the patients.

1. Read: each file is checked and accepted or refused as a whole; accepted resources go into their custodian's vault.
2. Enrol: each patient gets a wallet, and an unrelated pseudonym at each custodian.
3. Commit: every custodian commits to its documents, in an order of its own drawn at random.
4. Wrap: each wallet gets the keys of its patient's own records.

Rules kept:
- Interrupted anywhere and run again, it goes on: documents are found by their vault, transactions by the outbox.
- The same id and bytes is kept once (*already*); the same id with other bytes is a new version.
- Neither the order of a file, of care, nor of patients reaches the ledger: it would join pseudonyms at two custodians.
- A patient imported alone is joined by the time; with a pool, registrations and commitments wait for others' company:
  new patients for new ones, known patients for known ones, for the ledger shows which of the two somebody is.

Source: contracts.md (`vervain import`); architecture.md "Patients".
"""

import hmac
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from vervain.gateways.fhir.bundle import ImportedResource
from vervain.gateways.fhir.reading import FailedFile, read_files
from vervain.gateways.fhir.rules import RULES
from vervain.gateways.fhir.source import SUFFIXES
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.messages import AdmitMember, Propose, Role
from vervain.ledger.modules.identity import queries as identity
from vervain.ledger.modules.identity.messages import ActorKind, Register, registration_bytes
from vervain.ledger.primitives.codec import encode
from vervain.node.desk import MemberDesk
from vervain.node.founding import keep_member_keys
from vervain.node.node import Node
from vervain.sdk.wallet import HandedRecord, Wallet
from vervain.sdk.wallet_file import Relationship
from vervain.sealing.keys import KemKey, SigningKey, read_private_file, write_private_file
from vervain.vault.documents import NewDocument

BATCH_DOCUMENTS: Final = 500  # kept in one durable step
ORGANISATIONS_BYTES_MAX: Final = 16 * 2**20
PEOPLE_BYTES_MAX: Final = 256 * 2**20  # about a million patients
FILES_MAX: Final = 1_000_000
UNFINISHED: Final = "unfinished.json"  # who commits in a run that has not wrapped every key; gone when it has
_NAMESPACE: Final = RULES["patient-namespace"]
STRANGER: Final = f"{_NAMESPACE.broken} (rule {_NAMESPACE.id}). {_NAMESPACE.do}"

_Queue: TypeAlias = dict[tuple[str, str], list[NewDocument]]
"""Versions to keep, oldest first, by resource type and id."""

Progress = Callable[[str, int, int], None]
"""(what, how many are done, of how many)"""


class ImportSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an import did: files and resources read, documents newly committed, already there, files refused.

    `waiting` are documents kept in vaults whose commitments wait until a pool of patients is full.
    """

    files: int
    resources: int
    committed: int
    already: int
    failed: tuple[FailedFile, ...]
    seconds: float
    waiting: int = 0


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the FHIR files among paths; of a folder, those directly in it, sorted."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [each for each in inside if not path.is_dir() or each.name.endswith(SUFFIXES)]
    return found[:FILES_MAX]


class Importer:
    """Imports files into one node, which serves every custodian that the files name.

    Args:
        node: Running; its organisation admits the others, so it must be the only validator or be given a custodian.
        custodian: 32-byte id of the member that keeps everything; left out, one member for each `serviceProvider`.
        namespace: Where the files' ids come from. One `Patient/id` of one namespace is one person with one wallet; give
            the exports of unrelated systems, which number their patients alike, a namespace each.
        pool: Let a custodian register and commit only when documents of so many new patients wait there, or of none;
            and of so many that the ledger knows there, or of none. 0: at once, and what earlier runs left waiting.
        progress: Told how far the work is.
    """

    def __init__(
        self,
        node: Node,
        *,
        custodian: bytes | None = None,
        namespace: str = "",
        pool: int = 0,
        progress: Progress = lambda what, done, all_: None,
    ) -> None:
        self._namespace, self._pool = namespace, pool
        self._node, self._custodian, self._progress = node, custodian, progress
        self._folder = node.directory.imports
        (self._folder / "wallets").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._token_key = _token_key(self._folder / "token.key")
        self._organisations = _read_organisations(self._folder / "organisations.json")
        self._people = _read_people(self._folder / "people.json")
        self._wallets: dict[str, Wallet] = {}
        self._left: dict[Path, Wallet] = {}
        self._unsaved: set[str] = set()
        self._is_people_saved = True
        self._unfinished = _read_unfinished(self._folder / UNFINISHED)

    def run(self, files: Sequence[Path]) -> ImportSummary:
        """Import files.

        Raises: NotApplied, Unreachable, StorageError. What was kept stays; run it again to go on.
        """
        started = time.monotonic()
        committed = self._go_on()
        if not self._pool:
            self._take_up(self._members())
        resources = already = 0
        failed: list[FailedFile] = []
        waiting: dict[bytes, _Queue] = defaultdict(dict)
        custodian = self._custodian.hex() if self._custodian else ""
        with closing(read_files(files, custodian=custodian)) as all_read:  # its processes end with us, however we end
            for number, read in enumerate(all_read, 1):
                if isinstance(read, FailedFile):
                    failed.append(read)
                    continue
                stranger = self._stranger(read)
                if stranger is not None:
                    named, position = str(files[number - 1]), str(stranger.position)
                    failed.append(FailedFile(file=named, position=position, reason=STRANGER))
                    continue
                resources += len(read)
                already += self._take(read, waiting)
                self._keep_full(waiting)
                self._progress("Files", number, len(files))
        self._keep_all(waiting)
        due, held = self._due()
        self._mark_unfinished(due)
        committed += self._commit(due, "Custodians")
        self._wrap()
        self._mark_finished()
        return ImportSummary(
            files=len(files),
            resources=resources,
            committed=committed,
            already=already,
            failed=tuple(failed),
            seconds=round(time.monotonic() - started, 3),
            waiting=held,
        )

    def assign(self, label: str, organisation: bytes) -> None:
        """Say which member a `serviceProvider` is, before the first file that names it."""
        self._organisations[label] = organisation
        write_private_file(self._folder / "organisations.json", encode(self._organisations), replace=True)

    @property
    def wallets(self) -> dict[str, Wallet]:
        """The wallets this import has opened, by `Patient/id`."""
        return self._wallets

    # Runs before this one

    def _go_on(self) -> int:
        """Commit where a run broke off, before anything new is kept there: only its patients were enough for a pool.

        Returns: How many documents were committed to. The wallets follow with those of this run.
        """
        if not self._unfinished:
            return 0
        self._left = self._all_wallets()
        return self._commit(list(self._unfinished), "Custodians of a run that broke off")

    def _mark_unfinished(self, members: Sequence[bytes]) -> None:
        """Write down who commits, before: a number that is given leaves no other sign of a wallet that lacks it."""
        if members:
            self._unfinished = tuple(dict.fromkeys((*self._unfinished, *members)))
            write_private_file(self._folder / UNFINISHED, encode(self._unfinished), replace=True)

    def _mark_finished(self) -> None:
        """Every wallet holds its records."""
        self._unfinished = ()
        (self._folder / UNFINISHED).unlink(missing_ok=True)

    def _take_up(self, members: Sequence[bytes]) -> None:
        """Open every wallet if a run before this one left patients waiting: these files may not name them."""
        if any(next(self._node.desk(each).vault.unnumbered(), None) is not None for each in members):
            self._left = self._all_wallets()

    def _all_wallets(self) -> dict[Path, Wallet]:
        folder = self._folder / "wallets"
        return {path: Wallet.load(path, chain=self._node.chain) for path in sorted(folder.glob("*.wallet"))}

    # Read

    def _take(self, read: Sequence[ImportedResource], waiting: dict[bytes, _Queue]) -> int:
        """Queue a file's resources for their custodians' vaults; return how many are kept or queued already."""
        shares: dict[bytes, list[ImportedResource]] = defaultdict(list)
        for resource in read:
            shares[self._custodian or self._member(resource.custodian)].append(resource)
        return sum(self._queue(organisation, share, waiting[organisation]) for organisation, share in shares.items())

    def _queue(self, organisation: bytes, share: Sequence[ImportedResource], queue: _Queue) -> int:
        known = self._node.desk(organisation).vault.known([(each.resource_type, each.id, each.bytes) for each in share])
        already = 0
        for resource, before in zip(share, known, strict=True):
            subject = self._pseudonym(resource.subject, organisation) if resource.subject else organisation
            queued = queue.setdefault((resource.resource_type, resource.id), [])
            if queued[-1].stored == resource.bytes if queued else before.is_newest:
                already += 1
                continue
            queued.append(
                NewDocument(
                    subject=subject,
                    resource_type=resource.resource_type,
                    resource_id=resource.id,
                    version=str(before.next_version + len(queued)),
                    stored=resource.bytes,
                    category=resource.category,
                )
            )
        return already

    def _keep_full(self, waiting: dict[bytes, _Queue]) -> None:
        for organisation in [each for each, queued in waiting.items() if len(queued) >= BATCH_DOCUMENTS]:
            self._keep(organisation, waiting.pop(organisation))

    def _keep_all(self, waiting: dict[bytes, _Queue]) -> None:
        self._keep_wallets()
        for organisation, queued in waiting.items():
            self._keep(organisation, queued)

    def _keep(self, organisation: bytes, queued: _Queue) -> None:
        self._keep_wallets()
        documents = [each for versions in queued.values() for each in versions]
        for start in range(0, len(documents), BATCH_DOCUMENTS):
            self._node.desk(organisation).keep(documents[start : start + BATCH_DOCUMENTS])

    # Enrol

    def _member(self, label: str) -> bytes:
        """Return the member of a `serviceProvider`; admit and register it, hosted here, when it is new."""
        known = self._organisations.get(label)
        if known is not None:
            return known
        operator = self._node.desk(self._node.settings.organisation)
        signing, kem = SigningKey.generate(), KemKey.generate()
        keep_member_keys(self._node.directory, signing, kem)
        self._organisations[label] = signing.actor
        admitted = AdmitMember(
            organisation=signing.actor,
            roles=(Role.HOSPITAL,),
            register_entry=f"FHIR {label}"[:256],
            host=operator.organisation,
        )
        proof = signing.sign(
            registration_bytes(
                chain=self._node.chain,
                sponsor=operator.organisation,
                kind=ActorKind.ORGANISATION,
                key=signing.public_key,
                kem_key=kem.public_key,
            )
        )
        operator.send(
            Propose(change=admitted),
            Register(kind=ActorKind.ORGANISATION, key=signing.public_key, kem_key=kem.public_key, proof=proof),
        )
        write_private_file(self._folder / "organisations.json", encode(self._organisations), replace=True)
        return signing.actor

    def _pseudonym(self, subject: str, organisation: bytes) -> bytes:
        wallet = self._wallets.get(subject)
        if wallet is None:
            path = self._wallet_path(subject)
            wallet = Wallet.load(path, chain=self._node.chain) if path.exists() else Wallet.create(self._node.chain)
            self._wallets[subject] = wallet
        before = len(wallet.relationships)
        actor = wallet.join(organisation).actor
        if len(wallet.relationships) > before:
            self._unsaved.add(subject)
        return actor

    def _wallet_path(self, subject: str) -> Path:
        return self._folder / "wallets" / f"{self._token(subject)}.wallet"

    def _token(self, subject: str) -> str:
        named = f"{self._namespace}\n{subject}" if self._namespace else subject
        return hmac.digest(self._token_key, named.encode(), sha256).hex()

    def _stranger(self, read: Sequence[ImportedResource]) -> ImportedResource | None:
        """Return a Patient whose id came before from another custodian with other content: perhaps somebody else.

        One wallet for two people would give each the keys to the other's records; so the file is refused.
        """
        seen: dict[str, str] = {}
        for resource in read:
            if resource.resource_type == "Patient":
                token = self._token(f"Patient/{resource.id}")
                digest = hmac.digest(self._token_key, resource.bytes, sha256).hex()
                custodian, known = self._people.get(token, f"{resource.custodian} {digest}").rsplit(" ", 1)
                if known != digest and custodian != resource.custodian:
                    return resource
                seen[token] = f"{resource.custodian} {digest}"
        self._is_people_saved &= self._people.items() >= seen.items()
        self._people |= seen
        return None

    def _opened_wallets(self) -> dict[Path, Wallet]:
        """Return all wallets of this run, those of a run that broke off included."""
        return self._left | {self._wallet_path(subject): wallet for subject, wallet in self._wallets.items()}

    def _keep_wallets(self) -> None:
        """Write wallets and who they are of before the documents: a pseudonym without its wallet helps nobody."""
        if not self._is_people_saved:
            write_private_file(self._folder / "people.json", encode(self._people), replace=True)
            self._is_people_saved = True
        for subject in sorted(self._unsaved):
            self._wallets[subject].save(self._wallet_path(subject))
        self._unsaved.clear()

    def _register_patients(self, desk: MemberDesk) -> None:
        """Register every pseudonym of this custodian that the ledger does not know yet, in random order.

        With a pool only those with documents here: a run that broke off may have left others, too few for one.
        """
        told: dict[bytes, bytes] = {}
        registrations: list[Register] = []
        counted = _waiting_at(desk) if self._pool else None
        with self._node.view() as state:
            store = Store(state)
            for wallet in self._opened_wallets().values():
                for relationship in wallet.relationships:
                    if relationship.counterparty != desk.organisation:
                        continue
                    secret = wallet.category_secret(desk.organisation)
                    if desk.secrets.get(relationship.actor) != secret:
                        told[relationship.actor] = secret
                    is_awaited = counted is None or relationship.actor in counted
                    if is_awaited and identity.actor(store, relationship.actor) is None:
                        registrations.append(wallet.registration(desk.organisation))
        if told:
            desk.secrets.add(told)
        secrets.SystemRandom().shuffle(registrations)
        desk.send_all(registrations)

    # Commit and wrap

    def _members(self) -> list[bytes]:
        return [self._custodian] if self._custodian else list(self._organisations.values())

    def _due(self) -> tuple[list[bytes], int]:
        """Return the custodians that commit in this run, and how many documents wait at the others for a full pool."""
        if not self._pool:
            return self._members(), 0
        due, waiting = [], 0
        for organisation in self._members():
            documents_of = _waiting_at(self._node.desk(organisation))
            if self._is_pool_full(documents_of.keys() - {organisation}):
                due.append(organisation)
            else:
                waiting += documents_of.total()
        self._take_up(due)
        return due, waiting

    def _is_pool_full(self, patients: Set[bytes]) -> bool:
        """Tell whether new and known pseudonyms each have company enough, or are none."""
        with self._node.view() as state:
            store = Store(state)
            new = sum(identity.actor(store, each) is None for each in patients)
        return all(count == 0 or count >= self._pool for count in (new, len(patients) - new))

    def _commit(self, members: list[bytes], told_as: str) -> int:
        """Let custodians commit, in an order of custodians drawn at random; return how many documents."""
        secrets.SystemRandom().shuffle(members)
        done = 0
        for number, organisation in enumerate(members, 1):
            desk = self._node.desk(organisation)
            self._register_patients(desk)
            done += desk.commit_kept()
            self._progress(told_as, number, len(members))
        return done

    def _registered(self, wallet: Wallet) -> list[Relationship]:
        """Return the relationships that the ledger knows; the others wait for a pool, or for a run that broke off."""
        with self._node.view() as state:
            store = Store(state)
            return [each for each in wallet.relationships if identity.actor(store, each.actor) is not None]

    def _wrap(self) -> None:
        wallets = self._opened_wallets()
        for number, (path, wallet) in enumerate(wallets.items(), 1):
            handed = tuple(self._handed_to(wallet))
            if handed:
                wallet.keep_records(handed)
                wallet.save(path)
            self._progress("Wallets", number, len(wallets))

    def _handed_to(self, wallet: Wallet) -> Iterator[HandedRecord]:
        """Yield the records that a wallet lacks, wrapped for it."""
        known = frozenset(own.commitment for own in wallet.records)
        for relationship in self._registered(wallet):
            desk = self._node.desk(relationship.counterparty)
            for document, wrapped in desk.wraps_for(relationship.actor, known=known):
                yield HandedRecord(
                    counterparty=relationship.counterparty,
                    record=document.record,
                    commitment=document.commitment,
                    wrap=wrapped.wrap,
                    type=document.resource_type,
                    id=document.resource_id,
                    version=document.version,
                )


def _waiting_at(desk: MemberDesk) -> Counter[bytes]:
    """Return how many documents of whom are kept at a custodian and not committed to."""
    return Counter(document.subject for document in desk.vault.unnumbered())


def _token_key(path: Path) -> bytes:
    if not path.exists():
        write_private_file(path, secrets.token_bytes(32))
    return read_private_file(path, 32)


def _read_organisations(path: Path) -> dict[str, bytes]:
    if not path.exists():
        return {}
    return msgspec.json.decode(read_private_file(path, ORGANISATIONS_BYTES_MAX), type=dict[str, bytes])


def _read_unfinished(path: Path) -> tuple[bytes, ...]:
    """Return the custodians of a run that broke off while it committed and wrapped."""
    if not path.exists():
        return ()
    return msgspec.json.decode(read_private_file(path, ORGANISATIONS_BYTES_MAX), type=tuple[bytes, ...])


def _read_people(path: Path) -> dict[str, str]:
    """Return, by the token of a `Patient/id`, its first custodian and the keyed digest of its Patient resource."""
    if not path.exists():
        return {}
    return msgspec.json.decode(read_private_file(path, PEOPLE_BYTES_MAX), type=dict[str, str])
