"""Retry: move a job that has ended on, the way that costs nothing where there is one.

Archive again, ask again, or, where money may be spent a second time only with
leave, a new attempt (design section 3).
"""

from __future__ import annotations

import logging

from worker.jobs.states import JobState
from worker.services import Services
from worker.store import Reply

log = logging.getLogger(__name__)

_FREE_WAY = {"failed(archive)": JobState.GENERATED, "expired": JobState.SUBMITTED}
"""What a job has ended as -> where it goes on without another attempt."""


def run(job_id: str, services: Services, *, pay_again: bool = False) -> Reply:
    """Move the job on; its record says where to.

    `late`: it has not ended without a video. `paid`: only a new attempt is left,
    and an attempt may have been paid for already, which needs *pay_again*.
    `asking`: a callback is yet to be looked at first. `missing`: only a tombstone, or nothing, is left of it.
    """
    job = services.store.get(job_id)
    if job is None or job.is_tombstone:
        return Reply("missing", job)
    way = None if pay_again else _FREE_WAY.get(job.held)
    if way is None:
        detail = "a new attempt, to be paid again" if pay_again else "a new attempt"
        reply = services.store.try_again(job_id, attempt=job.attempt, pay_again=pay_again, detail=detail)
    else:
        # the end that the old link had says nothing about a fresh one
        notes = {"link_expires_at": ""} if way is JobState.GENERATED else {}
        reply = services.store.move(
            job_id, way, attempt=job.attempt, path="operator", notes=notes, detail="retried by an operator"
        )
    log.info("job.retried", extra={"job_id": job_id, "outcome": reply.word})
    return reply
