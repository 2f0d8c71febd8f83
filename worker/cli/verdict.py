"""What an operator's verb has done to a job, or why it has not: one line, one exit status."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import click

from worker.cli.output import emit_json
from worker.errors import CallsheetError
from worker.guard.text import printable
from worker.jobs.job import Job, is_job_id

TOO_LATE = 3
FINAL_ALREADY = 4


@dataclass(frozen=True)
class Verdict:
    """The outcome of one verb; a *status* other than 0 says that it was not done."""

    outcome: str
    words: str
    status: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def give(verdict: Verdict, job_id: str, *, as_json: bool) -> None:
    """Say *verdict*, and end with its status."""
    if as_json:
        emit_json({"job_id": job_id, "outcome": verdict.outcome, "words": verdict.words, **verdict.facts})
    else:
        prefix = "Error: " if verdict.status else ""
        click.echo(printable(f"{prefix}{verdict.words}"), err=bool(verdict.status))
    sys.exit(verdict.status)


def checked_id(job_id: str) -> str:
    """*job_id*, if it can name a job."""
    if not is_job_id(job_id):
        raise CallsheetError("a job id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    return job_id


def found(job: Job | None, job_id: str) -> Job:
    """*job*, if there is a record of it."""
    if job is None:
        raise CallsheetError(f"there is no job {job_id}: callsheet list shows those there are")
    return job


def price(job: Job) -> str:
    """What one attempt at the job costs, as far as it is known."""
    if not job.cost:
        return "its price is not known here"
    return f"{job.cost.get('amount', '')} {job.cost.get('currency', '')} by the list price"
