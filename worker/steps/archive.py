"""Archive: get every video of a generated job into the bucket, exactly.

Also the step that a callback starts: a job that is still `submitted` is first
confirmed with one GET under our own key. Messages are served in the order they
were sent, which after an outage is not the order in which links die: a message
that names a job is a turn, and the turn is taken by the job whose link ends
first. What cannot be archived now is tried again; the verdict `failed(archive)`
is given only after the link's end, and only after looking whether the objects
are there after all.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from itertools import chain

from worker.errors import BucketError, DownloadError, LeaseLostError, LinkDeadError, ObjectConflict
from worker.jobs.job import Job, JobError
from worker.jobs.states import JobState
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step, poll, reconcile
from worker.steps.copy_videos import Copied, Lease, copy_generated, find_copied
from worker.store import Claim

log = logging.getLogger(__name__)

NOTHING_BUT_NO_FILM = frozenset({"not_video"})
"""Reasons of a `DownloadError` that are final once a link has ended."""
CONFIRMED_FIRST = (JobState.SUBMITTED, JobState.UNCONFIRMED)


Turn = tuple[str, Step]
"""A job, and the step that is worth starting at once for it."""


def run(job_id: str, services: Services) -> Turn | None:
    """Take the job's turn: confirm it if only a callback has spoken, then archive the most urgent job there is."""
    step = _confirmed(job_id, services)
    if step is not Step.ARCHIVE:
        return (job_id, step) if step else None
    claim = _claim_most_urgent(job_id, services)
    step = _archive(claim, services) if claim else None
    return (claim.job.id, step) if claim and step else None


def _confirmed(job_id: str, services: Services) -> Step | None:
    """`ARCHIVE`, unless the job turns out to need something else."""
    claim = _claim(job_id, CONFIRMED_FIRST, services)
    if claim is not None and claim.job.state is JobState.UNCONFIRMED:
        step = reconcile.run(claim, services)
        if step is not Step.POLL:
            return step
        claim = _claim(job_id, CONFIRMED_FIRST, services)
    if claim is not None and claim.job.state is JobState.SUBMITTED:
        return poll.look(claim, services)
    return Step.ARCHIVE


def _claim_most_urgent(job_id: str, services: Services) -> Claim | None:
    """Whichever job's link ends first of those that nobody holds; *job_id* itself where none is known."""
    for urgent in chain(services.store.most_urgent(), (job_id,)):
        claim = _claim(urgent, (JobState.GENERATED,), services)
        if claim is not None:
            return claim
    return None


def _claim(job_id: str, states: Collection[JobState], services: Services) -> Claim | None:
    lease_ms = ms(services.timing.archive_lease_seconds)
    return services.store.claim(job_id, states=states, lease_ms=lease_ms, only_due=True)


def _archive(claim: Claim, services: Services) -> Step | None:
    job, lease = claim.job, Lease(claim, services)
    try:
        with lease:
            copied = copy_generated(job, lease, services)
    except LeaseLostError:
        return None
    except (DownloadError, BucketError) as err:
        return _not_now(lease.claim, services, err)
    return finish(job, copied, services, path=job.path)


def finish(job: Job, copied: Copied, services: Services, *, path: str) -> Step | None:
    """Record that the films are in the bucket; a fact, whoever holds the lease by now."""
    reply = services.store.move(
        job.id,
        JobState.ARCHIVED,
        attempt=job.attempt,
        path=path,
        facts=copied.facts(job, services),
        owes_manifest=True,
        detail=f"{sum(video.bytes for video in copied.videos)} bytes",
    )
    log.info("video.archived", extra={"job_id": job.id, "outcome": reply.word, "videos": len(copied.videos)})
    return Step.SETTLE if reply.applied else None


def _not_now(claim: Claim, services: Services, err: DownloadError | BucketError) -> Step | None:
    """Try again later, or give the verdict once the link has ended."""
    job = claim.job
    if isinstance(err, ObjectConflict):
        services.store.count("object_conflicts")
        log.error("object.conflicted", extra={"job_id": job.id, "reason": str(err)})
    failing_since = _failing_since(claim, err, services)
    if _has_ended(claim, err, failing_since, services):
        return _verdict(claim, services, err)
    services.store.count("archive_retries")
    log.warning("archive.postponed", extra={"job_id": job.id, "reason": str(err)})
    delay = services.timing.archive_retry_seconds(job, claim.now, services.rng)
    notes = {"failures": str(job.failures + 1), "waiting_for": f"another try to archive: {err}"[:200]}
    if failing_since is not None:
        notes["failing_since"] = str(failing_since)
    services.store.rest(claim, due_in_ms=ms(delay), notes=notes)
    return None


def _failing_since(claim: Claim, err: DownloadError | BucketError, services: Services) -> int | None:
    """When the first try past the link's end failed, this one or an earlier, Unix ms; None before the end.

    A bucket that does not answer tells nothing of the link, which was not tried.
    """
    job, end = claim.job, services.timing.archive_verdict_at(claim.job)
    if job.failing_since is not None and job.failing_since > end:
        return job.failing_since
    is_tried = isinstance(err, DownloadError | ObjectConflict)
    return claim.now if is_tried and claim.now > end else None


def _has_ended(claim: Claim, err: DownloadError | BucketError, failing_since: int | None, services: Services) -> bool:
    """Whether nothing can be hoped of the job's links any more: the provider's clock alone does not say so."""
    timing = services.timing
    if failing_since is None:  # only a bucket that has been away since keeps a job waiting for so long
        return claim.now > timing.archive_verdict_at(claim.job) + ms(timing.unknown_link_end_seconds)
    is_said = isinstance(err, LinkDeadError) or err.reason in NOTHING_BUT_NO_FILM
    return is_said or claim.now - failing_since >= ms(timing.past_link_end_seconds)


def _verdict(claim: Claim, services: Services, err: DownloadError | BucketError) -> Step | None:
    """Give up what is not in the bucket: a job is archived by the films that are, also by those that a paused worker
    has finished after all."""
    job = claim.job
    try:
        copied = find_copied(job, services, why=str(err))
    except BucketError as unknown:
        # without a look at the bucket there is no verdict
        delay = services.timing.retry_seconds(job.failures, services.rng)
        notes = {"failures": str(job.failures + 1), "waiting_for": f"the bucket to answer: {unknown}"[:200]}
        services.store.rest(claim, due_in_ms=ms(delay), notes=notes)
        return None
    if copied.videos:
        return finish(job, copied, services, path="sweep")
    reply = services.store.move(
        job.id,
        JobState.FAILED,
        attempt=job.attempt,
        path="sweep",
        lease=claim.token,
        error=JobError("archive", err.reason, f"{err}; the provider's link has ended"),
        look_until=claim.now + services.retention_ms(),
        detail=err.reason,
    )
    return Step.SETTLE if reply.applied else None
