"""Guard against a Redis that has become an older self: believe the write-ahead log in the bucket.

A failover or a backup sets Redis back; the bucket is never set back. Each try is recorded there between
its intent in Redis and its POST (`worker/bucket/intents.py`): one that is recorded may have been sent,
one that is not recorded was not.

"Cannot tell" is an answer of its own. It comes as `BucketError`, and nothing that is told or decided may rest
on it: a cancel is refused, a deadline waits.
"""

from __future__ import annotations

import logging
import secrets

from worker.bucket.intents import Begun
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step, submit_report

log = logging.getLogger(__name__)


def last_begun(job: Job, services: Services) -> Begun | None:
    """The last try of the job's attempt that may have been taken, of those that its record does not settle.

    It alone says when a POST was begun wherever the record may be an older one. Raises `BucketError`.
    """
    return services.bucket.last_begun(job.id, job.attempt, _first_open(job))


def rule_out(job: Job, services: Services) -> Begun | None:
    """Keep every process from sending the job's next try, before anybody is told that nothing was paid.

    A process whose claim a failover has lost may be on its way to the bucket; what it finds there stops it.
    Returns the last try that may have been taken: then nobody may say so. Raises `BucketError`.
    """
    name, try_no, last = secrets.token_hex(8), _first_open(job), None
    while found := services.bucket.withhold(job.id, job.attempt, try_no, by=name, at=job.state_at):
        last = last if found.is_unpaid else found
        try_no += 1
    return last


def recover(job: Job, begun: Begun, services: Services, *, path: str, lease: str | None = None) -> Step | None:
    """Move a job that was sent, as the bucket knows, by a Redis that has lost that."""
    detail = "the bucket knows of a POST that Redis has lost"
    step = bind(job, begun, services) or unconfirm(job, begun, services, detail, path=path, lease=lease)
    if step is not None:
        services.store.count("jobs_rolled_back")
        log.error("job.rolled_back", extra={"job_id": job.id, "request_id": begun.request_id})
    return step


def bind(job: Job, begun: Begun, services: Services) -> Step | None:
    """Bind the request whose id the bucket has kept; None: it has kept none, or the job has one."""
    if begun.request_id is None:
        return None
    reply = services.store.bind(
        job.id,
        attempt=job.attempt,
        provider=job.provider,
        request_id=begun.request_id,
        path="sweep",
        detail="by the answer that the bucket has kept",
    )
    if not reply.applied or reply.job is None:
        return None
    log.info("request.bound", extra={"job_id": job.id, "request_id": begun.request_id})
    services.results.started(reply.job)
    return Step.POLL


def unconfirm(
    job: Job, begun: Begun | None, services: Services, detail: str, *, path: str, lease: str | None = None
) -> Step | None:
    """Look for the job's request instead of sending another, by the time at which *begun* was begun."""
    begun_at = begun.at if begun else None
    if begun_at is None:
        # an object that does not say when, or a callback for a POST that nobody recorded:
        # after the last thing on record, and not long before this was noticed
        begun_at = max(job.state_at, services.store.now() - ms(services.timing.show_after_seconds))
    return submit_report.unconfirmed(job, services, detail, path=path, lease=lease, begun_at=begun_at)


def _first_open(job: Job) -> int:
    """The first try of which the record does not say what became of it."""
    return job.try_no + 1 if job.state is JobState.ACCEPTED else max(1, job.try_no)
