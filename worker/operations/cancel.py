"""Cancel: stop a job that no provider has heard of. Everything later costs money and goes on."""

from __future__ import annotations

import logging

from worker.jobs.job import Job
from worker.jobs.states import UNPAID, JobState
from worker.operations.outcome import Outcome, checked_id, found, price
from worker.services import Services
from worker.steps import rollback_guard, submit_report
from worker.store import Reply

log = logging.getLogger(__name__)


def cancel(job_id: str, services: Services) -> Outcome:
    """Cancel the job where that still saves its money, and say honestly where it does not.

    Raises `CallsheetError` where there is no such job.
    """
    reply = run(checked_id(job_id), services)
    job = found(reply.job, job_id)
    if reply.applied:
        return Outcome(job_id, "cancelled", f"{_attempt(job)} is cancelled: no provider heard of it, {_paid(job)}")
    if job.state is JobState.CANCELLED:
        return Outcome(job_id, "cancelled", f"{_attempt(job)} was cancelled before; {_paid(job)}")
    if job.is_final:
        return Outcome(job_id, "final", f"{job_id} has ended already: it is {job.state}", is_done=False)
    return Outcome(job_id, "too_late", f"too late: {_where(job)}", is_done=False)


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


def _attempt(job: Job) -> str:
    return job.id if job.attempt == 1 else f"attempt {job.attempt} of {job.id}"


def _paid(job: Job) -> str:
    """What is known of the cost of earlier attempts."""
    if job.request_ids or not UNPAID.issuperset(job.ended.values()):
        return f"nothing was paid for it; an earlier attempt was handed to {job.provider}, and its cost stands"
    return "nothing was paid"


def _where(job: Job) -> str:
    """Why the job cannot be cancelled, and what becomes of it."""
    provider = job.provider
    if job.state is JobState.ACCEPTED and job.attempt > 1:
        return (
            f"an earlier attempt at {job.id} was handed to {provider}, and its cost stands; "
            f"callsheet pause {provider} holds the next one back"
        )
    if job.state is JobState.GENERATED:
        return f"{provider} has made the video of {job.id}, its cost stands ({price(job)}); it is being archived"
    if job.request_id is not None:
        return (
            f"{provider} has {job.id} as {job.request_id}, its cost stands ({price(job)}); "
            "the job goes on and its video will be archived"
        )
    return (
        f"{job.id} is {job.state}: {provider} may have it, and then its cost stands ({price(job)}); "
        "the job goes on until that is known"
    )
