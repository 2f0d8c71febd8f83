"""New attempts: what a record keeps of the one before, and when one may be begun."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.store.conftest import (
    BRINGS,
    DAY,
    GENERATION_FAILED,
    JOB,
    REFUSED,
    RETENTION,
    VIDEO,
    Clock,
    Lives,
)
from worker.jobs.states import RETRIES, UNPAID, JobState
from worker.store import Store

S = JobState


def again(store: Store, *, attempt: int = 1, pay_again: bool = False) -> str:
    return store.attempts.try_again(JOB, attempt=attempt, pay_again=pay_again).word


def second_attempt_failed(store: Store, lives: Lives) -> None:
    """Attempt 2, refused."""
    store.attempts.try_again(JOB, attempt=1, pay_again=True)
    assert store.attempts.begin(lives.claimed()).applied
    assert store.jobs.move(JOB, S.FAILED, attempt=2, path="submit", error=REFUSED).applied


@pytest.mark.parametrize("word", BRINGS)
def test_an_attempt_is_begun_only_where_the_table_says_so(word: str, store: Store, lives: Lives) -> None:
    BRINGS[word](lives)
    expected = "late" if word not in RETRIES[S.ACCEPTED] else "applied" if word in UNPAID else "paid"

    assert again(store) == expected
    assert (lives.job().attempt == 2) == (expected == "applied")


@pytest.mark.parametrize("word", sorted(RETRIES[S.ACCEPTED]))
def test_with_leave_to_pay_every_ended_job_gets_another_attempt(word: str, store: Store, lives: Lives) -> None:
    BRINGS[word](lives)

    assert again(store, pay_again=True) == "applied"
    job = lives.job()
    assert (job.state, job.attempt, job.try_no, job.error, job.ended) == (S.ACCEPTED, 2, 0, None, {1: word})
    assert store.due.at(JOB) == store.clock.now()
    assert store.history.timeline(JOB)[-1].source == word


def test_a_closed_job_is_open_again_and_no_longer_dies(store: Store, lives: Lives, clock: Clock) -> None:
    lives.closed(lives.generation_failed())

    again(store, pay_again=True)

    job = lives.job()
    assert job.is_open
    assert not job.is_tombstone
    assert {store.scripts.client.pttl(key) for key in store.scripts.client.scan_iter(f"*:{JOB}")} == {-1}


def test_the_old_attempts_facts_stay_under_its_number(store: Store, lives: Lives) -> None:
    lives.submitted()
    store.jobs.move(
        JOB, S.FAILED, attempt=1, path="poll", error=GENERATION_FAILED, facts={"usage": "{}", "progress": "40"}
    )

    again(store, pay_again=True)

    record: Any = store.scripts.client.hgetall(f"callsheet:{{0}}:job:{JOB}")
    job = lives.job()
    assert (record["usage.1"], "usage" in record, job.progress, job.submitted_at) == ("{}", False, 0, None)
    assert (job.request_ids, job.request_id) == ({1: "r1"}, None)


def test_the_version_grows_and_the_result_is_owed_again_only_at_the_end(store: Store, lives: Lives) -> None:
    before = lives.closed(lives.generation_failed())

    again(store, pay_again=True)

    assert lives.job().ver == before.ver + 1
    assert store.jobs.delivered(JOB, ver=lives.job().ver, outputs="result", rest_in_ms=0).word == "late"


def test_an_attempt_begun_twice_is_one(store: Store, lives: Lives) -> None:
    lives.refused()

    assert [again(store), again(store)] == ["applied", "late"]
    assert lives.job().attempt == 2


def test_a_verdict_on_the_old_attempt_changes_nothing_any_more(store: Store, lives: Lives) -> None:
    lives.archive_failed()
    again(store, pay_again=True)

    assert lives.store_archived().word == "late"
    assert (lives.job().state, lives.job().videos) == (S.ACCEPTED, ())


def test_the_old_attempts_request_cannot_become_the_new_ones(store: Store, lives: Lives) -> None:
    lives.generation_failed()
    again(store, pay_again=True)
    store.attempts.begin(lives.claimed())

    assert lives.bound(attempt=2, request_id="r1").word == "taken"
    assert lives.bound(attempt=2, request_id="r2").word == "applied"


def test_many_old_callbacks_leave_room_for_new_ones(store: Store, lives: Lives) -> None:
    lives.submitted()
    for n in range(16):
        lives.called(text=f"done {n}", terminal=True)
    look = lives.claimed()
    store.jobs.move(JOB, S.FAILED, attempt=1, path="poll", lease=look.token, error=GENERATION_FAILED)

    again(store, pay_again=True)
    store.attempts.begin(lives.claimed())
    lives.bound(attempt=2, request_id="r2")

    assert len(store.callbacks.events(JOB)) == 8
    assert lives.called(attempt=2, request_id="r2").word == "stored"


def test_a_candidate_that_nobody_has_read_is_read_before_paying_again(store: Store, lives: Lives) -> None:
    lives.outcome_unknown()
    lives.called(request_id="r9")

    assert again(store, pay_again=True) == "asking"
    assert lives.job().attempt == 1


def test_a_job_stays_open_while_an_earlier_attempt_may_have_a_video(store: Store, lives: Lives, clock: Clock) -> None:
    lives.closed(lives.outcome_unknown())
    second_attempt_failed(store, lives)

    lives.told(lives.job())

    job = lives.job()
    assert job.is_open
    assert job.look_until == clock.now + RETENTION
    clock.advance(RETENTION + DAY)
    store.jobs.delivered(JOB, ver=job.ver, outputs="", rest_in_ms=0)
    assert not lives.job().is_open


def test_a_job_whose_first_generation_has_failed_is_looked_at_for_a_day(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.closed(lives.generation_failed())
    second_attempt_failed(store, lives)

    lives.told(lives.job())

    job = lives.job()
    assert job.is_open
    assert job.look_until == clock.now + DAY
    clock.advance(DAY + 1)
    store.jobs.delivered(JOB, ver=job.ver, outputs="", rest_in_ms=0)
    assert not lives.job().is_open


def test_the_video_of_an_earlier_attempt_is_recorded_as_such(store: Store, lives: Lives) -> None:
    lives.closed(lives.archive_failed())
    second_attempt_failed(store, lives)

    reply = store.attempts.archive_earlier(lives.job(), 1, (VIDEO,))

    job = lives.job()
    assert (reply.word, job.state, job.videos, job.videos_attempt) == ("applied", S.ARCHIVED, (VIDEO,), 1)
    assert (job.manifest_ver, job.attempt) == (0, 2)


def test_the_video_of_an_earlier_attempt_is_too_late_once_the_job_is_tried_again(store: Store, lives: Lives) -> None:
    lives.closed(lives.archive_failed())
    second_attempt_failed(store, lives)
    seen = lives.job()
    store.attempts.try_again(JOB, attempt=2, pay_again=True)

    assert store.attempts.archive_earlier(seen, 1, (VIDEO,)).word == "late"
    assert lives.job().videos == ()
