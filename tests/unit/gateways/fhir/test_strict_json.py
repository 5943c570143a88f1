# SPDX-License-Identifier: Apache-2.0
"""Strict JSON: the quick scanner and the slow one agree, depth is exact, what others let pass is refused in place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vervain.gateways.fhir.rules import BrokenRule
from vervain.gateways.fhir.strict_json import DEPTH_MAX, Cursor, JsonValue, find_fault, require_readable

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def _refused(text: str) -> tuple[str, int]:
    with pytest.raises(BrokenRule) as refused:
        require_readable(text.encode(), text)
        cursor = Cursor(text)
        cursor.value()
        if cursor.skip_space():
            raise BrokenRule("json-syntax", index=cursor.index)
    return refused.value.rule.id, refused.value.index


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_good_json_is_read_and_has_no_fault(value: JsonValue, indent: int | None, escaped: bool) -> None:
    """
    Given any JSON value, written with or without white space and escapes.
    When it is read strictly.
    Then it is the same value, read to the end, and the slow scanner finds nothing either.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    require_readable(text.encode(), text)
    cursor = Cursor(text)
    assert cursor.value() == value
    assert (cursor.index, find_fault(text, 0)) == (len(text), None)


@given(VALUES, VALUES, TEXT)
def test_equal_keys_are_refused_wherever_they_stand(first: JsonValue, second: JsonValue, key: str) -> None:
    """
    Given an object with one key twice, once with its letters escaped, deep inside a text.
    When it is read strictly.
    Then the second key is named by its place.
    """
    escaped = '"' + "".join(f"\\u{unit:04x}" for unit in _units(key)) + '"'
    before = f'[1, {{"é": {{{json.dumps(key)}: {json.dumps(first)}, '
    assert _refused(f"{before}{escaped}: {json.dumps(second)}}}}}]") == ("json-duplicate-key", len(before))


def _units(text: str) -> list[int]:
    octets = text.encode("utf-16-be")
    return [int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)]


@pytest.mark.parametrize(
    ("text", "rule", "at"),
    [
        ('{"a":1,"a":2}', "json-duplicate-key", '"a":2'),
        ('{"b":{"a":1},"a":1,"\\u0061":2}', "json-duplicate-key", '"\\u0061"'),
        ('{"a":"}","b":{"c":1,"c":2}}', "json-duplicate-key", '"c":2'),
        ('{"a\\\\":1,"a\\\\":2,"b":3}', "json-duplicate-key", '"a\\\\":2'),
        ("[NaN]", "json-number", "NaN"),
        ("[1,-Infinity]", "json-number", "-Infinity"),
        ("[1e400]", "json-number", "1e400"),
        ("[-1e400]", "json-number", "-1e400"),
        (f"[1.{'0' * 63}]", "json-number", "1."),
        (f"[{'9' * 65}]", "json-number", "9"),
        ("[01]", "json-syntax", "1]"),
        ("[1.]", "json-syntax", ".]"),
        ("[.5]", "json-syntax", ".5"),
        ("[+1]", "json-syntax", "+1"),
        ("['a']", "json-syntax", "'a'"),
        ("[1,]", "json-syntax", "]"),
        ('{"a":1,}', "json-syntax", "}"),
        ('{"a" 1}', "json-syntax", "1}"),
        ("[1] [2]", "json-syntax", "[2]"),
        ("[1 /* a */]", "json-syntax", "/*"),
        ('["a\tb"]', "json-syntax", "\t"),
        ('["\\x"]', "json-syntax", "\\x"),
        ('["a\\u0000"]', "json-text", "\\u0000"),
        ('["a\\u001F"]', "json-text", "\\u001F"),
        ('["\\b"]', "json-text", "\\b"),
        ('["\\\\\\f"]', "json-text", "\\f"),
        ('["\\ud800"]', "json-text", "\\ud800"),
        ('["\\udC00"]', "json-text", "\\udC00"),
        ('["\\ud83d\\ude00\\ude01"]', "json-text", "\\ude01"),
        ('["\\ud83d\\\\ude00"]', "json-text", "\\ud83d"),
    ],
)
def test_text_that_is_not_strict_json_is_refused(text: str, rule: str, at: str) -> None:
    """
    Given a text that some JSON readers let pass.
    When it is read strictly.
    Then the rule and the place are named.
    """
    assert _refused(text) == (rule, text.index(at))


@pytest.mark.parametrize(
    "text", ['["\\t\\n\\r\\"\\\\\\/"]', '["\\\\b \\\\u0000"]', '["\\ud83d\\ude00"]', '["\\u00e9"]']
)
def test_ordinary_escapes_are_read(text: str) -> None:
    """
    Given escapes that a FHIR string may hold, and backslashes that escape nothing.
    When they are read strictly.
    Then they mean what JSON says.
    """
    require_readable(text.encode(), text)
    assert Cursor(text).value() == json.loads(text)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"]":', "}]")])
def test_depth_is_exact(opening: str, closing: str) -> None:
    """
    Given objects and lists nested as deep as the maximum, and one deeper.
    When they are read.
    Then the first passes, and the second is refused at the bracket that goes too deep.
    """
    times = DEPTH_MAX // len(closing)
    fits = opening * times + "0" + closing * times
    require_readable(fits.encode(), fits)
    assert find_fault(fits, 0) is None
    deeper = opening * times + "[0]" + closing * times
    assert _refused(deeper) == ("json-depth", deeper.index("[0]"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '["\\"' + "[" * 1000, "[}" * 50 + "[" * 70])
def test_brackets_that_never_close_end_in_a_refusal(text: str) -> None:
    """
    Given brackets that never close, or hide behind a quote that is none.
    When they are read.
    Then they are refused, and no recursion runs away.
    """
    assert _refused(text)[0] in {"json-depth", "json-syntax"}


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    """
    Given a string full of brackets, quotes and backslashes.
    When it is read.
    Then it is as deep as the list around it.
    """
    text = json.dumps(["[{" * 100 + '"\\' * 100])
    require_readable(text.encode(), text)
    assert Cursor(text).value() == json.loads(text)


@pytest.mark.parametrize(("text", "kind"), [("{1:2}", "members"), ('{"a":1,"a":2}', "members"), ("[1 2]", "elements")])
def test_walk_over_a_bad_container_is_refused(text: str, kind: str) -> None:
    """
    Given an object or a list that is not JSON, or has a key twice.
    When its parts are walked one by one.
    Then the walk is refused.
    """
    cursor = Cursor(text)
    with pytest.raises(BrokenRule):
        for _ in getattr(cursor, kind)():
            cursor.value()
