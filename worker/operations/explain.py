"""Explain: one sentence on the event that a job waits for, and until when.

A pure function of the record, its due time and the timing policy: it reads no
store and no clock, so every sentence can be tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.jobs import notification
from worker.jobs.durations import moment, span
from worker.jobs.error_codes import UNUSABLE
from worker.jobs.job import Job
from worker.jobs.result import error_of
from worker.jobs.states import JobState
from worker.jobs.timing import Timing
from worker.jobs.wait_codes import WaitCode
from worker.notifications.schedule import TOTAL_SECONDS
from worker.operations import overdue

OUTPUTS = {WaitCode.RESULT: "its result", WaitCode.MANIFEST: "its manifest"}
"""The pending outputs of a final job, in words."""


@dataclass(frozen=True)
class View:
    """A job at one moment, and what is known about it beside its record. Instants are Unix ms."""

    job: Job
    due_at: int | None  # None: it is in no due index
    now: int
    timing: Timing
    calls_back: bool = False  # whether its provider was given a callback URL
    can_list: bool = False  # whether its provider's list can find a request whose id we never learned
    candidates: int = 0  # request ids that only callbacks have told
    took: Sequence[tuple[float, str]] = ()  # seconds and kind of its model's latest generations
    archiving: Sequence[float] = ()  # seconds of its provider's latest copies
    at_once: int | None = None  # jobs that its provider may have; None: without limit
    ahead: Callable[[], int] = lambda: 0  # jobs before it in its provider's line, counted when it is asked

    @property
    def is_leased(self) -> bool:
        return self.job.lease_until is not None and self.job.lease_until > self.now

    @property
    def late_seconds(self) -> float:
        """Seconds that the job waits for a worker that should have begun; 0 while that is not longer than it may."""
        if self.due_at is None or self.is_leased:
            return 0.0
        waited = self.due_at, self.job.nudges, self.now
        return overdue.waited_seconds(*waited) if overdue.is_late(overdue.step_of(self.job), *waited) else 0.0


def why_failed(job: Job) -> str | None:
    """Why the job has no video, or how its last tries failed; None where nothing has failed."""
    error = error_of(job)
    if error is not None:
        return f"{error.stage} ({error.code}): {error.message}"
    return f"{job.failures} tries in a row failed: {job.waiting_for}" if job.failures and job.waiting_for else None


def explain(view: View) -> str:
    """The sentence for one job: the event it waits for, and until when."""
    job = view.job
    if job.is_tombstone:
        return "nothing: it closed long ago and only its tombstone is left, so its id never pays again"
    if not job.is_open:
        return f"nothing: {_closed(view)}"
    sentence = _SENTENCES[job.state](view)
    return f"{sentence}. {_lateness(view)}".removesuffix(". ")


def deadline(view: View) -> int | None:
    """When the job's wait ends by itself at the latest, Unix ms; None: by no time."""
    job, timing = view.job, view.timing
    if not job.is_open or (job.is_final and unwritten(job)):
        return None
    if notification.is_pending(job):
        first_at = notification.tries_of(job).first_at
        return _after(first_at, TOTAL_SECONDS) if first_at else None
    if job.is_final:
        return job.look_until
    if job.state is JobState.ACCEPTED:
        return job.not_before if is_scheduled(view) else _submit_until(view)
    if job.state is JobState.SUBMITTING:
        return job.lease_until or view.due_at or view.now
    if job.state is JobState.UNCONFIRMED:
        return _after(job.begun_at or job.accepted_at, timing.unconfirmed_deadline_seconds)
    if job.state is JobState.SUBMITTED:
        end = _after(job.submitted_at or job.accepted_at, timing.generate_deadline_seconds)
        return end if job.unusable_at is None else min(end, _after(job.unusable_at, timing.unusable_seconds))
    return timing.archive_verdict_at(job)


def is_scheduled(view: View) -> bool:
    """True where the job's spec says that it begins later."""
    return view.job.not_before is not None and view.job.not_before > view.now


def _submit_until(view: View) -> int:
    """When the attempt is given up that waits to be submitted: by our patience, or by that of its spec."""
    job = view.job
    ours = view.timing.submit_until(job, job.accepted_at)
    return ours if job.give_up_at is None or job.attempt > 1 else min(ours, job.give_up_at)


def _accepted(view: View) -> str:
    job, end = view.job, _submit_until(view)
    if view.is_leased:
        return f"a worker that is preparing its POST to {job.provider}"
    if is_scheduled(view):
        return f"its time: it is not submitted before {moment(job.not_before or 0)}, {_in(view, job.not_before or 0)}"
    what = job.waiting_for or "a worker to submit it"
    verdict = "failed(accept)" if end == job.give_up_at else "failed(submit)"
    next_look = "called when it is its turn" if job.place else _next(view, "tried")
    return f"{what}; {next_look}; given up as {verdict} {_in(view, end)}"


def _submitting(view: View) -> str:
    job, end = view.job, deadline(view) or view.now
    if job.unsent_by and not job.lease:
        return f"{job.waiting_for}; nothing was sent; {_next(view, 'tried')}"
    return (
        f"the answer to its POST to {job.provider}; if nobody reports one {_in(view, end)}, "
        "the job becomes unconfirmed and the POST is not sent again, unless the bucket says that it never was"
    )


def _unconfirmed(view: View) -> str:
    job, end = view.job, deadline(view) or view.now
    ways = []
    if view.candidates:
        ways.append(f"one of {view.candidates} request ids told by callbacks proving to be its own")
    if view.calls_back:
        ways.append(f"a callback of {job.provider} whose request id our own key confirms")
    if view.can_list:
        ways.append(f"{job.provider}'s list of requests showing our payload")
    once_read = ", once each of those is read" if view.candidates else ""
    ways.append(f"the deadline {_in(view, end)}{once_read}, as failed(outcome_unknown)")
    return (
        f"word whether {job.provider} took the POST, which may have been paid and is never sent again by itself; "
        f"settled by {', or '.join(ways)}; {_next(view, 'looked at')}"
    )


def _submitted(view: View) -> str:
    job, end = view.job, deadline(view) or view.now
    first = f"{job.provider} to finish the video ({job.progress} %): "
    if job.unusable:
        what = UNUSABLE.get(job.unusable, "")
        first = f"{job.provider} to name a video: it says that it is done, but {what} ({job.unusable}): "
    if job.place:
        return f"{first}{job.waiting_for}; called when it is its turn"
    if view.calls_back:
        first += f"its callback, or else a poll; {_next(view, 'polled')}"
    else:
        first += _next(view, "polled")
    return f"{first}; given up as {f'failed({job.unusable})' if job.unusable else 'expired'} {_in(view, end)}"


def _generated(view: View) -> str:
    job = view.job
    if view.is_leased:
        first = "its copy to the bucket, which a worker is making"
    elif job.failures:
        first = f"{job.waiting_for or 'another try to archive'}; {_next(view, 'tried')}"
    else:
        first = f"a worker to copy it to the bucket; {_next(view, 'tried')}"
    return f"{first}; {_link_end(view)}"


def _link_end(view: View) -> str:
    job = view.job
    if job.link_expires_at is not None and job.link_expires_at <= view.now:
        return (
            f"the provider's link should have died at {moment(job.link_expires_at)}; tried until its host says so, "
            f"or for {span(view.timing.past_link_end_seconds)} more"
        )
    if job.link_expires_at is not None:
        return f"the provider's link dies {_in(view, job.link_expires_at)}"
    verdict = view.timing.archive_verdict_at(job)
    return f"the provider did not say when its link dies; given up as failed(archive) {_in(view, verdict)}"


def _final(view: View) -> str:
    owed = [OUTPUTS[code] for code in unwritten(view.job)]
    if owed:
        why = f" ({view.job.waiting_for})" if view.job.failures and view.job.waiting_for else ""
        return f"{' and '.join(owed)} to be written{why}; {_next(view, 'tried')}"
    if notification.is_pending(view.job):
        return _notification(view)
    return f"{_hope(view)}; {_next(view, 'looked at')}, and so on {_until(view)}"


def _notification(view: View) -> str:
    tries = notification.tries_of(view.job)
    failed = f" ({tries.count} tries failed)" if tries.count else ""
    when = f"tried {_in(view, tries.next_at)}" if tries.next_at > view.now else _next(view, "tried")
    return f"its notification to be taken by its receiver{failed}; {when}"


def _hope(view: View) -> str:
    job = view.job
    if view.candidates:
        return f"{view.candidates} request ids told by callbacks to prove to be its own or not"
    if job.state is JobState.EXPIRED or (job.error is not None and job.error.stage == "generate"):
        return f"a late video: {job.provider} is still asked"
    if job.error is not None and job.error.stage == "archive":
        return "a late copy or a fresh link: bucket and provider are looked at"
    if job.ended and not (job.error is not None and job.error.stage == "confirm"):
        return f"a late video of an earlier attempt, which {job.provider} is still asked about"
    if job.error is not None and job.error.stage == "confirm":
        return f"a sign that {job.provider} took the POST after all"
    return "its last look"


def unwritten(job: Job) -> list[WaitCode]:
    """The outputs that a final job has still to hand out."""
    pending = {
        WaitCode.RESULT: job.told_ver < job.ver,
        WaitCode.MANIFEST: job.manifest_ver is not None and job.manifest_ver < job.ver,
    }
    return [code for code, is_pending in pending.items() if is_pending]


def _closed(view: View) -> str:
    ends = {
        JobState.ARCHIVED: "the video is in the bucket and the result is told",
        JobState.CANCELLED: "it was cancelled before any provider heard of it",
        JobState.EXPIRED: "the provider never finished, and it is no longer asked",
    }
    end = ends.get(view.job.state, "it ended without a video and the result is told")
    if notification.is_dead(view.job):
        end += f", but its notification was given up: callsheet renotify {view.job.id}"
    return f"{end}; closed {span((view.now - (view.job.closed_at or view.now)) / 1000)} ago"


_SENTENCES: dict[JobState, Callable[[View], str]] = {
    JobState.ACCEPTED: _accepted,
    JobState.SUBMITTING: _submitting,
    JobState.UNCONFIRMED: _unconfirmed,
    JobState.SUBMITTED: _submitted,
    JobState.GENERATED: _generated,
    JobState.ARCHIVED: _final,
    JobState.FAILED: _final,
    JobState.EXPIRED: _final,
    JobState.CANCELLED: _final,
}


def _next(view: View, verb: str) -> str:
    if view.due_at is None:
        return "in no due index, which is a fault: run callsheet doctor"
    if view.is_leased:
        return "a worker is at it now"
    if view.due_at <= view.now:
        return f"{verb} now"
    return f"{verb} {_in(view, view.due_at)}"


def _lateness(view: View) -> str:
    if not view.late_seconds:
        return ""
    needed = overdue.process_for(overdue.step_of(view.job)) if view.job.nudges else "beat and the sweeper"
    is_asked = f" and asked for {view.job.nudges} times" if view.job.nudges else ""
    verb = "is" if view.job.nudges else "are"
    late = span(view.late_seconds)
    return f"It has been due for {late}{is_asked}: {verb} {needed} running? callsheet doctor looks"


def _after(start: int, seconds: float) -> int:
    return start + int(seconds * 1000)


def _in(view: View, instant: int) -> str:
    if instant <= view.now:
        return f"now (since {moment(instant)})"
    return f"in {span((instant - view.now) / 1000)} ({moment(instant)})"


def _until(view: View) -> str:
    return f"until {moment(view.job.look_until)}" if view.job.look_until else "until it closes"
