"""Answers of strangers are bounded, checked and made harmless before they are kept."""

from __future__ import annotations

import math
from typing import Any

import pytest

from worker.providers import answers
from worker.providers.reasons import page_words, reason_in

KEY = "sk-live-0123456789abcdefghij"


@pytest.mark.parametrize(
    "good", ["task-unified-1757169743-7cvnl5zw", "5a7a5466-7948-47d8-8578-cff4b9581feb", "a", "a.b:c=+~", "x" * 128]
)
def test_request_ids_are_taken_as_they_are(good: str) -> None:
    assert answers.request_id(good) == good


@pytest.mark.parametrize(("told", "taken"), [(5, "5"), (1757169743001, "1757169743001"), (" a ", "a"), ("a\n", "a")])
def test_numbers_are_request_ids_and_blanks_around_one_are_nothing(told: object, taken: str) -> None:
    assert answers.request_id(told) == taken


@pytest.mark.parametrize(
    "bad",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a\\b",
        ".",
        "..",
        "...",
        "a\nb",
        "\x00",
        "é",
        "x" * 129,
        0,
        -5,
        10**30,
        None,
        ["a"],
        True,
        "a\u200b",
    ],
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
        (1753427199123456, 1_753_427_199_123),
        (1753427199123456789, 1_753_427_199_123),
        ("1753427199.5", 1_753_427_199_500),
        (5_000_000_000, None),
        (math.inf, None),
        (math.nan, None),
        (True, None),
        ("2025-07-25T07:06:39Z", 1_753_427_199_000),
        ("2025-07-25T09:06:39.123456789+02:00", 1_753_427_199_123),
        ("2025-07-25 07:06:39", 1_753_427_199_000),
        ("2025-07-25 07:06:39 UTC", 1_753_427_199_000),
        ("2025/07/25 07:06:39", 1_753_427_199_000),
        ("Fri, 25 Jul 2025 07:06:39 GMT", 1_753_427_199_000),
        ("1999-07-25T07:06:39Z", None),
        ("yesterday", None),
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
        *("https://a/1", "http://a/2", "https://a/1", "ftp://a", None, 5, "https://a/" + "x" * 9000, "https://"),
        *(" HTTPS://a/3 ", "https://a/\n4", "https://a/\x005"),
    ]

    assert answers.usable_urls(urls) == ("https://a/1", "https://a/3", "https://a/4")
    assert len(answers.usable_urls(f"https://a/{n}" for n in range(1000))) == 16


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
        ({"error": ["x"], "message": {"a": 1}}, ("", "x")),
        ({"fail_reason": "text"}, ("", "text")),
        ({"failMsg": "text", "failCode": "501"}, ("501", "text")),
        ({"reason": "text"}, ("", "text")),
        ({"error_msg": "text"}, ("", "text")),
        ({"data": {"task_status_msg": "text"}, "message": "success"}, ("", "text")),
        (
            {"detail": [{"loc": ["body", "duration"], "msg": "text", "type": "value_error"}]},
            ("value_error", "body.duration: text"),
        ),
        ({"errors": [{"message": "text"}, {"message": "more"}]}, ("", "text (more)")),
        (
            {"error": {"message": "Backend error", "details": '{"error": {"message": "text"}}'}},
            ("", "text (Backend error)"),
        ),
        ({"error": '{"message": "text", "code": "bad_one"}'}, ("bad_one", "text")),
        ({"error": "content_policy_violation"}, ("content_policy_violation", "content_policy_violation")),
        ({"outcome": {"error": {"status": "x", "code": 1301, "message": "text"}}}, ("1301", "text")),
        ({"base_resp": {"status_code": 1004, "status_msg": "text"}}, ("1004", "text")),
        ({"code": 200, "message": "ok", "type": "video"}, ("", "")),
        ({"error": None, "message": "Success."}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_an_error_is_found_in_the_shapes_that_are_known(document: dict[str, Any], told: tuple[str, str]) -> None:
    reason = reason_in(document)

    assert (reason.code, reason.message) == told


def test_an_error_of_any_depth_and_length_is_bounded() -> None:
    deep: dict[str, Any] = {"message": "innermost"}
    for _ in range(100):
        deep = {"error": deep}

    assert reason_in(deep).message == ""
    assert len(reason_in({"errors": [{"message": f"{n} " + "x" * 1000} for n in range(100)]}).message) <= 500


def test_no_reason_repeats_what_is_to_be_hidden() -> None:
    prompt = "a corgi runs along the beach at golden hour"

    told = reason_in({"detail": [{"loc": ["body", prompt], "msg": prompt}], "code": prompt[:30]}, hide=[prompt])

    assert "corgi" not in told.message
    assert told.codes == ()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"upstream connect error", "upstream connect error"),
        (b"<p>no <b>title</b></p><script>alert(1)</script>", "no title"),
        (b"", ""),
        (b"\xff\x00\x1b[2J", "\ufffd"),
    ],
)
def test_a_page_that_is_no_json_is_told_in_its_own_words(page: bytes, words: str) -> None:
    assert page_words(page) == words
