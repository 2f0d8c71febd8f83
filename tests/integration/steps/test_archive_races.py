"""Archivers that are killed, paused or two at once: one object, one mark, and no lease lost by waiting."""

from __future__ import annotations

import threading

import pytest

from tests.conftest import WaitUntil
from tests.integration.steps.buckets import held_up_bucket
from tests.integration.steps.conftest import JOB, Scene
from tests.integration.steps.meddling import failing, killed, once
from worker.jobs.states import JobState
from worker.jobs.timing import Timing
from worker.steps import Step, archive

S = JobState


def test_a_kill_between_put_and_mark_is_found_by_looking_first(scene: Scene) -> None:
    scene.generated()
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.ARCHIVE, services=scene.but(store=scene.with_store(before={"jobs.move": killed})))
    assert len(scene.videos()) == 1

    scene.look_when_due()

    assert scene.job().state is S.ARCHIVED
    assert len(scene.downloads()) == 1


def test_a_kill_in_the_middle_of_the_download_leaves_no_object(scene: Scene) -> None:
    scene.generated()
    bucket = held_up_bucket(scene.services.bucket, before=killed)
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.ARCHIVE, services=scene.but(bucket=bucket))

    assert scene.objects() == {}
    scene.look_when_due()
    assert scene.job().state is S.ARCHIVED


def test_an_archive_that_redis_did_not_hear_of_is_marked_the_next_time(scene: Scene) -> None:
    scene.generated()

    next_step = scene.run(Step.ARCHIVE, services=scene.but(store=scene.with_store(before={"jobs.move": failing()})))
    scene.look_when_due()

    assert next_step is None
    assert scene.job().state is S.ARCHIVED
    assert len(scene.downloads()) == 1


def test_a_lease_lost_in_the_middle_writes_nothing(scene: Scene) -> None:
    scene.generated()

    takers = []

    def take_over() -> None:
        scene.advance(31)
        takers.append(scene.store.due.claim(JOB, states=(S.GENERATED,), lease_ms=30_000))

    slow = scene.with_store(before={"due.renew": once(take_over)})
    next_step = scene.run(Step.ARCHIVE, services=scene.but(store=slow))

    assert next_step is None
    assert scene.objects() == {}
    assert [taker and taker.token for taker in takers] == [scene.job().lease]


def test_an_archiver_paused_before_its_put_writes_nothing_after_another_one_archived(scene: Scene) -> None:
    scene.generated()

    def another_archives() -> None:
        scene.advance(31)
        scene.follow()

    slow = scene.with_store(before={"due.renew": once(another_archives)})
    scene.run(Step.ARCHIVE, services=scene.but(store=slow))

    assert scene.job().state is S.ARCHIVED
    assert scene.told.states == ["archived"]
    assert len(scene.videos()) == 1


def test_an_archiver_paused_in_its_put_finds_that_the_same_bytes_are_there(scene: Scene) -> None:
    scene.generated()

    def another_archives() -> None:
        scene.advance(31)
        scene.follow()

    slow = scene.with_store(after={"due.renew": once(another_archives)})
    next_step = scene.run(Step.ARCHIVE, services=scene.but(store=slow))

    assert next_step is None, "what is owed has been paid by the other one"
    assert scene.moves().count("archived") == 1
    assert scene.told.states == ["archived"]
    assert scene.job().closed_at is not None


def test_a_paused_archivers_late_mark_changes_no_version_of_a_told_job(scene: Scene) -> None:
    scene.generated()

    def another_archives() -> None:
        scene.advance(31)
        scene.follow()

    bucket = held_up_bucket(scene.services.bucket, after=once(another_archives))
    scene.run(Step.ARCHIVE, services=scene.but(bucket=bucket))

    job = scene.job()
    assert job.told_ver == job.ver
    assert scene.told.states == ["archived"]


def test_two_archivers_at_once_make_one_object_and_one_move(scene: Scene) -> None:
    scene.generated()
    together = threading.Barrier(4)

    def run() -> None:
        together.wait()
        archive.run(scene.services)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert scene.moves().count("archived") == 1
    assert len(scene.videos()) == len(scene.downloads()) == 1


def test_a_slow_s3_does_not_cost_the_lease(scene: Scene, wait_until: WaitUntil) -> None:
    """No chunk is asked for while S3 takes its time; the lease is renewed all the same."""
    scene.generated()

    def take_time() -> None:
        for _ in range(4):
            scene.advance(20)
            wait_until(lambda: scene.job().lease_until == scene.clock.now_ms + 30_000)

    slow = scene.but(
        bucket=held_up_bucket(scene.services.bucket, before=take_time), timing=Timing(archive_renew_seconds=0.01)
    )
    next_step = scene.run(Step.ARCHIVE, services=slow)

    assert next_step is Step.DELIVER
    assert scene.job().state is S.ARCHIVED


def test_redis_away_for_a_heartbeat_does_not_stop_an_archiver(scene: Scene) -> None:
    scene.generated()
    beaten = threading.Event()

    def fail_once() -> None:
        if not beaten.is_set():
            beaten.set()
            failing()()

    slow = scene.but(
        store=scene.with_store(before={"due.renew": fail_once}),
        bucket=held_up_bucket(scene.services.bucket, before=lambda: beaten.wait(5)),
        timing=Timing(archive_renew_seconds=0.01),
    )
    scene.run(Step.ARCHIVE, services=slow)

    assert scene.job().state is S.ARCHIVED
