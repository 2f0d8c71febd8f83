"""Writes and reads of the tries at a job's notification."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

from worker.jobs.actor import Actor, given_by
from worker.jobs.job import Job
from worker.jobs.notification import Tries
from worker.store.lifetimes import Lifetimes
from worker.store.move_arguments import read_reply
from worker.store.replies import Reply
from worker.store.scripts import Scripts, store_errors, to_json

Outcome = Literal["delivered", "again", "dead", "manual"]
MOST_DELIVERIES = 20
"""Tries that are kept of one job, the latest."""


class Notifications:
    """The notifications of one store's jobs."""

    def __init__(self, scripts: Scripts, lifetimes: Lifetimes) -> None:
        self._scripts = scripts
        self._keys = scripts.keys
        self._lifetimes = lifetimes

    def notified(
        self,
        job: Job,
        outcome: Outcome,
        tried: Mapping[str, Any],
        *,
        rest_in_ms: int,
        retry_ms: int = 0,
        tries: Tries | None = None,
        lease: str | None = None,
        by: Actor | None = None,
    ) -> Reply:
        """Keep a try at the notification of that version of *job*, and close the job if that was all.

        `outcome`: `delivered`; `again`, with *tries*, which say when the next one is; `dead`: there is none; `manual`:
        not taken, and changes no schedule. `late`: the record has moved on, and another notification is pending.
        A job whose result is pending, too, is due in *retry_ms*. With *by* the try stands in the job's timeline.
        """
        given = {
            "outcome": outcome,
            "most_kept": MOST_DELIVERIES,
            "retry_ms": retry_ms,
            **({} if tries is None else {"tries": tries.text(job.ver)}),
            **({} if lease is None else {"lease": lease}),
            **({} if by is None else {"detail": "its notification was sent once more", **given_by(by)}),
        }
        return self._notified(job, given, to_json(tried), rest_in_ms=rest_in_ms)

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """The tries at the job's notifications, the latest 20, in the order they were made."""
        with store_errors():
            lines = cast("list[str]", self._scripts.client.lrange(self._keys.of(job_id)[7], 0, -1))
        return [json.loads(line) for line in lines]

    def hold(self, job: Job, *, hold_ms: int) -> Reply:
        """Put a job off whose notification may not be sent now; its result is delivered, so nothing else waits."""
        return self._notified(job, {"outcome": "held", "hold_ms": hold_ms}, "", rest_in_ms=hold_ms)

    def _notified(self, job: Job, given: Mapping[str, Any], tried: str, *, rest_in_ms: int) -> Reply:
        closing = {"retention_ms": self._lifetimes.retention_ms, "tombstone_ms": self._lifetimes.tombstone_ms}
        given = {**given, **closing, "ver": job.ver, "rest_in_ms": rest_in_ms}
        return read_reply(job.id, self._scripts.run_on_job("notified", job.id, given, tried, durable=True))
