"""S3 is away: whether a job was sent cannot be told, and nothing that is said or decided rests on a guess."""

from __future__ import annotations

from tests.integration.steps.conftest import HOUR, JOB, Scene
from tests.integration.steps.rollbacks import snapshot, without_s3
from worker.jobs.states import JobState
from worker.operations import cancel, retry
from worker.steps import Step, submit

S = JobState


def sent_and_forgotten(scene: Scene, provider: str = "gmicloud") -> None:
    scene.accepted(provider)
    roll_back = snapshot(scene)
    submit.run(JOB, scene.services)
    roll_back()


def test_nothing_is_cancelled(scene: Scene) -> None:
    sent_and_forgotten(scene)

    reply = cancel.run(JOB, without_s3(scene))

    assert (reply.word, scene.job().state) == ("unknown", S.ACCEPTED)


def test_what_was_never_sent_is_not_cancelled_either_and_can_be_later(scene: Scene) -> None:
    scene.accepted()

    words = [cancel.run(JOB, services).word for services in (without_s3(scene), scene.services)]

    assert words == ["unknown", "applied"]


def test_the_deadline_to_send_waits_so_that_no_retry_pays_twice_without_leave(scene: Scene) -> None:
    sent_and_forgotten(scene)
    scene.advance(7 * HOUR)

    submit.run(JOB, without_s3(scene))
    waiting = scene.job()
    reply = retry.run(JOB, scene.services)

    assert (waiting.state, reply.word) == (S.ACCEPTED, "late")
    assert "the bucket to tell whether it was sent" in waiting.waiting_for
    scene.look_when_due()
    assert [scene.job().request_id] == scene.created()


def test_a_callback_for_a_post_that_is_not_on_record_waits_for_the_time_of_that_post(scene: Scene) -> None:
    sent_and_forgotten(scene, "evolink")
    [request_id] = scene.created()
    scene.advance(HOUR)
    scene.deliver(request_id=request_id)

    submit.run(JOB, without_s3(scene))
    waiting = scene.job().state
    scene.look_when_due()

    assert (waiting, scene.job().request_id) == (S.ACCEPTED, request_id)


def test_a_try_whose_process_was_lost_is_neither_made_again_nor_given_up(scene: Scene) -> None:
    scene.accepted("apimart")
    claim = scene.store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=120_000)
    assert claim is not None
    scene.store.attempts.begin(claim, notes={"kept_in": scene.services.bucket.intents.place})
    scene.advance(121)

    scene.run(Step.SUBMIT, services=without_s3(scene))

    assert (scene.job().state, scene.posts()) == (S.SUBMITTING, 0)
    scene.look_when_due()
    assert (scene.follow(step=Step.SUBMIT).state, scene.posts()) == (S.SUBMITTED, 1)
