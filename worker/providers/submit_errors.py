"""What an answer to a submit means for money: taken, not taken, refused, or nobody knows (design promise 2)."""

from __future__ import annotations

from worker.errors import NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.providers.http import Answer

MAYBE_BEHIND_A_PROXY = frozenset({408, 499})
"""4xx words that gateways also use when the server behind them was slow: no refusal."""


def submit_error(
    provider: str, answer: Answer, status: int, code: str, message: str, *, is_refusal: bool
) -> ProviderError:
    """The error for a submit that was answered without a request id.

    *status* is the one that counts, *code* and *message* the provider's words made harmless. *is_refusal*: the
    vendor's module knows this answer to be a refusal, whatever its status.
    """
    detail = _detail(status, message)
    if status == 429:
        return NotTakenError(provider, "rate_limited", detail, retry_after=answer.retry_after, status=status)
    if status == 503 and answer.retry_after is not None:
        return NotTakenError(provider, "unavailable", detail, retry_after=answer.retry_after, status=status)
    if is_refusal or (400 <= status < 500 and status not in MAYBE_BEHIND_A_PROXY):
        return RefusedError(provider, code or f"http_{status}", detail, status=status)
    if 200 <= status < 300:
        return UnconfirmedError(provider, "no_request_id", f"{detail}, without a request id that can be read")
    if 300 <= status < 400:
        return UnconfirmedError(provider, "redirected", f"{detail}; redirects are never followed: check the base URL")
    return UnconfirmedError(provider, f"http_{status}", detail)


def fetch_error(provider: str, answer: Answer, status: int, code: str, message: str) -> ProviderError:
    """The error for a GET that taught nothing, for now; arguments as in `submit_error`."""
    word = "rate_limited" if status == 429 else code or f"http_{status}"
    return ProviderError(provider, word, _detail(status, message), retry_after=answer.retry_after, status=status)


def _detail(status: int, message: str) -> str:
    return f"answered {status}: {message}" if message else f"answered {status}"
