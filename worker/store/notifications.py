"""Writes and reads of the tries at a job's notification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.jobs.actor import Actor, given_by
from worker.jobs.job import Job
from worker.jobs.notification import Tries
from worker.store.attempts import TOMBSTONE_MS
from worker.store.move_arguments import read_reply, to_json
from worker.store.rate_limits import Admission
from worker.store.replies import Reply

MOST_DELIVERIES = 20
"""Tries that are kept of one job, the latest."""


class Deliveries(Admission):
    """The store as the step that notifies meets it."""

    def notified(
        self,
        job: Job,
        outcome: str,
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

    def make_durable(self, job_id: str) -> None:
        """Return when all that the job's record holds is as durable as `durability` says: it may be told then."""
        self._run("note", job_id, {"notes": {}}, "", durable=True)

    def hold_notification(self, job: Job, *, hold_ms: int) -> Reply:
        """Put a job off whose notification may not be sent now; its result is delivered, so nothing else waits."""
        return self._notified(job, {"outcome": "held", "hold_ms": hold_ms}, "", rest_in_ms=hold_ms)

    def _notified(self, job: Job, given: Mapping[str, Any], tried: str, *, rest_in_ms: int) -> Reply:
        closing = {"retention_ms": self._retention_ms, "tombstone_ms": self._retention_ms + TOMBSTONE_MS}
        given = {**given, **closing, "ver": job.ver, "rest_in_ms": rest_in_ms}
        return read_reply(job.id, self._run("notified", job.id, given, tried, durable=True))
