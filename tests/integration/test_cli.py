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
    assert vervain("audit", "--data", imported / "nowhere", "--json").code not in (DONE, REFUSED)
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
    assert vervain("keys", "show", tmp_path / "nothing", "--json").code != DONE


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
    assert other_form.code == REFUSED and other_form.last["error"]["what"] == "These are not the question's arguments"
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
    for folder, submitter in ((tmp_path / "w", "st-anna=short"), (tmp_path / "nothing", f"st-anna={key}")):
        refused = vervain("witness", "watch", folder, chain, submitter, "--json")
        assert refused.code == REFUSED and set(refused.last["error"]) == {"what", "why", "do"}
    assert (tmp_path / "w" / "witness.json").read_bytes() == settings
