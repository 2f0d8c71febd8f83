"""Answers of strangers are bounded, checked and made harmless before they are kept."""

from __future__ import annotations

import math
from typing import Any

import pytest

from worker.providers import answers
from worker.providers.answers import error_words

KEY = "sk-live-0123456789abcdefghij"


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
