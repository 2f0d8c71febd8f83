"""`callsheet show`: all that is known about one job, and in words what it waits for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from worker.cli.output import emit_json, fields
from worker.jobs.durations import iso, moment, span
from worker.jobs.job import Job
from worker.jobs.result import error_of
from worker.jobs.states import JobState
from worker.operations import limits
from worker.operations.eta import eta
from worker.operations.explain import View
from worker.operations.job_document import Details, details, document
from worker.operations.outcome import checked_id, missing
from worker.operations.timeline import Happening
from worker.operations.view import Reader
from worker.operations.waits import waits_for

EXAMPLES = """\b
Examples:
  callsheet show order-1007
  callsheet show order-1007 --json | jq .waits_for.code
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(job_id: str, as_json: bool) -> None:
    """Show one job: spec, state, timeline, and what it waits for until when.

    The prompt is shown; links to pictures and videos at providers never are.
    """
    known = details(Reader.from_env(os.environ), checked_id(job_id))
    if known is None:
        raise missing(job_id)
    if as_json:
        emit_json(document(known))
    else:
        click.echo(text(known))


def text(known: Details) -> str:
    """The job for a person."""
    view, spec = known.view, known.spec
    of_job = [*_standing(view), *_outcome(view.job), *_asked(spec), *_heard(view, known.events), *_notified(known)]
    return "\n".join(fields(rows) for rows in ([*of_job, *_moves(known.timeline)], [*_limits(known)]) if rows)


def _standing(view: View) -> Iterator[tuple[str, str]]:
    job = view.job
    progress = f" at {job.progress} %" if job.state is JobState.SUBMITTED else ""
    yield "job", f"{job.id}, for {job.tenant}" if job.tenant else job.id
    yield "state", f"{job.state}{progress}, for {span((view.now - job.state_at) / 1000)} (since {moment(job.state_at)})"
    waits = waits_for(view)
    yield "waits for", waits.words
    ways = f"; settled by {', '.join(waits.settled_by)}" if waits.settled_by else ""
    yield "", f"({waits.code}{ways})"
    if (estimate := eta(view)) is not None:
        yield "expected", f"by {moment(estimate.p50_at)} with even odds, by {moment(estimate.p90_at)} with nine in ten"
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


def _notified(known: Details) -> Iterator[tuple[str, str]]:
    label = "notified"
    for tried in known.deliveries:
        answer = f"answered {tried['status']}" if tried["status"] else tried.get("error", "")
        said = f": {tried['words']}" if tried.get("words") else ""
        yield (
            label,
            f"{iso(tried['at'])}  version {tried['ver']}, by {tried['path']}: {answer}{said} ({tried['ms']} ms)",
        )
        label = ""


def _limits(known: Details) -> Iterator[tuple[str, str]]:
    if known.standing is not None:
        yield known.view.job.provider, limits.sentence(known.standing)
        yield from (("", line) for line in limits.held_back(known.standing))


def _moves(timeline: Sequence[Happening]) -> Iterator[tuple[str, str]]:
    label = "timeline"
    for happening in timeline:
        yield label, f"{iso(happening.at)}  {happening.words}"
        label = ""
