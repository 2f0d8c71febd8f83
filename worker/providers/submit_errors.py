"""The meaning of a submit's answer for money: taken, not taken, refused, or not known (design promise 2)."""

from __future__ import annotations

from worker.errors import NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.jobs.error_codes import ErrorCode
from worker.providers import diagnosis
from worker.providers.http import Answer
from worker.providers.reasons import Reason

MAYBE_BEHIND_A_PROXY = frozenset({408, 499})
"""4xx words that gateways also use when the server behind them was slow: no refusal."""

NOT_EXECUTED = frozenset({"idempotency_unavailable"})
"""The request was not executed and is to be sent again (docs.apimart.ai, grok-imagine-2.0-ext)."""

EARLIER = {
    "idempotency_in_progress": "in_progress",
    "idempotency_key_reused": "key_reused",
    "idempotency_result_indeterminate": "indeterminate",
}
"""The same page: not this request, but an earlier one under its key was or is being executed, or may have been."""

TOO_EARLY = 425


def submit_error(
    provider: str, answer: Answer, status: int, reason: Reason, *, by_rule: ErrorCode | None, is_error: bool
) -> ProviderError:
    """The error for a submit that was answered without a record of a request.

    *status* is the one that counts. *by_rule*: the vendor's module knows this answer to be a refusal, of that kind.
    *is_error*: the body tells an error, whatever its status.
    """
    kind = by_rule or diagnosis.of_answer(status, reason)
    wait, detail = answer.retry_after, in_detail(status, reason)
    is_sure = by_rule is not None or (400 <= status < 500 and status not in MAYBE_BEHIND_A_PROXY)
    is_sure = is_sure or ((is_error or status >= 500) and diagnosis.leaves_no_doubt(status, kind, reason))
    error: type[ProviderError] = UnconfirmedError
    code: str = f"http_{status}"
    if earlier := next((EARLIER[word] for word in reason.codes if word in EARLIER), None):
        code = earlier
    elif NOT_EXECUTED.intersection(reason.codes) or status == TOO_EARLY:
        error, code = NotTakenError, "not_executed"
    elif is_sure:
        error, code = (NotTakenError if kind is ErrorCode.RATE_LIMITED else RefusedError), kind
    elif status == 503 and wait is not None:
        error, code = NotTakenError, ErrorCode.UNAVAILABLE
    elif 200 <= status < 300:
        code = "error_in_answer" if is_error else "no_request_id"
        detail += ", without a request id that can be read"
    elif 300 <= status < 400:
        code = "redirected"
        detail += "; redirects are never followed: check the base URL"
    wait = wait if error is NotTakenError else None
    return error(provider, code, detail, retry_after=wait, status=status, provider_code=reason.code)


def fetch_error(provider: str, answer: Answer, status: int, reason: Reason, *, code: str = "") -> ProviderError:
    """The error for a GET that taught nothing, for now; *code*, where it is given, is ours."""
    kind = diagnosis.of_answer(status, reason)
    known = kind in diagnosis.LOCKS_OUT or (kind is ErrorCode.RATE_LIMITED and status < 500)
    word = code or (kind if known else f"http_{status}")
    detail, wait = in_detail(status, reason), answer.retry_after
    return ProviderError(provider, word, detail, retry_after=wait, status=status, provider_code=reason.code)


def in_detail(status: int, reason: Reason) -> str:
    """The status and the provider's own words, its code among them."""
    code = f" ({reason.code})" if reason.code and reason.code != str(status) else ""
    return f"answered {status}{code}: {reason.message}" if reason.message else f"answered {status}{code}"
