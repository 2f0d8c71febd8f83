"""The time at which a job's video may be expected: its place in the line, its model's own history, its copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from worker.jobs.durations import iso
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations.explain import View
from worker.operations.waits import code_of

LEAST = 5
"""Generations that must be on record for an estimate."""
LEAST_OF_KIND = 20
"""Generations of the same length and resolution after which they count alone, and a job is judged by them."""
DAY_MS = 24 * 60 * 60 * 1000
UNKNOWN = frozenset({WaitCode.BREAKER, WaitCode.PAUSED, WaitCode.CONFIGURATION, WaitCode.PROVIDER, WaitCode.BUCKET})
"""Waits before the POST whose end nothing on record tells."""


@dataclass(frozen=True)
class Eta:
    """When the video may be in the bucket: with even odds, and with nine in ten. Unix ms."""

    p50_at: int
    p90_at: int

    def document(self) -> dict[str, str]:
        """The estimate for a program."""
        return {"p50_at": iso(self.p50_at), "p90_at": iso(self.p90_at)}


def eta(view: View) -> Eta | None:
    """The estimate; None for a job that has ended, or about which too little is known."""
    job, took = view.job, durations(view)
    if job.is_final or job.state is JobState.UNCONFIRMED or len(took) < LEAST:
        return None
    if job.state is JobState.GENERATED:
        return _after(view, view.now, [0.0]) if view.archiving else None
    if job.state is JobState.SUBMITTED:
        since = job.submitted_at or job.state_at
        left = [seconds for seconds in took if seconds > (view.now - since) / 1000]
        return _after(view, since, left) if left else None
    begins_at = _begins_at(view, percentile(took, 50))
    return None if begins_at is None else _after(view, begins_at, took)


def durations(view: View) -> list[float]:
    """The seconds of the model's latest generations: those of the job's own kind alone, once there are enough."""
    own = [seconds for seconds, kind in view.took if kind and kind == view.job.kind]
    return own if len(own) >= LEAST_OF_KIND else [seconds for seconds, _ in view.took]


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of *values* that so many percent of them do not pass; there must be one."""
    ordered = sorted(values)
    return ordered[max(0, ceil(percent / 100 * len(ordered)) - 1)]


def _begins_at(view: View, typical_seconds: float) -> int | None:
    """When the POST may be sent, Unix ms; None: nothing on record tells."""
    code = code_of(view)
    if code in UNKNOWN:
        return None
    if code is WaitCode.SCHEDULED:
        return view.job.not_before
    if code is WaitCode.BUDGET:
        return (view.now // DAY_MS + 1) * DAY_MS
    rounds = view.ahead() / view.at_once if view.at_once else 0.0
    return view.now + int(1000 * rounds * typical_seconds)


def _after(view: View, since: int, took: Sequence[float]) -> Eta:
    def at(percent: float) -> int:
        copying = percentile(view.archiving, percent) if view.archiving else 0.0
        return max(view.now, since + int(1000 * (percentile(took, percent) + copying)))

    return Eta(at(50), at(90))
