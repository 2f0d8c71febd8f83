"""Report what became of a POST: to the bucket, which no failover sets back, then to the store.

A report needs no lease, for it says what has happened. One that the store never hears is read from the bucket
when the lease has ended; where the bucket did not take it either, the job becomes `unconfirmed`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from worker.bucket.intents import Begun
from worker.errors import BucketError, NotTakenError, ProviderError, RefusedError, StoreError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Job, JobError
from worker.jobs.spec import JobSpec
from worker.jobs.states import JobState, MovePath
from worker.jobs.timing import ms
from worker.jobs.wait_codes import WaitCode
from worker.providers.base import Submission
from worker.services import Services
from worker.steps import Step, provider_turns
from worker.store import Fields, Reply
from worker.store.counters import Counter

log = logging.getLogger(__name__)

Report = Callable[[], Step | None]

WAITING_CHARACTERS = 400
"""Of a provider's own words, as many as a record keeps for a job that waits."""

REPORT_TRIES = 60
"""The number of times a report is offered to a silent store, a second apart: longer than any restart of Redis."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a POST: the report for the store, and the note for the bucket."""

    report: Report
    request_id: str | None = None
    is_unpaid: bool = False  # the provider surely did not take it
    ended: str = ""  # and refuses it for good: the error's code


def tell(outcome: Outcome, job: Job, begun: Begun, services: Services) -> Step | None:
    """Tell the bucket and the store; the bucket again at the end, if it did not take it at once."""
    told = replace(
        begun,
        request_id=outcome.request_id,
        provider=job.provider,
        is_unpaid=outcome.is_unpaid,
        ended=outcome.ended,
    )
    is_kept = _kept(job, told, services)
    if outcome.request_id is not None:
        log.info("request.taken", extra={"job_id": job.id, "request_id": outcome.request_id})
    try:
        return insist(services, outcome.report)
    finally:
        if not is_kept:
            _kept(job, told, services)


def _kept(job: Job, begun: Begun, services: Services) -> bool:
    """Whether the bucket has taken the outcome, or there is none worth keeping."""
    if begun.request_id is None and not begun.is_unpaid:
        return True
    try:
        services.bucket.intents.keep(job.id, job.attempt, job.try_no, begun)
    except BucketError as err:
        log.warning("answer.unkept", extra={"job_id": job.id, "reason": str(err)})
        return False
    return True


def refused(intent: Reply, services: Services, err: ProviderError) -> Outcome:
    """The outcome of a POST that brought no request id."""
    job = cast("Job", intent.job)
    if isinstance(err, NotTakenError) or (intent.is_probe and provider_turns.is_locked_out(err)):
        # a provider that refuses everybody fails no further job
        return Outcome(partial(not_taken, job, services, err), is_unpaid=True)
    if isinstance(err, RefusedError):
        refusal = partial(failed, job, services, err.code, err.detail, provider_code=err.provider_code)
        return Outcome(refusal, is_unpaid=True, ended=err.code)
    return Outcome(partial(unconfirmed, job, services, f"{err.code}: {err.detail}"))


def insist(services: Services, report: Report) -> Step | None:
    """Make *report* until the store has heard it; raises `StoreError` when it stays away for a minute."""
    for _ in range(REPORT_TRIES):
        try:
            return report()
        except StoreError as err:
            log.error("outcome.unreported", extra={"reason": str(err)})
            services.sleep(1.0)
    return report()


def taken(job: Job, services: Services, submission: Submission, spec: JobSpec) -> Step | None:
    """The provider has the request, under this id."""
    first_poll = _first_poll_seconds(job, services, submission, spec)
    reply = services.store.attempts.bind(
        job.id,
        attempt=job.attempt,
        provider=job.provider,
        request_id=submission.request_id,
        path="submit",
        due_in_ms=0 if submission.event.is_terminal else ms(first_poll),
        facts={"usage": json.dumps(submission.event.usage)} if submission.event.usage else {},
    )
    if reply.word == "taken":
        services.store.counters.add(Counter.REQUEST_IDS_TAKEN)
        log.error("request.mixed_up", extra={"job_id": job.id, "request_id": submission.request_id})
        return unconfirmed(job, services, "the provider answered with another job's request id")
    if reply.word == "missing":
        # Redis has lost the record since the POST: only this says that a request was paid for
        services.store.counters.add(Counter.REQUESTS_ORPHANED)
        log.error("request.orphaned", extra={"job_id": job.id, "request_id": submission.request_id})
    known = reply.job.request_ids.get(job.attempt) if reply.job else None
    if known not in (None, submission.request_id):
        # another id was bound before this answer came: one of the two requests is paid for and unused
        services.store.counters.add(Counter.REQUESTS_UNUSED)
        log.error("request.unused", extra={"job_id": job.id, "request_id": submission.request_id})
    if reply.job is not None and reply.applied:
        services.results.started(reply.job)
    return Step.POLL if reply.due_now else None


def _first_poll_seconds(job: Job, services: Services, submission: Submission, spec: JobSpec) -> float:
    """By what the model's last generations took; by an estimate until enough of them are known."""
    provider, timing = services.providers[job.provider], services.timing
    calls_back = services.gets_callbacks(provider)
    try:
        took = services.store.durations.took(job.provider, job.model)
    except (StoreError, ValueError):
        took = []  # nothing that can be done without stands between a paid request and its record
    learned = timing.learned_first_poll_seconds(took, calls_back=calls_back, rng=services.rng)
    if learned is not None:
        return learned
    estimate = submission.estimated_seconds or provider.estimate_seconds(spec)
    return timing.first_poll_seconds(estimate, calls_back=calls_back, rng=services.rng)


def not_taken(job: Job, services: Services, err: ProviderError) -> Step | None:
    """The provider surely does not have it: the job is sent again later, unless a later try is under way."""
    delay = services.timing.retry_seconds(job.try_no, services.rng, err.retry_after)
    waiting_for = f"{job.provider} to take it ({err.code}: {err.detail})"[:WAITING_CHARACTERS]
    notes: Fields = {"waiting_for": waiting_for, "waits": str(WaitCode.PROVIDER)}
    if provider_turns.is_locked_out(err):  # behind all others in the line: the next probe is another job's
        notes["refused_at"] = str(services.store.clock.now())
    services.store.jobs.move(
        job.id,
        JobState.ACCEPTED,
        attempt=job.attempt,
        try_no=job.try_no,
        path="submit",
        due_in_ms=ms(delay),
        notes=notes,
        detail=f"{err.code}: {err.detail}",
    )
    log.warning("submit.not_taken", extra={"job_id": job.id, "code": err.code, "reason": err.detail})
    return None


def failed(
    job: Job, services: Services, code: str, message: str, *, provider_code: str = "", lease: str | None = None
) -> Step | None:
    """No provider will make it."""
    stage = "accept" if code == ErrorCode.GAVE_UP and job.state is JobState.ACCEPTED else "submit"
    error = JobError(stage, code, message, provider_code)
    log.error("submit.failed", extra={"job_id": job.id, "code": code, "reason": message})
    reply = services.store.jobs.move(
        job.id, JobState.FAILED, attempt=job.attempt, path="submit", lease=lease, error=error, detail=code
    )
    return Step.DELIVER if reply.applied else None


def unconfirmed(
    job: Job,
    services: Services,
    detail: str,
    *,
    path: MovePath = "submit",
    lease: str | None = None,
    begun_at: int | None = None,
) -> Step | None:
    """Report a POST of unknown outcome: it is never sent again by itself."""
    reply = services.store.jobs.move(
        job.id,
        JobState.UNCONFIRMED,
        attempt=job.attempt,
        try_no=job.try_no,
        path=path,
        lease=lease,
        notes={} if begun_at is None else {"begun_at": str(begun_at)},
        detail=detail,
    )
    log.warning("submit.unconfirmed", extra={"job_id": job.id, "reason": detail})
    return Step.POLL if reply.applied else None
