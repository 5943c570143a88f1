# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and cosignatures: C2SP's own example lines, the signed bytes, and texts that must be refused."""

from hashlib import sha256

import pytest
from nacl.signing import SigningKey as NaClSigningKey

from vervain.ledger.primitives.errors import ProofError
from vervain.sealing.checkpoints import (
    Checkpoint,
    DamagedProof,
    SignatureLine,
    cosign,
    format_signed,
    from_base64,
    key_id,
    parse_decimal,
    parse_signed,
    verify_cosignature,
)
from vervain.sealing.keys import SigningKey

KEY = SigningKey(bytes(range(32)))
CHECKPOINT = Checkpoint(origin="demo-00", size=3, root=bytes(range(32)))
LINE = cosign(CHECKPOINT, key=KEY, name="member-0", time=1_700_000_000)

# The example of C2SP tlog-cosignature: a log's signature and a witness's cosignature on one checkpoint.
PUBLISHED = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+"
    "zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+"
    "mbIUBkBIfZ+qnA==\n"
).encode()


def test_published_example_is_read_and_written_again() -> None:
    """Given C2SP's example, then its parts come out, the time is the one its text names, and it formats to itself."""
    checkpoint, lines = parse_signed(PUBLISHED)
    assert checkpoint == Checkpoint(
        origin="example.com/behind-the-sofa",
        size=20_852_163,
        root=bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"),
    )
    assert [line.name for line in lines] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(lines[1].signature[:8], "big") == 1_679_315_147
    assert format_signed(checkpoint, lines) == PUBLISHED


def test_signed_bytes_are_those_of_the_specification() -> None:
    """Given a cosignature, then it is over header, time and body, and the key id is as specified."""
    message = b"cosignature/v1\ntime 1700000000\n" + b"demo-00\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    expected = NaClSigningKey(bytes(range(32))).sign(message).signature
    assert (
        SignatureLine(
            name="member-0",
            key_id=sha256(b"member-0\n\x04" + KEY.public_key).digest()[:4],
            signature=(1_700_000_000).to_bytes(8, "big") + expected,
        )
        == LINE
    )
    assert key_id("member-0", KEY.public_key) == LINE.key_id
    assert verify_cosignature(LINE, public_key=KEY.public_key, body=CHECKPOINT.body) == 1_700_000_000


def test_signed_checkpoint_round_trips_with_extensions() -> None:
    """Given a checkpoint of another log with further lines, then they are part of the signed body and come back."""
    checkpoint = Checkpoint(origin="o", size=0, root=bytes(32), extensions=("one", "two"))
    line = cosign(checkpoint, key=KEY, name="x", time=1)
    assert parse_signed(format_signed(checkpoint, [line])) == (checkpoint, (line,))
    assert checkpoint.body.endswith(b"one\ntwo\n")


@pytest.mark.parametrize("part", ["size", "root", "origin", "time", "signature"])
def test_cosignature_refused_when_anything_differs(part: str) -> None:
    """Given a cosignature over another checkpoint or with another time, then it does not hold."""
    body, line = CHECKPOINT.body, LINE
    if part == "size":
        body = Checkpoint(origin="demo-00", size=4, root=CHECKPOINT.root).body
    elif part == "root":
        body = Checkpoint(origin="demo-00", size=3, root=bytes(32)).body
    elif part == "origin":
        body = Checkpoint(origin="demo-01", size=3, root=CHECKPOINT.root).body
    elif part == "time":
        line = SignatureLine(name=line.name, key_id=line.key_id, signature=bytes(7) + b"\x01" + line.signature[8:])
    else:
        line = SignatureLine(name=line.name, key_id=line.key_id, signature=line.signature[:-1] + b"\x00")
    with pytest.raises(ProofError):
        verify_cosignature(line, public_key=KEY.public_key, body=body)


@pytest.mark.parametrize("signature", [b"", bytes(8), bytes(72), b"\xff" * 72, bytes(2_420)])
def test_cosignature_of_a_wrong_length_or_time_is_damaged(signature: bytes) -> None:
    """Given no signature, too long a one, time 0 or a time after the year 9999, then it is damaged."""
    with pytest.raises(DamagedProof):
        verify_cosignature(
            SignatureLine(name="x", key_id=bytes(4), signature=signature), public_key=KEY.public_key, body=b""
        )


GOOD = format_signed(CHECKPOINT, [LINE])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n\n", b"\n"),
        GOOD.replace(b"\n3\n", b"\n03\n"),
        GOOD.replace(b"\n3\n", b"\n-3\n"),
        GOOD.replace(b"\n3\n", b"\n9007199254740992\n"),
        GOOD.replace(b"Hh8=\n", b"Hh9=\n"),
        GOOD.replace(b"Hh8=\n", b"Hh8\n"),
        GOOD.replace("—".encode(), b"-"),
        GOOD.replace(b" member-0 ", b" "),
        GOOD.replace(b" member-0 ", b" mem+ber "),
        GOOD.replace(b" member-0 ", b" mem\tber "),
        GOOD + GOOD.split(b"\n\n")[1] * 192,
        b"\xff" + GOOD,
        b"x" * 40_000,
    ],
    ids=range(17),
)
def test_text_of_another_form_is_damaged(text: bytes) -> None:
    """Given a signed checkpoint in any other form than the one, then it is damaged."""
    with pytest.raises(DamagedProof):
        parse_signed(text)


@pytest.mark.parametrize("text", ["AA=", "AB==", "AA==\n", " AA==", "A", "AA==AA==", "Äquator"])
def test_base64_of_another_form_is_damaged(text: str) -> None:
    """Given base64 with stray bits, missing or further characters, then it is damaged."""
    with pytest.raises(DamagedProof):
        from_base64(text)


@pytest.mark.parametrize("text", ["", "00", "+1", "-1", "1 ", "1e3", "١", str(2**53)])
def test_decimal_of_another_form_is_damaged(text: str) -> None:
    """Given a number in any other form than the one, then it is damaged."""
    with pytest.raises(DamagedProof):
        parse_decimal(text)
