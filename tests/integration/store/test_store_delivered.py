"""Delivered outputs are marked by the record as it is, and only then is the job closed."""

from __future__ import annotations

import pytest
import redis

from tests.integration.store.conftest import BRINGS, JOB, LEASE, MINUTE, Clock, Lives
from worker.jobs.job import Job
from worker.jobs.states import FINAL, JobState
from worker.store import Reply, Store
from worker.store.jobs import Outputs

S = JobState
FINAL_WORDS = [word for word in BRINGS if word.partition("(")[0] in FINAL]


def _delivered(store: Store, job: Job, outputs: Outputs) -> Reply:
    return store.jobs.delivered(JOB, ver=job.ver, outputs=outputs, rest_in_ms=MINUTE)


@pytest.mark.parametrize("word", FINAL_WORDS)
def test_a_final_job_owes_its_result_and_is_open_until_it_is_told(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    job = lives.job()
    assert job.told_ver < job.ver
    assert store.due.ids(10) == [JOB]

    reply = lives.told(job)

    assert reply.job is not None
    assert (reply.word, reply.job.told_ver, reply.job.is_open) == ("applied", job.ver, False)
    assert store.due.next_at() is None


def test_an_archived_job_stays_open_until_its_manifest_is_written(store: Store, lives: Lives, clock: Clock) -> None:
    job = lives.archived(owes_manifest=True)
    claim = lives.claimed()

    after_result = _delivered(store, job, "result").job
    after_manifest = _delivered(store, job, "manifest").job

    assert after_result is not None
    assert after_manifest is not None
    assert (after_result.is_open, after_result.lease) == (True, claim.token)
    assert (after_manifest.is_open, after_manifest.manifest_ver) == (False, job.ver)


def test_the_manifest_may_be_delivered_before_the_result(store: Store, lives: Lives) -> None:
    job = lives.archived(owes_manifest=True)

    assert _delivered(store, job, "manifest").job
    assert store.due.open_count() == 1
    _delivered(store, job, "result")

    assert store.due.open_count() == 0


def test_a_crash_after_the_manifest_leaves_the_result_owed(store: Store, lives: Lives, clock: Clock) -> None:
    job = lives.archived(owes_manifest=True)
    lives.claimed()
    _delivered(store, job, "manifest")

    clock.advance(LEASE)

    assert store.due.ids(10) == [JOB]
    assert lives.job().told_ver < job.ver


def test_told_does_not_count_when_the_record_has_moved_on(store: Store, lives: Lives) -> None:
    stale = lives.archive_failed()
    lives.store_archived()

    assert _delivered(store, stale, "result").word == "late"

    job = lives.job()
    assert (job.told_ver, job.is_open) == (0, True)
    assert store.due.ids(10) == [JOB]


def test_a_fact_that_changes_a_told_result_is_told_again(store: Store, lives: Lives) -> None:
    told = lives.closed(lives.archived())

    store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"credits":5}'})

    job = lives.job()
    assert (job.is_open, job.ver, job.told_ver) == (True, told.ver + 1, told.ver)
    assert store.due.ids(10) == [JOB]


def test_a_fact_under_a_claim_is_still_pending_when_it_ends(store: Store, lives: Lives, clock: Clock) -> None:
    job = lives.archived()
    lives.claimed()
    store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"credits":5}'})

    assert _delivered(store, job, "result").word == "late"

    clock.advance(LEASE)
    assert store.due.ids(10) == [JOB]


def test_a_manifest_written_over_a_newer_one_is_owed_again(store: Store, lives: Lives) -> None:
    stale = lives.archived(owes_manifest=True)
    store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"credits":5}'})
    lives.closed(lives.job())

    assert _delivered(store, stale, "manifest").word == "late"

    job = lives.job()
    assert (job.is_open, job.manifest_ver) == (True, 0)
    assert store.due.ids(10) == [JOB]


def test_settling_a_closed_job_again_is_a_repeat(store: Store, lives: Lives) -> None:
    job = lives.closed(lives.cancelled())

    assert _delivered(store, job, "result").word == "repeat"

    assert lives.job() == job


def test_a_job_that_is_not_final_owes_nothing(store: Store, lives: Lives) -> None:
    job = lives.submitted()

    assert _delivered(store, job, "result").word == "late"
    assert _delivered(store, job, "").word == "late"

    assert lives.job() == job


def test_settling_a_missing_job_says_so(store: Store) -> None:
    assert store.jobs.delivered("nobody", ver=1, outputs="result", rest_in_ms=MINUTE).word == "missing"


def test_a_told_job_whose_video_may_still_come_rests_until_the_looking_ends(
    store: Store, lives: Lives, clock: Clock
) -> None:
    job = lives.expired(look_until=clock.now + 10 * MINUTE)
    lives.claimed()

    reply = lives.told(job)

    assert reply.job is not None
    assert (reply.job.is_open, reply.job.lease) == (True, "")
    assert store.due.next_at() == clock.now + MINUTE
    clock.advance(10 * MINUTE)
    assert _delivered(store, job, "").job == lives.job()
    assert not lives.job().is_open


def test_settling_under_a_lost_lease_does_not_end_the_claim_of_who_took_over(
    store: Store, lives: Lives, clock: Clock
) -> None:
    job = lives.expired(look_until=clock.now + 60 * MINUTE)
    paused = lives.claimed()
    clock.advance(LEASE)
    taker = lives.claimed()

    store.jobs.delivered(JOB, ver=job.ver, outputs="result", rest_in_ms=MINUTE, lease=paused.token)

    assert (lives.job().lease, lives.job().told_ver) == (taker.token, job.ver)
    assert store.due.next_at() == taker.job.lease_until
    store.jobs.delivered(JOB, ver=job.ver, outputs="", rest_in_ms=MINUTE, lease=taker.token)
    assert (lives.job().lease, store.due.next_at()) == ("", clock.now + MINUTE)


def test_a_callback_that_came_while_the_result_was_told_is_looked_at_next(
    store: Store, lives: Lives, clock: Clock
) -> None:
    job = lives.expired(look_until=clock.now + 60 * MINUTE)
    lives.claimed()
    lives.called()

    lives.told(job)

    assert store.due.ids(10) == [JOB]


def test_a_look_that_rested_on_a_candidate_is_not_made_hot_by_settling(
    store: Store, lives: Lives, clock: Clock
) -> None:
    job = lives.outcome_unknown()
    lives.told(job)
    store.jobs.note(JOB, failures="0")
    lives.called()
    store.due.rest(lives.claimed(), due_in_ms=30_000)

    _delivered(store, lives.job(), "")

    assert store.due.next_at() == clock.now + 30_000
    assert lives.job().is_open


def test_a_look_that_found_nothing_closes_the_job_again(store: Store, lives: Lives) -> None:
    lives.closed(lives.archive_failed())
    lives.called()
    lives.claimed()

    _delivered(store, lives.job(), "")

    assert not lives.job().is_open


def test_late_truth_reopens_owes_a_new_result_and_closes_again(store: Store, lives: Lives, client: redis.Redis) -> None:
    failed = lives.closed(lives.archive_failed())

    archived = lives.store_archived(owes_manifest=True).job

    assert archived is not None
    assert archived.is_open
    assert (archived.told_ver, archived.manifest_ver) == (failed.ver, 0)
    assert archived.ver > failed.ver
    lives.closed(archived)
    assert client.pttl(f"callsheet:{{0}}:job:{JOB}") > 0


def test_a_late_move_reopens_a_closed_job_whatever_else_it_says(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.closed(lives.expired())

    job = store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", due_in_ms=MINUTE).job

    assert job is not None
    assert job.is_open
    assert {client.pttl(key) for key in client.scan_iter(f"*:{JOB}")} == {-1}


def test_leaving_a_final_state_forgets_what_only_a_final_job_has(store: Store, lives: Lives, clock: Clock) -> None:
    lives.expired(look_until=clock.now + MINUTE)

    job = store.jobs.move(JOB, S.GENERATED, attempt=1, path="callback").job

    assert job is not None
    assert (job.look_until, job.manifest_ver, job.closed_at) == (None, None, None)


def test_the_tombstone_keeps_what_a_late_caller_may_ask_for(store: Store, lives: Lives, client: redis.Redis) -> None:
    job = lives.closed(lives.archived())
    client.delete(f"callsheet:{{0}}:job:{JOB}")

    tombstone = lives.job()

    assert tombstone.is_tombstone
    assert not tombstone.is_open
    kept = ("state", "ver", "provider", "model", "spec_sha256", "accepted_at", "closed_at", "videos", "request_ids")
    assert [getattr(tombstone, name) for name in kept] == [getattr(job, name) for name in kept]


def test_the_tombstone_of_a_failure_says_why(store: Store, lives: Lives, client: redis.Redis) -> None:
    job = lives.closed(lives.refused())
    client.delete(f"callsheet:{{0}}:job:{JOB}")

    assert lives.job().error == job.error


def test_every_key_of_a_closed_job_expires(lives: Lives, client: redis.Redis) -> None:
    lives.accepted(request="{}")
    lives.generated()
    lives.closed(lives._moved(lives.store_archived()))

    assert [key for key in client.scan_iter(f"*:{JOB}") if client.pttl(key) < 0] == []
