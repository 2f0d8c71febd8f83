"""Revisit: look again, slowly, at a final job whose video may still come; it was paid for.

Late truth is never discarded: a callback may bind a request that nobody knew of, a provider may finish after all, an
archiver that was paused may have stored its object, or a link be signed that works.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from worker.errors import BucketError, DownloadError, LeaseLostError, ProviderError, SlowDownloadError
from worker.jobs import notification
from worker.jobs.job import Job
from worker.jobs.states import FINAL, JobState
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step, archive, earlier_attempts, poll, reconcile
from worker.steps.copy_videos import copy_all, find_copied, fresh_links
from worker.steps.lease import Lease
from worker.store import Claim

log = logging.getLogger(__name__)


def _nothing() -> None: ...


def run(
    job_id: str,
    services: Services,
    *,
    most_seconds: float | None = None,
    on_stall: Callable[[], object] = _nothing,
) -> Step | None:
    """See whether a video of the job has come; returns the step worth starting at once.

    A copy that lasts longer than *most_seconds* is cut: the job is due again, and `SlowDownloadError` is raised.
    *on_stall* is called, from another thread, when this one hangs: its claim has then been given up.
    """
    lease_ms = ms(services.timing.revisit_lease_seconds)
    claim = services.store.due.claim(job_id, states=FINAL, lease_ms=lease_ms, only_due=True)
    if claim is None:
        return None
    if not claim.job.is_delivered:
        services.store.due.rest(claim, due_in_ms=0)
        return Step.DELIVER
    try:
        step = _look(claim, partial(Lease, claim, services, most_seconds=most_seconds, on_stall=on_stall), services)
    except SlowDownloadError as err:
        archive.make_room(claim, services, err)
        raise
    if step is None:
        rest_in_ms = ms(services.timing.look_again_seconds)
        services.store.jobs.delivered(job_id, ver=claim.job.ver, outputs="", rest_in_ms=rest_in_ms, lease=claim.token)
        return Step.NOTIFY if notification.is_due(claim.job, claim.now) else None
    return step


def _look(claim: Claim, keep_lease: Callable[[], Lease], services: Services) -> Step | None:
    """The step worth starting at once; None: no video has come, and the job may rest."""
    job = claim.job
    step = earlier_attempts.look(claim, keep_lease, services)
    if step is not None:
        return step
    if claim.candidates or job.has_failed_at("confirm"):
        return reconcile.run(claim, services)
    if job.has_failed_at("archive"):
        return _look_at_archive(job, keep_lease, services)
    if job.state is JobState.EXPIRED or job.has_failed_at("generate"):
        return poll.look(claim, services)
    return None


def _look_at_archive(job: Job, keep_lease: Callable[[], Lease], services: Services) -> Step | None:
    """`failed(archive)`: a late writer may have finished, or the provider may sign a working link."""
    try:
        copied = find_copied(job, services)
    except BucketError as err:
        log.info("archive.missed", extra={"job_id": job.id, "reason": str(err)})
        return None
    if not copied.videos or copied.ignored:
        try:
            with keep_lease() as lease:
                copied = copy_all(job, fresh_links(job, services), lease, services)
        except SlowDownloadError:
            raise
        except (LeaseLostError, ProviderError, DownloadError, BucketError) as err:
            log.info("archive.missed", extra={"job_id": job.id, "reason": str(err)})
    if not copied.videos:
        return None
    return archive.finish(job, copied, services, path="sweep")
