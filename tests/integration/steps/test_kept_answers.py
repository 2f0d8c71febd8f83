"""A request id that a provider has told is kept in the bucket: no loss of Redis drops the video that it stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.steps.conftest import HOUR, JOB, Scene
from tests.integration.steps.meddling import failing, killed
from tests.integration.steps.rollbacks import followed_to_its_end, refuse, snapshot, with_bucket, without_s3
from worker.errors import StoreError
from worker.jobs.states import JobState
from worker.operations import cancel
from worker.steps import Step, poll, submit, submit_report

S = JobState


def test_the_bucket_keeps_what_the_provider_answered(scene: Scene) -> None:
    job = scene.submitted("apimart")

    begun = scene.services.bucket.intents.begun(JOB, 1, 1)

    assert begun is not None
    assert (begun.request_id, begun.provider, begun.is_unpaid) == (job.request_id, "apimart", False)


def test_a_try_that_was_not_taken_is_kept_as_unpaid(scene: Scene) -> None:
    scene.rule("submit", status=429)
    scene.accepted("apimart")
    scene.run(Step.SUBMIT)

    begun = scene.services.bucket.intents.begun(JOB, 1, 1)

    assert begun is not None
    assert (begun.request_id, begun.is_unpaid) == (None, True)


def test_a_job_that_redis_has_forgotten_is_bound_at_a_provider_without_a_list(scene: Scene) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    submit.run(JOB, scene.services)
    scene.finish()
    roll_back()

    next_step = submit.run(JOB, scene.services)

    assert (next_step, scene.job().state, scene.counter("jobs_rolled_back")) == (Step.POLL, S.SUBMITTED, 1)
    assert followed_to_its_end(scene).state is S.ARCHIVED
    assert scene.posts() == 1


def test_a_cancel_binds_what_was_sent_instead(scene: Scene) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    submit.run(JOB, scene.services)
    roll_back()

    reply = cancel.run(JOB, scene.services)

    assert reply.word == "late"
    assert [scene.job().request_id] == scene.created()


@pytest.mark.parametrize("away", [60, submit_report.REPORT_TRIES + 1, 90])
def test_an_id_outlasts_a_store_that_is_away_while_it_is_reported(scene: Scene, away: int) -> None:
    scene.accepted("apimart")
    services = scene.but(store=scene.with_store(before={"attempts.bind": failing(away)}))
    try:
        submit.run(JOB, services)
    except StoreError:
        assert away > submit_report.REPORT_TRIES

    scene.advance(125)
    scene.look()

    assert [scene.job().request_id] == scene.created()
    assert followed_to_its_end(scene).state is S.ARCHIVED


def test_an_id_that_comes_when_its_process_was_given_up_is_read_from_the_bucket(scene: Scene) -> None:
    """The process sleeps past its lease; when it wakes up the store is away, and it is killed."""

    def given_up(*_: object) -> None:
        scene.advance(121)
        scene.run(Step.SUBMIT)
        assert scene.job().state is S.UNCONFIRMED

    scene.accepted("apimart")
    services = scene.meddled("apimart", after_submit=given_up)
    store = scene.with_store(before={"attempts.bind": killed})
    with pytest.raises(KeyboardInterrupt):
        submit.run(JOB, replace(services, store=store))

    scene.look_when_due()

    assert [scene.job().request_id] == scene.created()


def test_an_answer_that_the_bucket_does_not_take_is_in_the_store(scene: Scene) -> None:
    scene.accepted("apimart")

    submit.run(JOB, with_bucket(scene, before={"keep": refuse}))

    assert [scene.job().request_id] == scene.created()


def test_an_answer_that_the_bucket_does_not_take_at_once_is_kept_after_the_store_was_told(scene: Scene) -> None:
    scene.accepted("apimart")
    away = iter([refuse])

    submit.run(JOB, with_bucket(scene, before={"keep": lambda: next(away, lambda: None)()}))

    begun = scene.services.bucket.intents.begun(JOB, 1, 1)
    assert begun is not None
    assert [begun.request_id] == scene.created()


def test_no_outcome_is_given_up_as_unknown_while_the_bucket_cannot_be_read(scene: Scene) -> None:
    scene.unconfirmed("apimart")

    scene.advance(3 * HOUR)
    poll.run(JOB, without_s3(scene))
    while_away = scene.job().state
    scene.look_when_due()

    assert (while_away, scene.job().held) == (S.UNCONFIRMED, "failed(confirm)")
