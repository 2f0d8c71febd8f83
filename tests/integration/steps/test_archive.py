"""Archive: every video whole, verified and once in the bucket, whatever host, bucket and worker do on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3

from deploy.local.tls import LocalTls
from tests.integration.steps.buckets import held_up_bucket, without_s3
from tests.integration.steps.conftest import HOUR, JOB, MINUTE, Scene
from tests.integration.steps.meddling import killed, once
from worker.guard.connection import Limits
from worker.guard.download import Downloader
from worker.jobs.job import Link
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, archive

S = JobState
SPOILT: dict[str, dict[str, Any]] = {
    "half a file": {"truncated": "file"},
    "reset": {"cut": True},
    "a proxy's page": {"html": True},
    "endless": {"endless": True},
    "slow": {"bytes_per_second": 1000},
    "busy": {"status": 503},
    "gone": {"dead": True},
    "a redirect out": {"redirect_to": "https://169.254.169.254/latest"},
    "nothing": {"status": 204},
}
UNTOLD_END = {"without_length": True, "without_close_notify": True}


def hasty(scene: Scene) -> Services:
    """The services with limits that a test has the time for."""
    settings = scene.services.settings
    limits = Limits(max_bytes=200_000, rate_window_seconds=0.1, stall_seconds=2)
    downloader = Downloader(ca_file=settings.ca_file, allow_networks=settings.allow_networks, limits=limits)
    return scene.but(downloader=downloader)


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_the_bucket_holds_the_bytes_that_were_served(scene: Scene, provider: str, tls: LocalTls) -> None:
    job = scene.generated(provider)
    with urllib3.PoolManager(ssl_context=tls.context()) as pool:
        served = pool.request("GET", scene.store.jobs.links(JOB)[0].url).data

    next_step = scene.run(Step.ARCHIVE)

    assert next_step is Step.DELIVER
    assert list(scene.videos().values()) == [served]
    video = scene.job().videos[0]
    assert (video.bytes, video.seconds) == (len(served), 3.0)
    assert video.uri.endswith(f"/{JOB}/1-1.mp4")
    assert scene.job().path == job.path


def test_every_video_of_a_result_is_archived_in_order(scene: Scene) -> None:
    scene.rule("generation", videos=3)

    job = scene.archived("apimart")

    assert [video.uri.rpartition("/")[2] for video in job.videos] == ["1-1.mp4", "1-2.mp4", "1-3.mp4"]
    assert len({video.sha256 for video in job.videos}) == 3
    assert len(scene.videos()) == 3


def test_a_third_video_that_fails_does_not_fetch_the_others_again(scene: Scene) -> None:
    scene.rule("generation", videos=3)
    scene.generated("apimart")
    puts = iter(range(3))
    bucket = held_up_bucket(scene.services.bucket, before=lambda: killed() if next(puts) == 2 else None)

    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.ARCHIVE, services=scene.but(bucket=bucket))
    scene.look_when_due()

    assert scene.job().state is S.ARCHIVED
    assert len(scene.downloads()) == 4, "three videos, the third one twice"


@pytest.mark.parametrize("trouble", SPOILT)
def test_what_is_not_a_whole_video_leaves_nothing_behind_and_is_tried_again(scene: Scene, trouble: str) -> None:
    scene.generated()
    scene.rule("download", **SPOILT[trouble])

    next_step = scene.run(Step.ARCHIVE, services=hasty(scene))

    job = scene.job()
    assert next_step is None
    assert job.state is S.GENERATED
    assert scene.objects() == {}
    assert job.failures == 1
    assert job.waiting_for.startswith("another try to archive: download failed (")
    assert "https" not in job.waiting_for
    assert 0 < scene.due_in() < 10
    scene.look_when_due()
    assert scene.job().state is S.ARCHIVED


@pytest.mark.parametrize(
    "trouble", [{"truncated": "connection"}, {"gzip": True}, {"without_length": True}, UNTOLD_END], ids=str
)
def test_what_the_host_does_to_a_whole_video_is_mended_within_one_download(
    scene: Scene, trouble: dict[str, Any], tls: LocalTls
) -> None:
    scene.generated()
    with urllib3.PoolManager(ssl_context=tls.context()) as pool:
        served = pool.request("GET", scene.store.jobs.links(JOB)[0].url).data
    scene.rule("download", **trouble)

    scene.run(Step.ARCHIVE)

    assert scene.job().state is S.ARCHIVED
    assert list(scene.videos().values()) == [served]


@pytest.mark.parametrize("trouble", ["gone", "a proxy's page", "half a file", "nothing"])
def test_a_bad_link_is_replaced_by_the_one_that_the_provider_signs_now(scene: Scene, trouble: str) -> None:
    job = scene.generated("apimart")
    scene.rule("download", match={"request_id": job.request_id}, times=None, **SPOILT[trouble])
    scene.advance(MINUTE)
    scene.rule("generation", seconds=0)
    signed_anew = scene.strangers("apimart")

    next_step = scene.run(Step.ARCHIVE, services=scene.answering("apimart", signed_anew))

    assert next_step is Step.DELIVER
    assert scene.job().state is S.ARCHIVED


def test_a_fresh_link_is_kept_with_its_end_though_it_does_not_work_either(scene: Scene) -> None:
    first_end = scene.generated("apimart").link_expires_at
    scene.rule("download", dead=True, times=None)
    scene.advance(HOUR)
    scene.rule("generation", seconds=0)
    signed_anew = scene.strangers("apimart")

    scene.run(Step.ARCHIVE, services=scene.answering("apimart", signed_anew))

    assert scene.store.jobs.links(JOB) == signed_anew.links
    end = scene.job().link_expires_at
    assert end is not None
    assert first_end is not None
    assert end > first_end


def test_a_dead_link_that_the_provider_repeats_is_fetched_once_a_try(scene: Scene) -> None:
    scene.generated()
    scene.rule("download", dead=True)

    scene.run(Step.ARCHIVE)

    assert len(scene.downloads()) == 1
    assert scene.job().state is S.GENERATED


def test_a_provider_that_cannot_tell_a_fresh_link_is_asked_again(scene: Scene) -> None:
    scene.generated()
    scene.rule("download", dead=True)
    scene.rule("poll", status=500)

    scene.run(Step.ARCHIVE)

    assert scene.job().waiting_for == "another try to archive: download failed (dead): the host answered 403"
    scene.look_when_due()
    assert scene.job().state is S.ARCHIVED


def test_s3_away_costs_nothing_but_time(scene: Scene) -> None:
    scene.generated()

    scene.run(Step.ARCHIVE, services=without_s3(scene))

    assert scene.job().state is S.GENERATED
    assert "S3 did not answer" in scene.job().waiting_for
    scene.look_when_due()
    assert scene.job().state is S.ARCHIVED


def test_an_object_that_is_not_ours_is_never_replaced_and_is_alarmed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.generated()
    scene.put_foreign(scene.video_key(), b"theirs")

    scene.run(Step.ARCHIVE)

    assert list(scene.objects().values()) == [b"theirs"]
    assert scene.job().state is S.GENERATED
    assert scene.counter("object_conflicts") == 1
    assert "object.conflicted" in caplog.messages


def test_an_object_of_ours_with_other_bytes_is_never_replaced(scene: Scene) -> None:
    other = scene.archived("gmicloud", "other")
    content = scene.videos()[other.videos[0].uri.partition("/callsheet/")[2]]
    scene.generated()

    def sneak_in() -> None:
        scene.services.bucket.videos.store(scene.video_key(), [content], declared_bytes=None)

    slow = scene.with_store(before={"due.renew": once(sneak_in)})
    scene.run(Step.ARCHIVE, services=scene.but(store=slow))

    assert scene.job().state is S.GENERATED
    assert scene.counter("object_conflicts") == 1
    scene.services.bucket.objects.client.delete_object(Bucket=scene.services.bucket.name, Key=scene.video_key())


def test_an_archive_message_for_a_job_in_any_other_state_does_nothing(scene: Scene) -> None:
    scene.accepted("gmicloud", "accepted")
    scene.archived("gmicloud", "archived")

    assert archive.run(scene.services) is None


def test_no_link_gets_into_log_record_or_timeline(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "worker")
    scene.generated()
    link = scene.store.jobs.links(JOB)[0].url
    scene.rule("download", dead=True)
    scene.run(Step.ARCHIVE)
    scene.look_when_due()
    scene.follow(step=Step.DELIVER)

    written = json.dumps([str(vars(record)) for record in caplog.records])
    written += (
        str(scene.job()) + str(scene.store.history.timeline(JOB)) + str(scene.objects()["/".join(manifest_path(scene))])
    )

    assert link not in written
    assert link.rpartition("/")[2] not in written


def manifest_path(scene: Scene) -> list[str]:
    return [*scene.video_key().removeprefix("callsheet/").split("/")[:-1], "job.json"]


def test_after_an_outage_each_turn_goes_to_the_video_whose_link_dies_first(scene: Scene) -> None:
    lives = {"a-day": 25 * HOUR, "an-hour": HOUR, "unknown": None, "minutes": 10 * MINUTE}
    for name in lives:
        scene.submitted("apimart", name)
    scene.finish()
    for name, life in lives.items():
        scene.run(Step.POLL, name)
        until = None if life is None else scene.clock.now_ms + int(life * 1000)
        links = [Link(link.url, until) for link in scene.store.jobs.links(name)]
        scene.store.jobs.move(name, S.GENERATED, attempt=1, path="poll", links=links)

    taken = [archive.run(scene.services) for _ in range(5)]

    assert [turn and turn.job_id for turn in taken] == ["minutes", "an-hour", "unknown", "a-day", None]


def test_an_urgent_video_that_must_wait_holds_up_no_other(scene: Scene) -> None:
    scene.rule("download", dead=True, match={"contains": "for urgent."})
    for name in ("urgent", "patient"):
        scene.generated("gmicloud", name)
    scene.store.jobs.move(
        "urgent",
        S.GENERATED,
        attempt=1,
        path="poll",
        links=[Link("https://cdn.example.com/urgent.mp4", scene.clock.now_ms + 1000 * int(HOUR))],
    )

    taken = [archive.run(scene.services) for _ in range(2)]

    assert taken == [("urgent", None), ("patient", Step.DELIVER)]
    assert scene.job("urgent").waiting_for.startswith("another try to archive")
