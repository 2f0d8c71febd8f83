"""Several links of one result: each is judged by itself, and no film that was paid for goes untold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.tls import LocalTls
from deploy.sandbox.mp4 import make
from tests.integration.hosts import Host, ok, serve, status
from tests.integration.steps.conftest import DAY, HOUR, JOB, MINUTE, SECRET, Scene
from worker.jobs.job import Link
from worker.jobs.result import result_of
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step

S = JobState
FILM, OTHER_FILM = make(1280, 720, 3), make(1280, 720, 4)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(2000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)
PAGE = b"<!DOCTYPE html><html><body>Please wait</body></html>"


@pytest.fixture
def host(tls: LocalTls) -> Iterator[Host]:
    with serve(tls) as host:
        yield host


def generated(scene: Scene, host: Host, *answers: bytes, expires_at: int | None = None) -> Services:
    """A generated job whose links give *answers*, and services that know no provider to ask for others."""
    scene.generated("gmicloud")
    links = [Link(host.answer(answer, f"/{n}.mp4"), expires_at) for n, answer in enumerate(answers, 1)]
    scene.store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", links=links)
    return scene.but(providers={})


def told(scene: Scene) -> dict[str, Any]:
    return result_of(scene.job(), scene.store.history.spec_json(JOB))


@pytest.mark.parametrize(("picture", "name"), [(JPEG, "JPEG"), (PNG, "PNG")])
def test_a_picture_beside_a_film_is_noted_and_fails_nothing(
    scene: Scene, host: Host, picture: bytes, name: str
) -> None:
    services = generated(scene, host, ok(FILM), ok(picture))

    assert scene.run(Step.ARCHIVE, services=services) is Step.DELIVER
    scene.run(Step.DELIVER)

    result = told(scene)
    assert result["state"] == "archived"
    assert [video["uri"].rpartition("/")[2] for video in result["videos"]] == ["1-1.mp4"]
    assert [(link["n"], link["code"]) for link in result["ignored"]] == [(2, "picture")]
    assert f"a {name} image" in result["ignored"][0]["message"]
    (manifest,) = [text for key, text in scene.objects().items() if key.endswith("/job.json")]
    assert json.loads(manifest)["ignored"] == result["ignored"]


def test_a_film_behind_a_picture_keeps_its_own_number(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(JPEG), ok(FILM), ok(PNG), ok(OTHER_FILM))

    scene.run(Step.ARCHIVE, services=services)

    assert [video.uri.rpartition("/")[2] for video in scene.job().videos] == ["1-2.mp4", "1-4.mp4"]
    assert [link.n for link in scene.job().ignored] == [1, 3]


@pytest.mark.parametrize("answer", [status(503), status(404), ok(PAGE), ok(FILM[:-9])])
def test_a_link_that_could_still_be_a_film_keeps_the_job_open(scene: Scene, host: Host, answer: bytes) -> None:
    services = generated(scene, host, answer, ok(FILM))

    scene.run(Step.ARCHIVE, services=services)
    before = scene.job().state, len(scene.videos())
    host.answer(ok(OTHER_FILM), "/1.mp4")
    scene.advance(MINUTE)
    scene.run(Step.ARCHIVE, services=services)

    assert before == (S.GENERATED, 1), "the film behind it is safe already"
    assert scene.job().state is S.ARCHIVED
    assert len(scene.job().videos) == 2
    assert scene.job().ignored == ()
    assert len([head for head in host.heads if "/2.mp4" in head]) == 1, "it was not fetched again"


def test_at_the_end_the_films_that_are_there_are_told_and_the_others_named(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(FILM), status(404), ok(JPEG))

    scene.advance(8 * DAY)
    scene.run(Step.ARCHIVE, services=services)

    result = told(scene)
    assert result["state"] == "archived"
    assert len(result["videos"]) == 1
    assert [link["n"] for link in result["ignored"]] == [2, 3]
    assert "404" in result["ignored"][0]["message"]


def test_nothing_but_pictures_is_no_film_at_the_links_end(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(JPEG), ok(PNG))

    scene.run(Step.ARCHIVE, services=services)
    before = scene.job().state
    scene.advance(8 * DAY)
    scene.run(Step.ARCHIVE, services=services)

    error = scene.job().error
    assert before is S.GENERATED, "the provider may sign another link"
    assert error is not None
    assert (error.stage, error.code) == ("archive", "not_video")
    assert scene.videos() == {}


def test_an_end_in_the_past_ends_nothing_by_itself(scene: Scene, host: Host) -> None:
    services = generated(scene, host, status(503), expires_at=scene.clock.now_ms - 1000 * int(HOUR))

    tries: list[float] = []
    while scene.clock.now_ms < scene.job().state_at + 29 * 60_000:
        scene.run(Step.ARCHIVE, services=services)
        assert scene.job().state is S.GENERATED
        tries.append(scene.due_in())
        scene.advance(scene.due_in() + 0.001)
    scene.advance(5 * MINUTE)
    scene.run(Step.ARCHIVE, services=services)

    assert scene.moves()[-1] == "failed(archive)"
    assert len(tries) > 5
    assert tries[0] < 5 < 3 * MINUTE < max(tries), "the pauses grow"


def test_after_an_outage_a_link_past_its_end_is_tried_for_half_an_hour_from_the_first_try(
    scene: Scene, host: Host
) -> None:
    services = generated(scene, host, status(503), expires_at=scene.clock.now_ms + 1000 * int(HOUR))
    scene.advance(DAY)

    scene.run(Step.ARCHIVE, services=services)
    scene.advance(29 * MINUTE)
    scene.run(Step.ARCHIVE, services=services)
    before = scene.job().state
    host.answer(ok(FILM), "/1.mp4")
    scene.advance(5 * MINUTE)
    scene.run(Step.ARCHIVE, services=services)

    assert before is S.GENERATED
    assert scene.job().state is S.ARCHIVED


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_host_that_says_so_past_the_end_is_believed_at_once(scene: Scene, host: Host, code: int) -> None:
    services = generated(scene, host, status(code), expires_at=scene.clock.now_ms - 1000)

    scene.run(Step.ARCHIVE, services=services)

    assert scene.moves()[-1] == "failed(archive)"


def test_a_host_that_says_gone_before_the_end_is_asked_again(scene: Scene, host: Host) -> None:
    services = generated(scene, host, status(404), expires_at=scene.clock.now_ms + 1000 * int(HOUR))

    scene.run(Step.ARCHIVE, services=services)

    assert scene.job().state is S.GENERATED


def test_a_job_tried_again_by_an_operator_has_its_half_hour_anew(scene: Scene, host: Host) -> None:
    services = generated(scene, host, status(503), expires_at=scene.clock.now_ms - 1000)
    scene.run(Step.ARCHIVE, services=services)
    scene.advance(31 * MINUTE)
    scene.run(Step.ARCHIVE, services=services)
    failed = scene.moves()[-1]
    scene.store.jobs.move(JOB, S.GENERATED, attempt=1, path="operator")

    scene.run(Step.ARCHIVE, services=services)

    assert failed == "failed(archive)"
    assert scene.job().state is S.GENERATED


def test_no_link_is_in_what_is_told_of_it(scene: Scene, host: Host) -> None:
    services = generated(scene, host, ok(FILM), ok(JPEG))

    scene.run(Step.ARCHIVE, services=services)

    assert "/2.mp4" not in json.dumps(told(scene))
    assert SECRET not in json.dumps(told(scene))


def test_a_film_that_is_not_as_asked_is_archived_told_and_counted(scene: Scene, host: Host) -> None:
    scene.generated("gmicloud", resolution="1080p", aspect_ratio="9:16", duration=6)
    links = [Link(host.answer(ok(FILM)))]
    scene.store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", links=links)

    scene.run(Step.ARCHIVE)

    assert told(scene)["state"] == "archived"
    assert told(scene)["differs"] == [
        {"field": "seconds", "asked": 6, "made": 3.0},
        {"field": "resolution", "asked": "1080p", "made": "1280x720"},
        {"field": "aspect_ratio", "asked": "9:16", "made": "1280x720"},
    ]
    assert scene.counter("videos_differ") == 1


def test_a_film_as_asked_differs_in_nothing(scene: Scene) -> None:
    scene.archived("gmicloud", resolution="1080p", aspect_ratio="9:16", duration=6)

    assert "differs" not in told(scene)
    assert scene.counter("videos_differ") == 0
