"""Revisit: look again, slowly, at a final job whose video may still come; it was paid for.

Late truth is never discarded: a callback may bind a request that nobody knew of, a provider may finish after all, an
archiver that was paused may have stored its object, or a link be signed that works.
"""

from __future__ import annotations

import logging

from worker.errors import BucketError, DownloadError, LeaseLostError, ProviderError
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, archive, earlier_attempts, poll, reconcile
from worker.steps.copy_videos import copy_all, find_copied, fresh_links
from worker.steps.lease import Lease
from worker.store import Claim

log = logging.getLogger(__name__)


def look(claim: Claim, services: Services) -> Step | None:
    """See whether a video of the claimed job has come; returns the step worth starting at once, None if none has."""
    job = claim.job
    step = earlier_attempts.look(claim, services)
    if step is not None:
        return step
    if claim.candidates or job.has_failed_at("confirm"):
        return reconcile.run(claim, services)
    if job.has_failed_at("archive"):
        return _look_at_archive(claim, services)
    if job.state is JobState.EXPIRED or job.has_failed_at("generate"):
        return poll.look(claim, services)
    return None


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
