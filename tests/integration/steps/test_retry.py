"""Retry: a job that has ended goes on, free of charge where it can, and never pays twice unasked."""

from __future__ import annotations

import pytest

from tests.integration.steps.conftest import HOUR, Scene
from tests.integration.steps.meddling import once
from worker.jobs.states import JobState
from worker.operations import retry
from worker.steps import Step

S = JobState


def retried(scene: Scene, *, pay_again: bool = False) -> str:
    return retry.run("job-1", scene.services, pay_again=pay_again).word


def generation_failed(scene: Scene, provider: str = "gmicloud") -> None:
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    scene.submitted(provider)
    scene.finish()
    scene.follow()
    assert scene.moves()[-1] == "failed(generate)"


def refused(scene: Scene) -> None:
    scene.rule("submit", status=400)
    scene.accepted("gmicloud")
    scene.follow()
    assert scene.moves()[-1] == "failed(submit)"


def test_a_refused_job_is_tried_again_without_leave_and_pays_once(scene: Scene) -> None:
    refused(scene)

    word = retried(scene)
    scene.follow()
    scene.finish()
    job = scene.follow()

    assert (word, job.state, job.attempt) == ("applied", S.ARCHIVED, 2)
    assert len(scene.created()) == 1
    assert scene.told.states == ["failed", "archived"]
    assert [name.rpartition("/")[2] for name in scene.videos()] == ["2-1.mp4"]


def test_a_cancelled_job_is_tried_again_without_leave(scene: Scene) -> None:
    scene.accepted()
    scene.store.jobs.move("job-1", S.CANCELLED, attempt=1, path="operator")
    scene.follow()

    word = retried(scene)
    scene.follow()

    assert (word, scene.job().state) == ("applied", S.SUBMITTED)


@pytest.mark.parametrize("brings", ["failed(generate)", "failed(confirm)"])
def test_what_may_have_been_paid_is_never_paid_again_without_leave(scene: Scene, brings: str) -> None:
    if brings == "failed(generate)":
        generation_failed(scene)
    else:
        scene.outcome_unknown("evolink")
    before = scene.posts()

    word = retried(scene)
    scene.follow()

    assert word == "paid"
    assert (scene.job().state, scene.job().attempt, scene.posts()) == (S.FAILED, 1, before)


def test_with_leave_a_failed_generation_is_paid_for_a_second_time_and_both_ids_are_kept(scene: Scene) -> None:
    generation_failed(scene)

    retried(scene, pay_again=True)
    scene.follow()
    scene.finish()
    job = scene.follow()

    assert (job.state, job.attempt, job.ended) == (S.ARCHIVED, 2, {1: "failed(generate)"})
    assert list(job.request_ids.values()) == scene.created()
    assert len(scene.created()) == 2


def test_a_refused_second_attempt_needs_leave_because_the_first_may_have_been_paid(scene: Scene) -> None:
    generation_failed(scene)
    retried(scene, pay_again=True)
    scene.rule("submit", status=400)
    scene.follow()
    assert scene.moves()[-1] == "failed(submit)"

    assert retried(scene) == "paid"


def test_an_expired_job_is_asked_about_again_without_paying(scene: Scene) -> None:
    scene.expired(seconds=9 * HOUR)

    word = retried(scene)
    scene.advance(4 * HOUR)
    scene.follow()
    job = scene.follow()

    assert (word, job.state, job.attempt, scene.posts()) == ("applied", S.ARCHIVED, 1, 1)
    assert "expired" in scene.moves()
    assert scene.moves().count("submitted") == 2


def test_a_job_asked_about_again_gets_a_whole_deadline(scene: Scene) -> None:
    scene.expired(seconds=30 * HOUR)

    retried(scene)
    scene.advance(5 * HOUR)
    scene.look()

    assert scene.job().state is S.SUBMITTED


def test_a_failed_archive_is_tried_again_and_not_given_up_for_the_end_of_its_old_link(scene: Scene) -> None:
    scene.archive_failed("evolink")
    scene.rule("poll", status=503)

    word = retried(scene)
    scene.look()

    job = scene.job()
    assert (word, job.state, job.attempt, scene.posts()) == ("applied", S.GENERATED, 1, 1)
    assert job.link_expires_at is None, "the old link's end is no verdict on a fresh one"


@pytest.mark.parametrize("brings", ["accepted", "submitted", "generated", "archived"])
def test_a_job_that_has_not_ended_without_a_video_is_left_alone(scene: Scene, brings: str) -> None:
    getattr(scene, brings)()
    before = scene.job()

    assert retried(scene, pay_again=True) == "late"
    assert scene.job() == before


def test_an_unknown_job_is_missing(scene: Scene) -> None:
    assert retried(scene) == "missing"


def test_two_operators_at_once_begin_one_attempt(scene: Scene) -> None:
    refused(scene)
    store = scene.with_store(before={"attempts.try_again": once(lambda: retried(scene))})

    word = retry.run("job-1", scene.but(store=store)).word

    assert (word, scene.job().attempt) == ("late", 2)


def test_a_new_attempt_waits_while_a_callback_is_still_to_be_looked_at(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    scene.deliver(request_id=scene.created()[0])

    assert retried(scene, pay_again=True) == "asking"
    assert scene.follow().state is S.ARCHIVED
    assert scene.posts() == 1


def test_a_late_callback_of_the_first_attempt_moves_nothing_while_the_second_is_open(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    retried(scene, pay_again=True)
    scene.follow()
    second = scene.job().request_id

    assert scene.deliver(request_id=scene.created()[0], attempt=1) == "late"

    job = scene.job()
    assert (job.state, job.attempt, job.request_id) == (S.SUBMITTED, 2, second)
    assert len(scene.store.callbacks.events("job-1")) == 1


@pytest.mark.parametrize("provider", ["evolink", "gmicloud"])
def test_when_the_second_attempt_fails_the_video_of_the_first_is_found_and_archived_under_its_own_key(
    scene: Scene, provider: str
) -> None:
    scene.rule("list", status=500)
    scene.outcome_unknown(provider)
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    retried(scene, pay_again=True)
    scene.follow()
    if provider == "evolink":
        scene.deliver(request_id=scene.created()[0], attempt=1)
    scene.finish()
    scene.look_when_due()
    scene.look()
    assert scene.moves()[-1] == "failed(generate)"
    assert scene.job().is_open

    scene.look_when_due()
    job = scene.follow()

    assert (job.state, job.attempt, job.videos_attempt) == (S.ARCHIVED, 2, 1)
    assert list(job.request_ids.values()) == scene.created()
    assert [name.rpartition("/")[2] for name in scene.videos()] == ["1-1.mp4"]
    assert scene.told.states == ["failed", "failed", "archived"]


def test_a_failed_second_attempt_is_not_looked_back_from_when_the_first_one_has_no_video(scene: Scene) -> None:
    generation_failed(scene)
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    retried(scene, pay_again=True)
    scene.follow()
    scene.finish()
    scene.look_when_due()
    scene.follow()
    scene.advance(25 * HOUR)
    scene.look_when_due()
    job = scene.follow()

    assert (job.held, job.attempt, job.is_open) == ("failed(generate)", 2, False)


@pytest.mark.parametrize("second", ["generate", "submit"])
def test_a_first_attempt_whose_failure_turns_out_a_success_is_archived_when_the_second_ends_without_a_video(
    scene: Scene, second: str
) -> None:
    scene.rule("poll", status_word="failed")
    scene.submitted("evolink")
    scene.finish()
    scene.look_when_due()
    first = scene.follow()
    if second == "generate":
        scene.rule("generation", outcome="failed", code="nsfw", message="no")
    else:
        scene.rule("submit", status=400)
    retried(scene, pay_again=True)
    scene.follow()
    if second == "generate":
        scene.finish()
        scene.look_when_due()
    scene.look()
    failed = scene.job()

    scene.look_when_due()
    job = scene.follow()

    assert (first.held, failed.held) == ("failed(generate)", f"failed({second})")
    assert (job.state, job.attempt, job.videos_attempt) == (S.ARCHIVED, 2, 1)
    assert [name.rpartition("/")[2] for name in scene.videos()] == ["1-1.mp4"]


def test_a_first_attempt_that_has_failed_is_asked_for_a_day_after_the_second_has_ended(scene: Scene) -> None:
    generation_failed(scene)
    scene.rule("submit", status=400)
    retried(scene, pay_again=True)
    scene.follow()
    before, looks = scene.gets(), 0
    while scene.job().is_open and looks < 40:
        scene.look_when_due()
        looks += 1

    assert 20 <= looks <= 26
    assert 20 <= scene.gets() - before <= 26
    assert scene.job().held == "failed(submit)"


def test_the_late_answer_of_the_first_attempts_post_is_kept_under_its_number(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    retried(scene, pay_again=True)
    scene.follow()

    scene.store.attempts.bind("job-1", attempt=1, provider="evolink", request_id=scene.created()[0], path="submit")

    job = scene.job()
    assert list(job.request_ids.values()) == scene.created()
    assert (job.attempt, job.state) == (2, S.SUBMITTED)
    assert scene.run(Step.SUBMIT) is None
    assert len(scene.created()) == 2
