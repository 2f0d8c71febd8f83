"""Settle: pay what is still owed for a final job, then close it, or look at it once more.

Owed are the manifest (archived jobs) and the told result. Both are written from
the record, and marked paid only if the record has not moved on meanwhile. A
final job whose video may still come is then looked at slowly (late truth).
"""

from __future__ import annotations

import logging

from worker.errors import BucketError, DownloadError, LeaseLostError, ProviderError, ResultError
from worker.jobs.job import Job
from worker.jobs.manifest import manifest_of
from worker.jobs.result import error_of
from worker.jobs.states import JobState
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step, archive, earlier_attempts, poll, reconcile
from worker.steps.copy_videos import copy_all, find_copied, fresh_links
from worker.steps.lease import Lease
from worker.store import Claim

log = logging.getLogger(__name__)

SETTLED = (JobState.ARCHIVED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED)


def run(job_id: str, services: Services) -> Step | None:
    """Pay what is owed, or take a slow look; returns the step worth starting at once."""
    lease_ms = ms(services.timing.settle_lease_seconds)
    claim = services.store.claim(job_id, states=SETTLED, lease_ms=lease_ms, only_due=True)
    if claim is None:
        return None
    if _is_unspent(claim.job, services):
        services.store.give_back(claim.job)
    if _owes_result(claim.job) or _owes_manifest(claim.job):
        return _pay(claim, services)
    return _look_again(claim, services)


def _pay(claim: Claim, services: Services) -> Step | None:
    """The result first: somebody waits for it. Neither waits for the other to be taken."""
    job, paid, refusals = claim.job, [], []
    for debt, is_owed, pay in (("result", _owes_result, _tell), ("manifest", _owes_manifest, _put_manifest)):
        if not is_owed(job):
            continue
        try:
            pay(job, services)
            paid.append(debt)
        except (ResultError, BucketError) as err:
            refusals.append(str(err))
    if paid and not _settled(claim, ",".join(paid), services):
        return None
    if refusals:
        return _postpone(claim, services, f"what is owed to be taken: {'; '.join(refusals)}")
    _log_end(job)
    return None


def _log_end(job: Job) -> None:
    """A line for the end of a job, and for one without a video a warning that says why."""
    error = error_of(job)
    if error is None:
        log.info("job.settled", extra={"job_id": job.id, "state": job.state})
        return
    why = {"stage": error.stage, "code": error.code, "reason": error.message}
    log.warning("job.settled", extra={"job_id": job.id, "state": job.state, "provider": job.provider, **why})


def _tell(job: Job, services: Services) -> None:
    services.results.tell(job)


def _put_manifest(job: Job, services: Services) -> None:
    services.bucket.put_manifest(job.id, job.accepted_at, manifest_of(job, services.store.spec_json(job.id)))


def _settled(claim: Claim, paid: str, services: Services) -> bool:
    """Mark as paid what was made of the claimed record; False when that has moved on, so it is still owed."""
    rest_in_ms = ms(services.timing.look_again_seconds)
    reply = services.store.settle(claim.job.id, ver=claim.job.ver, paid=paid, rest_in_ms=rest_in_ms, lease=claim.token)
    return reply.word != "late"


def _look_again(claim: Claim, services: Services) -> Step | None:
    """Nothing is owed: see whether a video has come after all, while the record is kept."""
    job = claim.job
    step = earlier_attempts.look(claim, services)
    if step is not None:
        return step
    if claim.candidates or _is_failed_at(job, "confirm"):
        step = reconcile.run(claim, services)
    elif _is_failed_at(job, "archive"):
        step = _look_at_archive(claim, services)
    elif job.state is JobState.EXPIRED or _is_failed_at(job, "generate"):
        step = poll.look(claim, services)
    else:
        step = None
    if step is None:
        _settled(claim, "", services)
    return step


def _look_at_archive(claim: Claim, services: Services) -> Step | None:
    """`failed(archive)`: a late writer may have finished, or the provider may sign a working link."""
    job = claim.job
    try:
        copied = find_copied(job, services)
    except BucketError as err:
        log.info("archive.missed", extra={"job_id": job.id, "reason": str(err)})
        return None
    if not copied.videos or copied.ignored:
        try:
            with Lease(claim, services) as lease:
                copied = copy_all(job, fresh_links(job, services), lease, services)
        except (LeaseLostError, ProviderError, DownloadError, BucketError) as err:
            log.info("archive.missed", extra={"job_id": job.id, "reason": str(err)})
    if not copied.videos:
        return None
    return archive.finish(job, copied, services, path="sweep")


def _postpone(claim: Claim, services: Services, reason: str) -> Step | None:
    job = claim.job
    delay = services.timing.retry_seconds(job.failures, services.rng)
    notes = {"failures": str(job.failures + 1), "waiting_for": reason[:200]}
    services.store.rest(claim, due_in_ms=ms(delay), notes=notes)
    return None


def _is_unspent(job: Job, services: Services) -> bool:
    """Whether the POST of a failed job has cost nothing: what it reserved of the day's budget is free again."""
    provider = services.providers.get(job.provider)
    refunds = provider is not None and provider.refunds_failures
    return _is_failed_at(job, "submit") or (refunds and _is_failed_at(job, "generate"))


def _owes_result(job: Job) -> bool:
    return job.told_ver < job.ver


def _owes_manifest(job: Job) -> bool:
    return job.manifest_ver is not None and job.manifest_ver < job.ver


def _is_failed_at(job: Job, stage: str) -> bool:
    return job.error is not None and job.error.stage == stage
