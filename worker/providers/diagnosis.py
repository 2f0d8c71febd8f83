"""From a provider's words to our closed list of codes: what kind of refusal or failure it is.

The words decide, whatever the status: money in a 429 (Kling 1102), a prompt in a 403. Sources of the codes:
https://docs.evolink.ai/cn/api-manual/task-management/error-codes.md (EvoLink), docs.apimart.ai and the vendor's
`apimart-skills` (APIMart), the Kling error codes at kling.ai/document-api (10xx to 13xx, passed on by relays),
new-api's `insufficient_user_quota` (on which many relays run). A vendor's module adds its own `Rule`s, with sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from worker.jobs.error_codes import ErrorCode
from worker.providers import statuses
from worker.providers.reasons import Reason

C = ErrorCode

LOCKS_OUT = frozenset({C.NO_CREDIT, C.BAD_KEY})
"""The answers that a provider gives to every request: the circuit breaker opens at once."""


@dataclass(frozen=True)
class Rule:
    """An answer of one vendor that is surely a refusal though its status does not say so; *source* tells whence."""

    status: int
    text: re.Pattern[str]
    code: ErrorCode
    source: str


_CODES: dict[ErrorCode, str] = {
    C.NO_CREDIT: """insufficient_quota insufficient_balance insufficient_credit insufficient_credits insufficient_funds
        insufficient_user_quota pre_consume_token_quota_failed payment_required balance_not_enough credit_not_enough
        quota_not_enough no_credit no_credits out_of_credits account_overdue accountoverdueerror arrears billing_error
        billing_hard_limit_reached 1100 1101 1102""",
    C.BAD_KEY: """unauthorized unauthenticated invalid_api_key invalid_key invalid_token authentication_error
        authenticationerror auth_error api_key_required missing_api_key account_deactivated 1000 1001 1002 1003 1004
        1304""",
    C.NO_ACCESS: """model_access_denied model_not_found model_unavailable model_not_available model_not_supported
        unknown_model no_available_channel 1103 1203""",
    C.MODERATION: """content_policy_violation content_policy content_filter content_filtered content_moderation
        moderation moderation_blocked moderation_failed policy_violation safety safety_violation nsfw sensitive_content
        sensitive_words sensitive_words_detected prompt_blocked prohibited_content risk_control data_inspection_failed
        inputtextsensitivecontentdetected inputimagesensitivecontentdetected image_unsafe 1301""",
    C.INVALID_INPUT: """invalid_parameter invalid_parameters invalid_param parameter_error param_error validation_error
        image_processing_error image_dimension_mismatch image_download_failed unsupported_parameter missing_parameter
        build_request_failed request_too_large value_error idempotency_key_reused 1200 1201 1300""",
    C.RATE_LIMITED: """rate_limit rate_limited rate_limit_error rate_limit_exceeded too_many_requests throttled
        throttling concurrent_requests_limit concurrency_limit 1302 1303""",
    C.UNAVAILABLE: """service_unavailable service_error resource_exhausted overloaded overloaded_error upstream_error
        quota_exceeded 5001""",
    C.TIMED_OUT: "generation_timeout task_timeout 5002",
    C.CANCELLED_THERE: "request_cancelled request_canceled task_cancelled task_canceled user_cancelled",
}
_BY_CODE = {word: code for code, words in _CODES.items() for word in words.split()}

_TEXTS: dict[ErrorCode, tuple[str, ...]] = {
    C.NO_CREDIT: (
        r"insufficient (account |user |remaining )?(balance|credit|fund|quota|point)",
        r"(balance|credits?|funds|quota) (is |are |was |has |have )?(been )?(not enough|insufficient|too low)",
        r"(balance|credits?|funds) (is |are |was |has |have )?(been )?(exhausted|used up|depleted)",
        r"(not enough|no|out of|lacks?) (balance|credits?|funds|money)\b",
        r"\btop[ -]?up|recharge your|payment required|in arrears|account .{0,20}overdue|check your plan and billing",
        r"resource pack .{0,20}exhausted|余额不足|额度不足|欠费|请充值",
    ),
    C.MODERATION: (
        r"content[ _-]?(policy|filter|moderation)|moderat(ed|ion)|nsfw|risk control|违规|敏感|审核",
        r"safety (system|filter|check|polic|guideline)|blocked by .{0,30}(policy|filter)",
        r"violat\w* .{0,60}(polic|guideline|terms|rules|standard)",
        r"(sensitive|prohibited|inappropriate|unsafe|harmful|explicit) (content|information|word|prompt|image)",
        r"(prompt|image|content|request|input) (was |is |has been |got )?(flagged|blocked)",
    ),
    C.RATE_LIMITED: (
        r"rate.?limit|too many (requests|tasks|jobs)|throttl|slow down|parallel task over|concurren\w+ .{0,30}limit",
    ),
    C.NO_ACCESS: (
        r"(do(es)? not|don't) have (access|permission) .{0,20}model|no (access|permission) (to|for) .{0,20}model",
        r"model .{0,60}(not found|not exist|not available|unavailable|unknown|disabled|retired)",
        r"(unknown|no such) model|no available channel",
    ),
    C.BAD_KEY: (
        r"(invalid|incorrect|wrong|expired|missing|unknown|revoked|bad) (api[ _-]?)?(key|token|credential)",
        r"(api[ _-]?)?(key|token) .{0,30}(invalid|expired|required|revoked|disabled|not valid)",
        r"unauthori[sz]ed|authenticat|not logged in|ip .{0,20}(white|allow).?list",
    ),
    C.CANCELLED_THERE: (r"cancell?ed by|(task|request|job) (was |has been |is )?cancell?ed",),
    C.TIMED_OUT: (r"tim(ed|e)[ -]?out|deadline exceeded",),
    C.INVALID_INPUT: (
        r"\binvalid\b|unsupported|not supported|must (be|not|have)|is required|missing|out of range|at (most|least)",
        r"too (long|large|small|short|big|many)|not a valid|not accepted|unreachable|bad request|malformed",
        r"(cannot|can't|could not|unable to|failed to) (be )?(download|fetch|read|open|load|decode|access|process)",
        r"dimension|aspect ratio",
    ),
}
_BY_TEXT = tuple((code, re.compile("|".join(texts), re.I)) for code, texts in _TEXTS.items())

_BY_STATUS = {
    400: C.INVALID_INPUT,
    401: C.BAD_KEY,
    402: C.NO_CREDIT,
    403: C.BAD_KEY,
    404: C.NO_ACCESS,
    413: C.INVALID_INPUT,
    415: C.INVALID_INPUT,
    422: C.INVALID_INPUT,
    429: C.RATE_LIMITED,
}
_FIRM = frozenset({401, 402, 429})
"""Statuses that say more than a text does in which nothing of money or content stands."""


IN_DOUBT = re.compile(
    r"tim(ed|e)[ -]?out|internal|upstream|gateway|unavailable|overload|server error|try again|retry|unknown error"
    r"|unexpected|connection|exception|panic",
    re.I,
)
"""Words of an error after which a generation may run all the same."""


def in_words(reason: Reason) -> ErrorCode | None:
    """The kind that codes and text tell by themselves; None where they are none that we know."""
    return _by_code(reason.codes) or next((code for code, text in _BY_TEXT if text.search(reason.message)), None)


def of_answer(status: int, reason: Reason) -> ErrorCode:
    """The kind of an HTTP answer that says no, with the *status* that counts."""
    by_code = None if status == 402 and "quota_exceeded" in reason.codes else _by_code(reason.codes)
    if by_code:
        return by_code
    texts = _BY_TEXT[:2] if status in _FIRM else _BY_TEXT
    told = next((code for code, text in texts if text.search(reason.message)), None)
    if told and not (told in (C.TIMED_OUT, C.CANCELLED_THERE) and status < 500):
        return told
    return _BY_STATUS.get(status, C.UNAVAILABLE if status >= 500 else C.REFUSED)


def of_failure(word: str, reason: Reason) -> ErrorCode:
    """The kind of a generation that has failed under the status *word*."""
    plain = statuses.plain(word)
    if plain in statuses.CANCELLED:
        return C.CANCELLED_THERE
    told = in_words(reason)
    if told:
        return told
    if plain in statuses.TIMED_OUT:
        return C.TIMED_OUT
    return C.MODERATION if plain in statuses.MODERATED else C.GENERATION_FAILED


def by_rule(status: int, reason: Reason, rules: Iterable[Rule]) -> ErrorCode | None:
    """Apply a vendor's own rules to an answer; words of money or content say more than a rule."""
    for rule in rules:
        if rule.status == status and rule.text.search(" ".join((*reason.codes, reason.message))):
            told = in_words(reason)
            return told if told in (C.NO_CREDIT, C.MODERATION, C.RATE_LIMITED) else rule.code
    return None


def _by_code(codes: Iterable[str]) -> ErrorCode | None:
    return next((_BY_CODE[word] for word in map(str.lower, codes) if word in _BY_CODE), None)


def leaves_no_doubt(status: int, kind: ErrorCode, reason: Reason) -> bool:
    """Whether an answer that is neither 4xx nor a record says for sure that no generation was begun.

    Of an error within a 2xx that is any but one of trouble on the way; of a 5xx only words of money and of content.
    """
    if kind is C.NO_CREDIT:
        return True
    if IN_DOUBT.search(reason.message) or any(IN_DOUBT.search(code) for code in reason.codes):
        return False
    return kind is C.MODERATION or 200 <= status < 300
