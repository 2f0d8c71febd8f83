"""Every write of a job, each atomic; the legality of a move is decided where the record lives.

Instants and durations are milliseconds by the Redis server's clock.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal

import redis

from worker.errors import UnknownLayoutError
from worker.jobs.actor import Actor, given_by
from worker.jobs.job import SCHEMA_VERSION, JobError, Link
from worker.jobs.rate_limits import Limits, Place, millionths
from worker.jobs.states import FINAL, SOURCES, JobState
from worker.logs import bind
from worker.store.attempts import TOMBSTONE_MS
from worker.store.compression import pack
from worker.store.keys import Keys
from worker.store.lists import RANKS
from worker.store.move_arguments import open_fields, read_job, read_reply
from worker.store.notifications import Deliveries
from worker.store.rate_limits import DAY_MS
from worker.store.replies import Claim, Reply

log = logging.getLogger(__name__)

FREE = frozenset({JobState.ACCEPTED, "failed(accept)", "failed(submit)"})
"""Held words of a job whose last POST was surely not taken: what it had reserved of the budget is free again."""


class Store(Deliveries):
    """The job records of one Redis.

    *clock* (Unix ms) replaces the server's time in tests; *monotonic* (seconds)
    is the local clock that a claim's end is told by.
    Every method raises `StoreError` when Redis does not answer: the same call
    again is then safe. `accept`, `arrive`, `bind`, `move` and `settle` return
    when the write is as durable as `durability` says.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        retention_ms: int,
        clock: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        shards: int = 1,
    ) -> None:
        super().__init__(client, Keys(shards), clock, retention_ms)
        self._monotonic = monotonic
        self._has_told_unknown = False

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
        facts: Mapping[str, str] | None = None,
        notifies: bool = False,
    ) -> Reply:
        """Record a job, once. `repeat`: that very job exists (or did: a tombstone); *request* is kept (`save_request`).

        With *notifies* a notification is pending once the job is final.

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
            "facts": open_fields(facts),
            **({"notifies": True} if notifies else {}),
        }
        return read_reply(job_id, self._run("accept", job_id, given, pack(spec_json), request or "", durable=True))

    def claim(
        self, job_id: str, *, states: Collection[JobState], lease_ms: int, only_due: bool = False
    ) -> Claim | None:
        """Lease the job to this step; None when it is leased, closed, missing or in none of *states*.

        The lease's token is a nonce: no failover or restart of Redis gives it to another claimant.

        With *only_due*, also before somebody must look at it: the message that
        started the step is then an old or a doubled one. A job that the sweep has
        nudged counts as due.
        """
        began = self._monotonic()
        # what is final is told to people: only when it cannot be undone any more
        durable = not FINAL.isdisjoint(states)
        given = {
            "states": ",".join(states),
            "lease_ms": lease_ms,
            "only_due": only_due,
            "nonce": secrets.token_hex(8),
        }
        try:
            granted = self._run("claim", job_id, given, durable=durable)
        except UnknownLayoutError as err:
            self._tell_once(err)
            return None
        if granted is None:
            return None
        now, record, events, candidates = granted
        job = read_job(job_id, record)
        bind(job_id=job.id, attempt=job.attempt, provider=job.provider)
        return Claim(job, job.lease, int(now), began + lease_ms / 1000, events, candidates)

    def _tell_once(self, err: UnknownLayoutError) -> None:
        """One line in a process's life: during a deploy it would be one for every nudge."""
        if not self._has_told_unknown:
            self._has_told_unknown = True
            log.warning("record.unknown_layout", extra={"reason": str(err)})

    def renew(self, claim: Claim, lease_ms: int) -> Claim | None:
        """The claim with a whole lease from now on; None when it has ended or was taken over."""
        began = self._monotonic()
        granted = self._run("renew", claim.job.id, {"lease": claim.token, "lease_ms": lease_ms})
        if granted is None:
            return None
        now, record = granted
        job = read_job(claim.job.id, record)
        return replace(claim, job=job, now=int(now), ends_monotonic=began + lease_ms / 1000)

    def rest(
        self,
        claim: Claim,
        *,
        due_in_ms: int,
        notes: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
        waits: Place | None = None,
        behind: bool = False,
    ) -> Reply:
        """End the claim without a move; a callback that came since it was granted makes the job due at once.

        With *waits* the job stands in its provider's line, to be called when it is its turn; without, it leaves it.
        With *behind* its video is copied after those that nobody has tried to copy (`most_urgent`).
        """
        given = {
            "attempt": claim.job.attempt,
            "lease": claim.token,
            "due_in_ms": due_in_ms,
            "notes": open_fields(notes),
            "facts": open_fields(facts),
            **({} if waits is None else {"waits": asdict(waits)}),
            **({"behind": True} if behind else {}),
        }
        return read_reply(claim.job.id, self._run("rest", claim.job.id, given))

    def begin(
        self,
        claim: Claim,
        *,
        lease_ms_left_needed: int = 0,
        notes: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cost: Decimal = Decimal(0),
    ) -> Reply:
        """Write down, durably, that the next POST of this attempt is about to be sent.

        Only `applied` permits the POST. `late` for a job that is still `accepted`:
        the lease has too little room, or a callback tells of a POST not on record.
        With *limits*, the provider's room, its rate, its breaker and the budget are
        asked in the same step, and *cost* is reserved; `busy`: not now.
        """
        job = claim.job
        given = {
            "attempt": job.attempt,
            "state": JobState.SUBMITTING,
            "rank": RANKS[JobState.SUBMITTING],
            "sources": ",".join(SOURCES[JobState.SUBMITTING]),
            "path": "submit",
            "lease": claim.token,
            "room_ms": lease_ms_left_needed,
            "notes": open_fields(notes),
        }
        if limits is None:
            return read_reply(job.id, self._run("begin", job.id, given, durable=True, provider=job.provider))
        amount, day = millionths(cost), str(claim.now // DAY_MS)
        reserved, spent = self.reserve(limits, job.id, job.attempt, job.try_no + 1, cost=amount, day=day)
        budget = {"spent": spent, **({} if reserved else {"over": True})}
        given |= {"limits": {**self._given(limits), **budget}, "cost": amount, "reserved_on": day}
        reply = read_reply(job.id, self._run("begin", job.id, given, durable=True, provider=job.provider))
        if reply.word not in ("applied", "repeat") and reserved == 1:
            self.give_back(replace(job, try_no=job.try_no + 1, reserved=amount, reserved_on=day))
        return reply

    def move(
        self,
        job_id: str,
        to: JobState,
        *,
        attempt: int,
        path: str,
        try_no: int | None = None,
        lease: str | None = None,
        due_in_ms: int = 0,
        facts: Mapping[str, str] | None = None,
        notes: Mapping[str, str] | None = None,
        links: Sequence[Link] | None = None,
        error: JobError | None = None,
        look_until: int | None = None,
        owes_manifest: bool = False,
        callback_in_ms: int | None = None,
        detail: str = "",
        by: Actor | None = None,
    ) -> Reply:
        """Move the job to *to* if the table of moves allows it from where it is.

        *facts* are public and kept whatever the word (an older attempt's `usage`
        and request ids under that attempt); *notes* and the rest only when applied,
        *links* (with the instant their first one ends) also on `repeat`.
        A verdict needs *lease*: it holds only while the claim that led to it does.
        A report of what has happened gives none; "not taken" gives *try_no*.
        With *callback_in_ms* a callback that tells the same is counted as missed when it has not come by then.
        """
        reply = self._move(
            job_id,
            to,
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
            **given_by(by),
        )
        if reply.applied and reply.job is not None and reply.job.held in FREE:
            self.give_back(reply.job)
        return reply

    def bind(
        self,
        job_id: str,
        *,
        attempt: int,
        provider: str,
        request_id: str,
        path: str,
        due_in_ms: int = 0,
        try_no: int | None = None,
        lease: str | None = None,
        facts: Mapping[str, str] | None = None,
        notes: Mapping[str, str] | None = None,
        detail: str = "",
        by: Actor | None = None,
    ) -> Reply:
        """Move the job to `submitted`: *request_id* is its attempt's request, and nobody else's.

        `taken`: the id belongs to another job. `late` with another id in the
        record's `request_ids`: the attempt has that one already.
        `due_now`: a callback for it came early and waits.
        """
        # longer than a job can stay open and its tombstone be kept
        owner = self._own(job_id, provider, request_id, 3 * self._retention_ms + TOMBSTONE_MS)
        if owner != job_id:
            return Reply("taken", self.get(job_id))
        return self._move(
            job_id,
            JobState.SUBMITTED,
            attempt=attempt,
            path=path,
            try_no=try_no,
            lease=lease,
            due_in_ms=due_in_ms,
            facts={**(facts or {}), f"request_id.{attempt}": request_id},
            notes=notes,
            detail=detail,
            request_id=request_id,
            **given_by(by),
        )

    def settle(self, job_id: str, *, ver: int, paid: str, rest_in_ms: int, lease: str | None = None) -> Reply:
        """Mark *paid* as of *ver*, and close the job if that was all.

        *paid* is `result`, `manifest`, both with a comma between, or "" after another look.

        `late`: the record is no longer *ver*, so it is still owed. A job that may
        be looked at again rests for *rest_in_ms* instead of closing, unless a lease
        other than *lease* is held on it.
        """
        given = {
            "ver": ver,
            "paid": paid,
            "rest_in_ms": rest_in_ms,
            "retention_ms": self._retention_ms,
            "tombstone_ms": self._retention_ms + TOMBSTONE_MS,
            **({} if lease is None else {"lease": lease}),
        }
        return read_reply(job_id, self._run("settle", job_id, given, durable=True))

    def note(self, job_id: str, **notes: str) -> bool:
        """Write internal fields of a record; False when there is none."""
        return bool(self._run("note", job_id, {"notes": open_fields(notes)}, ""))

    def save_request(self, job_id: str, request: str) -> bool:
        """Keep a caller's Celery request that is the job's first, or hangs something else on the job than those before
        (`messaging.results.capture`), eight at most; whether it was kept."""
        return bool(self._run("note", job_id, {"notes": {}}, request))
