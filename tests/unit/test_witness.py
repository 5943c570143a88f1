# SPDX-License-Identifier: Apache-2.0
"""An outside witness: every answer of C2SP add-checkpoint, races, its files, and the node's client over HTTP."""

import json
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import httpx
import pytest
import uvicorn

from vervain.ledger.primitives.hashing import leaf_hash
from vervain.ledger.primitives.merkle_log import TiledTree, root_of
from vervain.node.config import WitnessSettings as WitnessAddress
from vervain.node.witnesses import Witnesses, format_request
from vervain.sealing.checkpoints import (
    Checkpoint,
    SignatureLine,
    cosign,
    format_signed,
    key_id,
    parse_signature_lines,
    verify_cosignature,
)
from vervain.sealing.cosigner import CosignerStateDamaged
from vervain.sealing.errors import KeyFileRefused
from vervain.sealing.keys import SigningKey
from vervain.witness import (
    REQUEST_BYTES_MAX,
    Answer,
    Submitter,
    Witness,
    WitnessError,
    add_checkpoint,
    application,
    create_witness,
    main,
    watch_log,
)

ORIGIN = "demo-" + "0" * 32
MEMBER = SigningKey(bytes(range(32)))
LEAVES = [leaf_hash(str(number).encode()) for number in range(100)]
TREE = TiledTree(len(LEAVES), lambda level, index: b"".join(LEAVES) if (level, index) == (0, 0) else b"")
NOW = 1_700_000_123


def head(size: int, origin: str = ORIGIN) -> Checkpoint:
    """Return the honest head of a size."""
    return Checkpoint(origin=origin, size=size, root=root_of(LEAVES[:size]))


def lines_of(checkpoint: Checkpoint, key: SigningKey = MEMBER) -> tuple[SignatureLine, ...]:
    """Return the log's own cosignature."""
    return (cosign(checkpoint, key=key, name="member-0", time=NOW),)


def request(old_size: int, checkpoint: Checkpoint, proof: tuple[bytes, ...] | None = None) -> bytes:
    """Return an honest request, or one with another proof."""
    if proof is None:
        proof = TREE.consistency_path(old_size, checkpoint.size) if old_size <= checkpoint.size else ()
    return format_request(old_size, proof, format_signed(checkpoint, lines_of(checkpoint)))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a witness that watches one log."""
    create_witness(tmp_path, "university")
    watch_log(tmp_path, ORIGIN, [Submitter(name="member-0", key=MEMBER.public_key)])
    return tmp_path


@pytest.fixture
def witness(directory: Path) -> Witness:
    """A witness whose clock stands still."""
    return Witness(directory, clock=lambda: NOW)


def assert_cosigned(witness: Witness, answer: Answer, checkpoint: Checkpoint) -> None:
    """The answer is one line by the witness that holds."""
    assert (answer.status, answer.media_type) == (200, "text/plain")
    (line,) = parse_signature_lines(answer.text.removesuffix("\n").split("\n"))
    assert (line.name, line.key_id) == ("university", key_id("university", witness.public_key))
    assert verify_cosignature(line, public_key=witness.public_key, body=checkpoint.body) == NOW


def test_cosigns_a_growing_log(witness: Witness) -> None:
    """Given a log that grows, then every head is cosigned."""
    old = 0
    for size in (1, 3, 3, 64, 100):
        assert_cosigned(witness, add_checkpoint(witness, request(old, head(size))), head(size))
        old = size


def test_conflict_tells_the_last_size(witness: Witness) -> None:
    """Given another old size than the last one cosigned, then 409 with that size as `text/x.tlog.size`."""
    assert add_checkpoint(witness, request(2, head(5))) == Answer(409, "0\n", "text/x.tlog.size")
    add_checkpoint(witness, request(0, head(5)))
    assert add_checkpoint(witness, request(0, head(9))) == Answer(409, "5\n", "text/x.tlog.size")


def test_conflict_when_another_root_at_the_same_size(witness: Witness) -> None:
    """Given another root at the last size, then 409, and the last head stays."""
    add_checkpoint(witness, request(0, head(5)))
    other = Checkpoint(origin=ORIGIN, size=5, root=bytes(32))
    assert add_checkpoint(witness, request(5, other, proof=())) == Answer(409, "5\n", "text/x.tlog.size")
    assert witness.cosigner(ORIGIN).head.root == head(5).root


def test_unprocessable_when_the_proof_does_not_hold(witness: Witness) -> None:
    """Given a split log, a cut proof or a proof from nothing, then 422."""
    proof = TREE.consistency_path(5, 9)
    assert add_checkpoint(witness, request(0, head(9), proof=proof)).status == 422
    add_checkpoint(witness, request(0, head(5)))
    split = Checkpoint(origin=ORIGIN, size=9, root=bytes(32))
    for checkpoint, shown in ((split, proof), (head(9), proof[1:]), (head(9), ())):
        assert add_checkpoint(witness, request(5, checkpoint, proof=shown)).status == 422
    assert_cosigned(witness, add_checkpoint(witness, request(5, head(9))), head(9))


def test_not_found_when_the_log_is_unknown(witness: Witness) -> None:
    """Given a checkpoint of a log that is not watched, then 404."""
    assert add_checkpoint(witness, request(0, head(5, origin="other"))).status == 404


def test_forbidden_without_a_submitters_signature(witness: Witness) -> None:
    """Given a stranger's signature, an altered one, or the right key under another name, then 403."""
    checkpoint = head(5)
    (good,) = lines_of(checkpoint)
    altered = SignatureLine(name=good.name, key_id=good.key_id, signature=good.signature[:-1] + b"\x00")
    renamed = cosign(checkpoint, key=MEMBER, name="member-1", time=NOW)
    short = SignatureLine(name=good.name, key_id=good.key_id, signature=b"x")
    for line in (lines_of(checkpoint, SigningKey(bytes(32)))[0], altered, renamed, short):
        assert add_checkpoint(witness, format_request(0, (), format_signed(checkpoint, [line]))).status == 403


def test_unknown_lines_are_ignored(witness: Witness) -> None:
    """Given lines by unknown keys of any kind beside the submitter's, then the checkpoint is cosigned."""
    checkpoint = head(5)
    stranger = SignatureLine(name="schlüssel.example", key_id=b"abcd", signature=bytes(2_420))
    signed = format_signed(checkpoint, [*lines_of(checkpoint), stranger])
    assert_cosigned(witness, add_checkpoint(witness, format_request(0, (), signed)), checkpoint)


def test_bad_request_when_the_old_size_is_larger(witness: Witness) -> None:
    """Given an old size larger than the checkpoint's, then 400."""
    assert add_checkpoint(witness, request(9, head(5))).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        request(0, head(5)).replace(b"old 0\n", b"old 00\n"),
        request(0, head(5)).replace(b"old 0\n", b"old -1\n"),
        request(0, head(5)).replace(b"old 0\n", b"0\n"),
        request(0, head(5)).replace(b"old 0\n", b"old 0\r\n"),
        request(0, head(5)).replace(b"old 0\n", b"old 9007199254740992\n"),
        request(0, head(5)).replace(b"\n5\n", b"\n05\n"),
        request(0, head(5))[:-1],
        request(0, head(5), proof=(bytes(32),) * 64),
        request(0, head(5), proof=(bytes(31),)),
        request(0, head(5), proof=(bytes(32),)).replace(b"AAA=", b"AAB="),
        b"\xff" + request(0, head(5)),
    ],
    ids=range(13),
)
def test_bad_request_when_the_form_is_wrong(witness: Witness, body: bytes) -> None:
    """Given a request in any other form, then 400 and nothing is remembered."""
    assert add_checkpoint(witness, body).status == 400
    assert witness.cosigner(ORIGIN).head.size == 0


def test_a_restart_forgets_nothing(directory: Path, witness: Witness) -> None:
    """Given a witness started anew, then it knows the last head, and a damaged head stops it."""
    add_checkpoint(witness, request(0, head(5)))
    again = Witness(directory, clock=lambda: NOW)
    assert add_checkpoint(again, request(0, head(9))) == Answer(409, "5\n", "text/x.tlog.size")
    (path,) = (directory / "heads").iterdir()
    path.write_bytes(b"{}")
    with pytest.raises(CosignerStateDamaged):
        Witness(directory)


def test_race_never_rolls_back(witness: Witness) -> None:
    """Given 40 concurrent requests from the same old size, then one is cosigned, the others learn its size."""
    with ThreadPoolExecutor(max_workers=8) as threads:
        answers = list(threads.map(lambda size: add_checkpoint(witness, request(0, head(size))), range(1, 41)))
    winners = [number + 1 for number, answer in enumerate(answers) if answer.status == 200]
    assert len(winners) == 1
    assert witness.cosigner(ORIGIN).head.size == winners[0]
    assert {answer.text for answer in answers if answer.status == 409} == {f"{winners[0]}\n"}


def test_unavailable_when_the_head_cannot_be_stored(
    directory: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a disk that fails, then 503 and no signature."""

    def failing(*arguments: object, **named: object) -> None:
        raise KeyFileRefused("Cannot write", why="No space left on device")

    monkeypatch.setattr("vervain.sealing.cosigner.write_private_file", failing)
    answer = add_checkpoint(witness, request(0, head(5)))
    assert (answer.status, "—" in answer.text) == (503, False)


def test_files_belong_to_the_owner_alone(directory: Path, witness: Witness) -> None:
    """Given a witness's directory, then every file has mode 0600, and a key that others can read is refused."""
    add_checkpoint(witness, request(0, head(5)))
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert len(files) == 3
    (directory / "witness.key").chmod(0o644)
    with pytest.raises(KeyFileRefused):
        Witness(directory)


def test_witness_is_made_once(directory: Path) -> None:
    """Given a witness's directory, when another is made there, then it is refused."""
    with pytest.raises(KeyFileRefused):
        create_witness(directory, "again")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "x" * 65])
def test_name_of_another_form_is_refused(tmp_path: Path, name: str) -> None:
    """Given a name that no signature line could carry, then no witness is made."""
    with pytest.raises(WitnessError):
        create_witness(tmp_path / "w", name)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given the commands, then `create` prints the key, `watch` keeps the submitters, and errors are told in words."""
    directory = str(tmp_path / "w")
    assert main(["create", directory, "regulator"]) == 0
    key = capsys.readouterr().out.strip()
    assert main(["watch", directory, ORIGIN, f"member-0={b64encode(MEMBER.public_key).decode()}"]) == 0
    witness = Witness(Path(directory), clock=lambda: NOW)
    assert b64encode(witness.public_key).decode() == key
    assert add_checkpoint(witness, request(0, head(5))).status == 200
    assert main(["watch", directory, ORIGIN, "member-0=short"]) == 1
    assert main(["create", directory, "regulator"]) == 1
    assert "already there" in capsys.readouterr().err


@contextmanager
def served(witness: Witness) -> Iterator[str]:
    """Serve a witness on a free port; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(witness), log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def address(witness: Witness, url: str, name: str = "university") -> WitnessAddress:
    """Return what a node's settings say of a witness."""
    return WitnessAddress(name=name, url=url, key=witness.public_key)


def test_http_answers(witness: Witness) -> None:
    """Given the witness over HTTP, then status, media type and limits are those of the protocol."""
    with served(witness) as url, httpx.Client(base_url=url) as client:
        assert client.post("/add-checkpoint", content=request(2, head(5))).headers["content-type"] == "text/x.tlog.size"
        good = client.post("/add-checkpoint", content=request(0, head(5)))
        assert (good.status_code, good.text.startswith("— university ")) == (200, True)
        assert client.post("/add-checkpoint", content=b"x" * (REQUEST_BYTES_MAX + 1)).status_code == 413
        assert client.get("/add-checkpoint").status_code == 405
        assert client.post("/other").status_code == 404


def test_client_collects_what_holds(witness: Witness) -> None:
    """Given a witness that signs, one with another key and one out of reach, then one counts and two are named."""
    with served(witness) as url:
        wrong = WitnessAddress(name="university", url=url, key=SigningKey(bytes(32)).public_key)
        gone = address(witness, "http://127.0.0.1:9", "gone")
        with Witnesses([address(witness, url + "/")]) as good, Witnesses([wrong, gone], timeout_seconds=2) as bad:
            for size in (5, 9, 9, 100):
                collected = good.collect(head(size), lines_of(head(size)), TREE.consistency_path)
                assert collected.failures == ()
                (line,) = collected.lines
                assert verify_cosignature(line, public_key=witness.public_key, body=head(size).body) == NOW
            failed = bad.collect(head(100), lines_of(head(100)), TREE.consistency_path)
    assert failed.lines == ()
    assert [failure.name for failure in failed.failures] == ["university", "gone"]
    assert "another key" in failed.failures[0].why
    assert "Cannot reach it" in failed.failures[1].why


def test_client_started_anew_learns_the_size(witness: Witness) -> None:
    """Given a client that knows nothing of what the witness has seen, then it asks again with the right size."""
    add_checkpoint(witness, request(0, head(64)))
    with served(witness) as url, Witnesses([address(witness, url)]) as client:
        assert len(client.collect(head(100), lines_of(head(100)), TREE.consistency_path).lines) == 1
        behind = client.collect(head(50), lines_of(head(50)), TREE.consistency_path)
    assert "larger checkpoint" in behind.failures[0].why


def test_dripping_witness_is_waited_for_no_longer_than_the_time_out(witness: Witness) -> None:
    """
    Given a witness that sends a byte of its answer's head now and then, without end, and one that answers.
    When both are asked, and asked again.
    Then each time the time-out ends the waiting, the other's line is there, and the dripping one is named.
    """
    stop = Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not stop.wait(0.1):
                    connection.sendall(b"H")

        thread = Thread(target=drip)
        thread.start()
        dripping = address(witness, f"http://127.0.0.1:{listener.getsockname()[1]}", "dripping")
        with served(witness) as url:
            client = Witnesses([dripping, address(witness, url)], timeout_seconds=1.0)
            for size, why in ((5, "did not answer in time"), (9, "still busy")):
                started = monotonic()
                collected = client.collect(head(size), lines_of(head(size)), TREE.consistency_path)
                assert monotonic() - started < 2.0
                assert [line.name for line in collected.lines] == ["university"]
                assert [(each.name, why in each.why) for each in collected.failures] == [("dripping", True)]
            stop.set()
            client.close()
        thread.join()


def test_client_names_a_split_log(witness: Witness) -> None:
    """Given a witness that has seen another log of this name, then the failure says so."""
    add_checkpoint(witness, request(0, head(5)))
    split = Checkpoint(origin=ORIGIN, size=5, root=bytes(32))
    with served(witness) as url, Witnesses([address(witness, url)]) as client:
        collected = client.collect(split, lines_of(split), lambda old, size: ())
    assert "another root" in collected.failures[0].why


def test_no_witnesses_is_no_failure() -> None:
    """Given settings without witnesses, then nothing is asked and nothing fails."""
    with Witnesses([]) as client:
        collected = client.collect(head(5), lines_of(head(5)), TREE.consistency_path)
    assert (collected.lines, collected.failures) == ((), ())


def test_runs_as_its_own_process(directory: Path) -> None:
    """Given `python -m vervain.witness serve`, then it answers, and a second process on its directory is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "vervain.witness", "serve", str(directory), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            url, deadline = f"http://127.0.0.1:{port}/add-checkpoint", monotonic() + 20
            while True:
                try:
                    answer = httpx.post(url, content=request(0, head(5)))
                    break
                except httpx.ConnectError:
                    assert process.poll() is None and monotonic() < deadline
                    sleep(0.05)
            second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        finally:
            process.terminate()
            process.wait(20)
    assert answer.status_code == 200
    assert (second.returncode, "Another process" in second.stderr) == (1, True)
    assert json.loads((directory / "witness.json").read_text())["name"] == "university"
