"""Retell: look once, after Redis may have been set back, at what the callers of ended jobs were told.

A record that Redis has set back to its end, a retry of it lost, is closed or rests: nothing would look at it again, and
its caller, who was told that the job goes on, would wait for ever. A result that is later than its record tells of
moves that were lost. What the bucket knows of them is brought back; where it knows of none, nothing was paid, and the
caller is told the record's truth.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from worker.errors import BucketError, ResultError
from worker.jobs.job import Job
from worker.jobs.result import ToldResult
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, adopt, rollback_guard
from worker.store.counters import Counter

log = logging.getLogger(__name__)

LOST = "told before Redis lost what came after this end"


def run(services: Services) -> Step | None:
    """Look at the results of one page of jobs; returns this step while there is another page.

    A page of which the results or the bucket cannot be read now is given out again by the sweep.
    """
    store = services.store
    page = store.rollbacks.page()
    if page is None:
        return None
    try:
        told = services.results.told(page.job_ids)
        for job in store.records.read(page.job_ids):
            result = told.get(job.id)
            if result is not None and result.is_later_than(job):
                _mend(job, result, services)
    except (ResultError, BucketError) as err:
        log.warning("retell.postponed", extra={"reason": str(err)})
        return None
    return Step.RETELL if store.rollbacks.turn(page) and page.next_mark else None


def _mend(job: Job, told: ToldResult, services: Services) -> None:
    """Bring back what the bucket knows of a job's lost moves, else tell its caller how it ended; `BucketError`."""
    if adopt.look(job, job.begun_at or job.accepted_at, services) is not None or told.is_final:
        return  # a final word is no reason to wait; of a video it holds as long as the bucket does
    if _brought_back(job, services):
        return
    reply = services.store.rollbacks.retell(job, at=told.state_at, detail=LOST)
    if reply.applied:
        services.store.counters.add(Counter.RESULTS_RETOLD)
        log.error("job.retold", extra={"job_id": job.id, "state": job.held})


def _brought_back(job: Job, services: Services) -> bool:
    """Whether the retry that Redis has lost was sent, by the bucket's word: then it goes on, paid as it is.

    Where it was not, nobody can send it any more.
    """
    attempt = job.attempt + 1
    retried = replace(job, attempt=attempt, state=JobState.ACCEPTED, try_no=0, error=None)
    begun = rollback_guard.rule_out(retried, services, "")
    if begun is None or begun.is_unpaid:
        return False
    detail = f"attempt {attempt}, which Redis had lost"
    reply = services.store.attempts.try_again(job.id, attempt=job.attempt, pay_again=True, detail=detail)
    if reply.applied and reply.job is not None:
        rollback_guard.recover(reply.job, begun, services, path="sweep")
    return reply.applied
