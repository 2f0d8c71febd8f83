"""The schemas of what the API tells. A field that is told and not listed here fails the fuzz."""

from __future__ import annotations

from worker.console.openapi.words import (
    AMOUNT,
    ANYTHING,
    DATA,
    FLAG,
    INSTANT,
    NUMBER,
    TEXT,
    WHOLE,
    Schema,
    counts,
    listing,
    one_of,
    optional,
    record,
    ref,
)
from worker.jobs.error_codes import ErrorCode
from worker.jobs.spec import JobSpec
from worker.jobs.states import STAGES, JobState
from worker.jobs.wait_codes import Settler, WaitCode
from worker.operations.bulk import Act
from worker.operations.outcome import Pays
from worker.store.bulks import BulkState

PROBLEM = record(
    {"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT},
    {"errors": listing(record({"pointer": TEXT, "field": TEXT, "detail": TEXT}))},
    "A problem as RFC 9457 has it; `type` is urn:callsheet:problem:<code>",
)
COST = {
    "type": "object",
    "description": "by the price known when it was accepted; empty: not known",
    "properties": {"amount": AMOUNT, "currency": TEXT, "basis": TEXT},
    "additionalProperties": True,
}
ERROR = record(
    {"stage": one_of(STAGES), "code": TEXT, "message": TEXT},
    {"provider_code": TEXT},
    f"`code` is one of {', '.join(ErrorCode)}; a later version may have more",
)
DIFFERENCE = record({"field": TEXT, "asked": ANYTHING, "made": ANYTHING})
VIDEO = record(
    {
        "uri": TEXT,
        "bytes": WHOLE,
        "sha256": TEXT,
        "seconds": NUMBER,
        "width": WHOLE,
        "height": WHOLE,
        "content_type": TEXT,
    }
)
WAITS_FOR = record(
    {
        "code": one_of(WaitCode),
        "words": TEXT,
        "until": optional(INSTANT),
        "settled_by": listing(one_of(Settler)),
    }
)
ETA = record({"p50_at": INSTANT, "p90_at": INSTANT})
ROW: dict[str, Schema] = {
    "job_id": TEXT,
    "state": one_of(JobState),
    "since": INSTANT,
    "accepted_at": INSTANT,
    "open": FLAG,
    "waits_for": ref("WaitsFor"),
    "eta": optional(ref("Eta")),
    "stuck": optional(TEXT),
    "due_at": optional(INSTANT),
    "progress": WHOLE,
    "attempt": WHOLE,
    "provider": TEXT,
    "model": TEXT,
    "tenant": optional(TEXT),
    "batch": optional(TEXT),
    "request_id": optional(TEXT),
    "error": optional(ref("Error")),
    "failures": WHOLE,
    "last_failure": optional(TEXT),
    "cost": ref("Cost"),
    "differs": listing(ref("Difference")),
    "notification": optional(one_of(("pending", "delivered", "dead"))),
}
LANE = record(
    {
        "calls": WHOLE,
        "failures": WHOLE,
        "waiting": WHOLE,
        "held_back_by": optional(TEXT),
        "until": optional(INSTANT),
        "breaker": optional(TEXT),
    }
)
LIMITS: dict[str, Schema] = {
    "occupied": WHOLE,
    "max_concurrent": optional(WHOLE),
    "requests_per_minute": optional(WHOLE),
    "spent_today": AMOUNT,
    "daily_budget": optional(AMOUNT),
    "submit": ref("Lane"),
    "poll": ref("Lane"),
}
TRY = record(
    {"at": INSTANT, "ver": WHOLE, "path": TEXT, "status": optional(WHOLE), "ms": WHOLE}, {"error": TEXT, "words": TEXT}
)
LINE = record(
    {
        "at": INSTANT,
        "kind": one_of(("move", "act", "callback", "polls", "callbacks")),
        "words": TEXT,
        "path": TEXT,
        "attempt": WHOLE,
        "actor": TEXT,
        "reason": TEXT,
        "source": TEXT,
        "target": TEXT,
        "detail": TEXT,
    }
)
JOB = record(
    {
        **ROW,
        "ver": WHOLE,
        "try": WHOLE,
        "request_ids": {"type": "object", "additionalProperties": TEXT},
        "generated_by": optional(TEXT),
        "link_expires_at": optional(INSTANT),
        "videos": listing(ref("Video")),
        "usage": DATA,
        "polls": WHOLE,
        "contradictions": WHOLE,
        "events": WHOLE,
        "candidates": WHOLE,
        "deliveries": listing(ref("Try")),
        "timeline": listing(ref("TimelineLine")),
    },
    {
        "spec": {**DATA, "description": "for tokens of the scope prompts; links and pictures are described alone"},
        "limits": record(LIMITS),
    },
)
OUTCOME: Schema = {
    "type": "object",
    "description": "Of an act, or of its preview. More facts beside it: state, attempt, price and paid of a retry, "
    "status, ms, answer, error and webhook_id of a renotify",
    "properties": {
        "job_id": TEXT,
        "outcome": TEXT,
        "words": TEXT,
        "done": FLAG,
        "preview": FLAG,
        "pays": one_of(Pays),
        "costs": optional(ref("Cost")),
        **dict.fromkeys(("state", "attempt", "price", "paid", "status", "ms", "answer", "error"), ANYTHING),
        "webhook_id": TEXT,
    },
    "required": ["job_id", "outcome", "words", "done", "preview", "pays", "costs"],
    "additionalProperties": False,
}
FILTER: Schema = {
    "type": "object",
    "description": "the conditions of the list of jobs; at least one",
    "properties": {
        "state": {"anyOf": [listing(one_of(JobState)), TEXT]},
        **dict.fromkeys(("provider", "model", "tenant", "batch", "error_code"), TEXT),
        **dict.fromkeys(("open", "differs", "stuck", "dead_notification"), FLAG),
        "since": INSTANT,
        "until": INSTANT,
        "waits_for": one_of(WaitCode),
        "metadata": {"type": "object", "additionalProperties": TEXT},
    },
    "additionalProperties": False,
}
BULK_ORDER = record(
    {"act": one_of(Act)},
    {
        "filter": ref("Filter"),
        "jobs": listing(TEXT, minItems=1, maxItems=500),
        "preview": FLAG,
        "pay_again": {**FLAG, "description": "retry alone; needs the scope pay"},
        "reason": TEXT,
    },
    "Either filter or jobs",
)
SUM = record({"amount": AMOUNT, "currency": TEXT, "jobs_without_price": WHOLE})
BULK_PREVIEW = record(
    {
        "act": one_of(Act),
        "pay_again": FLAG,
        "preview": FLAG,
        "jobs": WHOLE,
        "done": WHOLE,
        "not_done": WHOLE,
        "pays": counts(),
        "costs": ref("Sum"),
        "costs_again": ref("Sum"),
        "outcomes": counts(),
        "samples": listing(ref("Outcome")),
        "complete": FLAG,
    },
    {"filter": ref("Filter"), "named": listing(TEXT)},
    "`costs`: of all that would be done now; `costs_again`: of the jobs that may be paid again, with leave or without",
)
BULK: dict[str, Schema] = {
    "bulk": TEXT,
    "act": one_of(Act),
    "pay_again": FLAG,
    "by": optional(TEXT),
    "reason": optional(TEXT),
    "state": one_of(BulkState),
    "at": INSTANT,
    "ended_at": optional(INSTANT),
    "jobs": WHOLE,
    "left": WHOLE,
    "done": WHOLE,
    "not_done": WHOLE,
    "interrupted": WHOLE,
    "costs": AMOUNT,
    "outcomes": counts(),
}
BULK_JOBS: dict[str, Schema] = {"filter": ref("Filter"), "named": listing(TEXT)}
BULK_RESULT = record({"job_id": TEXT, "outcome": TEXT, "words": TEXT, "done": FLAG})
QUOTE = record(
    {
        "provider": optional(TEXT),
        "model": optional(TEXT),
        "cost": optional(ref("Cost")),
        "seconds": optional(NUMBER),
        "eta": optional(ref("Eta")),
        "waits_for": optional(one_of(WaitCode)),
        "problems": PROBLEM["properties"]["errors"],
    }
)
BATCH = record(
    {"batch": TEXT, "at": INSTANT, "jobs": WHOLE, "states": counts(), "open": WHOLE, "missing": WHOLE},
)
ORDERED = record({"n": WHOLE, "job_id": optional(TEXT), "accepted": FLAG}, {"problem": ref("Problem")})
RESULT: Schema = {
    "type": "object",
    "description": "as AsyncResult tells it",
    "properties": {
        "job_id": TEXT,
        "ver": WHOLE,
        "state": one_of(JobState),
        "provider": TEXT,
        "model": TEXT,
        "request_id": optional(TEXT),
        "attempt": WHOLE,
        "videos": listing(ref("Video")),
        "ignored": listing(DATA),
        "differs": listing(ref("Difference")),
        "cost": DATA,
        "metadata": DATA,
        "error": ref("Error"),
    },
    "required": ["job_id", "ver", "state", "provider", "model", "request_id", "attempt", "videos", "cost", "metadata"],
    "additionalProperties": False,
}


def components() -> dict[str, Schema]:
    """All schemas by their names; those of a spec are made of `JobSpec`, which reads it."""
    spec = JobSpec.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        **spec.pop("$defs", {}),
        "Spec": spec,
        "Problem": PROBLEM,
        "Cost": COST,
        "Error": ERROR,
        "Difference": DIFFERENCE,
        "Video": VIDEO,
        "WaitsFor": WAITS_FOR,
        "Eta": ETA,
        "JobRow": record(ROW),
        "Job": JOB,
        "Lane": LANE,
        "Try": TRY,
        "TimelineLine": LINE,
        "Outcome": OUTCOME,
        "Filter": FILTER,
        "BulkOrder": BULK_ORDER,
        "BulkPreview": BULK_PREVIEW,
        "Bulk": record(BULK, BULK_JOBS),
        "BulkResult": BULK_RESULT,
        "BulkWithResults": record({**BULK, "results": listing(ref("BulkResult")), "next": optional(TEXT)}, BULK_JOBS),
        "Sum": SUM,
        "Quote": QUOTE,
        "Batch": BATCH,
        "Ordered": ORDERED,
        "Result": RESULT,
    }
