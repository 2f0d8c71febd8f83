"""What strangers say is bounded, checked and made harmless before it is kept."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.providers import answers
from worker.providers.answers import UnreadableError, clean, error_words, read_json

KEY = "sk-live-0123456789abcdefghij"


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
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 200_000,
        b'{"a":[' + b"0," * 60_000 + b"0]}",
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=lambda body: ascii(body[:20]),
)
def test_what_is_no_bounded_object_is_not_read(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_json(body)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b' {"a": {"b": [1, 2]}} \n', {"a": {"b": [1, 2]}}),
    ],
)
def test_what_costs_nothing_is_tolerated(body: bytes, read: Any) -> None:
    assert read_json(body) == read


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain words", "plain words"),
        ("two\r\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x9b31mred", "red"),
        ("nul\x00 half \ud800 bidi \u202e end", "nul half bidi end"),
        ("see https://s3.example.com/a?X-Amz-Signature=1 now", "see [url] now"),
        ("data:image/png;base64,AAAA is bad", "[url] is bad"),
        ("<script>alert(1)</script> %s {0}", "<script>alert(1)</script> %s {0}"),
        (f"key {KEY} is wrong", "key [hidden] is wrong"),
        (f"key {KEY[:20]}... is wrong", "key [hidden]... is wrong"),
        (f"\x1b[1m{KEY[:5]}\x1b[0m is short", f"{KEY[:5]} is short"),
        ("x" * 600, "x" * 500),
        (404, "404"),
        (None, ""),
        (True, ""),
        (["a"], ""),
        ({"a": 1}, ""),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_message_is_one_harmless_line(text: object, told: str) -> None:
    assert clean(text, hide=[KEY]) == told


def test_a_prompt_is_hidden_even_when_only_a_part_of_it_is_repeated() -> None:
    prompt = "a corgi runs along\nthe beach at golden hour"

    told = clean("refused: 'corgi runs along the beach' is not allowed", hide=[prompt])

    assert told == "refused: '[hidden]' is not allowed"


def test_a_key_across_the_end_of_the_line_does_not_peek_in() -> None:
    told = clean("x" * 490 + KEY, hide=[KEY])

    assert "sk-live" not in told


def test_a_megabyte_of_hostile_text_is_cleaned_before_the_clock_of_the_test_runs_out() -> None:
    assert clean("a" * 1_000_000, hide=["a" * 3000] * 8) == "[hidden]"


@given(st.text(st.characters()), st.text(st.characters(), max_size=40))
@example("https://" + KEY, KEY)
def test_whatever_is_cleaned_is_short_and_printable(text: str, secret: str) -> None:
    told = clean(text, 100, hide=[secret])

    assert len(told) <= 100
    assert told.isprintable()


@given(st.text(st.characters(), max_size=50), st.text(st.characters(), max_size=50))
def test_a_key_never_comes_through(before: str, after: str) -> None:
    assert KEY not in clean(before + KEY + after, 1000, hide=[KEY])


@pytest.mark.parametrize(
    "good", ["task-unified-1757169743-7cvnl5zw", "5a7a5466-7948-47d8-8578-cff4b9581feb", "a", "a.b:c=+~", "x" * 128]
)
def test_request_ids_are_taken_as_they_are(good: str) -> None:
    assert answers.request_id(good) == good


@pytest.mark.parametrize(
    "bad",
    ["", " ", "a b", "a/b", "a\\b", ".", "..", "...", "a\n", "\x00", "é", "x" * 129, 5, None, ["a"], True, "a\u200b"],
    ids=ascii,
)
def test_what_could_do_harm_in_a_url_or_a_key_is_no_request_id(bad: object) -> None:
    assert answers.request_id(bad) is None


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        (1753427199, 1_753_427_199_000),
        (1753427199.5, 1_753_427_199_500),
        (1753427199123, 1_753_427_199_123),
        ("1753427199", 1_753_427_199_000),
        (0, None),
        (-1753427199, None),
        (10**30, None),
        (10**4000, None),
        (1753427199123456, None),
        (5_000_000_000, None),
        (math.inf, None),
        (math.nan, None),
        (True, None),
        ("2025-07-25T07:06:39Z", None),
        ("١٧٥٣٤٢٧١٩٩", None),
        (None, None),
        ([1753427199], None),
    ],
    ids=lambda value: ascii(value)[:20] if not isinstance(value, int) else None,
)
def test_an_instant_is_milliseconds_whichever_unit_it_came_in(told: object, moment: int | None) -> None:
    assert answers.instant(told) == moment


@pytest.mark.parametrize(
    ("told", "progress"),
    [
        (0, 0),
        (42, 42),
        (99.9, 99),
        (100, 100),
        (-1, None),
        (101, None),
        (10**400, None),
        ("50", None),
        (True, None),
        (None, None),
    ],
    ids=lambda value: ascii(value)[:10],
)
def test_progress_is_a_percentage_or_nothing(told: object, progress: int | None) -> None:
    assert answers.percent(told) == progress


@pytest.mark.parametrize(
    ("told", "wait"), [(300, 300.0), (0.5, 0.5), (0, None), (-1, None), (10**9, None), ("5", None), (True, None)]
)
def test_an_estimate_is_a_time_or_nothing(told: object, wait: float | None) -> None:
    assert answers.seconds(told) == wait


def test_links_are_https_once_each_and_not_too_many() -> None:
    urls = [
        "https://a/1",
        "http://a/2",
        "https://a/1",
        "ftp://a",
        None,
        5,
        "https://a/\n3",
        "https://a/ 4",
        "https://a/" + "x" * 9000,
    ]

    assert [link.url for link in answers.links(urls, 7)] == ["https://a/1"]
    assert len(answers.links(f"https://a/{n}" for n in range(1000))) == 16


def test_usage_keeps_named_numbers_and_short_words() -> None:
    usage = {"credits": 1.5, "rule": "per\nsecond" + "x" * 100, "flag": True, "huge": 10**400, "deep": {}, "other": 1}

    kept = answers.small(usage, ("credits", "rule", "flag", "huge", "deep", "gone"))

    assert kept == {"credits": 1.5, "rule": ("per second" + "x" * 100)[:60]}
    assert answers.small([1], ("a",)) == {}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"error": "text"}, ("", "text")),
        ({"error": {"code": "bad", "message": "text"}}, ("bad", "text")),
        ({"error": {"code": 401, "type": "auth_error", "message": "text"}}, ("auth_error", "text")),
        ({"error": {"code": 401}}, ("401", "")),
        ({"error": {"code": "not a word!", "details": "more"}}, ("", "more")),
        ({"message": "text"}, ("", "text")),
        ({"detail": "text"}, ("", "text")),
        ({"msg": "text"}, ("", "text")),
        ({"error_message": "text", "message": "other"}, ("", "text")),
        ({"error": ["x"], "message": {"a": 1}}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_an_error_is_found_in_the_shapes_that_are_known(document: dict[str, Any], told: tuple[str, str]) -> None:
    assert error_words(document) == told


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=6)
)


@given(st.binary() | documents.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read = read_json(body)
    except UnreadableError:
        return
    assert isinstance(read, dict)
