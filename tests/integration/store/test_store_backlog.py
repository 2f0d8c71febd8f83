"""A provider's line: the oldest first, submits and polls in turn, and no place is ever lost."""

from __future__ import annotations

from dataclasses import replace

import redis

from tests.integration.store.asking import FREE, POLL, SECOND, SUBMIT, due_ids, polled, tried, tried_again
from tests.integration.store.conftest import MINUTE, REFUSED, Clock, Lives
from worker.jobs.rate_limits import Place, Refusal
from worker.jobs.states import JobState
from worker.store import Store

S = JobState


def test_the_oldest_waiting_job_is_called_first_and_newcomers_stand_behind_it(
    store: Store, lives: Lives, clock: Clock
) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, "first", limits)
    for name in ("second", "third"):
        clock.advance(1)
        lives.accepted(name)
    assert tried_again(lives, "third", limits).refusal == Refusal("concurrency", None, 0)
    assert tried_again(lives, "second", limits).refusal == Refusal("concurrency", None, 0)

    store.jobs.move("first", S.FAILED, attempt=1, path="submit", error=REFUSED)
    clock.advance(1)
    newcomer = tried(lives, "newcomer", limits)
    called = store.limits.call_next(limits, SUBMIT)

    assert newcomer.refusal == Refusal("turn", None, 2)
    assert called == 1
    assert "second" in due_ids(store)
    assert "third" not in due_ids(store)
    assert tried_again(lives, "second", limits).applied


def test_ten_thousand_waiting_jobs_cost_one_call_for_one_slot(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, "first", limits)
    count = 2000  # each waits by the same two writes
    for n in range(count):
        tried(lives, f"waiting-{n:04}", limits)
    store.jobs.move("first", S.FAILED, attempt=1, path="submit", error=REFUSED)
    clock.advance(SECOND)

    calls = [store.limits.call_next(limits, SUBMIT) for _ in range(3)]

    assert calls == [1, 0, 0]
    assert due_ids(store) == {"first", "waiting-0000"}
    assert store.limits.standing(limits).submit.waiting == count


def test_a_called_job_is_not_called_again_while_its_nudge_is_on_the_way(store: Store, lives: Lives) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, "first", limits)
    tried(lives, "second", limits)
    store.jobs.move("first", S.FAILED, attempt=1, path="submit", error=REFUSED)
    assert store.limits.call_next(limits, SUBMIT) == 1

    store.due.nudge(["second"])

    assert store.limits.call_next(limits, SUBMIT) == 0


def test_a_called_job_is_not_called_again_while_a_worker_is_at_it(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, "first", limits)
    tried(lives, "second", limits)
    store.jobs.move("first", S.FAILED, attempt=1, path="submit", error=REFUSED)
    assert store.limits.call_next(limits, SUBMIT) == 1

    claim = lives.claimed("second")
    clock.advance(SECOND)

    assert store.limits.call_next(limits, SUBMIT) == 0
    assert store.due.at("second") == claim.job.lease_until


def test_a_job_that_leaves_takes_its_place_in_line_with_it(store: Store, lives: Lives, client: redis.Redis) -> None:
    limits = replace(FREE, max_concurrent=1)
    tried(lives, "first", limits)
    tried(lives, "second", limits)
    tried(lives, "third", limits)

    store.jobs.move("second", S.CANCELLED, attempt=1, path="operator")
    claim = store.due.claim("third", states=(S.ACCEPTED,), lease_ms=MINUTE)
    assert claim is not None
    store.due.rest(claim, due_in_ms=0, notes={"waiting_for": "its images"})

    assert store.limits.standing(limits).submit.waiting == 0
    assert lives.job("third").place == ""
    assert client.zcard("callsheet:{0}:line") == 0


def test_an_entry_whose_job_is_gone_is_removed_and_holds_up_nobody(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    client.zadd("callsheet:{0}:line", {"evolink:submit:000000000000001:gone": 0})

    assert store.limits.call_next(FREE, SUBMIT) == 0
    assert store.limits.standing(FREE).submit.waiting == 0


def test_a_job_keeps_its_place_however_often_it_is_looked_at(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, per_minute=2)
    for job_id in ("a", "b"):
        lives.submitted(job_id, job_id)
    assert store.limits.ask(limits, POLL, prober="x").is_granted
    assert store.limits.ask(limits, POLL, prober="x").is_granted
    assert not polled(lives, "a", limits)
    clock.advance(SECOND)
    assert not polled(lives, "b", limits)
    clock.advance(SECOND)
    assert not polled(lives, "a", limits)

    clock.advance(MINUTE)
    assert store.limits.call_next(replace(limits, per_minute=3), POLL, most=1) == 1

    assert due_ids(store) == {"a"}


def test_a_job_whose_callback_has_come_is_polled_before_all_others(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, per_minute=2)
    for job_id in ("a", "b"):
        lives.submitted(job_id, job_id)
    for _ in range(2):
        store.limits.ask(limits, POLL, prober="x")
    assert not polled(lives, "a", limits)
    clock.advance(SECOND)
    assert not polled(lives, "b", limits, is_urgent=True)
    clock.advance(MINUTE + SECOND)

    store.limits.call_next(limits, POLL, most=1)

    assert due_ids(store) == {"b"}


def test_polls_never_starve_submits_nor_submits_polls(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, per_minute=6)
    for n in range(8):
        lives.submitted(f"polled-{n}", f"r{n}")
        lives.accepted(f"new-{n}")
    granted = []

    for _ in range(4):
        clock.advance(MINUTE + 2 * SECOND)
        polls = sum(polled(lives, f"polled-{n}", limits) for n in range(8))
        waiting = [f"new-{n}" for n in range(8) if lives.job(f"new-{n}").state is S.ACCEPTED]
        granted.append((polls, sum(tried_again(lives, job_id, limits).applied for job_id in waiting)))

    assert granted == [(6, 0), (3, 3), (3, 3), (3, 2)]


def test_polls_have_the_whole_rate_while_submits_wait_for_something_else(store: Store, lives: Lives) -> None:
    limits = replace(FREE, per_minute=10, max_concurrent=1)
    tried(lives, "first", limits)
    tried(lives, "second", limits)

    granted = [store.limits.ask(limits, POLL, prober="x").is_granted for _ in range(12)]

    assert granted.count(True) == 9


def test_a_paused_providers_waiting_posts_leave_the_whole_rate_to_polls(store: Store, lives: Lives) -> None:
    limits = replace(FREE, per_minute=20)
    store.pauses.pause("evolink")
    for n in range(3):
        lives.accepted(f"job-{n}")
        claim = lives.claimed(f"job-{n}")
        store.due.rest(claim, due_in_ms=30 * MINUTE, waits=Place(SUBMIT, claim.job.accepted_at))

    granted = [store.limits.ask(limits, POLL, prober=f"poll-{n}").is_granted for n in range(20)]

    assert all(granted)
    assert store.limits.standing(limits).submit.refusal == Refusal("paused", None)


def test_when_the_provider_is_resumed_both_have_half_of_the_rate_again(store: Store, lives: Lives) -> None:
    limits = replace(FREE, per_minute=20)
    lives.accepted()
    claim = lives.claimed()
    store.due.rest(claim, due_in_ms=30 * MINUTE, waits=Place(SUBMIT, claim.job.accepted_at))
    store.pauses.pause("evolink")
    store.pauses.resume("evolink")

    granted = [store.limits.ask(limits, POLL, prober=f"poll-{n}").is_granted for n in range(20)]

    assert granted.count(True) == 10
