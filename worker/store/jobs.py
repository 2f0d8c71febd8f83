"""Writes and reads of one job's record; the legality of a move is decided where the record lives."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Unpack

from worker.jobs.actor import Actor, given_by
from worker.jobs.job import SCHEMA_VERSION, Job, JobError, Link
from worker.jobs.record import job_of
from worker.jobs.states import JobState, MovePath
from worker.store.budget import Budget
from worker.store.compression import pack
from worker.store.layout import Fields
from worker.store.lifetimes import Lifetimes
from worker.store.lists import RANKS
from worker.store.move_arguments import NOTHING_OF_MONEY, MoneyFacts, move_given, open_fields, read_reply
from worker.store.replies import Reply
from worker.store.scripts import Scripts, store_errors

Outputs = Literal["", "result", "manifest", "result,manifest"]
"""Outputs of a final job; none: it was looked at again."""


class Jobs:
    """The records of single jobs. `accept`, `move` and `delivered` return when the write is durable."""

    def __init__(self, scripts: Scripts, lifetimes: Lifetimes, budget: Budget) -> None:
        self._scripts = scripts
        self._keys = scripts.keys
        self._lifetimes = lifetimes
        self._budget = budget

    def get(self, job_id: str) -> Job | None:
        """The job's record, or what its tombstone kept of it."""
        job, *_, tombstone, _ = self._keys.of(job_id)
        record = self._scripts.hash_at(job) or json.loads(self._scripts.text_at(tombstone) or "{}")
        return job_of(job_id, record) if record else None

    def knows(self, job_id: str) -> bool:
        """Whether there is a record of the job, or its tombstone."""
        record, *_, tombstone, _ = self._keys.of(job_id)
        with store_errors():
            return bool(self._scripts.client.exists(record, tombstone))

    def links(self, job_id: str) -> tuple[Link, ...]:
        """The provider's links to the current attempt's videos, as last told."""
        return tuple(Link(**link) for link in json.loads(self._scripts.text_at(self._keys.of(job_id)[5]) or "[]"))

    def accept(
        self,
        job_id: str,
        *,
        spec_json: str,
        spec_sha256: str,
        provider: str,
        model: str,
        request: str | None = None,
        due_in_ms: int = 0,
        facts: Fields | None = None,
        notifies: bool = False,
    ) -> Reply:
        """Record a job, once. `repeat`: that very job exists (or did: a tombstone); *request* is kept (`save_request`).

        With *notifies* a notification is pending once the job is final. An empty fact is none.

        `conflict`: the id belongs to another spec.
        """
        given = {
            "version": str(SCHEMA_VERSION),
            "state": JobState.ACCEPTED,
            "rank": RANKS[JobState.ACCEPTED],
            "path": "submit",
            "spec_sha256": spec_sha256,
            "provider": provider,
            "model": model,
            "due_in_ms": due_in_ms,
            "facts": {name: value for name, value in open_fields(facts).items() if value},
            **({"notifies": True} if notifies else {}),
        }
        return read_reply(
            job_id, self._scripts.run_on_job("accept", job_id, given, pack(spec_json), request or "", durable=True)
        )

    def move(
        self,
        job_id: str,
        to: JobState,
        *,
        attempt: int,
        path: MovePath,
        try_no: int | None = None,
        lease: str | None = None,
        due_in_ms: int = 0,
        facts: Fields | None = None,
        notes: Fields | None = None,
        links: Sequence[Link] | None = None,
        error: JobError | None = None,
        look_until: int | None = None,
        owes_manifest: bool = False,
        callback_in_ms: int | None = None,
        detail: str = "",
        by: Actor | None = None,
        sources: Collection[str] | None = None,
        request_id: str | None = None,
        request_ids: Mapping[int, str] | None = None,
        money: MoneyFacts = NOTHING_OF_MONEY,
    ) -> Reply:
        """Move the job to *to* if the table of moves allows it from where it is.

        *facts* and *request_ids* (by attempt) are public and kept whatever the word, an older attempt's
        `usage` under that attempt; *notes* and the rest only when applied,
        *links* (with the instant their first one ends) also on `repeat`.
        A verdict needs *lease*: it holds only while the claim that led to it does.
        A report of what has happened gives none; "not taken" gives *try_no*.
        With *callback_in_ms* a callback that tells the same is counted as missed when it has not come by then.
        *sources* replace those of the table of moves; *request_id* is what the move binds (`Attempts.bind`).
        The attempt's money moves with the job (`STANDINGS`); *money* is what else is known of it.
        """
        given = move_given(
            to,
            look_back_ms=self._lifetimes.retention_ms,
            attempt=attempt,
            path=path,
            try_no=try_no,
            lease=lease,
            due_in_ms=due_in_ms,
            facts=facts,
            notes=notes,
            links=links,
            error=error,
            look_until=look_until,
            owes_manifest=owes_manifest,
            callback_in_ms=callback_in_ms,
            detail=detail,
            sources=sources,
            request_id=request_id,
            request_ids=request_ids,
            money=money,
            known_ms=self._lifetimes.tombstone_ms,
            **given_by(by),
        )
        reply = read_reply(job_id, self._scripts.run_on_job("move", job_id, given, durable=True))
        if reply.has_money_moved and reply.job is not None:
            self._budget.correct(reply.job)
        return reply

    def delivered(self, job_id: str, *, ver: int, outputs: Outputs, rest_in_ms: int, lease: str | None = None) -> Reply:
        """Mark *outputs* as delivered that were made of *ver*, and close the job if that was all.

        `late`: the record is no longer *ver*, so they are still pending. A job that may
        be looked at again rests for *rest_in_ms* instead of closing, unless a lease
        other than *lease* is held on it.
        """
        given = {
            "ver": ver,
            "outputs": outputs,
            "rest_in_ms": rest_in_ms,
            "retention_ms": self._lifetimes.retention_ms,
            "tombstone_ms": self._lifetimes.tombstone_ms,
            **({} if lease is None else {"lease": lease}),
        }
        return read_reply(job_id, self._scripts.run_on_job("delivered", job_id, given, durable=True))

    def note(self, job_id: str, **notes: Unpack[Fields]) -> bool:
        """Write internal fields of a record; False when there is none."""
        return bool(self._scripts.run_on_job("note", job_id, {"notes": open_fields(notes)}, "")[0])

    def make_durable(self, job_id: str) -> None:
        """Return when all that the job's record holds is as durable as `durability` says: it may be told then."""
        self._scripts.run_on_job("note", job_id, {"notes": {}}, "", durable=True)
