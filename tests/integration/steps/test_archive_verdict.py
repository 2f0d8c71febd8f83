"""The verdict `failed(archive)`: not before the link's end, and not without a look at the bucket."""

from __future__ import annotations

from copy import copy
from typing import Any

from tests.integration.steps.buckets import without_s3
from tests.integration.steps.conftest import DAY, HOUR, MINUTE, Scene
from worker.bucket.bucket import Bucket
from worker.bucket.videos import Videos
from worker.errors import BucketError
from worker.jobs.job import Video
from worker.jobs.states import JobState
from worker.steps import Step

S = JobState


def test_a_job_is_not_given_up_before_its_link_has_ended(scene: Scene) -> None:
    scene.generated("apimart")
    scene.rule("download", status=503, times=None)

    for hours in (1, 12, 10.9):
        scene.advance(hours * HOUR)
        scene.look()
        assert scene.job().state is S.GENERATED
        assert scene.due_in() < 6 * MINUTE
    scene.advance(HOUR)
    scene.look()

    assert scene.moves()[-1] == "failed(archive)", "by now its host says 403"


def test_the_last_hour_of_a_link_is_not_slept_through(scene: Scene) -> None:
    scene.generated("apimart")
    scene.rule("download", status=503, times=None)
    for _ in range(8):
        scene.look_when_due()
    before = scene.due_in()
    scene.advance(23.2 * HOUR)

    scene.look()

    assert before > 2 * MINUTE
    assert scene.due_in() <= 30


def test_a_link_without_a_known_end_is_given_up_after_seven_days(scene: Scene) -> None:
    scene.generated("gmicloud")
    scene.advance(7 * DAY - MINUTE)
    scene.run(Step.ARCHIVE)
    before = scene.job().state
    scene.advance(2 * MINUTE)

    next_step = scene.run(Step.ARCHIVE)

    job = scene.job()
    assert before is S.GENERATED
    assert next_step is Step.DELIVER
    assert job.error is not None
    assert (job.error.stage, job.error.code) == ("archive", "dead")
    assert job.error.message == "download failed (dead): the host answered 403; the provider's link has ended"
    assert job.look_until == scene.clock.now_ms + 30 * DAY * 1000


def test_the_caller_is_told_of_the_verdict_once(scene: Scene) -> None:
    scene.archive_failed()

    scene.look_when_due()
    scene.look_when_due()

    assert scene.told.states == ["failed"]


def test_a_bucket_that_is_away_ends_nothing(scene: Scene) -> None:
    scene.generated()
    scene.advance(8 * DAY)

    scene.run(Step.ARCHIVE, services=without_s3(scene))

    assert scene.job().state is S.GENERATED
    assert "S3 did not answer" in scene.job().waiting_for
    assert scene.job().failing_since is None, "the link was not tried"
    scene.look_when_due()
    assert scene.moves()[-1] == "failed(archive)"


class LeavingVideos(Videos):
    """The videos of a bucket that answers once."""

    def __init__(self, like: Bucket) -> None:
        super().__init__(like.objects)
        self._answers = iter([True])

    def find(self, key: str, **options: Any) -> Video | None:
        if next(self._answers, False):
            return super().find(key, **options)
        raise BucketError("unreachable", "S3 did not answer")


def test_there_is_no_verdict_without_a_look_at_the_bucket(scene: Scene) -> None:
    scene.generated()
    scene.advance(8 * DAY)

    bucket = copy(scene.services.bucket)
    bucket.videos = LeavingVideos(bucket)
    scene.run(Step.ARCHIVE, services=scene.but(bucket=bucket))

    assert scene.job().state is S.GENERATED
    assert scene.job().waiting_for.startswith("the bucket to answer")
    scene.look_when_due()
    assert scene.moves()[-1] == "failed(archive)"


def test_objects_that_are_there_after_all_turn_the_verdict(scene: Scene) -> None:
    """A paused archiver finishes between the last try and the verdict."""
    other = scene.archived("gmicloud", "other")
    content = scene.videos()[other.videos[0].uri.partition("/callsheet/")[2]]
    scene.generated()
    scene.advance(8 * DAY)
    bucket = scene.services.bucket

    def finish() -> None:
        if not scene.videos().keys() & {scene.video_key().removeprefix("callsheet/")}:
            bucket.videos.store(scene.video_key(), [content], declared_bytes=None)

    # the first look at the links is the try's, the second one the verdict's
    looks = iter((lambda: None, finish))
    late = scene.with_store(after={"jobs.links": lambda: next(looks, lambda: None)()})
    next_step = scene.run(Step.ARCHIVE, services=scene.but(store=late))

    assert next_step is Step.DELIVER
    assert scene.job().state is S.ARCHIVED
    assert scene.moves()[-1] == "archived"


def test_one_of_two_objects_is_told_and_the_other_named(scene: Scene) -> None:
    other = scene.archived("gmicloud", "other")
    content = scene.videos()[other.videos[0].uri.partition("/callsheet/")[2]]
    scene.rule("generation", videos=2)
    scene.generated("gmicloud")
    scene.services.bucket.videos.store(scene.video_key(n=1), [content], declared_bytes=None)

    scene.advance(8 * DAY)
    scene.run(Step.ARCHIVE)

    job = scene.job()
    assert scene.moves()[-1] == "archived"
    assert [video.uri.rpartition("/")[2] for video in job.videos] == ["1-1.mp4"]
    assert [(link.n, link.code) for link in job.ignored] == [(2, "not_copied")]


def test_a_foreign_object_does_not_keep_a_job_from_its_verdict_for_ever(scene: Scene) -> None:
    scene.generated()
    scene.put_foreign(scene.video_key(), b"theirs")
    scene.advance(8 * DAY)

    scene.run(Step.ARCHIVE)
    before = scene.job().state
    scene.advance(31 * MINUTE)
    scene.run(Step.ARCHIVE)

    job = scene.job()
    assert before is S.GENERATED
    assert job.error is not None
    assert (job.error.stage, job.error.code) == ("archive", "taken")
    assert list(scene.objects().values()) == [b"theirs"]


def test_a_verdict_needs_the_lease(scene: Scene) -> None:
    scene.generated()
    scene.advance(8 * DAY)

    def take_over() -> None:
        scene.advance(31)
        assert scene.store.due.claim("job-1", states=(S.GENERATED,), lease_ms=30_000) is not None

    looks = iter((lambda: None, take_over))
    slow = scene.with_store(after={"jobs.links": lambda: next(looks, lambda: None)()})
    next_step = scene.run(Step.ARCHIVE, services=scene.but(store=slow))

    assert next_step is None
    assert scene.job().state is S.GENERATED


def test_a_provider_taken_out_of_the_configuration_leaves_the_known_link(scene: Scene) -> None:
    scene.generated()

    scene.run(Step.ARCHIVE, services=scene.but(providers={}))

    assert scene.job().state is S.ARCHIVED


def test_a_dead_link_of_a_provider_that_is_gone_ends_in_the_verdict(scene: Scene) -> None:
    nobody = scene.but(providers={})
    scene.generated()
    scene.advance(8 * DAY)

    scene.run(Step.ARCHIVE, services=nobody)
    scene.run(Step.DELIVER, services=nobody)
    scene.advance(HOUR)
    scene.run(Step.REVISIT, services=nobody)

    assert scene.moves()[-1] == "failed(archive)"
    assert scene.due_in() == HOUR
