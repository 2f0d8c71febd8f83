"""A replayed callback is what it was: a hint."""

from __future__ import annotations

from tests.integration.steps.conftest import Scene
from worker.jobs.states import JobState
from worker.operations import replay
from worker.steps import Step


def replayed(scene: Scene) -> str:
    (event,) = scene.store.callbacks.events("job-1")
    return replay.run("job-1", event.fingerprint, scene.services).word


def test_a_replayed_callback_makes_the_job_look_at_once(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()
    scene.rule("poll", status=503)
    scene.deliver()
    scene.run(Step.CONFIRM)
    assert not scene.is_due()

    word = replayed(scene)
    job = scene.follow(step=Step.CONFIRM)

    assert (word, job.state) == ("applied", JobState.ARCHIVED)


def test_a_replayed_lie_is_still_one(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.deliver(status="failed")

    replayed(scene)
    scene.run(Step.CONFIRM)

    assert scene.job().state is JobState.SUBMITTED
    assert scene.job().contradictions == 1


def test_a_callback_that_is_not_kept_any_more_says_so(scene: Scene) -> None:
    scene.submitted("evolink")

    assert replay.run("job-1", "no-such-event", scene.services).word == "gone"
    assert replay.run("no-such-job", "f", scene.services).word == "missing"


def test_a_replayed_candidate_is_read_with_our_own_key(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    scene.deliver(request_id=scene.created()[0])
    for request_id in scene.store.callbacks.candidates("job-1"):
        scene.store.scripts.client.hdel("callsheet:{0}:candidates:job-1", request_id)

    word = replayed(scene)
    job = scene.follow()

    assert (word, job.state, scene.posts()) == ("applied", JobState.ARCHIVED, 1)
