"""The limits of a provider: kept exactly by any number of workers, in any minute, and never leaked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest
import redis

from tests.integration.store.conftest import DAY, JOB, MINUTE, REFUSED, RETENTION, Clock, Lives
from worker.jobs.job import JobError
from worker.jobs.rate_limits import Limits, Operation, Place, Refusal
from worker.jobs.states import JobState
from worker.store import Claim, Reply, Store, connect

S = JobState
SUBMIT, POLL = Operation.SUBMIT, Operation.POLL
FREE = Limits("evolink")
SECOND = 1000
WORKERS = 16


def begun(store: Store, claim: Claim, limits: Limits, cost: str = "0") -> Reply:
    return store.attempts.begin(claim, limits=limits, cost=Decimal(cost))


def tried(lives: Lives, job_id: str, limits: Limits, cost: str = "0") -> Reply:
    """A new job's POST, begun if there is room; else it stands in line, as the step has it."""
    if lives.store.jobs.get(job_id) is None:
        lives.accepted(job_id)
    return tried_again(lives, job_id, limits, cost)


def tried_again(lives: Lives, job_id: str, limits: Limits, cost: str = "0") -> Reply:
    claim = lives.claimed(job_id)
    reply = begun(lives.store, claim, limits, cost)
    if reply.word == "busy":
        lives.store.due.rest(claim, due_in_ms=30 * MINUTE, waits=Place(SUBMIT, claim.job.accepted_at))
    return reply


def polled(lives: Lives, job_id: str, limits: Limits, *, is_urgent: bool = False) -> bool:
    """Whether a job's GET may begin; if not it stands in line."""
    claim = lives.store.due.claim(job_id, states=(S.SUBMITTED,), lease_ms=MINUTE)
    assert claim is not None
    permit = lives.store.limits.take(job_id, limits, POLL, is_urgent=is_urgent)
    waits = None if permit.is_granted else Place(POLL, 0 if is_urgent else claim.now)
    lives.store.due.rest(claim, due_in_ms=30 * MINUTE, waits=waits)
    return permit.is_granted


def due_ids(store: Store) -> set[str]:
    return set(store.due.ids())


def at_once(count: int, act: Callable[[int], object]) -> list[object]:
    """The answers of *act* to *count* threads that begin together."""
    barrier = threading.Barrier(count)

    def run(n: int) -> object:
        barrier.wait()
        return act(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


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


def test_one_lock_out_opens_the_breaker_and_one_probe_in_ten_seconds_is_let_through(store: Store, clock: Clock) -> None:
    assert store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out", why="http_401") == (False, True)
    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted
    assert store.limits.ask(FREE, POLL, prober=JOB).is_granted

    probes = []
    for _ in range(35):
        clock.advance(SECOND)
        probes.append([store.limits.ask(FREE, SUBMIT, prober=f"job-{n}").is_probe for n in range(3)])

    assert sum(probe for second in probes for probe in second) == 3
    assert store.limits.standing(FREE).submit.open_why == "http_401"


def test_only_the_probe_closes_the_breaker(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    assert store.limits.ask(FREE, SUBMIT, prober="probe").is_probe

    assert store.limits.report(FREE, SUBMIT, prober="an older request", outcome="answered") == (False, False)
    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted
    assert store.limits.report(FREE, SUBMIT, prober="probe", outcome="answered") == (True, False)
    assert store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted


def test_a_probe_whose_worker_dies_is_followed_by_another(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    assert store.limits.ask(FREE, SUBMIT, prober="dies").is_probe
    clock.advance(10 * SECOND)

    assert store.limits.ask(FREE, SUBMIT, prober="next").is_probe


@pytest.mark.parametrize("op", [SUBMIT, POLL])
@pytest.mark.parametrize("job_id", ["slow", "12345"])
def test_any_probe_that_is_answered_well_closes_the_breaker(
    store: Store, clock: Clock, op: Operation, job_id: str
) -> None:
    """Answers take longer than the 10 s between two probes."""
    store.limits.report(FREE, op, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    assert store.limits.ask(FREE, op, prober=job_id).is_probe
    for n in range(3):
        clock.advance(10 * SECOND)
        assert store.limits.ask(FREE, op, prober=f"later-{n}").is_probe
    store.limits.report(FREE, op, prober="later-0", outcome="failed")

    assert store.limits.report(FREE, op, prober=job_id, outcome="answered") == (True, False)

    assert store.limits.ask(FREE, op, prober=JOB).is_granted
    assert store.limits.standing(FREE).submit.calls + store.limits.standing(FREE).poll.calls == 5


def test_a_probe_of_an_earlier_breaker_does_not_close_the_next(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    store.limits.ask(FREE, SUBMIT, prober="old")
    clock.advance(10 * SECOND)
    store.limits.ask(FREE, SUBMIT, prober="new")
    store.limits.report(FREE, SUBMIT, prober="new", outcome="answered")
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")

    assert store.limits.report(FREE, SUBMIT, prober="old", outcome="answered") == (False, False)

    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted


def test_probes_nobody_reports_are_forgotten(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    for n in range(300):
        clock.advance(10 * SECOND)
        assert store.limits.ask(FREE, SUBMIT, prober=f"dies-{n}").is_probe

    held = map(str, store.scripts.client.hkeys(store.scripts.keys.limits(0, "evolink")))
    assert sum(name.startswith("probe:") for name in held) <= 91


@pytest.mark.parametrize(("calls", "failures", "opens"), [(19, 19, False), (20, 9, False), (20, 10, True)])
def test_the_breaker_opens_when_half_of_twenty_calls_in_a_minute_fail(
    store: Store, calls: int, failures: int, opens: bool
) -> None:
    for n in range(calls):
        store.limits.ask(FREE, POLL, prober=f"job-{n}")

    told = [
        store.limits.report(FREE, POLL, prober=f"job-{n}", outcome="failed", why="http_500")[1] for n in range(failures)
    ]

    assert any(told) == opens
    assert (not store.limits.ask(FREE, POLL, prober=JOB).is_granted) == opens


def test_failures_of_more_than_a_minute_ago_open_nothing(store: Store, clock: Clock) -> None:
    for n in range(40):
        store.limits.ask(FREE, POLL, prober=f"job-{n}")
        if n < 9:
            store.limits.report(FREE, POLL, prober=f"job-{n}", outcome="failed")
    clock.advance(MINUTE + 2 * SECOND)
    for n in range(20):
        store.limits.ask(FREE, POLL, prober=f"job-{n}")

    assert store.limits.report(FREE, POLL, prober=JOB, outcome="failed") == (False, False)


def test_a_clock_that_is_set_back_an_hour_locks_nobody_out(store: Store, clock: Clock) -> None:
    limits = replace(FREE, per_minute=2)
    for _ in range(2):
        store.limits.ask(limits, POLL, prober=JOB)
    store.limits.report(limits, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(-2 * 60 * MINUTE)

    assert store.limits.ask(limits, POLL, prober=JOB).is_granted
    assert store.limits.ask(limits, SUBMIT, prober=JOB).is_probe


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


@pytest.mark.parametrize("is_urgent", [False, True])
def test_a_budget_below_what_is_spent_stops_no_poll_of_a_paid_job(store: Store, lives: Lives, is_urgent: bool) -> None:
    tried(lives, JOB, replace(FREE, daily_budget=Decimal("1.00")), "0.60")
    lives.bound()
    limits = replace(FREE, daily_budget=Decimal("0.10"), per_minute=20)

    assert polled(lives, JOB, limits, is_urgent=is_urgent)
    assert store.limits.ask(limits, POLL, prober=JOB).is_granted
    assert tried(lives, "job-2", limits, "0.05").word == "busy"


def test_the_budget_is_never_passed_by_any_number_of_workers(
    store: Store, lives: Lives, redis_url: str, clock: Clock
) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
    for n in range(WORKERS):
        lives.accepted(f"job-{n}")
    claims = [lives.claimed(f"job-{n}") for n in range(WORKERS)]
    stores = [Store(connect(redis_url), retention_ms=RETENTION, clock=clock) for _ in range(WORKERS)]

    replies = at_once(WORKERS, lambda n: begun(stores[n], claims[n], limits, "0.15").word)

    assert replies.count("applied") == 6
    assert store.limits.standing(limits).spent == Decimal("0.90")


def test_what_would_pass_the_budget_waits_for_the_next_day_of_utc(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
    assert tried(lives, "first", limits, "0.60").applied

    refusal = tried(lives, "second", limits, "0.60").refusal

    midnight = (clock.now // DAY + 1) * DAY
    assert refusal == Refusal("budget", midnight)
    assert store.limits.call_next(limits, SUBMIT) == 0
    clock.now = midnight - 1
    assert tried_again(lives, "second", limits, "0.60").word == "busy"
    clock.now = midnight
    assert store.limits.call_next(limits, SUBMIT) == 1
    assert tried_again(lives, "second", limits, "0.60").applied


def test_a_greater_budget_lets_the_waiting_go_at_once(store: Store, lives: Lives) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
    tried(lives, "first", limits, "0.60")
    tried(lives, "second", limits, "0.60")

    assert store.limits.call_next(replace(limits, daily_budget=Decimal("1.20")), SUBMIT) == 1


def test_a_line_that_waits_for_money_is_not_called_every_second(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
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
    limits = replace(FREE, daily_budget=Decimal("1.00"))
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
    limits = replace(FREE, daily_budget=Decimal("2.00"))
    tried(lives, JOB, limits, "0.6")
    store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="sweep")
    lives.not_taken(try_no=1)
    lives.not_taken(try_no=1)
    store.jobs.move(JOB, S.FAILED, attempt=1, path="submit", error=REFUSED)

    assert store.limits.standing(limits).spent == 0


def test_a_job_dearer_than_a_whole_day_holds_up_nobody(store: Store, lives: Lives) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
    lives.accepted("dear")
    claim = lives.claimed("dear")

    refusal = begun(store, claim, limits, "1.01").refusal

    assert refusal is not None
    assert refusal.why == "price"
    assert tried(lives, "cheap", limits, "0.5").applied


def test_without_limits_nothing_waits(store: Store, lives: Lives) -> None:
    assert all(tried(lives, f"job-{n}", FREE).applied for n in range(50))
    assert store.limits.standing(FREE).submit.refusal is None


def of_shards(store: Store, clock: Clock, shards: int) -> Lives:
    """The lives of jobs in a store of so many shards."""
    store.scripts.client.flushdb()
    return Lives(Store(store.scripts.client, retention_ms=RETENTION, clock=clock, shards=shards))


def test_a_budget_is_one_for_all_shards(store: Store, clock: Clock) -> None:
    lives = of_shards(store, clock, 16)
    limits = replace(FREE, daily_budget=Decimal("10.00"))

    words = [tried(lives, f"job-{n}", limits, "1.12").word for n in range(12)]

    assert words == ["applied"] * 8 + ["busy"] * 4
    assert lives.store.limits.standing(limits).spent == Decimal("8.96")
    store.scripts.client.flushdb()


def test_what_all_shards_hold_is_told_together(store: Store, clock: Clock) -> None:
    lives = of_shards(store, clock, 16)
    for n in range(12):
        tried(lives, f"job-{n}", FREE, "0.50")

    standing = lives.store.limits.standing(FREE)

    assert (standing.occupied, standing.submit.calls, standing.spent) == (12, 12, Decimal("6.00"))
    store.scripts.client.flushdb()


def test_a_post_that_is_refused_for_another_reason_gives_its_money_back(store: Store, lives: Lives) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"), max_concurrent=1)
    tried(lives, "first", limits, "0.40")

    assert tried(lives, "second", limits, "0.40").word == "busy"
    assert store.attempts.begin(
        lives.claimed("second"), lease_ms_left_needed=DAY, limits=limits, cost=Decimal("0.4")
    ).job

    assert store.limits.standing(limits).spent == Decimal("0.40")


def test_a_worker_that_comes_late_to_a_post_gives_back_nothing_of_it(store: Store, lives: Lives, clock: Clock) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
    lives.accepted()
    late = lives.claimed()
    clock.advance(2 * MINUTE)
    assert begun(store, lives.claimed(), limits, "0.40").applied

    assert begun(store, late, limits, "0.40").word == "repeat"

    assert store.limits.standing(limits).spent == Decimal("0.40")


def test_a_reservation_whose_answer_was_lost_counts_once(store: Store, lives: Lives) -> None:
    limits = replace(FREE, daily_budget=Decimal("1.00"))
    lives.accepted()
    claim = lives.claimed()
    day = str(claim.now // DAY)
    assert store.limits.reserve(limits, JOB, 1, 1, cost=400_000, day=day) == (1, 0)

    assert begun(store, claim, limits, "0.40").applied

    assert store.limits.standing(limits).spent == Decimal("0.40")
    assert 0 < store.scripts.client.pttl(f"callsheet:{{0}}:reserved:{day}") <= 8 * DAY
