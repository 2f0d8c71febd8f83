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
from worker.jobs.actor import Actor
from worker.jobs.job import Job
from worker.jobs.states import JobState, MovePath
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step, submit_report
from worker.store.counters import Counter

log = logging.getLogger(__name__)


def last_begun(job: Job, services: Services) -> Begun | None:
    """The last try of the job's attempt that may have been taken, or that has ended it.

    Of those that the record leaves open. It alone says when a POST was begun wherever the record may be an older
    one. Raises `BucketError`.
    """
    return services.bucket.intents.last_begun(job.id, job.attempt, _first_open(job))


def rule_out(job: Job, services: Services, ended: str) -> Begun | None:
    """Keep every process from sending the job's next try, before anybody is told that the attempt has *ended* unpaid.

    A process whose claim a failover has lost may be on its way to the bucket; what it finds there stops it.
    Returns what `last_begun` does, where that is something: then it may not be told. Raises `BucketError`.
    """
    name, try_no = secrets.token_hex(8), _first_open(job)
    while True:
        if begun := services.bucket.intents.last_begun(job.id, job.attempt, try_no):
            return begun
        while found := services.bucket.intents.withhold(
            job.id, job.attempt, try_no, by=name, at=job.state_at, ended=ended
        ):
            if not found.is_unpaid:
                break
            try_no += 1
        else:
            return None


def recover(job: Job, begun: Begun, services: Services, *, path: MovePath, lease: str | None = None) -> Step | None:
    """Move a job on by what the bucket knows of it and Redis has lost."""
    detail = "the bucket knows of a POST that Redis has lost"
    step = believe(job, begun, services, detail, path=path, lease=lease)
    if step is not None and begun.ended != JobState.CANCELLED:  # a cancel may also have come just now
        services.store.counters.add(Counter.JOBS_ROLLED_BACK)
        services.store.rollbacks.note()
        log.error("job.rolled_back", extra={"job_id": job.id, "request_id": begun.request_id})
    return step


def believe(
    job: Job, begun: Begun, services: Services, detail: str, *, path: MovePath, lease: str | None = None
) -> Step | None:
    """Bind the job's request, end its attempt, or look for the request: as *begun* says. None: the job has moved on."""
    if begun.ended:
        return _end(job, begun.ended, services, lease)
    return bind(job, begun, services) or unconfirm(job, begun, services, detail, path=path, lease=lease)


def _end(job: Job, ended: str, services: Services, lease: str | None) -> Step | None:
    """End the attempt as it was ended, and told, before Redis lost that."""
    if ended != JobState.CANCELLED:
        return submit_report.failed(job, services, ended, "it had ended so before Redis lost that", lease=lease)
    if job.state is JobState.SUBMITTING:
        services.store.jobs.move(
            job.id, JobState.ACCEPTED, attempt=job.attempt, try_no=job.try_no, lease=lease, path="sweep"
        )
    reply = services.store.jobs.move(
        job.id,
        JobState.CANCELLED,
        attempt=job.attempt,
        try_no=job.try_no,
        path="sweep",
        detail="it was cancelled before Redis lost that",
    )
    return Step.DELIVER if reply.applied else None


def bind(job: Job, begun: Begun, services: Services, by: Actor | None = None) -> Step | None:
    """Bind the request whose id the bucket has kept; None: it has kept none, or the job has one.

    Also None where another provider took it: a job that was sent again may have been given to this one.
    """
    if begun.request_id is None or (begun.provider and begun.provider != job.provider):
        return None
    reply = services.store.attempts.bind(
        job.id,
        attempt=job.attempt,
        provider=job.provider,
        request_id=begun.request_id,
        path="sweep" if by is None else "operator",
        detail="by the answer that the bucket has kept",
        by=by,
    )
    if not reply.applied or reply.job is None:
        return None
    log.info("request.bound", extra={"job_id": job.id, "request_id": begun.request_id})
    services.results.started(reply.job)
    return Step.POLL


def unconfirm(
    job: Job, begun: Begun | None, services: Services, detail: str, *, path: MovePath, lease: str | None = None
) -> Step | None:
    """Look for the job's request instead of sending another, by the time at which *begun* was begun."""
    begun_at = begun.at if begun else None
    if begun_at is None:
        # an object that does not say when, or a callback for a POST that nobody recorded:
        # after the last thing on record, and not long before this was noticed
        begun_at = max(job.state_at, services.store.clock.now() - ms(services.timing.show_after_seconds))
    return submit_report.unconfirmed(job, services, detail, path=path, lease=lease, begun_at=begun_at)


def _first_open(job: Job) -> int:
    """The first try of which the record does not say what became of it."""
    return job.try_no + 1 if job.state is JobState.ACCEPTED else max(1, job.try_no)
