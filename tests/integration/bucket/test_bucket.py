"""The archive against a real S3: what becomes visible, when, and what never does."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from deploy.local.s3 import S3Server
from deploy.sandbox.mp4 import make
from tests.unit.video.films import padded
from worker.bucket.bucket import Bucket
from worker.bucket.client import connect
from worker.bucket.multipart import PART_BYTES
from worker.errors import BucketError, DownloadError, NotAVideoError, ObjectConflict
from worker.jobs.job import Video

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ACCEPTED_AT = 1_795_132_799_999  # 2026-11-19 23:59:59.999 UTC
CLIP = make(640, 360, 2)
SIZES = {
    "one part": len(CLIP),
    "exactly one part": PART_BYTES,
    "one byte over": PART_BYTES + 1,
    "exactly two parts": 2 * PART_BYTES,
    "more parts than buffers": 3 * PART_BYTES + 12_345,
}


@pytest.fixture(scope="module")
def client(s3: S3Server) -> S3Client:
    client, _ = connect()
    return client


@pytest.fixture
def bucket(client: S3Client, bucket_name: str) -> Bucket:
    return Bucket(client, bucket_name, "video/archive")


@pytest.fixture
def key(bucket: Bucket) -> str:
    return bucket.videos.key("job-1", 1, 1, ACCEPTED_AT)


def film(size: int) -> bytes:
    return CLIP if size == len(CLIP) else padded(CLIP, size)


def pieces(content: bytes, size: int = 262_144) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def visible(client: S3Client, bucket: Bucket) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket.name, Prefix="video/archive/2").get("Contents", [])
    return [entry["Key"] for entry in found]


def unfinished(client: S3Client, bucket: Bucket) -> list[Any]:
    return list(client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []))


def content_of(client: S3Client, bucket: Bucket, key: str) -> bytes:
    return client.get_object(Bucket=bucket.name, Key=key)["Body"].read()


# Storing


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("is_declared", [True, False], ids=["declared", "undeclared"])
def test_a_video_is_stored_byte_by_byte_with_its_facts(
    bucket: Bucket, client: S3Client, key: str, size: int, is_declared: bool
) -> None:
    content = film(size)

    video = bucket.videos.store(key, pieces(content), declared_bytes=size if is_declared else None)

    assert content_of(client, bucket, key) == content
    assert video == Video(
        uri=f"s3://{bucket.name}/{key}",
        bytes=size,
        sha256=hashlib.sha256(content).hexdigest(),
        seconds=2.0,
        width=640,
        height=360,
        content_type="video/mp4",
    )
    assert client.head_object(Bucket=bucket.name, Key=key)["ContentType"] == "video/mp4"
    assert bucket.videos.find(key) == video
    assert unfinished(client, bucket) == []


def test_a_key_is_dated_by_acceptance_and_told_apart_by_attempt(bucket: Bucket) -> None:
    keys = [bucket.videos.key("job-1", attempt, n, ACCEPTED_AT) for attempt, n in ((1, 1), (1, 2), (2, 1))]

    assert keys == [f"video/archive/2026/11/19/job-1/{name}.mp4" for name in ("1-1", "1-2", "2-1")]


@pytest.mark.parametrize(
    "job_id",
    ["", "a/b", "..", "/a", "a b", "a\n", "a\r\nx: y", "\u0430", "a" * 65, "*", "{1}", "a\0", "%2e%2e", None, 7],
)
def test_only_a_job_id_names_an_object(bucket: Bucket, job_id: Any) -> None:
    for name in (
        lambda: bucket.videos.key(job_id, 1, 1, ACCEPTED_AT),
        lambda: bucket.images.put(job_id, ACCEPTED_AT, "first_frame", b"", "image/png"),
        lambda: bucket.manifests.put(job_id, ACCEPTED_AT, {}),
    ):
        with pytest.raises(BucketError):
            name()


@pytest.mark.parametrize("key", ["job.json", "a/b.mp4", "../x/1-1.mp4/", "x/a b/1-1.mp4"])
def test_a_video_goes_only_where_a_video_belongs(bucket: Bucket, key: str) -> None:
    with pytest.raises(BucketError):
        bucket.videos.store(key, [CLIP], declared_bytes=None)


def test_nothing_is_found_where_nothing_is(bucket: Bucket, key: str) -> None:
    assert bucket.videos.find(key) is None


# What must never become visible

HTML = b"<html><body>Bad gateway</body></html>"
BAD = {
    "empty": [],
    "empty chunks": [b"", b""],
    "html": [HTML],
    "ftyp only": [CLIP[:32]],
    "cut in one part": [CLIP[:-1]],
    "html behind the head": [CLIP[:32], HTML],
    "cut in many parts": [padded(CLIP, 3 * PART_BYTES)[:-1]],
    "html without end": [b"<", *[bytes(PART_BYTES)] * 4],
}


@pytest.mark.parametrize("chunks", BAD.values(), ids=BAD.keys())
def test_what_is_no_whole_video_never_becomes_visible(
    bucket: Bucket, client: S3Client, key: str, chunks: list[bytes]
) -> None:
    with pytest.raises(NotAVideoError):
        bucket.videos.store(key, chunks, declared_bytes=None)

    assert visible(client, bucket) == []
    assert unfinished(client, bucket) == []


@pytest.mark.parametrize("size", [len(CLIP), 2 * PART_BYTES])
@pytest.mark.parametrize(("difference", "reason"), [(-1, "too_large"), (1, "truncated")])
def test_a_video_of_another_length_than_declared_never_becomes_visible(
    bucket: Bucket, client: S3Client, key: str, size: int, difference: int, reason: str
) -> None:
    with pytest.raises(DownloadError) as caught:
        bucket.videos.store(key, pieces(film(size)), declared_bytes=size + difference)

    assert caught.value.reason == reason
    assert visible(client, bucket) == []
    assert unfinished(client, bucket) == []


@pytest.mark.parametrize("sent", [100, PART_BYTES + 100, 4 * PART_BYTES])
def test_a_download_that_breaks_off_leaves_no_trace(bucket: Bucket, client: S3Client, key: str, sent: int) -> None:
    def broken() -> Iterator[bytes]:
        yield from pieces(film(5 * PART_BYTES)[:sent])
        raise DownloadError("cut", "the connection was lost in the body")

    with pytest.raises(DownloadError, match="cut"):
        bucket.videos.store(key, broken(), declared_bytes=5 * PART_BYTES)

    assert visible(client, bucket) == []
    assert unfinished(client, bucket) == []


class LeaseLost(Exception):
    """Stands for a step's own error."""


@pytest.mark.parametrize("size", [len(CLIP), 2 * PART_BYTES])
def test_a_writer_that_may_no_longer_act_leaves_no_trace(bucket: Bucket, client: S3Client, key: str, size: int) -> None:
    def lose_lease() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        bucket.videos.store(key, pieces(film(size)), declared_bytes=size, before_complete=lose_lease)

    assert visible(client, bucket) == []
    assert unfinished(client, bucket) == []


@pytest.mark.parametrize("size", [len(CLIP), 2 * PART_BYTES])
def test_the_lease_is_asked_for_once_when_all_else_is_done(
    bucket: Bucket, client: S3Client, key: str, size: int
) -> None:
    seen = []

    bucket.videos.store(
        key, pieces(film(size)), declared_bytes=size, before_complete=lambda: seen.append(visible(client, bucket))
    )

    assert seen == [[]]
    assert visible(client, bucket) == [key]


# Twice


@pytest.mark.parametrize("size", [len(CLIP), 2 * PART_BYTES])
def test_storing_the_same_video_again_changes_nothing(bucket: Bucket, client: S3Client, key: str, size: int) -> None:
    first = bucket.videos.store(key, pieces(film(size)), declared_bytes=size)
    stored_at = client.head_object(Bucket=bucket.name, Key=key)["LastModified"]

    again = bucket.videos.store(key, pieces(film(size)), declared_bytes=size)

    assert again == first
    assert client.head_object(Bucket=bucket.name, Key=key)["LastModified"] == stored_at
    assert unfinished(client, bucket) == []


@pytest.mark.parametrize("size", [len(CLIP), 2 * PART_BYTES])
def test_other_bytes_never_replace_a_video(bucket: Bucket, client: S3Client, key: str, size: int) -> None:
    first = bucket.videos.store(key, pieces(film(size)), declared_bytes=size)

    with pytest.raises(ObjectConflict):
        bucket.videos.store(key, [make(320, 240, 1)], declared_bytes=None)

    assert content_of(client, bucket, key) == film(size)
    assert bucket.videos.find(key) == first


FACTS = {"sha256": "0" * 64, "seconds": "2.0", "width": "640", "height": "360"}


@pytest.mark.parametrize("content", [b"yours", CLIP], ids=["text", "video"])
@pytest.mark.parametrize("metadata", [{}, {"job-id": "job-2"}, FACTS, {**FACTS, "job-id": "job-2"}])
def test_an_object_that_is_not_ours_is_told_and_left_alone(
    bucket: Bucket, client: S3Client, key: str, metadata: dict[str, str], content: bytes
) -> None:
    client.put_object(Bucket=bucket.name, Key=key, Body=content, Metadata=metadata)

    with pytest.raises(ObjectConflict):
        bucket.videos.find(key)
    with pytest.raises(ObjectConflict):
        bucket.videos.store(key, [CLIP], declared_bytes=None)

    assert content_of(client, bucket, key) == content


def test_an_object_under_our_name_that_is_no_video_is_told(bucket: Bucket, client: S3Client, key: str) -> None:
    client.put_object(Bucket=bucket.name, Key=key, Body=b"yours", Metadata={"job-id": "job-1"})

    with pytest.raises(ObjectConflict):
        bucket.videos.find(key)


@pytest.mark.parametrize("size", [PART_BYTES // 2, 2 * PART_BYTES])
def test_of_many_writers_with_different_bytes_exactly_one_wins(
    bucket: Bucket, client: S3Client, key: str, size: int
) -> None:
    contents = [padded(make(320, 240, 1, seed=seed), size) for seed in range(4)]
    barrier = threading.Barrier(len(contents))
    outcomes: list[Video | ObjectConflict] = []

    def write(content: bytes) -> None:
        try:
            video = bucket.videos.store(key, pieces(content), declared_bytes=size, before_complete=barrier.wait)
        except ObjectConflict as err:
            outcomes.append(err)
        else:
            outcomes.append(video)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    won = [outcome for outcome in outcomes if isinstance(outcome, Video)]
    assert len(outcomes) == len(contents)
    assert [video.sha256 for video in won] == [hashlib.sha256(content_of(client, bucket, key)).hexdigest()]
    assert unfinished(client, bucket) == []


def test_memory_stays_small_whatever_the_video(bucket: Bucket, key: str) -> None:
    parts, chunk = 8, bytes(1 << 20)

    def stream() -> Iterator[bytes]:
        yield CLIP
        yield (parts * PART_BYTES + 8).to_bytes(4, "big") + b"free"
        for _ in range(parts * PART_BYTES // len(chunk)):
            yield chunk

    bucket.videos.find(key)
    tracemalloc.start()
    video = bucket.videos.store(key, stream(), declared_bytes=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert video.bytes > parts * PART_BYTES
    assert peak < 4.5 * PART_BYTES


# Beside the videos


def test_the_manifest_stands_beside_the_videos_and_is_replaced(bucket: Bucket, client: S3Client) -> None:
    for version in (1, 2):
        bucket.manifests.put("job-1", ACCEPTED_AT, {"ver": version, "title": "\u00e9\u4e2d"})

    stored = client.get_object(Bucket=bucket.name, Key="video/archive/2026/11/19/job-1/job.json")

    assert stored["ContentType"] == "application/json"
    assert stored["Body"].read().split() == b'{ "title": "\\u00e9\\u4e2d", "ver": 2 }'.split()


def test_an_image_that_came_inline_is_kept_for_the_provider(bucket: Bucket, client: S3Client) -> None:
    key = bucket.images.put("job-1", ACCEPTED_AT, "first_frame", b"\x89PNG", "image/png")

    assert key == "video/archive/2026/11/19/job-1/input-first_frame.png"
    assert client.head_object(Bucket=bucket.name, Key=key)["ContentType"] == "image/png"


@pytest.mark.parametrize(
    ("field", "content_type"), [("first_frame", "text/html"), ("../x", "image/png"), ("", "image/png")]
)
def test_only_images_in_fields_are_kept(bucket: Bucket, field: str, content_type: str) -> None:
    with pytest.raises(BucketError):
        bucket.images.put("job-1", ACCEPTED_AT, field, b"", content_type)


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, b""


@pytest.mark.parametrize("form", ["{key}", "s3://{bucket}/{key}"])
def test_a_presigned_url_serves_one_object_and_no_other(bucket: Bucket, key: str, form: str) -> None:
    bucket.videos.store(key, [CLIP], declared_bytes=None)

    url = bucket.presign(form.format(key=key, bucket=bucket.name), 60)

    assert get(url) == (200, CLIP)
    assert get(url.replace("1-1.mp4", "1-2.mp4"))[0] == 403
    assert get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=3600"))[0] == 403
    assert get(url.partition("?")[0])[0] == 403


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket", "s3://bucket/", "s3://UP/key", "s3://b/../key"])
def test_a_uri_without_bucket_and_key_is_not_presigned(bucket: Bucket, uri: str) -> None:
    with pytest.raises(BucketError):
        bucket.presign(uri, 60)


# Whether it will work


def test_a_good_bucket_proves_it_and_keeps_nothing_of_the_probe(bucket: Bucket, client: S3Client) -> None:
    bucket.reach()

    probe = bucket.probe()

    assert probe.keeps_conditions
    left = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]
    assert left == ["video/archive/.callsheet/conditional-put"]


def test_a_bucket_that_is_not_there_is_told_in_words(s3: S3Server) -> None:
    for ask in ("reach", "probe"):
        with pytest.raises(BucketError, match="no such bucket") as caught:
            getattr(Bucket.connect("nobodys-bucket", "p"), ask)()

        assert caught.value.reason == "missing"


def test_storing_in_a_bucket_that_is_not_there_is_told_in_words(s3: S3Server) -> None:
    bucket = Bucket.connect("nobodys-bucket", "p")

    with pytest.raises(BucketError, match="no such bucket") as caught:
        bucket.videos.store(bucket.videos.key("job-1", 1, 1, ACCEPTED_AT), [CLIP], declared_bytes=None)

    assert caught.value.reason == "missing"
