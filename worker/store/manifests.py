"""Jobs and videos that a manifest in the bucket proves, and Redis has lost."""

from __future__ import annotations

from typing import Literal, cast

from worker.jobs.actor import Actor, given_by
from worker.jobs.job import Job
from worker.jobs.manifest import Restorable
from worker.jobs.states import JobState, MovePath
from worker.store.budget import Budget
from worker.store.compression import pack
from worker.store.jobs import Jobs
from worker.store.layout import Fields
from worker.store.lifetimes import Lifetimes
from worker.store.lists import RANKS
from worker.store.move_arguments import MoneyFacts, read_job
from worker.store.replies import Reply
from worker.store.request_ids import RequestIds
from worker.store.scripts import Scripts

Restored = Literal["applied", "repeat", "taken"]
PROVED = ("videos", "ignored", "differs", "usage")
"""Fields of a record that a manifest proves."""


class Manifests:
    """Records written from manifests."""

    def __init__(
        self, scripts: Scripts, lifetimes: Lifetimes, jobs: Jobs, request_ids: RequestIds, budget: Budget
    ) -> None:
        self._scripts = scripts
        self._lifetimes = lifetimes
        self._jobs = jobs
        self._request_ids = request_ids
        self._budget = budget

    def restore(self, told: Restorable, by: Actor | None = None) -> Restored:
        """Record an archived job that nothing is known of, closed: `applied`, `repeat` (it is known), or `taken`
        (one of its request ids belongs to another job)."""
        for request_id in told.request_ids.values():
            if self._request_ids.own(told.job_id, told.provider, request_id) != told.job_id:
                return "taken"
        given = {
            "fields": dict(told.fields),
            "rank": RANKS[JobState(told.fields["state"])],
            "path": "operator",
            "detail": "restored from its manifest",
            "retention_ms": self._lifetimes.retention_ms,
            "tombstone_ms": self._lifetimes.tombstone_ms,
            **given_by(by),
        }
        word, *record = self._scripts.run_on_job("restore", told.job_id, given, pack(told.spec_json), durable=True)
        if record:
            self._budget.correct(read_job(told.job_id, record[0]))
        return cast("Restored", word)

    def adopt(self, job: Job, told: Restorable, *, path: MovePath, by: Actor | None = None) -> Reply:
        """Record the videos that a manifest in the bucket proves, with the requests that made them.

        `late`: a request of the job is under way, and its own video will come. `taken`: one of the manifest's request
        ids belongs to another job.
        """
        for request_id in told.request_ids.values():
            if self._request_ids.own(job.id, told.provider, request_id) != job.id:
                return Reply("taken", job)
        kept = {name: told.fields[name] for name in PROVED if name in told.fields}
        notes: Fields = {"generated_by": told.fields["generated_by"], "progress": "100"}
        if told.made_in != job.attempt:
            notes["videos_attempt"] = str(told.made_in)
        return self._jobs.move(
            job.id,
            JobState.ARCHIVED,
            attempt=job.attempt,
            path=path,
            sources=told.ends(job),
            facts=cast("Fields", kept),
            request_ids=told.request_ids,
            notes=notes,
            detail="by the manifest in the bucket",
            money=MoneyFacts(proven=told.money, proven_at=int(told.fields["final_at"])),
            by=by,
        )
