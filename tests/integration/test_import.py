# SPDX-License-Identifier: Apache-2.0
"""The import: what is read is kept and committed to once, as received; interrupted anywhere it goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.imports import distinct, found, resources_of, write_bundles
from tests.unit.gateways.fhir.sample_files import BUNDLES, needs_samples
from vervain.gateways.fhir.bundle import read_fhir_file
from vervain.gateways.fhir.importing import Importer, files_of
from vervain.gateways.fhir.reading import FILES_WORTH_A_PROCESS, READERS
from vervain.gateways.fhir.synthetic import generate_bundle
from vervain.gateways.fhir.workers import Worker
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.identity import queries as identity
from vervain.node.audit import audit_node
from vervain.node.desk import MemberDesk
from vervain.node.node import Node
from vervain.readmodel.queries import RecordRow, records_of
from vervain.sdk.wallet import Wallet
from vervain.vault.documents import StoredDocument
from vervain.vault.vault import Vault

PATIENTS = 3


class PulledPlug(Exception):
    """The test's own interruption."""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A few generated bundles."""
    return write_bundles(tmp_path / "files", PATIENTS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A founded data directory."""
    found(tmp_path / "node")
    return tmp_path / "node"


def kept(node: Node, importer: Importer) -> Iterator[tuple[MemberDesk, StoredDocument]]:
    """Yield every document with its custodian's desk."""
    for organisation in node.directory.served_members():
        desk = node.desk(organisation)
        subjects = {organisation} | {
            each.actor for wallet in importer.wallets.values() for each in wallet.relationships
        }
        for subject in subjects:
            yield from ((desk, document) for document in desk.vault.of_subject(subject))


def all_records(node: Node) -> list[RecordRow]:
    """Return every record on the ledger."""
    node.read_model.catch_up()
    records: list[RecordRow] = []
    while page := records_of(node.read_model.engine, after=records[-1].record if records else 0):
        records += page
    return records


def opened(wallet: Wallet, node: Node) -> dict[tuple[str, str], bytes]:
    """Open every own record of a wallet with the wallet's keys alone."""
    found_bytes = {}
    for own in wallet.records:
        vault = node.desk(own.counterparty).vault
        ciphertext = vault.ciphertext(vault.of_record(own.record).document)
        found_bytes[own.type, own.id] = wallet.open_record(own, ciphertext)
    return found_bytes


def state_of(root: Path) -> dict[str, Any]:
    """Return what an import that changes nothing leaves as it was."""
    with Node(root) as node:
        head = node.head
    packs = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "members").rglob("*"))
        if path.is_file() and "packs" in path.parts
    }
    return {"size": head.log_size, "root": head.log_root, "hash": head.app_hash, "packs": packs}


def test_every_resource_is_committed_to_once(root: Path, files: list[Path]) -> None:
    """
    Given bundles that share their organisations and practitioners.
    When they are imported.
    Then each distinct resource has exactly one record, and the shared ones count as already there.
    """
    expected = distinct(files)
    resources = sum(len(resources_of(file)) for file in files)
    with Node(root) as node:
        importer = Importer(node)
        summary = importer.run(files)
        documents = [document for _, document in kept(node, importer)]
        records = all_records(node)
    assert (summary.files, summary.resources, summary.committed) == (PATIENTS, resources, len(expected))
    assert (summary.already, summary.failed) == (resources - len(expected), ())
    assert {(each.resource_type, each.resource_id) for each in documents} == expected
    assert sorted(each.record for each in documents) == [each.record for each in records]
    assert {each.commitment for each in documents} == {each.commitment for each in records}
    assert len(records) == len(expected)
    assert list(audit_node(root)) == []


def test_stored_bytes_are_the_received_bytes(root: Path, files: list[Path]) -> None:
    """
    Given a bundle, its resources cut out by the standard library's own decoder.
    When it is imported.
    Then a patient's wallet opens exactly those bytes.
    """
    expected = dict(_cut(files[0].read_text()))
    with Node(root) as node:
        importer = Importer(node)
        importer.run(files)
        patient = next(key for key in expected if key[0] == "Patient")
        mine = opened(importer.wallets[f"Patient/{patient[1]}"], node)
    assert mine == {key: expected[key] for key in expected if key[0] not in ("Organization", "Practitioner")}


def _cut(text: str) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Yield type, id and source bytes of each resource of a bundle, by `raw_decode` alone."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find('"resource":', at)) >= 0:
        at += len('"resource":')
        at += len(text[at:]) - len(text[at:].lstrip())
        resource, end = decoder.raw_decode(text, at)
        yield (resource["resourceType"], resource["id"]), text[at:end].encode()
        at = end


def test_second_import_changes_nothing(root: Path, files: list[Path]) -> None:
    """
    Given an import that is done.
    When the same files are imported again.
    Then nothing is committed; log size, log root, app hash and packs are as they were.
    """
    with Node(root) as node:
        first = Importer(node).run(files)
    before = state_of(root)
    with Node(root) as node:
        second = Importer(node).run(files)
    assert (second.committed, second.already) == (0, first.resources)
    assert state_of(root) == before
    assert list(audit_node(root)) == []


def test_pool_holds_until_enough_patients_wait(root: Path, files: list[Path]) -> None:
    """
    Given three patients, each imported by a run of its own with a pool of two, on a node started anew each time.
    When the first has run. Then its documents wait in the vaults, and the ledger has neither pseudonym nor commitment.
    When the second has run. Then both are committed to, and both wallets hold their records.
    When the third has run with the pool, and then a run without. Then it waits, and is committed to.
    """

    def run(file: Path, pool: int) -> tuple[int, int]:
        with Node(root) as node:
            summary = Importer(node, pool=pool).run([file])
        return summary.committed, summary.waiting

    first, second, third = files
    both = len(distinct([first, second]))
    assert run(first, 2) == (0, len(distinct([first])))
    assert list(audit_node(root)) == []
    with Node(root) as node:
        (file,) = (node.directory.imports / "wallets").iterdir()
        wallet = Wallet.load(file, chain=node.chain)
        with node.view() as state:
            assert all(identity.actor(Store(state), each.actor) is None for each in wallet.relationships)
        assert len(wallet.relationships) == 2 and wallet.records == () and all_records(node) == []
    assert run(second, 2) == (both, 0)
    assert run(third, 2) == (0, len(distinct(files)) - both)
    assert run(third, 0) == (len(distinct(files)) - both, 0)
    _require_whole(root, files)


def test_bad_file_is_refused_whole_by_name_and_position(root: Path, files: list[Path]) -> None:
    """
    Given a file whose last resource is wrong, between good ones.
    When they are imported.
    Then the bad one is named with its position, nothing of it is kept, and the others are.
    """
    whole = files[1].read_bytes()
    at = whole.rindex(b'"resourceType": "AllergyIntolerance"')
    files[1].write_bytes(whole[:at] + b'"resourceType": "AllergyIntolerancf"' + whole[at + 36 :])
    with Node(root) as node:
        importer = Importer(node)
        summary = importer.run(files)
        subjects = set(importer.wallets)
    (failed,) = summary.failed
    assert failed.file == str(files[1]) and "entry" in failed.position and "byte" in failed.position
    assert "resourceType" in failed.reason
    assert summary.committed == len(distinct([files[0], files[2]]))
    patients = {f"Patient/{key}" for kind, key in distinct([files[0], files[2]]) if kind == "Patient"}
    assert subjects == patients


POINTS = ["admit", "keep", "register", "submit", "answer", "number", "wrap"]


@pytest.mark.parametrize("point", POINTS)
def test_interrupted_import_goes_on(root: Path, files: list[Path], point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given an import that breaks off: before or after a transaction is ordered, before its documents are numbered, ...
    When it is run again on a node that was started anew.
    Then each document has exactly one record, every wallet holds its patient's records, and the audit is clean.
    """
    with Node(root) as node:
        _break_at(point, node, monkeypatch)
        with pytest.raises(PulledPlug):
            Importer(node).run(files)
        monkeypatch.undo()
    _require_whole(root, files)


@pytest.mark.parametrize("pool", [0, 2])
@pytest.mark.parametrize("point", ["register", "number", "wrap"])
def test_pooled_import_that_broke_off_completes_every_wallet(
    root: Path, files: list[Path], point: str, pool: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a patient who waited in a pool, and the run that filled it and broke off.
    When a run with nothing new has ended, with the pool or without.
    Then both wallets hold their records, nothing waits, and nothing is left of the mark.
    """
    with Node(root) as node:
        Importer(node, pool=2).run(files[:1])
    with Node(root) as node:
        _break_at(point, node, monkeypatch)
        with pytest.raises(PulledPlug):
            Importer(node, pool=2).run(files[1:2])
        monkeypatch.undo()
    with Node(root) as node:
        summary = Importer(node, pool=pool).run(files[1:2])
        wallets = [Wallet.load(path, chain=node.chain) for path in (node.directory.imports / "wallets").iterdir()]
        assert summary.waiting == 0 and not (node.directory.imports / "unfinished.json").exists()
        assert sum(len(opened(wallet, node)) for wallet in wallets) == len(distinct(files[:2])) - 4
        assert len(wallets) == 2 and len(all_records(node)) == len(distinct(files[:2]))
    _require_whole(root, files)


def test_a_run_that_broke_off_is_gone_on_with_before_anybody_new(
    root: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given a full pool whose registrations broke off.
    When a run brings a third patient.
    Then those two are registered and committed to, and the third waits: nobody new is swept along.
    """
    with Node(root) as node:
        _break_at("register", node, monkeypatch)
        with pytest.raises(PulledPlug):
            Importer(node, pool=2).run(files[:2])
        monkeypatch.undo()
    both = len(distinct(files[:2]))
    with Node(root) as node:
        summary = Importer(node, pool=2).run(files[2:])
    assert (summary.committed, summary.waiting) == (both, len(distinct(files)) - both)
    _require_whole(root, files)


def test_known_patients_do_not_fill_a_pool_of_new_ones(root: Path, files: list[Path]) -> None:
    """
    Given a patient who is registered, with further documents at both custodians, and a new one; a pool of two.
    When they are imported. Then nobody is registered and all waits: each would be the only one of a kind.
    When a second new one comes. Then all waits still, for the one known patient; a run without a pool commits.
    """
    with Node(root) as node:
        Importer(node).run(files[:1])
        before = len(all_records(node))
    further = _change_encounters(files[0])
    with Node(root) as node:
        alone = Importer(node, pool=2).run(files[:2])
        third = Importer(node, pool=2).run(files[2:])
        assert len(all_records(node)) == before
        last = Importer(node).run([])
        assert len(all_records(node)) == len(distinct(files)) + further
    assert (alone.committed, alone.waiting) == (0, len(distinct(files[:2])) - before + further)
    assert (third.committed, third.waiting) == (0, len(distinct(files)) - before + further)
    assert (last.committed, last.waiting) == (third.waiting, 0)


def test_known_patients_wait_for_one_another(root: Path, files: list[Path]) -> None:
    """
    Given three patients who are registered; a pool of two.
    When one has a further document. Then it waits. When another has one, too. Then both are committed to.
    """
    with Node(root) as node:
        Importer(node).run(files)
    _change(files[0])
    with Node(root) as node:
        one = Importer(node, pool=2).run(files)
        _change(files[1])
        two = Importer(node, pool=2).run(files)
    assert (one.committed, one.waiting, two.committed, two.waiting) == (0, 1, 2, 0)


def _change(file: Path) -> None:
    """Give a patient a further version of one document."""
    changed = file.read_bytes().replace(b'"clinicalStatus"', b' "clinicalStatus"', 1)
    assert changed != file.read_bytes()
    file.write_bytes(changed)


def _change_encounters(file: Path) -> int:
    """Give a patient a further version of every encounter, so at all custodians; return how many."""
    before = file.read_bytes()
    type_ = b'"resourceType": "Encounter"'
    file.write_bytes(before.replace(type_, b" " + type_))
    return before.count(type_)


def test_a_process_ends_with_an_import_that_broke_off(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given files enough for processes. When keeping raises, and the error is held. Then no process is left."""
    files = write_bundles(tmp_path / "many", FILES_WORTH_A_PROCESS + 4)
    started: list[Worker] = []
    begin = Worker.__init__

    def begin_and_note(worker: Worker, module: str) -> None:
        begin(worker, module)
        started.append(worker)

    monkeypatch.setattr(Worker, "__init__", begin_and_note)
    monkeypatch.setattr(Importer, "_take", _pull)
    with Node(root) as node, pytest.raises(PulledPlug) as held:
        Importer(node).run(files)
    assert len(started) == READERS and held.tb is not None
    assert all(each._process.returncode is not None for each in started)


@pytest.mark.parametrize("point", ["keep", "register", "number"])
def test_interrupted_import_goes_on_with_other_files(
    root: Path, files: list[Path], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Given an import that broke off, and a next run with other files.
    When that run has ended.
    Then what the first one kept is committed to, too; and the first files' wallets are complete after their own run.
    """
    with Node(root) as node:
        _break_at(point, node, monkeypatch)
        with pytest.raises(PulledPlug):
            Importer(node).run(files[:2])
        monkeypatch.undo()
    with Node(root) as node:
        Importer(node).run(files[2:])
    _require_whole(root, files)


def _break_at(point: str, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise inside one step of the import."""
    if point in ("keep", "number"):
        name, honest = ("put", Vault.put) if point == "keep" else ("assign_records", Vault.assign_records)
        calls = 0

        def broken(vault: Vault, batch: Any) -> Any:  # Any: of either
            nonlocal calls
            calls += 1
            if calls == (2 if point == "keep" else 1):
                raise PulledPlug
            return honest(vault, batch)

        monkeypatch.setattr(Vault, name, broken)
    elif point == "wrap":
        monkeypatch.setattr(Wallet, "keep_records", _pull)
    else:
        _break_submitting(point, node, monkeypatch)


def _break_submitting(point: str, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"admit": b"consortium.propose", "register": b'"kind":"patient"'}.get(point, b"records.commit")
    honest = node.submit_many

    def broken(encoded: list[bytes]) -> Any:  # Any: a future
        if not any(wanted in each for each in encoded):
            return honest(encoded)
        if point == "answer":  # ordered and durable, and nobody hears of it
            honest(encoded).result()
        raise PulledPlug

    monkeypatch.setattr(node, "submit_many", broken)


def _pull(*_arguments: object, **_named: object) -> None:
    raise PulledPlug


def _require_whole(root: Path, files: list[Path]) -> None:
    """Run the import to its end and require one record a document and complete wallets."""
    with Node(root) as node:
        importer = Importer(node)
        importer.run(files)
        documents = [document for _, document in kept(node, importer)]
        records = all_records(node)
        wallets = {subject: opened(wallet, node) for subject, wallet in importer.wallets.items()}
        assert all(next(node.desk(each).vault.unnumbered(), None) is None for each in node.directory.served_members())
    assert {(each.resource_type, each.resource_id) for each in documents} == distinct(files)
    assert len(documents) == len(records) == len(distinct(files))
    assert sorted(each.commitment for each in documents) == sorted(each.commitment for each in records)
    assert sorted(each.record for each in documents) == sorted(each.record for each in records)
    own = {
        f"Patient/{each['id']}" for file in files for each in resources_of(file) if each["resourceType"] == "Patient"
    }
    assert set(wallets) == own
    assert sum(map(len, wallets.values())) == len(distinct(files)) - 4  # two organisations, two practitioners
    assert list(audit_node(root)) == []


def test_other_bytes_of_the_same_id_are_a_new_version(root: Path, files: list[Path]) -> None:
    """
    Given a document that was imported, and later received with other bytes.
    When it is imported again.
    Then it is a second version whose record supersedes the first one's, and every other record is as it was.
    """
    with Node(root) as node:
        Importer(node).run(files)
        before = all_records(node)
    changed = files[0].read_bytes().replace(b'"clinicalStatus"', b' "clinicalStatus"', 1)
    assert changed != files[0].read_bytes()
    files[0].write_bytes(changed)
    with Node(root) as node:
        importer = Importer(node)
        summary = importer.run(files)
        records = all_records(node)
        versions = [
            desk.vault.versions(document.resource_type, document.resource_id)
            for desk, document in kept(node, importer)
            if document.version == "2"
        ]
    assert summary.committed == 1 and summary.already == summary.resources - 1
    ((first, second),) = versions
    newest = records[-1]
    superseded = [
        msgspec.structs.replace(each, status="superseded", superseded_by=newest.record)
        if each.record == first.record
        else each
        for each in before
    ]
    assert records[:-1] == superseded
    assert (newest.status, newest.previous, newest.commitment) == ("current", first.record, second.commitment)
    assert (first.version, second.version, second.record) == ("1", "2", newest.record)


def test_a_version_after_an_erasure_has_a_number_of_its_own(root: Path, tmp_path: Path) -> None:
    """
    Given a document of two versions.
    When the first is erased and a third comes, then the third is erased and a fourth comes, then all and a fifth.
    Then each is committed to under a number that none had before.
    """
    file = tmp_path / "one.ndjson"
    numbers: list[list[str]] = []

    def receive(node: Node, family: str) -> list[StoredDocument]:
        patient = {"resourceType": "Patient", "id": "1", "name": [{"family": family}]}
        file.write_text(json.dumps(patient))
        assert Importer(node, custodian=node.settings.organisation).run([file]).committed == 1
        versions = node.desk(node.settings.organisation).vault.versions("Patient", "1")
        numbers.append([each.version for each in versions])
        return list(versions)

    with Node(root) as node:
        desk = node.desk(node.settings.organisation)
        receive(node, "a")
        desk.erase_record(receive(node, "b")[0].record)
        desk.erase_record(receive(node, "c")[-1].record)
        desk.erase_subject(receive(node, "d")[0].subject)
        receive(node, "e")
    assert numbers == [["1"], ["1", "2"], ["2", "3"], ["2", "4"], ["5"]]


def test_one_custodian_keeps_everything_when_told(root: Path, files: list[Path]) -> None:
    """Given a custodian, then it keeps every document, and no other member is admitted."""
    with Node(root) as node:
        operator = node.settings.organisation
        importer = Importer(node, custodian=operator)
        summary = importer.run(files)
        assert node.directory.served_members() == [operator]
        assert {each.custodian for each in all_records(node)} == {operator}
        pseudonyms = [wallet.relationship(operator).actor for wallet in importer.wallets.values()]
        with node.view() as state:
            assert all(identity.actor(Store(state), each) is not None for each in pseudonyms)
    assert summary.committed == len(distinct(files))


def test_folder_is_read_in_order_and_other_files_are_left_alone(tmp_path: Path) -> None:
    """Given a folder with FHIR files, other files and a folder, then only the FHIR files are found, sorted."""
    for name in ("b.json", "a.ndjson.gz", "notes.txt", "c.json.gz"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    assert files_of([tmp_path]) == [tmp_path / "a.ndjson.gz", tmp_path / "b.json", tmp_path / "c.json.gz"]
    assert files_of([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]


@needs_samples
@pytest.mark.prove
def test_the_sample_bundles(root: Path) -> None:
    """
    Given the 64 sample bundles.
    When they are imported twice.
    Then 19,676 resources give 19,576 records, 100 already there, stored as received; the second time changes nothing.
    """
    with Node(root) as node:
        importer = Importer(node)
        summary = importer.run(BUNDLES)
        received = {(each.resource_type, each.id): each.bytes for each in read_fhir_file(BUNDLES[0])}
        ((subject, wallet),) = [
            (subject, wallet)
            for subject, wallet in importer.wallets.items()
            if ("Patient", subject.removeprefix("Patient/")) in received
        ]
        mine = opened(wallet, node)
    assert (summary.files, summary.resources, summary.committed, summary.already) == (64, 19_676, 19_576, 100)
    assert summary.failed == () and ("Patient", subject.removeprefix("Patient/")) in mine
    assert mine == {key: received[key] for key in mine}
    before = state_of(root)
    with Node(root) as node:
        again = Importer(node).run(BUNDLES)
    assert (again.committed, again.already) == (0, 19_676)
    assert state_of(root) == before
    assert list(audit_node(root)) == []


def test_another_custodian_s_patient_of_the_same_id_is_refused_without_a_namespace(root: Path, tmp_path: Path) -> None:
    """
    Given two systems that gave two people one `Patient/id`.
    When both exports are imported.
    Then the second is refused, for one wallet would hold both people's keys; with a namespace it gets its own wallet.
    """
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_bytes(generate_bundle(0, organisations=(0,)))
    other.write_bytes(generate_bundle(1, organisations=(1,)))
    ids = [
        next(str(each["id"]) for each in resources_of(file) if each["resourceType"] == "Patient")
        for file in (one, other)
    ]
    other.write_bytes(other.read_bytes().replace(ids[1].encode(), ids[0].encode()))
    with Node(root) as node:
        Importer(node).run([one])
        refused = Importer(node).run([other])
        accepted = Importer(node, namespace="the other system").run([other])
        wallets = list((node.directory.imports / "wallets").iterdir())
    (failed,) = refused.failed
    assert failed.file == str(other) and "patient-namespace" in failed.reason
    assert accepted.failed == () and len(wallets) == 2


def test_who_a_patient_is_is_kept_though_the_wallet_was_there_before(root: Path, tmp_path: Path) -> None:
    """
    Given a run with a patient's Encounter alone, which made the wallet, and one with the Patient.
    When another system's Patient of the same id comes.
    Then it is refused as if the Patient had come first.
    """

    def write(name: str, resource: dict[str, object]) -> Path:
        (tmp_path / name).write_text(json.dumps(resource))
        return tmp_path / name

    def patient(name: str, organisation: str) -> dict[str, object]:
        managing = {"reference": f"Organization/{organisation}"}
        return {
            "resourceType": "Patient",
            "id": "1",
            "name": [{"family": name}],
            "managingOrganization": managing,
        }

    encounter: dict[str, object] = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/1"},
        "serviceProvider": {"reference": "Organization/X"},
    }
    files = [write("1.json", encounter), write("2.json", patient("a", "X")), write("3.json", patient("b", "Y"))]
    failed = []
    for file in files:
        with Node(root) as node:
            failed.append([each.file for each in Importer(node).run([file]).failed])
    assert failed == [[], [], [str(files[2])]]
