"""A job's attempts: the POST of one is begun, its request id bound, another one begun or told of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from worker.jobs.actor import Actor, given_by
from worker.jobs.job import Job, Video, videos_json
from worker.jobs.rate_limits import Limits, millionths
from worker.jobs.states import MISSED, RETRIES, SOURCES, UNPAID, JobState, MovePath
from worker.store.jobs import Jobs
from worker.store.layout import Fields
from worker.store.lifetimes import DAY_MS
from worker.store.lists import RANKS
from worker.store.move_arguments import ROOM, open_fields, read_reply
from worker.store.rate_limits import RateLimits
from worker.store.replies import Claim, Reply
from worker.store.request_ids import RequestIds
from worker.store.scripts import Scripts


class Attempts:
    """The attempts at the jobs of one store."""

    def __init__(self, scripts: Scripts, jobs: Jobs, request_ids: RequestIds, limits: RateLimits) -> None:
        self._scripts = scripts
        self._jobs = jobs
        self._request_ids = request_ids
        self._limits = limits

    def begin(
        self,
        claim: Claim,
        *,
        lease_ms_left_needed: int = 0,
        notes: Fields | None = None,
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
            return read_reply(
                job.id, self._scripts.run_on_job("begin", job.id, given, durable=True, provider=job.provider)
            )
        amount, day = millionths(cost), str(claim.now // DAY_MS)
        reserved, spent = self._limits.reserve(limits, job.id, job.attempt, job.try_no + 1, cost=amount, day=day)
        budget = {"spent": spent, **({} if reserved else {"over": True})}
        given |= {"limits": {**self._limits.given(limits), **budget}, "cost": amount, "reserved_on": day}
        reply = read_reply(
            job.id, self._scripts.run_on_job("begin", job.id, given, durable=True, provider=job.provider)
        )
        if not reply.holds and reserved == 1:
            self._limits.give_back(replace(job, try_no=job.try_no + 1, reserved=amount, reserved_on=day))
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
            detail=f"attempt {earlier}: {sum(video.bytes for video in videos)} bytes",
        )
