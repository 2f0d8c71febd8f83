"""The input and the answers of each call; its scope is that of the code. Keyed by method and rule, as Flask has them.

A call that is not here, or is here and not served, fails `tests/integration/console/test_openapi.py`.
"""

from __future__ import annotations

from typing import Any

from worker.console.openapi.parts import (
    NOT_FOUND,
    REFUSED,
    act,
    body,
    call,
    header,
    json_answer,
    location,
    query,
)
from worker.console.openapi.schemas import LIMITS, ROW
from worker.console.openapi.words import (
    ANYTHING,
    DATA,
    FLAG,
    INSTANT,
    TEXT,
    WHOLE,
    listing,
    one_of,
    optional,
    record,
    ref,
)
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations import costs

KEY = header("Idempotency-Key", "the job's id; the same again is the same job")
ETAG = {"ETag": {"schema": TEXT, "description": "the version, in quotes"}}
RETRY_AFTER = {"Retry-After": {"schema": WHOLE, "description": "seconds until the next change is likely"}}
ORDER = {"allOf": [ref("Spec")], "description": "a spec, and the job_id where the header does not give it"}
LIST_FILTERS = [
    query("state", TEXT, f"of {', '.join(JobState)}, comma-separated"),
    *(query(name, TEXT) for name in ("provider", "model", "tenant", "batch", "error_code")),
    *(query(name, one_of(("true", "false"))) for name in ("open", "differs", "stuck", "dead_notification")),
    query("since", INSTANT, "accepted at or after"),
    query("until", INSTANT, "accepted at or before"),
    query("waits_for", one_of(WaitCode)),
    query("cursor", TEXT, "`next` of the page before"),
    query("limit", {"type": "integer", "minimum": 1, "maximum": 500}),
]
PROVIDER_STATE = record(
    {
        "provider": TEXT,
        "paused": FLAG,
        "since": optional(INSTANT),
        "waiting": WHOLE,
        "was_paused": FLAG,
    }
)
PAUSE = record({"since": INSTANT, "by": optional(TEXT), "reason": optional(TEXT)})
FINDING = record({"mark": one_of(("ok", "warn", "fail")), "what": TEXT, "seen": TEXT, "advice": optional(TEXT)})
BULK_ANSWERS = {"200": json_answer(ref("BulkWithResults"), "The bulk act as it stands")}

CALLS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/jobs"): call(
        "Order a job",
        {"202": json_answer(ref("Job"), "It cannot be lost any more", location() | ETAG | RETRY_AFTER)},
        REFUSED("422"),
        parameters=[KEY],
        request=body(ORDER),
    ),
    ("GET", "/v1/jobs"): call(
        "List jobs, the newest first; metadata.<key>=<value> filters by the caller's own data",
        {
            "200": json_answer(
                record({"jobs": listing(ref("JobRow")), "next": optional(TEXT), "searched_to": optional(INSTANT)}),
                "A page; the filters were looked for back to searched_to",
            )
        },
        parameters=LIST_FILTERS,
    ),
    ("GET", "/v1/jobs/<job_id>"): call(
        "All that is known of a job; with If-None-Match and wait, as soon as it has changed",
        {
            "200": json_answer(ref("Job"), "The job", ETAG | RETRY_AFTER),
            "304": {"description": "It has that version still", "headers": ETAG | RETRY_AFTER},
        },
        NOT_FOUND,
        parameters=[
            query("wait", {"type": "integer", "minimum": 1, "maximum": 60}, "seconds"),
            header("If-None-Match", "the ETag that is known"),
        ],
    ),
    ("GET", "/v1/jobs/<job_id>/timeline"): call(
        "What happened to a job",
        {"200": json_answer(record({"timeline": listing(ref("TimelineLine"))}), "In the order of time")},
        NOT_FOUND,
    ),
    ("GET", "/v1/jobs/<job_id>/notifications"): call(
        "The tries at a job's notifications",
        {
            "200": json_answer(
                record({"notification": ROW["notification"], "deliveries": listing(ref("Try"))}), "The latest 20"
            )
        },
        NOT_FOUND,
    ),
    ("GET", "/v1/jobs/<job_id>/arrivals"): call(
        "The callbacks that are kept of a job",
        {
            "200": json_answer(
                record(
                    {
                        "arrivals": listing(
                            record({"n": WHOLE, "at": INSTANT, "attempt": WHOLE, "request_id": TEXT, "says": ANYTHING})
                        )
                    }
                ),
                "In the order in which they came",
            )
        },
        NOT_FOUND,
    ),
    ("GET", "/v1/jobs/<job_id>/videos/<int:n>"): call(
        "Fetch a video, counted from 1",
        {"302": {"description": "To a link of 10 minutes", "headers": location()}},
        NOT_FOUND,
        parameters=[query("download", one_of("01"), "1: saved under the job's name")],
    ),
    ("POST", "/v1/jobs/<job_id>/cancel"): act("Cancel a job that no provider has heard of"),
    ("POST", "/v1/jobs/<job_id>/retry"): act(
        "Let a job that has ended go on, for free where there is a way",
        pay_again={**FLAG, "description": "a new attempt where one may be paid for; needs the scope pay"},
    ),
    ("POST", "/v1/jobs/<job_id>/replay"): act(
        "Have a kept callback looked at again",
        event={"type": "integer", "minimum": 1, "description": "which; the latest that tells an end"},
    ),
    ("POST", "/v1/jobs/<job_id>/renotify"): act("Send a job's notification once more"),
    ("POST", "/v1/jobs/<job_id>/ask"): act("Have the provider asked now"),
    ("POST", "/v1/batches"): call(
        "Order up to 500 jobs, each for itself",
        {
            "202": json_answer(
                record({"batch": TEXT, "jobs": listing(ref("Ordered"))}), "Each one's id, or problem", location()
            )
        },
        parameters=[header("Idempotency-Key", "the batch's id: with it the same again orders nothing twice")],
        request=body(record({"jobs": listing(ORDER, minItems=1, maxItems=500)})),
    ),
    ("GET", "/v1/batches/<batch_id>"): call(
        "The jobs of a batch by state", {"200": json_answer(ref("Batch"), "The counts")}, NOT_FOUND
    ),
    ("POST", "/v1/quotes"): call(
        "Who would take a spec, at what cost, and until when; nothing is recorded",
        {"200": json_answer(ref("Quote"), "Without problems it would be taken now")},
        request=body(ref("Spec")),
    ),
    ("POST", "/v1/bulk"): call(
        "Preview or begin an act on many jobs",
        {
            "200": json_answer(ref("BulkPreview"), "The preview"),
            "202": json_answer(ref("BulkWithResults"), "It is done by the clock from here on", location()),
        },
        request=body(ref("BulkOrder")),
    ),
    ("GET", "/v1/bulk"): call(
        "All bulk acts of the last 7 days",
        {"200": json_answer(record({"bulks": listing(ref("Bulk"))}), "The newest first")},
    ),
    ("GET", "/v1/bulk/<bulk_id>"): call(
        "A bulk act's progress and outcomes",
        BULK_ANSWERS,
        NOT_FOUND,
        parameters=[
            query("cursor", {"type": "integer", "minimum": 0, "maximum": 10_000}),
            query("limit", {"type": "integer", "minimum": 1, "maximum": 500}),
        ],
    ),
    ("DELETE", "/v1/bulk/<bulk_id>"): call("Stop a bulk act: jobs under way are finished", BULK_ANSWERS, NOT_FOUND),
    ("GET", "/v1/providers"): call(
        "The providers: limits, line, breaker, pause",
        {
            "200": json_answer(
                record({"providers": listing(record({"provider": TEXT, "paused": optional(PAUSE), **LIMITS}))}),
                "The configured ones, in order of preference",
            )
        },
    ),
    ("POST", "/v1/providers/<provider>/pause"): call(
        "Submit nothing to a provider",
        {"200": json_answer(PROVIDER_STATE, "It is paused")},
        NOT_FOUND,
        request=body(record({}, {"reason": TEXT}), is_needed=False),
    ),
    ("POST", "/v1/providers/<provider>/resume"): call(
        "Submit to a provider again",
        {"200": json_answer(PROVIDER_STATE, "It is not paused")},
        NOT_FOUND,
        request=body(record({}, {"reason": TEXT}), is_needed=False),
    ),
    ("GET", "/v1/models"): call(
        "The models of the configured providers",
        {"200": json_answer(record({"models": listing(DATA)}), "Fields, limits and prices of each")},
    ),
    ("GET", "/v1/costs"): call(
        "Money by standing: reserved, returned, spent, unknown; total is all but returned",
        {
            "200": {
                "description": "Sums by what is asked for, and today and this month against the caps",
                "content": {
                    "application/json": {
                        "schema": record(
                            {
                                "currency": TEXT,
                                "by": listing(one_of(costs.BY)),
                                "since": TEXT,
                                "until": TEXT,
                                "rows": listing(DATA),
                                "total": DATA,
                                "caps": listing(DATA),
                            }
                        )
                    },
                    "text/csv": {},
                },
            }
        },
        parameters=[
            query("by", TEXT, f"of {', '.join(costs.BY)}, comma-separated"),
            query("since", TEXT, "so many days, today included, such as 30d, or a UTC day such as 2026-11-01"),
            query("until", TEXT, "the last UTC day; without, today"),
            query("format", one_of(("json", "csv"))),
        ],
    ),
    ("GET", "/v1/doctor"): call(
        "The findings on the whole system",
        {
            "200": json_answer(
                record({"verdict": one_of(("ok", "warn", "fail")), "findings": listing(FINDING)}), "Each check"
            )
        },
    ),
    ("GET", "/metrics"): call(
        "The metrics for Prometheus", {"200": {"description": "In its text format", "content": {"text/plain": {}}}}
    ),
    ("GET", "/openapi.json"): call("This document", {"200": json_answer(DATA, "OpenAPI 3.1")}),
    ("GET", "/live"): call(
        "Whether the process serves", {"200": json_answer(record({"status": TEXT}), "It does")}, is_open=True
    ),
    ("GET", "/ready"): call(
        "Whether Redis answers",
        {
            "200": json_answer(record({"status": TEXT, "redis": TEXT}), "It does"),
            "503": json_answer(record({"status": TEXT, "redis": TEXT}), "It does not"),
        },
        is_open=True,
    ),
}
