"""Sweep: find the jobs that are due and nudge the step each needs.

It takes no lease and decides nothing; run it twice, late, or not at all for a
while, and the worst that happens is a nudge too many or a wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby

from worker.jobs.rate_limits import Operation
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, step_for
from worker.store import Nudge

log = logging.getLogger(__name__)

BATCH = 500
BATCHES_PER_TICK = 20
JOBS_PER_MESSAGE = {
    Step.SUBMIT: 8,
    Step.CONFIRM: 32,
    Step.POLL: 32,
    Step.ARCHIVE: 32,
    Step.DELIVER: 4,
    Step.NOTIFY: 32,
    Step.REVISIT: 32,
}

Publish = Callable[[Step, Sequence[str]], None]
Waits = Callable[[Step], bool]


def run(services: Services, publish: Publish, waits: Waits) -> int:
    """Nudge every due job, at most `BATCH * BATCHES_PER_TICK` a tick; returns how many.

    *waits* tells whether messages for a step wait in their queue: then those that
    whoever made a job due has sent are among them, and none is sent on top.
    """
    services.store.lists.forget()
    services.store.metrics.count_missed()
    services.store.series.look(services.store.clock.now())
    _call_waiting(services)
    if services.store.rollbacks.watch():
        publish(Step.RETELL, ())
    nudged, left = 0, set[str]()
    for _ in range(BATCHES_PER_TICK):
        # those of a newer Callsheet stay due, and must not stand before all others
        due = [job_id for job_id in services.store.due.ids(limit=BATCH + len(left)) if job_id not in left][:BATCH]
        nudges = services.store.due.nudge(due, sent=_sent(waits)) if due else []
        left |= set(due) - {nudge.job_id for nudge in nudges}
        nudged += _nudge(nudges, publish)
        if len(due) < BATCH:
            break
    return nudged


def _call_waiting(services: Services) -> None:
    """Make those due that wait in a provider's line and for whom there is room now."""
    paused = services.store.pauses.paused()
    for provider in services.settings.providers:
        limits = services.limits(provider)
        services.store.limits.call_next(limits, Operation.POLL)
        if provider not in paused:
            services.store.limits.call_next(limits, Operation.SUBMIT)


def _sent(waits: Waits) -> list[str]:
    """In the store's words, for which jobs messages wait; a callback's is for the confirm step."""
    states = [str(state) for state in JobState if waits(step_for(state))]
    return [*states, "call"] if waits(Step.CONFIRM) else states


def _nudge(nudges: Sequence[Nudge], publish: Publish) -> int:
    """One message for many jobs where they share a provider's connections."""
    ordered = sorted(nudges, key=_route)
    for (step, _), group in groupby(ordered, key=_route):
        job_ids = [nudge.job_id for nudge in group]
        size = JOBS_PER_MESSAGE[step]
        for start in range(0, len(job_ids), size):
            publish(step, job_ids[start : start + size])
    if nudges:
        log.info("jobs.nudged", extra={"count": len(nudges)})
    return len(nudges)


def _route(nudge: Nudge) -> tuple[Step, str]:
    step = step_for(
        nudge.state,
        was_called=nudge.was_called,
        is_delivered=nudge.is_delivered,
        is_for_notification=nudge.is_for_notification,
    )
    return step, nudge.provider
