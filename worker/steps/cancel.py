"""Cancel: stop a job that no provider has heard of. Everything later costs money and goes on."""

from __future__ import annotations

import logging

from worker.services import Services
from worker.states import JobState
from worker.store import Reply

log = logging.getLogger(__name__)


def run(job_id: str, services: Services) -> Reply:
    """Cancel the job if it is still `accepted`, in its first attempt, and no callback tells of a POST.

    Else the reply says `late` (or `repeat`: it was cancelled before), and its record how the job stands.
    """
    reply = services.store.move(
        job_id, JobState.CANCELLED, attempt=1, path="operator", detail="cancelled by the caller"
    )
    log.info("job.cancel_asked", extra={"job_id": job_id, "outcome": reply.word})
    return reply
