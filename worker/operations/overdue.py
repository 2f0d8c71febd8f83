"""The wait of a due job for a worker, and its limit in each step."""

from __future__ import annotations

from worker.jobs.job import Job
from worker.jobs.timing import HOUR, MINUTE
from worker.steps import OF_ARCHIVER, Step, step_for
from worker.store.due_index import NUDGE_MS
from worker.store.replies import Outline

PACE_SECONDS = {
    Step.SUBMIT: MINUTE,
    Step.POLL: MINUTE,
    Step.ARCHIVE: 5 * MINUTE,
    Step.DELIVER: MINUTE,
    Step.REVISIT: HOUR,
}
"""A due job may wait so long for a worker while the system goes on: copies take long, and some wait behind others."""
UNSEEN_SECONDS = 20.0
"""A due job is seen by the sweep within seconds; one left lying for longer tells of a clock that stands still."""

LEASE_SECONDS = 15 * MINUTE
"""Steps take minutes. One that holds a job for longer copies a large or a slow video, or hangs."""


def held_seconds(leased_at: int | None, lease_until: int | None, now: int) -> float:
    """For how long a step has held a job, over all renewals of its lease; 0 where none does. Instants are Unix ms."""
    return (now - leased_at) / 1000 if leased_at and lease_until and lease_until > now else 0.0


def waited_seconds(due_at: int, nudges: int, now: int) -> float:
    """Since when the job is due and no worker has begun with it; 0 where it is not due. Instants are Unix ms.

    Each nudge puts `due_at` off by an interval that doubles (`DueIndex.nudge`), so the first due time is found from
    their number.
    """
    first, longest = NUDGE_MS
    put_off = sum(min(longest, first << min(30, n)) for n in range(nudges))
    return max(0.0, (now - (due_at - put_off)) / 1000)


def step_of(job: Job | Outline) -> Step:
    """The step that *job* needs when it is due."""
    return step_for(job.state, is_delivered=job.is_delivered)


def is_late(step: Step, due_at: int, nudges: int, now: int) -> bool:
    """True where a job that has no lease waits longer for *step* than that should take to begin."""
    return waited_seconds(due_at, nudges, now) > (PACE_SECONDS[step] if nudges else UNSEEN_SECONDS)


def process_for(step: Step) -> str:
    """The kind of process that takes *step*."""
    return "archiver" if step in OF_ARCHIVER else "worker"
