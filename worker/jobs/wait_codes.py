"""The closed list of what a job can wait for; runbook, alert rules and lists go by the same codes."""

from __future__ import annotations

from enum import StrEnum


class WaitCode(StrEnum):
    """The closed list of waits. Each has a heading in `deploy/runbook.md`."""

    # before the POST
    WORKER = "worker"
    SCHEDULED = "scheduled"
    PROVIDER_TURN = "provider_turn"
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"
    BREAKER = "breaker"
    PAUSED = "paused"
    CONFIGURATION = "configuration"
    PROVIDER = "provider"
    BUCKET = "bucket"
    POST_ANSWER = "post_answer"
    # at the provider
    RECONCILE = "reconcile"
    CALLBACK_OR_POLL = "callback_or_poll"
    GENERATION = "generation"
    # the copy, and the outputs of a job that has ended
    ARCHIVE = "archive"
    RESULT = "result"
    MANIFEST = "manifest"
    NOTIFICATION = "notification"
    LATE_VIDEO = "late_video"
    NOTHING = "nothing"


MEANINGS: dict[WaitCode, str] = {
    WaitCode.WORKER: "a worker to begin with it",
    WaitCode.SCHEDULED: "the instant `not_before` of its spec",
    WaitCode.PROVIDER_TURN: "its turn: its provider has as many jobs as it may, or others wait longer",
    WaitCode.RATE_LIMIT: "the rate limit: ours is used up, or the provider asked for a pause",
    WaitCode.BUDGET: "money: it would pass a cap",
    WaitCode.BREAKER: "its provider to answer well again: its circuit breaker is open",
    WaitCode.PAUSED: "an operator to resume its provider",
    WaitCode.CONFIGURATION: "a setting: its provider's key, or a price that the budget needs",
    WaitCode.PROVIDER: "its provider, whose last answer was no answer, to be asked again",
    WaitCode.BUCKET: "S3 to answer",
    WaitCode.POST_ANSWER: "the answer to its POST",
    WaitCode.RECONCILE: "word whether its provider took the POST; it is never sent again by itself",
    WaitCode.CALLBACK_OR_POLL: "the end of the generation, by a callback or else by a poll",
    WaitCode.GENERATION: "the end of the generation, by a poll: no callback is to come",
    WaitCode.ARCHIVE: "its copy to the bucket",
    WaitCode.RESULT: "its result to be written to the result backend",
    WaitCode.MANIFEST: "its manifest to be written to the bucket",
    WaitCode.NOTIFICATION: "its notification to be taken",
    WaitCode.LATE_VIDEO: "a video that may still come: bucket and provider are looked at, slowly",
    WaitCode.NOTHING: "nothing: it is closed",
}
"""Each code in a sentence."""

OF_REFUSAL: dict[str, WaitCode] = {
    "asked_to_wait": WaitCode.RATE_LIMIT,
    "rate": WaitCode.RATE_LIMIT,
    "breaker": WaitCode.BREAKER,
    "paused": WaitCode.PAUSED,
    "concurrency": WaitCode.PROVIDER_TURN,
    "turn": WaitCode.PROVIDER_TURN,
    "budget": WaitCode.BUDGET,
    "price": WaitCode.BUDGET,
}
"""Why a request may not begin (`rate_limits.REASONS`) -> what its job then waits for."""


class Settler(StrEnum):
    """The events that can end a wait."""

    WORKER = "worker"
    TIME = "time"
    PROVIDER = "provider"
    OPERATOR = "operator"
    BUCKET = "bucket"
    CANDIDATE = "candidate"  # a request id that callbacks told, proving to be the job's own
    CALLBACK = "callback"
    POLL = "poll"
    LIST = "list"  # the provider's list of requests
    DEADLINE = "deadline"
    RESULT_BACKEND = "result_backend"
    RECEIVER = "receiver"  # of a notification
