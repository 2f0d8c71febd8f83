"""Callbacks at the poll: they say only when to ask, and one that the provider denies is counted, not believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.steps.conftest import HOUR, JOB, Scene
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step

S = JobState


def credulous(scene: Scene) -> Services:
    """The services of somebody who believes callbacks unconfirmed."""
    return scene.but(settings=replace(scene.services.settings, confirm_callbacks=False))


def test_a_callback_makes_the_job_due_and_our_own_get_moves_it(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.advance(61)

    assert scene.deliver() == "stored"
    assert scene.is_due()
    scene.run(Step.CONFIRM)

    assert scene.job().generated_by == "callback"
    assert scene.gets() == 1


@pytest.mark.parametrize("lie", ["completed", "failed"])
def test_a_forged_callback_moves_nothing(scene: Scene, lie: str) -> None:
    scene.submitted("evolink")

    scene.deliver(status=lie)
    scene.run(Step.CONFIRM)

    assert scene.job().state is S.SUBMITTED
    assert scene.job().contradictions == 1
    assert scene.objects() == {}


def test_a_forged_failure_of_a_finished_generation_is_counted_and_the_video_kept(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()

    scene.deliver(status="failed")
    job = scene.follow(step=Step.CONFIRM)

    assert job.state is S.ARCHIVED
    assert job.contradictions == 1
    assert job.generated_by == "poll", "what the callback said was not true"


def test_a_forged_success_of_a_failed_generation_is_counted(scene: Scene) -> None:
    scene.rule("generation", outcome="failed")
    scene.submitted("evolink")
    scene.finish()

    scene.deliver(status="completed")
    job = scene.follow(step=Step.CONFIRM)

    assert job.error == JobError("generate", "generation_failed", "The generation failed.", "generation_failed")
    assert job.contradictions == 1


def test_an_unknown_word_contradicts_nothing(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.rule("poll", status_word="reticulating")

    scene.deliver()
    scene.run(Step.CONFIRM)

    assert scene.job().contradictions == 0


def test_after_three_contradictions_the_job_is_only_polled(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted("evolink")
    for number in range(3):
        scene.deliver(status=("completed", "failed", "cancelled")[number])
        scene.run(Step.CONFIRM)
        scene.advance(1)
    gets = scene.gets()

    for _ in range(5):
        scene.deliver()
        scene.run(Step.CONFIRM)

    assert scene.job().contradictions == 3
    assert scene.counter("callbacks_contradicted") == 3
    assert scene.gets() == gets == 3
    scene.advance(HOUR)
    assert scene.follow().state is S.ARCHIVED


def test_a_callback_that_comes_during_a_look_is_looked_at_next_and_not_denied_by_it(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted("evolink")
    scene.advance(HOUR - 1)

    def finish() -> None:
        scene.advance(1)
        scene.deliver()

    scene.run(Step.POLL, services=scene.meddled("evolink", after_fetch=finish))

    assert scene.job().contradictions == 0
    assert scene.is_due()
    assert scene.follow().state is S.ARCHIVED


def test_the_callback_of_the_current_job_named_by_another_id_is_no_callback_of_it(scene: Scene) -> None:
    scene.submitted("evolink")

    with pytest.raises(Exception, match="mismatch"):
        scene.deliver(request_id="task-unified-1795000000-another0")

    assert scene.store.callbacks.events(JOB) == ()
    assert scene.is_due(), "the token is the job's own: somebody should look"


def test_with_confirmation_switched_off_the_token_is_believed(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted("evolink")

    scene.deliver(status="failed")
    scene.run(Step.CONFIRM, services=credulous(scene))

    assert scene.moves()[-1] == "failed(generate)"
    assert scene.store.history.timeline(JOB)[-1].path == "callback"
    assert scene.gets() == 0


def test_with_confirmation_switched_off_the_callbacks_own_links_are_archived(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()
    links = scene.control.requests("evolink")[0]["links"]

    scene.deliver(links=links)
    scene.run(Step.CONFIRM, services=credulous(scene))
    scene.run(Step.ARCHIVE)

    assert scene.job().state is S.ARCHIVED
    assert scene.gets() == 0


def test_with_confirmation_switched_off_a_job_without_a_callback_is_polled(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()

    scene.look_when_due()

    assert scene.job().state is S.GENERATED
    assert scene.gets() == 1
