"""Adopt: end a job whose video the bucket already has, as its manifest proves, however Redis came to forget that.

A job that is sent again after Redis was emptied stands as a new one, or as one whose POST is unconfirmed; no provider
need be asked, or paid, for what is verified in the bucket.
"""

from __future__ import annotations

import logging

from worker.errors import ManifestError
from worker.jobs import manifest
from worker.jobs.actor import Actor
from worker.jobs.job import Job
from worker.jobs.manifest import Restorable
from worker.jobs.states import MovePath
from worker.services import Services
from worker.steps import Step
from worker.store import Reply

log = logging.getLogger(__name__)


def look(job: Job, begun_at: int, services: Services) -> Step | None:
    """Look for the job's manifest in the folders of the days on which it may have been accepted before; None: there
    is none of this very spec. Raises `BucketError`."""
    for key, text in services.bucket.manifests.of_job(job.id, (job.accepted_at, begun_at)):
        try:
            told = manifest.read(text, job_id=job.id)
        except ManifestError as err:
            log.warning("manifest.unreadable", extra={"job_id": job.id, "key": key, "reason": str(err)})
            continue
        if told.is_of(job) and adopt(job, told, services, path="sweep").applied:
            return Step.DELIVER
    return None


def adopt(job: Job, told: Restorable, services: Services, *, path: MovePath, by: Actor | None = None) -> Reply:
    """Record the videos of a manifest of the same spec as the job's; the words are `Store.manifests.adopt`'s."""
    reply = services.store.manifests.adopt(job, told, path=path, by=by)
    log.info("job.adopted", extra={"job_id": job.id, "outcome": reply.word})
    return reply
