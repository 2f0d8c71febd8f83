"""Claims: a lease lets one step act, moves due to its end, and never holds back a report."""

from __future__ import annotations

from typing import Any

import redis

from tests.integration.store.conftest import JOB, LEASE, MINUTE, REFUSED, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Store

S = JobState
NUDGES = (15_000, 30_000, MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE, 5 * MINUTE)


def test_a_claim_moves_due_to_the_leases_end(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()

    claim = lives.claimed()

    assert claim.job.lease_until == clock.now + LEASE
    assert store.due.next_at() == clock.now + LEASE
    assert store.due.ids(10) == []


def test_a_crash_under_a_lease_leaves_the_job_due_at_its_end(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    dead = lives.claimed()

    clock.advance(LEASE)

    assert store.due.ids(10) == [JOB]
    assert lives.claimed().token != dead.token


def test_a_lease_that_redis_has_lost_gives_its_token_to_nobody_else(
    client: redis.Redis, store: Store, lives: Lives
) -> None:
    lives.accepted()
    keys = store.scripts.keys.of(JOB)
    before: dict[str, Any] = {key: client.dump(key) for key in keys[:2]}
    lost = lives.claimed()
    for key, value in before.items():
        client.restore(key, 0, value, replace=True)

    taker = lives.claimed()

    assert store.attempts.begin(taker).applied
    assert store.due.rest(lost, due_in_ms=0).word == "late"
    assert store.due.renew(lost, lease_ms=LEASE) is None
    assert lives.job().lease == taker.token


def test_a_leased_job_cannot_be_claimed(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    lives.claimed()
    clock.advance(LEASE - 1)

    assert store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=LEASE) is None


def test_a_claim_is_only_for_the_states_the_step_is_for(store: Store, lives: Lives) -> None:
    lives.accepted()

    assert store.due.claim(JOB, states=(S.SUBMITTED, S.UNCONFIRMED), lease_ms=LEASE) is None
    assert store.due.claim(JOB, states=(S.SUBMITTED, S.ACCEPTED), lease_ms=LEASE) is not None


def test_a_closed_job_cannot_be_claimed_back_into_the_due_index(store: Store, lives: Lives) -> None:
    lives.closed(lives.cancelled())

    assert store.due.claim(JOB, states=(S.CANCELLED,), lease_ms=LEASE) is None
    assert store.due.next_at() is None


def test_an_old_or_doubled_message_does_not_claim_a_job_that_is_not_due(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.accepted(due_in_ms=MINUTE)
    clock.advance(MINUTE - 1)

    assert store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=LEASE, only_due=True) is None
    clock.advance(1)
    assert store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=LEASE, only_due=True) is not None


def test_a_job_that_was_nudged_can_be_claimed_though_the_nudge_put_it_off(store: Store, lives: Lives) -> None:
    lives.accepted()

    store.due.nudge([JOB])

    assert store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=LEASE, only_due=True) is not None


def test_a_missing_job_cannot_be_claimed(store: Store) -> None:
    assert store.due.claim("nobody", states=tuple(S), lease_ms=LEASE) is None


def test_a_claim_ends_by_the_local_clock_counted_from_before_it_was_asked_for(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.accepted()

    claim = lives.claimed()

    assert claim.room_seconds(clock.now / 1000 + 10) == LEASE / 1000 - 10


def test_a_claim_tells_how_many_callbacks_and_candidates_wait(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    lives.called(request_id="r1")
    lives.called(request_id="r2")

    claim = lives.claimed()

    assert (claim.events, claim.candidates) == (2, 2)


def test_a_renewed_claim_has_a_whole_lease_again(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    claim = lives.claimed()
    clock.advance(LEASE - 1)

    renewed = store.due.renew(claim, lease_ms=LEASE)

    assert renewed is not None
    assert (renewed.token, renewed.job.lease_until) == (claim.token, clock.now + LEASE)
    assert renewed.room_seconds(clock.now / 1000) == LEASE / 1000
    assert store.due.next_at() == clock.now + LEASE


def test_a_lapsed_lease_cannot_be_renewed(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    claim = lives.claimed()
    clock.advance(LEASE)

    assert store.due.renew(claim, lease_ms=LEASE) is None


def test_a_lease_taken_over_cannot_be_renewed(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    paused = lives.claimed()
    clock.advance(LEASE)
    taker = lives.claimed()

    assert store.due.renew(paused, lease_ms=LEASE) is None
    assert lives.job().lease == taker.token


def test_a_move_ends_everybodys_lease(store: Store, lives: Lives) -> None:
    lives.submitted()
    poller = lives.claimed()

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="callback")

    assert store.due.renew(poller, lease_ms=LEASE) is None
    assert lives.job().lease == ""


def test_resting_ends_the_claim_and_says_when_to_look_again(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted()
    claim = lives.claimed()

    reply = store.due.rest(claim, due_in_ms=5000, notes={"polls": "1", "waiting_for": "evolink: processing"})

    assert reply.applied
    assert reply.job is not None
    assert (reply.job.polls, reply.job.waiting_for, reply.job.lease) == (1, "evolink: processing", "")
    assert store.due.next_at() == clock.now + 5000


def test_a_step_that_lost_its_lease_reports_facts_but_reschedules_nothing(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted()
    paused = lives.claimed()
    clock.advance(LEASE)
    taker = lives.claimed()
    due_at = store.due.next_at()

    reply = store.due.rest(paused, due_in_ms=5, facts={"progress": "40"}, notes={"polls": "9"})

    assert reply.word == "late"
    assert reply.job is not None
    assert (reply.job.progress, reply.job.polls, reply.job.lease) == (40, 0, taker.token)
    assert store.due.next_at() == due_at


def test_resting_a_missing_job_says_so(store: Store, lives: Lives) -> None:
    lives.accepted()
    claim = lives.claimed()
    store.jobs.move(JOB, S.FAILED, attempt=1, path="submit", error=REFUSED)
    lives.closed(lives.job())
    store.scripts.client.delete(f"callsheet:{{0}}:job:{JOB}")

    assert store.due.rest(claim, due_in_ms=5).word == "missing"


def test_a_callback_that_comes_while_a_poll_is_in_flight_is_not_slept_over(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted()
    claim = lives.claimed()

    lives.called()
    reply = store.due.rest(claim, due_in_ms=5 * MINUTE)

    assert reply.due_now
    assert store.due.ids(10) == [JOB]


def test_a_callback_that_came_before_the_claim_is_looked_at_by_it(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted()
    lives.called()
    claim = lives.claimed()

    store.due.rest(claim, due_in_ms=5 * MINUTE)

    assert store.due.next_at() == clock.now + 5 * MINUTE


def test_a_callback_whose_looker_died_still_waits_for_the_next_one(store: Store, lives: Lives, clock: Clock) -> None:
    lives.expired(look_until=clock.now + 10 * MINUTE)
    lives.called()
    lives.claimed()
    clock.advance(LEASE)

    lives.told(lives.job())

    assert store.due.ids(10) == [JOB]


def test_a_nudge_takes_no_lease(store: Store, lives: Lives) -> None:
    lives.accepted()

    store.due.nudge([JOB])

    assert lives.job().lease == ""
    assert lives.claimed().job.id == JOB


def test_nudges_double_up_to_five_minutes(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()

    waits = []
    for _ in NUDGES:
        (nudge,) = store.due.nudge([JOB])
        waits.append((store.due.next_at() or 0) - clock.now)
        clock.advance(waits[-1])

    assert (nudge.job_id, nudge.state, nudge.provider) == (JOB, S.ACCEPTED, "evolink")
    assert tuple(waits) == NUDGES


def test_after_a_thousand_lost_nudges_a_job_is_still_five_minutes_from_its_next_chance(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.accepted()
    store.jobs.note(JOB, waiting_for="x")
    store.scripts.client.hset(f"callsheet:{{0}}:job:{JOB}", "nudges", 1000)

    store.due.nudge([JOB])

    assert store.due.next_at() == clock.now + 5 * MINUTE


def test_the_nudge_interval_starts_anew_when_the_job_moves(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted(due_in_ms=0)
    for _ in range(4):
        clock.advance(5 * MINUTE)
        store.due.nudge([JOB])

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll")
    store.due.nudge([JOB])

    assert store.due.next_at() == clock.now + NUDGES[0]


def test_a_backlog_is_not_nudged_again_every_tick(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()

    assert len(store.due.nudge([JOB, JOB])) == 1
    clock.advance(NUDGES[0] - 1)

    assert store.due.ids(10) == []
    assert store.due.nudge([JOB]) == []


def test_the_longest_due_come_first_and_no_more_than_asked_for(store: Store, lives: Lives, clock: Clock) -> None:
    for n in (3, 1, 2):
        lives.accepted(f"job-{n}", due_in_ms=n * 1000)
    clock.advance(2500)

    assert store.due.ids(10) == ["job-1", "job-2"]
    assert store.due.ids(1) == ["job-1"]


def test_a_due_entry_without_a_record_is_removed_and_counted(store: Store, lives: Lives) -> None:
    lives.accepted()
    store.scripts.client.delete(f"callsheet:{{0}}:job:{JOB}")

    assert store.due.nudge([JOB]) == []

    assert store.due.next_at() is None
    assert store.counters.all() == {"due_without_open_job": 1}
    assert store.audit.mend() == [f"{JOB} was listed without a record: its entry is removed"]
