"""The budget: never passed by any number of workers, and what is surely not spent is given back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.integration.store.asking import (
    FREE,
    POLL,
    SUBMIT,
    WORKERS,
    at_once,
    begun,
    due_ids,
    of_shards,
    polled,
    tried,
    tried_again,
)
from tests.integration.store.conftest import DAY, JOB, MINUTE, REFUSED, RETENTION, Clock, Lives
from worker.jobs.caps import CapName, Caps
from worker.jobs.job import JobError
from worker.jobs.rate_limits import Place, Refusal
from worker.jobs.states import JobState
from worker.store import Store, connect
from worker.store.budget import Reservation

S = JobState


@pytest.mark.parametrize("is_urgent", [False, True])
def test_a_budget_below_what_is_spent_stops_no_poll_of_a_paid_job(store: Store, lives: Lives, is_urgent: bool) -> None:
    tried(lives, JOB, replace(FREE, caps=Caps(Decimal("1.00"))), "0.60")
    lives.bound()
    limits = replace(FREE, caps=Caps(Decimal("0.10")), per_minute=20)

    assert polled(lives, JOB, limits, is_urgent=is_urgent)
    assert store.limits.ask(limits, POLL, prober=JOB).is_granted
    assert tried(lives, "job-2", limits, "0.05").word == "busy"


def test_the_budget_is_never_passed_by_any_number_of_workers(
    store: Store, lives: Lives, redis_url: str, clock: Clock
) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    for n in range(WORKERS):
        lives.accepted(f"job-{n}")
    claims = [lives.claimed(f"job-{n}") for n in range(WORKERS)]
    stores = [Store(connect(redis_url), retention_ms=RETENTION, clock=clock) for _ in range(WORKERS)]

    replies = at_once(WORKERS, lambda n: begun(stores[n], claims[n], limits, "0.15").word)

    assert replies.count("applied") == 6
    assert store.limits.standing(limits).spent == Decimal("0.90")


def test_what_would_pass_the_budget_waits_for_the_next_day_of_utc(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    assert tried(lives, "first", limits, "0.60").applied

    refusal = tried(lives, "second", limits, "0.60").refusal

    midnight = (clock.now // DAY + 1) * DAY
    assert refusal == Refusal("budget", midnight, cap=CapName.DAILY)
    assert store.limits.call_next(limits, SUBMIT) == 0
    clock.now = midnight - 1
    assert tried_again(lives, "second", limits, "0.60").word == "busy"
    clock.now = midnight
    assert store.limits.call_next(limits, SUBMIT) == 1
    assert tried_again(lives, "second", limits, "0.60").applied


def test_a_greater_budget_lets_the_waiting_go_at_once(store: Store, lives: Lives) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    tried(lives, "first", limits, "0.60")
    tried(lives, "second", limits, "0.60")

    assert store.limits.call_next(replace(limits, caps=Caps(Decimal("1.20"))), SUBMIT) == 1


def test_a_line_that_waits_for_money_is_not_called_every_second(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    for n in range(20):
        lives.accepted(f"job-{n:02}")
        clock.advance(1)
    claims = [lives.claimed(f"job-{n:02}") for n in range(20)]
    for claim in claims:
        # all are refused before any of them stands in line
        if begun(store, claim, limits, "0.60").word == "busy":
            clock.advance(1)
    for claim in claims[1:]:
        store.due.rest(claim, due_in_ms=30 * MINUTE, waits=Place(SUBMIT, claim.job.accepted_at))

    first = store.limits.call_next(limits, SUBMIT)
    for job_id in sorted(due_ids(store)):
        tried_again(lives, job_id, limits, "0.60")
    later = [store.limits.call_next(limits, SUBMIT) for _ in range(3)]

    assert first <= 19
    assert later == [0, 0, 0]
    assert store.limits.standing(limits).submit.refusal is not None


@pytest.mark.parametrize(
    ("end", "spent"), [("not taken", "0"), ("refused", "0"), ("unconfirmed", "0.6"), ("taken", "0.6")]
)
def test_what_was_surely_not_taken_is_given_back_to_the_day_it_was_reserved_on(
    store: Store, lives: Lives, clock: Clock, end: str, spent: str
) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    tried(lives, JOB, limits, "0.6")
    day = clock.now
    clock.advance(DAY)

    if end == "not taken":
        lives.not_taken(try_no=1)
    elif end == "refused":
        store.jobs.move(JOB, S.FAILED, attempt=1, path="submit", error=REFUSED)
    elif end == "unconfirmed":
        store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="submit")
        store.jobs.move(
            JOB, S.FAILED, attempt=1, path="sweep", error=JobError("confirm", "outcome_unknown", "nobody told")
        )
    else:
        lives.bound()
        store.jobs.move(JOB, S.FAILED, attempt=1, path="poll", error=JobError("generate", "nsfw", "no"))

    assert store.limits.standing(limits).spent == 0, "of today"
    clock.now = day
    assert store.limits.standing(limits).spent == Decimal(spent)


def test_money_is_given_back_once(store: Store, lives: Lives) -> None:
    limits = replace(FREE, caps=Caps(Decimal("2.00")))
    tried(lives, JOB, limits, "0.6")
    store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="sweep")
    lives.not_taken(try_no=1)
    lives.not_taken(try_no=1)
    store.jobs.move(JOB, S.FAILED, attempt=1, path="submit", error=REFUSED)

    assert store.limits.standing(limits).spent == 0


def test_a_job_dearer_than_a_whole_day_holds_up_nobody(store: Store, lives: Lives) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    lives.accepted("dear")
    claim = lives.claimed("dear")

    refusal = begun(store, claim, limits, "1.01").refusal

    assert refusal is not None
    assert refusal.why == "price"
    assert tried(lives, "cheap", limits, "0.5").applied


def test_a_budget_is_one_for_all_shards(store: Store, clock: Clock) -> None:
    lives = of_shards(store, clock, 16)
    limits = replace(FREE, caps=Caps(Decimal("10.00")))

    words = [tried(lives, f"job-{n}", limits, "1.12").word for n in range(12)]

    assert words == ["applied"] * 8 + ["busy"] * 4
    assert lives.store.limits.standing(limits).spent == Decimal("8.96")
    store.scripts.client.flushdb()


def test_a_post_that_is_refused_for_another_reason_gives_its_money_back(store: Store, lives: Lives) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")), max_concurrent=1)
    tried(lives, "first", limits, "0.40")

    assert tried(lives, "second", limits, "0.40").word == "busy"
    assert store.attempts.begin(
        lives.claimed("second"), lease_ms_left_needed=DAY, limits=limits, cost=Decimal("0.4")
    ).job

    assert store.limits.standing(limits).spent == Decimal("0.40")


def test_a_worker_that_comes_late_to_a_post_gives_back_nothing_of_it(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    lives.accepted()
    late = lives.claimed()
    clock.advance(2 * MINUTE)
    assert begun(store, lives.claimed(), limits, "0.40").applied

    assert begun(store, late, limits, "0.40").word == "repeat"

    assert store.limits.standing(limits).spent == Decimal("0.40")


def test_a_reservation_whose_answer_was_lost_counts_once(store: Store, lives: Lives) -> None:
    limits = replace(FREE, caps=Caps(Decimal("1.00")))
    lives.accepted()
    claim = lives.claimed()
    assert store.budget.reserve(claim, limits.caps, cost=400_000) == Reservation(None, is_ours=True)

    assert begun(store, claim, limits, "0.40").applied

    assert store.limits.standing(limits).spent == Decimal("0.40")
    assert all(0 < store.scripts.client.pttl(key) <= 35 * DAY for key in store.scripts.keys.budget("2027-01"))
