"""`callsheet ask`: have a job's provider asked about it now."""

from __future__ import annotations

import os

import click

from worker.cli.acting import actor, preview_option, reason_option
from worker.cli.verdict import give
from worker.operations import ask as operation
from worker.services import Services
from worker.settings.settings import Settings

EXAMPLES = """\b
Example:
  callsheet ask order-1007
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB")
@preview_option
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ask(job_id: str, preview: bool, reason: str, as_json: bool) -> None:
    """Have the provider asked about a job now, instead of when its next poll is due.

    It costs nothing. Exits with 3 when there is nothing to ask.
    """
    services = Services.from_settings(Settings.from_env(os.environ))
    give(operation.ask(job_id, services, actor(reason), preview=preview), as_json=as_json)
