"""The timeline of one job: its moves, what operators did and why, callbacks with their verdict, and polls summed up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from worker.guard.text import clean
from worker.jobs.durations import iso
from worker.jobs.job import Job
from worker.jobs.states import JobState, MovePath
from worker.store import StoredEvent, TimelineEntry

STATUS_CHARACTERS = 40
"""Of a provider's own word, as many as are shown."""


@dataclass(frozen=True)
class Happening:
    """One line of a timeline. `kind` is move, act, callback, polls or callbacks; `at` is Unix ms."""

    at: int
    kind: str
    words: str
    path: MovePath = ""
    attempt: int = 1
    actor: str = ""
    reason: str = ""
    source: str = ""
    target: str = ""
    detail: str = ""

    def document(self) -> dict[str, Any]:
        """The line for a program."""
        return {**asdict(self), "at": iso(self.at)}


def timeline(job: Job, entries: Sequence[TimelineEntry], events: Sequence[StoredEvent]) -> tuple[Happening, ...]:
    """Everything on record of the job, in the order of time."""
    found = [_move(entry) for entry in entries]
    found += [_callback(event, job, entries) for event in events]
    if job.polls and job.submitted_at is not None:
        failed = f", the last {job.failures} of them failed: {job.waiting_for}" if _is_failing(job) else ""
        words = f"{job.polls} polls{failed}"
        found.append(Happening(job.submitted_at, "polls", words, path="poll", attempt=job.attempt))
    if job.contradictions:
        words = f"{job.contradictions} callbacks were denied by the provider's own answer, and forgotten"
        at = job.submitted_at or job.state_at
        found.append(Happening(at, "callbacks", words, path="callback", attempt=job.attempt, detail="contradicted"))
    return tuple(sorted(found, key=lambda happening: happening.at))


def _is_failing(job: Job) -> bool:
    return job.state is JobState.SUBMITTED and job.failures > 0


def _move(entry: TimelineEntry) -> Happening:
    is_act = entry.source == entry.target
    move = entry.target if is_act or not entry.source else f"{entry.source} -> {entry.target}"
    by = f", by {entry.path}" if entry.path else ""
    who = f" {entry.actor}" if entry.actor else ""
    what = f": {entry.detail}" if entry.detail else ""
    why = f" ({entry.reason})" if entry.reason else ""
    return Happening(kind="act" if is_act else "move", words=f"{move}{by}{who}{what}{why}", **asdict(entry))


def _callback(event: StoredEvent, job: Job, entries: Sequence[TimelineEntry]) -> Happening:
    """A callback that is kept, with what the provider's own answer made of it."""
    says = clean(json.loads(event.text or "{}").get("status"), STATUS_CHARACTERS)
    verdict = _verdict(event, job, entries)
    words = f"callback for {event.request_id}{f' says {says}' if says else ''}: {verdict}"
    return Happening(event.at, "callback", words, path="callback", attempt=event.attempt, detail=verdict)


def _verdict(event: StoredEvent, job: Job, entries: Sequence[TimelineEntry]) -> str:
    own = [entry for entry in entries if entry.attempt == event.attempt and entry.at >= event.at]
    if event.attempt < job.attempt:
        return "of an earlier attempt"
    if job.request_ids.get(event.attempt) not in (None, event.request_id):
        return "of another request"
    if any(entry.path == "callback" for entry in own):
        return "confirmed"
    return "looked at" if job.is_final or not event.is_terminal else "yet to be looked at"
