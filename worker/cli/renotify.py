"""`callsheet renotify`: send a job's notification once more."""

from __future__ import annotations

import os

import click

from worker.cli.acting import actor, preview_option, reason_option
from worker.cli.many import act_on_many, many, only_one
from worker.cli.verdict import give
from worker.operations import renotify as operation
from worker.operations.bulk import Act
from worker.services import Services
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet renotify order-1007
  callsheet renotify --where dead_notification=true
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB", required=False)
@many
@preview_option
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def renotify(
    job_id: str | None, conditions: tuple[str, ...], yes: bool, preview: bool, reason: str, as_json: bool
) -> None:
    """Send a job's notification once more, and say what its receiver answered.

    The webhook-id is that of the earlier tries, and their schedule goes on
    unless this one is taken. Exits with 3 when it is not.
    """
    only_one(job_id, conditions)
    services = Services.from_settings(Settings.from_env(os.environ))
    if job_id is None:
        act_on_many(Act.RENOTIFY, conditions, services, actor(reason), preview=preview, yes=yes, as_json=as_json)
        return
    give(operation.renotify(job_id, services, actor(reason), preview=preview), as_json=as_json)
