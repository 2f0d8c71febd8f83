"""APIMart: calls back, unsigned, at `<our URL>/callback`; the answer's body has a status code of its own beside HTTP's.

https://docs.apimart.ai/en/api-reference/videos/kling-3.0-turbo/generation
https://docs.apimart.ai/en/api-reference/tasks/status
https://docs.apimart.ai/en/api-reference/tasks/webhook
"""

from __future__ import annotations

import re

from worker.jobs.error_codes import ErrorCode
from worker.providers.adapter import Adapter
from worker.providers.base import CallbackTrust, EventKind
from worker.providers.diagnosis import Rule
from worker.providers.places import Ids

# https://docs.apimart.ai/en/api-reference/tasks/status; "submitted" stands in the answer to a submit
KINDS = {
    "pending": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "completed": EventKind.GENERATED,
    "failed": EventKind.FAILED,
    "cancelled": EventKind.FAILED,
    "submitted": EventKind.PENDING,
}

REFUSALS = (
    Rule(
        500,
        re.compile(r"build_request_failed"),
        ErrorCode.INVALID_INPUT,
        "an audit of docs.apimart.ai of 2026-09-19: some bad parameters come back as 500 with this prefix",
    ),
)


class ApiMart(Adapter):
    """APIMart's task API."""

    name = "apimart"
    trust = CallbackTrust.HINT
    kinds = KINDS
    repeats_refused_callbacks = False  # its page: 5xx or a time-out is retried, "4xx is not"
    callback_field = "webhook"
    callback_ports = frozenset({80, 443})  # the same page: other addresses are dropped without a word
    reference_header = "Idempotency-Key"  # its own client sends it with every submit; harmless where it means nothing
    code_field = "code"  # another client of this API has met 200 answers whose body denies them
    estimate_field = ("estimated_time",)
    usage_fields = ("cost", "credits_cost")  # USD, and ten times that: an audit of docs.apimart.ai of 2026-09-19
    usd_field = "cost"  # of a finished task; the same audit
    ids = Ids(("id", "task_id"), re.compile(r"task_[A-Za-z0-9_-]{4,}"))
    envelopes = ("data", "")  # an array of one after a submit, an object later; a callback's body is bare
    link_places = ("result.videos",)  # `url` is an array on the newer page and a plain string on the older
    link_ends = "result.videos.expires_at"
    refusals = REFUSALS
    schema_path = "/v1/model-schema?model={model}&operation=video_generation"
    submit_path = "/v1/videos/generations"
    request_path = "/v1/tasks"
    account_path = "/v1/balance"
    balance_fields = ("remain_balance", "remain_credits")
    unlimited_fields = ("unlimited_quota",)
