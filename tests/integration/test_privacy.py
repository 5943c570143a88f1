# SPDX-License-Identifier: Apache-2.0
"""Planted values: what identifies a patient, and its plain digests, never leave the vault and the patient's wallet."""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.integration.imports import found, write_bundles
from tests.integration.planted import leaks_in, leaks_under, needles, planted_bundle
from tests.integration.serving import served, vervain

OWN_WALLETS = ("imports/wallets",)  # the patients' own, in clear for a demonstration


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A founded data directory."""
    found(tmp_path / "node")
    return tmp_path / "node"


def test_no_planted_value_is_on_the_disk_outside_wallets(root: Path, tmp_path: Path) -> None:
    """
    Given a bundle with planted names, numbers, codes, dates and ids, among others.
    When it is imported.
    Then neither they nor their SHA-256 stand in blocks, state, read model, vaults, logs, keys or any file's name.
    """
    files = write_bundles(tmp_path / "files", 2)
    bundle, planted = planted_bundle()
    (tmp_path / "files" / "Zyxwvut-Plantenstein.json").write_bytes(bundle)
    ran = vervain("import", tmp_path / "files", "--data", root, "--json")
    wanted = needles(planted)
    assert ran.code == 0 and ran.last["files"] == len(files) + 1, ran.err
    assert leaks_in((ran.out + ran.err).encode(), wanted) == set()
    assert leaks_under(root, wanted, besides=OWN_WALLETS) == {}
    for kind in ("blocks", "state", "members", "readmodel.sqlite"):
        assert (root / kind).exists()
    assert leaks_under(root / "imports" / "wallets", wanted), "the scan finds what is there: ids in the own wallet"


def test_the_scan_finds_what_is_planted(tmp_path: Path) -> None:
    """Given each form of a value in a file or in its name, then the scan finds it."""
    value, other = "Zyxwvut-Plantenstein", "somebody else"
    digest = sha256(value.encode()).digest()
    for form in (value.encode(), value.lower().encode(), digest, digest.hex().encode(), b64encode(digest)):
        (tmp_path / "file").write_bytes(b"before " + form + b" after")
        assert leaks_under(tmp_path, needles([value, other])) == {"file": {value}}
    (tmp_path / "file").unlink()
    (tmp_path / f"{value}.json").touch()
    assert leaks_under(tmp_path, needles([value, other])) == {f"{value}.json": {value}}


def test_refused_file_is_told_without_what_it_says(root: Path, tmp_path: Path) -> None:
    """Given a wrong file with planted values in its wrong places, then reason and position hold none of them."""
    bundle, planted = planted_bundle()
    text = bundle.decode()
    wanted = needles(planted)
    broken = {
        "date.json": text.replace('"birthDate": "1911-11-29"', '"birthDate": "1911-11-29 Zyxwvut-Plantenstein"'),
        "key.json": text.replace('"family"', '"Zyxwvut-Plantenstein": 1, "family"'),
        "type.json": text.replace('"resourceType": "Patient"', '"resourceType": "Zyxwvut-Plantenstein"'),
        "cut.json": text[: text.index("Zyxwvut-Plantenstein") + 9],
        "gender.json": text.replace('"gender": "', '"gender": "planted-code-kzxq-77'),
    }
    for name, content in broken.items():
        (tmp_path / name).write_text(content)
    ran = vervain("import", *(tmp_path / name for name in broken), "--data", root, "--json")
    assert ran.code == 1 and len(ran.last["failed"]) == len(broken), ran.out
    assert leaks_in((ran.out + ran.err).encode(), wanted) == set(), ran.last["failed"]


def test_served_node_tells_and_logs_no_planted_value(root: Path, tmp_path: Path) -> None:
    """
    Given a served node with planted documents.
    When it is asked good and bad questions, bodies holding planted values.
    Then no answer, and nothing that it prints, holds a planted value or its SHA-256; no address that it names does.
    """
    bundle, planted = planted_bundle()
    (tmp_path / "planted.json").write_bytes(bundle)
    assert vervain("import", tmp_path / "planted.json", "--data", root).code == 0
    wanted, answers = needles(planted), []
    value = planted[0]
    bodies = [bundle, value.encode(), json.dumps({"header": value}).encode(), json.dumps({"id": value}).encode()]
    with served(root, tmp_path / "log") as url, httpx.Client(base_url=url, timeout=20.0) as client:
        paths = ["/v1/head", "/v1/trust", "/v1/queries", "/v1/problems", "/openapi.json", "/readyz", "/nowhere"]
        paths += [f"/v1/receipts/{leaf}" for leaf in range(1, 8)] + [f"/v1/blocks/{height}" for height in range(4)]
        answers += [client.get(path) for path in paths]
        for body in bodies:
            answers.append(client.post("/v1/transactions", content=body, headers={"Content-Type": "application/json"}))
            headers = {"Content-Type": "application/x-ndjson"}
            answers.append(client.post("/v1/transactions/bulk", content=body, headers=headers))
            for name in ("consortium.members", "consent.consent", "identity.actor"):
                headers = {"Content-Type": "application/json"}
                answers.append(client.post(f"/v1/queries/{name}", content=body, headers=headers))
        # An unknown field's own name is told to who sent it (`primitives/codec.py`); the log must not have it.
        client.post("/v1/queries/consortium.members", json={value: 1})
    log = (tmp_path / "log").read_bytes()
    assert any(answer.status_code == 200 for answer in answers)
    assert sum(answer.status_code >= 400 for answer in answers) >= len(bodies)
    for answer in answers:
        told = answer.content + repr(answer.headers).encode() + str(answer.url).encode()
        assert leaks_in(told, wanted) == set(), (answer.url, answer.text[:400])
    assert log and leaks_in(log, wanted) == set(), log[-2_000:]
    assert leaks_under(root, wanted, besides=OWN_WALLETS) == {}
