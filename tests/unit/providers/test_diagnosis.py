"""The words of a refusal decide what it is, whatever its status: for the job, for the money and for the breaker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.errors import NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.providers import ADAPTERS
from worker.providers.http import Answer, Api, trust
from worker.steps.provider_turns import is_locked_out

KEY = "sk-live-0123456789abcdefghij"
TLS = trust(None)
ANY = tuple(ADAPTERS)


def refusal(name: str, status: int, body: Any, retry_after: float | None = None) -> ProviderError:
    """The error for a submit that was answered so."""
    adapter = ADAPTERS[name](Api(name, "https://example.com", KEY, TLS))
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = Answer(status, content, retry_after)
    document = None if isinstance(body, bytes) else body
    return adapter._submit_error(answer, document, [KEY])


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": {"message": "no"}}),
        (429, {"code": 1102, "message": "balance not enough"}),
        (429, {"error": {"code": "insufficient_quota", "message": "check your plan and billing details"}}),
        (403, {"error": {"code": "insufficient_user_quota", "message": "余额不足"}}),
        (400, {"error": "Insufficient credits. Please add more credits to your account."}),
        (500, {"error": {"message": "insufficient balance, please top up"}}),
        (200, {"success": False, "message": "your account balance is insufficient"}),
    ],
    ids=str,
)
def test_words_of_money_lock_everybody_out_whatever_the_status(name: str, status: int, body: Any) -> None:
    error = refusal(name, status, body)

    assert (type(error), error.code, is_locked_out(error)) == (RefusedError, "no_credit", True)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, {"error": {"code": "content_policy_violation", "message": "refused"}}, "moderation"),
        (403, {"error": {"message": "Your prompt was flagged by our safety system"}}, "moderation"),
        (400, {"error": {"message": "sensitive words detected"}}, "moderation"),
        (429, {"error": {"code": "nsfw"}}, "moderation"),
        (200, {"error": {"message": "prompt is blocked by our content policy"}}, "moderation"),
        (403, {"error": {"code": "model_access_denied", "type": "invalid_request_error"}}, "no_access"),
        (404, {"error": "model not found or you do not have access"}, "no_access"),
        (403, {"error": {"message": "image_url is unreachable"}}, "invalid_input"),
        (422, {"detail": [{"loc": ["body", "duration"], "msg": "must be an integer"}]}, "invalid_input"),
        (413, b"<html>too large</html>", "invalid_input"),
        (200, {"success": False, "msg": "duration is invalid"}, "invalid_input"),
        (418, {"error": "I am a teapot"}, "refused"),
    ],
    ids=str,
)
def test_a_refusal_of_one_request_concerns_no_other(name: str, status: int, body: Any, code: str) -> None:
    error = refusal(name, status, body)

    assert (type(error), error.code, is_locked_out(error)) == (RefusedError, code, False)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": "no"}),
        (403, {"error": "forbidden"}),
        (403, {"error": {"message": "Invalid API key"}}),
        (400, {"error": {"message": "API key is required"}}),
        (403, b"<html><title>Attention Required</title></html>"),
    ],
    ids=str,
)
def test_a_key_that_is_not_taken_locks_everybody_out(name: str, status: int, body: Any) -> None:
    error = refusal(name, status, body)

    assert (type(error), error.code, is_locked_out(error)) == (RefusedError, "bad_key", True)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, {"error": "slow down"}, "rate_limited"),
        (429, b"", "rate_limited"),
        (400, {"error": {"code": 1303, "message": "parallel task over resource pack limit"}}, "rate_limited"),
        (503, {"error": {"code": "idempotency_unavailable", "message": "wait"}}, "not_executed"),
        (425, {"error": "too early"}, "not_executed"),
    ],
    ids=str,
)
def test_what_was_not_taken_is_asked_again_after_the_time_that_was_told(
    name: str, status: int, body: Any, code: str
) -> None:
    error = refusal(name, status, body, 7.0)

    assert (type(error), error.code, error.retry_after) == (NotTakenError, code, 7.0)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"error": "internal error"}),
        (500, {"error": "invalid response from upstream"}),
        (500, {"error": "content moderation service timed out"}),
        (502, b"<html><title>502 Bad Gateway</title></html>"),
        (503, {"error": "unavailable"}),
        (408, {"error": "request timeout"}),
        (409, {"error": {"code": "idempotency_result_indeterminate", "message": "ask support"}}),
        (409, {"error": {"code": "idempotency_in_progress", "message": "wait"}}),
        (409, {"error": {"type": "idempotency_key_reused", "code": 409, "message": "other body"}}),
        (200, {"error": {"message": "upstream timed out"}}),
        (200, {}),
        (200, b"<html></html>"),
    ],
    ids=str,
)
def test_what_leaves_a_doubt_is_never_called_refused(name: str, status: int, body: Any) -> None:
    assert type(refusal(name, status, body)) is UnconfirmedError


@pytest.mark.parametrize(
    ("name", "body", "raised", "code"),
    [
        ("gmicloud", {"error": "Backend error (400): prompt too long"}, RefusedError, "invalid_input"),
        ("gmicloud", {"error": "Backend error (403): Forbidden"}, RefusedError, "invalid_input"),
        ("gmicloud", {"error": "Backend error (403): risk control"}, RefusedError, "moderation"),
        ("gmicloud", {"error": "Backend error (429): busy"}, NotTakenError, "rate_limited"),
        ("gmicloud", {"error": "Backend error (408): slow"}, UnconfirmedError, "http_500"),
        ("gmicloud", {"error": "Backend error (502): bad"}, UnconfirmedError, "http_500"),
        ("apimart", {"error": {"message": "build_request_failed: duration"}}, RefusedError, "invalid_input"),
        ("apimart", {"error": {"code": "build_request_failed", "message": "x"}}, RefusedError, "invalid_input"),
        ("evolink", {"error": {"message": "build_request_failed: duration"}}, UnconfirmedError, "http_500"),
    ],
)
def test_a_500_that_a_vendor_is_known_to_refuse_with_is_a_refusal(
    name: str, body: Any, raised: type[ProviderError], code: str
) -> None:
    error = refusal(name, 500, body)

    assert (type(error), error.code) == (raised, code)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 425, 429, 500, 502, 503])
def test_every_outcome_keeps_the_providers_own_words(status: int) -> None:
    body = {"error": {"code": "their_code", "message": f"their words, with {KEY} and https://x/?sig=1"}}

    error = refusal("evolink", status, body)

    assert error.provider_code == "their_code"
    assert "their words" in error.detail
    assert KEY not in str(error)
    assert "sig=" not in str(error)


def test_the_words_of_a_page_that_is_no_json_are_kept() -> None:
    assert "error code: 1020" in refusal("gmicloud", 502, b"<html><body>error code: 1020</body></html>").detail
