"""`callsheet pause` and `callsheet resume`: hold a provider's new jobs back, and let them go."""

from __future__ import annotations

import os

import click

from worker.cli.output import emit_json
from worker.jobs.durations import moment
from worker.jobs.states import JobState
from worker.services import open_store
from worker.settings.settings import PROVIDER_NAMES, Settings
from worker.store import Store

PAUSE_EXAMPLES = """\b
Example:
  callsheet pause evolink
"""
RESUME_EXAMPLES = """\b
Example:
  callsheet resume evolink
"""

provider_argument = click.argument("provider", metavar="PROVIDER", type=click.Choice(PROVIDER_NAMES))
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command(epilog=PAUSE_EXAMPLES)
@provider_argument
@json_option
def pause(provider: str, as_json: bool) -> None:
    """Submit nothing to a provider until it is resumed, in any worker.

    What it has already goes on: polls, callbacks and archiving. The jobs that wait
    are given up after a week.
    """
    store = open_store(Settings.from_env(os.environ))
    since = store.pause(provider)
    count = len(waiting(store, provider))
    if as_json:
        emit_json({"provider": provider, "paused": True, "since": since, "waiting": count})
        return
    click.echo(
        f"{provider} is paused since {moment(since)}; accepted jobs that wait until it is resumed: {count}; "
        f"polls and archiving go on; to go on: callsheet resume {provider}"
    )


@click.command(epilog=RESUME_EXAMPLES)
@provider_argument
@json_option
def resume(provider: str, as_json: bool) -> None:
    """Submit to a paused provider again; the jobs that waited are due at once."""
    store = open_store(Settings.from_env(os.environ))
    was_paused = store.resume(provider)
    waited = waiting(store, provider)
    if was_paused:
        store.hasten(waited)
    if as_json:
        emit_json({"provider": provider, "paused": False, "was_paused": was_paused, "waiting": len(waited)})
    elif was_paused:
        click.echo(f"{provider} is resumed; {len(waited)} accepted jobs are due now")
    else:
        click.echo(f"{provider} was not paused")


def waiting(store: Store, provider: str) -> list[str]:
    """The accepted jobs of *provider*."""
    open_jobs = store.outlines(job_id for _, job_id in store.open_ids())
    return [job.id for job in open_jobs if job.provider == provider and job.state is JobState.ACCEPTED]
