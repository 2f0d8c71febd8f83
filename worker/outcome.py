"""What is told about a job: the result for its caller and the manifest beside its videos.

Both are made from the record alone, and hold no prompt, link or secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from worker import manifest
from worker.jobs import Job, JobError
from worker.states import JobState
from worker.store import Store

EXPIRED = JobError("generate", "expired", "the provider did not finish in time; it is still asked now and then")


def error_of(job: Job) -> JobError | None:
    """Why the job has no video; an expired job's reason is always the same."""
    return EXPIRED if job.state is JobState.EXPIRED else job.error


def result_of(job: Job, store: Store) -> dict[str, Any]:
    """The result as design section 5 fixes it; `error` only where there is one."""
    spec = json.loads(store.spec_json(job.id) or "{}")
    error = error_of(job)
    made_in = job.videos_attempt or job.attempt
    return {
        "job_id": job.id,
        "state": str(job.state),
        "provider": job.provider,
        "model": job.model,
        "request_id": job.request_ids.get(made_in),
        "attempt": made_in,
        "videos": [asdict(video) for video in job.videos],
        "cost": {**job.cost, **({"usage": dict(job.usage)} if job.usage else {})},
        "metadata": spec.get("metadata", {}),
        **({"error": asdict(error)} if error else {}),
    }


def manifest_of(job: Job, store: Store) -> dict[str, Any]:
    """Everything that rebuilds the record without Redis."""
    return {
        **result_of(job, store),
        "manifest_version": manifest.VERSION,
        "last_attempt": job.attempt,
        "ver": job.ver,
        "spec_sha256": job.spec_sha256,
        "accepted_at": job.accepted_at,
        "archived_at": job.state_at,
        "request_ids": {str(attempt): request_id for attempt, request_id in job.request_ids.items()},
        "generated_by": job.generated_by,
    }
