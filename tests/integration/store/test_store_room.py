"""The room and the rate of a provider: kept exactly by any number of workers, in any minute, and never leaked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.integration.store.asking import (
    FREE,
    POLL,
    SECOND,
    SUBMIT,
    WORKERS,
    at_once,
    begun,
    due_ids,
    of_shards,
    tried,
    tried_again,
)
from tests.integration.store.conftest import JOB, MINUTE, REFUSED, RETENTION, Clock, Lives
from worker.jobs.job import JobError
from worker.jobs.rate_limits import Limits, Refusal
from worker.jobs.states import JobState
from worker.store import Store, connect

S = JobState


def test_sixteen_workers_never_have_more_jobs_at_a_provider_than_it_may_have(
    store: Store, lives: Lives, redis_url: str, clock: Clock
) -> None:
    limits = replace(FREE, max_concurrent=5)
    for n in range(WORKERS):
        lives.accepted(f"job-{n}")
    claims = [lives.claimed(f"job-{n}") for n in range(WORKERS)]
    stores = [Store(connect(redis_url), retention_ms=RETENTION, clock=clock) for _ in range(WORKERS)]

    replies = at_once(WORKERS, lambda n: begun(stores[n], claims[n], limits).word)

    assert sorted(map(str, replies)) == ["applied"] * 5 + ["busy"] * 11
    assert store.limits.standing(limits).occupied == 5


def test_sixteen_workers_never_ask_more_often_in_a_minute_than_they_may(
    store: Store, redis_url: str, clock: Clock
) -> None:
    limits = replace(FREE, per_minute=10)
    stores = [Store(connect(redis_url), retention_ms=RETENTION, clock=clock) for _ in range(WORKERS)]

    granted = at_once(WORKERS, lambda n: stores[n].limits.ask(limits, POLL, prober=f"job-{n}").is_granted)

    assert granted.count(True) == 10
    assert store.limits.standing(limits).poll.calls == 10


def test_no_minute_anywhere_holds_more_requests_than_the_limit(store: Store, clock: Clock) -> None:
    limits = replace(FREE, per_minute=7)
    at: list[int] = []
    for _ in range(900):
        clock.advance(333)
        if store.limits.ask(limits, POLL, prober=JOB).is_granted:
            at.append(clock.now)

    busiest = max(sum(begin <= other < begin + MINUTE for other in at) for begin in at)

    assert busiest == 7
    assert len(at) >= 4 * 7, "the limit is used up, not only kept"


def test_a_job_frees_its_room_when_its_provider_is_done_with_it(store: Store, lives: Lives) -> None:
    limits = replace(FREE, max_concurrent=1)
    assert tried(lives, "job-1", limits).applied
    assert tried(lives, "job-2", limits).word == "busy"
    lives.bound("job-1")
    assert tried_after_call(lives, "job-2", limits) is None, "submitted is still at the provider"

    store.jobs.move("job-1", S.GENERATED, attempt=1, path="poll")

    assert tried_after_call(lives, "job-2", limits) == "applied"


def tried_after_call(lives: Lives, job_id: str, limits: Limits) -> str | None:
    """The outcome of the job's POST if it is called; None: it is not."""
    lives.store.limits.call_next(limits, SUBMIT)
    return tried_again(lives, job_id, limits).word if job_id in due_ids(lives.store) else None


@pytest.mark.parametrize("end", ["not taken", "refused", "generated", "failed", "expired", "unknown"])
def test_every_way_out_of_a_provider_frees_the_room(store: Store, lives: Lives, end: str) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, JOB, limits)
    if end == "not taken":
        lives.not_taken(try_no=1)
    elif end == "refused":
        store.jobs.move(JOB, S.FAILED, attempt=1, path="submit", error=REFUSED)
    elif end == "unknown":
        store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="submit")
        assert store.limits.standing(limits).occupied == 1
        unknown = JobError("confirm", "outcome_unknown", "nobody told")
        store.jobs.move(JOB, S.FAILED, attempt=1, path="sweep", error=unknown)
    else:
        lives.bound()
        error = JobError("generate", "nsfw", "no") if end == "failed" else None
        to = {"generated": S.GENERATED, "failed": S.FAILED, "expired": S.EXPIRED}[end]
        store.jobs.move(JOB, to, attempt=1, path="poll", error=error)

    assert store.limits.standing(limits).occupied == 0


def test_a_worker_that_dies_after_its_intent_keeps_no_room_beyond_its_job(store: Store, lives: Lives) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, "job-1", limits)
    # nobody reports; the sweep finds it, and at its deadline it is settled as unknown
    store.jobs.move("job-1", S.UNCONFIRMED, attempt=1, path="sweep")
    store.jobs.move(
        "job-1", S.FAILED, attempt=1, path="sweep", error=JobError("confirm", "outcome_unknown", "nobody told")
    )

    assert tried(lives, "job-2", limits).applied


def test_a_late_video_is_counted_again_while_its_provider_has_it(store: Store, lives: Lives) -> None:
    lives.outcome_unknown()
    assert store.limits.standing(FREE).occupied == 0

    lives.bound()

    assert store.limits.standing(FREE).occupied == 1


def test_what_a_provider_asks_to_wait_holds_back_that_kind_of_request_only(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="answered", hold_ms=7 * SECOND)
    until = clock.now + 7 * SECOND

    assert store.limits.ask(FREE, SUBMIT, prober=JOB).refusal == Refusal("asked_to_wait", until)
    assert store.limits.ask(FREE, POLL, prober=JOB).is_granted
    assert store.limits.ask(Limits("apimart"), SUBMIT, prober=JOB).is_granted
    clock.advance(7 * SECOND)
    assert store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted


def test_a_shorter_wait_never_shortens_a_longer_one(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="answered", hold_ms=60 * SECOND)
    store.limits.report(FREE, SUBMIT, prober="job-2", outcome="answered", hold_ms=SECOND)

    clock.advance(59 * SECOND)

    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted


def test_without_limits_nothing_waits(store: Store, lives: Lives) -> None:
    assert all(tried(lives, f"job-{n}", FREE).applied for n in range(50))
    assert store.limits.standing(FREE).submit.refusal is None


def test_what_all_shards_hold_is_told_together(store: Store, clock: Clock) -> None:
    lives = of_shards(store, clock, 16)
    for n in range(12):
        tried(lives, f"job-{n}", FREE, "0.50")

    standing = lives.store.limits.standing(FREE)

    assert (standing.occupied, standing.submit.calls, standing.spent) == (12, 12, Decimal("6.00"))
    store.scripts.client.flushdb()
