"""`callsheet show`: all that is known about one job, and in words what it waits for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import click

from worker.cli.output import emit_json, fields
from worker.errors import CallsheetError
from worker.jobs.durations import iso, moment, span
from worker.jobs.job import Job, is_job_id
from worker.jobs.result import error_of
from worker.jobs.states import JobState
from worker.operations import limits
from worker.operations.explain import View, explain
from worker.operations.view import Reader
from worker.store import TimelineEntry

IMAGE_FIELDS = ("first_frame", "last_frame")

EXAMPLES = """\b
Examples:
  callsheet show order-1007
  callsheet show order-1007 --json | jq .waits_for
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(job_id: str, as_json: bool) -> None:
    """Show one job: spec, state, timeline, and what it waits for until when.

    The prompt is shown; links to pictures and videos at providers never are.
    """
    if not is_job_id(job_id):
        raise CallsheetError("a job id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    reader = Reader.from_env(os.environ)
    view = reader.view(job_id)
    if view is None:
        raise CallsheetError(f"there is no job {job_id}: callsheet list shows those there are")
    spec = shown_spec(json.loads(reader.store.spec_json(job_id) or "{}"))
    timeline = reader.store.timeline(job_id)
    events = len(reader.store.events(job_id))
    standing = None if view.job.is_final else reader.standings().get(view.job.provider)
    if as_json:
        limits_now = {} if standing is None else {"limits": limits.document(standing)}
        emit_json({**document(view, spec, timeline, events), **limits_now})
        return
    click.echo(text(view, spec, timeline, events))
    if standing is not None:
        told = [limits.sentence(standing), *limits.held_back(standing)]
        click.echo(fields([(view.job.provider if n == 0 else "", line) for n, line in enumerate(told)]))


def shown_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """*spec* with its pictures described: their links may be signed, and their content is long."""
    return {name: _picture(value) if name in IMAGE_FIELDS else value for name, value in spec.items()}


def _picture(value: str) -> str:
    if value.startswith("s3://"):
        return value
    if value.startswith("data:"):
        return f"<picture of {len(value)} characters>"
    return f"<link at {urlsplit(value).hostname}>"


def document(view: View, spec: Mapping[str, Any], timeline: list[TimelineEntry], events: int) -> dict[str, Any]:
    """The job for a program; instants are RFC 3339."""
    job = view.job
    error = error_of(job)
    return {
        "job_id": job.id,
        "state": str(job.state),
        "since": iso(job.state_at),
        "open": job.is_open,
        "waits_for": explain(view),
        "due_at": iso(view.due_at) if view.due_at is not None else None,
        "progress": job.progress,
        "attempt": job.attempt,
        "try": job.try_no,
        "provider": job.provider,
        "model": job.model,
        "request_id": job.request_id,
        "request_ids": {str(attempt): request_id for attempt, request_id in job.request_ids.items()},
        "generated_by": job.generated_by or None,
        "link_expires_at": iso(job.link_expires_at) if job.link_expires_at else None,
        "videos": [asdict(video) for video in job.videos],
        "cost": dict(job.cost),
        "usage": dict(job.usage),
        "error": asdict(error) if error else None,
        "spec": dict(spec),
        "polls": job.polls,
        "contradictions": job.contradictions,
        "events": events,
        "candidates": view.candidates,
        "timeline": [{**asdict(entry), "at": iso(entry.at)} for entry in timeline],
    }


def text(view: View, spec: Mapping[str, Any], timeline: list[TimelineEntry], events: int) -> str:
    """The job for a person."""
    rows = [*_standing(view), *_outcome(view.job), *_asked(spec), *_heard(view, events), *_moves(timeline)]
    return fields(rows)


def _standing(view: View) -> Iterator[tuple[str, str]]:
    job = view.job
    progress = f" at {job.progress} %" if job.state is JobState.SUBMITTED else ""
    yield "job", job.id
    yield "state", f"{job.state}{progress}, for {span((view.now - job.state_at) / 1000)} (since {moment(job.state_at)})"
    yield "waits for", explain(view)
    yield "made by", f"{job.provider}, model {job.model}, attempt {job.attempt}, POSTs begun in it: {job.try_no}"
    ids = [f"{request_id} (attempt {attempt})" for attempt, request_id in sorted(job.request_ids.items())]
    yield "request id", ", ".join(ids) or "not known"


def _outcome(job: Job) -> Iterator[tuple[str, str]]:
    error = error_of(job)
    if error is not None:
        yield "error", f"{error.stage} ({error.code}): {error.message}"
    for video in job.videos:
        size = f"{video.bytes} bytes, {video.seconds:g} s, {video.width}x{video.height}"
        yield "video", video.uri
        yield "", f"{size}, {video.content_type}, sha256 {video.sha256}"
    if job.generated_by:
        yield "told by", job.generated_by
    if job.cost:
        yield "cost", " ".join(job.cost.get(name, "") for name in ("amount", "currency")) + f", {job.cost.get('basis')}"
    if job.usage:
        yield "usage", json.dumps(job.usage)


def _asked(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    label = "spec"
    for name, value in spec.items():
        if name == "shots":
            for n, shot in enumerate(value, 1):
                yield label, f"shot {n}: {shot['seconds']} s: {shot['prompt']}"
                label = ""
            continue
        yield label, f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        label = ""


def _heard(view: View, events: int) -> Iterator[tuple[str, str]]:
    job = view.job
    yield "heard", f"{job.polls} polls, {events} callback events kept, {view.candidates} candidate request ids"
    if job.contradictions:
        yield "", f"{job.contradictions} callbacks that the provider's own answer denied"


def _moves(timeline: list[TimelineEntry]) -> Iterator[tuple[str, str]]:
    label = "timeline"
    for entry in timeline:
        move = f"{entry.source} -> {entry.target}" if entry.source else entry.target
        why = f": {entry.detail}" if entry.detail else ""
        yield label, f"{iso(entry.at)}  {move}{f', by {entry.path}' if entry.path else ''}{why}"
        label = ""
