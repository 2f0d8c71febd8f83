"""Accepting: a job is recorded once, and its id is its idempotency key for as long as anyone may repeat it."""

from __future__ import annotations

import redis

from tests.integration.store.conftest import JOB, RETENTION, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Store, TimelineEntry

FOUR_MONTHS = RETENTION + 90 * 24 * 60 * 60_000


def test_an_accepted_job_is_recorded_and_due_at_once(store: Store, lives: Lives, clock: Clock) -> None:
    reply = lives.accepted(spec='{"model":"kling"}', request="{}")

    job = lives.job()
    assert (reply.word, reply.job) == ("applied", job)
    assert (job.state, job.ver, job.attempt, job.try_no) == (JobState.ACCEPTED, 1, 1, 0)
    assert (job.accepted_at, job.state_at) == (clock.now, clock.now)
    assert store.history.spec_json(JOB) == '{"model":"kling"}'
    assert store.history.requests(JOB) == ["{}"]
    assert store.due.ids(10) == [JOB]
    assert store.history.timeline(JOB) == [TimelineEntry(clock.now, "", "accepted", "submit", 1)]


def test_facts_are_recorded_with_the_job(store: Store, lives: Lives) -> None:
    store.jobs.accept(
        JOB, spec_json="{}", spec_sha256="a", provider="p", model="m", facts={"cost": '{"amount":"1.50"}'}
    )

    assert lives.job().cost == {"amount": "1.50"}


def test_the_same_id_with_the_same_spec_is_the_same_job(store: Store, lives: Lives) -> None:
    lives.submitted()

    reply = lives.accepted()

    assert reply.word == "repeat"
    assert reply.job is not None
    assert reply.job.state is JobState.SUBMITTED
    assert len(store.history.timeline(JOB)) == 3


def test_the_same_id_with_another_spec_leaves_the_first_job_untouched(store: Store, lives: Lives) -> None:
    lives.accepted(spec='{"prompt":"a"}')
    before = lives.job()

    reply = lives.accepted(spec='{"prompt":"b"}', request="another caller's")

    assert (reply.word, reply.job) == ("conflict", before)
    assert store.history.spec_json(JOB) == '{"prompt":"a"}'
    assert store.history.requests(JOB) == []


def test_the_request_that_comes_after_the_record_is_saved_and_the_first_one_stays(store: Store, lives: Lives) -> None:
    lives.accepted()

    lives.accepted(request="first")
    lives.accepted(request="second")

    assert store.history.requests(JOB) == ["first"]
    assert store.history.save_request(JOB, "third") is False


def test_a_request_is_saved_only_for_a_job_that_exists(store: Store, lives: Lives, client: redis.Redis) -> None:
    assert store.history.save_request("nobody", "request") is False

    assert store.history.requests("nobody") == []


def test_a_request_saved_for_a_closed_job_dies_with_its_record(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.cancelled())

    assert store.history.save_request(JOB, "late") is True

    assert store.history.requests(JOB) == ["late"]
    assert 0 < client.pttl(f"callsheet:{{0}}:history:{JOB}") <= RETENTION


def test_a_reused_id_never_pays_again_once_only_the_tombstone_is_left(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.closed(lives.archived())
    _let_the_record_expire(client)

    reply = lives.accepted()

    assert reply.word == "repeat"
    assert reply.job is not None
    assert (reply.job.is_tombstone, reply.job.state) == (True, JobState.ARCHIVED)
    assert store.due.ids(10) == []


def test_a_reused_id_with_another_spec_conflicts_with_the_tombstone(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.closed(lives.archived())
    _let_the_record_expire(client)

    assert lives.accepted(spec='{"another": 1}').word == "conflict"


def test_a_tombstone_is_kept_ninety_days_longer_than_its_record(lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.archived())

    assert RETENTION - 60_000 < client.pttl(f"callsheet:{{0}}:job:{JOB}") <= RETENTION
    assert FOUR_MONTHS - 60_000 < client.pttl(f"callsheet:{{0}}:tombstone:{JOB}") <= FOUR_MONTHS


def test_nothing_of_an_expired_job_leaks_into_a_new_one_of_its_id(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.submitted()
    lives.called()
    client.delete(f"callsheet:{{0}}:job:{JOB}", f"callsheet:{{0}}:tombstone:{JOB}", *store.scripts.keys.ledger(0))
    assert store.callbacks.events(JOB)

    lives.accepted()

    assert store.callbacks.events(JOB) == ()
    assert len(store.history.timeline(JOB)) == 1


def _let_the_record_expire(client: redis.Redis) -> None:
    for key in client.scan_iter(f"*:{JOB}"):
        if ":tombstone:" not in key:
            client.delete(key)
