"""Late truth: a video that was paid for is fetched however late we hear of it, and told anew."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.exceptions import NotFound

from tests.integration.steps.conftest import DAY, HOUR, JOB, MINUTE, Scene
from tests.integration.steps.meddling import once
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.steps import Step

S = JobState
FORGED = "task-unified-1795000000-forged00"


def test_a_callback_revives_a_job_whose_outcome_was_unknown(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    assert scene.job().closed_at is not None

    assert scene.deliver(request_id=scene.created()[0]) == "stored"
    assert scene.is_due()
    job = scene.follow()

    assert job.state is S.ARCHIVED
    assert job.closed_at is not None
    assert scene.told.states == ["failed", "archived"]
    assert scene.posts() == 1


def test_a_forged_callback_for_an_unknown_outcome_revives_nothing_and_lets_the_job_close_again(scene: Scene) -> None:
    scene.outcome_unknown("evolink", created=False)

    scene.deliver(request_id=FORGED)
    scene.follow()
    was_open = scene.job().is_open
    scene.advance(11 * MINUTE)
    scene.follow()

    assert was_open
    assert scene.moves()[-1] == "failed(confirm)"
    assert scene.job().closed_at is not None
    assert scene.told.states == ["failed"]


def test_a_candidate_that_cannot_be_read_now_is_read_again_soon_though_the_job_has_failed(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    scene.rule("poll", status=503, times=2)
    scene.deliver(request_id=scene.created()[0])

    scene.run(Step.REVISIT)
    assert scene.due_in() < 10
    scene.look_when_due()
    assert scene.due_in() < 10
    scene.look_when_due()

    assert scene.job().state is S.SUBMITTED


def test_a_list_is_read_hourly_for_an_unknown_outcome_until_the_retention_ends(scene: Scene) -> None:
    scene.rule("list", status=500, times=None)
    scene.outcome_unknown("gmicloud")

    assert scene.due_in() == HOUR
    scene.look_when_due()
    assert scene.due_in() == HOUR
    scene.advance(30 * DAY)
    scene.run(Step.REVISIT)
    assert scene.job().closed_at is not None


def test_a_list_that_tells_late_revives_a_job_whose_outcome_was_unknown(scene: Scene) -> None:
    scene.rule("list", status=500, times=2)
    scene.outcome_unknown("gmicloud")

    scene.look_when_due()
    scene.look_when_due()
    job = scene.follow()

    assert job.state is S.ARCHIVED
    assert scene.told.states == ["failed", "archived"]


def test_a_generation_without_end_expires_and_is_told(scene: Scene) -> None:
    scene.rule("generation", seconds=30 * DAY)
    scene.submitted()

    scene.advance(6 * HOUR + 1)
    next_step = scene.run(Step.POLL)

    assert next_step is Step.DELIVER
    assert scene.follow().state is S.EXPIRED
    assert scene.told.states == ["expired"]
    assert scene.job().look_until == scene.clock.now_ms + 30 * DAY * 1000


@pytest.mark.parametrize(
    "trouble", [{"status": 500}, {"status": 401}, {"html": True}, {"status": 404}], ids=["500", "401", "proxy", "404"]
)
def test_a_provider_that_never_answers_again_does_not_keep_a_job_for_ever(
    scene: Scene, trouble: dict[str, object]
) -> None:
    scene.submitted()
    scene.rule("poll", times=None, **trouble)
    scene.run(Step.POLL)

    scene.advance(6 * HOUR + 1)
    scene.follow()

    assert scene.job().state is S.EXPIRED
    assert scene.told.states == ["expired"]


def test_a_provider_taken_out_of_the_configuration_does_not_keep_a_job_for_ever(scene: Scene) -> None:
    scene.submitted()
    scene.advance(MINUTE)
    scene.run(Step.POLL, services=scene.but(providers={}))
    waiting_for = scene.job().waiting_for

    scene.advance(6 * HOUR)
    scene.run(Step.POLL, services=scene.but(providers={}))

    assert waiting_for == "provider gmicloud to be configured: GMICLOUD_API_KEY"
    assert scene.job().state is S.EXPIRED


def test_an_expired_job_is_asked_hourly(scene: Scene) -> None:
    scene.expired()
    gets = scene.gets()

    for _ in range(2):
        assert scene.due_in() == HOUR
        scene.look_when_due()

    assert scene.gets() == gets + 2
    assert scene.job().state is S.EXPIRED


def test_an_expired_job_is_asked_no_sooner_by_doubled_messages(scene: Scene) -> None:
    scene.expired()
    gets = scene.gets()

    for _ in range(3):
        scene.run(Step.REVISIT)

    assert scene.gets() == gets


def test_an_expired_jobs_video_is_archived_when_it_comes_after_all(scene: Scene) -> None:
    scene.expired(seconds=7 * HOUR)

    scene.look_when_due()
    job = scene.follow()

    assert scene.moves()[-3:] == ["expired", "generated", "archived"]
    assert job.closed_at is not None
    assert scene.told.states == ["expired", "archived"]


def test_an_expired_job_that_fails_at_the_provider_is_told_as_failed(scene: Scene) -> None:
    scene.rule("generation", seconds=7 * HOUR, outcome="failed", code="nsfw")
    scene.submitted()
    scene.advance(6 * HOUR + 1)
    scene.follow()

    scene.look_when_due()
    job = scene.follow()

    assert job.error is not None
    assert job.error.stage == "generate"
    assert scene.told.states == ["expired", "failed"]


def test_a_callback_for_an_expired_job_is_looked_at_at_once(scene: Scene) -> None:
    scene.expired("evolink", seconds=6 * HOUR + 5)
    scene.advance(10)

    assert scene.deliver() == "stored"
    assert scene.is_due()
    assert scene.follow().state is S.ARCHIVED


def test_an_expired_job_closes_when_the_retention_ends(scene: Scene) -> None:
    scene.expired(seconds=30 * DAY)
    scene.rule("poll", status=500, times=None)

    scene.advance(30 * DAY)
    scene.run(Step.REVISIT)

    assert scene.job().closed_at is not None
    assert scene.job().state is S.EXPIRED


def test_a_callback_that_comes_while_the_job_expires_is_looked_at_at_once(scene: Scene) -> None:
    scene.rule("generation", seconds=6 * HOUR + 2)
    scene.submitted("evolink")
    scene.advance(6 * HOUR + 1)

    def finish() -> None:
        scene.advance(1)
        scene.deliver()

    busy = scene.with_store(before={"jobs.move": once(finish)})
    scene.run(Step.POLL, services=scene.but(store=busy))

    assert scene.job().state is S.EXPIRED
    assert scene.follow().state is S.EXPIRED
    assert scene.is_due()
    assert scene.follow().state is S.ARCHIVED


def test_an_archive_that_failed_is_looked_at_slowly_at_bucket_and_provider(scene: Scene) -> None:
    scene.archive_failed()
    gets, downloads = scene.gets(), len(scene.downloads())

    assert scene.due_in() == HOUR
    scene.look_when_due()

    assert scene.job().state is S.FAILED
    assert scene.gets() == gets + 1
    assert len(scene.downloads()) == downloads + 1, "the link is dead, and tried"
    assert scene.due_in() == HOUR


def test_an_archive_that_failed_is_made_good_by_a_working_link(scene: Scene) -> None:
    scene.archive_failed("apimart")
    scene.rule("generation", seconds=0)
    signed_anew = scene.strangers("apimart")
    scene.advance(HOUR)

    scene.look(services=scene.answering("apimart", signed_anew))

    assert scene.job().state is S.ARCHIVED
    assert scene.follow().closed_at is not None
    assert scene.told.states == ["failed", "archived"]


def test_an_object_that_a_paused_archiver_finished_after_the_verdict_is_found(scene: Scene) -> None:
    finished = scene.archived("gmicloud", "other")
    content = scene.videos()[finished.videos[0].uri.partition("/callsheet/")[2]]
    scene.archive_failed()
    scene.services.bucket.videos.store(scene.video_key(), [content], declared_bytes=None)

    scene.look_when_due()

    assert scene.job().state is S.ARCHIVED
    assert scene.follow(step=Step.DELIVER).closed_at is not None
    assert scene.told.states[-1] == "archived"


def test_an_archive_that_failed_closes_when_the_retention_ends(scene: Scene) -> None:
    scene.archive_failed()

    scene.advance(30 * DAY)
    scene.run(Step.REVISIT)

    assert scene.job().closed_at is not None


def test_a_slow_look_that_lost_its_lease_takes_nothing_from_its_successor(scene: Scene) -> None:
    scene.archive_failed()
    scene.advance(HOUR)

    def take_over() -> None:
        scene.advance(46)
        assert scene.store.due.claim("job-1", states=(S.FAILED,), lease_ms=30_000) is not None

    slow = scene.with_store(after={"jobs.links": take_over})
    scene.run(Step.REVISIT, services=scene.but(store=slow))

    assert scene.job().lease is not None
    assert scene.due_in() == 30


def test_a_forged_success_undoes_no_failure_that_the_provider_stands_by(scene: Scene) -> None:
    scene.rule("generation", outcome="failed", code="nsfw", seconds=10)
    scene.submitted("evolink")
    scene.look_when_due()
    failed = scene.follow()

    scene.deliver(status="completed")
    scene.follow()

    assert (scene.job().held, scene.job().error) == ("failed(generate)", failed.error)
    assert scene.told.states == ["failed"]


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_a_failure_that_turns_out_a_success_is_archived_and_told(scene: Scene, provider: str) -> None:
    scene.rule("poll", status_word="failed")
    scene.submitted(provider)
    scene.finish()
    scene.look_when_due()
    failed = scene.follow()

    scene.look_when_due()
    job = scene.follow()

    assert failed.held == "failed(generate)"
    assert job.state is S.ARCHIVED
    assert scene.told.states == ["failed", "archived"]


def test_a_failure_is_looked_at_slowly_for_a_day_and_then_closed(scene: Scene) -> None:
    scene.rule("generation", outcome="failed", seconds=10)
    scene.submitted()
    scene.finish()
    scene.look_when_due()
    scene.follow()
    looks = 0
    while scene.job().is_open and looks < 40:
        scene.look_when_due()
        looks += 1

    assert 20 <= looks <= 26
    assert scene.job().held == "failed(generate)"
    assert scene.told.states == ["failed"]


@pytest.mark.parametrize(("outcome", "code"), [({"videos": 0}, "no_video")])
def test_a_success_that_is_never_usable_is_stuck_at_once_and_ends_as_what_it_is(
    scene: Scene, outcome: dict[str, Any], code: str
) -> None:
    scene.rule("generation", **outcome)
    scene.submitted()
    scene.finish()
    scene.look_when_due()
    seen = scene.job()

    scene.advance(30 * MINUTE + 1)
    scene.look_when_due()
    job = scene.follow()

    assert (seen.state, seen.unusable) == (S.SUBMITTED, code)
    assert job.error == JobError("generate", code, "gmicloud says success, but names no video")
    assert scene.counter("unusable_successes") == 2
    assert scene.counter("unknown_statuses") == 0


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_a_success_that_cannot_be_used_ends_within_the_hour_and_is_looked_at_for_a_day(
    scene: Scene, provider: str
) -> None:
    scene.rule("generation", videos=0)
    scene.submitted(provider)
    scene.finish()
    looks = 0
    while not scene.job().is_final and looks < 60:
        scene.look_when_due()
        looks += 1
    job, ended_at = scene.follow(), scene.clock.now_ms

    assert job.error is not None
    assert (job.held, job.error.code) == ("failed(generate)", "no_video")
    assert job.submitted_at is not None
    assert 30 * MINUTE < (ended_at - job.submitted_at) / 1000 < HOUR
    assert job.look_until == ended_at + DAY * 1000


def test_a_video_that_is_named_after_a_while_is_archived(scene: Scene) -> None:
    scene.rule("poll", times=3, body={"request_id": "", "status": "success", "outcome": {}})
    scene.submitted()
    scene.finish()
    while scene.job().state is S.SUBMITTED:
        scene.look_when_due()

    assert scene.follow().state is S.ARCHIVED
    assert scene.counter("unusable_successes") == 3


def test_a_job_that_redis_has_lost_is_bound_by_its_callback_when_it_is_sent_again(scene: Scene) -> None:
    """EvoLink has no list: what its callback named is all that tells the paid request."""
    scene.submitted("evolink")
    request_id = scene.job().request_id
    scene.finish()
    scene.store.scripts.client.flushdb()
    with pytest.raises(NotFound):
        scene.deliver(JOB, request_id=request_id)
    with pytest.raises(NotFound):
        scene.deliver(JOB, request_id=FORGED)

    scene.accepted("evolink")
    job = scene.follow()

    assert (job.request_id, job.state) == (request_id, S.ARCHIVED)
    assert scene.posts() == 1
