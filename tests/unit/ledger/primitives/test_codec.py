# SPDX-License-Identifier: Apache-2.0
"""The one encoding: every trap of JSON that was measured, and that nothing but the one encoding is taken.

Source: ledger-engine reference, section 5, table of traps.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as some
from msgspec import UNSET, UnsetType

from vervain.ledger.primitives.codec import (
    DEPTH_MAX,
    INTEGER_MAX,
    Bytes16,
    Code,
    Decoder,
    Natural,
    NotCanonical,
    Text,
    decode,
    encode,
    require_shallow,
)


class Colour(StrEnum):
    """A closed list."""

    GREEN = "green"


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag="sample"):
    """A value with one field of each kind, declared out of order."""

    number: Natural
    code: Code
    bytes16: Bytes16 | UnsetType = UNSET
    text: Text | UnsetType = UNSET
    colour: Colour | UnsetType = UNSET
    flag: bool = False
    nested: tuple["Sample", ...] = ()


GOOD = b'{"code":"a","number":1,"type":"sample"}'


def test_tag_and_fields_stand_in_sorted_order() -> None:
    """
    Given a tagged Struct whose fields are declared out of order.
    When it is encoded.
    Then keys are sorted, the tag among them, and defaults are left out.
    """
    assert encode(Sample(number=1, code="a")) == GOOD
    full = Sample(number=1, code="a", bytes16=bytes(16), text="t t", flag=True, colour=Colour.GREEN)
    expected = (
        b'{"bytes16":"AAAAAAAAAAAAAAAAAAAAAA==","code":"a","colour":"green","flag":true,"number":1,"text":"t t",'
        b'"type":"sample"}'
    )
    assert encode(full) == expected
    assert decode(expected, Sample) == full


NOT_THE_ONE_ENCODING = {
    "equal_keys": b'{"code":"b","code":"a","number":1,"type":"sample"}',
    "key_order": b'{"number":1,"code":"a","type":"sample"}',
    "tag_first": b'{"type":"sample","code":"a","number":1}',
    "white_space": b'{"code": "a","number":1,"type":"sample"}',
    "trailing_space": GOOD + b" ",
    "trailing_newline": GOOD + b"\n",
    "unicode_escape": b'{"code":"\\u0061","number":1,"type":"sample"}',
    "escaped_slash": b'{"code":"a\\/b","number":1,"type":"sample"}',
    "minus_zero": b'{"code":"a","number":-0,"type":"sample"}',
    "written_default": b'{"code":"a","flag":false,"number":1,"type":"sample"}',
    "written_empty_list": b'{"code":"a","nested":[],"number":1,"type":"sample"}',
    "stray_base64_bits": b'{"bytes16":"AAAAAAAAAAAAAAAAAAAAAB==","code":"a","number":1,"type":"sample"}',
}


@pytest.mark.parametrize("encoded", NOT_THE_ONE_ENCODING.values(), ids=NOT_THE_ONE_ENCODING.keys())
def test_second_encoding_of_a_value_is_refused(encoded: bytes) -> None:
    """
    Given bytes that msgspec alone takes for a value.
    When they are decoded.
    Then NotCanonical, because encoding the value again gives other bytes.
    """
    assert isinstance(msgspec.json.decode(encoded, type=Sample), Sample)
    with pytest.raises(NotCanonical, match="not in its canonical encoding"):
        decode(encoded, Sample)


NOT_OF_THE_TYPE = {
    "unpadded_base64": b'{"bytes16":"AAAAAAAAAAAAAAAAAAAAAA","code":"a","number":1,"type":"sample"}',
    "url_base64": b'{"bytes16":"____________________AA==","code":"a","number":1,"type":"sample"}',
    "too_few_bytes": b'{"bytes16":"AAAA","code":"a","number":1,"type":"sample"}',
    "float": b'{"code":"a","number":1.0,"type":"sample"}',
    "exponent": b'{"code":"a","number":1e2,"type":"sample"}',
    "boolean_for_a_number": b'{"code":"a","number":true,"type":"sample"}',
    "text_for_a_number": b'{"code":"a","number":"1","type":"sample"}',
    "negative": b'{"code":"a","number":-1,"type":"sample"}',
    "beyond_the_bound": b'{"code":"a","number":9007199254740992,"type":"sample"}',
    "huge": b'{"code":"a","number":' + b"9" * 400 + b',"type":"sample"}',
    "null": b'{"code":"a","number":1,"text":null,"type":"sample"}',
    "unknown_field": b'{"a":1,"code":"a","number":1,"type":"sample"}',
    "missing_field": b'{"code":"a","type":"sample"}',
    "missing_tag": b'{"code":"a","number":1}',
    "unknown_tag": b'{"code":"a","number":1,"type":"other"}',
    "unknown_enum": b'{"code":"a","colour":"red","number":1,"type":"sample"}',
    "newline_at_the_end": b'{"code":"a\\n","number":1,"type":"sample"}',
    "space_in_a_code": b'{"code":"a b","number":1,"type":"sample"}',
    "empty_code": b'{"code":"","number":1,"type":"sample"}',
    "long_code": b'{"code":"' + b"a" * 65 + b'","number":1,"type":"sample"}',
    "control_character": b'{"code":"a","number":1,"text":"\\u0007","type":"sample"}',
    "delete_character": b'{"code":"a","number":1,"text":"\x7f","type":"sample"}',
    "accent": '{"code":"a","number":1,"text":"é","type":"sample"}'.encode(),
    "decomposed_accent": '{"code":"a","number":1,"text":"e\u0301","type":"sample"}'.encode(),
    "lone_surrogate": b'{"code":"a","number":1,"text":"\\ud800","type":"sample"}',
    "bad_utf8": b'{"code":"a","number":1,"text":"\xff","type":"sample"}',
    "byte_order_mark": b"\xef\xbb\xbf" + GOOD,
    "two_values": GOOD + GOOD,
    "cut_short": GOOD[:-1],
    "nothing": b"",
    "a_list": b"[1]",
}


@pytest.mark.parametrize("encoded", NOT_OF_THE_TYPE.values(), ids=NOT_OF_THE_TYPE.keys())
def test_bytes_of_no_agreed_form_are_refused(encoded: bytes) -> None:
    """
    Given bytes that are no JSON of the profile, or break a limit of the type.
    When they are decoded.
    Then NotCanonical, whatever msgspec raised.
    """
    with pytest.raises(NotCanonical):
        decode(encoded, Sample)


@pytest.mark.parametrize("number", [0, INTEGER_MAX])
def test_both_ends_of_the_integers_are_taken(number: int) -> None:
    """
    Given 0 and 2^53 - 1.
    When they are encoded and decoded.
    Then they come back.
    """
    value = Sample(number=number, code="a")
    assert decode(encode(value), Sample) == value


def nest(levels: int) -> bytes:
    """Return a value nested so deep: one level an object, one its list."""
    inner = GOOD
    for _ in range((levels - 1) // 2):
        inner = b'{"code":"a","nested":[' + inner + b'],"number":1,"type":"sample"}'
    return inner


def test_nesting_is_bounded() -> None:
    """
    Given values nested 15 and 17 levels deep.
    When they are decoded.
    Then the first is taken and the second refused as too deep.
    """
    assert decode(nest(DEPTH_MAX - 1), Sample).number == 1
    with pytest.raises(NotCanonical, match="nested too deeply"):
        decode(nest(DEPTH_MAX + 1), Sample)


def test_depth_counts_brackets_wherever_they_stand() -> None:
    """
    Given brackets, 16 and 17 deep, also inside a string, and 100,000 deep.
    When their depth is scanned.
    Then 16 pass and everything deeper is refused, without a recursion limit having a say.
    """
    require_shallow(b"[{" * 8)
    for deep in (b"[{" * 8 + b"[", b'"' + b"{" * 17 + b'"', b"[" * 100_000):
        with pytest.raises(NotCanonical, match="nested too deeply"):
            require_shallow(deep)


def test_errors_hold_no_value_of_the_input() -> None:
    """
    Given bytes with a person's name in every place that can be wrong.
    When they are refused.
    Then no error's words hold the name.
    """
    shapes = (
        '{"code":"a","colour":"%s","number":1,"type":"sample"}',
        '{"code":"a","number":"%s","type":"sample"}',
        '{"code":"%s %s","number":1,"type":"sample"}',
        '{"code":"a","number":1,"type":"%s"}',
        '{"code":"a","bytes16":"%s","number":1,"type":"sample"}',
        '{"code":"a","number":1,"text":"%s',
        '{"number":1,"code":"%s","type":"sample"}',
        "%s",
    )
    for shape in shapes:
        with pytest.raises(NotCanonical) as caught:
            decode(shape.replace("%s", "Quillfeather").encode("ascii"), Sample)
        assert "Quillfeather" not in str(caught.value) + caught.value.why
        assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_unknown_fields_are_named_and_values_are_not() -> None:
    """
    Given a message with a field too many.
    When it is refused.
    Then the words name the field: a person can find it.
    """
    with pytest.raises(NotCanonical) as caught:
        decode(b'{"code":"a","colour_":"x","number":1,"type":"sample"}', Sample)
    assert "colour_" in caught.value.why


def test_raw_inside_is_not_checked_by_the_outer_decoder() -> None:
    """
    Given an envelope type that keeps its entries as they came.
    When an entry is not canonical.
    Then the envelope alone does not notice: every entry has to be decoded by itself.
    """

    class Envelope(msgspec.Struct):
        entries: tuple[msgspec.Raw, ...]

    envelope = Decoder(Envelope).decode(b'{"entries":[{"b":1, "a":2}]}')
    with pytest.raises(NotCanonical):
        Decoder(dict[str, int]).decode(bytes(envelope.entries[0]))


ascii_text = some.text(alphabet=some.characters(min_codepoint=32, max_codepoint=126), max_size=20)
values: some.SearchStrategy[Any] = some.recursive(
    some.booleans() | some.integers(-INTEGER_MAX, INTEGER_MAX) | ascii_text,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(ascii_text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_encoding_is_rfc_8785(value: Any) -> None:
    """
    Given any value of the profile.
    When it is encoded.
    Then the bytes are those of an independent RFC 8785 library.
    """
    assert encode(value) == rfc8785.dumps(value)


@given(some.integers(0, INTEGER_MAX), some.binary(min_size=16, max_size=16), some.booleans())
def test_what_was_encoded_decodes_to_itself(number: int, sixteen: bytes, flag: bool) -> None:
    """
    Given any sample.
    When it is encoded and decoded.
    Then it is the same.
    """
    value = Sample(number=number, code="c", bytes16=sixteen, flag=flag)
    assert decode(encode(value), Sample) == value


@given(some.integers(0, len(GOOD) - 1), some.integers(0, 255))
def test_changed_byte_gives_another_value_or_none(position: int, byte: int) -> None:
    """
    Given the bytes of a value with one byte changed.
    When they are decoded.
    Then they are refused or say something else: no two encodings of one value.
    """
    changed = GOOD[:position] + bytes([byte]) + GOOD[position + 1 :]
    try:
        value = decode(changed, Sample)
    except NotCanonical:
        return
    assert (value == Sample(number=1, code="a")) is (changed == GOOD)


def test_decoder_takes_a_union_by_tag() -> None:
    """
    Given a decoder of two tagged types.
    When each is decoded.
    Then each comes back as its own type.
    """

    class Other(msgspec.Struct, frozen=True, tag="other", tag_field="type"):
        at: Annotated[int, msgspec.Meta(ge=0)]

    decoder = Decoder(Sample | Other)
    assert decoder.decode(b'{"at":3,"type":"other"}') == Other(at=3)
    assert decoder.decode_shallow(GOOD) == Sample(number=1, code="a")
