"""Text of strangers is one harmless line, without what is to be hidden."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.guard.text import clean, printable, shown_name

KEY = "sk-live-0123456789abcdefghij"


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
    ("text", "line"),
    [("plain", "plain"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("bidi \u202e", "bidi \\u202e"), (5, "5")],
)
def test_printable_text_keeps_everything_and_obeys_nothing(text: object, line: str) -> None:
    assert printable(text) == line


@pytest.mark.parametrize("name", ["seed", "first_frame", "promt", "_x", "FirstFrame2"])
def test_a_name_that_can_be_a_fields_is_shown(name: str) -> None:
    assert shown_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["a corgi runs along the beach", "一只柯基在海滩上奔跑", "sk-live-0123456789", "x" * 25, "a\x1b[2J", ""],
    ids=ascii,
)
def test_a_name_that_may_be_a_prompt_or_a_key_is_not(name: str) -> None:
    assert shown_name(name) == f"(a name of {len(name)} characters)"
