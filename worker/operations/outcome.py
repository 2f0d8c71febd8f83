"""The outcome of an act on a job, or of its preview: what is done, or why not, what it costs, in words and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from worker.errors import NoSuchJobError
from worker.jobs.job import Job, is_job_id

BASIS = {"list_price": "by the list price", "configured_price": "by your configured price"}
"""The basis of a cost (`ProviderModel.cost`), in words."""


class Pays(StrEnum):
    """The money that an act spends."""

    NOTHING = "nothing"
    ATTEMPT = "attempt"  # at a job of which no attempt was paid for
    ATTEMPT_AGAIN = "attempt_again"  # at a job of which one may have been paid for


@dataclass(frozen=True)
class Outcome:
    """The outcome of one act. *code* is a stable word; *is_done*: the job is now as was asked for.

    Of a preview: it would be. *costs* is the price of the attempt that it pays; empty: nothing, or not known.
    """

    job_id: str
    code: str
    words: str
    is_done: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    pays: Pays = Pays.NOTHING
    costs: Mapping[str, str] = field(default_factory=dict)
    is_preview: bool = False

    def document(self) -> dict[str, Any]:
        """The outcome for a program."""
        return {
            "job_id": self.job_id,
            "outcome": self.code,
            "words": self.words,
            "done": self.is_done,
            "preview": self.is_preview,
            "pays": str(self.pays),
            "costs": dict(self.costs) or None,
            **self.facts,
        }

    def as_preview(self) -> Outcome:
        """The same, told before it is done."""
        return replace(self, is_preview=True)


def checked_id(job_id: str) -> str:
    """*job_id*, if it can name a job; raises `NoSuchJobError`."""
    if not is_job_id(job_id):
        raise NoSuchJobError("a job id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    return job_id


def found(job: Job | None, job_id: str) -> Job:
    """*job*, if there is a record of it; raises `NoSuchJobError`."""
    if job is None:
        raise missing(job_id)
    return job


def missing(job_id: str) -> NoSuchJobError:
    return NoSuchJobError(f"there is no job {job_id}: callsheet list shows those there are")


def price(job: Job) -> str:
    """The price of one attempt at the job, as far as it is known, and what it is by."""
    if not job.cost:
        return "its price is not known here"
    basis = BASIS.get(job.cost.get("basis", ""), "by the list price")
    return f"{job.cost.get('amount', '')} {job.cost.get('currency', '')} {basis}"
