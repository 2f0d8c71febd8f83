"""Films of other containers under their own type, and what cannot be checked: kept, named, told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.local.tls import LocalTls
from deploy.sandbox.mp4 import make
from tests.integration.hosts import Host, ok, serve, status
from tests.integration.steps.conftest import DAY, HOUR, JOB, Scene
from tests.integration.steps.test_archive_links import generated, told
from tests.unit.video.films import fragment, fragmented, padded
from tests.unit.video.matroska_films import film
from worker.bucket.multipart import PART_BYTES
from worker.guard.connection import Limits
from worker.guard.download import Downloader
from worker.jobs.job import Link
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step

S = JobState
MP4 = make(1280, 720, 3)
MOV = MP4.replace(b"ftypisom", b"ftypqt  ", 1)
FILMS = {
    "mov": (MOV, "video/quicktime"),
    "webm": (film(640, 360, 3), "video/webm"),
    "mkv": (film(640, 360, 3, doc_type=b"matroska"), "video/matroska"),
    "mp4": (MP4, "video/mp4"),
}
GIF = b"GIF89a" + bytes(5000)
TS = (b"\x47\x40\x11\x10" + bytes(184)) * 40
NO_LENGTH = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
UNKNOWN = bytes(range(128, 256)) * 50
UNCHECKED = {"GIF": GIF, "MPEG-TS": TS, "unknown": UNKNOWN, "large": UNKNOWN * (3 * PART_BYTES // len(UNKNOWN))}


@pytest.fixture
def host(tls: LocalTls) -> Iterator[Host]:
    with serve(tls) as host:
        yield host


def stored(scene: Scene, uri: str) -> dict[str, Any]:
    client, key = scene.services.bucket.objects.client, uri.split("/", 3)[3]
    return dict(client.get_object(Bucket=scene.services.bucket.name, Key=key))


@pytest.mark.parametrize(("suffix", "is_large"), [*((suffix, False) for suffix in FILMS), ("mp4", True), ("mov", True)])
def test_a_film_is_archived_under_its_own_suffix_and_type(
    scene: Scene, host: Host, suffix: str, *, is_large: bool
) -> None:
    content, content_type = FILMS[suffix]
    if is_large:
        content = padded(content, 3 * PART_BYTES)
    services = generated(scene, host, ok(content))

    scene.run(Step.ARCHIVE, services=services)

    video = scene.job().videos[0]
    assert scene.moves()[-1] == "archived"
    assert video.uri.endswith(f"/{JOB}/1-1.{suffix}")
    assert (video.content_type, video.seconds, video.bytes) == (content_type, 3.0, len(content))
    kept = stored(scene, video.uri)
    assert (kept["ContentType"], kept["Body"].read()) == (content_type, content)


@pytest.mark.parametrize("suffix", FILMS)
def test_a_film_of_any_type_that_is_there_after_all_turns_the_verdict(scene: Scene, host: Host, suffix: str) -> None:
    services = generated(scene, host, status(404))
    scene.services.bucket.videos.store(scene.video_key(), [FILMS[suffix][0]], declared_bytes=None)

    scene.advance(8 * DAY)
    scene.run(Step.ARCHIVE, services=services)

    assert scene.moves()[-1] == "archived"
    assert scene.job().videos[0].content_type == FILMS[suffix][1]


@pytest.mark.parametrize("suffix", FILMS)
def test_the_same_film_again_is_the_same_object(scene: Scene, host: Host, suffix: str) -> None:
    services = generated(scene, host, ok(FILMS[suffix][0]))
    before = services.bucket.videos.store(scene.video_key(), [FILMS[suffix][0]], declared_bytes=None)

    scene.run(Step.ARCHIVE, services=services)

    assert scene.job().videos == (before,)


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("ends_in_order", [True, False])
def test_a_fragmented_film_without_length_is_archived_only_where_its_end_was_told(
    scene: Scene, host: Host, *, ends_in_order: bool, is_whole: bool
) -> None:
    cut_before_the_last_moof = None if is_whole else -len(fragment(24))
    film = fragmented(640, 360, fragments=3, samples=24, timescale=24)[:cut_before_the_last_moof]
    host.ends_in_order = ends_in_order
    services = generated(scene, host, NO_LENGTH + film)

    scene.run(Step.ARCHIVE, services=services)

    assert scene.job().state is (S.ARCHIVED if ends_in_order else S.GENERATED)
    assert list(scene.videos().values()) == ([film] if ends_in_order else [])
    if not ends_in_order:
        assert "nothing tells that the film's last fragment is its last" in scene.job().waiting_for


@pytest.mark.parametrize(("hours", "is_archived"), [(None, True), (14, True), (1, False), (-1, False)])
def test_a_download_lasts_no_longer_than_half_an_hour_past_its_links_end(
    scene: Scene, host: Host, hours: int | None, *, is_archived: bool
) -> None:
    """The clock of the download goes on by 10 s at each look, so that it takes some hours."""
    settings, ticks = scene.services.settings, itertools.count(0, 10)
    film = padded(MP4, 2 * PART_BYTES)
    expires_at = None if hours is None else scene.clock.now_ms + hours * int(HOUR) * 1000
    services = replace(
        generated(scene, host, ok(film), expires_at=expires_at),
        downloader=Downloader(
            ca_file=settings.ca_file,
            allow_networks=settings.allow_networks,
            limits=Limits(least_bytes_per_second=1),
            clock=lambda: next(ticks),
        ),
    )

    scene.run(Step.ARCHIVE, services=services)

    assert scene.job().state is (S.ARCHIVED if is_archived else S.GENERATED)
    assert ("download failed (timeout)" in scene.job().waiting_for) is not is_archived


@pytest.mark.parametrize("kind", UNCHECKED)
def test_what_cannot_be_checked_is_kept_and_told(scene: Scene, host: Host, kind: str) -> None:
    services = generated(scene, host, ok(UNCHECKED[kind]))

    next_step = scene.run(Step.ARCHIVE, services=services)

    job = scene.job()
    assert next_step is Step.DELIVER
    assert scene.moves()[-1] == "failed(archive)"
    assert job.error is not None
    assert (job.error.stage, job.error.code) == ("archive", "not_video")
    (ignored,) = job.ignored
    assert ignored.uri is not None
    assert f"/callsheet/unverified/{scene.video_key().removeprefix('callsheet/').removesuffix('.mp4')}" in ignored.uri
    assert ignored.uri in job.error.message
    assert told(scene)["ignored"][0]["uri"] == ignored.uri
    assert stored(scene, ignored.uri)["Body"].read() == UNCHECKED[kind]
    assert scene.videos() == {}


def test_a_film_beside_what_cannot_be_checked_is_archived_and_both_are_told(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(MP4), ok(GIF))

    scene.run(Step.ARCHIVE, services=services)

    assert scene.moves()[-1] == "archived"
    assert len(told(scene)["videos"]) == 1
    assert told(scene)["ignored"][0]["uri"].endswith(f"/{JOB}/1-2")


def test_what_is_cut_is_not_kept_as_whole(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(GIF, length=len(GIF) + 1))

    scene.run(Step.ARCHIVE, services=services)

    assert scene.job().state is S.GENERATED
    assert scene.objects() == {}


@pytest.mark.parametrize("kind", ["GIF", "large"])
@pytest.mark.parametrize("ends_in_order", [True, False])
def test_what_has_no_length_is_kept_only_where_its_end_was_told(
    scene: Scene, host: Host, kind: str, *, ends_in_order: bool
) -> None:
    host.ends_in_order = ends_in_order
    services = generated(scene, host, NO_LENGTH + UNCHECKED[kind])

    scene.run(Step.ARCHIVE, services=services)

    assert scene.job().state is (S.FAILED if ends_in_order else S.GENERATED)
    assert list(scene.objects().values()) == ([UNCHECKED[kind]] if ends_in_order else [])


def test_a_link_that_may_still_be_a_film_keeps_the_job_open_though_something_is_kept(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(GIF), status(503))

    scene.run(Step.ARCHIVE, services=services)
    before = scene.job().state
    host.answer(status(404), "/2.mp4")
    scene.advance(8 * DAY)
    scene.run(Step.ARCHIVE, services=services)

    error = scene.job().error
    assert before is S.GENERATED
    assert error is not None
    assert "kept unchecked as s3://" in error.message
    assert scene.job().ignored[0].uri is not None


def test_it_is_kept_once_and_a_film_that_comes_late_is_archived(scene: Scene, host: Host) -> None:
    generated(scene, host, ok(GIF))
    link = scene.store.jobs.links(JOB)[0]
    services = _signing(scene, link.url)
    scene.run(Step.ARCHIVE, services=services)
    scene.run(Step.DELIVER, services=services)
    asked = len(host.heads)

    scene.advance(HOUR)
    scene.run(Step.REVISIT, services=services)
    state, downloads = scene.moves()[-1], len(host.heads) - asked
    host.answer(ok(MP4), "/1.mp4")
    scene.advance(HOUR)
    scene.run(Step.REVISIT, services=services)

    assert (state, downloads) == ("failed(archive)", 1)
    assert scene.moves()[-1] == "archived"
    assert scene.job().ignored == ()


def _signing(scene: Scene, url: str) -> Services:
    """Services whose provider gives *url* whenever it is asked."""
    event = scene.services.providers["gmicloud"].fetch(scene.job().request_id or "")
    return scene.answering("gmicloud", replace(event, links=(Link(url),)))
