"""Images: each form of an image field reaches the provider in a form that it takes."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from deploy.local.s3 import S3Server
from deploy.local.tls import LocalTls
from tests.integration.steps.buckets import without_s3
from tests.integration.steps.conftest import FRAME, JOB, Scene
from worker.bucket import client as s3
from worker.bucket.bucket import Bucket
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.steps import Step

S = JobState


def png(width: int, height: int) -> bytes:
    """A real picture of one colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = (b"\0" + b"\x40\x80\xc0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


PICTURE = png(400, 300)
INLINE = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"

MODELS = {
    "gmicloud": "kling-3.0-turbo-i2v",
    "evolink": "kling-v3-turbo-image-to-video",
    "apimart": "kling-3.0-turbo",
}


def sent(scene: Scene) -> str:
    """The first frame as it went over the wire."""
    body = scene.calls("POST")[-1]["body"]
    fields = body.get("payload", body)
    return str(next(fields[name] for name in ("first_frame", "image_start", "first_frame_image") if name in fields))


@pytest.fixture(scope="module")
def secure_s3(tmp_path_factory: pytest.TempPathFactory, tls: LocalTls) -> Iterator[S3Server]:
    """An S3 whose links a provider can open: over HTTPS."""
    with S3Server(tmp_path_factory.mktemp("secure-s3"), tls=tls) as server:
        yield server


@pytest.fixture(scope="module")
def secure_client(secure_s3: S3Server) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in secure_s3.env.items():
            patch.setenv(name, value)
        client, _ = s3.connect()
    yield client
    client.close()


@pytest.fixture
def bucket(scene: Scene, secure_s3: S3Server, secure_client: Any) -> Bucket:
    """A bucket there."""
    secure_s3.create_bucket(scene.services.bucket.name)
    return Bucket(secure_client, scene.services.bucket.name, "callsheet")


def fetched(url: str, tls: LocalTls) -> bytes:
    with urllib3.PoolManager(ssl_context=tls.context()) as pool:
        return pool.request("GET", url).data


@pytest.mark.parametrize("provider", MODELS)
def test_an_https_url_goes_as_it_is(scene: Scene, provider: str) -> None:
    scene.submitted(provider, model=MODELS[provider], first_frame=FRAME)

    assert sent(scene) == FRAME


@pytest.mark.parametrize("provider", MODELS)
def test_an_s3_uri_is_presigned_for_the_provider(scene: Scene, bucket: Bucket, provider: str, tls: LocalTls) -> None:
    bucket.objects.client.put_object(Bucket=bucket.name, Key="frames/a frame.png", Body=PICTURE)
    scene.accepted(provider, model=MODELS[provider], first_frame=f"s3://{bucket.name}/frames/a frame.png")

    scene.run(Step.SUBMIT, services=scene.but(bucket=bucket))

    assert scene.job().state is S.SUBMITTED
    assert "frames/a%20frame.png?" in sent(scene)
    assert fetched(sent(scene), tls) == PICTURE


@pytest.mark.parametrize("provider", ["gmicloud", "apimart"])
def test_an_inline_picture_goes_inline_only_where_the_bucket_has_no_https_address(scene: Scene, provider: str) -> None:
    scene.submitted(provider, model=MODELS[provider], first_frame=INLINE)

    assert sent(scene) == INLINE
    assert scene.objects() == {}


@pytest.mark.parametrize("provider", MODELS)
def test_an_inline_picture_goes_by_a_link_into_the_bucket(
    scene: Scene, bucket: Bucket, provider: str, tls: LocalTls
) -> None:
    scene.accepted(provider, model=MODELS[provider], first_frame=INLINE)

    scene.run(Step.SUBMIT, services=scene.but(bucket=bucket))

    assert scene.job().state is S.SUBMITTED
    assert sent(scene).partition("?")[0].endswith(f"/{JOB}/input-first_frame.png")
    assert fetched(sent(scene), tls) == PICTURE


def test_a_lost_answer_is_recovered_by_our_name_in_a_presigned_picture_alone(scene: Scene, bucket: Bucket) -> None:
    bucket.objects.client.put_object(Bucket=bucket.name, Key="frames/a.png", Body=PICTURE)
    order = {"model": MODELS["gmicloud"], "first_frame": f"s3://{bucket.name}/frames/a.png"}
    services = scene.but(bucket=bucket)
    for job_id in ("job-1", "job-2"):
        scene.rule("submit", cut=True, created=True)
        scene.accepted("gmicloud", job_id=job_id, **order)
        scene.run(Step.SUBMIT, job_id, services=services)
    bodies = {request["request_id"]: str(call["body"]) for request, call in _created(scene)}

    for job_id in ("job-1", "job-2"):
        scene.run(Step.POLL, job_id, services=services)

    for job_id in ("job-1", "job-2"):
        assert f"callsheet-{job_id}-1" in bodies[scene.job(job_id).request_id or ""]


def _created(scene: Scene) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each request at the provider, with the call that created it."""
    calls = [call for call in scene.control.history(kind="call") if call["method"] == "POST"]
    by_id = {call["request_id"]: call for call in calls}
    return [(request, by_id[request["request_id"]]) for request in scene.control.requests()]


@pytest.mark.parametrize("uri", ["s3://{bucket}/frames/nothing.png", "s3://no-such-bucket-anywhere/a.png"])
def test_an_image_that_is_not_in_s3_is_refused_before_the_post(scene: Scene, bucket: Bucket, uri: str) -> None:
    scene.accepted("evolink", first_frame=uri.format(bucket=bucket.name))

    scene.run(Step.SUBMIT, services=scene.but(bucket=bucket))

    assert scene.job().error == JobError("submit", "image_missing", "first_frame: there is no such object in S3")
    assert scene.posts() == 0


def test_both_frames_of_a_spec_are_resolved(scene: Scene, bucket: Bucket) -> None:
    bucket.objects.client.put_object(Bucket=bucket.name, Key="frames/first.png", Body=PICTURE)
    first_frame = f"s3://{bucket.name}/frames/first.png"
    scene.accepted("gmicloud", model="kling-v3-image-to-video", first_frame=first_frame, last_frame=FRAME)

    scene.run(Step.SUBMIT, services=scene.but(bucket=bucket))

    payload = scene.calls("POST")[-1]["body"]["payload"]
    assert payload["image"].startswith("https://")
    assert payload["image_tail"] == FRAME


def test_an_s3_that_is_away_puts_the_submit_off_and_nothing_is_posted(scene: Scene, bucket: Bucket) -> None:
    scene.accepted("evolink", first_frame=INLINE)

    scene.run(Step.SUBMIT, services=without_s3(scene))

    assert scene.job().state is S.ACCEPTED
    assert scene.job().waiting_for.startswith("its images to be presigned: bucket: ")
    assert scene.posts() == 0
    scene.advance(scene.due_in())
    scene.run(Step.SUBMIT, services=scene.but(bucket=bucket))
    assert scene.job().state is S.SUBMITTED


def test_a_link_that_no_provider_can_open_is_refused_before_paying(scene: Scene) -> None:
    """The bucket's S3 speaks plain HTTP."""
    scene.accepted("evolink", first_frame=INLINE)

    scene.run(Step.SUBMIT)

    assert scene.posts() == 0
    error = scene.job().error
    assert error is not None
    assert error.message == "first_frame: evolink needs an https URL for it; is S3 reached over https?"


@pytest.mark.parametrize("form", ["s3", "inline"])
def test_a_lost_post_with_an_image_of_ours_is_known_again_in_the_list(scene: Scene, bucket: Bucket, form: str) -> None:
    bucket.objects.client.put_object(Bucket=bucket.name, Key="frames/a frame.png", Body=PICTURE)
    frame = INLINE if form == "inline" else f"s3://{bucket.name}/frames/a frame.png"
    scene.accepted("gmicloud", model=MODELS["gmicloud"], first_frame=frame)
    scene.rule("submit", cut=True, created=True)
    scene.run(Step.SUBMIT, services=scene.but(bucket=bucket))

    scene.run(Step.POLL, services=scene.but(bucket=bucket))

    assert [scene.job().request_id] == scene.created()
