"""Tries at a notification: kept, planned, and told apart from what else is pending for a final job."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.integration.store.conftest import JOB, LEASE, MINUTE, Clock, Lives
from worker.jobs.job import Job, JobError
from worker.jobs.notification import Tries
from worker.jobs.states import JobState
from worker.store import Reply, Store
from worker.store.notifications import MOST_DELIVERIES, Outcome

HOUR = 60 * MINUTE


@pytest.fixture
def ended(store: Store) -> Job:
    """A failed job that is told, and whose notification is pending."""
    store.jobs.accept(JOB, spec_json="{}", spec_sha256="a", provider="p", model="m", notifies=True)
    store.jobs.move(JOB, JobState.FAILED, attempt=1, path="submit", error=JobError("submit", "refused", "no"))
    return _settled(store)


def _settled(store: Store) -> Job:
    job = _job(store)
    assert store.jobs.delivered(JOB, ver=job.ver, outputs="result", rest_in_ms=MINUTE).word == "applied"
    return _job(store)


def _job(store: Store) -> Job:
    job = store.jobs.get(JOB)
    assert job is not None
    return job


def _tried(store: Store, job: Job, outcome: Outcome, **options: Any) -> Reply:
    return store.notifications.notified(job, outcome, {"at": 1, "ver": job.ver}, rest_in_ms=MINUTE, **options)


def _planned(clock: Clock, wait_ms: int) -> Tries:
    return Tries(1, clock(), clock() + wait_ms)


def test_a_told_job_is_due_for_its_notification_at_once(store: Store, ended: Job, clock: Clock) -> None:
    assert ended.is_open
    assert store.due.ids(10) == [JOB]

    (nudge,) = store.due.nudge([JOB])

    assert nudge.is_for_notification


def test_a_result_that_is_pending_comes_before_the_notification(store: Store) -> None:
    store.jobs.accept(JOB, spec_json="{}", spec_sha256="a", provider="p", model="m", notifies=True)
    store.jobs.move(JOB, JobState.CANCELLED, attempt=1, path="operator")

    (nudge,) = store.due.nudge([JOB])

    assert not nudge.is_for_notification


def test_one_that_was_taken_closes_the_job(store: Store, ended: Job) -> None:
    reply = _tried(store, ended, "delivered")

    assert reply.word == "applied"
    assert not _job(store).is_open
    assert store.due.next_at() is None


def test_a_planned_try_is_not_nudged_before_and_the_look_meanwhile_is_for_the_rest(
    store: Store, ended: Job, clock: Clock
) -> None:
    _tried(store, ended, "again", tries=_planned(clock, 4 * HOUR))
    first_look = store.due.at(JOB)
    assert first_look == clock() + 2 * HOUR, "no due time lies farther ahead than the sweep believes"

    clock.advance(2 * HOUR)
    (between,) = store.due.nudge([JOB])
    clock.advance(2 * HOUR)
    (due,) = store.due.nudge([JOB])

    assert not between.is_for_notification
    assert due.is_for_notification


def test_tries_are_kept_up_to_twenty_and_die_with_the_record(
    store: Store, ended: Job, clock: Clock, redis_client: redis.Redis
) -> None:
    for n in range(MOST_DELIVERIES + 5):
        store.notifications.notified(ended, "manual", {"at": n}, rest_in_ms=MINUTE)
    _tried(store, ended, "delivered")
    store.notifications.notified(ended, "manual", {"at": 99}, rest_in_ms=MINUTE)

    assert len(store.notifications.deliveries(JOB)) == MOST_DELIVERIES
    assert store.notifications.deliveries(JOB)[-1] == {"at": 99}
    record, deliveries = store.scripts.keys.of(JOB)[0], store.scripts.keys.of(JOB)[7]
    record_ms = redis_client.pttl(record)  # read first: time goes on between the two
    assert 0 < redis_client.pttl(deliveries) <= record_ms


def test_a_job_that_wants_none_stores_nothing(store: Store, lives: Lives, redis_client: redis.Redis) -> None:
    lives.archived()
    _settled(store)

    record = redis_client.hgetall(store.scripts.keys.of(JOB)[0])

    assert [name for name in map(str, record) if "notif" in name] == []
    assert not redis_client.exists(store.scripts.keys.of(JOB)[7])


def test_who_lost_the_lease_keeps_the_try_and_puts_off_nobody(store: Store, ended: Job, clock: Clock) -> None:
    first = store.due.claim(JOB, states=(JobState.FAILED,), lease_ms=LEASE)
    assert first is not None
    clock.advance(LEASE + 1)
    second = store.due.claim(JOB, states=(JobState.FAILED,), lease_ms=LEASE)
    assert second is not None

    _tried(store, first.job, "again", tries=_planned(clock, HOUR), lease=first.token)

    assert _job(store).lease == second.token
    assert store.due.at(JOB) == clock() + LEASE
    assert len(store.notifications.deliveries(JOB)) == 1
    _tried(store, second.job, "delivered", lease=second.token)
    assert not _job(store).is_open


def test_a_try_while_another_step_holds_the_job_closes_nothing(store: Store, ended: Job, clock: Clock) -> None:
    claim = store.due.claim(JOB, states=(JobState.FAILED,), lease_ms=LEASE)
    assert claim is not None

    _tried(store, ended, "delivered")

    assert _job(store).is_open
    assert _job(store).lease == claim.token
    assert _job(store).notified_ver == ended.ver


def test_a_job_that_is_held_back_is_put_off_but_not_from_its_result(store: Store, ended: Job, clock: Clock) -> None:
    store.notifications.hold(ended, hold_ms=HOUR)
    assert store.due.at(JOB) == clock() + HOUR
    store.jobs.move(
        JOB, JobState.FAILED, attempt=1, path="poll", facts={"usage": "{}"}, error=JobError("submit", "x", "y")
    )
    assert store.due.at(JOB) == clock()

    store.notifications.hold(ended, hold_ms=HOUR)

    assert store.due.at(JOB) == clock(), "its result is pending"


def test_a_try_at_an_older_version_changes_no_plan_of_the_newer(store: Store, ended: Job, clock: Clock) -> None:
    store.jobs.move(
        JOB, JobState.FAILED, attempt=1, path="poll", facts={"usage": "{}"}, error=JobError("submit", "x", "y")
    )

    reply = _tried(store, ended, "delivered")

    assert reply.word == "late"
    assert _job(store).notified_ver == 0
    assert _job(store).is_open


def test_one_that_was_given_up_closes_the_job_and_a_later_version_is_pending_again(store: Store, ended: Job) -> None:
    _tried(store, ended, "dead")
    assert not _job(store).is_open

    store.jobs.move(
        JOB, JobState.FAILED, attempt=1, path="poll", facts={"usage": "{}"}, error=JobError("submit", "x", "y")
    )
    _settled(store)

    assert _job(store).is_open
    (nudge,) = store.due.nudge([JOB])
    assert nudge.is_for_notification
