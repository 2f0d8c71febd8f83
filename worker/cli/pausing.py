"""`callsheet pause` and `callsheet resume`: hold a provider's new jobs back, and let them go."""

from __future__ import annotations

import os

import click

from worker.cli.acting import actor, reason_option
from worker.cli.output import emit_json
from worker.jobs.durations import moment
from worker.operations import pause as operation
from worker.services import open_store
from worker.settings.settings import PROVIDER_NAMES, Settings

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
@reason_option
@json_option
def pause(provider: str, reason: str, as_json: bool) -> None:
    """Submit nothing to a provider until it is resumed, in any worker.

    What it has already goes on: polls, callbacks and archiving. The jobs that wait
    are given up after a week.
    """
    paused = operation.pause(open_store(Settings.from_env(os.environ)), provider, actor(reason))
    if as_json:
        emit_json({"provider": provider, "paused": True, "since": paused.since, "waiting": paused.waiting})
        return
    click.echo(
        f"{provider} is paused since {moment(paused.since or 0)}; accepted jobs that wait until it is resumed: "
        f"{paused.waiting}; polls and archiving go on; to go on: callsheet resume {provider}"
    )


@click.command(epilog=RESUME_EXAMPLES)
@provider_argument
@reason_option
@json_option
def resume(provider: str, reason: str, as_json: bool) -> None:
    """Submit to a paused provider again; the jobs that waited are due at once."""
    resumed = operation.resume(open_store(Settings.from_env(os.environ)), provider, actor(reason))
    if as_json:
        emit_json({"provider": provider, "paused": False, "was_paused": resumed.was_paused, "waiting": resumed.waiting})
    elif resumed.was_paused:
        click.echo(f"{provider} is resumed; {resumed.waiting} accepted jobs are due now")
    else:
        click.echo(f"{provider} was not paused")
