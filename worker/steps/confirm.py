"""Confirm: ask the provider whether a callback is true, with one GET under our own key.

The token in a callback's URL proves only that somebody was told the URL, so a callback says when to ask, never what is
true. Its answer makes the move.
"""

from __future__ import annotations

from worker.jobs.states import JobState
from worker.jobs.timing import ms
from worker.services import Services
from worker.steps import Step, earlier_attempts, poll, reconcile
from worker.store import Claim


def run(job_id: str, services: Services) -> Step | None:
    """Confirm what a callback said of the job; returns the step worth starting at once.

    An `unconfirmed` job is first bound to the request that the callback names.
    """
    claim = _claim(job_id, services)
    if claim is not None and claim.job.state is JobState.UNCONFIRMED:
        step = reconcile.run(claim, services)
        if step is not Step.POLL:
            return step
        claim = _claim(job_id, services)
    if claim is None or claim.job.state is not JobState.SUBMITTED:
        return None
    return poll.look(claim, services)


def _claim(job_id: str, services: Services) -> Claim | None:
    lease_ms = ms(services.timing.poll_lease_seconds)
    claim = services.store.due.claim(job_id, states=poll.POLLED, lease_ms=lease_ms, only_due=True)
    return claim if claim is not None and earlier_attempts.make_room(claim, services) else None
