"""Cancel: only what no provider has heard of is cancelled; everything later is paid for and goes on."""

from __future__ import annotations

import pytest

from tests.integration.steps.conftest import DAY, HOUR, JOB, Scene
from tests.integration.steps.meddling import once
from tests.integration.steps.rollbacks import snapshot, with_bucket
from worker.jobs.states import JobState
from worker.operations import cancel, retry
from worker.steps import Step

S = JobState


def test_a_job_that_no_provider_has_heard_of_is_cancelled_told_and_closed(scene: Scene) -> None:
    scene.accepted()

    reply = cancel.run(JOB, scene.services)

    assert reply.applied
    assert scene.follow().closed_at is not None
    assert scene.told.states == ["cancelled"]
    assert scene.run(Step.SUBMIT) is None
    assert scene.posts() == 0


def test_a_job_that_was_surely_not_taken_can_be_cancelled(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=60)
    scene.accepted()
    scene.run(Step.SUBMIT)

    assert cancel.run(JOB, scene.services).applied


def test_a_cancel_during_preparation_wins_over_the_post(scene: Scene) -> None:
    scene.accepted()
    busy = scene.with_store(before={"attempts.begin": once(lambda: cancel.run(JOB, scene.services))})

    scene.run(Step.SUBMIT, services=scene.but(store=busy))

    assert scene.job().state is S.CANCELLED
    assert scene.posts() == 0


def test_a_cancel_while_the_post_is_in_flight_is_late(scene: Scene) -> None:
    words = []
    busy = scene.meddled("gmicloud", before_submit=lambda: words.append(cancel.run(JOB, scene.services).word))
    scene.accepted()

    scene.run(Step.SUBMIT, services=busy)

    assert words == ["late"]
    assert scene.job().state is S.SUBMITTED


@pytest.mark.parametrize("bring", ["submitted", "unconfirmed", "generated", "archived", "expired", "outcome_unknown"])
def test_what_may_be_paid_for_is_not_cancelled(scene: Scene, bring: str) -> None:
    job = getattr(scene, bring)()

    reply = cancel.run(JOB, scene.services)

    assert reply.word == "late"
    assert scene.job() == job


def test_a_job_with_a_callback_for_a_post_that_redis_forgot_is_not_cancelled(scene: Scene) -> None:
    scene.accepted("evolink")
    scene.deliver(request_id="task-unified-1795000000-unknown0")

    reply = cancel.run(JOB, scene.services)

    assert reply.word == "late"
    assert scene.job().state is S.ACCEPTED


def test_a_cancel_that_comes_twice_is_a_repeat(scene: Scene) -> None:
    scene.accepted()

    words = [cancel.run(JOB, scene.services).word for _ in range(2)]

    assert words == ["applied", "repeat"]


def test_a_second_attempt_that_waits_is_cancelled_and_the_first_ones_cost_stands(scene: Scene) -> None:
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    scene.submitted()
    scene.finish()
    scene.follow()
    retry.run(JOB, scene.services, pay_again=True)

    reply = cancel.run(JOB, scene.services)

    assert reply.applied
    scene.follow()
    scene.advance(DAY)  # so long the first one is asked again
    assert scene.follow().closed_at is not None
    assert (scene.job().state, scene.job().attempt, scene.posts()) == (S.CANCELLED, 2, 1)
    assert retry.run(JOB, scene.services).word == "paid"


def test_the_late_video_of_an_attempt_before_the_cancelled_one_is_archived(scene: Scene) -> None:
    scene.expired(seconds=9 * HOUR)
    retry.run(JOB, scene.services, pay_again=True)
    assert cancel.run(JOB, scene.services).applied
    scene.follow()

    scene.advance(5 * HOUR)
    scene.follow()

    assert (scene.job().state, scene.job().videos_attempt, scene.posts()) == (S.ARCHIVED, 1, 1)


def test_a_second_attempt_that_is_sent_is_not_cancelled(scene: Scene) -> None:
    scene.expired(seconds=9 * HOUR)
    retry.run(JOB, scene.services, pay_again=True)
    scene.run(Step.SUBMIT)

    assert cancel.run(JOB, scene.services).word == "late"
    assert (scene.job().state, scene.job().attempt) == (S.SUBMITTED, 2)


def test_a_try_that_begins_during_a_cancel_is_not_sent(scene: Scene) -> None:
    scene.accepted()
    busy = scene.with_store(before={"jobs.move": once(lambda: scene.run(Step.SUBMIT))})

    reply = cancel.run(JOB, scene.but(store=busy))

    assert (reply.word, scene.job().state, scene.posts()) == ("repeat", S.CANCELLED, 0)
    assert scene.counter("jobs_rolled_back") == 0


def test_a_try_that_comes_and_goes_during_a_cancel_does_not_save_the_job(scene: Scene) -> None:
    scene.accepted()
    scene.rule("submit", status=429)
    busy = with_bucket(scene, before={"begun": once(lambda: scene.run(Step.SUBMIT))})

    reply = cancel.run(JOB, busy)

    assert (reply.word, len(scene.created())) == ("applied", 0)


def test_a_job_that_was_sent_is_not_cancelled_though_redis_is_set_back_meanwhile(scene: Scene) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    scene.run(Step.SUBMIT)
    store = scene.with_store(before={"jobs.move": roll_back}, after={"jobs.get": once(roll_back)})

    reply = cancel.run(JOB, scene.but(store=store))

    assert (reply.word, scene.job().state) == ("late", S.ACCEPTED)
    assert [scene.follow().request_id] == scene.created()


def test_a_post_that_the_bucket_knows_is_not_cancelled_though_redis_is_set_back_again(scene: Scene) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    scene.run(Step.SUBMIT)
    roll_back()
    store = scene.with_store(after={"attempts.bind": roll_back})

    assert cancel.run(JOB, scene.but(store=store)).word == "late"
    assert [scene.follow().request_id] == scene.created()


def test_nobodys_job_cannot_be_cancelled(scene: Scene) -> None:
    assert cancel.run("nobody", scene.services).word == "missing"
