# SPDX-License-Identifier: Apache-2.0
"""The command line: the last `--json` line of each command is its summary, and its exit code says what became of it."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.imports import distinct, write_bundles
from tests.integration.serving import free_port, served, vervain
from vervain.ledger.modules.records.messages import CommitRecord
from vervain.node.directory import DataDirectory
from vervain.sealing.keys import SigningKey, read_signing_key
from vervain.sealing.signing import build_transaction

DONE, REFUSED, USAGE, DAMAGED, UNAVAILABLE = range(5)
SLOT_KEYS = "slot-backup-keys"


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with two imported bundles; tests copy what they alter."""
    place = tmp_path_factory.mktemp("cli")
    ran = vervain("init", "--data", place / "node", "--chain", "cli", "--json")
    assert ran.code == DONE and set(ran.last) == {"data", "chain", "organisation", "cosigning_key"}
    assert len(bytes.fromhex(ran.last["organisation"])) == 32
    files = write_bundles(place / "files", 2)
    ran = vervain("import", place / "files", "--data", place / "node", "--json")
    assert ran.code == DONE, ran.err
    assert set(ran.last) == {"files", "resources", "committed", "already", "failed", "seconds"}
    assert (ran.last["files"], ran.last["committed"], ran.last["failed"]) == (2, len(distinct(files)), [])
    return place


@pytest.fixture(scope="module")
def url(imported: Path) -> Iterator[str]:
    """A copy of it, served."""
    shutil.copytree(imported / "node", imported / "served")
    with served(imported / "served", imported / "log") as address:
        yield address


def signed(imported: Path, chain: str, *, key: SigningKey | None = None) -> bytes:
    """Return a transaction of the hospital, or of another key in its name."""
    data = DataDirectory(imported / "node")
    own = read_signing_key(
        next(path for path in (data.root / "members").glob("*/keys/signing.key") if _is_founder(path))
    )
    message = CommitRecord(subject=own.actor, commitment=bytes(32))
    expires_at = int(time.time()) + 300
    return build_transaction([message], chain=chain, actor=own.actor, key=key or own, expires_at=expires_at).encoded


def _is_founder(path: Path) -> bool:
    from vervain.node.config import read_settings

    return path.parts[-3] == read_settings(DataDirectory(path.parents[3]).settings).organisation.hex()


def test_init_twice_is_a_usage_error(imported: Path) -> None:
    """Given a directory with a chain, then init ends with 2 and says why."""
    ran = vervain("init", "--data", imported / "node", "--json")
    assert ran.code == USAGE and set(ran.last["error"]) == {"what", "why", "do"}


def test_wrong_arguments_are_usage_errors(imported: Path) -> None:
    """Given no data directory, an unknown option, or no chain, then the exit code is 2 or 4, never 0."""
    assert vervain("import", "x.json", "--json").code != DONE
    nowhere = vervain("audit", "--data", imported / "nowhere", "--json")
    assert nowhere.code == USAGE
    assert nowhere.last["error"]["what"] == f"The directory {imported / 'nowhere'} does not exist"
    assert vervain("rebuild", "--data", imported / "nowhere", "--json").code == USAGE
    absent = vervain("import", imported / "nowhere", "--data", imported / "node")
    assert absent.code == USAGE
    assert absent.err == f"{imported / 'nowhere'} does not exist.\nName a file, or a folder of files.\n"


def test_backup_names_the_folder_that_is_in_its_way(imported: Path, tmp_path: Path) -> None:
    """Given a folder that is there already, for a backup or its keys, then it is named and nothing is made."""
    (tmp_path / "saved").mkdir()
    for target, keys in (("saved", "keys"), ("fresh", "saved")):
        ran = vervain("backup", tmp_path / target, "--data", imported / "node", "--keys-to", tmp_path / keys, "--json")
        assert ran.code == USAGE and ran.last["error"]["what"] == f"{tmp_path / 'saved'} is already there"
    assert [path.name for path in tmp_path.iterdir()] == ["saved"] and not any((tmp_path / "saved").iterdir())


def test_init_refuses_what_no_node_could_start(tmp_path: Path) -> None:
    """
    Given a name, chain, register entry or port that no node could start with, or a directory that is not empty.
    When a chain is founded.
    Then the usage is refused in words, and nothing is written: the same directory is founded afterwards.
    """
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    refused = {
        ("node", "--name", "a" * 22): f"The name of the node cannot be '{'a' * 22}'",
        ("node", "--name", "St Anna"): "The name of the node cannot be 'St Anna'",
        ("node", "--chain", "River side"): "The chain cannot be 'River side'",
        ("node", "--register-entry", ""): "The register entry cannot be empty",
        ("node", "--port", "99999"): "The port cannot be 99999",
        ("node", "--port", "-1"): "The port cannot be -1",
        ("full",): f"{tmp_path / 'full'} is not empty",
    }
    for (folder, *options), what in refused.items():
        ran = vervain("init", "--data", tmp_path / folder, *options, "--json")
        assert (ran.code, ran.last["error"]["what"]) == (USAGE, what)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "notes"]
    assert vervain("init", "--data", tmp_path / "node", "--name", 'st"an\\na', "--json").code == DONE
    assert vervain("rebuild", "--data", tmp_path / "node", "--json").code == DONE


def test_backup_and_restore_keep_secrets_apart(imported: Path, tmp_path: Path) -> None:
    """
    Given imported patients.
    When the node is backed up with its keys beside, and restored from the two.
    Then no wallet, token key, category secret or private key is in the backup, and the restored node knows everybody.
    """
    node, saved, keys = imported / "node", tmp_path / "saved", tmp_path / "keys"
    ran = vervain("backup", saved, "--data", node, "--keys-to", keys, "--json")
    assert ran.code == DONE and (ran.last["target"], ran.last["keys"]) == (str(saved), str(keys)), ran.err
    secret = {path.relative_to(node) for path in node.rglob("*") if _is_secret(path)}
    assert {path.suffix for path in secret} == {".key", ".secrets", ".wallet"}
    assert {path.relative_to(keys) for path in keys.rglob("*") if path.is_file()} == secret
    assert [path for path in saved.rglob("*") if _is_secret(path)] == []
    kept = b"".join(path.read_bytes() for path in sorted(saved.rglob("*")) if path.is_file())
    assert [path for path in secret if (node / path).read_bytes().strip() in kept] == []
    restored = ("restore", saved, "--data", tmp_path / "second", "--keys", keys, "--slot-keys", node / SLOT_KEYS)
    ran = vervain(*restored, "--json")
    assert ran.code == DONE, ran.out
    assert {path: (tmp_path / "second" / path).read_bytes() for path in secret} == {
        path: (node / path).read_bytes() for path in secret
    }
    assert vervain("audit", "--data", tmp_path / "second", "--json").last["clean"]
    ran = vervain("import", imported / "files", "--data", tmp_path / "second", "--json")
    assert (ran.last["committed"], ran.last["already"]) == (0, ran.last["resources"])
    ran = vervain(*restored, "--json")
    assert (ran.code, ran.last["error"]["what"]) == (USAGE, f"{tmp_path / 'second'} is already there")


def _is_secret(path: Path) -> bool:
    """Keys of slots are neither in the backup nor among the keys: they have a place of their own."""
    return path.suffix in (".key", ".secrets", ".wallet") and path.parent.name not in (SLOT_KEYS, "slot-keys")


def test_backup_refuses_places_inside_one_another(imported: Path, tmp_path: Path) -> None:
    """Given two of backup, keys, node and slots' keys in one another, then the usage is refused and nothing is made."""
    shutil.copytree(imported / "node", tmp_path / "node")
    saved, node = tmp_path / "saved", tmp_path / "node"
    for target, keys in (
        (saved, saved / "keys"),
        (saved, saved),
        (saved / "backup", saved),
        (node / "saved", tmp_path / "keys"),
        (saved, node / SLOT_KEYS / "keys"),
        (tmp_path / "x" / ".." / "saved", saved / "keys"),
    ):
        ran = vervain("backup", target, "--data", node, "--keys-to", keys, "--json")
        assert ran.code == USAGE and "for" in ran.last["error"]["what"], ran.out
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def test_restore_checks_its_folders_first(imported: Path, tmp_path: Path) -> None:
    """
    Given a backup.
    When it is restored with folders that do not exist, or are not what they should be.
    Then the usage is refused, the folder is named, and nothing is made.
    """
    saved, keys, slots = tmp_path / "saved", tmp_path / "keys", imported / "node" / SLOT_KEYS
    assert vervain("backup", saved, "--data", imported / "node", "--keys-to", keys).code == DONE
    for source, own, slot, what in (
        (saved, tmp_path / "no", slots, f"{tmp_path / 'no'} does not hold the keys of this backup"),
        (saved, keys, keys, f"{keys} does not hold the keys of this backup's slots"),
        (imported, keys, slots, f"{imported} is not a finished backup"),
    ):
        data = tmp_path / "second"
        ran = vervain("restore", source, "--data", data, "--keys", own, "--slot-keys", slot, "--json")
        assert (ran.code, ran.last["error"]["what"]) == (USAGE, what)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "saved"]


def test_a_directory_in_use_is_unavailable(imported: Path, url: str) -> None:
    """Given a node that runs, then a backup of its directory is unavailable for now, not damaged."""
    assert url
    ran = vervain("backup", imported / "of-served", "--data", imported / "served", "--json")
    assert (ran.code, ran.last["error"]["what"]) == (UNAVAILABLE, "Another process is using this data directory")
    assert not (imported / "of-served").exists()


def test_addresses_and_arguments_are_refused_in_words(tmp_path: Path) -> None:
    """Given what is no address, a missing option or a negative index, then it is told in words, without a traceback."""
    for url, why in (
        ("foo", "It does not begin with http:// or https://"),
        ("http://127.0.0.1:notaport", "Invalid port: 'notaport'"),
        ("http://127.0.0.1:99999", "A port is 1 to 65535"),
    ):
        ran = vervain("trust", "--url", url, "--json")
        assert (ran.code, ran.last["error"]["what"]) == (USAGE, f"{url} is not a node's address")
        assert ran.last["error"]["why"] == why
    left_out = vervain("verify", tmp_path / "one.receipt")
    assert left_out.code == USAGE and "--trust is missing." in left_out.err
    negative = vervain("receipt", "--", "-1")
    assert negative.code == USAGE and "Must be >= 0" in negative.err


def test_import_with_a_pool_tells_what_waits(imported: Path, tmp_path: Path) -> None:
    """Given a pool of two and one new patient, then its documents wait; the next import without a pool commits them."""
    shutil.copytree(imported / "node", tmp_path / "node")
    *_, new = write_bundles(tmp_path / "files", 3)
    ran = vervain("import", new, "--data", tmp_path / "node", "--pool", 2, "--json")
    assert ran.code == DONE, ran.err
    waiting = ran.last["resources"] - ran.last["already"]
    assert (ran.last["committed"], ran.last["waiting"]) == (0, waiting) and waiting > 0
    ran = vervain("import", new, "--data", tmp_path / "node", "--json")
    assert ran.last["committed"] == waiting and "waiting" not in ran.last


def test_import_with_a_bad_file_is_refused_in_part(imported: Path, tmp_path: Path) -> None:
    """Given a bad file beside good ones, then the exit code is 1 and the file is named; the good ones are there."""
    shutil.copytree(imported / "node", tmp_path / "node")
    (tmp_path / "bad.json").write_text("{")
    ran = vervain("import", imported / "files", tmp_path / "bad.json", "--data", tmp_path / "node", "--json")
    assert ran.code == REFUSED
    (failed,) = ran.last["failed"]
    assert failed["file"] == str(tmp_path / "bad.json") and set(failed) == {"file", "position", "reason"}
    assert (ran.last["committed"], ran.last["already"]) == (0, ran.last["resources"])


def test_audit_clean_and_damaged(imported: Path, tmp_path: Path) -> None:
    """Given a clean directory, then audit ends with 0; with one bit of a block flipped, with 3, and says where."""
    ran = vervain("audit", "--data", imported / "node", "--json")
    assert (ran.code, ran.last) == (DONE, {"clean": True, "findings": []}), ran.out
    shutil.copytree(imported / "node", tmp_path / "node")
    segment = next((tmp_path / "node" / "blocks").glob("*.blocks"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    ran = vervain("audit", "--data", tmp_path / "node", "--json")
    assert ran.code == DAMAGED and ran.last["clean"] is False
    assert any(
        segment.name in each["file"] and set(each) == {"file", "offset", "what"} for each in ran.last["findings"]
    )


def test_rebuild_makes_the_read_model_again(imported: Path, tmp_path: Path) -> None:
    """Given a read model that is gone, then rebuild tells the height and the audit is clean."""
    shutil.copytree(imported / "node", tmp_path / "node")
    (tmp_path / "node" / "readmodel.sqlite").unlink()
    ran = vervain("rebuild", "--data", tmp_path / "node", "--json")
    assert ran.code == DONE and ran.last["height"] > 0, ran.out + ran.err
    assert vervain("audit", "--data", tmp_path / "node", "--json").last["clean"]


def test_keys_are_made_and_shown(tmp_path: Path) -> None:
    """Given a new directory, then keys new and keys show tell the same public halves, and never a private one."""
    made = vervain("keys", "new", tmp_path / "keys", "--json")
    shown = vervain("keys", "show", tmp_path / "keys", "--json")
    assert made.code == shown.code == DONE and made.last == shown.last
    assert set(shown.last) == {"actor", "key", "kem_key"}
    assert read_signing_key(tmp_path / "keys" / "signing.key").actor.hex() == shown.last["actor"]
    missing = vervain("keys", "show", tmp_path / "nothing", "--json")
    assert (
        missing.code == USAGE
        and missing.last["error"]["what"] == f"The directory {tmp_path / 'nothing'} does not exist"
    )


def test_submit_query_receipt_verify_against_a_running_node(imported: Path, url: str, tmp_path: Path) -> None:
    """
    Given a served node.
    When a transaction is submitted, asked about, its receipt fetched and verified.
    Then each command ends with 0; a forged transaction, an unknown leaf and an altered receipt do not.
    """
    members = vervain("query", "consortium.members", "--url", url, "--json")
    assert members.code == DONE and len(members.last["members"]) == 3, members.out
    unknown = vervain("query", "no.such", "--url", url)
    assert (unknown.code, unknown.err) == (
        REFUSED,
        "There is no such question.\nThe node lists its questions at /v1/queries.\n",
    )
    other_form = vervain("query", "records.record", "--url", url, "--json")
    assert other_form.code == USAGE and other_form.last["error"]["what"] == "These are not the question's arguments"
    assert f"is ready at {url}\n" in (imported / "log").read_text()
    assert vervain("query", "consortium.members", "{", "--url", url, "--json").code == USAGE
    import httpx

    chain = httpx.get(url + "/v1/head").json()["chain"]
    (tmp_path / "good").write_bytes(signed(imported, chain))
    (tmp_path / "forged").write_bytes(signed(imported, chain, key=SigningKey.generate()))
    good = vervain("submit", tmp_path / "good", "--url", url, "--json")
    assert (good.code, good.last) == (DONE, {"submitted": 1, "applied": 1}), good.out
    forged = vervain("submit", tmp_path / "forged", "--url", url, "--json")
    assert (forged.code, forged.last) == (REFUSED, {"submitted": 1, "applied": 0})
    assert vervain("submit", tmp_path / "absent", "--url", url, "--json").code == USAGE
    (tmp_path / "notes.md").write_text("# Notes\n\nNot a transaction.\n")
    notes = vervain("submit", tmp_path / "notes.md", "--url", url, "--json")
    assert notes.code == USAGE
    assert notes.last["error"]["what"] == f"{tmp_path / 'notes.md'} does not hold a signed transaction"
    leaf = next(line for line in good.out.splitlines() if "leaf_index" in line)
    import json

    _receipt_of(json.loads(leaf)["leaf_index"], url, tmp_path)


def _receipt_of(leaf: int, url: str, place: Path) -> None:
    import httpx

    receipt, trust = place / "one.receipt", place / "chain.trust"
    trust.write_bytes(httpx.get(url + "/v1/trust").content)
    assert vervain("receipt", leaf, "--url", url, "--out", receipt, "--json").last == {"file": str(receipt)}
    printed = vervain("receipt", leaf, "--url", url, "--json")
    assert printed.code == DONE and printed.last["receipt"].startswith("c2sp.org/tlog-proof@v1\n")
    assert vervain("receipt", 10**6, "--url", url, "--json").code == REFUSED
    nowhere = vervain("receipt", leaf, "--url", url, "--out", place / "no" / "x", "--json")
    assert (nowhere.code, nowhere.last["error"]["what"]) == (USAGE, f"{place / 'no' / 'x'} cannot be used")
    told = vervain("verify", receipt, "--trust", trust, "--json")
    assert told.code == DONE and told.last["verdict"] == "applied" and told.last["index"] == leaf
    receipt.write_bytes(receipt.read_bytes().replace(b'"code":0', b'"code":9'))
    altered = vervain("verify", receipt, "--trust", trust, "--json")
    assert altered.code == REFUSED and altered.last["proved"] is False
    receipt.write_text("not a receipt")
    assert vervain("verify", receipt, "--trust", trust, "--json").code == DAMAGED
    assert vervain("verify", place / "nothing", "--trust", trust, "--json").code == USAGE


def test_no_node_is_unavailable(tmp_path: Path) -> None:
    """Given an address where nothing listens, then asking ends with 4."""
    url = f"http://127.0.0.1:{free_port()}"
    ran = vervain("query", "consortium.members", "--url", url, "--json")
    assert ran.code == UNAVAILABLE and set(ran.last["error"]) == {"what", "why", "do"}
    assert ran.last["error"]["why"] == "Nothing answers at this address"
    assert ran.last["error"]["do"] == "Start the node, or check its address (--url on the command line)."


def test_witness_is_told_what_to_watch(tmp_path: Path) -> None:
    """
    Given a new witness.
    When it is told to watch a log, in words and for machines, with a key that is none, and where there is no witness.
    Then the last line says what it watches, and the refusals say what to do.
    """
    made = vervain("witness", "create", tmp_path / "w", "--name", "university", "--json")
    chain, key = "demo-" + "0" * 32, made.last["key"]
    watched = vervain("witness", "watch", tmp_path / "w", chain, f"st-anna={key}", f"st-berta={key}", "--json")
    assert (watched.code, watched.last) == (
        DONE,
        {"origin": chain, "submitters": [{"name": "st-anna", "key": key}, {"name": "st-berta", "key": key}]},
    )
    told = vervain("witness", "watch", tmp_path / "w", chain, f"st-anna={key}")
    assert told.code == DONE and told.out.startswith(f"Watching {chain}: st-anna may submit.")
    settings = (tmp_path / "w" / "witness.json").read_bytes()
    wrong = vervain("witness", "watch", tmp_path / "w", chain, "st-anna", "--json")
    assert (wrong.code, wrong.last["error"]["what"]) == (USAGE, "st-anna does not say who may submit")
    assert "NAME=KEY" in wrong.last["error"]["why"]
    assert vervain("witness", "serve", tmp_path / "nothing").code == USAGE
    for folder, submitter in ((tmp_path / "w", "st-anna=short"), (tmp_path / "nothing", f"st-anna={key}")):
        refused = vervain("witness", "watch", folder, chain, submitter, "--json")
        assert refused.code == USAGE and set(refused.last["error"]) == {"what", "why", "do"}
    assert (tmp_path / "w" / "witness.json").read_bytes() == settings
