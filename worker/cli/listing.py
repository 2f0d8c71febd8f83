"""`callsheet list`: many jobs, a line each."""

from __future__ import annotations

import os
from typing import Any

import click

from worker.cli.output import emit_json, table, terminal_width
from worker.guard.text import printable
from worker.jobs.durations import moment, parse_span, span
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations import limits
from worker.operations.explain import View, explain, why_failed
from worker.operations.job_document import row as row_document
from worker.operations.search import Filter, collect
from worker.operations.stuck import why_stuck
from worker.operations.view import Reader
from worker.operations.waits import code_of
from worker.settings.settings import PROVIDER_NAMES

STUCK_HEAD = ("job", "state", "for", "provider", "stuck because", "waits for")
HEAD = ("job", "age", "state", "%", "provider", "model", "tenant", "cost", "waits for", "why, and what it waits for")

EXAMPLES = """\b
Examples:
  callsheet list --open
  callsheet list --stuck
  callsheet list --state failed --since 2h
  callsheet list --code moderation --tenant acme --metadata order=1007
  callsheet list --waits-for budget
  callsheet list --provider evolink --limit 500 --json | jq -r .job_id
"""


class Span(click.ParamType[int]):
    """`90s`, `15m`, `2h` or `7d`, in seconds."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_span(str(value))
        except ValueError as err:
            self.fail(str(err), param, ctx)


def _pairs(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Names and values of `KEY=VALUE`."""
    pairs = [text.partition("=") for text in texts]
    if not all(key and equals for key, equals, _ in pairs):
        raise click.BadParameter("must be KEY=VALUE, such as order=1007")
    return tuple((key, value) for key, _, value in pairs)


@click.command("list", epilog=EXAMPLES)
@click.option(
    "--state", "states", type=click.Choice([str(state) for state in JobState]), multiple=True, help="Repeatable."
)
@click.option("--provider", type=click.Choice(PROVIDER_NAMES), help="Who makes the video.")
@click.option("--model", metavar="NAME", help="The provider's own name of the model.")
@click.option("--tenant", metavar="NAME", help="For whom.")
@click.option("--code", metavar="CODE", help="Why it failed: an error code, such as moderation.")
@click.option(
    "--waits-for", type=click.Choice([str(code) for code in WaitCode]), metavar="CODE", help="Such as budget."
)
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, callback=_pairs, help="Of the spec; repeatable.")
@click.option("--differs", is_flag=True, help="Archived videos that are not as they were asked for.")
@click.option("--open/--closed", "is_open", default=None, help="Open jobs, or those that nothing is owed for.")
@click.option("--stuck", is_flag=True, help="Open jobs that do not go on as they should, and why.")
@click.option("--dead-notifications", is_flag=True, help="Jobs whose receiver never took their notification.")
@click.option("--since", type=Span(), metavar="SPAN", help="Accepted no longer ago: 90s, 15m, 2h or 7d.")
@click.option("--until", type=Span(), metavar="SPAN", help="Accepted at least so long ago.")
@click.option("--cursor", metavar="CURSOR", help="Go on where the list before ended, as it said.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_jobs(
    since: int | None, until: int | None, cursor: str | None, stuck: bool, limit: int, as_json: bool, **asked: Any
) -> None:
    """List jobs, the newest first."""
    if stuck and asked["is_open"] is False:
        raise click.UsageError("--stuck is about open jobs: leave out --closed")
    reader = Reader.from_env(os.environ)
    now = reader.store.clock.now()
    wanted = Filter(
        states=frozenset(JobState(state) for state in asked["states"]),
        provider=asked["provider"],
        model=asked["model"],
        tenant=asked["tenant"],
        error_code=asked["code"],
        since=None if since is None else now - since * 1000,
        until=None if until is None else now - until * 1000,
        metadata=asked["metadata"],
        is_open=asked["is_open"],
        differs=asked["differs"],
        stuck=stuck,
        waits_for=asked["waits_for"] and WaitCode(asked["waits_for"]),
        dead_notification=asked["dead_notifications"],
    )
    found = collect(reader, wanted, cursor, limit)
    if as_json:
        for view in found.jobs:
            emit_json(row_document(view))
    elif found.jobs:
        head, row = (STUCK_HEAD, _stuck_row) if stuck else (HEAD, _row)
        click.echo(table(head, [row(view) for view in found.jobs], width=terminal_width()))
    else:
        click.echo("no job is stuck" if stuck else "no such jobs", err=True)
    for line in reader.troubles() if stuck else ():
        click.echo(printable(line), err=True)
    for standing in reader.standings().values():
        for line in limits.held_back(standing):
            click.echo(line, err=True)
    if found.next is not None and found.searched_to is not None:
        back_to = moment(found.searched_to)
        click.echo(f"looked back to jobs accepted at {back_to}; older ones: --cursor {found.next}", err=True)


def _row(view: View) -> tuple[str, ...]:
    job = view.job
    age = span((view.now - job.accepted_at) / 1000)
    why = "; ".join(filter(None, (why_failed(job), explain(view))))
    known = job.provider, job.model, job.tenant, job.cost.get("amount", ""), str(code_of(view))
    return job.id, age, str(job.state), str(job.progress), *known, why


def _stuck_row(view: View) -> tuple[str, ...]:
    job = view.job
    for_so_long = span((view.now - job.state_at) / 1000)
    why = "; ".join(dict.fromkeys(filter(None, (why_stuck(view), why_failed(job)))))
    return job.id, str(job.state), for_so_long, job.provider, why, explain(view)
