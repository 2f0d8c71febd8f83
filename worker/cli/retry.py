"""`callsheet retry`: let a job that has ended go on, and say what that costs before it is spent."""

from __future__ import annotations

import json
import os

import click

from worker.cli.verdict import TOO_LATE, Verdict, checked_id, found, give, price
from worker.errors import CallsheetError
from worker.jobs.durations import span
from worker.jobs.job import Job
from worker.jobs.states import UNPAID, JobState
from worker.operations import retry as step
from worker.services import Services
from worker.settings.settings import Settings
from worker.store import Reply

EXAMPLES = """\b
Examples:
  callsheet retry order-1007
  callsheet retry order-1007 --pay-again
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB")
@click.option("--pay-again", is_flag=True, help="A new attempt even where one may have been paid for.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def retry(job_id: str, pay_again: bool, as_json: bool) -> None:
    """Let a job that ended without a video go on.

    A failed archive is tried again with fresh links, an expired job is asked
    about again: both cost nothing. Otherwise a new attempt is made, with
    --pay-again where an earlier one may have been paid for. Exits with 3 when
    the job stays as it is.
    """
    services = Services.from_settings(Settings.from_env(os.environ))
    before = found(services.store.get(checked_id(job_id)), job_id)
    give(verdict(before, step.run(job_id, services, pay_again=pay_again)), job_id, as_json=as_json)


def verdict(before: Job, reply: Reply) -> Verdict:
    """What became of *before*, or why nothing did."""
    job = reply.job
    if job is None or job.is_tombstone:
        raise CallsheetError(
            f"only the tombstone of {before.id} is left, which is no record to go on from: send its spec under a new id"
        )
    facts = {"state": str(job.state), "attempt": job.attempt, "price": dict(job.cost), "paid": _ledger(job)}
    if reply.applied:
        return Verdict(*_DONE[job.state](job), facts=facts)
    return Verdict(*_undone(job, reply.word), TOO_LATE, facts)


def _again(job: Job) -> tuple[str, str]:
    known = "; ".join(_ledger(job)) or "nothing was paid before"
    return (
        "new_attempt",
        f"{job.id} goes on: attempt {job.attempt} will be submitted to {job.provider}, {price(job)}; {known}",
    )


def _asked(job: Job) -> tuple[str, str]:
    return "asking", f"{job.id} goes on: {job.provider} is asked about {job.request_id} again; nothing is paid for that"


def _archived(job: Job) -> tuple[str, str]:
    return (
        "archiving",
        f"{job.id} goes on: its video is archived again, with fresh links of {job.provider}; nothing is paid for that",
    )


_DONE = {JobState.ACCEPTED: _again, JobState.SUBMITTED: _asked, JobState.GENERATED: _archived}


def _undone(job: Job, word: str) -> tuple[str, str]:
    """Why the job stays as it is."""
    if word == "paid":
        return "may_be_paid", (
            f"{job.id} may have been paid for already ({'; '.join(_ledger(job))}); a new attempt costs {price(job)} "
            f"once more: callsheet retry {job.id} --pay-again"
        )
    if word == "asking":
        return "asking_first", (
            f"a callback for {job.id} is yet to be looked at, and may bring the video that is paid for: "
            f"try again in {span(60)}, or see callsheet show {job.id}"
        )
    if job.state is JobState.ARCHIVED:
        return "archived", f"{job.id} has its video already"
    return "not_ended", f"{job.id} has not ended: it is {job.state}; callsheet show {job.id} tells what it waits for"


def _ledger(job: Job) -> list[str]:
    """What is known of each attempt that has ended, and of its price."""
    ended = dict(job.ended)
    if job.is_final:
        ended[job.attempt] = job.held
    return [_entry(job, attempt, word) for attempt, word in sorted(ended.items())]


def _entry(job: Job, attempt: int, word: str) -> str:
    request_id = job.request_ids.get(attempt)
    if request_id is not None:
        billed = f", billed {json.dumps(dict(job.usage))}" if attempt == job.attempt and job.usage else ""
        return f"attempt {attempt} ended as {word}: {job.provider} took it as {request_id}{billed}"
    if word in UNPAID:
        return f"attempt {attempt} ended as {word}: not paid for"
    return f"attempt {attempt} ended as {word}: not known whether {job.provider} took it"
