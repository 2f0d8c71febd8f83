"""Cancel: stop a job that no provider has heard of. Everything later costs money and goes on."""

from __future__ import annotations

import logging

from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import rollback_guard, submit_report
from worker.store import Reply

log = logging.getLogger(__name__)


def run(job_id: str, services: Services) -> Reply:
    """Cancel the job if it is still `accepted`, in its first attempt, and no callback tells of a POST.

    Else the reply says `late` (or `repeat`: it was cancelled before), and its record how the job stands.
    """
    job = services.store.get(job_id)
    if job is not None and job.state is JobState.ACCEPTED and (begun := rollback_guard.begun_already(job, services)):
        # Redis is an older self and has lost a POST: nobody may say that nothing was paid
        services.store.count("jobs_rolled_back")
        detail = "the bucket knows of a POST that Redis has lost"
        submit_report.unconfirmed(job, services, detail, path="operator", begun_at=begun.at)
    reply = services.store.move(
        job_id, JobState.CANCELLED, attempt=1, path="operator", detail="cancelled by the caller"
    )
    log.info("job.cancel_asked", extra={"job_id": job_id, "outcome": reply.word})
    return reply
