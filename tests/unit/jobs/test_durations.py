"""Lengths of time as people write and read them."""

from __future__ import annotations

import pytest

from worker.jobs.durations import iso, moment, parse_span, span


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800), (" 2H ", 7200)])
def test_a_span_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 h", "1.5h", "2w", "٣h", "9999999s", "2h30m"])
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 15m, 2h or 7d"):
        parse_span(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (273600, "3 d 4 h"),
    ],
)
def test_a_length_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_instants_are_utc_and_say_so() -> None:
    assert moment(1_795_000_000_000) == "2026-11-18 11:06:40 UTC"
    assert iso(1_795_000_000_123) == "2026-11-18T11:06:40.123Z"
