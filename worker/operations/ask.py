"""Ask: have a job's provider asked about it now, instead of when its next look is due."""

from __future__ import annotations

import logging

from worker.jobs.actor import Actor
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.operations.activity import logged
from worker.operations.outcome import Outcome, checked_id, found
from worker.services import Services

log = logging.getLogger(__name__)

ASKABLE = frozenset({JobState.UNCONFIRMED, JobState.SUBMITTED})


@logged("ask")
def ask(job_id: str, services: Services, by: Actor | None = None, *, preview: bool = False) -> Outcome:
    """Make the job due now where its next look asks the provider; a *preview* says so and does nothing.

    Nothing is paid for that. Raises `CallsheetError` where there is no such job.
    """
    job = found(services.store.jobs.get(checked_id(job_id)), job_id)
    outcome = foreseen(job)
    if preview or not outcome.is_done:
        return outcome if preview else Outcome(job_id, outcome.code, outcome.words, is_done=False)
    reply = services.store.due.look_now(job_id, detail="asked for by an operator", by=by)
    log.info("job.asked_about", extra={"job_id": job_id, "outcome": reply.word})
    if not reply.applied:
        return Outcome(job_id, "nothing_to_ask", f"{job_id} is closed: nothing is asked any more", is_done=False)
    return Outcome(job_id, "asked", f"{job_id} is due now: {job.provider} {_asked(job)}; nothing is paid for that")


def foreseen(job: Job) -> Outcome:
    """The outcome by the record alone; nothing is done."""
    if job.is_open and (job.state in ASKABLE or job.look_until is not None):
        words = f"{job.id} would be due at once: {job.provider} {_asked(job)}; nothing is paid for that"
        return Outcome(job.id, "asked", words, is_preview=True)
    if not job.is_open:
        more = f"; callsheet retry {job.id} says how it can go on" if job.state is not JobState.ARCHIVED else ""
        why = f"it is {job.state}, and nothing is asked about it any more{more}"
    elif job.state is JobState.GENERATED:
        why = f"{job.provider} has made its video, which is being archived"
    elif job.is_final:
        why = f"it is {job.state}, and is only yet to be told"
    else:
        why = f"no provider is known to have it: it is {job.state}"
    return Outcome(job.id, "nothing_to_ask", f"there is nothing to ask about {job.id}: {why}", False, is_preview=True)


def _asked(job: Job) -> str:
    if job.state is JobState.UNCONFIRMED:
        return "is searched for its request"
    return f"is asked about {job.request_id}" if job.request_id else "is asked about its requests"
