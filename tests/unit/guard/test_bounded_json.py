"""JSON that is read, and bytes that only look like it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.guard.bounded_json import CALLBACK_BOUNDS, UnreadableError, read_strictly, read_tolerantly

MAX_DEPTH, MAX_VALUES = CALLBACK_BOUNDS.depth, CALLBACK_BOUNDS.values


def nested(depth: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    """An object of *depth* containers, one in the other, with a number innermost."""
    return (opening * (depth - 1) + '{"a":1}' + closing * (depth - 1)).encode()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b"{}", {}, id="empty"),
        pytest.param(b' {"a": -0, "b": [1.5e3, null, true]}\r\n', {"a": 0, "b": [1500.0, None, True]}, id="plain"),
        pytest.param('{"é": "视频"}'.encode(), {"é": "视频"}, id="beyond ASCII"),
        pytest.param(b'{"a": "\\ud83d\\ude00"}', {"a": "\N{GRINNING FACE}"}, id="a whole surrogate pair"),
        pytest.param(b'{"a": 12345678901234567890}', {"a": 12345678901234567890}, id="20 digits"),
        pytest.param(b'{"a": -12345678901234567890}', {"a": -12345678901234567890}, id="20 digits and a sign"),
        pytest.param(b'{"py/object": "os.system"}', {"py/object": "os.system"}, id="another parser's poison"),
        pytest.param(b'{"a": {"b": 1}, "c": {"b": 1}}', {"a": {"b": 1}, "c": {"b": 1}}, id="a key in two objects"),
    ],
)
def test_an_object_is_read(body: bytes, value: object) -> None:
    assert read_strictly(body) == value


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"1", id="a number"),
        pytest.param(b'"a"', id="a string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b'{"a": 1,}', id="a trailing comma"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": 1 /* b */}', id="a comment"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": Infinity}', id="Infinity"),
        pytest.param(b'{"a": -Infinity}', id="-Infinity"),
        pytest.param(b'{"a": 1e999}', id="a number that is infinite"),
        pytest.param(b'{"a": 01}', id="a leading zero"),
        pytest.param(b'{"a": 123456789012345678901}', id="21 digits"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(b'{"a": 1, "a": 1}', id="a key twice"),
        pytest.param(b'{"status": 1, "\\u0073tatus": 2}', id="a key twice, once escaped"),
        pytest.param(b'{"a": [{"b": 1, "b": 2}]}', id="a key twice, deep inside"),
        pytest.param(b'{"a": "\\ud800"}', id="a lone surrogate"),
        pytest.param(b'{"\\udfff": 1}', id="a lone surrogate in a key"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b'{"a": "b\\u0000"}', id="NUL"),
        pytest.param(b'{"a\\u0000": 1}', id="NUL in a key"),
        pytest.param(b'{"a": "b\x00"}', id="a raw NUL"),
        pytest.param(b'{"a": "b\nc"}', id="a raw line break"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param('{"a": "é"}'.encode("latin-1"), id="Latin-1"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param('{"a": 1}'.encode("utf-32-le"), id="UTF-32"),
        pytest.param(b'{"a": "\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(nested(MAX_DEPTH + 1), id="too deep"),
        pytest.param(nested(MAX_DEPTH + 1, '{"a":[', "]}"), id="too deep in lists"),
        pytest.param(b'{"a":' * 12_000, id="so deep that a parser would break"),
        pytest.param(b"[" * 60_000, id="so deep in lists that a parser would break"),
        pytest.param(json.dumps({"a": [1] * MAX_VALUES}).encode(), id="too many values"),
        pytest.param(json.dumps({str(n): n for n in range(MAX_VALUES)}).encode(), id="too many keys"),
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_strictly(body)


def test_the_bounds_themselves_are_allowed() -> None:
    assert read_strictly(nested(MAX_DEPTH))
    assert read_strictly(json.dumps({"a": [1] * (MAX_VALUES - 2)}).encode())


def test_a_refusal_quotes_nothing_of_the_body() -> None:
    with pytest.raises(UnreadableError) as refusal:
        read_strictly(b'{"a": "https://cdn.example.com/v.mp4?sig=SECRET}')

    assert "SECRET" not in str(refusal.value)


@given(st.binary(max_size=300))
def test_bytes_are_an_object_or_refused(body: bytes) -> None:
    try:
        value = read_strictly(body)
    except UnreadableError:
        return
    assert isinstance(value, dict)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBER = st.integers(1 - 10**20, 10**20 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_what_a_careful_sender_writes_is_read_as_it_was_meant(value: dict[str, object]) -> None:
    assert read_strictly(json.dumps(value).encode()) == value
    assert read_strictly(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b"<html></html>",
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {"a": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 200_000,
        b'{"a":[' + b"0," * 60_000 + b"0]}",
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=lambda body: ascii(body[:20]),
)
def test_what_is_no_bounded_object_is_not_read_tolerantly_either(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_tolerantly(body)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b' {"a": {"b": [1, 2]}} \n', {"a": {"b": [1, 2]}}),
        (b'{"a": 1, "a": 2, "b": 3}', {"b": 3}),
        (b'{"a": 1, "\\u0061": 2, "a": 1}', {}),
        (b'{"a": 1, "a": 1}', {"a": 1}),
        (b'{"a": {"b": 1, "b": 2, "c": 3}}', {"a": {"c": 3}}),
    ],
)
def test_what_costs_nothing_is_tolerated(body: bytes, read: Any) -> None:
    assert read_tolerantly(body) == read


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'[{"a": 1}]', {"a": 1}),
        (b'[{"a": 1}, {"a": 2}]', {"list": [{"a": 1}, {"a": 2}]}),
        (b'["a"]', {"list": ["a"]}),
        (b"[]", {"list": []}),
        (b'{"a": 1}', {"a": 1}),
    ],
)
def test_an_array_is_read_as_its_only_object_or_as_a_named_field(body: bytes, read: Any) -> None:
    assert read_tolerantly(body, list_name="list") == read


@pytest.mark.parametrize("body", [b"1", b'"a"', b"null", b'[{"a":' + b"[" * 40 + b"]" * 40 + b"}]"])
def test_what_is_neither_an_object_nor_an_array_in_bounds_is_still_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_tolerantly(body, list_name="list")


@given(st.binary() | st.dictionaries(TEXT, JSON, max_size=4).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_tolerantly_or_refused(body: bytes) -> None:
    try:
        read = read_tolerantly(body)
    except UnreadableError:
        return
    assert isinstance(read, dict)
