"""`callsheet cancel`: stop a job while that still saves its money, and say honestly when it does not."""

from __future__ import annotations

import os

import click

from worker.cli.acting import actor, preview_option, reason_option
from worker.cli.many import act_on_many, many, only_one
from worker.cli.verdict import give
from worker.operations import cancel as operation
from worker.operations.bulk import Act
from worker.services import Services
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet cancel order-1007
  callsheet cancel --where state=accepted --where tenant=acme
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB", required=False)
@many
@preview_option
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cancel(
    job_id: str | None, conditions: tuple[str, ...], yes: bool, preview: bool, reason: str, as_json: bool
) -> None:
    """Cancel a job that no provider has heard of; its result becomes REVOKED.

    A provider that has taken it is asked to stop it, where it can be (fal, Replicate); the job goes on until its answer
    says what came of that. Exits with 0 when it is cancelled, 3 when a provider has it (asked, too late) or it
    cannot be told, 4 when it has ended otherwise.
    """
    only_one(job_id, conditions)
    services = Services.from_settings(Settings.from_env(os.environ))
    if job_id is None:
        act_on_many(Act.CANCEL, conditions, services, actor(reason), preview=preview, yes=yes, as_json=as_json)
        return
    give(operation.cancel(job_id, services, by=actor(reason), preview=preview), as_json=as_json)
