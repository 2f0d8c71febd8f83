"""`callsheet list`: many jobs, a line each.

Open jobs come from the due index, the soonest due first, and are looked at only
as far as wanted. Closed ones stand in no index: all records are looked through.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice

import click

from worker.cli.output import emit_json, table, terminal_width
from worker.guard.text import printable
from worker.jobs.durations import iso, parse_span, span
from worker.jobs.states import FINAL, JobState
from worker.operations import limits
from worker.operations.explain import View, explain
from worker.operations.stuck import why_stuck
from worker.operations.view import Reader
from worker.settings.settings import PROVIDER_NAMES
from worker.store import Outline, Store

MOST_RECORDS = 1_000_000
"""Records looked through when no index helps; then the search ends and says so."""
STUCK_HEAD = ("job", "state", "for", "provider", "stuck because", "waits for")
HEAD = ("job", "age", "state", "%", "provider", "model", "waits for")

EXAMPLES = """\b
Examples:
  callsheet list --open
  callsheet list --stuck
  callsheet list --state failed --since 2h
  callsheet list --provider evolink --limit 500 --json | jq -r .job_id
"""


@dataclass(frozen=True)
class Filter:
    """Which jobs are wanted; an empty set of states means any."""

    states: frozenset[JobState]
    provider: str | None
    is_open: bool | None
    accepted_since: int | None  # Unix ms

    @property
    def only_open(self) -> bool:
        """Whether every wanted job stands in the due index: all that are not final do."""
        return self.is_open is True or (bool(self.states) and not self.states & FINAL)

    def takes(self, outline: Outline) -> bool:
        return (
            (not self.states or outline.state in self.states)
            and self.provider in (None, outline.provider)
            and self.is_open in (None, outline.is_open)
            and (self.accepted_since is None or outline.accepted_at >= self.accepted_since)
        )


class Span(click.ParamType[int]):
    """`90s`, `15m`, `2h` or `7d`, in seconds."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_span(str(value))
        except ValueError as err:
            self.fail(str(err), param, ctx)


@click.command("list", epilog=EXAMPLES)
@click.option(
    "--state", "states", type=click.Choice([str(state) for state in JobState]), multiple=True, help="Repeatable."
)
@click.option("--provider", type=click.Choice(PROVIDER_NAMES), help="Who makes the video.")
@click.option("--open/--closed", "is_open", default=None, help="Open jobs, or those that nothing is owed for.")
@click.option("--stuck", is_flag=True, help="Open jobs that do not go on as they should, and why.")
@click.option("--since", type=Span(), metavar="SPAN", help="Accepted no longer ago: 90s, 15m, 2h or 7d.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_jobs(
    states: tuple[str, ...],
    provider: str | None,
    is_open: bool | None,
    stuck: bool,
    since: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs: the open ones soonest due first, else the newest first."""
    if stuck and is_open is False:
        raise click.UsageError("--stuck is about open jobs: leave out --closed")
    reader = Reader.from_env(os.environ)
    now = reader.store.now()
    wanted = Filter(
        states=frozenset(JobState(state) for state in states),
        provider=provider,
        is_open=True if stuck else is_open,
        accepted_since=None if since is None else now - since * 1000,
    )
    views = list(islice(_views(reader, wanted, limit, now, only_stuck=stuck), limit + 1))
    shown = views[:limit]
    if as_json:
        for view in shown:
            emit_json(_document(view))
    elif shown:
        head, row = (STUCK_HEAD, _stuck_row) if stuck else (HEAD, _row)
        click.echo(table(head, [row(view) for view in shown], width=terminal_width()))
    else:
        click.echo("no job is stuck" if stuck else "no such jobs", err=True)
    for line in reader.troubles() if stuck else ():
        click.echo(printable(line), err=True)
    for standing in reader.standings().values():
        for line in limits.held_back(standing):
            click.echo(line, err=True)
    if len(views) > limit:
        click.echo(f"there are more than {limit}: raise --limit, or filter", err=True)


def _views(reader: Reader, wanted: Filter, limit: int, now: int, *, only_stuck: bool) -> Iterator[View]:
    """The wanted jobs in their order, one more than *limit* at most."""
    due = {job_id: due_at for due_at, job_id in reader.store.open_ids()}
    if not only_stuck:
        found = _found(reader.store, wanted, due, limit)
        yield from (reader.viewed(job, due.get(job.id), now) for job in reader.store.read(found))
        return
    # an open job that is in no index, too, is stuck
    ids = [outline.id for outline in _bounded(reader.store.outlines()) if wanted.takes(outline)]
    ids.sort(key=lambda job_id: due.get(job_id, 0))
    views = (reader.viewed(job, due.get(job.id), now) for job in reader.store.read(ids))
    yield from (view for view in views if why_stuck(view))


def _found(store: Store, wanted: Filter, due: Mapping[str, int], limit: int) -> list[str]:
    """The ids of the wanted jobs in their order, one more than *limit* at most."""
    if wanted.only_open:
        fitting = (outline for outline in store.outlines(due) if wanted.takes(outline))
        return [outline.id for outline in islice(fitting, limit + 1)]
    fitting = (outline for outline in _bounded(store.outlines()) if wanted.takes(outline))
    return [outline.id for outline in nlargest(limit + 1, fitting, key=lambda outline: outline.accepted_at)]


def _bounded(outlines: Iterable[Outline]) -> Iterator[Outline]:
    for seen, outline in enumerate(outlines):
        if seen >= MOST_RECORDS:
            click.echo(f"looked through {MOST_RECORDS} records and no further", err=True)
            return
        yield outline


def _row(view: View) -> tuple[str, ...]:
    job = view.job
    age = span((view.now - job.accepted_at) / 1000)
    return job.id, age, str(job.state), str(job.progress), job.provider, job.model, explain(view)


def _stuck_row(view: View) -> tuple[str, ...]:
    job = view.job
    for_so_long = span((view.now - job.state_at) / 1000)
    return job.id, str(job.state), for_so_long, job.provider, why_stuck(view) or "", explain(view)


def _document(view: View) -> dict[str, object]:
    job = view.job
    return {
        "job_id": job.id,
        "state": str(job.state),
        "open": job.is_open,
        "progress": job.progress,
        "provider": job.provider,
        "model": job.model,
        "attempt": job.attempt,
        "request_id": job.request_id,
        "accepted_at": iso(job.accepted_at),
        "since": iso(job.state_at),
        "due_at": iso(view.due_at) if view.due_at is not None else None,
        "stuck": why_stuck(view),
        "waits_for": explain(view),
    }
