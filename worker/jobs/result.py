"""The result of a job, for its caller.

It is made from the record alone, and holds no prompt, link or secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Job, JobError
from worker.jobs.money import costs_of
from worker.jobs.states import JobState

EXPIRED = JobError("generate", ErrorCode.EXPIRED, "the provider did not finish in time; it is still asked now and then")


@dataclass(frozen=True)
class ToldResult:
    """The result that a job's caller can read: whether it is final, and of which record it was made."""

    is_final: bool
    state_at: int  # Unix ms
    ver: int

    def is_later_than(self, job: Job) -> bool:
        """Whether it tells of moves that *job*'s record does not know."""
        return (self.state_at, self.ver) > (job.state_at, job.ver)


def error_of(job: Job) -> JobError | None:
    """Why the job has no video; an expired job's reason is always the same."""
    return EXPIRED if job.state is JobState.EXPIRED else job.error


def result_of(job: Job, spec_json: str | None) -> dict[str, Any]:
    """Build the result (design section 5) from the record and the spec's JSON.

    `cost` is the quote, the billing that the provider told (`usage`), and once a POST was begun the sum of all attempts
    by standing (`total`) and each of them (`attempts`). `ignored` (links beside the videos that led to no film),
    `differs` (from what was asked) and `error` are there only where there is something to tell.
    """
    spec = json.loads(spec_json or "{}")
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
        **({"ignored": [asdict(link) for link in job.ignored]} if job.ignored else {}),
        **({"differs": [asdict(difference) for difference in job.differs]} if job.differs else {}),
        "cost": {**job.cost, **({"usage": dict(job.usage)} if job.usage else {}), **costs_of(job.money)},
        "metadata": spec.get("metadata", {}),
        **({"error": error_document(error)} if error else {}),
    }


def error_document(error: JobError) -> dict[str, str]:
    """*error* as it is told; `provider_code` only where the provider gave one."""
    return {name: str(value) for name, value in asdict(error).items() if value or name != "provider_code"}
