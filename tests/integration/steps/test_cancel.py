"""Cancel: only what no provider has heard of is cancelled; everything later is paid for and goes on."""

from __future__ import annotations

import pytest

from tests.integration.steps.conftest import JOB, Scene, once
from worker.jobs.states import JobState
from worker.operations import cancel
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
    busy = scene.with_store(before={"begin": once(lambda: cancel.run(JOB, scene.services))})

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


def test_nobodys_job_cannot_be_cancelled(scene: Scene) -> None:
    assert cancel.run("nobody", scene.services).word == "missing"
