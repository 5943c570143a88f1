# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a log, and cosignatures over them, as signed text.

Rules kept:
1. A log is signed by cosignatures alone (signature type 0x04): one key signs one kind of statement.
2. Base64 is canonical, numbers have no leading zeros, every line ends in one line feed.
3. A cosignature says when it was made; a verifier learns that time only from a signature that holds.

Source: C2SP signed-note, tlog-checkpoint, tlog-cosignature.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NoReturn

import msgspec

from vervain.ledger.primitives import signatures
from vervain.ledger.primitives.codec import INTEGER_MAX
from vervain.ledger.primitives.errors import ProofError
from vervain.ledger.primitives.hashing import DIGEST_BYTES
from vervain.sealing.keys import SigningKey

EM_DASH: Final = "\N{EM DASH}"
KEY_ID_BYTES: Final = 4
TIMED_SIGNATURE_BYTES: Final = 8 + 64  # a cosignature's time and its Ed25519 signature
SIGNATURE_BYTES_MAX: Final = 5_000  # one signature of any kind
SIGNATURE_LINES_MAX: Final = 192  # 100 validators, 32 witnesses, and room for keys unknown to the reader
EXTENSION_LINES_MAX: Final = 16
CHECKPOINT_BYTES_MAX: Final = 32_000  # a signed checkpoint as text
TIME_MAX: Final = 253_402_300_799  # the last second of the year 9999
_COSIGNATURE_TYPE: Final = b"\x04"
_LINE: Final = re.compile(EM_DASH + r" ([^\s+]{1,255}) ([A-Za-z0-9+/=]+)")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}")


class DamagedProof(ProofError):
    """A proof, checkpoint or trust file does not have the form it must have: nothing can be said about its claim."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a log.

    Attributes:
        origin: The log's name; for ours the chain.
        size: Number of leaves.
        root: 32-byte RFC 9162 root over them.
        extensions: Further lines of other logs; ours have none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        """The note text: what is signed."""
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()


class SignatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line under a note: the key's name, its 4-byte id, and the rest of the signature."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The line, without its line feed."""
        return f"{EM_DASH} {self.name} {to_base64(self.key_id + self.signature)}"


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the 4-byte id of a cosigning key."""
    return sha256(name.encode() + b"\n" + _COSIGNATURE_TYPE + public_key).digest()[:KEY_ID_BYTES]


def cosign(checkpoint: Checkpoint, *, key: SigningKey, name: str, time: int) -> SignatureLine:
    """Sign a checkpoint. Only a cosigner that has checked and stored the head calls this.

    Args:
        checkpoint: The head.
        key: The cosigning key; used for nothing else.
        name: The key's name.
        time: UTC seconds of the signing.
    """
    assert 0 < time <= TIME_MAX
    signature = key.sign(_message(checkpoint.body, time))
    return SignatureLine(name=name, key_id=key_id(name, key.public_key), signature=time.to_bytes(8, "big") + signature)


def verify_cosignature(line: SignatureLine, *, public_key: bytes, body: bytes) -> int:
    """Check one cosignature over a note text and return the UTC second at which it was made.

    Raises: DamagedProof for a wrong length or time, ProofError when the signature does not hold.
    """
    time = int.from_bytes(line.signature[:8], "big")
    if len(line.signature) != TIMED_SIGNATURE_BYTES or not 0 < time <= TIME_MAX:
        damaged(f"the cosignature of {line.name} has a wrong length or time")
    if not signatures.verify(public_key, _message(body, time), line.signature[8:]):
        raise ProofError(
            f"The cosignature of {line.name} does not hold",
            why="The checkpoint or the signature was altered",
            do="Ask for a new copy.",
        )
    return time


def _message(body: bytes, time: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % time + body


def format_signed(checkpoint: Checkpoint, lines: Iterable[SignatureLine]) -> bytes:
    """Return a checkpoint with its signature lines, in ascending order, as text."""
    ordered = sorted(line.text for line in lines)
    assert ordered, "a note without signatures is no signed note"
    return checkpoint.body + b"\n" + "".join(f"{line}\n" for line in ordered).encode()


def parse_signed(encoded: bytes) -> tuple[Checkpoint, tuple[SignatureLine, ...]]:
    """Read a signed checkpoint of any log, with signatures of any kind. Verifies nothing.

    Raises: DamagedProof.
    """
    if len(encoded) > CHECKPOINT_BYTES_MAX:
        damaged(f"{CHECKPOINT_BYTES_MAX} bytes are the most for a checkpoint")
    try:
        lines = encoded.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        damaged("the checkpoint is not UTF-8 text")
    if lines.pop() != "" or lines.count("") != 1:
        damaged("a checkpoint is text, one empty line and signature lines, each ending in a line feed")
    end = lines.index("")
    if any(ord(character) < 32 for line in lines for character in line):
        damaged("the checkpoint holds a control character")
    return parse_body(lines[:end]), parse_signature_lines(lines[end + 1 :])


def parse_body(lines: Sequence[str]) -> Checkpoint:
    """Read a checkpoint's note text, given as lines.

    Raises: DamagedProof.
    """
    if not 3 <= len(lines) <= 3 + EXTENSION_LINES_MAX or not 0 < len(lines[0]) <= 255:
        damaged("a checkpoint has an origin, a size, a root and at most a few further lines")
    root = from_base64(lines[2])
    if len(root) != DIGEST_BYTES:
        damaged("a root has 32 bytes")
    return Checkpoint(origin=lines[0], size=parse_decimal(lines[1]), root=root, extensions=tuple(lines[3:]))


def parse_signature_lines(lines: Sequence[str]) -> tuple[SignatureLine, ...]:
    """Read signature lines of any kind, given without their line feeds.

    Raises: DamagedProof.
    """
    if not 0 < len(lines) <= SIGNATURE_LINES_MAX:
        damaged(f"a checkpoint has 1 to {SIGNATURE_LINES_MAX} signature lines")
    read = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            damaged("a signature line is an em dash, a name and base64")
        payload = from_base64(match[2])
        if not KEY_ID_BYTES < len(payload) <= SIGNATURE_BYTES_MAX:
            damaged("a signature has a wrong length")
        read.append(SignatureLine(name=match[1], key_id=payload[:KEY_ID_BYTES], signature=payload[KEY_ID_BYTES:]))
    return tuple(read)


def parse_decimal(text: str) -> int:
    """Read a decimal below 2^53 without leading zeros.

    Raises: DamagedProof.
    """
    if _DECIMAL.fullmatch(text) is None or int(text) > INTEGER_MAX:
        damaged("a number is not a plain decimal below 2^53")
    return int(text)


def to_base64(encoded: bytes) -> str:
    """Return padded standard base64."""
    return b2a_base64(encoded, newline=False).decode()


def from_base64(text: str) -> bytes:
    """Read canonical padded standard base64.

    Raises: DamagedProof.
    """
    try:
        decoded = a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        damaged("a part is not base64")
    if b2a_base64(decoded, newline=False) != text.encode():
        damaged("a part is not canonical base64")
    return decoded


def damaged(why: str) -> NoReturn:
    """Refuse a proof or a part of it for its form."""
    raise DamagedProof("This is damaged", why=why, do="Ask for a new copy.")
