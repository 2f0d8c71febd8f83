"""Jobs as data: the row of a list, and the whole document of one job. Instants are RFC 3339.

Links to pictures and videos at providers never are in it; the prompt is, in the document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from worker.jobs import notification
from worker.jobs.durations import iso
from worker.jobs.rate_limits import Standing
from worker.jobs.result import error_document, error_of
from worker.operations import limits
from worker.operations.eta import eta
from worker.operations.explain import View
from worker.operations.stuck import why_stuck
from worker.operations.timeline import Happening, timeline
from worker.operations.view import Reader
from worker.operations.waits import waits_for
from worker.store.whole_job import read_whole

LINK_FIELDS = ("first_frame", "last_frame", "notify_url")


@dataclass(frozen=True)
class Details:
    """All that is known of one job. `events`: how many callbacks are kept."""

    view: View
    spec: Mapping[str, Any] = field(default_factory=dict)  # with pictures described
    timeline: tuple[Happening, ...] = ()
    events: int = 0
    deliveries: tuple[Mapping[str, Any], ...] = ()  # tries at its notifications, the latest 20
    standing: Standing | None = None  # of its provider, while the job is not final


def details(reader: Reader, job_id: str) -> Details | None:
    """All that is known of the job; None when there is no such job."""
    whole = read_whole(reader.store.scripts, job_id)
    if whole is None:
        view = reader.view(job_id)  # of its tombstone
        return None if view is None else Details(view)
    job = whole.job
    return Details(
        view=reader.viewed(job, whole.due_at, reader.store.clock.now(), whole.candidates),
        spec=shown_spec(json.loads(whole.spec_json or "{}")),
        timeline=timeline(job, whole.entries, whole.events),
        deliveries=whole.deliveries,
        events=len(whole.events),
        standing=None if job.is_final else reader.standing(job.provider),
    )


def shown_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """*spec* with its pictures and links described: those may be signed or hold a token, and pictures are long."""
    return {name: _picture(value) if name in LINK_FIELDS else value for name, value in spec.items()}


def _picture(value: str) -> str:
    if value.startswith("s3://"):
        return value
    if value.startswith("data:"):
        return f"<picture of {len(value)} characters>"
    return f"<link at {urlsplit(value).hostname}>"


def row(view: View) -> dict[str, Any]:
    """The job for a program, as lists have it: where it stands, why it failed or is stuck, what it costs, for whom."""
    job = view.job
    error = error_of(job)
    return {
        "job_id": job.id,
        "state": str(job.state),
        "since": iso(job.state_at),
        "accepted_at": iso(job.accepted_at),
        "open": job.is_open,
        "waits_for": waits_for(view).document(),
        "eta": estimate.document() if (estimate := eta(view)) else None,
        "stuck": why_stuck(view),
        "due_at": iso(view.due_at) if view.due_at is not None else None,
        "progress": job.progress,
        "attempt": job.attempt,
        "provider": job.provider,
        "model": job.model,
        "tenant": job.tenant or None,
        "batch": job.batch or None,
        "request_id": job.request_id,
        "error": error_document(error) if error else None,
        "failures": job.failures,
        "last_failure": job.waiting_for if job.failures else None,
        "cost": dict(job.cost),
        "differs": [asdict(difference) for difference in job.differs],
        "notification": notification.standing(job),
    }


def document(known: Details) -> dict[str, Any]:
    """The job for a program, with all that is known of it."""
    view, job = known.view, known.view.job
    return {
        **row(view),
        "ver": job.ver,
        "try": job.try_no,
        "request_ids": {str(attempt): request_id for attempt, request_id in job.request_ids.items()},
        "generated_by": job.generated_by or None,
        "link_expires_at": iso(job.link_expires_at) if job.link_expires_at else None,
        "videos": [asdict(video) for video in job.videos],
        "usage": dict(job.usage),
        "spec": dict(known.spec),
        "polls": job.polls,
        "contradictions": job.contradictions,
        "events": known.events,
        "candidates": view.candidates,
        "notification": notification.standing(job),
        "deliveries": [{**tried, "at": iso(tried["at"])} for tried in known.deliveries],
        "timeline": [happening.document() for happening in known.timeline],
        **({} if known.standing is None else {"limits": limits.document(known.standing)}),
    }
