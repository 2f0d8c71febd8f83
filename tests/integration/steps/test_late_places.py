"""Late places: looks at jobs without a video go on while a late video is copied, however slowly it comes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tests.conftest import WaitUntil
from tests.integration.steps.buckets import held_up_bucket
from tests.integration.steps.conftest import HOUR, JOB, Scene
from worker.errors import SlowDownloadError
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step
from worker.steps.late_places import LatePlaces

S = JobState


def late_places(services: Services, published: list[tuple[Step, str]] | None = None) -> LatePlaces:
    def publish(step: Step, job_ids: Sequence[str]) -> None:
        if published is not None:
            published.extend((step, job_id) for job_id in job_ids)

    return LatePlaces(services, publish)


def all_places_are_idle() -> bool:
    return not any(thread.name.startswith("revisit") for thread in threading.enumerate())


def signed_anew(scene: Scene) -> Services:
    """The services of a day on which APIMart signs links that work for videos that were given up."""
    scene.rule("generation", seconds=0)
    return scene.answering("apimart", scene.strangers("apimart"))


def test_a_late_video_is_copied_and_its_result_told(scene: Scene, wait_until: WaitUntil) -> None:
    scene.archive_failed("apimart")
    places = late_places(signed_anew(scene))
    scene.advance(HOUR)

    places.offer([JOB])

    wait_until(all_places_are_idle)
    assert scene.job().state is S.ARCHIVED
    assert scene.told.states == ["failed", "archived"]


def test_looks_go_on_while_a_late_video_is_copied(scene: Scene, wait_until: WaitUntil) -> None:
    scene.archive_failed("apimart")
    names = [f"job-{number}" for number in range(2, 6)]
    for name in names:
        scene.expired(job_id=name)
    scene.advance(4 * HOUR)  # all have a video by now
    held = threading.Event()
    services = signed_anew(scene)
    slow = scene.but(providers=services.providers, bucket=held_up_bucket(services.bucket, before=lambda: held.wait(60)))
    published: list[tuple[Step, str]] = []
    places = late_places(slow, published)

    places.offer([JOB])
    wait_until(lambda: scene.job().lease)
    places.offer(names)
    wait_until(lambda: sorted(published) == [(Step.ARCHIVE, name) for name in names])
    before = scene.job().state
    held.set()

    wait_until(all_places_are_idle)
    assert (before, scene.job().state) == (S.FAILED, S.ARCHIVED)


def test_a_late_video_that_comes_too_slowly_is_left_to_the_place_that_waits_for_it(
    scene: Scene, wait_until: WaitUntil
) -> None:
    scene.archive_failed("apimart")
    seen: list[str] = []

    def cut_by_express() -> None:
        seen.append(threading.current_thread().name)
        if seen[-1].endswith("-express"):
            raise SlowDownloadError("slow_here", "not done within 2 minutes; it has to wait for a place")

    services = signed_anew(scene)
    bucket = held_up_bucket(services.bucket, before=cut_by_express)
    places = late_places(scene.but(providers=services.providers, bucket=bucket))
    scene.advance(HOUR)

    places.offer([JOB])
    wait_until(all_places_are_idle)
    places.offer([JOB])  # as the sweep does: its place may have been idle by then
    wait_until(all_places_are_idle)

    assert scene.job().state is S.ARCHIVED
    assert seen in (["revisit"], ["revisit-express", "revisit"])


def test_a_job_that_is_named_twice_is_looked_at_once(scene: Scene, wait_until: WaitUntil) -> None:
    scene.expired()
    scene.advance(HOUR)
    gets = scene.gets()
    places = late_places(scene.services)

    places.offer([JOB, JOB])
    places.offer([JOB])

    wait_until(all_places_are_idle)
    assert scene.gets() == gets + 1


def test_a_defect_met_by_one_job_ends_no_place(
    scene: Scene, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    scene.archive_failed("gmicloud", "broken")
    scene.archive_failed("apimart")
    scene.store.scripts.client.set(scene.store.scripts.keys.of("broken")[5], "no JSON")
    places = late_places(signed_anew(scene))
    scene.advance(HOUR)

    places.offer(["broken", JOB])

    wait_until(all_places_are_idle)
    assert scene.job().state is S.ARCHIVED
    assert "step.broke" in caplog.messages
