# SPDX-License-Identifier: Apache-2.0
"""The chain that is attacked: real node, real importer, real wallets; made-up patients who visit every organisation.

The organisations import in the same order of patients: all in one run, each in a run of its own, or patient by patient.
Every patient then shares laboratory results at each organisation with one reader, at the moments that the wallet's
*spread* pace draws. The node's clock is moved on for that, a minute at a time.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from benchmarks.attacks.leaks import Leak, Person, planted
from vervain.gateways.fhir.importing import Importer
from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.ledger.machine.refusals import APPLIED
from vervain.ledger.modules.consent.messages import Purpose
from vervain.ledger.modules.consortium.messages import Role
from vervain.node.founding import found_alone
from vervain.node.node import Node
from vervain.node.sending import NotApplied
from vervain.sdk.schedule import moments
from vervain.sdk.wallet import Wallet
from vervain.sealing.keys import KemKey, SigningKey
from vervain.sealing.readers import ReaderClaim, claim_reader

CATEGORY: Final = "laboratory"
DAY_SECONDS: Final = 86_400
STEP_SECONDS: Final = 60  # how far the clock moves at once while grants are given
RUNS_TOLD: Final = 10  # of many runs, how many are told of

Json = Any  # what JSON can hold


class Runs(StrEnum):
    """How the patients are imported."""

    TOGETHER = "together"  # one run of whole files, which hold what every organisation knows
    ORGANISATION = "organisation"  # each organisation imports its own encounters in a run of its own, in the same order
    PATIENT = "patient"  # each whole file in a run of its own, as in daily work without batches


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """How the chain is made.

    Attributes:
        patients, organisations: Every patient visits every organisation.
        leak: What is wrong with the build.
        share_days: Over how many days the patients decide to share; 0 means all on one evening.
        sickest: How many times as many encounters the sickest patient has, at every organisation; 1: none is sicker.
        runs: How the patients are imported.
        pool: For how many patients a custodian waits before it commits; what waits in the end is committed too.
        seed: Of what is not chance in the build itself: when patients decide, how sick they are.
    """

    patients: int
    organisations: int
    leak: Leak = Leak.NONE
    share_days: int = 0
    sickest: int = 1
    runs: Runs = Runs.TOGETHER
    pool: int = 0
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
    people, runs = write_files(root / "files", workload)
    clock = _Clock()
    wallets: dict[str, Wallet] = {}
    with planted(workload.leak, people), Node(root, clock=clock) as node:
        for number, run in enumerate(runs, 1):
            importer = Importer(node, pool=workload.pool if number < len(runs) else 0)
            summary = importer.run(run)
            wallets |= importer.wallets
            if number % max(1, len(runs) // RUNS_TOLD) == 0:
                progress(f"run {number} of {len(runs)}: {summary.committed} records in {summary.seconds} s")
        _share_all(node, wallets, clock, workload)
    return Truth(
        people=tuple(people[subject] for subject in wallets),
        pseudonyms=tuple(
            {each.counterparty: each.actor for each in wallet.relationships} for wallet in wallets.values()
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


def write_files(folder: Path, workload: Workload) -> tuple[dict[str, Person], list[list[Path]]]:
    """Write the patients' files; return who they are, and the files of each run in the same order of patients."""
    chance = Random(workload.seed)
    people: dict[str, Person] = {}
    runs: dict[int, list[Path]] = defaultdict(list)
    for seed in range(workload.patients):
        times = round(workload.sickest ** chance.random())  # few are very sick
        bundle = generate_bundle(seed, organisations=tuple(range(workload.organisations)) * times)
        person = person_of(bundle)
        people[person.subject] = person
        for number, content in enumerate(_parts(bundle, workload)):
            run = seed if workload.runs is Runs.PATIENT else number
            path = folder / f"{number:03}" / f"{seed:06}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            runs[run].append(path)
    return people, [runs[number] for number in sorted(runs)]


def _parts(bundle: bytes, workload: Workload) -> Iterator[bytes]:
    """Yield a patient's whole file, or one file for each organisation."""
    entries = dict.fromkeys(map(bytes, msgspec.json.decode(bundle, type=_Bundle).entry))
    if workload.runs is not Runs.ORGANISATION:
        yield _bundle(entries)
        return
    resources = {entry: msgspec.json.decode(entry)["resource"] for entry in entries}
    organisations = [_urn(each) for each in resources.values() if each["resourceType"] == "Organization"]
    for organisation in organisations:
        own = _own(organisation, resources.values())
        is_first = organisation == organisations[0]
        yield _bundle(entry for entry, each in resources.items() if _is_kept(each, own, is_first=is_first))


def _urn(resource: Json) -> str:
    return f"urn:uuid:{resource['id']}"


def _own(organisation: str, resources: Iterable[Json]) -> set[str]:
    """Return an organisation, its encounters and who took part in them."""
    own = {organisation}
    for each in resources:
        if each["resourceType"] == "Encounter" and each["serviceProvider"]["reference"] == organisation:
            own |= {_urn(each), *(taking_part["individual"]["reference"] for taking_part in each["participant"])}
    return own


def _is_kept(resource: Json, own: set[str], *, is_first: bool) -> bool:
    """Tell whether an organisation has a resource: all have the Patient; what names no encounter is the first one's."""
    if resource["resourceType"] == "Patient" or _urn(resource) in own:
        return True
    if "encounter" in resource:
        return resource["encounter"]["reference"] in own
    return is_first and resource["resourceType"] not in ("Encounter", "Organization", "Practitioner")


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw]


def _bundle(entries: Iterable[bytes]) -> bytes:
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
    by_minute: dict[int, list[tuple[int, Wallet, bytes, KemKey]]] = defaultdict(list)
    for wallet in wallets.values():
        decided = began + chance.randrange(max(1, workload.share_days * DAY_SECONDS))
        reused = KemKey.generate()
        at = moments(len(wallet.relationships), pace="spread", now=decided)
        for relationship, moment in zip(wallet.relationships, at, strict=True):
            reader = reused if workload.leak is Leak.READER_KEY else KemKey.generate()
            by_minute[moment // STEP_SECONDS].append((moment, wallet, relationship.counterparty, reader))
    for minute in sorted(by_minute):
        clock.move_to(minute * STEP_SECONDS)
        in_order = sorted(by_minute[minute], key=lambda each: each[0])
        due = list(_signed(node, in_order, int(clock())))
        for outcome in node.submit_many(due).result():
            if outcome.code != APPLIED:
                raise NotApplied(outcome)


def _signed(node: Node, due: list[tuple[int, Wallet, bytes, KemKey]], now: int) -> Iterator[bytes]:
    own = node.desk(node.settings.organisation)
    for _, wallet, custodian, reader_kem in due:
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
