"""Deliver: hand out the result and the manifest of a final job, then close it.

Both are written from the record, and marked as delivered only if the record has not moved on meanwhile. The
notification, a third output, has a step of its own (`notify.py`): receivers may be slow. So has a job with nothing
pending whose video may still come (`revisit.py`).
"""

from __future__ import annotations

import logging
from typing import cast

from worker.errors import BucketError, ResultError
from worker.jobs import notification
from worker.jobs.job import Job
from worker.jobs.manifest import manifest_of
from worker.jobs.result import error_of
from worker.jobs.states import FINAL
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step
from worker.store import Claim, Fields
from worker.store.jobs import Outputs

log = logging.getLogger(__name__)


def run(job_id: str, services: Services) -> Step | None:
    """Deliver what is pending; returns the step worth starting at once."""
    lease_ms = ms(services.timing.deliver_lease_seconds)
    claim = services.store.due.claim(job_id, states=FINAL, lease_ms=lease_ms, only_due=True)
    if claim is None:
        return None
    services.store.budget.correct(claim.job)
    if not claim.job.is_delivered:
        return _deliver(claim, services)
    services.store.due.rest(claim, due_in_ms=0)
    return Step.REVISIT


def _deliver(claim: Claim, services: Services) -> Step | None:
    """The result first: somebody waits for it. Neither waits for the other to be taken."""
    job, delivered, refusals = claim.job, [], []
    for output, is_pending, deliver in (
        ("result", job.is_result_pending, _tell),
        ("manifest", job.is_manifest_pending, _put_manifest),
    ):
        if not is_pending:
            continue
        try:
            deliver(job, services)
            delivered.append(output)
        except (ResultError, BucketError) as err:
            refusals.append(str(err))
    if delivered and not _is_recorded(claim, ",".join(delivered), services):
        return None
    if refusals:
        _postpone(claim, services, f"what is owed to be taken: {'; '.join(refusals)}")
    else:
        _log_end(job)
    return _notify(claim)


def _notify(claim: Claim) -> Step | None:
    """The step for the notification, if a try at it is due; it waits for no other output."""
    return Step.NOTIFY if notification.is_due(claim.job, claim.now) else None


def _log_end(job: Job) -> None:
    """A line for the end of a job, and for one without a video a warning that says why."""
    error = error_of(job)
    if error is None:
        log.info("job.delivered", extra={"job_id": job.id, "state": job.state})
        return
    why = {"stage": error.stage, "code": error.code, "reason": error.message}
    log.warning("job.delivered", extra={"job_id": job.id, "state": job.state, "provider": job.provider, **why})


def _tell(job: Job, services: Services) -> None:
    services.results.tell(job)


def _put_manifest(job: Job, services: Services) -> None:
    services.bucket.manifests.put(job.id, job.accepted_at, manifest_of(job, services.store.history.spec_json(job.id)))


def _is_recorded(claim: Claim, delivered: str, services: Services) -> bool:
    """Mark as delivered what was made of the claimed record; False when that has moved on, so it is still pending."""
    rest_in_ms = ms(services.timing.look_again_seconds)
    reply = services.store.jobs.delivered(
        claim.job.id, ver=claim.job.ver, outputs=cast("Outputs", delivered), rest_in_ms=rest_in_ms, lease=claim.token
    )
    return reply.word != "late"


def _postpone(claim: Claim, services: Services, reason: str) -> None:
    job = claim.job
    delay = services.timing.retry_seconds(job.failures, services.rng)
    notes: Fields = {"failures": str(job.failures + 1), "waiting_for": reason[:200]}
    services.store.due.rest(claim, due_in_ms=ms(delay), notes=notes)
