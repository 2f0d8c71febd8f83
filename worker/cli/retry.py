"""`callsheet retry`: let a job that has ended go on, and say what that costs before it is spent."""

from __future__ import annotations

import os

import click

from worker.cli.acting import actor, preview_option, reason_option
from worker.cli.many import act_on_many, many, only_one
from worker.cli.verdict import give
from worker.operations import retry as operation
from worker.operations.bulk import Act
from worker.services import Services
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet retry order-1007
  callsheet retry order-1007 --preview
  callsheet retry order-1007 --pay-again
  callsheet retry --where state=failed --where code=unavailable --where since=2h
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB", required=False)
@many
@click.option("--pay-again", is_flag=True, help="A new attempt even where one may have been paid for.")
@preview_option
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def retry(
    job_id: str | None,
    conditions: tuple[str, ...],
    yes: bool,
    pay_again: bool,
    preview: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let a job that ended without a video go on.

    A failed archive is tried again with fresh links, an expired job is asked
    about again: both cost nothing. Otherwise a new attempt is made, with
    --pay-again where an earlier one may have been paid for. Exits with 3 when
    the job stays as it is.
    """
    only_one(job_id, conditions)
    services = Services.from_settings(Settings.from_env(os.environ))
    if job_id is None:
        by, how = actor(reason), {"preview": preview, "yes": yes, "as_json": as_json}
        act_on_many(Act.RETRY, conditions, services, by, pay_again=pay_again, **how)
        return
    outcome = operation.retry(job_id, services, pay_again=pay_again, by=actor(reason), preview=preview)
    give(outcome, as_json=as_json)
