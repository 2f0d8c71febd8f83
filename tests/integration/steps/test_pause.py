"""A paused provider gets no POST, loses no job, and is resumed at once."""

from __future__ import annotations

from tests.integration.steps.conftest import Scene
from worker.jobs.states import JobState
from worker.steps import Step


def test_a_job_whose_provider_is_paused_waits_and_says_since_when(scene: Scene) -> None:
    scene.accepted("gmicloud")
    scene.store.pauses.pause("gmicloud")

    scene.run(Step.SUBMIT)

    job = scene.job()
    assert (job.state, scene.posts(), job.try_no) == (JobState.ACCEPTED, 0, 0)
    assert job.waiting_for.startswith("gmicloud to be resumed: paused by an operator since 20")


def test_other_providers_go_on(scene: Scene) -> None:
    scene.store.pauses.pause("gmicloud")

    scene.submitted("evolink")

    assert scene.posts() == 1


def test_polls_and_archive_go_on_while_paused(scene: Scene) -> None:
    scene.submitted("gmicloud")
    scene.store.pauses.pause("gmicloud")

    scene.finish()
    scene.follow()

    assert scene.job().state is JobState.ARCHIVED


def test_resuming_makes_the_waiting_jobs_due_and_submits_them_once(scene: Scene) -> None:
    scene.accepted("gmicloud")
    scene.store.pauses.pause("gmicloud")
    scene.run(Step.SUBMIT)
    assert not scene.is_due()

    scene.store.pauses.resume("gmicloud")
    hastened = scene.store.due.hasten(["job-1", "no-such-job"])
    scene.run(Step.SUBMIT)

    assert hastened == 1
    assert (scene.job().state, scene.posts()) == (JobState.SUBMITTED, 1)


def test_pausing_twice_keeps_the_first_instant(scene: Scene) -> None:
    first = scene.store.pauses.pause("gmicloud")
    scene.advance(60)

    assert scene.store.pauses.pause("gmicloud") == first
    assert scene.store.pauses.resume("gmicloud")
    assert not scene.store.pauses.resume("gmicloud")
    assert scene.store.pauses.paused() == {}


def test_hastening_never_opens_a_closed_job_nor_puts_one_off(scene: Scene) -> None:
    scene.archived()
    scene.follow()
    scene.accepted("gmicloud", "job-2")
    scene.advance(60)
    before = scene.due_in("job-2")

    assert scene.store.due.hasten(["job-1", "job-2"]) == 0
    assert scene.store.due.at("job-1") is None
    assert scene.due_in("job-2") == before
