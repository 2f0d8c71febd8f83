"""The archive against an S3 that fails, loses answers, or is too old for conditional writes."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from deploy.sandbox.mp4 import make
from tests.integration.plain_s3 import Conditions, Fault, PlainS3, serve
from tests.unit.video.films import padded
from worker.bucket.bucket import Bucket
from worker.bucket.client import connect
from worker.bucket.multipart import PART_BYTES
from worker.errors import BucketError, ObjectConflict, SettingsError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ACCEPTED_AT = 1_795_132_799_999
CLIP = make(640, 360, 2)
LONG = padded(CLIP, 2 * PART_BYTES + 1000)
OTHER = make(320, 240, 1)
SECRET = "canary-secret-5f1e"
BOTH = pytest.mark.parametrize("content", [CLIP, LONG], ids=["one part", "many parts"])


@pytest.fixture(scope="module")
def server() -> Iterator[PlainS3]:
    environment = {
        "AWS_ACCESS_KEY_ID": "canary-key-5f1e",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with serve() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def client(server: PlainS3) -> S3Client:
    client, _ = connect()
    return client


@pytest.fixture(autouse=True)
def s3(server: PlainS3) -> PlainS3:
    """The server, as new."""
    server.reset()
    return server


@pytest.fixture
def bucket(client: S3Client) -> Bucket:
    return Bucket(client, "videos", "callsheet")


@pytest.fixture
def key(bucket: Bucket) -> str:
    return bucket.videos.key("job-1", 1, 1, ACCEPTED_AT)


def failure(bucket: Bucket, key: str, content: bytes = CLIP) -> BucketError:
    """The error that storing meets; it names bucket and key and no credentials."""
    with pytest.raises(BucketError) as caught:
        bucket.videos.store(key, [content], declared_bytes=len(content))
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "canary-key" not in str(caught.value)
    assert f"videos/{key}" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(403, "AccessDenied", times=9), "denied"),
        (Fault(403, "InvalidAccessKeyId", times=9), "credentials"),
        (Fault(403, "SignatureDoesNotMatch", times=9), "credentials"),
        (Fault(400, "ExpiredToken", times=9), "credentials"),
        (Fault(404, "NoSuchBucket", times=9), "missing"),
        (Fault(409, "ConditionalRequestConflict"), "conflict"),
        (Fault(503, "SlowDown", times=9), "busy"),
        (Fault(500, "InternalError", times=9), "busy"),
        (Fault(400, "BadDigest", times=9), "damaged"),
        (Fault(400, "EntityTooLarge", times=9), "refused"),
        (Fault(418, "<script>alert(1)</script>", times=9), "refused"),
    ],
)
def test_what_s3_says_is_told_in_our_words(s3: PlainS3, bucket: Bucket, key: str, fault: Fault, reason: str) -> None:
    bucket.probe()
    s3.faults["put"] = fault

    error = failure(bucket, key)

    assert error.reason == reason
    assert "script" not in str(error)
    assert key not in s3.objects


def test_an_s3_that_does_not_answer_is_told(bucket: Bucket, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{closed.getsockname()[1]}")

    assert failure(Bucket.connect("videos", "callsheet"), key).reason == "unreachable"


def test_missing_credentials_are_told(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert failure(Bucket.connect("videos", "callsheet"), key).reason == "credentials"


def test_an_endpoint_that_is_no_url_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not an endpoint")

    with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL_S3"):
        Bucket.connect("videos", "callsheet")


def test_a_bucket_that_is_not_ours_is_told_from_one_that_is_not_there(s3: PlainS3, bucket: Bucket) -> None:
    reasons = []
    for fault in (Fault(403, "AccessDenied"), Fault(404, "NoSuchBucket")):
        s3.faults["bucket"] = fault
        with pytest.raises(BucketError) as caught:
            bucket.reach()
        reasons.append(caught.value.reason)

    assert reasons == ["denied", "missing"]


@pytest.mark.parametrize(
    ("operation", "right"),
    [("put", "PutObject"), ("get", "GetObject"), ("bucket", "ListBucket")],
)
def test_the_probe_names_the_right_that_is_lacking(s3: PlainS3, bucket: Bucket, operation: str, right: str) -> None:
    s3.faults[operation] = Fault(403, "AccessDenied", times=9)

    with pytest.raises(BucketError, match=f"s3:{right}") as caught:
        bucket.probe()

    assert caught.value.reason == "denied"


def test_a_role_that_may_not_delete_is_enough(s3: PlainS3, bucket: Bucket) -> None:
    s3.faults["delete"] = Fault(403, "AccessDenied", times=9)

    assert bucket.probe().keeps_conditions


@pytest.mark.parametrize("operation", ["begin", "part", "complete"])
def test_parts_are_taken_away_when_any_request_fails(s3: PlainS3, bucket: Bucket, key: str, operation: str) -> None:
    s3.faults[operation] = Fault(403, "AccessDenied", times=9)

    error = failure(bucket, key, LONG)

    assert error.reason == "denied"
    assert key not in s3.objects
    assert s3.uploads == {}


def test_a_failed_abort_does_not_hide_what_went_wrong(s3: PlainS3, bucket: Bucket, key: str) -> None:
    s3.faults["part"] = Fault(403, "AccessDenied", times=9)
    s3.faults["abort"] = Fault(500, times=9)

    assert failure(bucket, key, LONG).reason == "denied"


@pytest.mark.parametrize("operation", ["put", "part", "begin"])
def test_a_passing_trouble_is_passed_over(s3: PlainS3, bucket: Bucket, key: str, operation: str) -> None:
    bucket.probe()
    s3.faults[operation] = Fault(503, "SlowDown")

    video = bucket.videos.store(key, [CLIP if operation == "put" else LONG], declared_bytes=None)

    assert bucket.videos.find(key) == video


@BOTH
@pytest.mark.parametrize("conditions", [Conditions.KEPT, Conditions.IGNORED])
def test_an_answer_lost_after_the_object_was_stored_does_no_harm(
    s3: PlainS3, bucket: Bucket, key: str, content: bytes, conditions: Conditions
) -> None:
    s3.conditions = conditions
    bucket.probe()
    s3.faults["put" if content is CLIP else "complete"] = Fault(is_answer_lost=True)

    video = bucket.videos.store(key, [content], declared_bytes=len(content))

    assert s3.objects[key][0] == content
    assert bucket.videos.find(key) == video
    assert s3.uploads == {}


@BOTH
def test_the_loser_of_a_race_finds_the_same_bytes_and_is_content(
    s3: PlainS3, client: S3Client, bucket: Bucket, key: str, content: bytes
) -> None:
    rival = Bucket(client, "videos", "callsheet")

    def be_overtaken() -> None:
        rival.videos.store(key, [content], declared_bytes=None)

    video = bucket.videos.store(key, [content], declared_bytes=None, before_complete=be_overtaken)

    assert bucket.videos.find(key) == video
    assert s3.objects[key][0] == content
    assert s3.uploads == {}


# Without conditional writes


@pytest.fixture(params=[Conditions.IGNORED, Conditions.UNKNOWN, Conditions.REFUSED])
def old_s3(s3: PlainS3, request: pytest.FixtureRequest) -> PlainS3:
    s3.conditions = request.param
    return s3


def test_an_s3_without_conditions_is_known_for_it(old_s3: PlainS3, bucket: Bucket) -> None:
    assert not bucket.probe().keeps_conditions


@BOTH
def test_without_conditions_the_bucket_is_looked_at_first_and_read_back(
    old_s3: PlainS3, bucket: Bucket, key: str, content: bytes
) -> None:
    video = bucket.videos.store(key, [content], declared_bytes=None)

    done = [operation for operation, of in old_s3.log if of == key and operation in ("head", "put", "complete", "get")]
    assert done == ["head", "put" if content is CLIP else "complete", "get"]
    assert bucket.videos.find(key) == video


@BOTH
def test_without_conditions_other_bytes_still_replace_nothing(
    old_s3: PlainS3, bucket: Bucket, key: str, content: bytes
) -> None:
    bucket.videos.store(key, [content], declared_bytes=None)

    with pytest.raises(ObjectConflict):
        bucket.videos.store(key, [OTHER], declared_bytes=None)
    assert bucket.videos.store(key, [content], declared_bytes=None).bytes == len(content)

    assert old_s3.objects[key][0] == content
    assert old_s3.uploads == {}


def test_without_conditions_a_rival_who_wrote_last_is_noticed(
    old_s3: PlainS3, bucket: Bucket, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overwritten(dict[str, tuple[bytes, dict[str, str]]]):
        def __setitem__(self, name: str, value: tuple[bytes, dict[str, str]]) -> None:
            super().__setitem__(name, (OTHER, value[1]) if name == key else value)

    old_s3.objects = Overwritten(old_s3.objects)

    with pytest.raises(ObjectConflict):
        bucket.videos.store(key, [CLIP], declared_bytes=None)
