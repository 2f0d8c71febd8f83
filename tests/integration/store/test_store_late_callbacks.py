"""Callbacks for jobs that are over: reopened where the video may still come, else late."""

from __future__ import annotations

import pytest
import redis

from tests.integration.store.conftest import BRINGS, DAY, JOB, MINUTE, OUTCOME_UNKNOWN, RETENTION, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Arrival, Store

S = JobState
LATE = ["generated", "archived", "failed(submit)", "cancelled"]
REVIVING = ["expired", "failed(archive)", "failed(generate)"]


@pytest.mark.parametrize("word", LATE)
def test_a_callback_for_a_job_that_needs_none_is_late(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    before = lives.job()

    assert lives.called().word == "late"

    assert lives.job() == before


def test_failed_after_completed_and_completed_after_failed_move_nothing(store: Store, lives: Lives) -> None:
    lives.generated()

    assert lives.called(text="failed").word == "late"

    assert lives.job().state is S.GENERATED


def test_the_callbacks_of_a_lost_job_are_its_own_when_it_is_accepted_again(
    store: Store, lives: Lives, client: redis.Redis, clock: Clock
) -> None:
    lives.submitted()
    client.flushdb()
    assert lives.called().word == "missing"
    assert lives.called().word == "missing"
    seen_at = clock.now
    assert 0 < client.pttl(f"callsheet:{{0}}:candidates:{JOB}") <= 30 * DAY
    assert 0 < client.pttl(f"callsheet:{{0}}:events:{JOB}") <= 30 * DAY
    clock.advance(DAY)

    assert lives.accepted(due_in_ms=MINUTE).word == "applied"

    assert store.callbacks.candidates(JOB) == {"r1": seen_at}
    assert [(event.request_id, event.is_terminal) for event in store.callbacks.events(JOB)] == [("r1", True)]
    assert store.due.ids() == [JOB]
    assert client.pttl(f"callsheet:{{0}}:candidates:{JOB}") == -1
    assert store.attempts.begin(lives.claimed()).word == "late", "a POST is on record that this record does not know"
    assert lives.bound().due_now


def test_a_flood_to_one_lost_job_pushes_out_no_id_of_another(store: Store, lives: Lives, client: redis.Redis) -> None:
    for n in range(60):
        lives.submitted(f"lost-{n}", f"r{n}")
    client.flushdb()
    for n in range(60):
        lives.called(f"lost-{n}", f"r{n}")

    for n in range(300):
        assert lives.called("lost-0", f"junk-{n}").word == "missing"

    assert all(f"r{n}" in store.callbacks.candidates(f"lost-{n}") for n in range(60))
    assert len(store.callbacks.candidates("lost-0")) == 8
    assert len(store.callbacks.events("lost-0")) <= 16


def test_a_delivery_of_which_only_the_url_can_be_read_keeps_nothing_of_a_lost_job(
    store: Store, client: redis.Redis
) -> None:
    assert store.callbacks.arrive(JOB, attempt=1).word == "missing"

    assert list(client.scan_iter(match=f"*:{JOB}")) == []


def test_a_job_nobody_called_back_about_begins_with_nothing(store: Store, lives: Lives, client: redis.Redis) -> None:
    client.hset(f"callsheet:{{0}}:events:{JOB}", "left over", '1 1 1 "r0"\n{}')

    lives.accepted()

    assert store.callbacks.events(JOB) == ()
    assert store.callbacks.candidates(JOB) == {}


def test_a_callback_for_no_job_is_missing(lives: Lives) -> None:
    assert lives.called("nobody") == Arrival("missing", None)


def test_a_callback_for_a_tombstone_is_late(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.archived())
    client.delete(f"callsheet:{{0}}:job:{JOB}")

    assert lives.called() == Arrival("late", S.ARCHIVED, "evolink")


def test_a_callback_reopens_a_closed_job_whose_outcome_was_unknown(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.closed(lives.outcome_unknown())

    assert lives.called().word == "stored"

    assert lives.job().is_open
    assert store.due.ids(10) == [JOB]
    assert client.exists(f"callsheet:{{0}}:tombstone:{JOB}") == 0
    assert [client.pttl(key) for key in client.scan_iter(f"*:{JOB}")] == [-1] * 4


@pytest.mark.parametrize("word", REVIVING)
def test_a_late_callback_with_the_right_id_reopens_a_job_whose_video_may_still_come(
    store: Store, lives: Lives, word: str
) -> None:
    BRINGS[word](lives)
    lives.closed(lives.job())

    assert lives.called().word == "stored"

    assert lives.job().is_open
    assert store.due.ids(10) == [JOB]


@pytest.mark.parametrize("word", REVIVING)
def test_a_replayed_callback_does_not_reopen_it_again_and_again(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    lives.called()
    store.due.rest(lives.claimed(), due_in_ms=MINUTE)
    lives.closed(lives.job())

    assert lives.called().word == "repeat"

    assert not lives.job().is_open


def test_what_is_kept_for_a_closed_job_dies_with_its_record(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.archived())

    lives.called(request_id="older", attempt=2)

    assert 0 < client.pttl(f"callsheet:{{0}}:events:{JOB}") <= RETENTION


def test_an_outcome_unknown_that_learns_its_candidate_meanwhile_is_looked_at_after_it_is_told(
    store: Store, lives: Lives
) -> None:
    lives.unconfirmed()
    claim = lives.claimed()
    lives.called()

    reply = store.jobs.move(JOB, S.FAILED, attempt=1, path="sweep", lease=claim.token, error=OUTCOME_UNKNOWN)

    assert reply.applied
    assert store.callbacks.candidates(JOB)
    assert store.due.ids(10) == [JOB]
