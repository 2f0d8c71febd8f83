"""Binding: one request id per attempt, one job per request id, whatever crashed in between."""

from __future__ import annotations

import pytest
import redis

from tests.integration.store.conftest import BRINGS, JOB, MINUTE, RETENTION, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Store

S = JobState
OTHER = "job-2"


def test_the_submit_answer_binds_the_request(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitting()

    reply = store.attempts.bind(
        JOB,
        attempt=1,
        provider="evolink",
        request_id="r1",
        path="submit",
        due_in_ms=MINUTE,
        facts={"usage": '{"credits":3}'},
        notes={"waiting_for": "evolink"},
    )

    assert (reply.word, reply.due_now) == ("applied", False)
    assert reply.job is not None
    assert (reply.job.state, reply.job.request_id, reply.job.submitted_at) == (S.SUBMITTED, "r1", clock.now)
    assert (reply.job.usage, reply.job.waiting_for) == ({"credits": 3}, "evolink")
    assert store.due.next_at() == clock.now + MINUTE


def test_a_repeated_answer_is_a_repeat(store: Store, lives: Lives) -> None:
    lives.submitted()

    assert lives.bound().word == "repeat"


@pytest.mark.parametrize("word", ["submitting", "unconfirmed", "failed(confirm)", "accepted"])
def test_a_late_answer_of_the_attempt_binds_from_every_state_that_waits_for_it(
    store: Store, lives: Lives, word: str
) -> None:
    BRINGS[word](lives)

    assert lives.bound().applied


def test_a_late_answer_reopens_a_closed_job_whose_outcome_was_unknown(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.closed(lives.outcome_unknown())

    reply = lives.bound()

    assert reply.applied
    assert reply.job is not None
    assert reply.job.is_open
    assert reply.job.error is None
    assert client.pttl(f"callsheet:{{0}}:job:{JOB}") == -1


def test_the_answer_consumes_its_early_callback(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.called(request_id="r1")

    reply = lives.bound(due_in_ms=MINUTE)

    assert reply.due_now
    assert store.due.ids(10) == [JOB]
    assert store.callbacks.candidates(JOB) == {}


def test_the_answer_discards_every_other_candidate_with_its_events(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.called(request_id="forged")

    reply = lives.bound(request_id="r1", due_in_ms=MINUTE)

    assert not reply.due_now
    assert (store.callbacks.candidates(JOB), store.callbacks.events(JOB), store.due.ids(10)) == ({}, (), [])


def test_an_early_word_that_was_not_terminal_makes_nothing_due(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.called(request_id="r1", terminal=False)

    assert not lives.bound(due_in_ms=MINUTE).due_now


def test_an_id_of_another_job_is_taken_and_changes_nothing(store: Store, lives: Lives) -> None:
    lives.submitted(JOB, "r1")
    lives.submitting(OTHER)
    before = lives.job(OTHER)

    reply = lives.bound(OTHER, "r1")

    assert (reply.word, reply.job) == ("taken", before)


def test_the_same_id_at_another_provider_is_another_request(store: Store, lives: Lives) -> None:
    lives.submitted(JOB, "r1")
    lives.submitting(OTHER)

    assert store.attempts.bind(OTHER, attempt=1, provider="apimart", request_id="r1", path="submit").applied


def test_a_crash_between_the_index_and_the_bind_orphans_nothing(store: Store, lives: Lives) -> None:
    lives.submitting()
    store.request_ids.own(JOB, "evolink", "r1")

    assert lives.bound(request_id="r1").applied


def test_an_entry_whose_job_is_bound_to_another_id_is_void(store: Store, lives: Lives) -> None:
    lives.submitting(JOB)
    store.request_ids.own(JOB, "evolink", "r2")
    lives.bound(JOB, "r1")
    lives.submitting(OTHER)

    assert lives.bound(OTHER, "r2").applied


@pytest.mark.parametrize("word", ["accepted", "submitting", "unconfirmed", "failed(confirm)"])
def test_an_entry_whose_job_is_still_binding_is_not_void(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    store.request_ids.own(JOB, "evolink", "r2")
    lives.submitting(OTHER)

    assert lives.bound(OTHER, "r2").word == "taken"

    assert lives.bound(JOB, "r2").applied


def test_an_entry_whose_job_is_gone_is_not_void(store: Store, lives: Lives) -> None:
    store.request_ids.own("lost", "evolink", "r2")
    lives.submitting(OTHER)

    assert lives.bound(OTHER, "r2").word == "taken"


def test_a_void_entry_is_replaced_only_if_nobody_else_took_it_meanwhile(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.submitting(JOB)
    store.request_ids.own(JOB, "evolink", "r2")
    lives.bound(JOB, "r1")
    key = "callsheet:{0}:request:evolink:r2"
    client.set(key, "job-3")

    taken = store.scripts.run("own", [key], [OTHER, JOB, 1000])

    assert taken == "job-3"


def test_an_attempt_keeps_its_first_request_id(store: Store, lives: Lives) -> None:
    lives.submitted(JOB, "r1")
    before = lives.job()

    reply = store.attempts.bind(
        JOB, attempt=1, provider="evolink", request_id="r2", path="submit", facts={"usage": "{}"}
    )

    assert (reply.word, reply.job) == ("late", before)
    assert lives.job() == before


def test_an_answer_for_an_older_attempt_is_kept_under_it(store: Store, lives: Lives) -> None:
    lives.submitted(JOB, "r1")

    assert lives.bound(JOB, "r0", attempt=2).word == "late"

    assert lives.job().request_ids == {1: "r1", 2: "r0"}
    assert lives.job().state is S.SUBMITTED


def test_an_id_of_another_attempt_of_the_job_is_taken(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.submitted(JOB, "r1")
    client.hset(f"callsheet:{{0}}:job:{JOB}", mapping={"attempt": "2", "state": "submitting"})

    reply = lives.bound(JOB, "r1", attempt=2)

    assert reply.word == "taken"
    assert lives.job().request_ids == {1: "r1"}
    assert store.audit.mend() == [f"{JOB} was not where the lists look for it: now it is"]


def test_a_bind_of_a_missing_job_says_so(lives: Lives) -> None:
    assert lives.bound("nobody").word == "missing"


def test_an_index_entry_outlives_its_job_and_its_tombstone(lives: Lives, client: redis.Redis) -> None:
    lives.submitted(JOB, "r1")

    assert client.pttl("callsheet:{0}:request:evolink:r1") > 2 * RETENTION + 90 * 24 * 60 * MINUTE
