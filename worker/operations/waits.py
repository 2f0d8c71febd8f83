"""Waits as data: a code of a closed list, its sentence, until when, and the events that settle it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.jobs import notification
from worker.jobs.durations import iso
from worker.jobs.job import Job
from worker.jobs.states import FINAL, JobState
from worker.jobs.wait_codes import OF_REFUSAL, Settler, WaitCode
from worker.operations.explain import View, deadline, explain, is_scheduled, unwritten

S = Settler

SETTLED_BY: dict[WaitCode, tuple[Settler, ...]] = {
    WaitCode.WORKER: (S.WORKER, S.DEADLINE),
    WaitCode.SCHEDULED: (S.TIME,),
    WaitCode.PROVIDER_TURN: (S.PROVIDER, S.DEADLINE),
    WaitCode.RATE_LIMIT: (S.TIME, S.DEADLINE),
    WaitCode.BUDGET: (S.TIME, S.OPERATOR, S.DEADLINE),
    WaitCode.BREAKER: (S.PROVIDER, S.DEADLINE),
    WaitCode.PAUSED: (S.OPERATOR, S.DEADLINE),
    WaitCode.CONFIGURATION: (S.OPERATOR, S.DEADLINE),
    WaitCode.PROVIDER: (S.PROVIDER, S.DEADLINE),
    WaitCode.BUCKET: (S.BUCKET,),
    WaitCode.POST_ANSWER: (S.PROVIDER, S.DEADLINE),
    WaitCode.CALLBACK_OR_POLL: (S.CALLBACK, S.POLL, S.DEADLINE),
    WaitCode.GENERATION: (S.POLL, S.DEADLINE),
    WaitCode.ARCHIVE: (S.BUCKET, S.PROVIDER, S.DEADLINE),
    WaitCode.RESULT: (S.RESULT_BACKEND,),
    WaitCode.MANIFEST: (S.BUCKET,),
    WaitCode.NOTIFICATION: (S.RECEIVER, S.DEADLINE),
    WaitCode.LATE_VIDEO: (S.POLL, S.CALLBACK, S.BUCKET, S.DEADLINE),
    WaitCode.NOTHING: (),
}
"""The events that can end each wait; for `reconcile` they depend on the job."""

NOTED = frozenset({*OF_REFUSAL.values(), WaitCode.CONFIGURATION, WaitCode.PROVIDER, WaitCode.BUCKET})
"""The waits that only the step knows which the job is left by: it notes the code in the record."""

WAIT_IN: dict[WaitCode, frozenset[JobState]] = {
    WaitCode.WORKER: frozenset({JobState.ACCEPTED}),
    WaitCode.SCHEDULED: frozenset({JobState.ACCEPTED}),
    WaitCode.POST_ANSWER: frozenset({JobState.SUBMITTING}),
    WaitCode.RECONCILE: FINAL | {JobState.UNCONFIRMED},
    WaitCode.CALLBACK_OR_POLL: frozenset({JobState.SUBMITTED}),
    WaitCode.GENERATION: frozenset({JobState.SUBMITTED}),
    WaitCode.ARCHIVE: frozenset({JobState.GENERATED}),
    WaitCode.RESULT: FINAL,
    WaitCode.MANIFEST: FINAL,
    WaitCode.NOTIFICATION: FINAL,
    WaitCode.LATE_VIDEO: FINAL,
    WaitCode.NOTHING: FINAL,
}
"""The states in which a job can wait so; any, where it is not named."""

CODES = frozenset(str(code) for code in WaitCode)


@dataclass(frozen=True)
class Waits:
    """One job's wait. `until`: when it ends by itself at the latest, Unix ms; None: it does not, or not by a time."""

    code: WaitCode
    words: str
    until: int | None
    settled_by: tuple[Settler, ...]

    def document(self) -> dict[str, Any]:
        """The wait for a program."""
        return {
            "code": str(self.code),
            "words": self.words,
            "until": None if self.until is None else iso(self.until),
            "settled_by": [str(settler) for settler in self.settled_by],
        }


def waits_for(view: View) -> Waits:
    """The wait of the job at the moment of *view*."""
    code = code_of(view)
    return Waits(code, explain(view), deadline(view), tuple(_settlers(view, code)))


def code_of(view: View) -> WaitCode:
    """The code alone."""
    job = view.job
    if not job.is_open:
        return WaitCode.NOTHING
    if job.is_final:
        return _after_the_end(view)
    if job.state is JobState.UNCONFIRMED:
        return WaitCode.RECONCILE
    if job.state is JobState.SUBMITTING and not (job.unsent_by and not job.lease):
        return WaitCode.POST_ANSWER
    noted = _noted(job)
    if job.state is JobState.GENERATED:
        return noted if noted is WaitCode.BUCKET else WaitCode.ARCHIVE
    if job.state is JobState.SUBMITTED:
        return noted or (WaitCode.CALLBACK_OR_POLL if view.calls_back else WaitCode.GENERATION)
    if is_scheduled(view):
        return WaitCode.SCHEDULED
    return noted or WaitCode.WORKER


def _after_the_end(view: View) -> WaitCode:
    owed = unwritten(view.job)
    if owed:
        return owed[0]
    if notification.is_pending(view.job):
        return WaitCode.NOTIFICATION
    return WaitCode.RECONCILE if view.candidates else WaitCode.LATE_VIDEO


def _noted(job: Job) -> WaitCode | None:
    """The code that the last step has noted; None: none, or one of a later version."""
    return WaitCode(job.waits) if job.waits in CODES else None


def _settlers(view: View, code: WaitCode) -> Sequence[Settler]:
    if code is not WaitCode.RECONCILE:
        return SETTLED_BY[code]
    possible = {S.CANDIDATE: bool(view.candidates), S.CALLBACK: view.calls_back, S.LIST: view.can_list}
    return [*(settler for settler, is_so in possible.items() if is_so), S.DEADLINE]
