"""The body of a notification: the job's result, as `AsyncResult` tells it, with its version."""

from __future__ import annotations

import json

from worker.jobs.durations import iso
from worker.jobs.job import Job
from worker.jobs.result import result_of


def content_of(job: Job, spec_json: str | None) -> str:
    """The JSON that tells how *job* ended (design section 5); the same text for the same version of the record."""
    document = {
        "type": f"job.{job.state}",
        "timestamp": iso(job.state_at),
        "data": {**result_of(job, spec_json), "ver": job.ver},
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
