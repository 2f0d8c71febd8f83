"""`callsheet replay`: have a callback that was kept looked at again."""

from __future__ import annotations

import os
from typing import Any

import click

from worker.cli.acting import actor, preview_option, reason_option
from worker.cli.output import emit_json, table, terminal_width
from worker.cli.verdict import give
from worker.operations import replay as operation
from worker.services import Services
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet replay order-1007
  callsheet replay order-1007 --list
  callsheet replay order-1007 --event 2
  callsheet replay --list
  callsheet replay --stray 1
"""
EVENT_HEAD = ("n", "at", "attempt", "request id", "says")
STRAY_HEAD = ("n", "at", "provider", "job", "attempt", "why it was kept")


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB", required=False)
@click.option("--event", "event_no", type=click.IntRange(min=1), metavar="N", help="Which, as --list counts.")
@click.option("--stray", "stray_no", type=click.IntRange(min=1), metavar="N", help="One that belonged to no job.")
@click.option("--list", "only_list", is_flag=True, help="Show what is kept: of JOB, or the strays.")
@preview_option
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(
    job_id: str | None,
    event_no: int | None,
    stray_no: int | None,
    only_list: bool,
    preview: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Have a stored callback looked at again: the latest of JOB that tells an end, unless told which.

    It says when to ask, never what is true: the provider is asked as always.
    Exits with 3 when the callback can change nothing.
    """
    if (job_id is None) == (stray_no is None) and not (only_list and job_id is None and stray_no is None):
        raise click.UsageError("give a JOB, or --stray N, or --list")
    if event_no is not None and job_id is None:
        raise click.UsageError("--event needs a JOB")
    if preview and job_id is None:
        raise click.UsageError("--preview needs a JOB")
    services = Services.from_settings(Settings.from_env(os.environ))
    if only_list and job_id is not None:
        _show(EVENT_HEAD, operation.kept_events(job_id, services.store), "no callback is kept", as_json=as_json)
    elif job_id is not None:
        outcome = operation.replay(job_id, services, event_no=event_no, by=actor(reason), preview=preview)
        give(outcome, as_json=as_json)
    elif stray_no is not None:
        give(operation.replay_stray(stray_no, services), as_json=as_json)
    else:
        _show(STRAY_HEAD, operation.kept_strays(services.store), "no stray is kept", as_json=as_json)


def _show(head: tuple[str, ...], rows: list[dict[str, Any]], nothing: str, *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            emit_json(row)
    elif rows:
        click.echo(table(head, [[str(value) for value in row.values()] for row in rows], width=terminal_width()))
    else:
        click.echo(nothing, err=True)
