# SPDX-License-Identifier: Apache-2.0
"""The one encoding of everything agreed: RFC 8785 (JCS) JSON in a restricted profile, by msgspec.

Rules kept:
1. Keys are ASCII and sorted; a tagged Struct's tag stands in its sorted place, so `order="sorted"` is on the Encoder
   (the option on the Struct is silently ignored).
2. No floats, no nulls; |integer| < 2^53; bytes are padded standard base64; a field equal to its default is left out.
3. Strings are printable ASCII with a maximum length.
4. Whatever was decoded must re-encode to the same bytes. That comparison refuses equal keys, other orders, white space,
   escapes, `-0`, stray base64 bits and written-out defaults.
5. Nesting is bounded by a scan of the bytes before decoding, because recursion limits differ by Python version.
   Brackets inside strings count too: the bound must not depend on a parser.

Source: RFC 8785; architecture.md "The agreed formats".
"""

from typing import Annotated, Any, Final, TypeVar

import msgspec

from vervain.ledger.primitives.errors import VervainError

T = TypeVar("T")

DEPTH_MAX: Final = 16  # nesting of one agreed object; ours need six
INTEGER_MAX: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exactly

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=INTEGER_MAX)]
UtcSeconds = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-~]+\Z")]
"""A code or name of the agreed world: 1 to 64 printable ASCII characters without spaces."""
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[ -~]+\Z")]
"""A line of the agreed world: 1 to 256 printable ASCII characters."""

_encoder = msgspec.json.Encoder(order="sorted")
_NOT_BRACKETS: Final = bytes(value for value in range(256) if value not in b"[]{}")


class NotCanonical(VervainError):
    """Bytes that are not the one encoding of what they say, or not of the asked type. Holds no value of the input."""


encode = _encoder.encode
"""Return the canonical bytes of a Struct, a mapping with ASCII keys, a sequence, a string, bytes or an integer."""


def require_shallow(encoded: bytes) -> None:
    """Refuse bytes nested deeper than `DEPTH_MAX`.

    Raises: NotCanonical.
    """
    depth = 0
    for bracket in encoded.translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise NotCanonical(
                "The message is nested too deeply", why=f"{DEPTH_MAX} levels are the most", do="Flatten it."
            )


def decode(encoded: bytes, as_type: type[T]) -> T:
    """Decode canonical bytes into `as_type`; refuse anything that would not encode to the same bytes.

    Raises: NotCanonical, without any value of the input.
    """
    decoded: T = Decoder(as_type).decode(encoded)
    return decoded


class Decoder:
    """A reusable strict decoder of one type: decode, encode again, refuse unless byte-equal."""

    __slots__ = ("_decode", "decode_checked")

    def __init__(self, as_type: Any) -> None:  # Any: a type or a union of tagged Structs, which `type[T]` cannot say
        self._decode = self.decode_checked = msgspec.json.Decoder(as_type).decode

    def decode(self, encoded: bytes) -> Any:  # Any: the caller names the type it built this decoder for
        """Return the decoded value.

        Raises: NotCanonical.
        """
        require_shallow(encoded)
        return self.decode_shallow(encoded)

    def decode_shallow(self, encoded: bytes) -> Any:  # Any: as above
        """Like `decode`, for bytes cut out of something whose depth was already bounded."""
        try:
            value = self._decode(encoded)
        except (ValueError, RecursionError) as error:
            raise NotCanonical(
                "The message does not have the agreed form", why=_without_values(error), do="See its schema."
            ) from None
        if _encoder.encode(value) != encoded:
            raise NotCanonical(
                "The message is not in its canonical encoding",
                why="Encoding it again gives other bytes (key order, spaces, escapes, a written-out default)",
                do="Encode it as RFC 8785 JSON with sorted keys and without defaults.",
            )
        return value


def _without_values(error: BaseException) -> str:
    """Keep msgspec's words, which name types and fields, and drop the ones that could quote the input."""
    text = str(error) if isinstance(error, msgspec.ValidationError) else "It is not JSON of the agreed profile"
    return "A tag or enum value is not known" if "Invalid value" in text or "Invalid enum" in text else text
