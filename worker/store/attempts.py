"""A job's attempts: the POST of one is begun, its request id bound, another one begun or told of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from worker.jobs.actor import Actor, given_by
from worker.jobs.caps import CapName, Caps
from worker.jobs.job import Job, Video, videos_json
from worker.jobs.money import Basis, Money, Standing, day_of, millionths
from worker.jobs.rate_limits import Limits
from worker.jobs.states import MISSED, RETRIES, SOURCES, UNPAID, JobState, MovePath
from worker.store.budget import Budget
from worker.store.jobs import Jobs
from worker.store.layout import Fields
from worker.store.lists import RANKS
from worker.store.move_arguments import ROOM, MoneyFacts, failure_standing, open_fields, read_job, read_reply
from worker.store.rate_limits import RateLimits
from worker.store.replies import Claim, Reply
from worker.store.request_ids import RequestIds
from worker.store.scripts import Scripts


class Attempts:
    """The attempts at the jobs of one store."""

    def __init__(
        self, scripts: Scripts, jobs: Jobs, request_ids: RequestIds, limits: RateLimits, budget: Budget
    ) -> None:
        self._scripts = scripts
        self._jobs = jobs
        self._request_ids = request_ids
        self._limits = limits
        self._budget = budget

    def begin(
        self,
        claim: Claim,
        *,
        lease_ms_left_needed: int = 0,
        notes: Fields | None = None,
        limits: Limits | None = None,
        cost: Decimal | None = None,
        basis: str = Basis.LIST_PRICE,
    ) -> Reply:
        """Write down, durably, that the next POST of this attempt is about to be sent.

        Only `applied` permits the POST. `late` for a job that is still `accepted`:
        the lease has too little room, or a callback tells of a POST not on record.
        *cost* (by *basis*; None: not known) is reserved. With *limits*, the provider's room, its rate, its breaker and
        the caps are asked in the same step; `busy`: not now.
        """
        job, amount = claim.job, millionths(cost or Decimal(0))
        given: dict[str, Any] = {
            "attempt": job.attempt,
            "state": JobState.SUBMITTING,
            "rank": RANKS[JobState.SUBMITTING],
            "sources": ",".join(SOURCES[JobState.SUBMITTING]),
            "path": "submit",
            "lease": claim.token,
            "room_ms": lease_ms_left_needed,
            "notes": open_fields(notes),
            "money": asdict(_reserved(claim, amount, Basis.UNKNOWN if cost is None else basis)),
        }
        reserved = self._budget.reserve(claim, Caps() if limits is None else limits.caps, cost=amount)
        if limits is not None:
            given["limits"] = self._limits.given_for_post(limits, reserved, claim, amount)
        reply = read_reply(
            job.id, self._scripts.run_on_job("begin", job.id, given, durable=True, provider=job.provider)
        )
        if not reply.holds and reserved.is_ours:
            self._budget.give_back(claim)
        if reply.refusal is not None and reply.refusal.why in ("budget", "price"):
            cap = reserved.passed or CapName(given["limits"]["left_cap"])
            return replace(reply, refusal=replace(reply.refusal, cap=cap))
        return reply

    def bind(
        self,
        job_id: str,
        *,
        attempt: int,
        provider: str,
        request_id: str,
        path: MovePath,
        due_in_ms: int = 0,
        try_no: int | None = None,
        lease: str | None = None,
        facts: Fields | None = None,
        notes: Fields | None = None,
        detail: str = "",
        by: Actor | None = None,
    ) -> Reply:
        """Move the job to `submitted`: *request_id* is its attempt's request, and nobody else's.

        `taken`: the id belongs to another job. `late` with another id in the
        record's `request_ids`: the attempt has that one already.
        `due_now`: a callback for it came early and waits.
        """
        owner = self._request_ids.own(job_id, provider, request_id)
        if owner != job_id:
            return Reply("taken", self._jobs.get(job_id))
        return self._jobs.move(
            job_id,
            JobState.SUBMITTED,
            attempt=attempt,
            path=path,
            try_no=try_no,
            lease=lease,
            due_in_ms=due_in_ms,
            facts=facts,
            request_ids={attempt: request_id},
            notes=notes,
            detail=detail,
            request_id=request_id,
            by=by,
        )

    def try_again(
        self, job_id: str, *, attempt: int, pay_again: bool, detail: str = "", by: Actor | None = None
    ) -> Reply:
        """Begin a new attempt at a job whose *attempt* has ended without a video; durable.

        `paid`: one of its attempts may have been taken, which *pay_again* accepts.
        `asking`: a callback that was kept has yet to be looked at.
        """
        given = {
            "attempt": attempt,
            "sources": ",".join(RETRIES[JobState.ACCEPTED]),
            "unpaid": ",".join(UNPAID),
            "pay_again": pay_again,
            "state": JobState.ACCEPTED,
            "rank": RANKS[JobState.ACCEPTED],
            "path": "operator",
            "detail": detail,
            "max_old_events": ROOM["max_old_events"],
            **given_by(by),
        }
        return read_reply(job_id, self._scripts.run_on_job("attempt", job_id, given, durable=True))

    def archive_earlier(self, job: Job, earlier: int, videos: Sequence[Video], facts: Fields | None = None) -> Reply:
        """Record that *videos*, of an *earlier* attempt than *job*'s, which ended without one, are in the bucket, and
        *facts* about them."""
        return self._jobs.move(
            job.id,
            JobState.ARCHIVED,
            attempt=job.attempt,
            path="sweep",
            sources=MISSED,
            notes={
                **(facts or {}),
                "videos": videos_json(videos),
                "videos_attempt": str(earlier),
                "generated_by": "poll",
            },
            owes_manifest=True,
            money=MoneyFacts(attempt=earlier),
            detail=f"attempt {earlier}: {sum(video.bytes for video in videos)} bytes",
        )

    def end_earlier(self, job_id: str, attempt: int, ended: str, *, charged: bool | None) -> None:
        """Write that an earlier attempt has *ended* so after all, as its provider says now, and whether that is
        *charged* (None: nobody knows)."""
        given = {
            "notes": {f"ended.{attempt}": ended},
            "standing": failure_standing(charged),
            "money_attempt": attempt,
        }
        _, record, has_money_moved = self._scripts.run_on_job("note", job_id, given, "")
        if has_money_moved:
            self._budget.correct(read_job(job_id, record))


def _reserved(claim: Claim, amount: int, basis: str) -> Money:
    """The money of a POST that is about to be sent under *claim*."""
    return Money(Standing.RESERVED, amount, day_of(claim.now), claim.job.video_ms, basis)
