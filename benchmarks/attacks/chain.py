# SPDX-License-Identifier: Apache-2.0
"""The chain that is attacked: real node, real importer, real wallets; made-up patients who visit every organisation.

Every patient then shares laboratory results at each organisation with one reader, at the moments that the wallet's
*spread* pace draws. The node's clock is moved on for that, a minute at a time.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from benchmarks.attacks.leaks import Leak, Person, planted
from vervain.gateways.fhir.importing import Importer
from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.consent.messages import Purpose
from vervain.ledger.modules.consortium.messages import Role
from vervain.node.desk import NotApplied
from vervain.node.founding import found_alone
from vervain.node.node import Node
from vervain.sdk.schedule import moments
from vervain.sdk.wallet import Wallet
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.readers import ReaderClaim, claim_reader

CATEGORY: Final = "laboratory"
DAY_SECONDS: Final = 86_400
STEP_SECONDS: Final = 60  # how far the clock moves at once while grants are given
VISITS_MAX: Final = 4  # how many times as many encounters the sickest patient has


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """How the chain is made.

    Attributes:
        patients, organisations: Every patient visits every organisation.
        leak: What is wrong with the build.
        share_days: Over how many days the patients decide to share; 0 means all on one evening.
        sicker_everywhere: Whether a patient with many encounters has many at every organisation.
        one_by_one: Whether each file is imported by a run of its own, as in daily work without batches.
        seed: Of what is not chance in the build itself: when patients decide, how sick they are.
    """

    patients: int
    organisations: int
    leak: Leak = Leak.NONE
    share_days: int = 0
    sicker_everywhere: bool = False
    one_by_one: bool = False
    seed: int = 0


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What only the wallets know: each person's pseudonym at each organisation."""

    people: tuple[Person, ...]
    pseudonyms: tuple[dict[bytes, bytes], ...]  # organisation to pseudonym, one for each person


def make_chain(root: Path, workload: Workload, progress: Callable[[str], None] = lambda what: None) -> Truth:
    """Found a chain in `root`, import the patients and let them share; return the ground truth.

    Raises: NotApplied, StorageError.
    """
    found_alone(
        root,
        chain="attacked",
        time=int(time.time()) - 1,
        node_name="attacked",
        roles=[Role.HOSPITAL],
        register_entry="GLN 0614141000005",
    )
    people, files = _files(root / "files", workload)
    clock = _Clock()
    with planted(workload.leak, people), Node(root, clock=clock) as node:
        importer = Importer(node)
        for run in [[each] for each in files] if workload.one_by_one else [files]:
            summary = importer.run(run)
            progress(f"{summary.committed} records of {len(run)} files committed in {summary.seconds} s")
        _share_all(node, importer.wallets, clock, workload)
    subjects = list(importer.wallets)
    return Truth(
        people=tuple(people[subject] for subject in subjects),
        pseudonyms=tuple(
            {each.counterparty: each.actor for each in importer.wallets[subject].relationships} for subject in subjects
        ),
    )


class _Clock:
    """The computer's clock, moved on as wished."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def move_to(self, moment: float) -> None:
        self._ahead += max(0.0, moment - self())


def _files(folder: Path, workload: Workload) -> tuple[dict[str, Person], list[Path]]:
    folder.mkdir(parents=True)
    chance = Random(workload.seed)
    people, files = {}, []
    for seed in range(workload.patients):
        times = chance.randint(1, VISITS_MAX) if workload.sicker_everywhere else 1
        bundle = _once(generate_bundle(seed, organisations=tuple(range(workload.organisations)) * times))
        person = person_of(bundle)
        people[person.subject] = person
        path = folder / f"{seed:06}.json"
        path.write_bytes(bundle)
        files.append(path)
    return people, files


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw]


def _once(bundle: bytes) -> bytes:
    """Leave out entries that are there already: an organisation visited again."""
    entries = dict.fromkeys(map(bytes, msgspec.json.decode(bundle, type=_Bundle).entry))
    return b'{"resourceType":"Bundle","type":"transaction","entry":[' + b",".join(entries) + b"]}"


def person_of(bundle: bytes) -> Person:
    """Return who a made-up bundle is about."""
    resources = (entry["resource"] for entry in msgspec.json.decode(bundle)["entry"])
    patient = next(each for each in resources if each["resourceType"] == "Patient")
    (name,) = patient["name"]
    return Person(
        subject=f"Patient/{patient['id']}", given=name["given"][0], family=name["family"], born=patient["birthDate"]
    )


# Sharing


def _share_all(node: Node, wallets: dict[str, Wallet], clock: _Clock, workload: Workload) -> None:
    """Let every patient share at every organisation, each grant at the moment its wallet drew."""
    chance, began = Random(workload.seed + 1), int(clock()) + STEP_SECONDS
    by_minute: dict[int, list[tuple[Wallet, bytes, KemKey]]] = defaultdict(list)
    for wallet in wallets.values():
        decided = began + chance.randrange(max(1, workload.share_days * DAY_SECONDS))
        reused = KemKey.generate()
        at = moments(len(wallet.relationships), pace="spread", now=decided)
        for relationship, moment in zip(wallet.relationships, at, strict=True):
            reader = reused if workload.leak is Leak.READER_KEY else KemKey.generate()
            by_minute[moment // STEP_SECONDS].append((wallet, relationship.counterparty, reader))
    for minute in sorted(by_minute):
        clock.move_to(minute * STEP_SECONDS)
        due = list(_signed(node, by_minute[minute], int(clock())))
        for outcome in node.submit_many(due).result():
            if outcome.code != APPLIED:
                raise NotApplied(outcome)


def _signed(node: Node, due: list[tuple[Wallet, bytes, KemKey]], now: int) -> Iterator[bytes]:
    own = node.desk(node.settings.organisation)
    for wallet, custodian, reader_kem in due:
        claim: ReaderClaim = claim_reader(
            own.signing,
            organisation=own.organisation,
            reader=SigningKey.generate().public_key,
            reader_kem=reader_kem.public_key,
            grantor=wallet.relationship(custodian).actor,
            chain=node.chain,
        )
        prepared = wallet.grant(
            custodian,
            claim,
            organisation_key=own.signing.public_key,
            purposes=[Purpose.TREAT],
            valid_from=now,
            valid_until=now + 365 * DAY_SECONDS,
            categories=[CATEGORY],
        )
        yield wallet.sign(custodian, [prepared.message], now=now).encoded
