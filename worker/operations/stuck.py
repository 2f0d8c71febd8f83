"""Find open jobs that do not go on as they should, and the gravest reason of each.

A pure function of the same view that `explain` reads.
"""

from __future__ import annotations

from worker.jobs.durations import span
from worker.jobs.error_codes import UNUSABLE
from worker.jobs.states import JobState
from worker.jobs.timing import HOUR, MINUTE
from worker.operations import overdue
from worker.operations.eta import LEAST_OF_KIND, durations, percentile
from worker.operations.explain import View, is_scheduled

MANY_FAILURES = 3
LONG_SECONDS = {
    JobState.ACCEPTED: 5 * MINUTE,
    JobState.SUBMITTING: 5 * MINUTE,
    JobState.SUBMITTED: 30 * MINUTE,  # generations take minutes
    JobState.GENERATED: 10 * MINUTE,
}
"""Longer than this in a state, and something holds it up; a generation is judged by its model, once that is known."""
OWED_SECONDS = MINUTE
LINK_SECONDS = 6 * HOUR
"""With less left of its link's life, a video that is not archived is urgent."""


def why_stuck(view: View) -> str | None:
    """Why the job is stuck; None when it goes on as it should. The first reason found is the gravest."""
    job = view.job
    for_seconds = (view.now - max(job.state_at, job.not_before or 0)) / 1000
    if not job.is_open:
        return None
    if view.due_at is None:
        return "in no due index: callsheet doctor --fix"
    if view.late_seconds:
        return f"due for {span(view.late_seconds)}, and {_absent(view)}"
    held_seconds = overdue.held_seconds(job.leased_at, job.lease_until, view.now)
    if held_seconds > overdue.LEASE_SECONDS:
        return f"one step has held it for {span(held_seconds)}: a slow copy, or one that hangs; see its process's log"
    if job.state is JobState.UNCONFIRMED:
        return "its POST may have been taken, and is never sent again by itself"
    if job.state is JobState.GENERATED and job.link_expires_at and job.link_expires_at - view.now < LINK_SECONDS * 1000:
        left_seconds = (job.link_expires_at - view.now) / 1000
        if left_seconds <= 0:
            return f"not archived, and its link should have died {span(-left_seconds)} ago"
        return f"not archived, and its link dies in {span(left_seconds)}"
    if job.unusable and not job.is_final:
        return f"{job.provider} says that it is done, but {UNUSABLE.get(job.unusable, '')} ({job.unusable})"
    if job.is_final and job.told_ver < job.ver:
        return "its result is not told" if for_seconds > OWED_SECONDS else None
    if job.is_final:
        return None
    if job.failures >= MANY_FAILURES:
        return f"{job.failures} tries in a row failed" + (f": {job.waiting_for}" if job.waiting_for else "")
    if is_scheduled(view):
        return None
    took = durations(view) if job.state is JobState.SUBMITTED else []
    if len(took) >= LEAST_OF_KIND:
        longest = percentile(took, 99)
        if for_seconds <= longest:
            return None
        return f"{job.state} for {span(for_seconds)}, and 99 of 100 generations of its model end within {span(longest)}"
    if for_seconds > LONG_SECONDS[job.state]:
        return f"{job.state} for {span(for_seconds)}"
    return None


def _absent(view: View) -> str:
    """Name the process that should have begun with the job, and the advice."""
    if not view.job.nudges:
        return "nobody looks: start beat and the sweeper"
    return (
        f"no {overdue.process_for(overdue.step_of(view.job))} takes it, asked {view.job.nudges} times: is one running?"
    )
