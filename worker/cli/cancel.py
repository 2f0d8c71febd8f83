"""`callsheet cancel`: stop a job while that still saves its money, and say honestly when it does not."""

from __future__ import annotations

import os

import click

from worker.cli.verdict import FINAL_ALREADY, TOO_LATE, Verdict, checked_id, found, give, price
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.operations import cancel as step
from worker.services import Services
from worker.settings.settings import Settings
from worker.store import Reply

EXAMPLES = """\b
Example:
  callsheet cancel order-1007
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cancel(job_id: str, as_json: bool) -> None:
    """Cancel a job that no provider has heard of; its result becomes REVOKED.

    Exits with 0 when it is cancelled, 3 when it is too late (a provider has it:
    the job goes on and its cost stands), 4 when it has ended otherwise.
    """
    services = Services.from_settings(Settings.from_env(os.environ))
    give(verdict(step.run(checked_id(job_id), services), job_id), job_id, as_json=as_json)


def verdict(reply: Reply, job_id: str) -> Verdict:
    """What became of the request to cancel."""
    job = found(reply.job, job_id)
    if reply.applied:
        return Verdict("cancelled", f"{job_id} is cancelled: no provider heard of it, nothing was paid")
    if job.state is JobState.CANCELLED:
        return Verdict("cancelled", f"{job_id} was cancelled before; nothing was paid")
    if job.is_final:
        return Verdict("final", f"{job_id} has ended already: it is {job.state}", FINAL_ALREADY)
    return Verdict("too_late", f"too late: {_where(job)}", TOO_LATE)


def _where(job: Job) -> str:
    """Why the job cannot be cancelled, and what becomes of it."""
    provider = job.provider
    if job.state is JobState.ACCEPTED and job.attempt > 1:
        return (
            f"an earlier attempt at {job.id} was handed to {provider}, and its cost stands; "
            f"callsheet pause {provider} holds the next one back"
        )
    if job.state is JobState.GENERATED:
        return f"{provider} has made the video of {job.id}, its cost stands ({price(job)}); it is being archived"
    if job.request_id is not None:
        return (
            f"{provider} has {job.id} as {job.request_id}, its cost stands ({price(job)}); "
            "the job goes on and its video will be archived"
        )
    return (
        f"{job.id} is {job.state}: {provider} may have it, and then its cost stands ({price(job)}); "
        "the job goes on until that is known"
    )
